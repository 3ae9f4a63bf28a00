#!/usr/bin/env python3
"""Cuts the goldens of one reference model down to what tests/layers needs.

    make_goldens.py REFERENCE_FOLDER OUT.h5

REFERENCE_FOLDER holds the golden.h5 that Hugging Face transformers made for the model: logits in fp32 of the bf16
weights, the error of its own bf16 run, greedy continuations and the inner states of one prompt. Logits and inner states
are kept in fp16, whose rounding is a hundredth of what they are compared within; the embedding, which must be met
exactly, and everything that decides stay fp32.
"""
import sys

import h5py
import numpy as np

COPIED = {
    "prompts/token_ids/values": "prompts/values",
    "prompts/token_ids/offsets": "prompts/offsets",
    "fp32/routing_margin": "routing_margin",
    "fp32/greedy/token_ids": "greedy/token_ids",
    "fp32/greedy/margin": "greedy/margin",
    "fp32/greedy/logprob": "greedy/logprob",
    "bf16/error/rms": "bf16_rms",
    "bf16/error/median_abs": "bf16_median",
}
LEFT_OUT = ("hidden", "final_norm", "routed_out")  # of the trace


def put(target, name, data):
    packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if data.size > 64 else {}
    target.create_dataset(name, data=data, track_times=False, **packed)


def log_probabilities(logits, tokens, offsets):
    """Of each prompt token after the ones before it, in natural logarithms; NaN for a prompt's first."""
    out = np.full(len(tokens), np.nan, np.float32)
    for begin, end in zip(offsets[:-1].astype(int), offsets[1:].astype(int)):
        rows = logits[begin:end - 1].astype(np.float64)
        top = rows.max(-1, keepdims=True)
        sums = top[:, 0] + np.log(np.exp(rows - top).sum(-1))
        out[begin + 1:end] = rows[np.arange(len(rows)), tokens[begin + 1:end]] - sums
    return out


def main():
    folder, out = sys.argv[1:]
    with h5py.File(f"{folder}/golden.h5") as golden, h5py.File(out, "w") as target:
        for name, to in COPIED.items():
            put(target, to, golden[name][()])
        logits = golden["fp32/logits"][()]
        put(target, "logits", logits.astype(np.float16))
        put(target, "prompt_logprobs", log_probabilities(logits, golden["prompts/token_ids/values"][()],
                                                         golden["prompts/token_ids/offsets"][()]))
        target.attrs["trace_prompt"] = int(golden["trace"].attrs["prompt"])
        hidden = golden["trace/hidden"][()]
        put(target, "trace/embedding", hidden[0])
        put(target, "trace/hidden", hidden[1:].astype(np.float16))

        def visit(name, item):
            if isinstance(item, h5py.Dataset) and name.split("/")[-1] not in LEFT_OUT:
                data = item[()]
                put(target, "trace/" + name, data.astype(np.float16) if data.dtype == np.float32 else data)

        golden["trace"].visititems(visit)


if __name__ == "__main__":
    main()
