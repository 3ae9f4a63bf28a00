"""Settings within an object of a row: `sampling_params` as in vLLM and SGLang, `extra_body` as in OpenAI's client."""
from ...common import short
from .names import SAME
from .settings import RUN_ONLY, SAMPLING, with_off
from ..values import RowFault

PARAMETERS = ("sampling_params", "extra_body")
CHAT_KEYS = ("chat_template_kwargs", "continue_final_message", "add_generation_prompt", "documents", "add_special_tokens")
KNOWN = {*SAMPLING, *SAME, *RUN_ONLY, *CHAT_KEYS, "top_logprobs"}
# Keys that show that an object with a name other than PARAMETERS holds settings; `n`, `seed` and `stop` are too common to show it.
DISTINCTIVE = {*SAMPLING, *SAME} - {"n", "seed", "stop"}


def is_missing(value): return value is None or value == "" or value != value


def without_objects(row, names, called):
    """The row with the known settings of the objects `names` moved to columns of their own; unknown keys stay in the object. `called`
    collects, for each setting, the names under which it was found."""
    out = dict(row)
    for name in names:
        if row[name] is None: del out[name]  # otherwise Parquet's nulls would keep an empty column
        if not isinstance(row[name], dict): continue
        rest = {}
        for key, value in with_off(row[name]).items():
            if value is None: continue  # Parquet adds such nulls for keys that only other rows have
            if key not in KNOWN:
                rest[key] = value
                continue
            setting = SAME.get(key, key)
            own = out.get(setting)
            if is_missing(own): out[setting] = value
            elif not is_missing(value) and value != own:
                raise RowFault(f"has {setting} {short(own)} and {name}.{key} {short(value)}, which are the same setting: remove one")
            if setting in SAMPLING: called.setdefault(setting, set()).add(f"{name}.{key}")
        if rest: out[name] = rest
        else: del out[name]
    return out


def unknown_within(name, value):
    """The names of the keys that `without_objects` left in an object."""
    return [f"{name}.{key}" for key in value] if isinstance(value, dict) else []


def holds_settings(value): return isinstance(value, dict) and not DISTINCTIVE.isdisjoint(value)
