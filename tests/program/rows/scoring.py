#!/usr/bin/env python3
"""Scores of prompts: prompt_logprobs with and without generation, in chunks, by samples, after a stop; for every model of
the test data.

    scoring.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import pathlib
import random
import sys
import threading
import time

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import MODELS, SECONDS, check, differences, expect_exit, fresh, main, moemill, rows, summary  # noqa: E402

LENGTHS = [1, 2, 3, 63, 64, 65, 130, 200, 1, 17]
LAYOUTS = [dict(ranks=0), dict(ranks=0, batch=5, seqs=2), dict(ranks=2, batch=70, shard=3), dict(ranks=3, batch=33, seqs=1)]


def vocabulary(model):
    return json.loads((MODELS / model / "config.json").read_text())["vocab_size"]


def token_prompts(path, prompts, **columns):
    with h5py.File(path, "w") as f:
        f.create_dataset("prompt_token_ids", (len(prompts),), dtype=h5py.vlen_dtype(np.int32))
        for i, tokens in enumerate(prompts): f["prompt_token_ids"][i] = np.asarray(tokens, dtype=np.int32)
        for name, values in columns.items(): f[name] = values
    return path


def random_tokens(model, seed):
    draw = random.Random(seed)
    return [[draw.randrange(3, vocabulary(model)) for _ in range(length)] for length in LENGTHS]


def score(model, prompts, out, *keys, layout=LAYOUTS[0], code=0):
    words = ["run", "--model", MODELS / model, "-i", prompts, "-o", out]
    sets = {"batch": "parallel.max_num_batched_tokens", "seqs": "parallel.max_num_seqs", "shard": "output.shard_prompts"}
    for key in ("sampling.prompt_logprobs=true", "output.store=[token_ids]", *keys,
                *(f"{key}={layout[name]}" for name, key in sets.items() if name in layout)): words += ["--set", key]
    return expect_exit(moemill(*words, ranks=layout["ranks"]), code)


def scores_of(out):
    with h5py.File(out / "outputs.h5") as f:
        values, offsets = f["prompt_logprobs/values"][:], f["prompt_logprobs/offsets"][:]
    return [values[offsets[i]:offsets[i + 1]] for i in range(len(offsets) - 1)]


def check_shape(scores, prompts):
    check([len(s) for s in scores] == [len(p) for p in prompts], "one value a prompt token")
    for s in scores:
        check(np.isnan(s[0]), "the first token has no score")
        check((s[1:] < 0).all(), "a score is no logarithm of a probability")


def one_model(model):
    folder, prompts = fresh(model), random_tokens(model, 7)
    path = token_prompts(folder / "p.h5", prompts)
    for number, layout in enumerate(LAYOUTS):
        out = folder / f"only-{number}"
        score(model, path, out, "sampling.max_tokens=0", layout=layout)
        check_shape(scores_of(out), prompts)
        names = differences(folder / "only-0/outputs.h5", out / "outputs.h5")
        check(not names, f"{layout} differs from {LAYOUTS[0]} in {names}")
    s = summary(folder / "only-0")
    check(s["prompt_tokens"] == sum(LENGTHS) and s["generated_tokens"] == 0, s)
    check(s["prefill_seconds"] > 0 and s["decode_seconds"] == 0, s)

    # Together with generation: the same scores, and the same again if generated text is scored as a prompt.
    score(model, path, folder / "both", "sampling.max_tokens=20", "sampling.logprobs=0", "sampling.ignore_eos=true",
          "sampling.temperature=0", layout=dict(ranks=2, batch=50))
    for a, b in zip(scores_of(folder / "only-0"), scores_of(folder / "both")):
        check(a.tobytes() == b.tobytes(), "generation changes the scores of the prompt")
    with h5py.File(folder / "both/outputs.h5") as f:
        made = f["completions/logprobs/values"][:].reshape(len(prompts), 20)
    whole = [p + r["token_ids"].tolist() for p, r in zip(prompts, rows(folder / "both/outputs.h5"))]
    token_prompts(folder / "whole.h5", whole)
    score(model, folder / "whole.h5", folder / "whole", "sampling.max_tokens=0", layout=dict(ranks=0, batch=64))
    for i, (again, first) in enumerate(zip(scores_of(folder / "whole"), made)):
        # Prompt and generated rows may round differently (two forms of attention), so the bytes may differ.
        check(np.abs(again[-20:] - first).max() < 0.1, model, "row", i, again[-20:], first)


def every_model():
    for folder in sorted(MODELS.iterdir()):
        if (folder / "config.json").exists(): one_model(folder.name)


def samples_and_rows_of_their_own():
    """n samples have one row of scores; some prompts generate, some are only scored, all in one job."""
    folder, prompts = fresh("samples"), random_tokens("deepseek_v3", 9)
    path = token_prompts(folder / "p.h5", prompts, n=[3, 1, 2, 1, 1, 4, 2, 1, 2, 1], max_tokens=[0, 5, 0, 0, 9, 3, 0, 2, 1, 0])
    one = token_prompts(folder / "one.h5", prompts)
    score("deepseek_v3", one, folder / "one", "sampling.max_tokens=0")
    for number, layout in enumerate(LAYOUTS):
        out = folder / f"out-{number}"
        score("deepseek_v3", path, out, "sampling.ignore_eos=true", layout=layout)
        names = differences(folder / "out-0/outputs.h5", out / "outputs.h5")
        check(not names, f"{layout} differs from {LAYOUTS[0]} in {names}")
        for a, b in zip(scores_of(folder / "one"), scores_of(out)): check(a.tobytes() == b.tobytes(), number, a, b)
    made = rows(folder / "out-0/outputs.h5")
    check(len(made) == 18 and {int(r["finish_reason"]) for r in made} == {2}, made)
    check([int(r["num_completion_tokens"]) for r in made] == [0, 0, 0, 5, 0, 0, 0, 9, 3, 3, 3, 3, 0, 0, 2, 1, 1, 0], made)


def stopped_and_taken_up():
    """A job that a stop file ends while it scores: the next attempt continues, and the scores are the same."""
    folder, prompts = fresh("stopped"), random_tokens("deepseek_v3", 11) * 40
    path, out = token_prompts(folder / "p.h5", prompts), folder / "out"
    score("deepseek_v3", path, folder / "whole", "sampling.max_tokens=0")

    def stop():
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not any((out / "shards").glob("*.h5")): time.sleep(0.01)
        (out / "stop").touch()
    stopper = threading.Thread(target=stop)
    stopper.start()
    score("deepseek_v3", path, out, "sampling.max_tokens=0", layout=dict(ranks=2, batch=5, shard=5), code=75)
    stopper.join()
    check(not (out / "outputs.h5").exists() and any((out / "shards").glob("*.h5")), "the job was not stopped in its middle")
    score("deepseek_v3", path, out, "sampling.max_tokens=0", layout=dict(ranks=3, shard=5))
    names = differences(folder / "whole/outputs.h5", out / "outputs.h5")
    check(not names, names)


if __name__ == "__main__": main([every_model, samples_and_rows_of_their_own, stopped_and_taken_up])
