"""Settings within an object of a row: `sampling_params` as in vLLM and SGLang, `extra_body` as in OpenAI's client."""
from ...common import short
from .names import SAME
from .settings import RUN_ONLY, SAMPLING, with_off
from ..values import RowFault

PARAMETERS = ("sampling_params", "extra_body")
OF_CHATS = ("chat_template_kwargs", "continue_final_message", "add_generation_prompt", "documents", "add_special_tokens")
KNOWN = {*SAMPLING, *SAME, *RUN_ONLY, *OF_CHATS, "top_logprobs"}
# Keys that show that an object under another name holds settings; `n`, `seed` and `stop` would be too common.
SPEAKING = {*SAMPLING, *SAME} - {"n", "seed", "stop"}


def says_nothing(value): return value is None or value == "" or value != value


def without_objects(row, names, called):
    """A row with the settings of these objects added to its columns, if they are used. Other keys stay in the object. `called` collects
    the names under which settings were found."""
    out = dict(row)
    for name in names:
        if row[name] is None: del out[name]  # otherwise Parquet's nulls would keep an empty column
        if not isinstance(row[name], dict): continue
        rest = {}
        for key, value in with_off(row[name]).items():
            if value is None: continue  # Parquet adds such nulls for keys that only different rows have
            if key not in KNOWN:
                rest[key] = value
                continue
            setting = SAME.get(key, key)
            mine = out.get(setting)
            if says_nothing(mine): out[setting] = value
            elif not says_nothing(value) and value != mine:
                raise RowFault(f"has {setting} {short(mine)} and {name}.{key} {short(value)}, which are the same setting: remove one of them")
            if setting in SAMPLING: called.setdefault(setting, set()).add(f"{name}.{key}")
        if rest: out[name] = rest
        else: del out[name]
    return out


def unknown_within(name, value):
    """Names of the keys that stayed in such an object."""
    return [f"{name}.{key}" for key in value] if isinstance(value, dict) else []


def holds_settings(value): return isinstance(value, dict) and not SPEAKING.isdisjoint(value)
