#!/usr/bin/env python3
"""One rank of several is killed, or has a call fail, at every stage of a job: start, load, prefill, decode, exchange,
shard, merge, end. All ranks must be gone within 10 s, the rank that failed must have reported its host and the cause, and
rerunning the same command must end with the outputs of an undisturbed run.

    stages.py MOEMILL SOURCE_DIR WORK_DIR --library FILE [--points N] [--seed S]

The points are the rank's MPI calls and its openings of files of the model and the run directory, which
tests/torture/stages.cpp counts: the first and last of each kind of call and file, and N others spread over the run."""
import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
arguments = argparse.ArgumentParser()
arguments.add_argument("--library", required=True)
arguments.add_argument("--points", type=int, default=4)
arguments.add_argument("--most", type=int, default=16, help="points altogether for each number of ranks; 0: all of them")
arguments.add_argument("--seed", type=int, default=1)
options, sys.argv[4:] = arguments.parse_args(sys.argv[4:]), []
from moemill_program import MODELS, PROGRAM, SECONDS, check, differences, expect_exit, fresh, moemill, mpirun_is_stuck, write_prompts  # noqa: E402

HOST = re.escape(socket.gethostname())
END_SECONDS = 10  # seconds; after a rank has died, all of its job must be gone
DOMAINS = {2: "1", 3: "world"}  # by ranks: once each steps for itself, once all together
SLOW = 10  # if an undisturbed job takes long because the machine is busy: a multiple of that time
Point = collections.namedtuple("Point", "number call path")


