#!/usr/bin/env python3
"""Every script of jobs/ on a real Slurm of this machine: left alone, and with a lost node, a time limit, a preemption, a
requeue, a cancel. Each ends with every row once and the bytes of a run that nobody disturbed.

    slurm_jobs.py MOEMILL SOURCE_DIR WORK_DIR [TEST...]

Exit 77 where there is no Slurm to start."""
import concurrent.futures
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
from moemill_program import (MODELS, PROGRAM, SOURCE, check, differences, expect_exit, fresh, moemill, summary,
                             write_prompts)
from slurm_cluster import ENDED, Cluster, Job, missing_tools, until

SKIPPED = 77
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
MOST_RANKS = min(2, os.cpu_count())  # a node
BESIDE_EACH_OTHER = 6


def write_inputs(path, seed, count):
    """Answers of different lengths, so that shards end one after the other."""
    draw = random.Random(seed)
    return write_prompts(path, {"prompt": [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)],
                                "max_tokens": [draw.randint(2, 60) for _ in range(count)]})


def prepare(name, prompts):
    folder = fresh(name)
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v2_lite'}}}\ninput: {{path: {prompts}}}\n"
        "sampling: {ignore_eos: true, logprobs: 0}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 2, journal_flush_seconds: 0.2}}\n"
        "parallel: {max_num_seqs: 2}\nruntime: {progress_interval: 1}\n")
    return folder


def write_script(path, *lines):
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def without(option, script, folder):
    """A copy of the script that lacks an option: one given beside it could only say something else."""
    bare = folder / f"bare-{script}"
    bare.write_text(re.sub(f"#SBATCH {option}.*\n", "", (SOURCE / "jobs" / script).read_text()))
    return bare


def attempts(run_dir):
    return (run_dir / "attempts.jsonl").read_text().count('"event":"begin"')


class Bench:
    """What the tests share: the cluster, the prompts, and the outputs of a run that nobody disturbed."""

    def __init__(self):
        folder = fresh("undisturbed")
        self.prompts = write_inputs(folder / "prompts.h5", seed=3, count=80)
        self.whole = self.undisturbed(folder, "-c", self.folder("undisturbed-config") / "run.yaml")
        self.cluster = Cluster(nodes=18, cpus=MOST_RANKS)

    @staticmethod
    def undisturbed(folder, *words):
        expect_exit(moemill("run", "-o", folder / "whole", *words, ranks=2), 0)
        return folder / "whole/outputs.h5"

    def job(self, *words, **more):
        return Job(self.cluster, *words, **more)

    def folder(self, name):
        return prepare(name, self.prompts)

    def is_whole(self, run_dir, whole=None):
        expect_exit(moemill("verify", run_dir, "--deep"), 0)
        names = differences(whole or self.whole, run_dir / "outputs.h5")
        check(not names, f"{run_dir} differs in {names}")


SRUN = "srun --mpi=pmix --kill-on-bad-exit=1"


def one_node(bench, nodes):
    """In the run directory that the config names, and in another one when RUN_DIR says so."""
    folder = bench.folder("one_node")
    job = bench.job("one-node.sbatch", folder, nodes, per_node=MOST_RANKS, RUN_DIR="").ends(0)
    check(",mem=4000M," in job.facts()["TRES"], "not all of the node's memory:", job.facts())
    bench.is_whole(folder / "out")
    bench.job("one-node.sbatch", folder, nodes, per_node=MOST_RANKS, run_dir=folder / "wanted").ends(0)
    bench.is_whole(folder / "wanted")


def on_three_nodes(bench, nodes, script):
    folder = bench.folder(script)
    job = bench.job(script, folder, nodes, per_node=MOST_RANKS, run_dir=folder / "wanted").ends(0)
    check(f"{3 * MOST_RANKS} ranks on 3 nodes" in job.text(), job.tell())
    check(not (folder / "out").exists(), "RUN_DIR did not overrule the config")
    bench.is_whole(folder / "wanted")


def srun_on_three_nodes(bench, nodes):
    on_three_nodes(bench, nodes, "nodes-srun.sbatch")


def mpirun_on_three_nodes(bench, nodes):
    on_three_nodes(bench, nodes, "nodes-mpirun.sbatch")


