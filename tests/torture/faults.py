#!/usr/bin/env python3
"""Every call by which a run changes its directory fails in turn, and the process is killed before and in the middle of every
such call. Rerunning the same command must then end with the outputs of an undisturbed run.

    faults.py MOEMILL SOURCE_DIR WORK_DIR [--library FILE] [--all] [--seed S]

Without --all a sample of the calls is used: the first or last of each kind of call on each kind of file (fewer kinds if a
job drains or has two ranks), and some others chosen by the seed. tests/torture/faults.cpp counts the calls."""
import argparse
import collections
import errno
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
arguments = argparse.ArgumentParser()
arguments.add_argument("--library")
arguments.add_argument("--all", action="store_true")
arguments.add_argument("--seed", type=int, default=1)
options, sys.argv[4:] = arguments.parse_args(sys.argv[4:]), []
from moemill_program import MODELS, SECONDS, check, differences, expect_exit, fresh, moemill, write_prompts  # noqa: E402

ERRORS = {"write": (errno.EIO, errno.ENOSPC, errno.EDQUOT), "fsync": (errno.EIO,), "close": (errno.EIO,),
          "rename": (errno.EACCES,), "link": (errno.EACCES, errno.EPERM), "open": (errno.EACCES, errno.EROFS),
          "unlink": (errno.EACCES,), "mkdir": (errno.EROFS,), "ftruncate": (errno.EIO,)}


