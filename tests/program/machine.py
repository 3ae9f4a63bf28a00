#!/usr/bin/env python3
"""Properties of the machine and the batch system: cores, memory, disk space for logs, clocks; and a chain without progress.

    machine.py MOEMILL SOURCE_DIR WORK_DIR [test names]"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from moemill_program import (PROGRAM, SECONDS, SOURCE, Skipped, check, command, differences, environment, expect_exit, main,
                             moemill, prepared, start_quietly, summary)


def prepare(name, count=20, max_tokens=10, more=""): return prepared(name, count, max_tokens, "from_model: true", more)


def shell(line, *arguments, env=None):
    """A line of bash around the program, which is "$@"."""
    return subprocess.run(["bash", "-c", line, "bash", *map(str, arguments)], env=environment(env), text=True, cwd="/",
                          errors="replace", timeout=SECONDS, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def plain(*words, env=None):
    """Runs on all the cores that this test has."""
    return shell('exec "$@"', PROGRAM, *words, env=env)


def cores_are_said():
    folder = prepare("cores", count=2, max_tokens=2)
    words = ("run", "-c", folder / "run.yaml", "--overwrite")
    cpus = len(os.sched_getaffinity(0))
    whole = expect_exit(plain(*words), 0).stderr
    check(f"1 rank × {cpus} thread" in whole and f"on {cpus} of {cpus} cores" in whole, whole)
    check("warning" not in whole, whole)
    one = expect_exit(shell('taskset -c "$1" "${@:2}"', min(os.sched_getaffinity(0)), PROGRAM, *words), 0).stderr
    check("1 rank × 1 thread on 1 of 1 cores" in one and "warning" not in one, one)
    for env, more, part in (
            ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "64", "SLURM_PROCID": "0"}, (), "this is one rank, and the Slurm job was given 64"),
            ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "1", "SLURM_CPUS_PER_TASK": "512"}, (), "of 512 cores are idle"),
            ({}, ("--set", "parallel.threads_per_rank=1000"), "with 1000 threads is bound to")):
        said = expect_exit(plain(*words, *more, env=env), 0).stderr
        check(said.count("warning") == 1 and part in said, part, "not in", said)
    crowded = expect_exit(moemill(*words, ranks=cpus + 1), 0).stderr
    check(f"{cpus + 1} threads share {cpus} core" in crowded, crowded)


def batch_systems_numbers():
    """If the node is not divided between jobs, the numbers in the environment say what was allocated."""
    cpus = len(os.sched_getaffinity(0))
    if cpus < 2: raise Skipped("one core cannot be more than was allocated")
    folder = prepare("batch", count=2, max_tokens=2)
    nodes = folder / "nodes"
    nodes.write_text(os.uname().nodename + "\n")
    for env in ({"SGE_TASK_ID": "undefined", "NSLOTS": "1"},
                {"PBS_JOBID": "7", "NCPUS": "1", "PBS_NODEFILE": str(nodes)},
                {"LSB_JOBID": "7", "LSB_DJOB_NUMPROC": "1", "LSB_MCPU_HOSTS": os.uname().nodename + " 1"},
                {"SLURM_JOB_ID": "7", "SLURM_JOB_CPUS_PER_NODE": "1"}):
        said = expect_exit(plain("run", "-c", folder / "run.yaml", "--overwrite", env=env), 0).stderr
        check("1 rank × 1 thread on 1 of 1 cores" in said and "warning" not in said, env, said)
        lines = [json.loads(line) for line in (folder / "out/attempts.jsonl").read_text().splitlines()]
        check(lines[0]["cores_allocated"] == 1, env, lines[0])


def core_hours_are_counted():
    folder = prepare("hours", more="cost: {hour_price: 2}\n")
    done = expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=2), 0)
    s = summary(folder / "out")
    check(0 < s["core_hours_used"] <= s["core_hours_allocated"], s)
    check(abs(s["cost"]["total"] - 2 * s["core_hours_allocated"]) < 1e-9, "auto prices cores:", s)
    check("core-hours" in done.stdout, done.stdout)
    lines = [json.loads(line) for line in (folder / "out/attempts.jsonl").read_text().splitlines()]
    check(lines[0]["threads"] >= 2 and lines[0]["cores_used"] >= 1, lines[0])
    check(lines[1]["core_hours_allocated"] > 0 and lines[1]["seconds"] > 0, lines[1])


def clocks_that_jump():
    """The attempt's clock was wrong by days at its begin, the file server's at its last heartbeat."""
    folder = prepare("clocks", count=400, max_tokens=40)
    job = start_quietly(folder)
    job.send_signal(signal.SIGKILL)
    job.wait()
    attempts = folder / "out/attempts.jsonl"
    attempts.write_text(attempts.read_text().replace('"time":"2', '"time":"1'))
    later = time.time() + 48 * 3600
    os.utime(folder / "out/run.lock", (later, later))
    done = expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    check("attempt 1 was killed" in done.stderr and "memory" in done.stderr, done.stderr)
    s = summary(folder / "out")
    check(s["wall_seconds"] < 3600 and s["core_hours_allocated"] < 1000, s["wall_seconds"], done.stdout)


def a_full_disk_under_stderr_and_stdout():
    folder = prepare("full")
    words = command(0, "run", "-c", folder / "run.yaml")
    for into in ("2>/dev/full", ">/dev/full", ">/dev/full 2>&1"):
        shutil.rmtree(folder / "out", ignore_errors=True)
        done = shell(f'exec "$@" {into}', *words)
        check(done.returncode == 0 and (folder / "out/outputs.h5").exists(), into, done.returncode, done.stdout, done.stderr)
        check(shell(f'exec "$@" {into}', *words, "--set", "sampling.top_p=7").returncode == 2, into)
        check(shell(f'exec "$@" {into}', *words).returncode == 0, into, "nothing to do")
    check(moemill("status", folder / "out", "--exit-code").returncode == 0)
    check(shell('exec "$@" >/dev/full', *command(0, "status", folder / "out")).returncode == 1, "what status says is its work")


def a_full_disk_under_the_logs():
    folder = prepare("full-logs", more="runtime: {progress_interval: 0.01}\n")
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole", "--set", "output.keep_shards=true"), 0)
    for name in ("run.log", "metrics.jsonl", "attempts.jsonl"):
        shutil.rmtree(folder / "out", ignore_errors=True)
        shutil.copytree(folder / "whole", folder / "out")
        for gone in [folder / "out/outputs.h5", *(folder / "out/shards").glob("*.h5"), folder / "out" / name]: gone.unlink()
        (folder / "out" / name).symlink_to("/dev/full")
        done = expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
        check("the job continues" in done.stderr and "No space" in done.stderr, name, done.stderr)
        check(not differences(folder / "whole/outputs.h5", folder / "out/outputs.h5"))
        expect_exit(moemill("status", folder / "out", "--exit-code"), 0)


def ulimits_and_slurm_memory():
    folder = prepare("memory", more="parallel: {max_num_seqs: 4000}\n")
    words = command(0, "validate", "-c", folder / "run.yaml")
    for line, env, part in (('ulimit -v 2000000; exec "$@"', {}, "(by ulimit -v or -d)"),
                            ('exec "$@"', {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "700"}, "(by Slurm's --mem)"),
                            ('exec "$@"', {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_CPU": "350", "SLURM_CPUS_ON_NODE": "2"}, "(by Slurm's --mem)")):
        done = expect_exit(shell(line, *words, env=env), 0)
        check(part in done.stdout, part, "not in", done.stdout)
    check("(by Slurm" not in expect_exit(moemill("validate", "-c", folder / "run.yaml", env={"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "0"}), 0).stdout)
    done = shell('exec "$@"', *command(0, "run", "-c", folder / "run.yaml"), env={"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "1"})
    check(done.returncode == 2 and "Slurm's --mem" in done.stderr, done.stderr)


def a_control_group_of_version_1():
    line = [line.split(":") for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines()]
    own = [pathlib.Path("/sys/fs/cgroup/memory" + path) for _, names, path in line if names == "memory"]
    if not own or not os.access(own[0] / "memory.limit_in_bytes", os.W_OK): raise Skipped("no memory groups of version 1")
    folder = prepare("group")
    job = own[0] / f"moemill_test_{os.getpid()}/job"
    step = job / "step"
    try:
        step.mkdir(parents=True)
    except OSError as fault:
        raise Skipped(f"no group can be made: {fault}")
    try:
        (job / "memory.limit_in_bytes").write_text("400M")
        done = expect_exit(shell('echo $$ > "$1"; exec "${@:2}"', step / "cgroup.procs",
                                 *command(0, "validate", "-c", folder / "run.yaml")), 0)
    finally:
        for made in (step, job, job.parent): made.rmdir()
    check(f"(by the control group {job})" in done.stdout, done.stdout)


def a_chain_without_rows():
    """Every try is killed before a row is on disk: the third is the last, with the launcher's code."""
    folder = prepare("chain", count=300, max_tokens=480)  # rows that are too long would end at once
    for name, body in (("scontrol", "echo requeued"), ("squeue", "exit 1"),
                       # As soon as the attempt has begun.
                       ("killer", 'before=$(cat "$RUN_DIR/attempts.jsonl" 2>/dev/null | wc -l)\n"$@" & p=$!\n'
                                  'until [ "$(cat "$RUN_DIR/attempts.jsonl" 2>/dev/null | wc -l)" -gt "$((before + 1))" ] || '
                                  '{ [ $before = 0 ] && [ -s "$RUN_DIR/attempts.jsonl" ]; } || ! kill -0 $p; do sleep 0.01; done\n'
                                  'kill -9 $p; wait $p')):
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / "bin" / name).chmod(0o755)
    for attempt in range(4):
        env = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": str(attempt), "PATH": f"{folder}/bin:{os.environ['PATH']}",
               "CONFIG": str(folder / "run.yaml"), "RUN_DIR": str(folder / "out"), "LAUNCH": str(folder / "bin/killer"),
               "MOEMILL": str(PROGRAM)}
        done = shell('exec bash "$1"', SOURCE / "jobs/chain.sbatch", env=env)
        is_last = attempt >= 2
        check(done.returncode == (137 if is_last else 75), attempt, done.returncode, done.stderr)
        check(("requeued" in done.stdout) != is_last, attempt, done.stdout, done.stderr)
        check("memory ran out" in done.stderr, done.stderr)
    check("tries ended without a row" in done.stderr, done.stderr)
    status = json.loads(moemill("status", folder / "out", "--json").stdout)
    check(status["tries_without_a_row"] == 4 and status["done"] == 0, status)
    check("likely cause is memory" in moemill("status", folder / "out").stdout)


if __name__ == "__main__":
    main([cores_are_said, batch_systems_numbers, core_hours_are_counted, clocks_that_jump, a_full_disk_under_stderr_and_stdout,
          a_full_disk_under_the_logs, ulimits_and_slurm_memory, a_control_group_of_version_1, a_chain_without_rows])
