"""Columns that are settings of their rows, settings that only run.yaml has, and features that moemill lacks."""
import json
import re

import numpy as np

from ...common import short
from ..columns import MOST_EXACT
from ..chat.messages import parsed
from ..values import RowFault


def number(value, name, low, high, whole, above=False, minus_one="default"):
    if isinstance(value, str):
        try:
            value = int(value) if re.fullmatch("-?[0-9]{1,20}", value) else float(value)
        except ValueError:
            raise RowFault(f"{name} is {short(value)}, must be a number") from None
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if fits and (value == -1 and minus_one == "default" or value != value): return None  # means "the run's value", also in the file format
    if fits and whole: fits = value == int(value) if abs(value) < 1e300 else False
    if not fits or not (low < value if above else low <= value) or value > high:
        kind = "a whole number" if whole else "a number"
        raise RowFault(f"{name} is {short(value)}, must be {kind} {'above' if above else 'from'} {low} to {high if whole else f'{high:g}'}")
    if whole and isinstance(value, float) and value > MOST_EXACT:
        raise RowFault(f"{name} is {short(value)}, a float, which is not exact beyond 2^53: it must be written as a whole number")
    return int(value) if whole else float(value)


def switch(value, name):
    if isinstance(value, str): value = {"true": True, "1": True, "false": False, "0": False, "-1": -1}.get(value.lower(), value)
    if isinstance(value, float) and (value != value or value.is_integer()): value = -1 if value != value else int(value)
    if type(value) not in (bool, int) or value not in (-1, 0, 1): raise RowFault(f"{name} is {short(value)}, must be true or false")
    return None if value == -1 else int(value)


def stop_list(value, name):
    """The JSON list of the file format; "" for the run's value."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.startswith("[") else [value]
        except ValueError:
            value = [value]
    if not isinstance(value, list) or not all(isinstance(s, str) and s and "\0" not in s for s in value):
        raise RowFault(f"{name} is {short(value)}, must be text or a list of non-empty texts")
    return json.dumps(value, ensure_ascii=False)


def token_list(value, name):
    tokens = parsed(value, name)
    if isinstance(tokens, list) and all(type(t) is int and 0 <= t < 2**31 for t in tokens): return tokens
    raise RowFault(f"{name} is {short(value)}, must be a list of token ids")


def stop_tokens(value, name):
    try:
        value = json.loads(value) if isinstance(value, str) else value
        return json.dumps(token_list(value if isinstance(value, list) else [value], name))
    except ValueError:
        raise RowFault(f"{name} is {short(value)}, must be a token id or a list of token ids") from None


# Numbers are (low, high, whole, above) by name; the remaining settings have the function that makes the file's value.
SAMPLING = {"n": (1, 65536, True), "temperature": (0, 100, False), "top_p": (0, 1, False, True), "top_k": (0, 2**30, True),
            "min_p": (0, 1, False), "repetition_penalty": (0, 100, False, True), "presence_penalty": (-100, 100, False, False, "value"),
            "frequency_penalty": (-100, 100, False, False, "value"), "max_tokens": (0, 2**30, True), "min_tokens": (0, 2**30, True),
            "seed": (0, 2**64 - 1, True), "logprobs": (0, 1000, True), "ignore_eos": switch, "stop": stop_list,
            "stop_token_ids": stop_tokens}
RESERVED = ("prompt", "prompt_token_ids", "id", "add_special_tokens", *SAMPLING)


def setting_of(row, name):
    """A row's value of a setting in the form of the file. None means the run's value."""
    value = row.get(name)
    if name == "logprobs" and not isinstance(value, (list, dict)):  # a switch in the chat API
        if isinstance(value, str): value = {"true": True, "false": False}.get(value.lower(), value)
        if value is False: return None
        if value is True: return row.get("top_logprobs") or 0
    return value


def with_off(row):
    """A row with top_k -1, which means "off" everywhere except in moemill's own files, where it means the run's value."""
    value = row.get("top_k") if isinstance(row, dict) else None
    return {**row, "top_k": "0" if value == "-1" else 0} if value in (-1, "-1") else row


TYPED_ESCAPE = re.compile(r"\\[nt]")


def has_typed_escape(value):
    """Whether a stop contains a backslash and n (or t) where its author may have meant the character."""
    try:
        return "\\" in str(value) and any(map(TYPED_ESCAPE.search, json.loads(stop_list(value, "stop"))))
    except RowFault:
        return False  # such a value is refused elsewhere


def is_wide(value):
    """Whether a seed needs the sign bit. Invalid seeds are refused elsewhere."""
    try:
        return isinstance(value, (int, str)) and 2**63 <= int(value) < 2**64
    except ValueError:
        return False


def setting_values(values, name, are_wide=()):
    """The column of a setting. Most rows share a few values, so each value is checked once. `are_wide` holds settings with values that
    need uint64, which has no value for "the run's"."""
    rule = SAMPLING[name]
    if callable(rule) and rule is not switch: return ["" if v in (None, "") else rule(v, name) for v in values]
    missing = float("nan") if rule is not switch and not rule[2] else -1
    try:
        distinct = set(values)
    except TypeError:
        bad = next(v for v in values if isinstance(v, (list, dict)))
        raise RowFault(f"{name} is {short(bad)}, must be a number") from None
    known = {v: None if v in (None, "") else rule(v, name) if rule is switch else number(v, name, *rule) for v in distinct}
    if name in are_wide and None in known.values():
        raise RowFault(f"{name} is missing, null or -1, while other rows have one from 2^63 on: in such a file every row needs one")
    known = {v: missing if k is None else k for v, k in known.items()}
    return np.array([known[v] for v in values], "i1" if rule is switch else "u8" if name in are_wide else "i8" if rule[2] else "f8")


def scores_prompts(value):
    """What run.yaml needs for a row's prompt_logprobs: None if nothing changes; ValueError if run.yaml accepts no such value."""
    value = json.loads(value.lower()) if isinstance(value, str) else value
    if not isinstance(value, (bool, int)): raise ValueError
    return True if value is True or type(value) is int and value > 0 else None


