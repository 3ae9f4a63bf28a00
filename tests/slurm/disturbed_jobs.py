"""Jobs that lose a node, reach their time limit, are preempted, requeued, cancelled, started twice or asked to stop."""
import json
import signal
import time

from moemill_program import check, expect_exit, moemill, summary
from slurm_bench import SRUN, attempts, without
from slurm_cluster import until


def lost_node(bench, nodes, launch, lost):
    folder = bench.folder(f"lost-{launch.split()[0]}-{lost}")
    job = bench.job("chain.sbatch", folder, nodes, LAUNCH=launch).stands_still_at_work()
    bench.cluster.kill_node(nodes[lost])
    job.goes_on()
    return folder, job


def comes_back(bench, job, node, folder):
    bench.cluster.call_it_down(node)
    job.is_pending_again()
    bench.cluster.revive(node)
    job.runs_again()
    job.ends(0)
    bench.is_whole(folder / "out")


def lost_node_under_mpirun(bench, nodes):
    """The script survives, sees mpirun fail, and requeues the job."""
    folder, job = lost_node(bench, nodes, "mpirun", lost=2)
    job.says("back into the queue")
    comes_back(bench, job, nodes[2], folder)


def lost_node_under_srun(bench, nodes):
    folder, job = lost_node(bench, nodes, SRUN, lost=2)
    comes_back(bench, job, nodes[2], folder)


def lost_node_of_the_script(bench, nodes):
    """No process of the job is left that could act; Slurm requeues it."""
    folder, job = lost_node(bench, nodes, "mpirun", lost=0)
    comes_back(bench, job, nodes[0], folder)


def time_limit(bench, nodes, launch):
    """The script passes Slurm's signal on to the ranks, which save and leave. The limit becomes one minute while they
    stand still: Slurm checks limits every 30 s from its own start and might signal a job that has just begun otherwise."""
    folder = bench.folder(f"limit-{launch.split()[0]}")
    job = bench.job("chain.sbatch", folder, nodes, LAUNCH=launch).stands_still_at_work()
    job.set_limit(1)
    job.says("chain: the signal has come")
    job.goes_on()
    job.says("stopping early because of SIGUSR1")
    job.is_pending_again()
    job.set_limit(30)
    job.runs_again()
    job.ends(0)
    check(attempts(folder / "out") == 2, job.tell())
    bench.is_whole(folder / "out")


def time_limit_under_mpirun(bench, nodes):
    time_limit(bench, nodes, "mpirun")


def time_limit_under_srun(bench, nodes):
    time_limit(bench, nodes, SRUN)


def time_limit_straight_to_the_ranks(bench, nodes):
    """srun passes exit code 75 on; submitting the script again resumes. As above, the limit is set later."""
    folder = bench.folder("limit-ranks")
    job = bench.job("nodes-srun.sbatch", folder, nodes).stands_still_at_work()
    job.set_limit(1)
    job.ends(75, "FAILED")  # Slurm wakes processes that it signals
    check("SIGUSR1" in job.text(), job.tell())
    bench.job("nodes-srun.sbatch", folder, nodes).ends(0)
    bench.is_whole(folder / "out")


def time_limit_by_the_clock(bench, nodes):
    """Without a signal, SLURM_JOB_END_TIME gives the program the job's end."""
    folder = bench.folder("limit-clock")
    bare = without("--signal", "one-node.sbatch", folder)
    job = bench.job(bare, folder, nodes, "--time=1").stands_still_at_work()
    time.sleep(max(0.0, 60 - (time.time() - job.started())))  # past the moment, wherever in the minute it was
    job.goes_on()
    job.ends(75, "FAILED")
    check("stopping early because of the time limit" in job.text(), job.tell())
    bench.job("one-node.sbatch", folder, nodes).ends(0)
    bench.is_whole(folder / "out")


