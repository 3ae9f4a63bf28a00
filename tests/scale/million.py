#!/usr/bin/env python3
"""Many prompts through the program: does a rank's memory stay constant, is the cost per prompt constant, and how long do a
resume, `status` and `verify` take?

    million.py MOEMILL SOURCE_DIR WORK_DIR [--prompts 10000,100000,1000000] [--ranks 2] [--shard-prompts 1024]
               [--repeat 1] [--set KEY=VALUE ...] [--flat 1.1]

The model is tiny with random weights, so nearly everything measured is the program's own cost. All sizes have shards of
the same number of prompts (or `auto`), because a shard has a cost of its own. Each size is run undisturbed and verified,
then run again with a drain (SIGUSR1) in mid-job, resumed, and compared with the first byte for byte. Complete jobs are
repeated as requested, each size in turn: the row shows the fastest one, and the cost per prompt of all. With --flat there
are only complete jobs, and no rank may use that many times the memory for the last size as for the first. Prints a table;
needs h5py and numpy."""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "program"))
arguments = argparse.ArgumentParser()
arguments.add_argument("--prompts", default="10000,100000,1000000")
arguments.add_argument("--ranks", type=int, default=2)
arguments.add_argument("--shard-prompts", default="1024")
arguments.add_argument("--repeat", type=int, default=1)
arguments.add_argument("--set", action="append", default=[])
arguments.add_argument("--flat", type=float)
options, sys.argv[4:] = arguments.parse_args(sys.argv[4:]), []
from moemill_program import MODELS, PROGRAM, check, differences, expect_exit, fresh, moemill, write_prompts  # noqa: E402

SECONDS = 3600
WORDS = "the mill grinds corn and rye while water turns its wheel under old stones of a quiet valley".split()


def write_model(folder):
    """A Mixtral of one layer, 32 wide, with the tokenizer of the tests."""
    config = json.loads((MODELS / "mixtral/config.json").read_text())
    config |= {"hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
               "num_key_value_heads": 1, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 1}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_bytes((MODELS / "mixtral" / name).read_bytes())


def write_job(folder, count):
    rng = random.Random(1)
    pool = [" ".join(rng.choices(WORDS, k=8)) for _ in range(4096)]
    write_prompts(folder / "p.h5", {"prompt": [f"{i} {pool[i * 7 % 4096]}" for i in range(count)],
                                    "id": [f"row-{i:08}" for i in range(count)], "topic": [i % 18 for i in range(count)]})
    (folder / "run.yaml").write_text(
        f"model: {{path: {folder / 'model'}, load_format: dummy}}\ninput: {{path: {folder / 'p.h5'}}}\n"
        f"sampling: {{max_tokens: 8, ignore_eos: true}}\noutput: {{dir: {folder / 'out'}}}\n"
        "parallel: {threads_per_rank: 1, kv_cache_tokens: 65536}\n")


# A rank under an extra process, which writes the rank's peak memory in KB when it has ended: observed from outside, a short job could end
# before its peak was seen.
RANK = """import os, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1] + os.environ["OMPI_COMM_WORLD_RANK"], "w") as f: f.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)"""


def at_work(out):
    """Whether its ranks have started: before that, a signal just ends them."""
    return any((out / "journal").glob("*.journal")) or any((out / "shards").glob("*.h5"))


def job(folder, out, drain_after=None):
    """Runs a job to its end: exit code, seconds and memory per rank (MB, if the job is not drained)."""
    rank = [] if drain_after else [sys.executable, "-c", RANK, str(folder / "memory-")]
    command = ["mpirun", "-n", str(options.ranks), "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1",
               *rank, str(PROGRAM), "run", "-c", str(folder / "run.yaml"), "-o", str(out)]
    for setting in [f"output.shard_prompts={options.shard_prompts}", "output.keep_shards=true", *options.set]: command += ["--set", setting]
    begun = time.monotonic()
    process = subprocess.Popen(command, env=dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1"),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if drain_after:
        time.sleep(drain_after)
        while process.poll() is None and not at_work(out): time.sleep(0.01)
        process.send_signal(signal.SIGUSR1)
    log = process.communicate(timeout=SECONDS)[0]
    seconds = time.monotonic() - begun
    memory = {} if drain_after else {r: int((folder / f"memory-{r}").read_text()) / 1024 for r in range(options.ranks)}
    return process.returncode, seconds, memory, log


def timed(*words):
    begun = time.monotonic()
    done = expect_exit(moemill(*words, seconds=SECONDS), 0)
    return time.monotonic() - begun, done.stdout


def prepare(count):
    folder = fresh(f"million-{count}")
    write_model(folder / "model")
    write_job(folder, count)
    return folder


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def whole_job(folder, count):
    """Its part of the table's row. The last line of metrics.jsonl is written when the ranks' work is over, before the merge."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    code, seconds, memory, log = job(folder, folder / "out")
    check(code == 0, f"exit {code}", log[-3000:])
    whole = json.loads((folder / "out/summary.json").read_text())
    shards = sorted((folder / "out/shards").iterdir())
    return {"prompts": count, "seconds": seconds, "start s": whole["load_seconds"],
            "us a prompt": 1e6 * (whole["wall_seconds"] - whole["load_seconds"]) / count,
            "merge s": whole["wall_seconds"] - metrics(folder / "out")[-1]["wall_seconds"],
            "MB by rank": " ".join(f"{memory[r]:.0f}" for r in sorted(memory)), "shards": len(shards),
            "shard KB": sum(p.stat().st_size for p in shards) / len(shards) / 1024,
            "outputs MB": (folder / "out/outputs.h5").stat().st_size / 2**20}


def measure(folder, jobs):
    """The row for a size, of which this many complete jobs were run."""
    row = min(jobs, key=lambda job: job["us a prompt"])
    seconds = row["seconds"]
    row["us a prompt"] = ", ".join(f"{us:.3g}" for us in sorted(job["us a prompt"] for job in jobs))
    if options.flat: return row
    row["status s"] = timed("status", folder / "out")[0]
    row["verify s"] = timed("verify", folder / "out")[0]
    row["deep s"] = timed("verify", "--deep", folder / "out")[0]

    code, _, _, log = job(folder, folder / "again", drain_after=0.5 * seconds)
    check(code in (0, 75), f"exit {code} after a drain", log[-3000:])
    row["drained at"] = json.loads(timed("status", "--json", folder / "again")[1])["done"] if code == 75 else "end"
    code, _, _, log = job(folder, folder / "again")
    check(code == 0, f"exit {code} of the resumed job", log[-3000:])
    last = metrics(folder / "again")[-1]
    row["resume s"] = last["load_seconds"] if last["attempt"] == 2 else 0.0
    row["again s"] = job(folder, folder / "again")[1]
    check(not differences(folder / "out/outputs.h5", folder / "again/outputs.h5"), "the resumed job's bytes differ")
    return row


folders = {count: prepare(count) for count in map(int, options.prompts.split(","))}
rounds = [{count: whole_job(folder, count) for count, folder in folders.items()} for _ in range(options.repeat)]
rows = [measure(folder, [jobs[count] for jobs in rounds]) for count, folder in folders.items()]
text = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
for row in text: print("| " + " | ".join(row) + " |")
if options.flat:
    first, last = ([float(mb) for mb in row["MB by rank"].split()] for row in (rows[0], rows[-1]))
    check(len(first) == options.ranks and min(first) > 20, "memory was not seen", rows[0])
    check(all(b <= options.flat * a for a, b in zip(first, last)), "memory grows with the prompts:", first, last)