def srun_without_pmix(bench, nodes):
    """Every rank would believe to be alone, and all would write the same files."""
    folder = bench.folder("no-pmix")
    for kind in ("none", "pmi2"):
        done = bench.cluster.run("srun", f"--mpi={kind}", "-w", ",".join(nodes), "-N", len(nodes), PROGRAM, "run", "-c",
                                 folder / "run.yaml")
        check(done.returncode == 2 and "use srun --mpi=pmix" in done.stderr, kind, done.returncode, done.stderr)
    check(not (folder / "out").exists(), "it made a run directory")


def srun_that_fails(bench, nodes):
    """Without a run directory there is nothing to ask: srun's code stays, but for a 0."""
    folder = bench.folder("srun-fails")
    for said, code in ((9, 9), (0, 1)):
        broken = write_script(folder / "bin/srun", f"exit {said}").parent
        path = f"{broken}:{bench.cluster.environment['PATH']}"
        bench.job("nodes-srun.sbatch", folder, nodes, "--cpus-per-task=1", PATH=path).ends(code)


def array(bench, nodes):
    """A run an input, also without a newline behind the last; the same array again passes over what is done."""
    folder = bench.folder("array")
    names = ["first", "second"]
    for seed, name in enumerate(names): write_inputs(folder / f"{name}.h5", seed, count=10)
    (folder / "inputs.txt").write_text("\n".join(f"{folder / name}.h5" for name in names))
    advised = re.search(r"sbatch (--array=\S+.*\S+) array.sbatch", (SOURCE / "jobs/array.sbatch").read_text())[1]
    advised = subprocess.check_output(["bash", "-c", f"echo {advised}"], cwd=folder, text=True).strip()
    check(advised == "--array=1-2%4", "the script's advice for two lines gives", advised)
    for attempt in ("done", "nothing to do"):
        logs = [folder / f"{attempt[:4]}-{task}.log" for task in (1, 2, 3)]
        job = bench.job("array.sbatch", folder, nodes, "--array=1-3", "--mem=100", "-o", folder / f"{attempt[:4]}-%a.log",
                        RUNS=folder / "runs")
        def states():
            lines = bench.cluster.must("squeue", "-h", "-t", "all", "-r", "-j", job.id, "-o", "%K %T").splitlines()
            return sorted(lines) if all(line.split()[1] in ENDED for line in lines) else None
        got = until(states, "the end of the array")
        first, second, third = (log.read_text() for log in logs)
        check(got == ["1 COMPLETED", "2 COMPLETED", "3 FAILED"], got, first, second, third)
        check("has no line 3" in third and attempt in first, first, third)
    for name in names:
        whole = bench.undisturbed(fresh(f"array-{name}"), "-c", folder / "run.yaml", "-i", folder / f"{name}.h5")
        bench.is_whole(folder / "runs" / name, whole)
    job = bench.job("array.sbatch", folder, nodes, RUNS=folder / "none").ends(2)
    check("this job is no array" in job.text(), job.tell())


def end_time(bench, nodes):
    """What the program hears of the job's end: what is there already, what Slurm says to a user of any time format and
    to each task of an array, and nothing from a Slurm that does not answer."""
    folder = bench.folder("end-time")
    (folder / "inputs.txt").write_text("first.h5\nsecond.h5\n")
    program = write_script(folder / "moemill", '[ "$1" = run ] || exit 0', "sleep 1",  # beside each other
                           'mkdir -p "$RUN_DIR" && touch "$RUN_DIR/run.json"',
                           'echo "the end: ${SLURM_JOB_END_TIME-unknown}."')
    silent = write_script(folder / "bin/squeue", "exit 1").parent
    cases = {"asked": {"SLURM_TIME_FORMAT": "relative"}, "known": {"SLURM_JOB_END_TIME": 4000000000},
             "silent": {"PATH": f"{silent}:{bench.cluster.environment['PATH']}"}}
    ends = {"known": 4000000000, "silent": "unknown"}
    tasks = []
    for case, variables in cases.items():
        for script in sorted((SOURCE / "jobs").glob("*.sbatch")):
            log = f"{folder}/{case}-{script.stem}"
            job = bench.job(script, folder, nodes, "--array=1-2", f"-o{log}-%a.log", "--cpus-per-task=1", "--mem=100",
                            "--gpus-per-node=1", MOEMILL=program, **variables)
            tasks += [(case, job, f"{job.id}_{task}", pathlib.Path(f"{log}-{task}.log")) for task in (1, 2)]
    for case, job, job.id, job.log in tasks:
        job.ends(0)
        want = f"the end: {ends.get(case, int(job.started()) + 30 * 60)}."
        check(want in job.text(), f"{job.log.name}: not '{want}' but", job.tell())


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
    """The script lives, sees mpirun fail, and goes back into the queue."""
    folder, job = lost_node(bench, nodes, "mpirun", lost=2)
    job.says("back into the queue")
    comes_back(bench, job, nodes[2], folder)


