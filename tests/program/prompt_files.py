"""Prompt files for tests."""
import random

import h5py
import numpy as np


def write_prompts(path, columns):
    """{name: list or array} as datasets of one file."""
    with h5py.File(path, "w") as f:
        for name, values in columns.items(): f[name] = values
    return path


def random_prompts(path, vocabulary, seed):
    """22 prompts of 1 to 195 tokens, with samples, lengths and ways of drawing of their own; a column is carried."""
    draw = random.Random(seed)
    prefix = [draw.randrange(3, vocabulary) for _ in range(130)]  # more than two KV pages, shared by some prompts
    prompts, n, temperature, max_tokens, top_p = [], [], [], [], []
    for i in range(22):
        length = draw.choice([1, 2, 5, 17, 40, 63, 64, 65])
        own = [draw.randrange(3, vocabulary) for _ in range(length)]
        prompts.append(np.array((prefix if i % 4 == 0 else []) + own, dtype=np.int32))
        n.append(draw.choice([1, 1, 2, 3]))
        temperature.append(draw.choice([0.0, 0.7, 1.0, 1.5, float("nan")]))
        max_tokens.append(draw.choice([1, 3, 10, 24, -1]))
        top_p.append(draw.choice([0.5, 0.9, 1.0, -1.0]))
    with h5py.File(path, "w") as f:
        f.create_dataset("prompt_token_ids", (len(prompts),), dtype=h5py.vlen_dtype(np.int32))
        for i, tokens in enumerate(prompts): f["prompt_token_ids"][i] = tokens
        f["n"], f["temperature"], f["max_tokens"], f["top_p"] = n, temperature, max_tokens, top_p
        f["note"] = [f"row {i}" for i in range(len(prompts))]
    return path
