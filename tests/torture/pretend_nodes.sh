#!/usr/bin/env bash
# pretend_nodes.sh NODES RANKS_PER_NODE PROGRAM ARGUMENTS...: mpirun over pretended nodes on one machine, without root. A
# node is an extra daemon of mpirun with its own folder for shared memory: MPI sees several nodes, their ranks use
# TCP, and killing a daemon means losing a node. mpirun starts this script again as its remote shell.
if [[ $1 == node-* ]]; then
  folder=$PRETEND_DIR/$1
  shift
  mkdir -p "$folder"
  export OMPI_MCA_btl_vader_backing_directory=$folder OMPI_MCA_orte_tmpdir_base=$folder
  exec bash -c "$*"
fi
nodes=$1 ranks=$2
shift 2
PRETEND_DIR=$(mktemp -d "${TMPDIR:-/dev/shm}/moemill-nodes.XXXXXX")
export PRETEND_DIR
hosts=$(seq -f "node-%g:$ranks" "$nodes" | paste -sd,)
mpirun --host "$hosts" -np $((nodes * ranks)) --oversubscribe --bind-to none \
  --mca plm rsh --mca plm_rsh_agent "$(realpath "${BASH_SOURCE[0]}")" --mca plm_rsh_no_tree_spawn 1 \
  --mca pml ob1 --mca btl self,vader,tcp --mca btl_tcp_if_include lo --mca oob_tcp_if_include lo \
  --mca mpi_yield_when_idle 1 "$@"
code=$?
rm -rf "$PRETEND_DIR"
exit $code
