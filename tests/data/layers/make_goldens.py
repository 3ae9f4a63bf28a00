#!/usr/bin/env python3
"""Cuts the goldens of one reference model down to what tests/layers needs.

    make_goldens.py REFERENCE_FOLDER OUT.h5

REFERENCE_FOLDER holds the golden.h5 that Hugging Face transformers made for the model: logits in fp32 of the bf16
weights, the error of its own bf16 run, greedy continuations and the inner states of one prompt.
"""
import sys

import h5py

COPIED = {
    "prompts/token_ids/values": "prompts/values",
    "prompts/token_ids/offsets": "prompts/offsets",
    "fp32/logits": "logits",
    "fp32/routing_margin": "routing_margin",
    "fp32/greedy/token_ids": "greedy/token_ids",
    "fp32/greedy/margin": "greedy/margin",
    "bf16/error/rms": "bf16_rms",
}


def copy(source, target, name):
    data = source[()]
    packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if data.size > 64 else {}
    target.create_dataset(name, data=data, track_times=False, **packed)


def main():
    folder, out = sys.argv[1:]
    with h5py.File(f"{folder}/golden.h5") as golden, h5py.File(out, "w") as target:
        for name, to in COPIED.items():
            copy(golden[name], target, to)
        target.attrs["trace_prompt"] = int(golden["trace"].attrs["prompt"])

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                copy(item, target, "trace/" + name)

        golden["trace"].visititems(visit)


if __name__ == "__main__":
    main()
