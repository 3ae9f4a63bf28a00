#!/usr/bin/env python3
"""Speed and memory of prompts.py and outputs.py on many rows, by hand and not in CI:

    million.py [--rows 1000000] [--small 100000] [--work DIR] [NAME ...]

Each way in and out is done with `small` and with `rows` rows. Printed: wall and CPU seconds, rows and MB (of input) per
CPU second, peak memory of both. Memory is flat when the last two agree. Needs pyarrow."""
import argparse
import gzip
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import tools

WORDS = "the mill grinds corn and rye while water turns its wheel — größe 水 under old stones of a quiet valley".split()
CHAT_TEMPLATE = ("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
                 "{% if add_generation_prompt %}<|assistant|>{% endif %}")


def texts(rng, count): return [" ".join(rng.choices(WORDS, k=60)) for _ in range(count)]


def records(count):
    rng = random.Random(1)
    pool = texts(rng, 4096)
    for i in range(count):
        yield {"id": f"row-{i:08}", "prompt": f"{i} {pool[i * 7 % 4096]}", "temperature": 0.7, "n": 1 + i % 3, "max_tokens": 64,
               "topic": WORDS[i % 18], "level": i % 7, "score": i / 7}


def make_jsonl(path, count):
    with (gzip.open(path, "wt", 4, "utf-8") if path.suffix == ".gz" else open(path, "w", encoding="utf-8")) as f:
        for r in records(count): f.write(json.dumps(r, ensure_ascii=False) + "\n")


def make_chat(path, count):
    with open(path, "w", encoding="utf-8") as f:
        for r in records(count):
            f.write(json.dumps({"id": r["id"], "messages": [{"role": "system", "content": "You are a miller."},
                                                            {"role": "user", "content": r["prompt"]}]}, ensure_ascii=False) + "\n")


def make_batch(path, count):
    with open(path, "w", encoding="utf-8") as f:
        for r in records(count):
            body = {"model": "m", "messages": [{"role": "user", "content": r["prompt"]}], "max_tokens": 64, "temperature": 0.7}
            f.write(json.dumps({"custom_id": r["id"], "method": "POST", "url": "/v1/chat/completions", "body": body},
                               ensure_ascii=False) + "\n")


def make_csv(path, count):
    import csv
    with open(path, "w", encoding="utf-8", newline="") as f:
        w = None
        for r in records(count):
            if w is None:
                w = csv.DictWriter(f, list(r))
                w.writeheader()
            w.writerow(r)


