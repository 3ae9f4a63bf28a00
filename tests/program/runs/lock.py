#!/usr/bin/env python3
"""One job at a time in a run directory, even beyond the reach of the kernel's locks: on a file system without locks (a
preloaded library), and against holders on other machines, which this test simulates.

    lock.py MOEMILL SOURCE_DIR WORK_DIR [--library FILE] [test names]

in_another_container runs only if it is named: it is a separate test, because not every machine supports it."""
import argparse
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

arguments = argparse.ArgumentParser()
arguments.add_argument("--library", help="tests/torture/no_locks.cpp, built")
options, sys.argv[4:] = arguments.parse_known_args(sys.argv[4:])
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import (PROGRAM, SECONDS, Skipped, check, differences, expect_exit, fresh, main,  # noqa: E402
                             moemill, start)
from resume import halt, prepare, reference, wait_for_rows  # noqa: E402

LINE_BYTES = 640
REFUSED = "another job works in this run directory"


def no_locks(**more):
    """The environment of a process whose file system has no locks, and with NO_LINKS=1 no links either."""
    check(options.library, "give --library")
    environment = dict(LD_PRELOAD=options.library, **more)
    probe = fresh("probe")
    script = ("import errno, fcntl, os, sys\n"
              "with open('a', 'w') as f:\n"
              "    try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
              "    except OSError as e: print('no locks' if e.errno == errno.ENOLCK else e)\n"
              "try: os.link('a', 'b')\n"
              "except OSError as e: print('no links' if e.errno == errno.EPERM else e)\n")
    said = subprocess.run([sys.executable, "-c", script], cwd=probe, env={**os.environ, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.splitlines()
    check(said == ["no locks"] + ["no links"] * ("NO_LINKS" in more), "the preloaded library is not in force:", said)
    return environment


def ends(process, code):
    errors = process.communicate(timeout=SECONDS)[1]
    check(process.returncode == code, f"exit {process.returncode}, not {code}\n{errors[-3000:]}")
    return errors


def holder_in(folder):
    return json.loads((folder / "out/run.lock").read_text())


def other_machine(**more):
    return dict(process=4321, host="node7", slurm_job="4711", since="2026-01-31T23:59:59Z", released=False, beat=1,
                token="0123456789abcdef" * 2, started=99, boot="another-machine", processes="pid:[4026531836]", **more)


def line_of(holder):
    text = json.dumps(holder)
    check(len(text) < LINE_BYTES, "the line is too long")
    return text.ljust(LINE_BYTES - 1) + "\n"


def put_holder(folder, holder):
    """Takes the lock over as another job does: a complete file appears under the name at once."""
    (folder / "out").mkdir(exist_ok=True)
    (folder / "lock.next").write_text(line_of(holder))
    (folder / "lock.next").rename(folder / "out/run.lock")


def files_in(folder):
    return {str(p): p.read_bytes() for p in sorted((folder / "out").rglob("*")) if p.is_file()}


def check_outputs(folder, whole):
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))
    check(not list((folder / "out").glob("run.lock.*")), "files of the lock's making stayed")
    check(holder_in(folder)["released"], holder_in(folder))


def until(holds, what):
    end = time.monotonic() + SECONDS
    while not holds():
        check(time.monotonic() < end, what, f"not within {SECONDS} s")
        time.sleep(0.01)


def is_held(folder):
    try:
        return not holder_in(folder)["released"]
    except (FileNotFoundError, json.JSONDecodeError):  # without links it exists before its line is written
        return False


