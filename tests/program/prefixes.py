#!/usr/bin/env python3
"""Prompts that begin alike: what is computed, counted to the token, and the same bytes with the cache of prefixes on, off, and
with the least KV cache, through kills and drains.

    prefixes.py MOEMILL SOURCE_DIR WORK_DIR"""
import pathlib
import random
import resource
import signal
import sys
import time

import h5py
import numpy as np

from moemill_program import (MODELS, SECONDS, check, differences, expect_exit, fresh, main, moemill, start, summary)

sys.path.append(str(pathlib.Path(__file__).resolve().parent / "runs"))
from resume import size  # noqa: E402

LEAST = 16  # shared tokens


def families(seed, count, longest):
    """Prompts as token ids; each has a last token of its own, or is a duplicate."""
    draw = random.Random(seed)
    own = lambda most: [draw.randrange(3, 250) for _ in range(draw.randint(1, most))]
    template = own(30) + own(30)
    prompts = []
    for i in range(count):
        kind = draw.random()
        if prompts and kind < 0.1: prompts.append(draw.choice(prompts))
        elif prompts and kind < 0.6:
            parent = draw.choice(prompts)
            prompts.append((parent[:draw.randint(0, len(parent) - 1)] + own(60))[:longest - 1] + [i % 60 + 251])
        elif kind < 0.9: prompts.append((template + own(80))[:longest - 1] + [i % 60 + 251])
        else: prompts.append(own(100) + [i % 60 + 251])
    return prompts


def least_tokens(prompts):
    """Nodes of the tree of the prompts' tokens that 16 or more of another prompt's lead to, and all others as often as they occur. A
    prompt's last token is always computed."""
    computed, last = 0, []
    for prompt in sorted(prompts):
        common = 0
        while common < min(len(prompt), len(last)) and prompt[common] == last[common]: common += 1
        common = min(common, len(prompt) - 1)
        computed += len(prompt) - (common if common >= LEAST else 0)
        last = prompt
    return computed


def prepare(name, prompts, model="deepseek_v3", columns=(), sampling="max_tokens: 12, ignore_eos: true", parallel="max_num_seqs: 12"):
    folder = fresh(name)
    with h5py.File(folder / "p.h5", "w") as f:
        f.create_dataset("prompt_token_ids", (len(prompts),), dtype=h5py.vlen_dtype(np.int32))
        for i, tokens in enumerate(prompts): f["prompt_token_ids"][i] = np.array(tokens, dtype=np.int32)
        for key, values in dict(columns).items(): f[key] = values
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / model}}}\ninput: {{path: {folder / 'p.h5'}}}\nsampling: {{{sampling}}}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 8, journal_flush_seconds: 0.05}}\n"
        f"parallel: {{{parallel}}}\n")
    return folder


def run(folder, out, ranks=0, more=(), **settings):
    words = [w for key, value in settings.items() for w in ("--set", f"parallel.{key}={value}")] + list(more)
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / out, *words, ranks=ranks), 0)
    return summary(folder / out)


def same(folder, out, other="off"):
    found = differences(folder / other / "outputs.h5", folder / out / "outputs.h5")
    check(not found, out, "differs from", other, "in", found)


def computed_to_the_token():
    prompts = families(5, 150, 300)
    folder = prepare("counts", prompts)
    tokens, least = sum(map(len, prompts)), least_tokens(prompts)
    check(least < 0.7 * tokens, "too little is shared to test anything", least, tokens)
    off = run(folder, "off", prefix_cache="off")
    check(off["prompt_tokens"] == tokens and off["cached_prompt_tokens"] == 0, off)
    check(off["prefix"] == {"shared_tokens": 0, "hit_tokens": 0, "repeated_tokens": 0}, off["prefix"])
    for ranks in (0, 2, 3):
        for domain in ("world", "1")[:1 if ranks == 0 else 2]:
            out = f"on{ranks}{domain}"
            got = run(folder, out, ranks, expert_domain=domain)
            same(folder, out)
            prefix = got["prefix"]
            check(got["prompt_tokens"] == tokens, got)
            check(got["cached_prompt_tokens"] == prefix["hit_tokens"] == tokens - least - prefix["repeated_tokens"], got, tokens, least)
            check(prefix["shared_tokens"] == tokens - least, prefix, tokens - least)
            check(prefix["repeated_tokens"] == 0 if ranks == 0 else 0 < prefix["repeated_tokens"] < 0.25 * (tokens - least), out, prefix)


def a_trace_with_56_percent_shared():
    draw = random.Random(7)
    beginnings = [[draw.randrange(3, 250) for _ in range(140)] for _ in range(2)]
    prompts = [beginnings[i % 2] + [251 + i % 60] + [draw.randrange(3, 250) for _ in range(109)] for i in range(120)]
    folder = prepare("trace", prompts)
    got = run(folder, "on")
    tokens, least = sum(map(len, prompts)), least_tokens(prompts)
    share = got["cached_prompt_tokens"] / got["prompt_tokens"]
    check(got["cached_prompt_tokens"] == tokens - least, got)
    check(0.55 <= share <= 0.57, share)


