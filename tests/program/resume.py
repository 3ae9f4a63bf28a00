#!/usr/bin/env python3
"""The same command again: finished, killed, drained, changed, failed rows.

    resume.py MOEMILL SOURCE_DIR WORK_DIR"""
import os
import random
import signal
import subprocess
import time

from moemill_program import (MODELS, PROGRAM, check, differences, expect_exit, fresh, main, moemill, rows, summary,
                             write_prompts)

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()


def prepare(name, count=60, max_tokens=40):
    folder = fresh(name)
    draw = random.Random(3)
    write_prompts(folder / "p.h5", {"prompt": [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)],
                                    "n": [1 + i % 2 for i in range(count)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        f"sampling: {{max_tokens: {max_tokens}, ignore_eos: true, logprobs: 1, prompt_logprobs: true}}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 8, journal_flush_seconds: 0.05}}\n"
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


def start(folder, ranks):
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    launcher = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks else []
    return subprocess.Popen(launcher + [str(PROGRAM), "run", "-c", str(folder / "run.yaml")], env=environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_rows(folder, process, wanted):
    """Until so many shards are finished and other rows are in journals; False when the job is over before."""
    for _ in range(2000):
        if process.poll() is not None: return False
        journals = list((folder / "out/journal").glob("*.journal")) if (folder / "out/journal").exists() else []
        shards = list((folder / "out/shards").glob("*.h5")) if (folder / "out/shards").exists() else []
        if len(shards) >= wanted and any(j.stat().st_size > 200 for j in journals): return True
        time.sleep(0.01)
    return False


def killed_and_resumed_by_other_ranks():
    folder = prepare("killed", count=200, max_tokens=400)
    whole = reference(folder)
    process = start(folder, 0)
    check(wait_for_rows(folder, process, 1), "the job was over before it could be killed")
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = moemill("status", folder / "out", "--exit-code")
    check(done.returncode == 75 and "killed" in done.stdout, done.stdout)
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=2), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))
    s = summary(folder / "out")
    check(s["attempts"] == 2, s)
    expect_exit(moemill("verify", folder / "out", "--deep"), 0)


def drained_by_signal_and_by_stop_file():
    folder = prepare("drained", count=200, max_tokens=400)
    whole = reference(folder)
    process = start(folder, 0)
    check(wait_for_rows(folder, process, 0), "the job was over before it could be stopped")
    process.send_signal(signal.SIGUSR1)
    errors = process.communicate(timeout=60)[1]
    check(process.returncode == 75, process.returncode, errors)
    expect_exit(moemill("status", folder / "out", "--exit-code"), 75)
    process = start(folder, 2)
    check(wait_for_rows(folder, process, 2), "the job was over before it could be stopped")
    (folder / "out/stop").touch()
    errors = process.communicate(timeout=60)[1]
    check(process.returncode == 75, process.returncode, errors)
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=3), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))
    s = summary(folder / "out")
    check(s["attempts"] == 3 and 0 < s["resumed_rows"] < s["completions"], s)
    # Drained attempts count as well, and nothing is generated twice: partial samples are taken up again.
    made = rows(folder / "out/outputs.h5")
    check(s["generated_tokens"] == sum(int(r["num_completion_tokens"]) for r in made), s)


def time_limit():
    folder = prepare("limit", count=150, max_tokens=200)
    done = moemill("run", "-c", folder / "run.yaml", "--set", "runtime.max_wall_time=0.5", "--set", "runtime.drain_margin=0",
                   ranks=2)
    check(done.returncode == 75, done.returncode, done.stderr)
    check("time limit" in done.stderr, done.stderr)


def changed_settings_are_refused():
    folder = prepare("changed", count=4, max_tokens=4)
    words = ["run", "-c", folder / "run.yaml"]
    expect_exit(moemill(*words), 0)
    for ranks in (0, 2):
        done = expect_exit(moemill(*words, "--set", "sampling.temperature=0.5", "--set", "sampling.seed=9", ranks=ranks), 2)
        for part in ("sampling.temperature", "0.5", "sampling.seed", "--overwrite"): check(part in done.stderr, done.stderr)
        check(done.stderr.count("sampling.seed") == 1, "said more than once", done.stderr)
    done = expect_exit(moemill(*words, "--model", MODELS / "deepseek_v2_lite"), 2)
    check("model_sha256" in done.stderr, done.stderr)
    write_prompts(folder / "p.h5", {"prompt": ["other", "prompts", "than", "before"]})
    done = expect_exit(moemill(*words), 2)
    check("input_sha256" in done.stderr, done.stderr)
    expect_exit(moemill(*words, "--resume", "never"), 2)
    expect_exit(moemill(*words, "--overwrite"), 0)
    check(len(rows(folder / "out/outputs.h5")) == 4)
    expect_exit(moemill(*words, "--resume", "always", "-o", folder / "new"), 2)
    check(not (folder / "new/run.json").exists())


def other_layouts_are_accepted():
    folder = prepare("layout", count=4, max_tokens=4)
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    expect_exit(moemill("run", "-c", folder / "run.yaml", "--set", "parallel.max_num_seqs=2", "--log-level", "debug"), 0)


def failed_rows_again():
    folder = fresh("failed")
    write_prompts(folder / "p.h5", {"prompt": ["a b c", "", "d", "e f", ""], "n": [2, 1, 1, 2, 1]})
    words = ["run", "--model", MODELS / "deepseek_v3", "-i", folder / "p.h5", "-o", folder / "out", "--set",
             "sampling.max_tokens=6", "--set", "output.shard_prompts=2", "--set", "sampling.prompt_logprobs=true"]
    expect_exit(moemill(*words), 3)
    kept = (folder / "out/outputs.h5").rename(folder / "first.h5")
    expect_exit(moemill(*words, "--retry-failed", ranks=2), 3)  # still empty, so they fail again
    check(not differences(kept, folder / "out/outputs.h5"), differences(kept, folder / "out/outputs.h5"))
    s = summary(folder / "out")
    check(s["attempts"] == 2 and s["resumed_rows"] > 0 and s["prompts_failed"] == 2, s)
    expect_exit(moemill(*words), 3)


if __name__ == "__main__":
    main([nothing_to_do, killed_and_resumed_by_other_ranks, drained_by_signal_and_by_stop_file, time_limit,
          changed_settings_are_refused, other_layouts_are_accepted, failed_rows_again])
