"""Prompts that the run cut to fit (errors.too_long: truncate_left, truncate_right). What is written beside their answers should be what
the model read. Called by formats that pair prompt and answer."""
import collections
import json
import pathlib

from ...common import note
from ...run_files import reading, setting

BLOCK_ROWS = 65536


def positions_of(folder):
    """The longest text for the model, which is the value of model.max_model_len: auto; None if its config.json does not exist."""
    try:
        config = json.loads((pathlib.Path(folder or "") / "config.json").read_text(encoding="utf-8"))
        config = {**config, **(config.get("text_config") or {})}
        rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
        stretched = 0
        if "yarn" in (rope.get("rope_type"), rope.get("type")):
            stretched = int(rope["factor"] * (rope.get("original_max_position_embeddings") or config["max_position_embeddings"]))
        return max(int(config["max_position_embeddings"]), stretched)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


class Cuts:
    def __init__(self, source, vocabulary, chat):
        """`chat` says whether messages, which cannot be cut, replace the prompt's text."""
        self.source, self.vocabulary, self.chat, self.counts = source, vocabulary, chat, collections.Counter()
        config = source.outputs.config()
        self.policy = setting(config, "errors", "too_long") or ""
        limit, most = (setting(config, *key) or "" for key in (("model", "max_model_len"), ("sampling", "max_tokens")))
        self.limit = int(limit) if limit.isdecimal() else positions_of(setting(config, "model", "path"))
        self.most = int(most) if most.isdecimal() else 0
        self.block, self.begin = (), 0  # values of the column max_tokens

    def needed(self, wanted):
        """Columns that must be read in addition, to find what was cut."""
        if not self.policy.startswith("truncate") or not {"prompt", "messages"} & wanted: return set()
        return {"num_prompt_tokens"} | ({"prompt_token_ids"} if self.restores() and "prompt" in wanted else set())

    def restores(self): return not self.chat and self.source.stores_prompts()

    def most_of(self, prompt):
        """A prompt's max_tokens: its own, or the run's."""
        item = self.source.prompts and self.source.prompts.group.get("max_tokens")
        if item is None or not hasattr(item, "dtype") or item.dtype.kind not in "iuf": return self.most
        if not self.begin <= prompt < self.begin + len(self.block):
            self.begin = prompt
            with reading(self.source.prompts.path): self.block = item[prompt:prompt + BLOCK_ROWS].tolist()
        own = self.block[prompt - self.begin] if self.block else -1
        return self.most if own == -1 or own != own else int(own)

    def may_be_cut(self, row):
        """A cut prompt fills all the space that its answer leaves; few other prompts do so by chance. If that space is not known, only
        the tokens can show it."""
        if row["status"] != "ok": return False
        if self.limit is None: return "prompt_token_ids" in row
        return row["num_prompt_tokens"] + self.most_of(row["prompt_index"]) == self.limit

    def as_read(self, rows):
        """The rows, with the text that the model read if the run stored it."""
        for row in rows:
            if "num_prompt_tokens" in row and self.policy.startswith("truncate") and self.may_be_cut(row):
                comparable = self.restores() and "prompt_token_ids" in row and "prompt" in row
                seen = self.seen(row["prompt"], row["prompt_token_ids"]) if comparable else None
                if seen is None and self.limit is None: self.counts["unknown"] += 1
                elif seen is None: self.counts["messages" if self.chat or "prompt" not in row else "whole"] += 1
                elif seen != row["prompt"]:
                    self.counts["as read"] += 1
                    row = {**row, "prompt": seen}
            yield row

    def seen(self, prompt, tokens):
        """The part of a prompt that consists of these tokens; None if it cannot be determined."""
        head = self.vocabulary.special.get(tokens[0]) if tokens else None
        parts = [self.vocabulary.bytes_of(t) for t in (tokens[1:] if head is not None else tokens)]
        if not parts or None in parts: return None
        head = head if head and prompt.startswith(head) else ""  # otherwise the tokenizer added it before the prompt
        whole, part = prompt.removeprefix(head).encode(), b"".join(parts)
        if whole == part: return prompt
        fits = whole.endswith(part) if self.policy == "truncate_left" else whole.startswith(part)
        return head + part.decode(errors="ignore") if fits else None  # a letter may have lost some of its bytes

    def tell(self):
        if self.counts["as read"]:
            note(f"{self.source.path}: the run cut the prompt of {self.counts['as read']:,} rows (errors.too_long: {self.policy}); it is written as the model read it")
        if self.counts["unknown"]:
            note(f"{self.source.path}: whether the run cut the prompt (errors.too_long: {self.policy}) is unknown for {self.counts['unknown']:,} rows; it is written whole")
        for kind, cure in (("messages", "--format prompt-completion writes what it read if the run stored prompt_token_ids"),
                           ("whole", "a run with output.store: [text, prompt_token_ids] stores what it read")):
            if not self.counts[kind]: continue
            note(f"{self.source.path}: the run seems to have cut the prompt of {self.counts[kind]:,} rows (errors.too_long: {self.policy}), but the whole "
                 f"prompt is written beside the answer, more than the model read; {cure}")
