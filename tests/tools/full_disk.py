#!/usr/bin/env python3
"""scripts/outputs.py and report.py on a full disk, and stopped in the middle: one line that names the file, exit 1, no partial file and
no temporary one. A limit on file size stands for a full disk, because it needs no rights.

    full_disk.py WORK_DIR [TEST ...]"""
import importlib.util
import pathlib
import random
import resource
import signal
import subprocess
import sys

from report_page import make_run
from tools import SCRIPTS, OutputsMaker, Skip, check, main, needs_pyarrow, read_lines, script

# Runs the script and sends a signal to it when the file is complete under its temporary name, or after the first rows.
STOPPED = """import importlib, os, pathlib, sys
path = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(path.parent))
command = importlib.import_module(f"moemill_tools.{path.stem}.command")
number, where = int(sys.argv[2]), sys.argv[3]
def stop(write=lambda *_: None):
    def stopping(*words):
        write(*words)
        os.kill(os.getpid(), number)
    return stopping
if where == "before the rename": os.fsync = stop()
else:
    from moemill_tools.outputs.writing.writers import JsonLines, Parquet
    JsonLines.write, Parquet.write = stop(JsonLines.write), stop(Parquet.write)
command.main(sys.argv[4:])"""


def made(work):
    """A run whose rows do not compress well: 500 KB of text."""
    rng, count = random.Random(1), 6000
    maker = OutputsMaker(work / "a.h5").rows(range(count), [0] * count, list(range(count)), [rng.getrandbits(320).to_bytes(40, "big").hex().encode() for _ in range(count)],
                                             [[1]] * count)
    maker.done()
    return work / "a.h5"


def limited(size, *words, **more):
    """A process that can make no file larger than `size`."""
    return subprocess.run([sys.executable, *map(str, words)], text=True, stderr=subprocess.PIPE, stdout=more.pop("stdout", subprocess.PIPE),
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)), **more)


def on_a_full_disk(work, source, *endings):
    for ending in endings:
        whole = work / f"whole.{ending}"
        script("outputs", source, "-o", whole)
        before = sorted(work.iterdir())
        for size in (0, 4096, whole.stat().st_size // 2, whole.stat().st_size - 1):
            done = limited(size, SCRIPTS / "outputs.py", source, "-o", work / f"fresh.{ending}")  # a name of the same length: .gz stores it
            check(done.returncode == 1 and done.stderr == f"outputs.py: {work}/fresh.{ending}: File too large\n" and not done.stdout, ending, size, done.stderr)
            check(sorted(work.iterdir()) == before, "left", sorted(work.iterdir()))
        kept = whole.read_bytes()
        done = limited(4096, SCRIPTS / "outputs.py", source, "-o", whole, "--overwrite", "--limit", "5000")
        check(done.returncode == 1 and whole.read_bytes() == kept, "the file that was there")
        done = limited(len(kept), SCRIPTS / "outputs.py", source, "-o", whole, "--overwrite")
        check(done.returncode == 0 and whole.read_bytes() == kept, "just enough", done.stderr)


def parquet_on_a_full_disk(work):
    needs_pyarrow()
    on_a_full_disk(work, made(work), "parquet")


def outputs_on_a_full_disk(work):
    source = made(work)
    on_a_full_disk(work, source, "jsonl", "jsonl.gz")
    done = limited(4096, SCRIPTS / "outputs.py", source, "-o", work / "o.jsonl", "--dedup", "all")
    check(done.returncode == 1 and "temporary file of --dedup" in done.stderr and done.stderr.count("\n") == 1, done.stderr)
    with open(work / "stdout", "w") as f: done = limited(4096, SCRIPTS / "outputs.py", source, stdout=f)
    check(done.returncode == 1 and done.stderr == "outputs.py: standard output: File too large\n", done.stderr)


def outputs_that_cannot_be_made(work):
    source = made(work)
    done = script("outputs", source, "-o", "/proc/o.jsonl", code=1)  # not even root can create a file there
    check(done.stderr.startswith("outputs.py: /proc/o.jsonl: ") and done.stderr.count("\n") == 1, done.stderr)
    (work / "o.jsonl").mkdir()
    check("is a folder" in script("outputs", source, "-o", work / "o.jsonl", "--overwrite", code=2).stderr)
    (work / "b.jsonl.tmp").write_text("another's")
    script("outputs", source, "-o", work / "b.jsonl", "--limit", "3")
    check((work / "b.jsonl.tmp").read_text() == "another's" and len(read_lines(work / "b.jsonl")) == 3)


def stopped(work, name, number, where, *words):
    before = sorted(work.iterdir())
    def heard(): signal.signal(number, signal.SIG_DFL)  # nohup or a shell's & may have set it to be ignored
    done = subprocess.run([sys.executable, "-c", STOPPED, str(SCRIPTS / name), str(int(number)), where, *map(str, words)], capture_output=True, text=True,
                          preexec_fn=heard)
    check(done.returncode == 128 + number and not done.stderr and not done.stdout, done.returncode, done.stderr, done.stdout)
    check(sorted(work.iterdir()) == before, "left", sorted(work.iterdir()))


SIGNALS = ((signal.SIGTERM, "after some rows"), (signal.SIGTERM, "before the rename"), (signal.SIGHUP, "after some rows"), (signal.SIGINT, "after some rows"))


def outputs_stopped_by_a_signal(work):
    source = made(work)
    for ending in ("jsonl", "jsonl.gz"):
        for number, where in SIGNALS: stopped(work, "outputs.py", number, where, source, "-o", work / f"o.{ending}")


def parquet_stopped_by_a_signal(work):
    needs_pyarrow()
    source = made(work)
    for number, where in SIGNALS: stopped(work, "outputs.py", number, where, source, "-o", work / "o.parquet")


def report_on_a_full_disk(work):
    if importlib.util.find_spec("matplotlib") is None: raise Skip("matplotlib is not here")
    run = make_run(work / "run", lines=1, counts=False)  # few pictures, because drawing takes most of the time
    script("report", run)
    page, before = (run / "report.html").read_bytes(), sorted(run.iterdir())
    for size in (0, len(page) // 2):
        done = limited(size, SCRIPTS / "report.py", run)
        check(done.returncode == 1 and done.stderr.splitlines()[-1] == f"report.py: {run}/report.html: File too large" and "Traceback" not in done.stderr, size, done.stderr)
        check((run / "report.html").read_bytes() == page and sorted(run.iterdir()) == before, "the page that was there")
    done = script("report", run, "-o", "/proc/r.html", code=1)
    check(done.stderr.startswith("report.py: /proc/r.html: ") and done.stderr.count("\n") == 1, done.stderr)
    check("folder" in script("report", run, "-o", work / "none/r.html", code=2).stderr)
    stopped(run, "report.py", signal.SIGTERM, "before the rename", run)
    check((run / "report.html").read_bytes() == page)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [outputs_on_a_full_disk, parquet_on_a_full_disk, outputs_that_cannot_be_made, outputs_stopped_by_a_signal, parquet_stopped_by_a_signal,
                                               report_on_a_full_disk],
         sys.argv[2:])
