"""Finds prompts that already begin with their first special token (a BOS), so that the tokenizer does not add it again."""
import numpy as np

from ...common import Fault, json_of_file


def read_config(folder):
    """(chat templates by name, special tokens by name) from the model's JSON files."""
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
        raise Fault(f"{path}: is not in the form that transformers writes; use the publisher's file") from None
    return found, tokens


def put_before(part):
    """The text of the special tokens that tokenizer.json's post-processor adds before every prompt."""
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
    """The texts with which a prompt begins that already has its special token."""
    tokenizer, (_, tokens) = json_of_file(folder / "tokenizer.json", {}), read_config(folder)
    try:
        return tuple(dict.fromkeys(filter(None, (put_before(tokenizer.get("post_processor")), str(tokens.get("bos_token") or "")))))
    except (AttributeError, IndexError, KeyError, TypeError):
        raise Fault(f"{folder / 'tokenizer.json'}: its post_processor is not as the tokenizers library writes it; "
                    "take the file of the model's publisher") from None


class SpecialTokens:
    """The value for input.add_special_tokens: auto for each row: 1 (add them), 0 (the prompt has them) or -1 (unknown). It is an
    attribute if all rows have the same value, otherwise a column."""

    def __init__(self):
        self.parts = []  # arrays, or (value, rows) for a block with a single value

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