# Settings of run.yaml that a column cannot set. They are reported, in the form that run.yaml takes, so that they are not silently lost.
RUN_ONLY = {"prompt_logprobs": ("sampling", scores_prompts),
            "skip_special_tokens": ("output", lambda value: None if value in (True, 1, "true") else bool(value) and value != "false")}

# Settings that change answers in different programs and are not supported here: in any rows, and only in requests of a batch file.
NOT_DONE = ("logit_bias", "response_format", "tool_choice", "best_of", "echo", "suffix", "structured_outputs", "bad_words", "images",
            "image", "videos", "audios")
NOT_DONE_OF_REQUESTS = (
    *NOT_DONE, "use_beam_search", "function_call", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
    "allowed_token_ids", "truncate_prompt_tokens", "include_stop_str_in_output", "logits_processors", "chat_template", "thinking",
    "enable_thinking", "audio", "modalities", "verbosity", "web_search_options", "length_penalty", "spaces_between_special_tokens",
    "parallel_tool_calls", "thinking_budget")
NO_CHANGE = {"tool_choice": ("auto",), "function_call": ("auto",), "response_format": ({"type": "text"},), "best_of": (1,),
             "modalities": (["text"],), "verbosity": ("medium",), "length_penalty": (1,), "spaces_between_special_tokens": (True,),
             "parallel_tool_calls": (True,), "truncate_prompt_tokens": (-1,)}
OFF_MATTERS = ("parallel_tool_calls", "spaces_between_special_tokens", "enable_thinking")

# Keys of a request that are supported, or that do not affect answers.
REQUEST_KEYS = {*SAMPLING, *RUN_ONLY, "id", "method", "url", "messages", "prompt", "system", "tools", "functions", "chat_template_kwargs",
                "reasoning_effort", "continue_final_message", "add_generation_prompt", "add_special_tokens", "documents", "model",
                "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
                "prompt_cache_retention", "timeout", "priority", "request_id", "return_token_ids", "return_tokens_as_token_ids",
                "top_logprobs", "background", "prediction", "max_completion_tokens", "max_tool_calls", "truncation"}


def is_asked(name, value):
    """Whether an unsupported column's value would have changed an answer."""
    if name in OFF_MATTERS and value is False: return True
    return value not in (None, False, "", [], {}, "[]", "{}", *NO_CHANGE.get(name, ()))
