"""Checks and converts sampling settings of rows; lists the settings that only run.yaml has and those that are unsupported."""
import json
import re

import numpy as np

from ...common import short
from ..columns import MOST_EXACT
from ..chat.messages import parsed
from ..values import RowFault


def number(value, name, low, high, whole, above=False, minus_one="default"):
    """A number from `low` (with `above`: above it) to `high`, or None for the run's value: NaN, and -1 unless `minus_one` is "value"."""
    if isinstance(value, str):
        try:
            value = int(value) if re.fullmatch("-?[0-9]{1,20}", value) else float(value)
        except ValueError:
            raise RowFault(f"{name} is {short(value)}, must be a number") from None
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if fits and (value == -1 and minus_one == "default" or value != value): return None
    if fits and whole: fits = value == int(value) if abs(value) < 1e300 else False
    if not fits or not (low < value if above else low <= value) or value > high:
        kind = "a whole number" if whole else "a number"
        raise RowFault(f"{name} is {short(value)}, must be {kind} {'above' if above else 'from'} {low} to {high if whole else f'{high:g}'}")
    if whole and isinstance(value, float) and value > MOST_EXACT:
        raise RowFault(f"{name} is {short(value)}, a float, which is not exact beyond 2^53: it must be written as a whole number")
    return int(value) if whole else float(value)


def switch(value, name):
    """0 or 1, or None for the run's value (-1 or NaN)."""
    if isinstance(value, str): value = {"true": True, "1": True, "false": False, "0": False, "-1": -1}.get(value.lower(), value)
    if isinstance(value, float) and (value != value or value.is_integer()): value = -1 if value != value else int(value)
    if type(value) not in (bool, int) or value not in (-1, 0, 1): raise RowFault(f"{name} is {short(value)}, must be true or false")
    return None if value == -1 else int(value)


def stop_list(value, name):
    """The text of a JSON list, as prompts.h5 stores it."""
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


# For a number the arguments of `number` after the name; for any other setting the function that makes the value of prompts.h5.
SAMPLING = {"n": (1, 65536, True), "temperature": (0, 100, False), "top_p": (0, 1, False, True), "top_k": (0, 2**30, True),
            "min_p": (0, 1, False), "repetition_penalty": (0, 100, False, True), "presence_penalty": (-100, 100, False, False, "value"),
            "frequency_penalty": (-100, 100, False, False, "value"), "max_tokens": (0, 2**30, True), "min_tokens": (0, 2**30, True),
            "seed": (0, 2**64 - 1, True), "logprobs": (0, 1000, True), "ignore_eos": switch, "stop": stop_list,
            "stop_token_ids": stop_tokens}
RESERVED = ("prompt", "prompt_token_ids", "id", "add_special_tokens", *SAMPLING)


def setting_of(row, name):
    """A row's value of a setting, with the chat API's logprobs as a number. None means the run's value."""
    value = row.get(name)
    if name == "logprobs" and not isinstance(value, (list, dict)):  # a switch in the chat API
        if isinstance(value, str): value = {"true": True, "false": False}.get(value.lower(), value)
        if value is False: return None
        if value is True: return row.get("top_logprobs") or 0
    return value


def with_off(row):
    """The row with a top_k of -1 replaced by 0: -1 means "off" everywhere except in prompts.h5, where it means the run's value."""
    value = row.get("top_k") if isinstance(row, dict) else None
    return {**row, "top_k": "0" if value == "-1" else 0} if value in (-1, "-1") else row


TYPED_ESCAPE = re.compile(r"\\[nt]")


def has_typed_escape(value):
    """Whether a stop contains a backslash and n (or t) where its author may have meant a line break (or a tab)."""
    try:
        return "\\" in str(value) and any(map(TYPED_ESCAPE.search, json.loads(stop_list(value, "stop"))))
    except RowFault:
        return False  # such a value is refused elsewhere


def is_wide(value):
    """Whether a seed is 2^63 or more, so that its column must be uint64. Invalid seeds are refused elsewhere."""
    try:
        return isinstance(value, (int, str)) and 2**63 <= int(value) < 2**64
    except ValueError:
        return False


