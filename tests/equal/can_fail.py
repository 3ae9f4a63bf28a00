#!/usr/bin/env python3
"""compare_commits.py finds what differs: in copies of an outputs.h5 that are changed in one place each, and in a program
that answers otherwise.

    can_fail.py MOEMILL SOURCE_DIR WORK_DIR"""
import pathlib
import shutil
import subprocess
import sys

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
from moemill_program import MODELS, PROGRAM, check, expect_exit, fresh, main, moemill, write_prompts

import answers

COMPARE = pathlib.Path(__file__).with_name("compare_commits.py")
TEMPERATURES = [0.0, 1.0] * 4  # one per prompt


def answered(folder):
    """An outputs.h5 with greedy and drawn rows."""
    write_prompts(folder / "p.h5", {"prompt": [f"alpha {i}" for i in range(8)], "temperature": TEMPERATURES})
    sets = ("sampling.max_tokens=6", "sampling.logprobs=2", "sampling.prompt_logprobs=true", "sampling.ignore_eos=true")
    words = [word for key in sets for word in ("--set", key)]
    expect_exit(moemill("run", "--model", MODELS / "qwen3_moe", "-i", folder / "p.h5", "-o", folder / "old", *words), 0)
    return folder / "old/outputs.h5"


def changed(old, change):
    """A copy of the run in which `change` was made."""
    folder = old.parent.parent / "new"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(old.parent, folder)
    with h5py.File(folder / "outputs.h5", "r+") as f: change(f)
    return folder / "outputs.h5"


def next_float(name, at):
    def change(f):
        values = f[name][:]
        values[at] = np.nextafter(values[at], np.float32(9))
        f[name][...] = values
    return change


def token(at):
    def change(f): f["completions/token_ids/values"][at] += 1
    return change


def swapped_type(f):
    values = f["completions/status"][:]
    del f["completions/status"]
    f["completions/status"] = values.astype(np.uint16)


def one_place():
    old = answered(fresh("one_place"))
    check(answers.first_difference(old, changed(old, lambda f: None)) is None, "a copy differs")
    def other_name(f): f["completions/status"].attrs["codes"] = "0 wrong"
    def other_model(f): f.attrs["model_sha256"] = "0" * 64
    def other_setting(f): f.attrs["config_yaml"] = f.attrs["config_yaml"].replace("top_p: 1", "top_p: 0.5")
    def of_the_run(f): f.attrs["created_utc"] = f.attrs["run_id"] = "another"
    check(answers.first_difference(old, changed(old, of_the_run)) is None, "what belongs to the run counts")
    for change, words in ((next_float("completions/logprobs/values", 20), "logprobs/values[20] of row 3"),
                          (next_float("prompt_logprobs/values", 1), "prompt_logprobs/values[1] of row 0"),
                          (next_float("completions/cumulative_logprob", 7), "cumulative_logprob[7]: "),
                          (token(47), "token_ids/values[47] of row 7"), (swapped_type, "status: type uint8, then uint16"),
                          (lambda f: f.__delitem__("completions/text"), "is in the old file alone"),
                          (lambda f: f.create_group("carry/more"), "attributes of carry/more"),
                          (other_name, "attributes of completions/status"), (other_model, "root attribute model_sha256"),
                          (other_setting, "config_yaml sampling.top_p")):
        found = answers.first_difference(old, changed(old, change))
        check(found and words in found, f"'{words}' is not in: {found}")


def drawn_tokens():
    old = answered(fresh("drawn_tokens"))
    def count(change): return answers.changed_draws(old, changed(old, change), TEMPERATURES)
    check(count(lambda f: None) == (None, 24, 0, 0), count(lambda f: None))
    check(count(token(6)) == (None, 24, 1, 1), count(token(6)))
    for change, words in ((token(5), "row 0 is greedy"), (next_float("completions/logprobs/values", 6), "row 1 has the same tokens"),
                          (next_float("prompt_logprobs/values", 1), "prompt_logprobs/values[1]")):
        check(words in (count(change)[0] or ""), f"'{words}' is not in: {count(change)[0]}")


def compare(old, new, work, *more):
    words = [sys.executable, COMPARE, old, new, work, "--quick", "--only", "sampling/temperature_top_p", *more]
    return subprocess.run(words, capture_output=True, text=True)


def other_program():
    """The same program with a different seed stands for one that draws differently."""
    folder = fresh("other_program")
    other = folder / "moemill"
    other.write_text(f'#!/bin/sh\n[ "$1" = run ] && set -- "$@" --set sampling.seed=9\nexec {PROGRAM} "$@"\n')
    other.chmod(0o755)
    expect_exit(compare(PROGRAM, PROGRAM, folder / "work"), 0)
    for more in ((), ("--count-drawn-tokens",)):
        done = expect_exit(compare(PROGRAM, other, folder / "work", *more), 1)
        check("DIFFERS: completions/" in done.stdout and "2 differences" in done.stdout, done.stdout)


if __name__ == "__main__": main([one_place, drawn_tokens, other_program])