def make_parquet(path, count):
    import pyarrow as pa
    import pyarrow.parquet as pq
    rows, writer = records(count), None
    while block := list(itertools.islice(rows, 65536)):
        table = pa.Table.from_pylist(block)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def make_outputs(path, rows):
    """Two samples per prompt, one text in 16 repeated; logprobs; a carried column of each kind and the messages."""
    rng = random.Random(2)
    pool = texts(rng, 4096)
    made = tools.OutputsMaker(path)
    for first in range(0, rows // 2, 4096):
        prompts = range(first, min(rows // 2, first + 4096))
        both = [p for p in prompts for _ in range(2)]
        which = [(p * 2 + s) if (p * 2 + s) % 16 else 0 for p in prompts for s in range(2)]
        tokens = [list(range(30 + w % 5)) for w in which]
        made.rows(both, [0, 1] * len(prompts), [f"row-{p:08}" for p in both], [f"{w} {pool[w * 7 % 4096]}".encode() for w in which],
                  tokens, logprobs=[[-0.01 * (w % 50)] * len(t) for w, t in zip(which, tokens)])
        made.carry("topic", [WORDS[p % 18] for p in prompts]).carry("level", [p % 7 for p in prompts], "i8")
        made.carry("messages", [json.dumps([{"role": "user", "content": pool[p % 4096]}], ensure_ascii=False) for p in prompts])
    made.done()


def make_prompts(path, rows):
    """The prompts.h5 of these outputs, made by prompts.py."""
    lines = path.with_suffix(".jsonl")
    with open(lines, "w", encoding="utf-8") as f:
        for p, text in zip(range(rows // 2), itertools.cycle(texts(random.Random(3), 4096))): f.write(json.dumps({"id": f"row-{p:08}", "prompt": text}) + "\n")
    measured(tools.SCRIPTS / "prompts.py", lines, "-o", path, "--quiet")


def make_scores(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        for i in range(rows): f.write(json.dumps({"id": f"row-{i // 2:08}", "sample_index": i % 2, "score": i * 7919 % 1000 / 1000}) + "\n")


# The process reports its own peak, because wait4's value includes the parent's memory at the fork.
RUNNER = """import os, runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(sum(os.times()[:2]), *[line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")])"""


def measured(*words):
    """(wall seconds, CPU seconds, peak MB) of a script."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", RUNNER, *map(str, words)], capture_output=True, text=True)
    tools.check(done.returncode == 0, words, done.stderr)
    cpu, peak = map(float, done.stdout.splitlines()[-1].split())
    return time.monotonic() - began, cpu, peak / 1024


WAYS_IN = {"jsonl": (make_jsonl, []), "jsonl.gz": (make_jsonl, []), "jsonl chat": (make_chat, ["--chat-template", "template.jinja"]),
           "openai batch": (make_batch, ["--chat-template", "template.jinja"]), "csv": (make_csv, []),
           "parquet": (make_parquet, [])}
WAYS_OUT = {"rows jsonl": ("jsonl", []), "rows jsonl.gz": ("jsonl.gz", []), "rows parquet": ("parquet", []), "messages jsonl": ("jsonl", ["--format", "messages"]),
            "messages parquet": ("parquet", ["--format", "messages"]),
            "openai results": ("jsonl", ["--format", "openai-batch"]),
            "prompt-completion": ("jsonl", ["--format", "prompt-completion", "--prompts", "prompts.h5"]),
            "pairs by --scores": ("jsonl", ["--format", "pairs", "--scores", "scores.jsonl"]),
            "pairs by logprob": ("jsonl", ["--format", "pairs", "--score", "mean_logprob"]),
            "messages, no duplicates": ("jsonl", ["--format", "messages", "--dedup", "--min-mean-logprob", "-0.4"])}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=1_000_000)
    p.add_argument("--small", type=int, default=100_000)
    p.add_argument("--work", type=pathlib.Path, default=tools.SOURCE / "build/million")
    p.add_argument("names", nargs="*", metavar="NAME", help="ways to measure (default: all)")
    o = p.parse_args()
    o.work.mkdir(parents=True, exist_ok=True)
    os.chdir(o.work)
    pathlib.Path("template.jinja").write_text(CHAT_TEMPLATE)
    print(f"{'way':26} {'wall s':>8} {'CPU s':>8} {'rows/CPU s':>11} {'MB/CPU s':>9} {'peak MB':>8} {'at %d' % o.small:>10}")

    def tell(name, count, size, run):
        _, _, small = run(o.small)
        wall, cpu, large = run(count)
        print(f"{name:26} {wall:8.1f} {cpu:8.1f} {count / cpu:11,.0f} {size(count) / 1e6 / cpu:9.1f} {large:8.1f} {small:10.1f}",
              flush=True)

    for name, (make, words) in WAYS_IN.items():
        if o.names and name not in o.names: continue
        def source(count): return pathlib.Path(f"{name.replace(' ', '-')}-{count}." + (name if name in ("csv", "parquet", "jsonl.gz") else "jsonl"))
        def run(count):
            if not source(count).exists(): make(source(count), count)
            return measured(tools.SCRIPTS / "prompts.py", source(count), "-o", "in.h5", "--overwrite", "--quiet", *words)
        tell("in: " + name, o.rows, lambda count: source(count).stat().st_size, run)
    for name, (ending, words) in WAYS_OUT.items():
        if o.names and name not in o.names: continue
        def run(count):
            path = pathlib.Path(f"outputs-{count}.h5")
            if not path.exists(): make_outputs(path, count)
            beside = {"prompts.h5": make_prompts, "scores.jsonl": make_scores}
            for file in beside.keys() & set(words):
                if not pathlib.Path(f"{count}-{file}").exists(): beside[file](pathlib.Path(f"{count}-{file}"), count)
            return measured(tools.SCRIPTS / "outputs.py", path, "-o", f"out.{ending}", "--overwrite", *(f"{count}-{w}" if w in beside else w for w in words))
        tell("out: " + name, o.rows, lambda count: pathlib.Path(f"outputs-{count}.h5").stat().st_size, run)


if __name__ == "__main__":
    main()
