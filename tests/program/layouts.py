#!/usr/bin/env python3
"""One job, many layouts, the same bytes: ranks, threads, batch limits, shards, expert domains, nodes, micro-batches,
kernel bodies.

    layouts.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import random

import h5py
import numpy as np

from moemill_program import MODELS, check, differences, expect_exit, fresh, main, moemill, rows

# parallel and output settings by which a job can be laid out differently. The first is what all are compared with.
LAYOUTS = [
    dict(ranks=0),
    dict(ranks=1, threads=2),
    dict(ranks=2),
    dict(ranks=2, threads=2, batch=7, seqs=3),
    dict(ranks=3, shard=1),
    dict(ranks=3, shard=100, batch=64, seqs=1),
    dict(ranks=4, domain=2),
    dict(ranks=4, domain="node", per_node=2, shard=3),
    dict(ranks=4, domain=1, batch=33),
    dict(ranks=4, per_node=3, seqs=5),
    dict(ranks=2, micro=2),
    dict(ranks=3, micro=2, batch=16, seqs=16),
    dict(ranks=1, kv=256),
    dict(ranks=0, isa="plain"),
    dict(ranks=2, isa="avx2", threads=2),
    dict(ranks=2, isa="plain", micro=2, shard=2),
    dict(ranks=4, isa="avx512", batch=1, seqs=1),
]
# For most families: each kind of difference once.
FEW_LAYOUTS = [
    dict(ranks=0),
    dict(ranks=1, kv=256, threads=2),
    dict(ranks=2, isa="avx2", batch=7, seqs=3),
    dict(ranks=3, micro=2, batch=64),
    dict(ranks=4, domain=2, isa="plain", shard=3),
    dict(ranks=2, isa="avx512", micro=2, batch=33, threads=2),
]


def random_prompts(path, vocabulary, seed):
    draw = random.Random(seed)
    prefix = [draw.randrange(3, vocabulary) for _ in range(130)]  # two pages and a bit, shared by some prompts
    prompts, n, temperature, max_tokens, top_p = [], [], [], [], []
    for i in range(22):
        length = draw.choice([1, 2, 5, 17, 40, 63, 64, 65])
        own = [draw.randrange(3, vocabulary) for _ in range(length)]
        prompts.append(np.array((prefix if i % 4 == 0 else []) + own, dtype=np.int32))
        n.append(draw.choice([1, 1, 2, 3]))
        temperature.append(draw.choice([0.0, 0.7, 1.0, 1.5, float("nan")]))
        max_tokens.append(draw.choice([1, 3, 10, 24, -1]))
        top_p.append(draw.choice([0.5, 0.9, 1.0, -1.0]))
    with h5py.File(path, "w") as f:
        f.create_dataset("prompt_token_ids", (len(prompts),), dtype=h5py.vlen_dtype(np.int32))
        for i, tokens in enumerate(prompts): f["prompt_token_ids"][i] = tokens
        f["n"], f["temperature"], f["max_tokens"], f["top_p"] = n, temperature, max_tokens, top_p
        f["note"] = [f"row {i}" for i in range(len(prompts))]
    return path


def words_of(layout):
    sets = {"threads": "parallel.threads_per_rank", "batch": "parallel.max_num_batched_tokens",
            "seqs": "parallel.max_num_seqs", "shard": "output.shard_prompts", "domain": "parallel.expert_domain",
            "per_node": "parallel.ranks_per_node", "micro": "parallel.micro_batches", "kv": "parallel.kv_cache_tokens"}
    words = []
    for name, key in sets.items():
        if name in layout: words += ["--set", f"{key}={layout[name]}"]
    return words


def runs_here(isa):
    """Whether this CPU has the instruction set: `moemill --version` lists them."""
    line = next(l for l in moemill("--version").stdout.splitlines() if l.startswith("kernels"))
    return isa in line


def job(model, sampling, seed, layouts=FEW_LAYOUTS):
    folder = fresh(f"{model}-{seed}")
    vocabulary = json.loads((MODELS / model / "config.json").read_text())["vocab_size"]
    prompts = random_prompts(folder / "prompts.h5", vocabulary, seed)
    config = folder / "run.yaml"
    config.write_text(f"model: {{path: {MODELS / model}}}\ninput: {{path: {prompts}}}\n"
                      f"sampling: {{max_tokens: 12, seed: {seed}, {sampling}}}\noutput: {{store: [text, token_ids]}}\n"
                      "runtime: {log_level: warning}\n")
    first = None
    for number, layout in enumerate(layouts):
        if "isa" in layout and not runs_here(layout["isa"]):
            print(f"        {layout}: this CPU has no {layout['isa']}, skipped")
            continue
        out = folder / f"out-{number}"
        env = {"MOEMILL_ISA": layout["isa"]} if "isa" in layout else {}
        expect_exit(moemill("run", "-c", config, "-o", out, *words_of(layout), ranks=layout["ranks"], env=env), 0)
        if first is None:
            first = out / "outputs.h5"
            made = rows(first)
            check(all(row["status"] == 1 for row in made), "rows failed")
            check(len({tuple(row["token_ids"]) for row in made}) > len(made) // 2, "the rows hardly differ from each other")
            continue
        names = differences(first, out / "outputs.h5")
        check(not names, f"layout {layout} differs from {layouts[0]} in {names}")


def deepseek_v3():
    job("deepseek_v3", "logprobs: 3, prompt_logprobs: true, ignore_eos: true", 1, LAYOUTS)


def deepseek_v2_lite():
    job("deepseek_v2_lite", "top_k: 20, min_p: 0.01, repetition_penalty: 1.2, presence_penalty: 0.1, logprobs: 0", 2)


def gpt_oss():
    job("gpt_oss", "logprobs: 1, prompt_logprobs: true, ignore_eos: true", 3, LAYOUTS)


def gpt_oss_mxfp4():
    job("gpt_oss_mxfp4", "logprobs: 1", 4)


def mixtral_window():
    job("mixtral_window", "logprobs: 1, prompt_logprobs: true, ignore_eos: true", 5)


def qwen2_moe():
    job("qwen2_moe", "top_k: 30, frequency_penalty: 0.3, prompt_logprobs: true", 6)


def qwen3_moe():
    job("qwen3_moe", "logprobs: 2, prompt_logprobs: true", 7)


def olmoe():
    job("olmoe", "logprobs: 1, prompt_logprobs: true", 8)


def glm4_moe():
    job("glm4_moe", "logprobs: 1, prompt_logprobs: true, ignore_eos: true", 9)


if __name__ == "__main__":
    main([deepseek_v3, deepseek_v2_lite, gpt_oss, gpt_oss_mxfp4, mixtral_window, qwen2_moe, qwen3_moe, olmoe, glm4_moe])
