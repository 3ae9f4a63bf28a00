#!/usr/bin/env python3
"""One job, many layouts, the same bytes: ranks, threads, batch limits, shards, expert domains, nodes, micro-batches,
kernel bodies.

    layouts.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import pathlib

import h5py

from job_layouts import FEW_LAYOUTS, INT8_LAYOUTS, LAYOUTS, NODE_LAYOUTS, environment_of, words_of
from launch import instruction_sets
from moemill_program import MODELS, PROGRAM, SOURCE, check, differences, expect_exit, fresh, main, moemill, rows
from prompt_files import random_prompts


def job(model, sampling, seed, layouts=FEW_LAYOUTS, arithmetic="bf16", expert_sum="auto"):
    """Returns the outputs of the first layout."""
    folder = fresh(f"{pathlib.PurePath(model).name}-{seed}-{arithmetic}-{expert_sum}")
    vocabulary = json.loads((MODELS / model / "config.json").read_text())["vocab_size"]
    prompts = random_prompts(folder / "prompts.h5", vocabulary, seed)
    config = folder / "run.yaml"
    config.write_text(f"model: {{path: {MODELS / model}, arithmetic: {arithmetic}, expert_sum: {expert_sum}}}\ninput: {{path: {prompts}}}\n"
                      f"sampling: {{max_tokens: 12, seed: {seed}, {sampling}}}\noutput: {{store: [text, token_ids]}}\n"
                      "runtime: {log_level: warning}\n")
    first, here = None, instruction_sets(PROGRAM)
    for number, layout in enumerate(layouts):
        if layout.get("prefer") in here: layout = {**layout, "isa": layout["prefer"]}
        if layout.get("isa", "plain") not in here:
            print(f"        {layout}: this CPU has no {layout['isa']}, skipped")
            continue
        out = folder / f"out-{number}"
        done = moemill("run", "-c", config, "-o", out, *words_of(layout), ranks=layout["ranks"], env=environment_of(layout))
        expect_exit(done, 0)
        if first is None:
            first = out / "outputs.h5"
            made = rows(first)
            check(all(row["status"] == 1 for row in made), "rows failed")
            check(len({tuple(row["token_ids"]) for row in made}) > len(made) // 2, "the rows hardly differ from each other")
            continue
        names = differences(first, out / "outputs.h5")
        check(not names, f"layout {layout} differs from {layouts[0]} in {names}")
    return first


def deepseek_v3():
    """Its router keeps two of four groups, by which outputs are summed; sums of picks are other answers, also the same in any layout."""
    sampling = "logprobs: 3, prompt_logprobs: true, ignore_eos: true"
    auto = job("deepseek_v3", sampling, 1, LAYOUTS)
    groups = job("deepseek_v3", sampling, 1, LAYOUTS[:1], expert_sum="groups")
    picks = job("deepseek_v3", sampling, 1, NODE_LAYOUTS, expert_sum="picks")
    check(not differences(auto, groups), "auto is not groups")
    check(differences(auto, picks), "the kind of sum changes nothing")


def demo():
    """As deepseek_v3, with four groups of four."""
    model, sampling = SOURCE / "configs/demo/model", "logprobs: 1, ignore_eos: true"
    groups = job(model, sampling, 13, NODE_LAYOUTS)
    picks = job(model, sampling, 13, NODE_LAYOUTS[:1] + NODE_LAYOUTS[3:8], expert_sum="picks")
    check(differences(groups, picks), "the kind of sum changes nothing")


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


def int8_latent():
    """Its rows are others than those of bf16."""
    sampling = "logprobs: 2, prompt_logprobs: true, ignore_eos: true"
    int8 = job("deepseek_v3_fp8", sampling, 10, INT8_LAYOUTS, arithmetic="int8")
    bf16 = job("deepseek_v3_fp8", sampling, 10, INT8_LAYOUTS[:1])
    check(differences(int8, bf16), "int8 changes nothing")
    with h5py.File(int8) as f: check(f.attrs["arithmetic"] == "exact-3-int8-groups" and "int8 by " in f.attrs["backend"], dict(f.attrs))


def int8_grouped():
    job("gpt_oss", "logprobs: 1, prompt_logprobs: true, ignore_eos: true", 12, INT8_LAYOUTS, arithmetic="int8")


def glm4_moe():
    job("glm4_moe", "logprobs: 1, prompt_logprobs: true, ignore_eos: true", 9)


if __name__ == "__main__":
    main([deepseek_v3, demo, deepseek_v2_lite, gpt_oss, gpt_oss_mxfp4, mixtral_window, qwen2_moe, qwen3_moe, olmoe, glm4_moe,
          int8_latent, int8_grouped])
