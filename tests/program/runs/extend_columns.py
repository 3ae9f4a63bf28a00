#!/usr/bin/env python3
"""--extend with different columns or shapes: wider types, more columns, larger shards. The result is compared with a run
that had these prompts and settings from the start.

    extend_columns.py MOEMILL SOURCE_DIR WORK_DIR [test names]"""
import json
import pathlib
import shutil
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from extend import WORDS, equal, prompts_of, words_for  # noqa: E402
from moemill_program import check, expect_exit, fresh, main, moemill, summary, write_prompts  # noqa: E402


def columns_that_grow():
    """n and max_tokens per row."""
    folder = fresh("columns")
    first = {**prompts_of(9), "n": [1, 2, 3] * 3, "max_tokens": [4, 9, 1, 6, 12, 3, 8, 2, 5]}
    then = {**prompts_of(13), "n": [1, 4, 3] * 3 + [2] * 4, "max_tokens": [4, 9, 8, 30, 12, 3, 9, 2, 5] + [6] * 4}
    write_prompts(folder / "p.h5", first)
    expect_exit(moemill(*words_for(folder, "out")), 0)
    write_prompts(folder / "p.h5", then)
    done = expect_exit(moemill(*words_for(folder, "out")), 2)
    check("--extend" in done.stderr, done.stderr)
    expect_exit(moemill(*words_for(folder, "whole")), 0)
    expect_exit(moemill(*words_for(folder, "out"), "--extend", ranks=2), 0)
    equal(folder, "out")


def logprobs_of_each_row():
    """Rows that continue have as many logprobs as they ask for, whatever space the file has: the first answers are longer and shorter
    than that space."""
    folder = fresh("logprobs")
    write_prompts(folder / "p.h5", {**prompts_of(6), "logprobs": [1, 3, 0, 3, -1, 2]})
    for default in ("null", "1"):
        settings = [f"sampling.logprobs={default}", "sampling.ignore_eos=true", "output.store=[text,token_ids]"]
        expect_exit(moemill(*words_for(folder, f"whole_{default}", *settings, "sampling.max_tokens=9")), 0)
        for length in (1, 3, 4):
            out = f"out_{default}_{length}"
            expect_exit(moemill(*words_for(folder, out, *settings, f"sampling.max_tokens={length}")), 0)
            expect_exit(moemill(*words_for(folder, out, *settings, "sampling.max_tokens=9"), "--extend"), 0)
            equal(folder, out, f"whole_{default}")


def files_that_get_wider():
    """New prompts that ask for more logprobs than any before: all files of the run get space for them."""
    folder = fresh("wider")
    write_prompts(folder / "p.h5", prompts_of(6))
    write_prompts(folder / "more.h5", {**prompts_of(8), "logprobs": [-1] * 6 + [2, 2]})
    for default in ("null", "1"):
        settings = [f"sampling.logprobs={default}", "sampling.max_tokens=5", "output.store=[text,token_ids]"]
        expect_exit(moemill(*words_for(folder, f"whole_{default}", *settings, prompts="more.h5")), 0)
        for keep in ("true", "false"):
            out = f"out_{default}_{keep}"
            words = words_for(folder, out, *settings, f"output.keep_shards={keep}")
            expect_exit(moemill(*words), 0)
            words = words_for(folder, out, *settings, f"output.keep_shards={keep}", prompts="more.h5")
            expect_exit(moemill(*words, "--extend"), 0)
            equal(folder, out, f"whole_{default}")
            check(summary(folder / out)["resumed_rows"] == 6, "rows that were there were made again")


def shards_of_a_run_that_was_small():
    """Shards cut again from outputs.h5 have the size for a run that was large from the start; shards that are kept stay as they are."""
    folder = fresh("small")
    texts = [f"{w} {v}" for w in WORDS for v in WORDS * 3]
    write_prompts(folder / "p.h5", {"prompt": texts[:12]}), write_prompts(folder / "more.h5", {"prompt": texts})
    settings = ["sampling.max_tokens=2", "output.shard_prompts=auto"]
    def size(out): return json.loads((folder / out / "run.json").read_text())["shard_prompts"]
    expect_exit(moemill(*words_for(folder, "whole", *settings, prompts="more.h5")), 0)
    for keep, wanted in (("false", size("whole")), ("true", 3)):
        now = [*settings, f"output.keep_shards={keep}"]
        expect_exit(moemill(*words_for(folder, keep, *now)), 0)
        if keep == "false":  # killed while shards were removed, with one left
            expect_exit(moemill(*words_for(folder, "left", *settings, "output.keep_shards=true")), 0)
            shutil.copy(folder / "left/shards/shard-000001.h5", folder / "false/shards")
        expect_exit(moemill(*words_for(folder, keep, *now, prompts="more.h5"), "--extend"), 0)
        check(size(keep) == wanted != 12, keep, size(keep), wanted)
        equal(folder, keep)
        check(summary(folder / keep)["resumed_rows"] == 12, "rows that were there were made again")