def prepare():
    folder = fresh("stages")
    shutil.copytree(MODELS / "deepseek_v3", folder / "in/model")
    write_prompts(folder / "p.h5", {"prompt": [f"alpha {'beta ' * (i % 5)}gamma" for i in range(16)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {folder / 'in/model'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        "sampling: {max_tokens: 12, ignore_eos: true}\n"
        f"output: {{dir: {folder / 'in/out'}, shard_prompts: 3, journal_flush_seconds: 0.01}}\n"
        "parallel: {max_num_seqs: 2, ranks_per_node: 2}\n")  # rows are shared in a node and sent between nodes
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole"), 0)
    return folder


def start(folder, ranks, rank, **stage):
    shutil.rmtree(folder / "in/out", ignore_errors=True)
    (folder / "mark").unlink(missing_ok=True)
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       STAGE_DIR=str(folder / "in"), STAGE_RANK=str(rank), STAGE_MARK=str(folder / "mark"),
                       **{f"STAGE_{name}": str(value) for name, value in stage.items()})
    return subprocess.Popen(["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", "--mca",
                             "mpi_yield_when_idle", "1", "-x", f"LD_PRELOAD={options.library}",
                             str(PROGRAM), "run", "-c", str(folder / "run.yaml"), "--set", f"parallel.expert_domain={DOMAINS[ranks]}"],
                            env=environment, stdout=subprocess.DEVNULL, stderr=open(folder / "errors", "w"))


def alive(folder):
    """Processes of the program that work on this run."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit(): continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[0] == str(PROGRAM).encode() and str(folder / "run.yaml").encode() in words: found.append(entry.name)
        except OSError:
            continue
    return found


def points(folder, ranks, rank):
    """The calls of an undisturbed job, and the time within which a job must be gone."""
    begun = time.monotonic()
    log = folder / "calls"
    log.unlink(missing_ok=True)
    check(start(folder, ranks, rank, LOG=log).wait(timeout=SECONDS) == 0, (folder / "errors").read_text())
    found = [Point(int(n), call, path) for n, call, path in (line.split(" ", 2) for line in log.read_text().splitlines())]
    check(len(found) > 100, "too few calls were counted:", len(found))
    return found, max(END_SECONDS, SLOW * (time.monotonic() - begun))


def sample(found, draw):
    first, last = {}, {}
    for point in found:
        kind = point.call, re.sub(r"[0-9a-f]{16}|\d{6}|-\d{5}-of.*", "N", pathlib.Path(point.path).name)
        first.setdefault(kind, point)
        last[kind] = point
    kinds = sorted(set(first.values()) | set(last.values()))
    if options.most == 0: return found
    spread = [found[int((i + draw.random()) / options.points * len(found))] for i in range(options.points)]
    return sorted(set(spread) | set(draw.sample(kinds, min(len(kinds), max(0, options.most - options.points)))))


def what_of(how, point, rank, ranks):
    return f"{how} at call {point.number} ({point.call} {point.path}) of rank {rank} of {ranks}"


def strike(folder, ranks, rank, point, how, end_seconds, tally):
    what = what_of(how, point, rank, ranks)
    job = start(folder, ranks, rank, AT=point.number, DO=how)
    hurry = time.monotonic() + SECONDS
    while not (folder / "mark").exists() and job.poll() is None:
        check(time.monotonic() < hurry, what, "is never reached, and the job hangs")
        time.sleep(0.01)
    begun = time.monotonic()
    if (folder / "mark").exists():
        # The calls of a job on several ranks vary from run to run.
        while not (folder / "mark").read_text().endswith("\n"): time.sleep(0.01)
        struck = (folder / "mark").read_text().split(" ", 2)
        point = Point(int(struck[0]), struck[1], struck[2].rstrip())
        what = what_of(how, point, rank, ranks)
        stuck = False
        while job.poll() is None or alive(folder):
            if time.monotonic() > begun + end_seconds:
                job.kill()
                stuck = not alive(folder) and mpirun_is_stuck((folder / "errors").read_text())
                if stuck: break
                check(False, what, "leaves processes behind", alive(folder), (folder / "errors").read_text())
            time.sleep(0.02)
        job.wait()
        tally["mpirun stuck"] += stuck
        if not stuck: tally["slowest"] = max(tally["slowest"], time.monotonic() - begun)
        tally[how] += 1
        errors = (folder / "errors").read_text()
        # All is done and reported when a rank is at MPI_Finalize.
        if how == "kill" and point.call != "MPI_Finalize":
            check(job.returncode == (-9 if stuck else 137) and re.search(rf"rank {rank} .*on node \S+ exited on signal 9", errors), what,
                  job.returncode, errors)
        if how == "fail" and job.returncode != 0 and point.call != "MPI_Finalize":
            cause = "Input/output error|HDF5" if point.call == "open" else point.call
            # Before the ranks know each other, only mpirun can say which one it was.
            teller = r"system error" if point.call in ("MPI_Init_thread", "MPI_Comm_dup") else rf"rank {rank} on {HOST}"
            # What a user can cure (exit code 2) is reported without a rank if rank 0 finds it.
            if rank == 0 and job.returncode == 2: teller = "error"
            check(re.search(rf"moemill: ((failed|error): )?{teller}: .*({cause})", errors, re.S), what, errors)
            log = folder / "in/out/run.log"  # says the same, whichever rank it was
            told = log.read_text() if log.exists() else ""
            where = "" if teller == "error" else rf"rank {rank} on {HOST}: "
            check(" begins" not in told or re.search(rf"Z error: {where}.*({cause})", told), what, told)
        tally["went on"] += how == "fail" and job.returncode == 0
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    different = differences(folder / "whole/outputs.h5", folder / "in/out/outputs.h5")
    check(not different, "the outputs differ after", what, different)


def main():
    folder, draw = prepare(), random.Random(options.seed)
    tally = collections.Counter()
    for ranks in (2, 3):
        rank = draw.randrange(ranks) if options.most == 0 else ranks - 2
        found, end_seconds = points(folder, ranks, rank)
        first = draw.randrange(2)
        for number, point in enumerate(sample(found, draw)):
            # Both in turn: if drawn, there would now and then be too few of one.
            for how in ("kill", "fail") if options.most == 0 else (("kill", "fail")[(first + number) % 2],):
                strike(folder, ranks, rank, point, how, end_seconds, tally)
    check(tally["kill"] > 5 and tally["fail"] > 5, "too few faults came to pass", tally)
    print(f"{tally['kill']} kills and {tally['fail']} failing calls ({tally['went on']} of them did no harm): all ranks gone "
          f"within {tally['slowest']:.1f} s, every row once and the same bytes after each; mpirun itself was stuck {tally['mpirun stuck']} times")


if __name__ == "__main__":
    main()