def windows_samples_scores_and_little_memory():
    """Models with latent attention, with windows, and with windows in all layers."""
    for model in ("deepseek_v3", "gpt_oss", "mixtral_window"):
        draw = random.Random(11)
        prompts = families(12, 60, 220)
        columns = {"n": [draw.choice([1, 1, 2, 3]) for _ in prompts], "max_tokens": [draw.choice([0, 1, 8, 20]) for _ in prompts]}
        folder = prepare("kinds_" + model, prompts, model, columns,
                         "ignore_eos: true, logprobs: 2, prompt_logprobs: true, temperature: 0.8, seed: 4")
        off = run(folder, "off", prefix_cache="off")
        layouts = [dict(), dict(ranks=2), dict(ranks=2, micro_batches=2, max_num_batched_tokens=40), dict(kv_cache_tokens=384),
                   dict(ranks=3, kv_cache_tokens=448, max_num_seqs=4)]
        for number, layout in enumerate(layouts):
            got = run(folder, f"on{number}", **layout)
            same(folder, f"on{number}")
            check(got["prompt_tokens"] == off["prompt_tokens"] and got["prefix"]["hit_tokens"] > 0, model, layout, got)


def texts_that_begin_alike():
    """Texts are tokenised before the first step; one that fails keeps its place."""
    folder = fresh("texts")
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
    draw = random.Random(2)
    beginning = " ".join(draw.choices(words, k=12))
    texts = [beginning + " " + " ".join(draw.choices(words, k=4)) for _ in range(40)]
    texts[7], texts[20] = "", beginning * 40  # fails, too long
    with h5py.File(folder / "p.h5", "w") as f: f["prompt"] = texts
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\nsampling: {{max_tokens: 8}}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 8}}\n")
    for out, ranks, cache in (("off", 0, "off"), ("on", 0, "auto"), ("on2", 2, "auto")):
        words_ = ["run", "-c", folder / "run.yaml", "-o", folder / out, "--set", f"parallel.prefix_cache={cache}"]
        done = moemill(*words_, ranks=ranks)
        check(done.returncode in (0, 3), done.returncode, done.stderr)  # two rows of forty fail
    same(folder, "on"), same(folder, "on2")
    check(summary(folder / "on")["prefix"]["hit_tokens"] > 0, summary(folder / "on"))


def more_shards_at_once_than_files_may_be_open():
    """Prompts that begin alike stand in all shards, so all journals are open; the soft limit of the shell is raised."""
    draw = random.Random(4)
    beginnings = [[draw.randrange(3, 250) for _ in range(40)] for _ in range(10)]
    prompts = [beginnings[i % 10] + [251 + i % 60] for i in range(400)]
    folder = prepare("files", prompts, sampling="max_tokens: 30, ignore_eos: true")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (48, hard))
    try: run(folder, "on", more=("--set", "output.shard_prompts=4"))
    finally: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    run(folder, "off", prefix_cache="off")
    same(folder, "on")


def journal_bytes(folder):
    return sum(size(journal) for journal in (folder / "out/journal").glob("*.journal"))


def until_rows(folder, process, before):
    """Waits for more rows in journals; False if the job ends before."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if process.poll() is not None: return False
        if journal_bytes(folder) > before + 4000: return True
        time.sleep(0.005)
    raise AssertionError(f"no rows within {SECONDS} s")


def stop_in_turn(folder):
    """Attempts of the folder's run on different ranks that are drained or killed once they have made rows; returns how many were."""
    stopped = 0
    for ranks, way in ((2, "drain"), (0, "kill"), (3, "drain")):
        before = journal_bytes(folder)
        process = start(folder, ranks)
        if not until_rows(folder, process, before): break
        stopped += 1
        if way == "drain": (folder / "out/stop").touch()
        else: process.send_signal(signal.SIGKILL)
        process.communicate(timeout=SECONDS)
        time.sleep(0.2)
    check(stopped > 0, "the job was over before it could be stopped")
    return stopped


def killed_drained_and_resumed():
    draw = random.Random(21)
    prompts = families(22, 160, 200)
    folder = prepare("resumed", prompts, columns={"n": [draw.choice([1, 2]) for _ in prompts]},
                     sampling="max_tokens: 250, ignore_eos: true, logprobs: 1, prompt_logprobs: true", parallel="max_num_seqs: 8")
    run(folder, "off", prefix_cache="off")
    stopped = stop_in_turn(folder)
    run(folder, "out", 2)
    same(folder, "out")
    check(summary(folder / "out")["attempts"] == stopped + 1, stopped, summary(folder / "out"))


def many_small_families_in_flight_at_a_drain():
    """What is begun of a shard are members of several families, which do not stand in the order of the file."""
    draw = random.Random(31)
    beginnings = [[draw.randrange(3, 250) for _ in range(30)] for _ in range(120)]
    prompts = [beginnings[i % 120] + [251 + i % 60] for i in range(240)]
    folder = prepare("many", prompts, columns={"max_tokens": [3 if i % 9 == 0 else 300 for i in range(240)]},
                     sampling="ignore_eos: true, logprobs: 1", parallel="max_num_seqs: 64")
    more = ("--set", "output.shard_prompts=240")
    run(folder, "off", prefix_cache="off", more=more)
    text = (folder / "run.yaml").read_text()
    (folder / "run.yaml").write_text(text.replace("shard_prompts: 8", "shard_prompts: 240"))
    process = start(folder, 2)
    check(until_rows(folder, process, -3800), "the job was over before it could be stopped")
    (folder / "out/stop").touch()
    process.communicate(timeout=SECONDS)
    begun = journal_bytes(folder)
    run(folder, "out")  # lots of one rank are large enough for several families
    same(folder, "out")
    check(begun > 0 and summary(folder / "out")["attempts"] == 2, begun, summary(folder / "out"))


if __name__ == "__main__":
    main([computed_to_the_token, a_trace_with_56_percent_shared, windows_samples_scores_and_little_memory, texts_that_begin_alike,
          more_shards_at_once_than_files_may_be_open, killed_drained_and_resumed,
          many_small_families_in_flight_at_a_drain])