def lost_node_under_srun(bench, nodes):
    folder, job = lost_node(bench, nodes, SRUN, lost=2)
    comes_back(bench, job, nodes[2], folder)


def lost_node_of_the_script(bench, nodes):
    """Nothing of the job is left that could act: Slurm puts it back by itself."""
    folder, job = lost_node(bench, nodes, "mpirun", lost=0)
    comes_back(bench, job, nodes[0], folder)


def time_limit(bench, nodes, launch):
    """Slurm's signal comes, the script hands it on, the ranks save and leave. The limit becomes one minute while they
    stand still: Slurm looks at limits every 30 s from its own start, and could else signal a job that just begins."""
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
    """nodes-srun.sbatch: 75 comes through srun; the same script again goes on. As above, the limit comes later."""
    folder = bench.folder("limit-ranks")
    job = bench.job("nodes-srun.sbatch", folder, nodes).stands_still_at_work()
    job.set_limit(1)
    job.ends(75, "FAILED")  # Slurm wakes whom it signals
    check("SIGUSR1" in job.text(), job.tell())
    bench.job("nodes-srun.sbatch", folder, nodes).ends(0)
    bench.is_whole(folder / "out")


def time_limit_by_the_clock(bench, nodes):
    """No signal asked for: the program knows the job's end from SLURM_JOB_END_TIME."""
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
    """Also a chain: it does not come back by itself, and a new one goes on."""
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
    """Two jobs in one run directory: the second is refused, the first does not notice. A singleton waits for it."""
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
    """USR1 by hand and the stop file: 75, and no chain goes on by itself after the latter."""
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


def chain_knows_when_to_end(bench, nodes):
    """Not after what another try does not cure, and not for ever."""
    folder = bench.folder("ends")
    job = bench.job("chain.sbatch", folder, nodes, TRIES=2).stands_still_at_work()
    for attempt in range(2):
        os.kill(job.ranks()[0], signal.SIGKILL)  # mpirun says 137, the run directory 75
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
    """What an earlier attempt left in the run directory is not this one's code: three failures are the end, also of a
    launcher that says 0; one is none."""
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


# With the nodes that each needs; what waits longest comes first.
TESTS = [(time_limit_by_the_clock, 1), (time_limit_under_mpirun, 2), (time_limit_under_srun, 2),
         (time_limit_straight_to_the_ranks, 2), (lost_node_under_mpirun, 3), (lost_node_under_srun, 3),
         (lost_node_of_the_script, 2), (preempted_with_grace, 2), (preempted_at_once, 2), (chain_knows_when_to_end, 1),
         (chain_whose_launcher_fails, 1), (chain_asked_to_stop_in_the_queue, 1), (end_time, 1),
         (requeued, 3), (cancelled, 2), (twice_at_once, 4), (asked_to_stop, 1), (array, 2),
         (srun_without_pmix, 2), (srun_that_fails, 1), (mpirun_on_three_nodes, 3), (srun_on_three_nodes, 3), (one_node, 1)]


def run_one(bench, test, count):
    """Whether it holds."""
    began = time.monotonic()
    try:
        nodes = bench.cluster.take(count)
        began = time.monotonic()
        test(bench, nodes)
        fault = None
    except Exception as thrown:
        fault = thrown
    seconds = f"({time.monotonic() - began:.0f} s)"
    print(f"FAILED  {test.__name__} {seconds}: {fault}" if fault else f"ok      {test.__name__} {seconds}", flush=True)
    if not fault: bench.cluster.give_back(nodes)  # after a fault they may be down or busy
    return fault is None


def main():
    absent = missing_tools()
    if absent:
        print(f"SKIPPED slurm_jobs: not installed: {', '.join(absent)}; `scripts/setup.sh test` installs them")
        sys.exit(SKIPPED)
    wanted = [test for test in TESTS if not sys.argv[4:] or test[0].__name__ in sys.argv[4:]]
    bench = Bench()
    with concurrent.futures.ThreadPoolExecutor(BESIDE_EACH_OTHER) as workers:
        held = list(workers.map(lambda test: run_one(bench, *test), wanted))
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__": main()
