#!/usr/bin/env python3
"""model.arithmetic and model.expert_sum through the life of a run: int8 is stopped, resumed, extended, replayed, and never mixed with bf16;
a run keeps its kind of sum, and one from before there was a choice sums picks.

    arithmetic.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import pathlib
import signal
import sys

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import MODELS, check, command, crc32c, differences, expect_exit, fresh, main, moemill, start_quietly, write_prompts  # noqa: E402

def words_for(name, arithmetic, count=40, model="deepseek_v3_fp8", out="out"):
    folder = fresh(name)
    write_prompts(folder / "p.h5", {"prompt": [f"alpha beta {i}" for i in range(count)]})
    sets = ("sampling.max_tokens=120", "parallel.max_num_seqs=4", "sampling.ignore_eos=true", "output.shard_prompts=8", "output.keep_shards=true", f"model.arithmetic={arithmetic}")
    return ["run", "--model", MODELS / model, "-i", folder / "p.h5", "-o", folder / out, *(w for s in sets for w in ("--set", s))], folder


def stopped_resumed_and_replayed():
    words, folder = words_for("resumed", "int8")
    out = folder / "out"
    at = words.index("-o") + 1
    expect_exit(moemill(*words[:at], folder / "whole", *words[at + 1:]), 0)
    job = start_quietly(folder, command(0, *words))
    job.send_signal(signal.SIGUSR1)
    check(job.wait() == 75 and not (out / "outputs.h5").exists(), job.returncode)
    expect_exit(moemill(*words, ranks=3), 0)
    check(not differences(folder / "whole/outputs.h5", out / "outputs.h5"), "resumed rows differ")
    with h5py.File(out / "outputs.h5") as f: check(f.attrs["arithmetic"] == "exact-3-int8-groups" and "int8 by " in f.attrs["backend"])
    check(json.loads((out / "run.json").read_text())["fingerprints"]["arithmetic"] == "exact-3-int8-groups")
    check("40 rows: 0 differ" in expect_exit(moemill("verify", out, "--deep", "--replay", "40", ranks=2), 0).stdout)
    for other in ("bf16", "exact", "auto"):
        said = expect_exit(moemill(*words, "--set", f"model.arithmetic={other}"), 2).stderr
        check("model.arithmetic: int8 there, bf16 now" in said, said)
    write_prompts(folder / "p.h5", {"prompt": [f"alpha beta {i}" for i in range(44)]})
    expect_exit(moemill(*words, "--extend"), 0)
    check("44 rows: 0 differ" in expect_exit(moemill("verify", out, "--replay", "44"), 0).stdout)


def bf16_by_its_older_name():
    words, folder = words_for("older", "exact", count=3)
    config = folder / "out/config.yaml"
    expect_exit(moemill(*words), 0)
    check("arithmetic: bf16" in config.read_text(), config.read_text())
    for same in ("exact", "bf16", "auto"):
        check("nothing to do" in expect_exit(moemill(*words, "--set", f"model.arithmetic={same}"), 0).stderr)
    said = expect_exit(moemill(*words, "--set", "model.arithmetic=int8"), 2).stderr
    check("model.arithmetic: bf16 there, int8 now" in said, said)
    # As a program before int8 wrote it.
    text, mark = config.read_text().replace("arithmetic: bf16", "arithmetic: exact"), "# crc32c of the lines above: "
    text = text[:text.rindex(mark)]
    config.write_text(f"{text}{mark}{crc32c(text.encode()):08x}\n")
    check("nothing to do" in expect_exit(moemill(*words), 0).stderr)
    with h5py.File(folder / "out/outputs.h5") as f: check(f.attrs["arithmetic"] == "exact-3-groups")


def sums_by_groups_are_kept():
    words, folder = words_for("groups", "bf16", count=3)
    expect_exit(moemill(*words), 0)
    check("expert_sum: groups" in (folder / "out/config.yaml").read_text())
    check(json.loads((folder / "out/run.json").read_text())["fingerprints"]["arithmetic"] == "exact-3-groups")
    for same in ("groups", "auto"):
        check("nothing to do" in expect_exit(moemill(*words, "--set", f"model.expert_sum={same}"), 0).stderr)
    for command_name in ("run", "validate"):
        said = moemill(command_name, *words[1:], "--set", "model.expert_sum=picks")
        check(said.returncode == 2 and "model.expert_sum: groups there, picks now" in said.stderr, said.stdout, said.stderr)
    said = expect_exit(moemill(*words_for("no-groups", "bf16", count=1, model="olmoe")[0], "--set", "model.expert_sum=groups"), 2).stderr
    check("model.expert_sum: groups" in said and "write auto or picks" in said, said)


def run_from_before_there_were_sums_by_groups():
    """It goes on with sums of picks, which nobody asks for, and is replayed by them."""
    words, folder = words_for("picks", "bf16")
    out, at, picks = folder / "out", words.index("-o") + 1, ("--set", "model.expert_sum=picks")
    expect_exit(moemill(*words[:at], folder / "whole", *words[at + 1:], *picks), 0)
    job = start_quietly(folder, command(0, *words, *picks))
    job.send_signal(signal.SIGUSR1)
    check(job.wait() == 75 and not (out / "outputs.h5").exists(), job.returncode)
    check(json.loads((out / "run.json").read_text())["fingerprints"]["arithmetic"] == "exact-3")
    config, mark = out / "config.yaml", "# crc32c of the lines above: "
    text = config.read_text()
    check("  expert_sum: picks\n" in text, text)
    text = text[:text.rindex(mark)].replace("  expert_sum: picks\n", "")
    config.write_text(f"{text}{mark}{crc32c(text.encode()):08x}\n")
    said = expect_exit(moemill(*words, "--set", "model.expert_sum=groups"), 2).stderr
    check("model.expert_sum: picks there, groups now" in said, said)
    check("model.expert_sum picks" in expect_exit(moemill("validate", *words[1:]), 0).stdout)
    expect_exit(moemill(*words, ranks=2), 0)
    check(not differences(folder / "whole/outputs.h5", out / "outputs.h5"), "resumed rows differ")
    with h5py.File(out / "outputs.h5") as f: check(f.attrs["arithmetic"] == "exact-3")
    check("40 rows: 0 differ" in expect_exit(moemill("verify", out, "--replay", "40"), 0).stdout)


def said_before_the_job():
    """By validate: how much is held in int8, and that codes of the files are not kept. preview generates."""
    for model, codes in (("deepseek_v3_fp8", "FP8"), ("gpt_oss_mxfp4", "MXFP4"), ("qwen3_moe", None)):
        words, folder = words_for(f"said-{model}", "int8", count=3, model=model)
        said = expect_exit(moemill("validate", *words[1:]), 0).stdout
        check(" in int8" in said and ("model.keep_quantized does not apply" in said) == bool(codes), said)
        if codes: check(f"store in {codes} is decoded" in said, said)
        shown = [w for w in words[1:] if w not in ("-o", folder / "out")]
        check("alpha beta 0" in expect_exit(moemill("preview", *shown, "--num-prompts", "1"), 0).stdout)
        done = expect_exit(moemill(*words), 0)
        check("arithmetic int8: " in done.stderr and "are held in int8" in done.stderr, done.stderr)


if __name__ == "__main__": main([stopped_resumed_and_replayed, bf16_by_its_older_name, sums_by_groups_are_kept,
                                 run_from_before_there_were_sums_by_groups, said_before_the_job])
