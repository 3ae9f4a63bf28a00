"""The types of columns in a Parquet file."""
import h5py
import numpy as np

from ..common import Fault


def parquet_types(options, source, columns):
    k = {"prompt_index": "uint64", "sample_index": "uint32", "status": "string", "finish_reason": "string",
         "num_prompt_tokens": "uint32", "num_completion_tokens": "uint32", "num_chars": "uint32", "seed": "uint64",
         "cumulative_logprob": "float", "mean_logprob": "double", "text": "string", "token_ids": "list int32",
         "logprobs": "list float", "top_ids": "list list int32", "top_logprobs": "list list float",
         "prompt_logprobs": "list float", "error_code": "string", "error_message": "string", "prompt": "string",
         "prompt_token_ids": "list int32", "messages": "messages", "score": "double", "completion": "string",
         "chosen": "string", "rejected": "string", "score_chosen": "double", "score_rejected": "double"}
    if options.format == "pairs" and "messages" in source.carried:
        k.update(prompt="messages", chosen="messages", rejected="messages")
    if options.format == "rows" and "messages" in source.carried: k["messages"] = "json"
    k["id"] = "int64" if source.outputs.has_number_ids() else "string"
    for shown, name in source.carried.items():
        if shown not in k and shown in columns.shown: k[shown] = carried_type(source.carried_item(shown), source.kinds.get(name))
    return {c: k[c] for c in columns.shown}


def carried_type(item, kind):
    if kind == "json": return "json"
    if kind == "whole": return "int64"
    if h5py.check_string_dtype(item.dtype): return "string"
    base = h5py.check_vlen_dtype(item.dtype)
    dtype = np.dtype(base) if base else item.dtype
    lists = "list " * (item.ndim - 1 + (1 if base else 0))
    if dtype.kind == "f": return lists + ("float" if dtype.itemsize <= 4 else "double")
    if dtype.kind in "iu": return f"{lists}{'u' if dtype.kind == 'u' else ''}int{dtype.itemsize * 8}"
    if dtype.kind == "b": return lists + "bool"
    raise Fault(f"carried column {item.name} has a type ({dtype}) that Parquet has not: leave it out with --columns")