def preempted(bench, nodes, script, partition, last_words):
    folder = bench.folder(f"preempted-{partition}")
    job = bench.job(script, folder, nodes, partition=partition).stands_still_at_work()
    urgent = bench.cluster.must("sbatch", "--parsable", "-p", "urgent", "-w", ",".join(nodes), "-N", len(nodes),
                                "--exclusive", "--time=5", "-o", "/dev/null", "--wrap", "sleep 1").strip()
    if last_words:
        job.says(last_words[0])
        job.goes_on()
        for words in last_words: job.says(words)
    until(lambda: "JobState=COMPLETED" in bench.cluster.must("scontrol", "show", "job", urgent), job.tell)
    job.runs_again()
    job.ends(0)
    bench.is_whole(folder / "out")


def preempted_at_once(bench, nodes):
    preempted(bench, nodes, "nodes-srun.sbatch", "usual", [])


def preempted_with_grace(bench, nodes):
    preempted(bench, nodes, "chain.sbatch", "graceful", ["chain: the signal has come", "stopping early because of SIGUSR1"])


def requeued(bench, nodes):
    folder = bench.folder("requeued")
    job = bench.job("nodes-mpirun.sbatch", folder, nodes).stands_still_at_work()
    bench.cluster.must("scontrol", "requeue", job.id)
    job.runs_again()
    job.ends(0)
    check(job.text().count("ranks on 3 nodes") == 2, "one log of both tries:", job.tell())
    bench.is_whole(folder / "out")


def cancelled(bench, nodes):
    """A cancelled chain does not come back by itself; a new one resumes."""
    folder = bench.folder("cancelled")
    job = bench.job("chain.sbatch", folder, nodes).stands_still_at_work()
    bench.cluster.must("scancel", job.id)
    job.ends(0, "CANCELLED")
    until(lambda: not job.ranks(), "the ranks to be gone")
    check(moemill("status", folder / "out", "--exit-code").returncode == 75, "status says something else than 75")
    kept = json.loads(expect_exit(moemill("status", folder / "out", "--json"), 0).stdout)["done"]
    check(kept >= 2, "not even the finished shard's rows are there:", kept)
    bench.job("chain.sbatch", folder, nodes).ends(0)
    check(summary(folder / "out")["resumed_rows"] == kept, "rows were made again:", kept, summary(folder / "out"))
    bench.is_whole(folder / "out")


def twice_at_once(bench, nodes):
    """The second of two jobs in one run directory is refused and the first continues; a singleton waits for the first."""
    folder = bench.folder("twice")
    job = bench.job("nodes-mpirun.sbatch", folder, nodes[:2]).stands_still_at_work()
    second = bench.job("nodes-srun.sbatch", folder, nodes[2:]).ends(2)
    for words in ("another job works in this run directory", f"Slurm job {job.id}"):
        check(words in second.text(), second.tell())
    third = bench.job("nodes-mpirun.sbatch", folder, nodes[2:], "--dependency=singleton")
    until(lambda: third.facts().get("Reason") == "Dependency", third.tell)
    job.goes_on()
    job.ends(0)
    third.ends(0)
    check("nothing to do" in third.text(), third.tell())
    bench.is_whole(folder / "out")


def asked_to_stop(bench, nodes):
    """SIGUSR1 by hand and the stop file end a job with 75; a chain does not continue by itself after the stop file."""
    folder = bench.folder("asked")
    job = bench.job("one-node.sbatch", folder, nodes).stands_still_at_work()
    bench.cluster.must("scancel", "-b", "-s", "USR1", job.id)
    job.is_told(signal.SIGUSR1)
    job.goes_on()
    job.ends(75)
    job = bench.job("chain.sbatch", folder, nodes).stands_still_at_work()
    (folder / "out/stop").touch()
    job.goes_on()
    job.ends(75)
    check(job.facts()["Restarts"] == "0" and "chain: stopped by" in job.text(), job.tell())
    bench.job("one-node.sbatch", folder, nodes).ends(0)
    bench.is_whole(folder / "out")