def two_jobs_at_once():
    """With locks, without, and without links as well. The holder of the directory is suspended until the others have tried: programs may
    take longer to start than such a job lasts."""
    folder = prepare("twice", count=200, max_tokens=400)
    whole = reference(folder)
    for ranks, environment in ((0, {}), (0, no_locks()), (2, no_locks()), (0, no_locks(NO_LINKS="1"))):
        subprocess.run(["rm", "-rf", folder / "out"], check=True)
        jobs = [start(folder, ranks, environment) for _ in range(3)]
        until(lambda: is_held(folder), "a job has the directory")
        holder = halt(folder)
        until(lambda: sum(job.poll() is not None for job in jobs) >= 2, "the other two have ended")
        os.kill(holder, signal.SIGCONT)
        said = [job.communicate(timeout=SECONDS)[1] for job in jobs]
        worked = 0
        for job, text in zip(jobs, said):
            if job.returncode == 2: check(REFUSED in text and "process" in text, text)
            else: check(job.returncode == 0, job.returncode, text)
            worked += job.returncode == 0
        check(worked == 1, [job.returncode for job in jobs], *said)
        check_outputs(folder, whole)


def killed_without_locks():
    folder = prepare("killed", count=100, max_tokens=300)
    whole = reference(folder)
    for ranks in (0, 2):
        subprocess.run(["rm", "-rf", folder / "out"], check=True)
        process = start(folder, env=no_locks())
        check(wait_for_rows(folder, process, 1), "the job was over before it could be killed")
        halt(folder)
        with open(folder / "out/run.lock", "r+") as f: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails if it has one
        check(moemill("status", folder / "out", "--exit-code", env=no_locks()).stdout.startswith("state    running"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = moemill("status", folder / "out", "--exit-code", env=no_locks())
        check(done.returncode == 75 and "killed" in done.stdout, done.stdout)
        done = expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=ranks, env=no_locks()), 0)
        check("was killed" in done.stderr and "watching" not in done.stderr, "it waited", done.stderr)
        check_outputs(folder, whole)


def a_living_holder_on_another_machine():
    folder = prepare("living", count=4, max_tokens=4)
    put_holder(folder, other_machine())
    over = threading.Event()

    def live():
        beat = 1
        while not over.wait(1):
            beat += 1
            with open(folder / "out/run.lock", "r+") as f: f.write(line_of(dict(other_machine(), beat=beat)))

    thread = threading.Thread(target=live)
    thread.start()
    try:
        for ranks in (0, 2):
            done = expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=ranks), 2)
            check(REFUSED in done.stderr and "node7" in done.stderr and "Slurm job 4711" in done.stderr, done.stderr)
    finally:
        over.set()
        thread.join()
    check([p.name for p in (folder / "out").iterdir()] == ["run.lock"], list((folder / "out").iterdir()))


def a_dead_holder_on_another_machine():
    folder = prepare("dead", count=4, max_tokens=4)
    whole = reference(folder)
    put_holder(folder, other_machine())
    done = expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    for part in ("node7", "watching", "no sign of life", "taking the run directory over"):
        check(part in done.stderr, part, done.stderr)
    check_outputs(folder, whole)
    # The output of status for such a run; a holder that has been silent for long costs no time.
    manifest = folder / "out/run.json"
    check('"exit_code": 0' in manifest.read_text())
    put_holder(folder, other_machine())
    check("running" in moemill("status", folder / "out").stdout)
    os.utime(folder / "out/run.lock", (time.time() - 5000,) * 2)
    done = moemill("status", folder / "out", "--exit-code")
    check(done.returncode == 0 and "running" not in done.stdout, done.stdout)
    done = expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    check("nothing to do" in done.stderr and "watching" not in done.stderr, done.stderr)


def in_another_container():
    """The kernel's locks work there, process numbers do not."""
    folder = prepare("container", count=300, max_tokens=400)
    container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run(container + ["true"], stderr=subprocess.DEVNULL).returncode:
        raise Skipped("no namespace can be made here")
    whole = reference(folder)
    words = ["run", "-c", str(folder / "run.yaml")]
    slow = [str(PROGRAM), *words, "--set", "parallel.max_num_seqs=1"]  # its heartbeat is watched
    process = subprocess.Popen(container + slow, stderr=subprocess.DEVNULL)
    check(wait_for_rows(folder, process, 0), "the job was over before it could be met")
    check(holder_in(folder)["process"] == 1, holder_in(folder))
    done = expect_exit(moemill(*words), 2)
    check(REFUSED in done.stderr, done.stderr)
    process.kill()
    process.wait()
    done = expect_exit(moemill(*words), 0)
    check("taking the run directory over" in done.stderr, done.stderr)
    check_outputs(folder, whole)


