#!/usr/bin/env python3
"""One copy of the weights a node: what it saves, where ranks cannot share, and what a kill leaves behind.

    node_memory.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

from launch import mpirun_options
from moemill_program import (PROGRAM, SECONDS, Skipped, check, differences, environment, expect_exit, main, moemill, prepared,
                             start)

IN_COMMON = "/memfd:moemill"
LOADED = re.compile(r" r--s .*" + IN_COMMON)  # read-only once it is complete


def maps_of(pid): return pathlib.Path(f"/proc/{pid}/maps").read_text()


def ranks_of(folder):
    """The ranks of the job that works in this folder, once they have their weights."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(PROGRAM.name.encode()) and str(folder / "run.yaml").encode() in words and LOADED.search(maps_of(process.name)):
                    found.append(int(process.name))
            except OSError: pass  # it has ended
        if len(found) == 2: return found
        time.sleep(0.02)
    raise AssertionError("no ranks that share memory")


def one_copy_for_all_ranks():
    """Three ranks with all experts each take the memory of one."""
    folder = prepared("copies", 12, 8, "seed: 3", "parallel: {expert_domain: 1}\n")
    memory = {}
    for setting in ("required", "off"):
        out = folder / setting
        done = moemill("run", "-c", folder / "run.yaml", "-o", out, "--set", f"parallel.node_memory={setting}", ranks=3)
        expect_exit(done, 0)
        memory[setting] = json.loads((out / "summary.json").read_text())["memory"]
        check(bool(re.search(r"3 ranks on \S+ share .* of weights", done.stderr)) == (setting == "required"), done.stderr)
    shared, separate = memory["required"], memory["off"]
    check(shared["node_shared_bytes"] > 0 and separate["node_shared_bytes"] == 0, memory)
    check(shared["rank_private_bytes"] < separate["rank_private_bytes"], memory)
    check(not differences(folder / "required/outputs.h5", folder / "off/outputs.h5"), "the bytes differ")


def ranks_in_containers_of_their_own():
    """They do not see each other's processes: auto goes on with a copy each, required says why not."""
    if not mpirun_options(): raise Skipped("the launcher is not Open MPI's")
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode != 0: raise Skipped("no process numbers of its own for a rank")
    folder = prepared("apart", 12, 8, "seed: 4")
    # Without the processes' numbers Open MPI's shared memory does not work either.
    words = ["mpirun", "-n", "2", *mpirun_options(), "--mca", "btl", "self,tcp", *apart, str(PROGRAM)]

    def start(*arguments): return subprocess.run([*words, *map(str, arguments)], env=environment(), timeout=SECONDS, text=True, capture_output=True)
    def run(out, setting): return start("run", "-c", folder / "run.yaml", "-o", folder / out, "--set", f"parallel.node_memory={setting}")
    done = run("auto", "auto")
    expect_exit(done, 0)
    lines = [line for line in done.stderr.splitlines() if "cannot share memory" in line]
    check(len(lines) == 1 and "each has a copy of the weights: " in lines[0], done.stderr)
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "together", ranks=2), 0)
    check(not differences(folder / "auto/outputs.h5", folder / "together/outputs.h5"), "the bytes differ")
    refused = run("required", "required")
    check("parallel.node_memory is required, but the 2 ranks on " in refused.stderr and "set it to auto" in refused.stderr, refused.stderr)
    check(json.loads((folder / "required/run.json").read_text())["exit_code"] == 2)
    measured = start("bench", "exchange", "--rows", 8, "--steps", 2)
    expect_exit(measured, 0)
    check(measured.stderr.count("each has its own copy, and rows travel in messages") == 1, measured.stderr)


def a_kill_leaves_nothing_behind():
    folder = prepared("kill", 64, 400, "seed: 5", "runtime: {log_level: warning}\n")
    job = start(folder, ranks=2)
    ranks = ranks_of(folder)
    for rank in ranks:
        lines = [line for line in maps_of(rank).splitlines() if IN_COMMON in line]
        check(all(line.endswith("(deleted)") for line in lines), lines)  # without a name from the start
        check(any(" r--s " in line for line in lines), lines)  # the weights, which are read-only; rows of a step are not
    for rank in ranks: os.kill(rank, signal.SIGKILL)
    job.wait(timeout=SECONDS)
    check(not [f for f in pathlib.Path("/dev/shm").iterdir() if "memfd" in f.name])
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=2), 0)


def a_rank_that_dies_ends_the_others():
    folder = prepared("death", 64, 400, "seed: 6", "runtime: {log_level: warning}\n")
    job = start(folder, ranks=2)
    ranks = ranks_of(folder)
    os.kill(ranks[1], signal.SIGKILL)
    killed = time.monotonic()
    job.wait(timeout=SECONDS)
    check(job.returncode != 0 and time.monotonic() - killed < 20, job.returncode)


if __name__ == "__main__":
    main([one_copy_for_all_ranks, ranks_in_containers_of_their_own, a_kill_leaves_nothing_behind, a_rank_that_dies_ends_the_others])
