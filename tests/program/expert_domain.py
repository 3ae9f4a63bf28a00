#!/usr/bin/env python3
"""parallel.expert_domain: auto, as `validate` and `run` tell it, and what a run then does.

    expert_domain.py MOEMILL SOURCE_DIR WORK_DIR"""
import re

import h5py

from moemill_program import MODELS, SOURCE, check, differences, expect_exit, fresh, main, moemill, prepared, summary

LINE = r" +(about )?[\d,]+ bytes a token between nodes, [\d.,]+ rows? an expert, [\d,]+ sequences? at a time"


def validate(*words, model=MODELS / "deepseek_v3", code=0):
    return expect_exit(moemill("validate", "--model", model, *words), code).stdout


def validate_says_what_and_why():
    check("domain" not in validate("--ranks", "1"))
    text = validate("--ranks", "4")
    check(re.findall("^domain.*", text, re.M) == ["domain   auto is world: the job has one node"] and "one node  " not in text, text)
    nodes = ["--ranks", "4", "--ranks-per-node", "2"]
    text = validate(*nodes)
    check("domain   auto is node: one node holds a copy of the experts and brings each 128 rows a step (16 are enough)" in text, text)
    check(re.search("^ +one node" + LINE, text, re.M) and re.search("^ +both nodes" + LINE, text, re.M), text)
    check("2 ranks for a copy of all" in text, text)  # what follows is said of the layout that was chosen
    text = validate(*nodes, "--set", "parallel.expert_domain=world")
    check("domain   world, as parallel.expert_domain says; auto is node: " in text and "4 ranks for a copy of all" in text, text)
    text = validate(*nodes, "--set", "parallel.max_num_seqs=2")
    check("auto is world: no layout that fits brings an expert 16 rows a step; both nodes bring most, 2 rows" in text, text)
    # Nodes of 3 and 1 ranks.
    check("auto is node" in validate("--ranks", "4", "--ranks-per-node", "3"))


def as_many_nodes_as_have_room():
    words = ["--ranks", "64", "--ranks-per-node", "8", "--set", "model.max_model_len=8192", "--memory-per-node"]
    def sizes(memory, code=0): return validate(*words, memory, model=SOURCE / "configs/models/deepseek-v3", code=code)
    text = sizes("512")
    check("auto is 16: 2 of 8 nodes are the fewest that hold a copy of the experts and bring each 16 rows a step" in text, text)
    check(re.search(r"one node +no room: [\d.]+ GiB a node are needed, more than 512.00 GiB", text) and "16 ranks for a copy of all" in text, text)
    check(re.search("^ +2 of 8 nodes" + LINE, text, re.M) and re.search("^ +all 8 nodes" + LINE, text, re.M), text)
    check("auto is node" in sizes("2000"))
    text = sizes("64", code=2)
    check("auto is world: no layout fits into memory; all 8 nodes need least on a node" in text, text)
    check(re.search(r"fits     no: [\d.]+ GiB per node are needed, more than the 64.00 GiB of a node", text), text)


def log_of(out): return (out / "run.log").read_text()


def run_says_what_and_why():
    folder = prepared("run", 140, 24, "seed: 3")
    def run(name, *words, ranks=4):
        sets = [word for setting in words for word in ("--set", setting)]
        expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / name, *sets, ranks=ranks), 0)
        return folder / name
    world = run("world", "parallel.ranks_per_node=2", "parallel.expert_domain=world")
    check("auto is" not in log_of(world) and summary(world)["exchange"]["inter_node_bytes"] > 0)
    one = run("one", ranks=2)
    check("auto is" not in log_of(one))  # on one node there is nothing to choose
    node = run("node", "parallel.ranks_per_node=2", "parallel.max_num_seqs=64")
    most = run("most", "parallel.ranks_per_node=2", "parallel.max_num_seqs=2")
    for out, setting in ((node, "node"), (most, "world")):
        log = log_of(out)
        check(f"parallel.expert_domain: auto is {setting}: " in log, log)
        check(re.search("one node" + LINE, log) and re.search("both nodes" + LINE, log), log)
        check("expert_domain: auto" in (out / "config.yaml").read_text())  # as it was said
        with h5py.File(out / "outputs.h5") as f: check("expert_domain: auto" in f.attrs["config_yaml"])
        check(("experts over 2 (2 domains)" if setting == "node" else "experts over 4;") in log, log)
    check(summary(node)["exchange"]["inter_node_bytes"] == 0, summary(node)["exchange"])
    e = summary(most)["exchange"]
    told = int(re.search(r"both nodes +about ([\d,]+) bytes", log_of(most)).group(1).replace(",", ""))
    s = summary(most)
    sent = e["inter_node_bytes"] / (s["prompt_tokens"] - s["cached_prompt_tokens"] + s["generated_tokens"])
    check(0.5 < sent / told < 2, sent, told)  # the model's router does not pick evenly
    for out in (one, node, most):
        check(not differences(world / "outputs.h5", out / "outputs.h5"), out)


def each_attempt_chooses():
    folder = prepared("attempts", 60, 24, "seed: 3", "parallel: {ranks_per_node: 1}\n")
    words = ["run", "-c", folder / "run.yaml"]
    expect_exit(moemill(*words, "-o", folder / "whole"), 0)
    expect_exit(moemill(*words, "--limit", "6", "--set", "parallel.max_num_seqs=1", ranks=2), 0)
    expect_exit(moemill(*words, "--extend", ranks=2), 0)
    chosen = re.findall("auto is (\\w+)", log_of(folder / "out"))
    check(chosen == ["node", "world"], chosen)  # 6 prompts hardly meet at an expert, 54 do
    check(not differences(folder / "whole/outputs.h5", folder / "out/outputs.h5"))


def a_wrong_word_is_answered_with_the_right_ones():
    folder = prepared("words", 4, 4, "seed: 3")
    done = expect_exit(moemill("run", "-c", folder / "run.yaml", "--set", "parallel.expert_domain=autoo"), 2)
    for part in ("parallel.expert_domain: 'autoo' is not accepted", "auto (the fewest nodes", "world, node, or a number of ranks"):
        check(part in done.stderr, part, done.stderr)


if __name__ == "__main__":
    main([validate_says_what_and_why, as_many_nodes_as_have_room, run_says_what_and_why, each_attempt_chooses,
          a_wrong_word_is_answered_with_the_right_ones])
