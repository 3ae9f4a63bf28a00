"""The cluster of cluster.sh as an object: submits, watches and disturbs jobs. The cluster ends with this process."""
import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from moemill_program import PROGRAM, SOURCE, check

SCRIPT = SOURCE / "tests/slurm/cluster.sh"
TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "mpirun")
ENDED = {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "OUT_OF_MEMORY"}
PATIENCE = 240  # seconds; longer than any step of any job takes even on a busy machine

# Jobs of `urgent` preempt those of `usual`, which are requeued at once. Those of `graceful` get some time to leave.
PARTITIONS = """
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=usual Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=graceful Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=60 State=UP
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
"""


def missing_tools():
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [tool for tool in TOOLS if not shutil.which(tool, path=path)]


def until(holds, what, seconds=PATIENCE):
    """Waits; the last try counts even on a machine that was suspended."""
    end = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= end
        value = holds()
        if value: return value
        if late: raise AssertionError(f"waited {seconds} s for: {what() if callable(what) else what}")
        time.sleep(0.2)


class Cluster:
    def __init__(self, nodes, cpus):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="moemill-slurm."))  # short, because Unix sockets are in it
        # Not the user's own Slurm settings, nor those of a job that this test runs in.
        theirs = ("SLURM", "SBATCH_", "SRUN_", "SQUEUE_", "SINFO_", "SCONTROL_", "OMPI_", "PMIX_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        self.environment |= {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "SLURM_TEST_CONF": PARTITIONS}
        self.free = [f"n{i + 1}" for i in range(nodes)]
        self.changed = threading.Condition()
        atexit.register(self.down)
        subprocess.run([SCRIPT, "up", self.folder, str(nodes), str(cpus), str(os.getpid())], env=self.environment,
                       check=True)

    def down(self):
        subprocess.run([SCRIPT, "down", self.folder])

    def take(self, count):
        """Nodes for one test alone, so that tests can run at the same time. A test that fails keeps its nodes."""
        with self.changed:
            enough = self.changed.wait_for(lambda: len(self.free) >= count, timeout=2 * PATIENCE)
            check(enough, f"waited {2 * PATIENCE} s for {count} free nodes; there are {len(self.free)}")
            taken, self.free = self.free[:count], self.free[count:]
            return taken

    def give_back(self, nodes):
        with self.changed:
            self.free += nodes
            self.changed.notify_all()

    def run(self, *words, **variables):
        environment = dict(self.environment, **{k: str(v) for k, v in variables.items()})
        return subprocess.run([SCRIPT, "run", self.folder, *map(str, words)], env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def must(self, *words, **variables):
        done = self.run(*words, **variables)
        check(done.returncode == 0, f"{words}: exit {done.returncode}: {done.stderr}")
        return done.stdout

    def kill_node(self, node):
        subprocess.run([SCRIPT, "kill-node", self.folder, node], env=self.environment, check=True)

    def call_it_down(self, node):
        """What the controller notices by itself after SlurmdTimeout, usually minutes."""
        self.must("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def revive(self, node):
        subprocess.run([SCRIPT, "start-node", self.folder, node], env=self.environment, check=True)

        def idle():
            state = self.run("sinfo", "-h", "-N", "-n", node, "-o", "%T").stdout.split()
            if state and not state[0].startswith("idle"):
                self.run("scontrol", "update", f"nodename={node}", "state=resume")
            return state and state[0] == "idle"
        until(idle, f"{node} to be back")


class Job:
    """One submitted job script, on its own nodes."""

    def __init__(self, cluster, script, folder, nodes, *options, per_node=1, partition="usual", run_dir=None, **variables):
        self.cluster, self.nodes, self.run_dir = cluster, nodes, run_dir or folder / "out"
        name = pathlib.Path(script).stem
        common = ["-p", partition, "-w", ",".join(nodes), "-N", len(nodes), f"--ntasks-per-node={per_node}", "--time=30",
                  "-D", folder, "-o", folder / "%x-%j.log", "-J", name]
        settings = {"MOEMILL": PROGRAM, "CONFIG": folder / "run.yaml", "RUN_DIR": self.run_dir, **variables}
        self.id = cluster.must("sbatch", "--parsable", *common, *options, SOURCE / "jobs" / script, **settings).strip()
        self.log = folder / f"{name}-{self.id}.log"

    def facts(self):
        """Slurm's description; empty while Slurm has none."""
        text = self.cluster.run("scontrol", "show", "job", "-o", self.id).stdout
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def set_limit(self, minutes):
        self.cluster.must("scontrol", "update", f"jobid={self.id}", f"TimeLimit={minutes}")

    def state(self):
        return self.facts().get("JobState", "?")

    def started(self):
        """In seconds since 1970."""
        return time.mktime(time.strptime(self.facts()["StartTime"], "%Y-%m-%dT%H:%M:%S"))

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tell(self):
        facts = self.facts()
        known = {name: facts.get(name) for name in ("JobId", "JobState", "Reason", "ExitCode", "Restarts", "NodeList")}
        return f"{known}\n{self.text()[-3000:]}"

    def says(self, words):
        until(lambda: words in self.text(), lambda: f"'{words}' in the log of {self.tell()}")

    def is_pending_again(self):
        until(lambda: self.state() == "PENDING", lambda: f"the queue: {self.tell()}")

    def runs_again(self, restarts=1):
        """Out of the queue within seconds, where Slurm would keep it for two minutes. Not at once, because nodes refuse a job that they
        ended in the same second."""
        seen = {}  # the time since which it waits for which try
        def again():
            facts = self.facts()
            now = int(facts.get("Restarts", 0))
            if facts.get("JobState") == "PENDING":
                waits = time.monotonic() - seen.setdefault(now, time.monotonic())
                if waits > 3: self.cluster.run("scontrol", "update", f"jobid={self.id}", "StartTime=now")
            return now >= restarts and facts["JobState"] in ENDED | {"RUNNING"}
        until(again, lambda: f"another try: {self.tell()}")

    def ends(self, code, state=None):
        def facts():
            now = self.facts()
            return now if now.get("JobState") in ENDED else None
        end = until(facts, lambda: f"the end: {self.tell()}")
        want = (state or ("FAILED" if code else "COMPLETED"), code)
        got = (end["JobState"], int(end["ExitCode"].split(":")[0]))
        check(got == want, f"{got}, not {want}: {self.tell()}")
        return self

    def ranks(self):
        """Process ids of its program."""
        wanted = {f"SLURM_JOB_ID={self.id}".encode(), f"SLURM_CONF={self.cluster.folder}/slurm.conf".encode()}
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                marks = set((process / "environ").read_bytes().split(b"\0"))
                if wanted <= marks and (process / "comm").read_text().strip() == PROGRAM.name: found.append(int(process.name))
            except OSError:
                pass  # ended in the meantime
        return found

    def signal_ranks(self, number):
        for process in self.ranks():
            try: os.kill(process, number)
            except ProcessLookupError: pass

    def is_told(self, number):
        """Every suspended rank has the signal, and will see it before it continues its work."""
        def told(process):
            state = pathlib.Path(f"/proc/{process}/status").read_text()
            return int(state.split("ShdPnd:")[1].split()[0], 16) >> (number - 1) & 1
        until(lambda: all(map(told, self.ranks())), lambda: f"signal {number} to be with the ranks of {self.tell()}")

    def stands_still_at_work(self):
        """In the middle of its work, with suspended ranks, so that even on a fast machine it is not over before it is disturbed."""
        def shards():
            return len(list((self.run_dir / "shards").glob("shard-*.h5")))
        before, end = shards(), time.monotonic() + PATIENCE
        while shards() <= before:
            check(time.monotonic() < end, f"waited {PATIENCE} s for rows of {self.tell()}")
            time.sleep(0.02)
        self.signal_ranks(signal.SIGSTOP)
        check(self.ranks() and self.state() == "RUNNING", "over before it could be disturbed:", self.tell())
        return self

    def goes_on(self):
        self.signal_ranks(signal.SIGCONT)