def prepare(name, *settings):
    """A job, and in whole/ the result of an undisturbed run with these settings. A prompt is too long for 40 tokens."""
    folder = fresh(name)
    draw = random.Random(7)
    words = "alpha beta gamma delta epsilon zeta".split()
    prompts = [" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(12)]
    write_prompts(folder / "p.h5", {"prompt": prompts[1:] + [" ".join(words * 4)],
                                    "n": [1 + i % 2 for i in range(12)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        "sampling: {max_tokens: 30, ignore_eos: true, prompt_logprobs: true}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 5, journal_flush_seconds: 0.01}}\n"
        "errors: {max_failed_fraction: 1}\nparallel: {max_num_seqs: 4}\nruntime: {progress_interval: 0.05}\n")
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole", *settings), 0)
    return folder


def run(folder, faults=None, ranks=0, drain=0, options_of_run=()):
    environment = {}
    if faults is not None:
        environment = {"FAULT_DIR": str(folder / "out"), "LD_PRELOAD": options.library, "FAULT_DRAIN": str(drain),
                       **{f"FAULT_{name}": str(value) for name, value in faults.items()}}
    return moemill("run", "-c", folder / "run.yaml", *options_of_run, ranks=ranks, env=environment, seconds=SECONDS)


class Point(collections.namedtuple("Point", "number call path")):
    def kind(self):
        """The call and the kind of file: all shard numbers are the same kind."""
        return self.call, re.sub(r"[0-9a-f]{32}|[0-9a-f]{16}|\d{6}", "N", pathlib.Path(self.path).name)

    def must_work(self):
        """Rows depend on it, or it identifies them: no job may ignore its failure."""
        name = pathlib.Path(self.path).name
        return self.call in ("write", "fsync", "rename", "ftruncate", "mkdir") and name.startswith(
            ("shard-", "outputs.h5", "run.json", "config.yaml", "summary.json", "journal", "shards"))


def run_and_count(folder, faults, ranks, drain, options_of_run=()):
    """The state of a run, and the calls of its rank 0 (or its only process)."""
    log = folder / "calls.log"
    log.unlink(missing_ok=True)
    done = run(folder, {"LOG": log, "RANK": 0, **faults}, ranks, drain, options_of_run)
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


def resumes(folder, draw, what, options_of_run=()):
    """By the same command, with any number of ranks; every row once and the same bytes."""
    expect_exit(run(folder, ranks=draw.choice((0, 0, 0, 2, 3)), options_of_run=options_of_run), 0)
    different = differences(folder / "whole/outputs.h5", folder / "out/outputs.h5")
    check(not different, "the outputs differ after", what, different)
    check(not list((folder / "out").rglob("*.tmp")), "a temporary file stayed after", what)
    for kind in ("journal", "shards"): check(not list((folder / "out" / kind).iterdir()), "a", kind, "stayed after", what)


def kill_at(folder, point, how, ranks, draw, drain):
    what = (how, *point)
    done = run(folder, {"AT": point.number, "DO": how, "RANK": 0}, ranks, drain)
    # The number of calls depends slightly on the clock (journal flushes, metrics): the last ones may not be reached.
    check(done.returncode in (-signal.SIGKILL, 0, 75) or ranks > 0, what, done.returncode, done.stderr)
    # Its end is recorded before the shards are removed: reading a large outputs.h5 back takes longer than a time limit leaves.
    manifest = folder / "out/run.json"
    if manifest.exists() and json.loads(manifest.read_text())["shards_removed"]:
        check((folder / "out/summary.json").exists() and status_code(folder) == 0, what, "shards go, and the run is not done")
    resumes(folder, draw, what)
    return done.returncode not in (0, 75)


def fail_at(folder, point, error, ranks, draw, drain, how="fail"):
    """The job ends with 1 and names the failed call. It may do without files that only report, and without tidying up."""
    what = (how, errno.errorcode[error], *point)
    done, calls = run_and_count(folder, {"AT": point.number, "DO": how, "ERRNO": error}, ranks, drain)
    failed = [p for p in calls if p.call == point.call and p.must_work() and
              (p.number >= point.number if how == "fail" else p.number == point.number)]
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
    # Counted again if many of the calls were not reached: a job that a busy machine has delayed makes more of them.
    for _ in range(5):
        found = strike(folder, draw, ranks, kinds, few, drain, tally)
        if tally["kill"] + tally["torn"] >= 6: break
    expect_exit(moemill("verify", folder / "out", "--deep"), 0)
    check(tally["kill"] + tally["torn"] >= 6, "too few of the kills came to pass", tally)
    print(f"{name}: {found} calls counted; {tally['kill']} kills before a call, {tally['torn']} within one, "
          f"{tally['fail']} calls failed: every row once and the same bytes after each", flush=True)


def fail_once():
    """Space is free again a moment later, or a file server was away: one call fails and all later ones work. By default the writes of a
    shard and of outputs.h5, each by itself, because HDF5 can lose rows there. With --all, all calls."""
    folder = prepare("one failure")
    draw = random.Random(options.seed)
    found = points(folder, 0, 0)
    if not options.all:
        written = [p for p in found if p.call == "write" and ".h5" in p.path]
        shard = min(p.path for p in written if "/shard-" in p.path)
        found = [p for p in written if p.path == shard or "/outputs.h5" in p.path]
        check(len(found) > 40, "too few writes were counted", len(found))
    for point in found:
        for error in ERRORS[point.call] if options.all else (draw.choice(ERRORS[point.call]),):
            remove_run(folder)
            fail_at(folder, point, error, 0, draw, 0, "fail_once")
    expect_exit(moemill("verify", folder / "out", "--deep"), 0)
    print(f"one failure: {len(found)} calls failed while all later ones worked: every row once and the same bytes after each",
          flush=True)


def status_code(folder):
    return moemill("status", folder / "out", "--exit-code").returncode


def drained_at_the_end():
    """Asked to stop when all rows are on disk, or nearly: 0 only with outputs.h5, otherwise 75, and the run reports the same."""
    folder = prepare("drained at the end")
    draw = random.Random(options.seed)
    codes = collections.Counter()
    for _ in range(5):  # counted again if all came too late: a job that a busy machine has delayed makes more calls
        if codes[75] > 0: break
        remove_run(folder)
        found = points(folder, 0, 0)
        last_shard = max(p.number for p in found if p.call == "rename" and "/shard-" in p.path)
        late = [p for p in found if p.number >= last_shard]
        for point in late if options.all else [late[0], *draw.sample(late, 5)]:
            remove_run(folder)
            done = run(folder, {"RANK": 0}, 0, point.number)
            codes[done.returncode] += 1
            check(done.returncode in (0, 75), point, done.returncode, done.stderr)
            check(done.returncode == 75 or (folder / "out/outputs.h5").exists(), point, "ended with 0 and without outputs.h5")
            check(status_code(folder) == done.returncode, point, "status says another code than", done.returncode)
            resumes(folder, draw, point)
        remove_run(folder)  # and if only the shards are wanted
        done = run(folder, {"RANK": 0}, 0, last_shard, ["--set", "output.merge=false"])
        finished = len(list((folder / "out/shards").glob("shard-??????.h5")))
        check(done.returncode == (0 if finished == 3 else 75), finished, "shards of 3, but", done.returncode, done.stderr)
        resumes(folder, draw, "without a merged file")
    check(codes[75] > 0, "never stopped", codes)
    print(f"drained at the end: {codes[75]} times stopped, {codes[0]} times done", flush=True)


def taken_away(option, before, after, every=6):
    """Killed while --retry-failed, --extend or --overwrite removes rows: the run no longer reports that it is done. It was made with
    different settings before."""
    folder = prepare("taken away", *after)
    draw = random.Random(options.seed)
    expect_exit(run(folder, options_of_run=before), 0)
    shutil.copytree(folder / "out", folder / "finished")
    command = [option, *after]
    done, found = run_and_count(folder, {}, 0, 0, command)
    expect_exit(done, 0)
    calls, unsure = len(found), 0
    for number in range(1, calls + 1) if options.all else range(1, calls * 2 // 3, every):
        shutil.rmtree(folder / "out")
        shutil.copytree(folder / "finished", folder / "out")
        run(folder, {"AT": number, "DO": "kill", "RANK": 0}, options_of_run=command)
        code = status_code(folder)
        whole = (folder / "out/outputs.h5").exists() and (folder / "out/run.json").exists()
        check(code in (0, 75) if whole else code in (75, 2), option, number, code)  # 2: there is no run
        unsure += not whole
        resumes(folder, draw, (option, number), command)
    check(unsure > 2, "the kills came too early or too late to be seen", option, unsure)
    print(f"{option} {' '.join(before)}: killed at some of {calls} calls, {unsure} times without outputs.h5: status did not say done", flush=True)


def strike(folder, draw, ranks, kinds, few, drain, tally):
    """At a sample of the calls of a run, or at all of them; returns their number."""
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
    fail_once()
    drained_at_the_end()
    taken_away("--retry-failed", ["--set", "model.max_model_len=40"], [])
    taken_away("--overwrite", [], [])
    smaller = ["--limit", "9", "--set", "sampling.max_tokens=20"]
    taken_away("--extend", [*smaller, "--set", "output.keep_shards=true"], [], every=12)
    taken_away("--extend", smaller, [], every=12)  # outputs.h5 alone has the rows
    torture("one process", 0, 99, 4)
    torture("drained", 0, 8, 4, drain=40)  # stops early: samples in flight go to the journals
    torture("two ranks", 2, 4, 2)


if __name__ == "__main__":
    main()
