"""Runs the built program for the tests of this folder, whose first three arguments say where it lies, where its source
lies and where to work. Needs h5py and numpy; tests only."""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import time

import launch
from launch import environment
from output_files import differences, rows
from prompt_files import write_prompts

PROGRAM, SOURCE, WORK = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
WORK.mkdir(parents=True, exist_ok=True)
MODELS = SOURCE / "tests/data/models"
SECONDS = 300  # more than any of these jobs takes on a busy machine: one that takes longer hangs


def fresh(name):
    """An empty folder of this test."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def command(ranks, *words):
    return launch.command(PROGRAM, ranks, *words)


def moemill(*words, ranks=0, env=None, cwd=None, seconds=SECONDS):
    """The finished process."""
    return subprocess.run(command(ranks, *words), env=environment(env), cwd=cwd or WORK, timeout=seconds, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def start(folder, ranks=0, env=None):
    """The process of a job that runs the folder's run.yaml."""
    return subprocess.Popen(command(ranks, "run", "-c", folder / "run.yaml"), env=environment(env),
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def start_quietly(folder, words=None, env=None):
    """As start, once a shard is on disk; `words` replace the command line."""
    job = subprocess.Popen(words or command(0, "run", "-c", folder / "run.yaml"), env=environment(env), stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    end = time.monotonic() + SECONDS
    while not list((folder / "out/shards").glob("*.h5")) and job.poll() is None and time.monotonic() < end: time.sleep(0.01)
    return job


def prepared(name, count, max_tokens, sampling, more=""):
    """A folder with prompts p.h5 and a run.yaml of small shards. `sampling` are further settings, `more` further sections."""
    folder = fresh(name)
    write_prompts(folder / "p.h5", {"prompt": [f"alpha beta {i}" for i in range(count)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        f"sampling: {{max_tokens: {max_tokens}, ignore_eos: true, {sampling}}}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 8, journal_flush_seconds: 0.05}}\n{more}")
    return folder


def mpirun_is_stuck(log):
    """Whether mpirun reported that the job is over. It may hang after that, with all ranks gone: mpirun of Open MPI 4.1.4
    with libpmix 4.2.2 (Debian 12) sometimes does when a rank is killed while the job starts, in PMIx_server_finalize on
    a lock of its own or waiting for an agent that has ended. It hangs before it names the killed rank if that rank was
    within MPI_Init, which only the program itself reports."""
    named = "mpirun noticed that process rank" in log or "this process ended while MPI was starting" in log
    return "the job has been aborted" in log and named


class Skipped(Exception):
    """Why this machine cannot do a test."""


def check(holds, *what):
    if not holds: raise AssertionError(" ".join(str(w) for w in what))


def expect_exit(done, code):
    check(done.returncode == code, f"exit {done.returncode}, not {code}\n{done.args}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done


def seal_again(path):
    """A changed file gets the SHA-256 of its new bytes into its first 512."""
    with open(path, "r+b") as f:
        line, rest = f.read(512).split(b"\n")[0], f.read()
        f.seek(0)
        f.write(line[:-64] + hashlib.sha256(rest).hexdigest().encode())


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def write_run_json(folder, manifest):
    """A changed run.json gets the checksum of its new text. Returns its bytes."""
    manifest = {key: value for key, value in manifest.items() if key != "crc32c"}
    manifest["crc32c"] = f"{crc32c(json.dumps(manifest, indent=2).encode()):08x}"
    (folder / "run.json").write_text(json.dumps(manifest, indent=2))
    return (folder / "run.json").read_bytes()


def summary(folder):
    return json.loads((pathlib.Path(folder) / "summary.json").read_text())


def main(tests):
    """Runs these functions, or those of them that the command line names, and prints which failed or were skipped."""
    wanted = sys.argv[4:]
    failed = 0
    for test in tests:
        if wanted and test.__name__ not in wanted: continue
        try:
            test()
            print(f"ok      {test.__name__}", flush=True)
        except Skipped as why:
            print(f"SKIPPED {test.__name__}: {why}", flush=True)
        except Exception as fault:
            failed += 1
            print(f"FAILED  {test.__name__}: {fault}", flush=True)
    sys.exit(1 if failed else 0)