def columns_that_get_wider():
    """h5py chooses types by the values: longer texts and larger numbers at the end change the type of all rows."""
    folder, count, more = fresh("types"), 6, 9
    def columns(rows, wide):
        texts = ["abc"] * count + ["abcdefghijk"] * (rows - count)
        return {"prompt": np.array(prompts_of(rows)["prompt"], "S" if wide else "S90"), "id": np.arange(rows, dtype="i8" if wide else "i4"),
                "fixed": np.array(texts, "S11" if wide else "S3"), "text": texts if wide else np.array(texts, "S3"),
                "whole": np.array([-7, 1] * rows, "i8" if wide else ">i4")[:rows], "real": np.array([0.1, np.nan] * rows, "f4")[:rows].astype("f8" if wide else "f4"),
                "gaps": np.array([3] * rows, "f8" if wide else "i8"), "pair": np.array([[1, 2]] * rows, "i4" if wide else "u1"),
                "record": np.array([(1, 0.5)] * rows, [("a", "i8"), ("b", "f8")] if wide else [("a", "i2"), ("b", "f4")])}
    settings = ["sampling.max_tokens=5", "output.store=[text,token_ids]"]
    write_prompts(folder / "p.h5", columns(count, False)), write_prompts(folder / "more.h5", columns(more, True))
    expect_exit(moemill(*words_for(folder, "whole", *settings, prompts="more.h5")), 0)
    for keep in ("true", "false"):
        out, kept = f"out_{keep}", f"output.keep_shards={keep}"
        expect_exit(moemill(*words_for(folder, out, *settings, kept)), 0)
        expect_exit(moemill(*words_for(folder, out, *settings, kept, prompts="more.h5"), "--extend"), 0)
        equal(folder, out)
        check(summary(folder / out)["resumed_rows"] == count, "rows that were there were made again")
    held = (folder / "out_true/outputs.h5").read_bytes()
    def refused(name, values, says):
        write_prompts(folder / "other.h5", {**columns(more + 1, True), name: values})
        done = expect_exit(moemill(*words_for(folder, "out_true", *settings, prompts="other.h5"), "--extend"), 2)
        check(f"column '{name}'" in done.stderr and says in done.stderr and "a run of their own" in done.stderr, name, done.stderr)
        check((folder / "out_true/outputs.h5").read_bytes() == held, "outputs.h5 was touched")
    rows = more + 1
    refused("real", np.array([0.1] * rows, "f8"), "row 0 differs")
    refused("whole", np.array([7] * rows, "u1"), "row 0 differs")
    refused("fixed", np.array(["ab"] * rows, "S2"), "row 0 differs")
    refused("text", np.arange(rows), "the types differ")
    refused("gaps", np.array([True] * rows), "the types differ")
    refused("pair", np.array([[1, 2, 3]] * rows), "the shapes differ")


def another_kind_of_id():
    """Integers that become texts with the same digits."""
    folder = fresh("kinds")
    plain = {name: values for name, values in prompts_of(8).items() if name != "id"}
    write_prompts(folder / "p.h5", {name: values[:6] for name, values in plain.items()})
    write_prompts(folder / "texts.h5", {**plain, "id": [str(i) for i in range(8)]})
    expect_exit(moemill(*words_for(folder, "out", "sampling.max_tokens=5")), 0)
    kept = [(folder / "out" / name).read_bytes() for name in ("outputs.h5", "run.json", "config.yaml")]
    done = expect_exit(moemill(*words_for(folder, "out", "sampling.max_tokens=5", prompts="texts.h5"), "--extend"), 2)
    check("ids are texts now, and the run's are integers" in done.stderr, done.stderr)
    check(kept == [(folder / "out" / name).read_bytes() for name in ("outputs.h5", "run.json", "config.yaml")], "something was written")


if __name__ == "__main__":
    main([columns_that_grow, logprobs_of_each_row, files_that_get_wider, shards_of_a_run_that_was_small, columns_that_get_wider, another_kind_of_id])