def setting_values(values, name, wide=()):
    """The column of a setting. Most rows share a few values, so each distinct value is checked once. `wide` names the settings that
    need uint64, which has no value that means "the run's value"."""
    rule = SAMPLING[name]
    if callable(rule) and rule is not switch: return ["" if v in (None, "") else rule(v, name) for v in values]
    missing = float("nan") if rule is not switch and not rule[2] else -1
    try:
        distinct = set(values)
    except TypeError:
        bad = next(v for v in values if isinstance(v, (list, dict)))
        raise RowFault(f"{name} is {short(bad)}, must be a number") from None
    known = {v: None if v in (None, "") else rule(v, name) if rule is switch else number(v, name, *rule) for v in distinct}
    if name in wide and None in known.values():
        raise RowFault(f"{name} is missing, null or -1, while another row has one of 2^63 or more: in such a file every row needs one")
    known = {v: missing if k is None else k for v, k in known.items()}
    return np.array([known[v] for v in values], "i1" if rule is switch else "u8" if name in wide else "i8" if rule[2] else "f8")


def scores_prompts(value):
    """The value that run.yaml needs for a row's prompt_logprobs: None if it needs none; ValueError if run.yaml has no such value."""
    value = json.loads(value.lower()) if isinstance(value, str) else value
    if not isinstance(value, (bool, int)): raise ValueError
    return True if value is True or type(value) is int and value > 0 else None


# Settings that run.yaml has but a column cannot set: their section of run.yaml, and the function that makes its value. They are
# reported in run.yaml's form, so that they are not lost silently.
RUN_ONLY = {"prompt_logprobs": ("sampling", scores_prompts),
            "skip_special_tokens": ("output", lambda value: None if value in (True, 1, "true") else bool(value) and value != "false")}

# Settings that change answers in other programs and are not supported here, in rows of any file.
UNSUPPORTED = ("logit_bias", "response_format", "tool_choice", "best_of", "echo", "suffix", "structured_outputs", "bad_words", "images",
               "image", "videos", "audios")
# The same for requests of a batch file.
UNSUPPORTED_IN_REQUESTS = (
    *UNSUPPORTED, "use_beam_search", "function_call", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
    "allowed_token_ids", "truncate_prompt_tokens", "include_stop_str_in_output", "logits_processors", "chat_template", "thinking",
    "enable_thinking", "audio", "modalities", "verbosity", "web_search_options", "length_penalty", "spaces_between_special_tokens",
    "parallel_tool_calls", "thinking_budget")
# Values of unsupported settings that change no answer, besides those that are false in Python.
NEUTRAL_VALUES = {"tool_choice": ("auto",), "function_call": ("auto",), "response_format": ({"type": "text"},), "best_of": (1,),
                  "modalities": (["text"],), "verbosity": ("medium",), "length_penalty": (1,), "spaces_between_special_tokens": (True,),
                  "parallel_tool_calls": (True,), "truncate_prompt_tokens": (-1,)}
# Settings for which False does change an answer.
FALSE_MATTERS = ("parallel_tool_calls", "spaces_between_special_tokens", "enable_thinking")

# Keys of a request that are supported, or that do not affect answers.
REQUEST_KEYS = {*SAMPLING, *RUN_ONLY, "id", "method", "url", "messages", "prompt", "system", "tools", "functions", "chat_template_kwargs",
                "reasoning_effort", "continue_final_message", "add_generation_prompt", "add_special_tokens", "documents", "model",
                "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
                "prompt_cache_retention", "timeout", "priority", "request_id", "return_token_ids", "return_tokens_as_token_ids",
                "top_logprobs", "background", "prediction", "max_completion_tokens", "max_tool_calls", "truncation"}


def is_asked(name, value):
    """Whether this value of an unsupported setting would change an answer in a program that supports it."""
    if name in FALSE_MATTERS and value is False: return True
    return value not in (None, False, "", [], {}, "[]", "{}", *NEUTRAL_VALUES.get(name, ()))
