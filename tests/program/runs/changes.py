#!/usr/bin/env python3
"""Rerunning a command after a change of settings, prompts, weights or layout.

    changes.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import pathlib
import shutil
import signal
import sys

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import MODELS, SECONDS, check, differences, expect_exit, fresh, main, moemill, rows, start, write_prompts  # noqa: E402
from resume import prepare, reference, wait_for_rows  # noqa: E402


def changed_settings_are_refused():
    folder = prepare("changed", count=4, max_tokens=4)
    words = ["run", "-c", folder / "run.yaml"]
    expect_exit(moemill(*words), 0)
    for ranks in (0, 2):
        done = expect_exit(moemill(*words, "--set", "sampling.temperature=0.5", "--set", "sampling.seed=9", ranks=ranks), 2)
        for part in ("sampling.temperature", "0.5", "sampling.seed", "--overwrite"): check(part in done.stderr, done.stderr)
        check(done.stderr.count("sampling.seed") == 1, "said more than once", done.stderr)
    done = expect_exit(moemill(*words, "--model", MODELS / "deepseek_v2_lite"), 2)
    check("model_sha256" in done.stderr, done.stderr)
    write_prompts(folder / "p.h5", {"prompt": ["other", "prompts", "than", "before"]})
    done = expect_exit(moemill(*words), 2)
    check("input_sha256" in done.stderr and "number of prompts" not in done.stderr, done.stderr)
    expect_exit(moemill(*words, "--resume", "never"), 2)
    expect_exit(moemill(*words, "--overwrite"), 0)
    check(len(rows(folder / "out/outputs.h5")) == 4)
    expect_exit(moemill(*words, "--resume", "always", "-o", folder / "new"), 2)
    check(not (folder / "new/run.json").exists())


def change_a_weight(model):
    """Flips the last bit of the first number of the largest tensor. Returns the file and its original contents."""
    weights = max(model.glob("*.safetensors"), key=lambda p: p.stat().st_size)
    kept = weights.read_bytes()
    length = int.from_bytes(kept[:8], "little")
    tensors = [t["data_offsets"] for name, t in json.loads(kept[8:8 + length]).items() if name != "__metadata__"]
    begin, end = max(tensors, key=lambda offsets: offsets[1] - offsets[0])
    check(end - begin > 12288, "the sample of 4 KB in the middle is not all of the tensor")
    changed = bytearray(kept)
    changed[8 + length + begin] ^= 1
    weights.write_bytes(changed)
    return weights, kept


def changed_weights_and_failed_rows():
    """--retry-failed is refused like any other attempt. The failed rows are pending by then, the others are kept."""
    folder = fresh("retry")
    shutil.copytree(MODELS / "deepseek_v3", folder / "model")
    long = "one two three four five six seven eight nine ten eleven twelve"
    write_prompts(folder / "p.h5", {"prompt": ["a b c", long, "d", "e f", long]})
    words = ["run", "--model", folder / "model", "-i", folder / "p.h5", "--set", "sampling.max_tokens=6"]
    expect_exit(moemill(*words, "-o", folder / "whole"), 0)
    words += ["-o", folder / "out"]
    whole = folder / "whole/outputs.h5"
    expect_exit(moemill(*words, "--set", "model.max_model_len=24"), 3)
    weights, kept = change_a_weight(folder / "model")
    def rows_now():
        told = json.loads(expect_exit(moemill("status", folder / "out", "--json"), 0).stdout)
        return told["done"], told["failed"], told["pending"]
    check(rows_now() == (3, 2, 0), rows_now())
    done = expect_exit(moemill(*words, "--retry-failed", ranks=2), 2)
    check("weights_xxh3_1" in done.stderr, done.stderr)
    check(rows_now() == (3, 0, 2), rows_now())
    weights.write_bytes(kept)
    expect_exit(moemill(*words, ranks=2), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))


def changed_weights_are_refused():
    """A change that the sampled fingerprint misses is found too: all weights read are compared with earlier attempts."""
    folder = prepare("weights", count=200, max_tokens=400)
    model = folder / "model"
    shutil.copytree(MODELS / "deepseek_v3", model)
    (folder / "run.yaml").write_text((folder / "run.yaml").read_text().replace(str(MODELS / "deepseek_v3"), str(model)))
    whole = reference(folder)
    process = start(folder, 2)
    check(wait_for_rows(folder, process, 1), "the job was over before it could be stopped")
    (folder / "out/stop").touch()
    process.communicate(timeout=SECONDS)
    weights, kept = change_a_weight(model)
    def rows_done(): return json.loads(moemill("status", folder / "out", "--json").stdout)["done"]
    before, config = rows_done(), (folder / "out/config.yaml").read_bytes()
    (folder / "elsewhere").symlink_to(model)
    for ranks in (0, 3):
        done = expect_exit(moemill("run", "-c", folder / "run.yaml", "--model", folder / "elsewhere", ranks=ranks), 2)
        check("weights_xxh3_1" in done.stderr and "--overwrite" in done.stderr, done.stderr)
    expect_exit(moemill("status", folder / "out", "--exit-code"), 2)
    check(0 < before == rows_done() < 300, "rows were made", before, rows_done())
    check((folder / "out/config.yaml").read_bytes() == config, "a refused job left its settings")
    done = moemill("verify", folder / "out", "--replay", "3", ranks=2)
    check(done.returncode == 1 and "is not the model that made this run (weights_xxh3_1 differs)" in done.stderr, done.stderr)
    weights.write_bytes(kept)
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=3), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))


def added_prompts_are_refused():
    folder = prepare("added", count=4, max_tokens=4)
    words = ["run", "-c", folder / "run.yaml"]
    expect_exit(moemill(*words), 0)
    kept = (folder / "out/outputs.h5").read_bytes()
    with h5py.File(folder / "p.h5") as f: before = {name: f[name][()].tolist() for name in f}
    write_prompts(folder / "p.h5", {"prompt": before["prompt"] + [b"one more", b"and another"], "n": before["n"] + [1, 1]})
    for words_now in (words, ["validate", "-c", folder / "run.yaml"]):
        done = expect_exit(moemill(*words_now), 2)
        for part in ("number of prompts: 4 there, 6 now", "input_sha256", "another output.dir", "--overwrite", "--extend"):
            check(part in done.stderr, part, done.stderr)
    check((folder / "out/outputs.h5").read_bytes() == kept, "outputs.h5 was touched")
    write_prompts(folder / "p.h5", {"prompt": before["prompt"][:2], "n": before["n"][:2]})
    done = expect_exit(moemill(*words), 2)
    check("4 there, 2 now" in done.stderr and "were added" not in done.stderr, done.stderr)
    # The remedy in the message: a file with only the new prompts.
    write_prompts(folder / "p.h5", {"prompt": ["one more", "and another"], "id": ["a", "b"]})
    expect_exit(moemill(*words, "-o", folder / "more"), 0)


def other_layouts_are_accepted():
    folder = prepare("layout", count=4, max_tokens=4)
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    expect_exit(moemill("run", "-c", folder / "run.yaml", "--set", "parallel.max_num_seqs=2", "--log-level", "debug"), 0)
    # On the way: shards stay as they were begun, and a limit that covers all prompts is no limit.
    folder = prepare("layout", count=200, max_tokens=400)
    whole = reference(folder)
    process = start(folder)
    check(wait_for_rows(folder, process, 1), "the job was over before it could be stopped")
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=SECONDS)
    words = ["run", "-c", folder / "run.yaml", "--set", "output.shard_prompts=50", "--limit", "200"]
    done = expect_exit(moemill(*words, ranks=2), 0)
    check("output.shard_prompts: the run began with 8 prompts per shard" in done.stderr, done.stderr)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))
    done = expect_exit(moemill(*words[:-1], "199"), 2)
    check("input.limit: 200 there, 199 now" in done.stderr, done.stderr)


if __name__ == "__main__":
    main([changed_settings_are_refused, changed_weights_are_refused, changed_weights_and_failed_rows, added_prompts_are_refused,
          other_layouts_are_accepted])
