#!/usr/bin/env python3
"""Signals that arrive early or twice: the job ends at once and can be resumed.

    interrupts.py MOEMILL SOURCE_DIR WORK_DIR [test names]"""
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import PROGRAM, SECONDS, check, differences, expect_exit, main, moemill, start  # noqa: E402
from resume import prepare, reference, taken, wait_for_rows  # noqa: E402


def signals_before_the_first_step():
    """The config comes through a pipe, so that the signal arrives before it in any case."""
    folder = prepare("early", count=4, max_tokens=4)
    whole = reference(folder)
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    def begin(*more):
        process = subprocess.Popen([str(PROGRAM), "run", "-c", str(pipe), *more], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        return process, open(pipe, "w")  # returns when the program has opened it
    process, writer = begin("--dry-run")
    process.send_signal(signal.SIGTERM)
    check(process.wait(timeout=SECONDS) == -signal.SIGTERM, "a dry run outlives SIGTERM", process.returncode)
    writer.close()
    process, writer = begin()
    process.send_signal(signal.SIGTERM)
    with writer: writer.write((folder / "run.yaml").read_text())
    errors = process.communicate(timeout=SECONDS)[1]
    check(process.returncode == 75 and "before the model is loaded" in errors, process.returncode, errors)
    expect_exit(moemill("status", folder / "out", "--exit-code"), 75)
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))


def ranks_of(launcher):
    """{rank: process id} of an mpirun."""
    found = {}
    for child in pathlib.Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
        for word in pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            if word.startswith(b"OMPI_COMM_WORLD_RANK="): found[int(word.split(b"=")[1])] = int(child)
    return found


def lives(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def second_interrupt_leaves_at_once():
    # Stuck before there is anything: the config never arrives through its pipe.
    folder = prepare("twice", count=200, max_tokens=400)
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([str(PROGRAM), "run", "-c", str(pipe)], stderr=subprocess.PIPE, text=True)
    with open(pipe, "w"):
        process.send_signal(signal.SIGINT)
        taken(process.pid, signal.SIGINT)
        time.sleep(0.3)
        check(process.poll() is None, "one SIGINT ended a process that had something to save")
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=SECONDS)[1]
    check(process.returncode == 75 and "second SIGINT" in errors, process.returncode, errors)

    # In the middle of a step: one rank is suspended, and the second one waits for its rows.
    whole = reference(folder)
    process = start(folder, 2)
    check(wait_for_rows(folder, process, 1), "the job was over before it could be stopped")
    ranks = ranks_of(process)
    os.kill(ranks[1], signal.SIGSTOP)
    os.kill(ranks[0], signal.SIGINT)
    taken(ranks[0], signal.SIGINT)
    time.sleep(0.5)
    check(process.poll() is None, "rank 0 left without the other")
    os.kill(ranks[0], signal.SIGUSR1)  # no second SIGINT: it continues to save
    taken(ranks[0], signal.SIGUSR1)
    time.sleep(0.3)
    check(process.poll() is None, "a SIGUSR1 behind a SIGINT ended the job")
    begun = time.monotonic()
    os.kill(ranks[0], signal.SIGINT)
    errors = process.communicate(timeout=SECONDS)[1]
    check(process.returncode == 75 and "second SIGINT" in errors, process.returncode, errors)
    while any(lives(pid) for pid in ranks.values()): check(time.monotonic() < begun + SECONDS, "a rank lives on")
    expect_exit(moemill("status", folder / "out", "--exit-code"), 75)
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=3), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))


if __name__ == "__main__":
    main([signals_before_the_first_step, second_interrupt_leaves_at_once])
