"""Whole outputs.h5 files as plain values that compare byte for byte."""
import h5py
import numpy as np


def datasets(path):
    """{dataset path: (dtype, shape, values)} of a whole file without root attributes; values as bytes."""
    found = {}

    def visit(name, item):
        if not isinstance(item, h5py.Dataset): return
        values = item[()]
        text = h5py.check_string_dtype(item.dtype)
        raw = repr(values.tolist()).encode() if text or values.dtype.hasobject else np.ascontiguousarray(values).tobytes()
        found[name] = (str(item.dtype), item.shape, raw)
    with h5py.File(path) as f: f.visititems(visit)
    return found


def differences(a, b):
    """Names of the datasets that differ between two files."""
    left, right = datasets(a), datasets(b)
    return sorted(set(left) ^ set(right)) + sorted(n for n in set(left) & set(right) if left[n] != right[n])


def rows(path):
    """The completions of a file as a list of dictionaries."""
    with h5py.File(path) as f:
        c = f["completions"]
        out = [{name: c[name][i] for name in ("prompt_index", "sample_index", "id", "status", "finish_reason", "seed",
                                              "num_prompt_tokens", "num_completion_tokens", "cumulative_logprob")}
               for i in range(len(c["prompt_index"]))]
        for name in ("text", "token_ids"):
            if name not in c: continue
            values, offsets = c[name]["values"][:], c[name]["offsets"][:]
            for i, row in enumerate(out): row[name] = values[offsets[i]:offsets[i + 1]]
            if name == "text":
                for row in out: row[name] = row[name].tobytes().decode()
        return out
