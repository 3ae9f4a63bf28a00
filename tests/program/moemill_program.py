"""Runs the built program for the tests of this folder: jobs on 1 to 4 ranks, prompt files, and whole output files as
plain values that compare byte for byte. Needs h5py and numpy; tests only."""
import functools
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np

PROGRAM, SOURCE, WORK = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
WORK.mkdir(parents=True, exist_ok=True)
MODELS = SOURCE / "tests/data/models"
SECONDS = 300  # longer than any of these jobs takes on a machine that is busy with other work, too: beyond it, it hangs


def fresh(name):
    """An empty folder of this test."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@functools.cache
def mpirun_options():
    """More ranks than cores leave the core when they wait: else each message takes a time slice of the one that waits
    for it. Only Open MPI knows these words."""
    about = subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout
    return ["--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"] if "Open MPI" in about else []


def command(ranks, *words):
    """ranks 0 is a plain process without a launcher, on one core: two threads on models so small would only wait for
    each other."""
    one_core = ["taskset", "-c", str(random.choice(sorted(os.sched_getaffinity(0))))]
    launcher = ["mpirun", "-n", str(ranks), *mpirun_options()] if ranks else one_core
    return launcher + [str(PROGRAM)] + [str(w) for w in words]


def environment(more=None):
    return dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **(more or {}))


def moemill(*words, ranks=0, env=None, cwd=None, seconds=SECONDS):
    """The finished process."""
    return subprocess.run(command(ranks, *words), env=environment(env), cwd=cwd or WORK, timeout=seconds, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def start(folder, ranks=0, env=None):
    """A job of the folder's run.yaml at work."""
    return subprocess.Popen(command(ranks, "run", "-c", folder / "run.yaml"), env=environment(env),
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def start_quietly(folder, words=None, env=None):
    """A job of the folder's run.yaml at work, with rows on disk; `words` start it in another way."""
    job = subprocess.Popen(words or command(0, "run", "-c", folder / "run.yaml"), env=environment(env), stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    end = time.monotonic() + SECONDS
    while not list((folder / "out/shards").glob("*.h5")) and job.poll() is None and time.monotonic() < end: time.sleep(0.01)
    return job


def prepared(name, count, max_tokens, sampling, more=""):
    """A folder with prompts p.h5 and a run.yaml of small shards; `sampling`: further settings, `more`: further sections."""
    folder = fresh(name)
    write_prompts(folder / "p.h5", {"prompt": [f"alpha beta {i}" for i in range(count)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        f"sampling: {{max_tokens: {max_tokens}, ignore_eos: true, {sampling}}}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 8, journal_flush_seconds: 0.05}}\n{more}")
    return folder


def mpirun_is_stuck(log):
    """Whether mpirun said that the job is over. With all ranks gone it then hangs in its own end, which Open MPI
    4.1.4 with libpmix 4.2.2 (Debian 12) does now and then when a rank is killed while the job starts: in
    PMIx_server_finalize on a lock of its own, or waiting for an agent that has ended."""
    return "the job has been aborted" in log and "mpirun noticed that process rank" in log


class Skipped(Exception):
    """Why this machine cannot do a test."""


def check(holds, *what):
    if not holds: raise AssertionError(" ".join(str(w) for w in what))


def expect_exit(done, code):
    check(done.returncode == code, f"exit {done.returncode}, not {code}\n{done.args}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done


def write_prompts(path, columns):
    """{name: list or array} as datasets of one file."""
    with h5py.File(path, "w") as f:
        for name, values in columns.items(): f[name] = values
    return path


def datasets(path):
    """{dataset path: (dtype, shape, values)} of a whole file, root attributes left out; values as bytes."""
    found = {}

    def visit(name, item):
        if not isinstance(item, h5py.Dataset): return
        values = item[()]
        text = h5py.check_string_dtype(item.dtype)
        raw = repr(values.tolist()).encode() if text or values.dtype.hasobject else np.ascontiguousarray(values).tobytes()
        found[name] = (str(item.dtype), item.shape, raw)
    with h5py.File(path) as f: f.visititems(visit)
    return found


def differences(a, b):
    """Names of the datasets that differ between two files."""
    left, right = datasets(a), datasets(b)
    return sorted(set(left) ^ set(right)) + sorted(n for n in set(left) & set(right) if left[n] != right[n])


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


def rows(path):
    """The completions of a file as a list of dictionaries."""
    with h5py.File(path) as f:
        c = f["completions"]
        out = [{name: c[name][i] for name in ("prompt_index", "sample_index", "id", "status", "finish_reason", "seed",
                                              "num_prompt_tokens", "num_completion_tokens", "cumulative_logprob")}
               for i in range(len(c["prompt_index"]))]
        for name in ("text", "token_ids"):
            if name not in c: continue
            values, offsets = c[name]["values"][:], c[name]["offsets"][:]
            for i, row in enumerate(out): row[name] = values[offsets[i]:offsets[i + 1]]
            if name == "text":
                for row in out: row[name] = row[name].tobytes().decode()
        return out


def summary(folder):
    return json.loads((pathlib.Path(folder) / "summary.json").read_text())


def main(tests):
    """Runs the functions given (or those named behind the folders), and says which failed or could not be done."""
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
