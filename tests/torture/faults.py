#!/usr/bin/env python3
"""Every call by which a run changes its directory fails in turn, and the process is killed at every one of them, before
it and in the middle of it; the same command must then end with the outputs of an undisturbed run.

    faults.py MOEMILL SOURCE_DIR WORK_DIR [--library FILE] [--all] [--seed S]

Without --all a sample of the calls is taken: the first or last of each kind of call on each kind of file (of some kinds
where a job drains or has two ranks), and some others by the seed. The calls are counted by tests/torture/faults.cpp."""
import argparse
import collections
import errno
import os
import pathlib
import random
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
arguments = argparse.ArgumentParser()
arguments.add_argument("--library")
arguments.add_argument("--all", action="store_true")
arguments.add_argument("--seed", type=int, default=1)
options, sys.argv[4:] = arguments.parse_args(sys.argv[4:]), []
from moemill_program import MODELS, SECONDS, WORK, check, differences, expect_exit, fresh, moemill, write_prompts  # noqa: E402

ERRORS = {"write": (errno.EIO, errno.ENOSPC, errno.EDQUOT), "fsync": (errno.EIO,), "close": (errno.EIO,),
          "rename": (errno.EACCES,), "link": (errno.EACCES, errno.EPERM), "open": (errno.EACCES, errno.EROFS),
          "unlink": (errno.EACCES,), "mkdir": (errno.EROFS,), "ftruncate": (errno.EIO,)}


