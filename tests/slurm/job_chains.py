"""Jobs that requeue themselves: when a chain continues, and when it ends."""
import os
import signal

from moemill_program import check
from slurm_bench import SRUN, attempts, write_script


def chain_knows_when_to_end(bench, nodes):
    """A chain ends when another try cannot help, and after its number of tries."""
    folder = bench.folder("ends")
    job = bench.job("chain.sbatch", folder, nodes, TRIES=2).stands_still_at_work()
    for attempt in range(2):
        os.kill(job.ranks()[0], signal.SIGKILL)  # mpirun reports 137, the run directory 75
        job.goes_on()
        if attempt == 0:
            job.runs_again()
            job.stands_still_at_work()
    job.ends(75)
    check("not done after 2 tries" in job.text(), job.tell())
    config = folder / "run.yaml"
    good = config.read_text()
    config.write_text(good.replace("logprobs: 0", "logprobs: 1"))
    for launch in ("mpirun", SRUN):
        job = bench.job("chain.sbatch", folder, nodes, LAUNCH=launch).ends(2)
        check(job.facts()["Restarts"] == "0" and "sampling.logprobs" in job.text(), job.tell())
    config.write_text(good)
    bench.job("chain.sbatch", folder, nodes).ends(0)
    bench.is_whole(folder / "out")


def chain_asked_to_stop_in_the_queue(bench, nodes):
    folder = bench.folder("asked-in-the-queue")
    job = bench.job("chain.sbatch", folder, nodes).stands_still_at_work()
    os.kill(job.ranks()[0], signal.SIGKILL)
    job.goes_on()
    job.is_pending_again()
    (folder / "out/stop").touch()
    job.runs_again()
    job.ends(75)
    check("chain: stopped by" in job.text() and attempts(folder / "out") == 1, job.tell())
    bench.job("chain.sbatch", folder, nodes).ends(0)
    bench.is_whole(folder / "out")


def chain_whose_launcher_fails(bench, nodes):
    """The exit code that an earlier attempt left in the run directory does not count for a launcher that fails. Three
    failures end the chain, also with a launcher that exits with 0; one does not."""
    folder = bench.folder("launcher")
    job = bench.job("one-node.sbatch", folder, nodes).stands_still_at_work()
    bench.cluster.must("scancel", "-b", "-s", "USR1", job.id)
    job.goes_on()
    job.ends(75)
    for launch, said, code in (("srun_missing", 127, 127), ("true", 0, 1)):
        job = bench.job("chain.sbatch", folder, nodes, LAUNCH=launch)
        for restarts in (1, 2): job.runs_again(restarts)
        job.ends(code)
        check(job.text().count(f"{launch} ended with {said} and no attempt has begun") == 3, job.tell())
    check(attempts(folder / "out") == 1, "it began")
    fails_once = write_script(folder / "fails-once", '[ -n "$SLURM_RESTART_COUNT" ] || exit 1', 'exec mpirun "$@"')
    job = bench.job("chain.sbatch", folder, nodes, LAUNCH=fails_once)
    job.runs_again()
    job.ends(0)
    bench.is_whole(folder / "out")