def a_signal_ends_the_watching():
    folder = prepare("impatient", count=4, max_tokens=4)
    put_holder(folder, other_machine())
    process = start(folder)
    for line in process.stderr:
        if "watching" in line: break
    process.send_signal(signal.SIGUSR1)
    errors = ends(process, 75)
    check("SIGUSR1" in errors, errors)
    check([p.name for p in (folder / "out").iterdir()] == ["run.lock"], list((folder / "out").iterdir()))


def check_untouched(before, after):
    """Files that may differ: those that only grow, which a job may have been writing when it woke up, and shards that did not exist."""
    for path, there in before.items():
        name = pathlib.Path(path)
        if name.suffix == ".tmp": continue
        now = after.get(path)
        if name.suffix == ".journal" and now is None:  # its shard is finished
            check(str(name.parents[1] / "shards" / (name.stem + ".h5")) in after, path, "is gone, and no shard is there")
        elif name.suffix == ".journal" or name.name in ("run.log", "metrics.jsonl"):
            check(now is not None and now.startswith(there), path, "has lost something")
        else:
            check(now == there, path, "was written or removed")
    for path in set(after) - set(before):
        check(pathlib.Path(path).suffix in (".tmp", ".journal") or pathlib.Path(path).parent.name == "shards", path, "was made")


def who_was_taken_for_dead_leaves():
    """The job is suspended, a job of another machine takes over, and the first one wakes up."""
    folder = prepare("suspended", count=600, max_tokens=400)
    whole = reference(folder)
    for ranks in (0, 2):
        subprocess.run(["rm", "-rf", folder / "out"], check=True)
        process = start(folder, ranks)
        check(wait_for_rows(folder, process, 1), "the job was over before it could be stopped")
        holder = holder_in(folder)["process"]
        os.kill(holder, signal.SIGSTOP)
        time.sleep(4)  # longer than a heartbeat
        put_holder(folder, other_machine())
        before = files_in(folder)
        os.kill(holder, signal.SIGCONT)
        began = time.monotonic()
        errors = ends(process, 2)
        check(time.monotonic() - began < 30, "it did not leave at once")
        check(REFUSED in errors and "node7" in errors and "taken for dead" in errors, errors)
        check_untouched(before, files_in(folder))
        expect_exit(moemill("verify", folder / "out"), 1)  # not complete, and readable
        put_holder(folder, dict(other_machine(), released=True))
        expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
        check_outputs(folder, whole)


def removed_by_a_user():
    """The file that a user removes is restored after one heartbeat."""
    folder = prepare("removed", count=1000, max_tokens=400)
    process = start(folder)
    check(wait_for_rows(folder, process, 0), "the job was over before its lock could be removed")
    token = holder_in(folder)["token"]
    (folder / "out/run.lock").unlink()
    for _ in range(1200):
        if (folder / "out/run.lock").exists(): break
        time.sleep(0.05)
    check(holder_in(folder)["token"] == token)
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 2)
    process.send_signal(signal.SIGUSR1)
    check("was removed while the job runs" in ends(process, 75))


if __name__ == "__main__":
    main([in_another_container] if "in_another_container" in sys.argv[4:] else [
          two_jobs_at_once, killed_without_locks, a_living_holder_on_another_machine, a_dead_holder_on_another_machine,
          a_signal_ends_the_watching, who_was_taken_for_dead_leaves, removed_by_a_user])
