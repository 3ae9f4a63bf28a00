#!/usr/bin/env python3
"""Samples that become longer than expected in a small KV cache: some are put back and their tokens replayed, and the answers are
the same bytes, through kills and drains.

    put_back.py MOEMILL SOURCE_DIR WORK_DIR"""
import random

from moemill_program import check, main, summary
from prefixes import prepare, run, same, stop_in_turn

SMALL = dict(kv_cache_tokens=704, max_num_seqs=12)


def job(name, model, count=60, longest=400):
    """Most answers are short, so that long ones are expected to be short as well."""
    draw = random.Random(5)
    prompts = [[draw.randrange(3, 250) for _ in range(draw.randint(1, 70))] for _ in range(count)]
    columns = {"n": [draw.choice([1, 1, 2, 4]) for _ in prompts], "max_tokens": [draw.choice([1, 3, 6, longest]) for _ in prompts]}
    return prepare(name, prompts, model, columns, "ignore_eos: true, logprobs: 2, prompt_logprobs: true, temperature: 0.8, seed: 4")


def same_bytes():
    for model in ("deepseek_v3", "gpt_oss", "mixtral_window"):
        folder = job("kinds_" + model, model, longest=180 if model == "mixtral_window" else 400)
        off = run(folder, "off")
        check(off["balance"]["replayed_tokens"] == 0 and 0 < off["balance"]["rows_mean_over_max"] <= 1, off["balance"])
        for number, layout in enumerate([dict(), dict(ranks=2), dict(ranks=3, expert_domain="1", max_num_batched_tokens=20), dict(prefix_cache="off")]):
            got = run(folder, f"small{number}", **{**SMALL, **layout})
            same(folder, f"small{number}")
            check(got["prompt_tokens"] == off["prompt_tokens"] and got["generated_tokens"] == off["generated_tokens"], model, layout, got)
            if model == "deepseek_v3" and number in (0, 3): check(got["balance"]["replayed_tokens"] > 0, layout, got["balance"])


def killed_drained_and_resumed():
    folder = job("resumed", "deepseek_v3", 160)
    run(folder, "off")
    text = (folder / "run.yaml").read_text().replace("max_num_seqs: 12", ", ".join(f"{k}: {v}" for k, v in SMALL.items()))
    (folder / "run.yaml").write_text(text)
    stop_in_turn(folder)
    run(folder, "out", 1)
    same(folder, "out")
    check(summary(folder / "out")["balance"]["replayed_tokens"] > 0, summary(folder / "out"))


if __name__ == "__main__":
    main([same_bytes, killed_drained_and_resumed])
