#!/usr/bin/env python3
"""scripts/quality.py on the demo model: int8 keeps its answers. And on a reference model, whose vocabulary fits into the list
of the likeliest words, so that the divergence is exact.

    quality.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import subprocess
import sys

import h5py

from launch import environment
from moemill_program import MODELS, PROGRAM, SOURCE, check, fresh, main


def quality(*words):
    done = subprocess.run([sys.executable, SOURCE / "scripts/quality.py", "--program", PROGRAM, "--json", *map(str, words)],
                          env=environment({"PYTHONDONTWRITEBYTECODE": "1"}), capture_output=True, text=True, timeout=300)
    check(done.returncode == 0, done.stderr)
    (found,) = json.loads(done.stdout).values()
    return found


def the_demo():
    folder = fresh("demo")
    subprocess.run([sys.executable, SOURCE / "configs/demo/make_prompts.py", SOURCE / "configs/demo/prompts.jsonl", folder / "p.h5"],
                   check=True, stdout=subprocess.DEVNULL)
    q = quality("--model", SOURCE / "configs/demo/model", "--prompts", folder / "p.h5", "--max-tokens", 64, "--contexts", 2)
    print(f"        {q}")
    check(q["checkable"] == 183 and abs(q["right_bf16"] - 168) <= 3, q)
    check(q["right_int8"] >= 164, q)
    check(abs(q["perplexity_int8"] / q["perplexity_bf16"] - 1) < 0.01, q)
    check(0 < q["kl_mean"] < 0.01 and q["kl_covered"] > 0.99, q)
    # Long texts go their own way after one other word: 217 rows and two thirds of the tokens were equal.
    check(0.75 * q["rows"] < q["equal_rows"] < q["rows"] and q["equal_tokens"] > 0.5 * q["tokens"], q)


def a_reference_model():
    folder = fresh("reference")
    with h5py.File(SOURCE / "tests/data/layers/qwen3_moe.h5") as golden, h5py.File(folder / "p.h5", "w") as f:
        for part in ("values", "offsets"): f[f"prompt_token_ids/{part}"] = golden[f"prompts/{part}"][:]
    q = quality("--model", MODELS / "qwen3_moe", "--prompts", folder / "p.h5", "--max-tokens", 4, "--contexts", 3, "--limit", 4)
    check(q["texts"] == q["rows"] == 4 and "checkable" not in q, q)
    check(abs(q["kl_covered"] - 1) < 1e-4 and 0 < q["kl_mean"] < 0.1, q)


def prompts_with_their_columns():
    """add_special_tokens of a file counts, as in a run. Token ids are scored without the answers, which are texts."""
    folder, scored = fresh("columns"), []
    for name, adds in (("as_the_model", None), ("made_by_a_template", 0)):
        with h5py.File(folder / f"{name}.h5", "w") as f:
            f["prompt"] = ["alpha beta gamma", "delta"]
            if adds is not None: f.attrs["add_special_tokens"] = adds
        q = quality("--model", MODELS / "deepseek_v3", "--prompts", folder / f"{name}.h5", "--max-tokens", 1, "--contexts", 1)
        scored.append(q["scored_tokens"])
    check(scored[0] == scored[1] + 2, "the model's BOS is a token of each text", scored)
    with h5py.File(folder / "ids.h5", "w") as f:
        f["prompt_token_ids/values"], f["prompt_token_ids/offsets"] = [5, 6, 7, 8], [0, 2, 4]
        f["expected"] = ["alpha", ""]
    q = quality("--model", MODELS / "deepseek_v3", "--prompts", folder / "ids.h5", "--max-tokens", 1, "--contexts", 1)
    check(q["scored_tokens"] == 2 and q["checkable"] == 1, q)


def what_it_refuses():
    folder = fresh("refused")
    faults = {"shorter": ("expected has 1 rows", ["alpha"]), "numbers": ("expected holds no texts", [1, 2])}
    for name, (words, expected) in faults.items():
        with h5py.File(folder / f"{name}.h5", "w") as f: f["prompt"], f["expected"] = ["alpha", "beta"], expected
        refused(words, "--model", MODELS / "deepseek_v3", "--prompts", folder / f"{name}.h5")
    refused("sets the arithmetic", "--set", "model.arithmetic=int8")
    with h5py.File(folder / "empty.h5", "w") as f: f["prompt"] = [""]
    refused("all rows failed", "--model", MODELS / "deepseek_v3", "--prompts", folder / "empty.h5", "--set", "input.add_special_tokens=false")


def refused(words, *given):
    done = subprocess.run([sys.executable, SOURCE / "scripts/quality.py", "--program", PROGRAM, *map(str, given)],
                          env=environment({"PYTHONDONTWRITEBYTECODE": "1"}), capture_output=True, text=True, timeout=300)
    check(done.returncode == 2 and words in done.stderr, words, done.returncode, done.stderr)


if __name__ == "__main__": main([the_demo, a_reference_model, prompts_with_their_columns, what_it_refuses])
