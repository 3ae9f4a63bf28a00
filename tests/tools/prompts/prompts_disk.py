#!/usr/bin/env python3
"""scripts/prompts.py and the disk: full disks, ends in mid-write, two processes at once, and what is left beside the output.

    prompts_disk.py WORK_DIR [TEST ...]"""
import contextlib
import errno
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest.mock

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tools import SCRIPTS, Skip, check, columns, main, read_lines, script, write_lines  # noqa: E402

ROWS = [{"id": f"row-{i:05}", "prompt": f"{i} größe 水 " + "word " * 60, "level": i, "topic": f"t{i % 7}", "score": i / 7} for i in range(3000)]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
COMMAND = [sys.executable, SCRIPTS / "prompts.py"]


def reference(work):
    """The input and, in a folder of its own, the prompts.h5 that must result."""
    source, want = write_lines(work / "a.jsonl", ROWS), work / "want/p.h5"
    want.parent.mkdir()
    script("prompts", source, "-o", want, "--quiet")
    return source, want


def one_line_of(done, output, code):
    told = done.stderr.strip()
    check(done.returncode == 1, done.returncode, told)
    check(told.startswith(f"prompts.py: {output}: ") and os.strerror(code) in told and "\n" not in told, told)


def file_too_large(work):
    """Every write fails beyond some size: RLIMIT_FSIZE, which needs no rights."""
    source, want = reference(work)
    whole = want.stat().st_size
    for part in (0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999, 1):
        out = work / f"out{part}/p.h5"
        out.parent.mkdir()
        limit = int(whole * part)
        done = subprocess.run([*COMMAND, source, "-o", out, "--quiet"], text=True, capture_output=True,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        if part == 1: check(done.returncode == 0 and out.read_bytes() == want.read_bytes(), done.stderr)
        else:
            one_line_of(done, out, errno.EFBIG)
            check(not list(out.parent.iterdir()), part, list(out.parent.iterdir()))


def full_disk(work):
    """A small file system, mounted for the script alone."""
    source, want = reference(work)
    (work / "disk").mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "mount", "-t", "tmpfs", "tmpfs", work / "disk"], capture_output=True).returncode:
        raise Skip("no file system can be mounted here")
    shell = ('mount -t tmpfs -o size=$1k tmpfs disk || exit 99; shift; "$@"; code=$?; ls -A disk > listed; '
             '[ $code != 0 ] || cp disk/p.h5 copied; exit $code')
    whole = -(-want.stat().st_size // 1024)
    for size in (4, 40, whole // 4, whole // 2, whole * 3 // 4, whole * 9 // 10, whole - 8, 2 * whole + 1000):
        done = subprocess.run([*unshare, "sh", "-c", shell, "sh", str(size), *COMMAND, source, "-o", "disk/p.h5", "--quiet"],
                              cwd=work, text=True, capture_output=True)
        if size < whole:
            one_line_of(done, "disk/p.h5", errno.ENOSPC)
            check((work / "listed").read_text() == "", size, (work / "listed").read_text())
        else: check(done.returncode == 0 and (work / "copied").read_bytes() == want.read_bytes(), done.stderr)


def wrong_bytes_are_noticed(work):
    """A file that does not read back as it was written gets no name, and neither does one whose fsync fails."""
    source, want = reference(work)
    prompts = sys.modules["moemill_tools.prompts.write"]
    write = prompts.Disk.write
    # In the prompts' text, in a column of numbers, in a column of text.
    for mark in ("1234 größe".encode(), np.arange(1234, 1236).tobytes(), b"row-01234"):
        seen = []

        def flipped(disk, data):
            data = bytes(data)
            if mark in data:
                seen.append(mark)
                data = data.replace(mark, bytes([mark[0] ^ 1]) + mark[1:])
            return write(disk, data)
        with unittest.mock.patch.object(prompts.Disk, "write", flipped):
            done = script("prompts", source, "-o", work / "p.h5", "--quiet", code=1)
        check(seen and str(work / "p.h5") in done.stderr and "read back" in done.stderr, mark, done.stderr)
    with unittest.mock.patch.object(os, "fsync", side_effect=OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))):
        one_line_of(script("prompts", source, "-o", work / "p.h5", "--quiet", code=1), work / "p.h5", errno.EDQUOT)
    check(sorted(p.name for p in work.iterdir()) == ["a.jsonl", "want"], list(work.iterdir()))
    script("prompts", source, "-o", work / "p.h5", "--quiet")
    check((work / "p.h5").read_bytes() == want.read_bytes())


