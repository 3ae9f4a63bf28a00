"""The types of columns in a Parquet file."""
from ...common import Fault
from ..reading.plain import depth_and_kind


def parquet_types(options, source, columns):
    """{column: its type} for the columns of this run."""
    k = {"prompt_index": "uint64", "sample_index": "uint32", "status": "string", "finish_reason": "string",
         "num_prompt_tokens": "uint32", "num_completion_tokens": "uint32", "num_chars": "uint32", "seed": "uint64",
         "cumulative_logprob": "float", "mean_logprob": "double", "text": "string", "token_ids": "list int32",
         "logprobs": "list float", "top_ids": "list list int32", "top_logprobs": "list list float",
         "prompt_logprobs": "list float", "error_code": "string", "error_message": "string", "stop_reason": "string", "prompt": "string",
         "prompt_token_ids": "list int32", "messages": "messages", "score": "double", "completion": "string",
         "chosen": "string", "rejected": "string", "score_chosen": "double", "score_rejected": "double", "label": "bool",
         "reasoning_content": "string", "content": "string", "tool_calls": "json", "prompt_mean_logprob": "double", "perplexity": "double",
         "run": "string", "conversations": "conversations"}
    for name in k.keys() & source.carried.keys() - {"messages"}: del k[name]  # the input's own column, because this format makes none of this name
    if options.format == "alpaca": k.update(dict.fromkeys(("instruction", "input", "output", "system"), "string"), history="list list string")
    if options.format == "sharegpt" and "tools" in source.carried: k["tools"] = "json"
    if options.format == "kto" and "messages" in source.carried: k.update(prompt="messages", completion="messages")
    if options.format == "pairs" and "messages" in source.carried:
        k.update(prompt="messages", chosen="messages", rejected="messages")
    if options.format == "rows" and "messages" in source.carried: k["messages"] = "json"
    k["id"] = "int64" if source.outputs.has_number_ids() else "string"
    for shown, name in source.carried.items():
        if shown not in k and shown in columns.shown: k[shown] = carried_type(source.carried_item(shown), source.kinds.get(name))
    if columns.next_turn and source.outputs.has_several_samples(): k["id"] = "string"
    return {c: k[c] for c in columns.shown if c not in columns.absent}


NUMBERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float", "double")  # each type includes those before it


def merged(types):
    """The types of several runs' columns together."""
    out = {}
    for name, kind in ((n, k) for one in types for n, k in one.items()):
        before = out.setdefault(name, kind)
        if before == kind: continue
        if before in NUMBERS and kind in NUMBERS: out[name] = max(before, kind, key=NUMBERS.index)
        elif name == "id": out[name] = "string"
        else: raise Fault(f"column {name}: is {before} in one run and {kind} in another, which Parquet cannot hold in one column: --drop {name}")
    return out


def carried_type(item, kind):
    if kind == "json": return "json"
    if kind == "whole": return "int64"
    depth, name = depth_and_kind(item.dtype)
    if name is None: raise Fault(f"carried column {item.name} has a type ({item.dtype}) that Parquet does not have: leave it out with --columns")
    return name if name == "json" else "list " * (item.ndim - 1 + depth) + name
