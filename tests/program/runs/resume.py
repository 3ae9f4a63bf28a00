#!/usr/bin/env python3
"""Rerunning the same command: after the end, after kills and drains, with failed rows.

    resume.py MOEMILL SOURCE_DIR WORK_DIR [test names]

full_disk_when_shards_end_together runs only if it is named: it is a separate test, because not every machine supports it."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import (MODELS, PROGRAM, SECONDS, Skipped, check, command, differences, environment, expect_exit, fresh,  # noqa: E402
                             main, moemill, rows, start, summary, write_prompts)

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()


def prepare(name, count=60, max_tokens=40):
    folder = fresh(name)
    draw = random.Random(3)
    write_prompts(folder / "p.h5", {"prompt": [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)],
                                    "n": [1 + i % 2 for i in range(count)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        f"sampling: {{max_tokens: {max_tokens}, ignore_eos: true, logprobs: 1, prompt_logprobs: true}}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 8, journal_flush_seconds: 0.05, keep_shards: true}}\n"
        "parallel: {max_num_seqs: 6}\n")
    return folder


def reference(folder):
    """The outputs of an undisturbed run."""
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole"), 0)
    return folder / "whole/outputs.h5"


def nothing_to_do():
    folder = prepare("again", count=6, max_tokens=4)
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=2), 0)
    before = (folder / "out/outputs.h5").stat().st_mtime_ns
    for ranks in (0, 3):
        done = expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=ranks), 0)
        check("nothing to do" in done.stderr, done.stderr)
    check((folder / "out/outputs.h5").stat().st_mtime_ns == before, "outputs.h5 was written again")
    check(summary(folder / "out")["attempts"] == 1)


def size(path):
    """0 if it does not exist: a journal is removed when its shard is complete."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def wait_for_rows(folder, process, wanted):
    """Waits until this many shards are finished and other rows are in journals. Returns False if the job ends before."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if process.poll() is not None: return False
        journals = list((folder / "out/journal").glob("*.journal")) if (folder / "out/journal").exists() else []
        shards = list((folder / "out/shards").glob("*.h5")) if (folder / "out/shards").exists() else []
        if len(shards) >= wanted and any(size(j) > 200 for j in journals): return True
        time.sleep(0.01)
    raise AssertionError(f"not so many rows within {SECONDS} s")


def halt(folder):
    """Suspends the process that holds the run directory, so that even on a slow machine the job exists until it is resumed."""
    holder = json.loads((folder / "out/run.lock").read_text())["process"]
    os.kill(holder, signal.SIGSTOP)
    return holder


def taken(pid, number):
    """Waits until the process has taken the signal, because two pending signals of a kind count as one."""
    end = time.monotonic() + SECONDS
    def pending(): return int(re.search(r"ShdPnd:\s*(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1], 16) >> (number - 1) & 1
    while pending():
        check(time.monotonic() < end, "signal", number, "is not taken")
        time.sleep(0.01)


def killed_and_resumed_by_other_ranks():
    folder = prepare("killed", count=200, max_tokens=400)
    whole = reference(folder)
    process = start(folder, 0)
    check(wait_for_rows(folder, process, 1), "the job was over before it could be killed")
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = moemill("status", folder / "out", "--exit-code")
    check(done.returncode == 75 and "killed" in done.stdout, done.stdout)
    expect_exit(moemill("run", "-c", folder / "run.yaml", "--set", "sampling.seed=9"), 2)  # holds the lock for a moment
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=2), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))
    s = summary(folder / "out")
    check(s["attempts"] == 2, s)
    lines = [json.loads(l) for l in (folder / "out/attempts.jsonl").read_text().splitlines()]
    check([(l["attempt"], l["event"]) for l in lines] == [(1, "begin"), (1, "killed"), (2, "begin"), (2, "end")], lines)
    check(lines[0]["time"] <= lines[1]["last_sign_of_life"] <= lines[2]["time"], lines)
    expect_exit(moemill("verify", folder / "out", "--deep"), 0)


def drained_by_signal_and_by_stop_file():
    folder = prepare("drained", count=200, max_tokens=400)
    whole = reference(folder)
    def shards(): return len(list((folder / "out/shards").glob("*.h5")))
    for name in ("SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT"):
        process = start(folder, 0)
        check(wait_for_rows(folder, process, shards() + 1), "the job was over before it could be stopped")
        process.send_signal(signal.Signals[name])
        errors = process.communicate(timeout=SECONDS)[1]
        check(process.returncode == 75 and f"stopping early because of {name};" in errors, process.returncode, errors)
        expect_exit(moemill("status", folder / "out", "--exit-code"), 75)
    process = start(folder, 2)
    check(wait_for_rows(folder, process, shards() + 1), "the job was over before it could be stopped")
    (folder / "out/stop").touch()
    errors = process.communicate(timeout=SECONDS)[1]
    check(process.returncode == 75, process.returncode, errors)
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=3), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))
    s = summary(folder / "out")
    check(s["attempts"] == 6 and 0 < s["resumed_rows"] < s["completions"], s)
    # Drained attempts count too, and nothing is generated twice: partial samples are continued.
    made = rows(folder / "out/outputs.h5")
    check(s["generated_tokens"] == sum(int(r["num_completion_tokens"]) for r in made), s)


def time_limit():
    folder = prepare("limit", count=150, max_tokens=200)
    done = moemill("run", "-c", folder / "run.yaml", "--set", "runtime.max_wall_time=0.5", "--set", "runtime.drain_margin=0",
                   ranks=2)
    check(done.returncode == 75, done.returncode, done.stderr)
    check("time limit" in done.stderr, done.stderr)


def asked_to_stop_before_the_first_row():
    """The file that stopped the last job is removed; a file that is created while the next job begins is not."""
    folder = prepare("stop_file", count=4, max_tokens=4)
    whole = reference(folder)
    def check_outputs(): check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))
    (folder / "out").mkdir()
    (folder / "out/stop").touch()
    done = expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=2), 0)
    check("out/stop: has stopped an earlier job and is removed" in done.stderr, done.stderr)
    check(not (folder / "out/stop").exists())
    check_outputs()
    shutil.rmtree(folder / "out")
    # Another job seems to have held the directory a moment ago: the next job watches for a while, and is asked to stop during that time.
    (folder / "out").mkdir()
    (folder / "out/run.lock").write_text("process 12 on node7\n")
    process = start(folder)
    end = time.monotonic() + SECONDS
    while not list((folder / "out").glob("run.lock.*")) and time.monotonic() < end: time.sleep(0.01)
    (folder / "out/stop").touch()
    errors = process.communicate(timeout=SECONDS)[1]
    check(process.returncode == 75 and "the stop file" in errors, process.returncode, errors)
    check((folder / "out/stop").exists() and not (folder / "out/run.json").exists())
    shutil.rmtree(folder / "out")
    # A file that is not empty is not a request to stop.
    (folder / "out").mkdir()
    shutil.copy(folder / "p.h5", folder / "out/mine.h5")
    done = expect_exit(moemill("run", "-c", folder / "run.yaml", "--set", "runtime.stop_file=mine.h5"), 2)
    check("out/mine.h5 exists" in done.stderr and (folder / "out/mine.h5").exists(), done.stderr)
    done = expect_exit(moemill("run", "-c", folder / "run.yaml", "--set", f"runtime.stop_file={folder / 'p.h5'}"), 75)
    check("outside the run directory: remove it" in done.stderr and (folder / "p.h5").exists(), done.stderr)
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    check_outputs()


def failed_rows_again():
    folder = fresh("failed")
    long = " ".join(WORDS * 3)
    write_prompts(folder / "p.h5", {"prompt": ["a b c", long, "d", "e f", long], "n": [2, 1, 1, 2, 1]})
    words = ["run", "--model", MODELS / "deepseek_v3", "-i", folder / "p.h5", "--set",
             "sampling.max_tokens=6", "--set", "output.shard_prompts=2", "--set", "sampling.prompt_logprobs=true"]
    expect_exit(moemill(*words, "-o", folder / "whole"), 0)
    words += ["-o", folder / "out"]
    expect_exit(moemill(*words, "--set", "model.max_model_len=24"), 3)
    expect_exit(moemill(*words, "--retry-failed", ranks=2), 0)
    check(not differences(folder / "whole/outputs.h5", folder / "out/outputs.h5"), differences(folder / "whole/outputs.h5", folder / "out/outputs.h5"))
    s = summary(folder / "out")
    check(s["attempts"] == 2 and s["resumed_rows"] == 5 and s["prompts_failed"] == 0, s)
    expect_exit(moemill(*words), 0)


def refused_overwrite_keeps_the_run():
    folder = prepare("kept", count=4, max_tokens=4)
    words = ["run", "-c", folder / "run.yaml", "--overwrite"]
    expect_exit(moemill(*words), 0)
    kept = (folder / "out/outputs.h5").read_bytes()
    def still_there(done):
        expect_exit(done, 2)
        check((folder / "out/outputs.h5").read_bytes() == kept and (folder / "out/run.json").exists(), "the old run is gone")
    still_there(moemill(*words, "--resume", "always"))
    still_there(moemill(*words, "--retry-failed"))
    write_prompts(folder / "p.h5", {"prompt": ["a", "b"], "id": ["same", "same"]})
    still_there(moemill(*words, ranks=2))
    write_prompts(folder / "p.h5", {"prompt": ["a", "b"], "n": [1, 0]})
    still_there(moemill(*words))
    write_prompts(folder / "p.h5", {"prompt": ["a", "b"]})
    expect_exit(moemill(*words), 0)
    check(len(rows(folder / "out/outputs.h5")) == 2)


def full_disk_when_shards_end_together():
    folder = prepare("full", count=200, max_tokens=50)
    settings = [word for key in ("output.shard_prompts=4", "parallel.max_num_seqs=256", "output.journal_flush_seconds=1000",
                                 "sampling.logprobs=null", "sampling.prompt_logprobs=false") for word in ("--set", key)]
    small = folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(small)], stderr=subprocess.DEVNULL).returncode:
        raise Skipped("no tmpfs can be mounted here")
    try:
        expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole", *settings), 0)
        for ranks in (0, 2):
            out = small / f"out{ranks}"
            words = ["run", "-c", folder / "run.yaml", "-o", out, *settings]
            done = expect_exit(moemill(*words, ranks=ranks), 1)
            check("moemill: failed" in done.stderr and "No space left" in done.stderr, done.stderr)
            check(any((out / "shards").glob("*.h5")), "no shard was written before: the disk is too small for this test")
            subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
            expect_exit(moemill(*words), 0)
            different = differences(folder / "whole/outputs.h5", out / "outputs.h5")
            check(not different, different)
            subprocess.run(["rm", "-r", str(out)], check=True)
            subprocess.run(["mount", "-o", "remount,size=500k", str(small)], check=True)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def a_limit_of_file_size():
    """The system would end a process that writes beyond the limit without a message."""
    folder = prepare("file_size", count=40, max_tokens=30)
    whole = reference(folder)
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *command(0, "run", "-c", folder / "run.yaml")]
    done = expect_exit(subprocess.run(limited, env=environment(), timeout=SECONDS, text=True, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE), 1)
    check("moemill: failed" in done.stderr and "File too large" in done.stderr, done.stderr)
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))


def killed_between_merge_and_summary():
    folder = prepare("summary", count=6, max_tokens=4)
    words = ["run", "-c", folder / "run.yaml"]
    expect_exit(moemill(*words), 0)
    whole = summary(folder / "out")
    merged = (folder / "out/outputs.h5").stat().st_mtime_ns
    for damage in (lambda f: f.unlink(), lambda f: f.write_text(f.read_text().replace('"completions": 9', '"completions": 3')),
                   lambda f: f.write_text('{"attempts": "one", "completions": {}}')):
        damage(folder / "out/summary.json")
        expect_exit(moemill(*words, ranks=2), 0)
        again = summary(folder / "out")
        check((again["completions"], again["generated_tokens"], again["exit_code"]) == (9, whole["generated_tokens"], 0), again)
    check((folder / "out/outputs.h5").stat().st_mtime_ns == merged, "outputs.h5 was written again")


def faults_of_one_rank_store_their_code():
    folder = prepare("faults", count=60, max_tokens=40)
    for ranks in (0, 2):
        words = ["run", "-c", folder / "run.yaml", "-o", folder / f"out{ranks}"]
        expect_exit(moemill(*words, "--set", "runtime.max_wall_time=0.001", "--set", "runtime.drain_margin=0"), 75)
        for file in (folder / f"out{ranks}").glob("summary.json"): file.unlink()
        (folder / f"out{ranks}/summary.json").mkdir()
        done = expect_exit(moemill(*words, ranks=ranks), 1)
        check("summary.json" in done.stderr, done.stderr)
        (folder / f"out{ranks}/summary.json").rmdir()  # status cannot read it either
        expect_exit(moemill("status", folder / f"out{ranks}", "--exit-code"), 1)
        expect_exit(moemill(*words, ranks=ranks), 0)


def metrics_of(folder, attempt):
    """The complete lines of an attempt."""
    path = folder / "out/metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in (json.loads(text) for text in lines if text.endswith("}")) if line["attempt"] == attempt]


def due_rows(lines, flush):
    """Rows that must be kept by the job's own clock, also on a slow machine: those of a line one flush interval before the line before
    the last. A step ends between two lines, and journals are flushed when due."""
    return max((l["rows_done"] for l in lines[:-2] if l["wall_seconds"] + flush <= lines[-2]["wall_seconds"]), default=0)


def what_a_kill_costs():
    """Rows that were finished one flush interval and one step before a kill are kept."""
    folder = prepare("cost", count=300, max_tokens=300)
    flush, before = 0.5, 0  # seconds, rows
    draw, proven = random.Random(5), 0
    for attempt in range(1, 5):
        process = subprocess.Popen([str(PROGRAM), "run", "-c", str(folder / "run.yaml"), "--set", f"output.journal_flush_seconds={flush}",
                                    "--set", "runtime.progress_interval=0.05", "--set", "output.shard_prompts=300"],  # all in one journal
                                   stderr=subprocess.DEVNULL)
        end = time.monotonic() + SECONDS
        while process.poll() is None and due_rows(metrics_of(folder, attempt), flush) <= before:
            check(time.monotonic() < end, "no rows come, and the job hangs")
            time.sleep(0.01)
        time.sleep(draw.uniform(0, flush))  # anywhere between two flushes
        if process.poll() is not None: break
        process.send_signal(signal.SIGKILL)
        process.wait()
        due = due_rows(metrics_of(folder, attempt), flush)
        kept = json.loads(moemill("status", folder / "out", "--json").stdout)
        check(kept["done"] + kept["failed"] >= due, "rows were lost:", kept, "of", due)
        proven += due > before
        before = kept["done"] + kept["failed"]
    check(proven > 0, "no row was old enough at any kill: nothing was tested")


if __name__ == "__main__":
    alone = full_disk_when_shards_end_together
    main([alone] if alone.__name__ in sys.argv[4:] else [
          nothing_to_do, killed_and_resumed_by_other_ranks, drained_by_signal_and_by_stop_file, time_limit,
          asked_to_stop_before_the_first_row, what_a_kill_costs, failed_rows_again,
          refused_overwrite_keeps_the_run, a_limit_of_file_size, killed_between_merge_and_summary,
          faults_of_one_rank_store_their_code])
