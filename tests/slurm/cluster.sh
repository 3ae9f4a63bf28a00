#!/usr/bin/env bash
# A real Slurm of several nodes on this one machine, for tests of job scripts: munged, a controller, and a slurmd for
# each node n1, n2, ..., on free ports of the loopback device. No systemd, no cgroups, no namespaces, no root needed,
# nothing in /etc: all its files are in DIR and in /dev/shm/NAME_OF_DIR. Several clusters can run at the same time.
#
#   cluster.sh up DIR NODES CPUS [OWNER]   start it in the new or empty DIR; it ends with process OWNER
#   cluster.sh run DIR COMMAND...          sbatch, squeue, scontrol ... in the cluster's environment
#   cluster.sh kill-node DIR NODE          a power cut: SIGKILL to the node's daemon and all its processes
#   cluster.sh start-node DIR NODE         starts the node again
#   cluster.sh down DIR                    end everything at once, including jobs, and remove DIR
#
# $SLURM_TEST_CONF, when set for `up`, is added to slurm.conf (partitions, preemption).
# Debian packages: slurmctld slurmd slurm-client munge.
set -euo pipefail
self=$(readlink -f "${BASH_SOURCE[0]}")
action=${1:-}
dir=${2:-}
if [ -z "$dir" ]; then sed -n '2,14s/^# \?//p' "$self"; exit 2; fi
shift 2
shm=/dev/shm/$(basename "$dir")
mark=MOEMILL_TEST_CLUSTER=$dir  # in the environment of everything that belongs to this cluster

# The environment of a process that submits; sbatch passes it on to the job. The nodes share the machine's cores.
environment=("$mark" SLURM_CONF="$dir/slurm.conf" TMPDIR="$dir/tmp" OMPI_ALLOW_RUN_AS_ROOT=1
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
  OMPI_MCA_mpi_yield_when_idle=1)

# NAME COMMAND...: starts a daemon in its own session, not as a child of the caller.
spawn() {
  local name=$1
  shift
  env "$mark" SLURM_CONF="$dir/slurm.conf" setsid "$@" </dev/null >>"$dir/log/$name.out" 2>&1 &
  disown
}

# SECONDS COMMAND...: repeats the command until it succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

# Process ids of everything that belongs to this cluster, or to one node of it. Jobs, their launchers and most daemons
# are recognised by their environment; step daemons clear theirs, but keep the log of their node open.
processes() {
  local node=${1:-*}
  {
    if [ "$node" = "*" ]; then grep -lzxF -- "$mark" /proc/[0-9]*/environ
    else grep -lzxF -- "$mark" /proc/[0-9]*/environ | xargs -r grep -lzxF -- "SLURMD_NODENAME=$node"
    fi
    find /proc/[0-9]*/fd -lname "$dir/log/slurmd-$node.log*"
  } 2>/dev/null | cut -d/ -f3 | sort -un | grep -vx $$ || true
}

# Repeats until nothing is left, because a killed process may just have started another. Zombies have no environment.
kill_all() {
  local left
  for _ in $(seq 100); do
    left=$(processes "$@")
    [ -n "$left" ] || return 0
    # shellcheck disable=SC2086  # a list of numbers
    kill -KILL $left 2>/dev/null || true
    sleep 0.05
  done
  echo "cluster: these do not end: ${left//$'\n'/ }" >&2
}

# COUNT consecutive ports without a listener, below those that the system assigns by itself.
free_ports() {
  local first port
  while :; do
    first=$((10000 + RANDOM % 22000))
    for ((port = first; port < first + $1; port++)); do
      if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
    done
    echo "$first"
    return
  done
}

