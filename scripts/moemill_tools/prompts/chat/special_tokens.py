"""Which prompts have their first special token (a BOS) already, so that the tokenizer must not put it before them again."""
import numpy as np

from ...common import Fault, json_of_file


def read_config(folder):
    """(chat templates by name, special tokens by name) that the model's JSON files say."""
    path = folder / "tokenizer_config.json"
    try:
        config = json_of_file(path, {})
        found = config.get("chat_template") or {}
        if isinstance(found, list): found = {t["name"]: t["template"] for t in found}
        if isinstance(found, str): found = {"default": found}
        if not all(isinstance(t, str) for t in found.values()): raise TypeError
        if not config: config = json_of_file(path := folder / "special_tokens_map.json", {})
        names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
        tokens = {name: t["content"] if isinstance(t, dict) else t for name in names if (t := config.get(name)) is not None}
    except (AttributeError, KeyError, TypeError):
        raise Fault(f"{path}: is not as transformers writes it; take the file of the model's publisher") from None
    return found, tokens


def put_before(part):
    """The text of the special tokens that a post-processor of tokenizer.json puts before every prompt."""
    if not isinstance(part, dict): return ""
    if part.get("type") == "Sequence": return "".join(map(put_before, part.get("processors", [])))
    if part.get("type") in ("BertProcessing", "RobertaProcessing"): return str(part["cls"][0])
    if part.get("type") != "TemplateProcessing": return ""
    known, text = part.get("special_tokens") or {}, ""
    for piece in part.get("single", []):
        if "SpecialToken" not in piece: break
        name = piece["SpecialToken"]["id"]
        text += "".join(known.get(name, {}).get("tokens", [name]))
    return text


def special_texts(folder):
    """The texts that a prompt begins with which has its special token already."""
    tokenizer, (_, tokens) = json_of_file(folder / "tokenizer.json", {}), read_config(folder)
    try:
        return tuple(dict.fromkeys(filter(None, (put_before(tokenizer.get("post_processor")), str(tokens.get("bos_token") or "")))))
    except (AttributeError, IndexError, KeyError, TypeError):
        raise Fault(f"{folder / 'tokenizer.json'}: its post_processor is not as the tokenizers library writes it; "
                    "take the file of the model's publisher") from None


class SpecialTokens:
    """What moemill's input.add_special_tokens: auto obeys: 1 (add them), 0 (they are there) or -1 (not known) of each row. It is an
    attribute where all rows are the same, else a column."""

    def __init__(self):
        self.parts = []  # arrays, or (value, rows) of a block of one value

    def add(self, values):
        if not len(values): return
        if (values == values[0]).all(): self.parts.append((int(values[0]), len(values)))
        else: self.parts.append(values)

    def store(self, target):
        known = {part[0] if isinstance(part, tuple) else None for part in self.parts}
        if known == {-1}: return
        if len(known) == 1 and None not in known: target.file.attrs["add_special_tokens"] = np.int8(known.pop())
        else:
            for part in self.parts:
                target.column("add_special_tokens", np.full(part[1], part[0], "i1") if isinstance(part, tuple) else part)