@contextlib.contextmanager
def endless(source, out):
    """A script that stays in the middle of writing, because its template never ends."""
    forever = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

    def heard():  # the parent process may have set them to be ignored
        for number in SIGNALS: signal.signal(number, signal.SIG_DFL)
    begun = subprocess.Popen([*COMMAND, source, "-o", out, "--overwrite", "--template", forever], stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    try:
        while not list(out.parent.glob(out.name + ".*.tmp")):
            check(begun.poll() is None, begun.poll())
            time.sleep(0.01)
        yield begun
    finally:
        begun.kill()
        begun.communicate()


def signals_leave_nothing(work):
    source, _ = reference(work)
    for number in SIGNALS:
        with endless(source, work / "out.h5") as begun:
            begun.send_signal(number)
            told = begun.communicate(timeout=300)[1]
            check(begun.returncode == 128 + number and signal.Signals(number).name in told and "Traceback" not in told, begun.returncode, told)
        check(not list(work.glob("out.h5*")), list(work.iterdir()))


def two_at_once(work):
    """Neither process writes into the other's file, and neither uses a name that has been taken in the meantime."""
    source, want = reference(work)
    with endless(source, work / "out.h5") as begun:
        script("prompts", source, "-o", work / "out.h5", "--quiet")
        begun.terminate()
        begun.communicate(timeout=300)
    check((work / "out.h5").read_bytes() == want.read_bytes() and [p.name for p in work.glob("out.h5*")] == ["out.h5"], list(work.iterdir()))
    prompts = sys.modules["moemill_tools.prompts.write"]
    finish = prompts.Target.finish

    def slow(target):
        finish(target)
        (work / "new.h5").write_text("another's")
    with unittest.mock.patch.object(prompts.Target, "finish", slow):
        done = script("prompts", source, "-o", work / "new.h5", "--quiet", code=2)
    check("in the meantime" in done.stderr and [p.read_text() for p in work.glob("new.h5*")] == ["another's"], done.stderr)


def skipped_list_is_of_this_run(work):
    good = [{"prompt": "fine"}]
    clean, mixed = write_lines(work / "clean.jsonl", good), write_lines(work / "mixed.jsonl", [*good, {"prompt": 5}, {"prompt": 6}, {"prompt": None}])
    out, listed = work / "p.h5", work / "p.h5.skipped.jsonl"
    words = ["-o", out, "--overwrite", "--quiet", "--on-error", "skip"]
    done = script("prompts", mixed, *words)
    check("3 bad rows" in done.stderr and "missing or null" not in done.stderr and len(read_lines(listed)) == 3, done.stderr)
    before = listed.read_bytes()
    check("none.jsonl" in script("prompts", work / "none.jsonl", *words, code=2).stderr and listed.read_bytes() == before)
    with unittest.mock.patch.object(os, "fsync", side_effect=OSError(errno.EIO, os.strerror(errno.EIO))):
        script("prompts", write_lines(work / "c.jsonl", [*good, {"prompt": 7}]), *words, code=1)
    check(listed.read_bytes() == before and columns(out)["prompt"] == ["fine"], "a run that fails leaves the earlier list with its file")
    script("prompts", clean, *words)
    check(sorted(p.name for p in work.glob("p.h5*")) == ["p.h5"], list(work.iterdir()))


def outputs_that_are_no_files(work):
    """A folder, a pipe or a device is refused before any work; the target of a link is replaced."""
    source, want = reference(work)
    (work / "folder").mkdir()
    os.mkfifo(work / "pipe")
    for output in (work / "folder", work / "pipe", ".", "/dev/null", "/dev/stdout"):
        done = subprocess.run([*COMMAND, source, "-o", output, "--overwrite", "--quiet"], cwd=work, text=True, capture_output=True)
        check(done.returncode == 2 and f"{output}: is not a regular file" in done.stderr and "Traceback" not in done.stderr, output, done.stderr)
    target, link = work / "elsewhere/real.h5", work / "link.h5"
    target.parent.mkdir()
    link.symlink_to("elsewhere/real.h5")
    for words in ([], ["--overwrite"]):
        script("prompts", source, "-o", link, "--quiet", *words)
        check(link.is_symlink() and target.read_bytes() == want.read_bytes() and list(target.parent.iterdir()) == [target], words)
    check("--overwrite" in script("prompts", source, "-o", link, "--quiet", code=2).stderr)
    link.unlink()
    link.symlink_to("nowhere/real.h5")
    check("nowhere: no such folder" in script("prompts", source, "-o", link, "--quiet", code=2).stderr)


def said_on_a_full_terminal(work):
    """The file is kept if the last line cannot be printed."""
    source, want = reference(work)
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, source, "-o", work / "p.h5", "--quiet"], stdout=full, stderr=subprocess.PIPE, text=True)
    check(done.returncode == 1 and "was made" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr)
    check((work / "p.h5").read_bytes() == want.read_bytes())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        file_too_large, full_disk, wrong_bytes_are_noticed, signals_leave_nothing, two_at_once, skipped_list_is_of_this_run,
        outputs_that_are_no_files, said_on_a_full_terminal], sys.argv[2:])