def prepare(name):
    folder = fresh(name)
    draw = random.Random(7)
    words = "alpha beta gamma delta epsilon zeta".split()
    write_prompts(folder / "p.h5", {"prompt": [" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(12)],
                                    "n": [1 + i % 2 for i in range(12)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        "sampling: {max_tokens: 60, ignore_eos: true, prompt_logprobs: true}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 5, journal_flush_seconds: 0.01}}\n"
        "parallel: {max_num_seqs: 4}\nruntime: {progress_interval: 0.05}\n")
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole"), 0)
    return folder


def run(folder, faults=None, ranks=0, drain=0):
    environment = {}
    if faults is not None:
        environment = {"FAULT_DIR": str(folder / "out"), "LD_PRELOAD": options.library, "FAULT_DRAIN": str(drain),
                       **{f"FAULT_{name}": str(value) for name, value in faults.items()}}
    return moemill("run", "-c", folder / "run.yaml", ranks=ranks, env=environment, seconds=SECONDS)


class Point(collections.namedtuple("Point", "number call path")):
    def kind(self):
        """The call and the kind of file: shard numbers are all one."""
        return self.call, re.sub(r"[0-9a-f]{32}|[0-9a-f]{16}|\d{6}", "N", pathlib.Path(self.path).name)

    def must_work(self):
        """Rows hang on it, or what says whose they are: no job may pass over its failure."""
        name = pathlib.Path(self.path).name
        return self.call in ("write", "fsync", "rename", "ftruncate", "mkdir") and name.startswith(
            ("shard-", "outputs.h5", "run.json", "config.yaml", "attempts.jsonl", "summary.json", "journal", "shards"))


def run_and_count(folder, faults, ranks, drain):
    """What became of a run, and the calls of its rank 0 (or the one process)."""
    log = folder / "calls.log"
    log.unlink(missing_ok=True)
    done = run(folder, {"LOG": log, "RANK": 0, **faults}, ranks, drain)
    lines = log.read_text().splitlines() if log.exists() else []
    return done, [Point(int(number), call, path) for number, call, path in (line.split(" ", 2) for line in lines)]


def points(folder, ranks, drain):
    found = run_and_count(folder, {}, ranks, drain)[1]
    check(len(found) > drain + 10, "too few calls were counted:", len(found))
    return found


def sample(found, draw, kinds, few):
    if options.all: return found
    first, last = {}, {}
    for p in found:
        first.setdefault(p.kind(), p)
        last[p.kind()] = p
    kept = set(draw.sample(found, min(few, len(found))))
    kept |= {draw.choice((first[kind], last[kind])) for kind in draw.sample(sorted(first), min(kinds, len(first)))}
    return sorted(kept)


def remove_run(folder):
    for path in sorted((folder / "out").rglob("*"), reverse=True) if (folder / "out").exists() else []:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def resumes(folder, draw, what):
    """Any number of ranks; every row once and the same bytes."""
    expect_exit(run(folder, ranks=draw.choice((0, 0, 0, 2, 3))), 0)
    different = differences(folder / "whole/outputs.h5", folder / "out/outputs.h5")
    check(not different, "the outputs differ after", what, different)
    check(not list((folder / "out").rglob("*.tmp")), "a temporary file stayed after", what)
    check(not list((folder / "out/journal").iterdir()), "a journal stayed after", what)


def kill_at(folder, point, how, ranks, draw, drain):
    what = (how, *point)
    done = run(folder, {"AT": point.number, "DO": how, "RANK": 0}, ranks, drain)
    # The number of calls hangs on the clock a little (journal flushes, metrics): the last ones may not be reached.
    check(done.returncode in (-signal.SIGKILL, 0, 75) or ranks > 0, what, done.returncode, done.stderr)
    resumes(folder, draw, what)
    return done.returncode not in (0, 75)


def fail_at(folder, point, error, ranks, draw, drain):
    """The job ends with 1 and names what failed. It may do without what only tells, and tidies up."""
    what = ("fail", errno.errorcode[error], *point)
    done, calls = run_and_count(folder, {"AT": point.number, "DO": "fail", "ERRNO": error}, ranks, drain)
    failed = [p for p in calls if p.number >= point.number and p.call == point.call and p.must_work()]
    check(done.returncode == 1 if failed else done.returncode in (0, 1, 75), what, done.returncode, failed[:3], done.stderr)
    if done.returncode == 1: check(os.strerror(error) in done.stderr or "HDF5" in done.stderr, what, done.stderr)
    if done.returncode == 1 and error == errno.EDQUOT and "HDF5" not in done.stderr:
        check("the quota is used up: make room" in done.stderr, what, done.stderr)
    check("AddressSanitizer" not in done.stderr and "terminate called" not in done.stderr, what, done.stderr)
    resumes(folder, draw, what)


def torture(name, ranks, kinds, few, drain=0):
    folder = prepare(name)
    draw = random.Random(options.seed)
    tally = collections.Counter()
    # Counted anew when many of the calls were not reached: a job that a busy machine has held up makes more of them.
    for _ in range(5):
        found = strike(folder, draw, ranks, kinds, few, drain, tally)
        if tally["kill"] + tally["torn"] >= 6: break
    expect_exit(moemill("verify", folder / "out", "--deep"), 0)
    check(tally["kill"] + tally["torn"] >= 6, "too few of the kills came to pass", tally)
    print(f"{name}: {found} calls counted; {tally['kill']} kills before a call, {tally['torn']} within one, "
          f"{tally['fail']} calls failed: every row once and the same bytes after each", flush=True)


def strike(folder, draw, ranks, kinds, few, drain, tally):
    """At a sample of the calls of a run, or at all; how many they are."""
    remove_run(folder)
    found = points(folder, ranks, drain)
    for point in sample(found, draw, kinds, few):
        for how in ("kill", "torn"):
            remove_run(folder)
            killed = kill_at(folder, point, how, ranks, draw, drain)
            tally[how] += killed
        errors = ERRORS[point.call]
        for error in errors if options.all else (draw.choice(errors),):
            remove_run(folder)
            fail_at(folder, point, error, ranks, draw, drain)
            tally["fail"] += 1
    return len(found)


def main():
    torture("one process", 0, 99, 4)
    torture("drained", 0, 8, 4, drain=40)  # stops early: samples in flight go to the journals
    torture("two ranks", 2, 4, 2)


if __name__ == "__main__":
    main()
