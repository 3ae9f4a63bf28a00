#!/usr/bin/env python3
"""Every reference model through the whole program: greedy tokens, their log-probabilities and the prompts' scores are
transformers', as closely as bf16 allows (tests/layers compares the logits themselves).

    references.py MOEMILL SOURCE_DIR WORK_DIR"""
import h5py
import numpy as np

from moemill_program import MODELS, SOURCE, check, expect_exit, fresh, main, moemill

FAMILIES = ["deepseek_v3", "deepseek_v2_lite", "deepseek_v3_fp8", "qwen3_moe", "qwen2_moe", "olmoe", "mixtral",
            "mixtral_window", "glm4_moe", "gpt_oss", "gpt_oss_mxfp4"]
STEPS = 24


def generate(model, golden, ranks):
    folder = fresh(model)
    offsets = golden["prompts/offsets"][:]
    with h5py.File(folder / "prompts.h5", "w") as f:
        f["prompt_token_ids/values"], f["prompt_token_ids/offsets"] = golden["prompts/values"][:], offsets
    sets = ["sampling.temperature=0", f"sampling.max_tokens={STEPS}", "sampling.ignore_eos=true", "sampling.logprobs=1",
            "sampling.prompt_logprobs=true", "output.store=[token_ids]", "parallel.max_num_batched_tokens=64"]
    words = [word for key in sets for word in ("--set", key)]
    expect_exit(moemill("run", "--model", MODELS / model, "-i", folder / "prompts.h5", "-o", folder / "out", *words,
                        ranks=ranks), 0)
    with h5py.File(folder / "out" / "outputs.h5") as f:
        check((f["prompt_logprobs/offsets"][:] == offsets).all(), "one score a prompt token")
        shape = (len(offsets) - 1, STEPS)
        return (f["completions/token_ids/values"][:].reshape(shape), f["completions/logprobs/values"][:].reshape(shape),
                f["prompt_logprobs/values"][:])


def typical(difference):
    """The median: a row where rounding changed a router's pick has a different sum, and there are few such rows."""
    return float(np.median(np.abs(difference)))


def one_model(model, ranks):
    with h5py.File(SOURCE / f"tests/data/layers/{model}.h5") as golden:
        tokens, logprobs, scores = generate(model, golden, ranks)
        bounds, error = golden["prompts/offsets"][:].astype(int), golden["bf16_rms"][:].astype(float)
        wanted, margin = golden["greedy/token_ids"][:], golden["greedy/margin"][:]
        wanted_logprobs, wanted_scores = golden["greedy/logprob"][:], golden["prompt_logprobs"][:]
    agreed = 0
    for p, e in enumerate(error):
        differs = np.nonzero(tokens[p] != wanted[p])[0]
        same = int(differs[0]) if len(differs) else STEPS
        # The difference of two logits has the errors of both; four of these are beyond chance.
        if same < STEPS: check(margin[p, same] < 4 * 2 ** 0.5 * e, f"prompt {p}: token {same} has a margin of {margin[p, same]}")
        agreed += same
        if same > 8: check(typical(logprobs[p, :same] - wanted_logprobs[p, :same]) < 2 * e, f"prompt {p}: log-probabilities")
        a, b = bounds[p], bounds[p + 1]
        check(np.isnan(scores[a]), f"prompt {p}: the first token has no score")
        if b - a > 8: check(typical(scores[a + 1:b] - wanted_scores[a + 1:b]) < 2 * e, f"prompt {p}: scores")
    print(f"        {model}: {agreed} of {tokens.size} greedy tokens are transformers'")


def reference_models():
    for number, model in enumerate(FAMILIES): one_model(model, ranks=number % 4)


if __name__ == "__main__": main([reference_models])
