#!/usr/bin/env python3
"""Experts placed by measured load: the demo on four pretended nodes, its first attempt without loads, later ones with.

    expert_load.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import shutil
import subprocess
import sys

from moemill_program import MODELS, SOURCE, check, differences, expect_exit, fresh, main, moemill, summary
from prompt_files import write_prompts

NODES = ["--set", "parallel.ranks_per_node=1", "--set", "parallel.expert_domain=world", "--set", "parallel.rebalance.policy=measured"]


def demo_job(folder, out, *words, ranks=4):
    prompts = folder / "p.h5"
    if not prompts.exists():
        subprocess.run([sys.executable, SOURCE / "configs/demo/make_prompts.py", SOURCE / "configs/demo/prompts.jsonl", prompts],
                       check=True, stdout=subprocess.DEVNULL)
    return moemill("run", "-c", SOURCE / "configs/demo/run.yaml", "--set", f"model.path={SOURCE / 'configs/demo/model'}",
                   "-i", prompts, "-o", out, *words, ranks=ranks)


def picks_of(out):
    return sum(sum(layer["counts"]) for layer in json.loads((out / "expert_load.json").read_text())["layers"])


def the_next_run_starts_placed():
    folder = fresh("placed")
    first, second = folder / "first", folder / "second"
    done = demo_job(folder, first, *NODES, "--set", "parallel.redundant_experts=4")
    expect_exit(done, 0)
    before = summary(first)["expert_load"]
    check(before["max_over_mean"] > 1.05 and "placed by" not in done.stderr, before, done.stderr)
    load = json.loads((first / "expert_load.json").read_text())
    check((load["format_version"], load["model_type"], load["experts"]) == (1, "deepseek_v3", 16) and len(load["layers"]) == 4, load)
    second.mkdir()
    shutil.copy(first / "expert_load.json", second)
    done = demo_job(folder, second, *NODES, "--set", "parallel.redundant_experts=4")
    expect_exit(done, 0)
    after = summary(second)["expert_load"]
    print(f"        the busiest of 4 nodes over the mean: {before['max_over_mean']:.3f}, placed by load {after['max_over_mean_balanced']:.3f}")
    check(after["max_over_mean"] == before["max_over_mean"] and after["max_over_mean_balanced"] <= 1.05, before, after)
    check("placed by" in done.stderr and "4 redundant" in done.stderr, done.stderr)
    check(not differences(first / "outputs.h5", second / "outputs.h5"), "the placement changes answers")
    check(picks_of(second) == 2 * picks_of(first), picks_of(first), picks_of(second))  # those that were copied, and its own


def a_resumed_run_starts_placed():
    """Attempts add up what they measured; one that only merges measures nothing."""
    folder = fresh("resumed")
    whole, out = folder / "whole", folder / "out"
    expect_exit(demo_job(folder, whole, *NODES[:4]), 0)
    check(not (whole / "expert_load.json").exists(), "a run without rebalancing wrote its load")
    expect_exit(demo_job(folder, out, *NODES, "--set", "output.merge=false"), 0)
    measured = picks_of(out)
    expect_exit(demo_job(folder, out, *NODES, "--set", "parallel.redundant_experts=3"), 0)  # merges alone: picks nothing
    check(picks_of(out) == measured, picks_of(out), measured)
    check(not differences(whole / "outputs.h5", out / "outputs.h5"), "the attempts change answers")


def files_that_are_ignored():
    folder = fresh("ignored")
    first = folder / "first"
    expect_exit(demo_job(folder, first, *NODES), 0)
    good = json.loads((first / "expert_load.json").read_text())
    for name, text, said in [("damaged", "{", "is no JSON object"), ("cut", json.dumps(good)[:-300], "is no JSON object"),
                             ("other", json.dumps({**good, "model_sha256": "ab"}), "is of another model"),
                             ("version", json.dumps({**good, "format_version": 9}), "format_version")]:
        out = folder / name
        out.mkdir()
        (out / "expert_load.json").write_text(text)
        done = demo_job(folder, out, *NODES)
        expect_exit(done, 0)
        check(done.stderr.count(said) == 1 and "it is ignored" in done.stderr and "placed by" not in done.stderr, name, done.stderr)
        check(picks_of(out) == picks_of(first), name)  # a good one is in its place
        check(not differences(first / "outputs.h5", out / "outputs.h5"), name)


def one_node_has_no_use_for_copies():
    folder = fresh("one_node")
    write_prompts(folder / "p.h5", {"prompt": ["alpha", "beta"]})
    done = moemill("run", "--model", MODELS / "deepseek_v3", "-i", folder / "p.h5", "-o", folder / "out", "--set", "sampling.max_tokens=4",
                   "--set", "parallel.redundant_experts=4", ranks=2)
    expect_exit(done, 0)
    check(done.stderr.count("parallel.redundant_experts: 4 has no effect") == 1, done.stderr)


if __name__ == "__main__":
    main([the_next_run_starts_placed, a_resumed_run_starts_placed, files_that_are_ignored, one_node_has_no_use_for_copies])