write_conf() {  # NODES CPUS FIRST_PORT
  # Open MPI names its shared-memory files by host, so nodes that share a host need a folder each. A batch step would pass
  # it on to all nodes, although only one node works there. But every batch step needs a folder for its mpirun: a step
  # that ends would remove what another step is about to create.
  cat >"$dir/task_prolog" <<PROLOG
#!/bin/sh
if [ -z "\$SLURM_STEP_ID" ]; then
  echo "export OMPI_MCA_orte_tmpdir_base=\$(mktemp -d "$dir/tmp/XXXXXX")"
  exit 0
fi
mkdir -p "$shm/\$SLURMD_NODENAME"
echo "export OMPI_MCA_btl_vader_backing_directory=$shm/\$SLURMD_NODENAME"
PROLOG
  chmod 755 "$dir/task_prolog"
  touch "$dir"/gpu{0,1,2,3}  # to be asked for, not to be used
  echo "Name=gpu File=$dir/gpu[0-3]" >"$dir/gres.conf"
  cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$3
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
TmpFS=$dir/tmp/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog=$dir/task_prolog
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
# nodes claim more than the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
# without --mem a job gets little memory, as at many sites
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
# a busy machine may stop for a while, which must not end anything
SlurmdTimeout=600
MessageTimeout=60
OverTimeLimit=5
KillWait=5
ReturnToService=2
# as at many sites: only a job that says --requeue is queued again
JobRequeue=0
MinJobAge=3600
GresTypes=gpu
NodeName=n[1-$1] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$(($3 + 1))-$(($3 + $1))] \\
  CPUs=$2 RealMemory=4000 Gres=gpu:4
${SLURM_TEST_CONF:-PartitionName=all Nodes=ALL Default=YES State=UP}
CONF
}

start_node() {
  mkdir -p "$dir/spool/$1" "$dir/tmp/$1"
  spawn "slurmd-$1" slurmd -D -N "$1" -f "$dir/slurm.conf"
}

start() {  # NODES CPUS
  local node
  mkdir -p "$dir"/{munge,state,spool,tmp,log} "$shm"
  chmod 711 "$dir"  # munged wants to be reached through it
  write_conf "$1" "$2" "$(free_ports $(($1 + 1)))"
  (umask 077; head -c 1024 /dev/urandom >"$dir/munge/key")
  spawn munged munged --foreground --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/pid" --log-file="$dir/log/munged.log" --seed-file="$dir/munge/seed"
  wait_for 60 test -S "$dir/munge/socket" || return 1
  spawn slurmctld slurmctld -D -f "$dir/slurm.conf"
  for node in $(seq "$1"); do start_node "n$node"; done
  wait_for 120 all_idle "$1"
}

all_idle() { [ "$("$self" run "$dir" sinfo -h -N -t idle -o %N | sort -u | wc -l)" = "$1" ]; }

end() {
  kill_all
  rm -rf "${dir:?}" "$shm"
}

up() {  # NODES CPUS [OWNER]
  if [ -n "$(ls -A "$dir" 2>/dev/null)" ]; then echo "cluster: $dir is not empty" >&2; exit 2; fi
  local attempt
  for attempt in 1 2 3; do  # another program may have taken a port meanwhile
    if start "$1" "$2"; then
      if [ -n "${3:-}" ]; then setsid "$self" end-with "$dir" "$3" </dev/null >/dev/null 2>&1 & fi
      return
    fi
    echo "cluster: does not come up (attempt $attempt):" >&2
    tail -n 5 "$dir"/log/{munged,slurmctld,slurmd-n1}.out >&2 || true
    end
  done
  exit 1
}

# Only a DIR that `up` made may be removed.
must_be_ours() {
  if [ ! -e "$dir/slurm.conf" ]; then echo "cluster: there is none in $dir" >&2; exit 2; fi
}

case $action in
  up) up "$@" ;;
  run) exec env "${environment[@]}" "$@" ;;
  kill-node)
    kill_all "$1"
    rm -rf "$dir"/{spool,tmp}/"$1" ;;  # sockets and folders of a step left there are in the way of the step's next try
  start-node) start_node "$1" ;;
  down) must_be_ours; end ;;
  end-with)
    tail --pid="$1" -f /dev/null
    must_be_ours
    end ;;
  *) echo "cluster: what is '$action'?" >&2; exit 2 ;;
esac
