"""Columns that are settings of their rows, and those that only run.yaml can give."""
import json
import re

import numpy as np

from ..common import short
from .rows import parsed
from .values import RowFault

RESERVED = ("prompt", "prompt_token_ids", "id", "n", "temperature", "top_p", "top_k", "min_p", "max_tokens", "seed", "stop")


def setting(low, high, whole=False, off=0):
    """What run.yaml makes of a number of a row: None where it changes nothing; ValueError where it takes no such number."""
    def take(value):
        value = json.loads(value) if isinstance(value, str) else value
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        if not fits or whole and value != int(value): raise ValueError
        return None if value == off else int(value) if whole else value
    return take


def switch(value):
    value = json.loads(value.lower()) if isinstance(value, str) else value
    if not isinstance(value, (bool, int)): raise ValueError
    return True if value is True or type(value) is int and value > 0 else None


def stop_tokens(value):
    value = json.loads(value) if isinstance(value, str) else value
    value = value if isinstance(value, list) else [value]
    if not all(type(t) is int and 0 <= t < 2**31 for t in value): raise ValueError
    return value or None


# Settings of run.yaml that no column can give: said, not silently lost, in a form that run.yaml takes.
RUN_ONLY = {"presence_penalty": setting(-100, 100), "frequency_penalty": setting(-100, 100),
            "repetition_penalty": setting(1e-6, 100, off=1), "min_tokens": setting(0, 2**30, whole=True),
            "logprobs": lambda value: None if value is False else setting(0, 1000, whole=True, off=None)(value),
            "prompt_logprobs": switch, "ignore_eos": switch, "stop_token_ids": stop_tokens}
NOT_DONE = ("logit_bias", "response_format", "tool_choice", "best_of", "echo", "suffix", "structured_outputs", "bad_words")


def number(value, name, low, high, whole, above=False):
    if isinstance(value, str):
        try:
            value = int(value) if re.fullmatch("-?[0-9]{1,19}", value) else float(value)
        except ValueError:
            raise RowFault(f"{name} is {short(value)}, must be a number") from None
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if fits and (value == -1 or value != value): return None  # "the run's", in the file format too
    if fits and whole: fits = value == int(value) if abs(value) < 1e300 else False
    if not fits or not (low < value if above else low <= value) or value > high:
        kind = "a whole number" if whole else "a number"
        raise RowFault(f"{name} is {short(value)}, must be {kind} {'above' if above else 'from'} {low} to {high:g}")
    return int(value) if whole else float(value)


SAMPLING = {"n": (1, 65536, True), "temperature": (0, 100, False), "top_p": (0, 1, False, True), "top_k": (0, 2**30, True),
            "min_p": (0, 1, False), "max_tokens": (0, 2**30, True), "seed": (0, 2**63 - 1, True)}


def sampling_values(values, name, limits):
    """Numbers with -1 or NaN where the run's own is meant. Most rows share a few values: each is looked at once."""
    missing = -1 if limits[2] else float("nan")
    try:
        distinct = set(values)
    except TypeError:
        bad = next(v for v in values if isinstance(v, (list, dict)))
        raise RowFault(f"{name} is {short(bad)}, must be a number") from None
    known = {v: missing if v in (None, "") else number(v, name, *limits) for v in distinct}
    known = {v: missing if k is None else k for v, k in known.items()}
    return np.array([known[v] for v in values], "i8" if limits[2] else "f8")


def stop_list(value):
    """The JSON list that the file format has; "" for the run's own."""
    if value is None or value == "": return ""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.startswith("[") else [value]
        except ValueError:
            value = [value]
    if not isinstance(value, list) or not all(isinstance(s, str) and s and "\0" not in s for s in value):
        raise RowFault(f"stop is {short(value)}, must be text or a list of non-empty texts")
    return json.dumps(value, ensure_ascii=False)


def token_list(value):
    tokens = parsed(value, "prompt_token_ids")
    fits = isinstance(tokens, list) and all(type(t) is int and 0 <= t < 2**31 for t in tokens)
    if not fits: raise RowFault(f"prompt_token_ids is {short(value)}, must be a list of token ids")
    return tokens
