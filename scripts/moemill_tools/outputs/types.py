"""The types of columns in a Parquet file."""
from ..common import Fault
from .plain import depth_and_kind


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
    depth, name = depth_and_kind(item.dtype)
    if name is None: raise Fault(f"carried column {item.name} has a type ({item.dtype}) that Parquet has not: leave it out with --columns")
    return name if name == "json" else "list " * (item.ndim - 1 + depth) + name
