"""Settings within an object of a row: `sampling_params` as vLLM and SGLang take them, `extra_body` as OpenAI's client does."""
from ...common import short
from .names import SAME
from .settings import RUN_ONLY, SAMPLING, with_off
from ..values import RowFault

PARAMETERS = ("sampling_params", "extra_body")
OF_CHATS = ("chat_template_kwargs", "continue_final_message", "add_generation_prompt", "documents", "add_special_tokens")
KNOWN = {*SAMPLING, *SAME, *RUN_ONLY, *OF_CHATS, "top_logprobs"}
# What shows that another object is one of settings, too: `n`, `seed` and `stop` may be anything's.
SPEAKING = {*SAMPLING, *SAME} - {"n", "seed", "stop"}


def says_nothing(value): return value is None or value == "" or value != value


def without_objects(row, names, called):
    """A row with the settings of these of its objects beside its other columns, where they act. What is no setting stays in the object.
    `called` collects by which name a setting came."""
    out = dict(row)
    for name in names:
        if row[name] is None: del out[name]  # else Parquet's nulls would keep a column of nothing
        if not isinstance(row[name], dict): continue
        rest = {}
        for key, value in with_off(row[name]).items():
            if value is None: continue  # as Parquet gives it to keys that only other rows have
            if key not in KNOWN:
                rest[key] = value
                continue
            setting = SAME.get(key, key)
            mine = out.get(setting)
            if says_nothing(mine): out[setting] = value
            elif not says_nothing(value) and value != mine:
                raise RowFault(f"has {setting} {short(mine)} and {name}.{key} {short(value)}, which are one setting: leave one of them out")
            if setting in SAMPLING: called.setdefault(setting, set()).add(f"{name}.{key}")
        if rest: out[name] = rest
        else: del out[name]
    return out


def unknown_within(name, value):
    """Names of what stayed in such an object."""
    return [f"{name}.{key}" for key in value] if isinstance(value, dict) else []


def holds_settings(value): return isinstance(value, dict) and not SPEAKING.isdisjoint(value)
