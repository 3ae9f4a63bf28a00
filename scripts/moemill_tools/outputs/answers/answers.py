"""Takes an answer apart into reasoning (reasoning_content), text (content) and calls of tools (tool_calls). Called by formats that pass
answers on; the column `text` stays as the model wrote it."""
import collections
import pathlib
import re

from ...common import Fault, note
from ...run_files import setting
from .harmony import MARKS, channels, opened_by
from .tool_calls import Malformed, begins_a_call, calls_in, style_of
from .vocabulary import Vocabulary, marked

THOUGHTS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"), ("◁think▷", "◁/think▷"))
Answer = collections.namedtuple("Answer", "reasoning content calls")


def opened_thought(prompt):
    """The tag of a reasoning part that the prompt opens at its end, or None."""
    end = prompt[-64:].rstrip()
    return next((pair for pair in THOUGHTS if end.endswith(pair[0])), None)


class Answers:
    def __init__(self, options, source):
        self.options, self.source, self.counts = options, source, collections.Counter()
        path = options.model or setting(source.outputs.config(), "model", "path")
        folder = pathlib.Path(path) if path else None
        if options.model and not folder.is_dir(): raise Fault(f"{folder}: no such folder (--model)")
        self.vocabulary = Vocabulary(folder)
        self.missing = folder if folder and not folder.is_dir() else None
        self.style = style_of(self.vocabulary.template)
        special = set(self.vocabulary.special.values())
        self.harmony = {"<|channel|>", "<|message|>"} <= special or "<|channel|>" in self.vocabulary.template
        self.shows_markers = setting(source.outputs.config(), "output", "skip_special_tokens") == "false"

    def needed(self):
        """Columns that must be read: the prompt shows what it leaves open, and token_ids have the markers that text lacks."""
        wanted = {"text"}
        if self.source.prompts:
            wanted |= {name for name in ("prompt", "prompt_token_ids") if name in self.source.prompts.group and not (
                name == "prompt_token_ids" and "prompt" in self.source.prompts.group)}
        if self.vocabulary.hides() and not self.shows_markers and self.source.has("token_ids"): wanted.add("token_ids")
        return wanted

    def of(self, row):
        prefix = row.get("assistant_prefix") or ""
        prompt = self.prompt_of(row).removesuffix(prefix)
        pieces = self.pieces_of(row)
        if pieces is None:
            self.counts["markers"] += 1
            return Answer(None, prefix + row["text"], [])
        if self.harmony and (any(marker and text in MARKS for marker, text in pieces) or opened_by(prompt)):
            if prompt.rstrip().endswith("<|channel|>"): pieces = [(True, "<|channel|>"), *pieces]
            thoughts, content, calls, malformed = channels([*marked(prefix), *pieces], opened_by(prompt))
            self.counts["malformed"] += malformed
            return Answer(thoughts or None, content, self.numbered([(n, a, None) for n, a in calls], row))
        return self.of_text(prefix + "".join(text for _, text in pieces), opened_thought(prompt), row)

    def whole(self, row):
        """The answer with everything that separates its parts: the tag that the prompt has opened, and the markers that text lacks."""
        prefix = row.get("assistant_prefix") or ""
        opened = opened_thought(self.prompt_of(row).removesuffix(prefix))
        pieces = self.pieces_of(row)
        return (f"{opened[0]}\n" if opened else "") + prefix + (row["text"] if pieces is None else "".join(text for _, text in pieces))

    def prompt_of(self, row):
        if "prompt" in row: return row["prompt"]
        tail = (self.vocabulary.bytes_of(t) for t in (row.get("prompt_token_ids") or [])[-64:]) if self.vocabulary.template else ()
        return b"".join(t or b"" for t in tail).decode("utf-8", "replace")

    def pieces_of(self, row):
        """None if markers are known to be missing."""
        if self.shows_markers: return marked(row["text"])
        if not self.vocabulary.hides(): return marked(row["text"]) if self.harmony and "<|channel|>" in row["text"] else [(False, row["text"])]
        if row.get("token_ids") is None: return None if self.harmony else [(False, row["text"])]
        return self.vocabulary.pieces(row["token_ids"], row["text"])

    def of_text(self, text, opened, row):
        thought, content = self.thought_of(text, opened, row)
        if thought is not None or "<think>" in self.vocabulary.template: self.counts["thoughts"] += 1
        calls = []
        style = self.style if self.style and begins_a_call(content or "", self.style) else style_of(content or "") if self.unknown(row) else None
        if content and style:
            try:
                content, calls = calls_in(content, style, row.get("tools"))
            except Malformed:
                self.counts["malformed"] += 1
        return Answer(thought, content if content or not calls else None, self.numbered(calls, row))

    def unknown(self, row):
        """Whether a call may follow a different template than the model folder's: the folder is missing, or the row has tools."""
        return not self.vocabulary.template or bool(row.get("tools"))

    def thought_of(self, text, opened, row):
        """(reasoning or None, content or None if the reasoning was cut)."""
        for begin, end in [opened] if opened else THOUGHTS:
            begun = text.lstrip().startswith(begin)
            if not (opened or begun or end in text): continue
            if not opened and not begun and self.closed_by_prompt(row, end): continue  # the answer mentions a tag
            inner = text.lstrip().removeprefix(begin) if begun else text.lstrip() if end in text else text
            thought, found, content = inner.partition(end)
            return thought.strip("\n"), content.lstrip("\n") if found else None
        return None, text

    def closed_by_prompt(self, row, end): return "prompt" in row and re.search(re.escape(end) + r"\s*$", row["prompt"][-64:]) is not None

    def numbered(self, calls, row):
        where = f"call_{row['prompt_index']}_{row['sample_index']}"
        return [{"id": ident or f"{where}_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for i, (name, arguments, ident) in enumerate(calls)]

    def may_think(self):
        """Whether answers may contain reasoning, as far as the model's folder shows."""
        texts = {self.vocabulary.template, *self.vocabulary.added.values()}
        return self.harmony or any(begin in text for begin, _ in THOUGHTS for text in texts)

    def look_at(self, text):
        """For rows whose text is written whole: notes whether it contains reasoning, so that a note can report it."""
        if any(end in text for _, end in THOUGHTS) or text.lstrip().startswith(THOUGHTS[0][0]): self.counts["in text"] += 1
        else: self.look_for_channels(text)

    def look_for_channels(self, text):
        """Takes a gpt-oss answer apart, without the markers between its parts."""
        if text.startswith(("analysis", "commentary", "<|channel|>")): self.counts["channels in text"] += 1

    def tell(self, took_apart):
        if self.counts["in text"]:
            note(f"the text of {self.counts['in text']:,} rows holds reasoning: --split-answers separates reasoning_content, content and tool_calls")
        if self.counts["channels in text"]:
            note(f"the text of {self.counts['channels in text']:,} rows seems to hold reasoning and answer without a mark between them (gpt-oss's channels): "
                 "--split-answers in rows, or --format messages, takes them apart")
        if self.counts["unspelled"]:
            there = f"the model's folder {self.vocabulary.folder} has no such token" if self.vocabulary.data else "the model's tokenizer is not here"
            note(f"logprobs name some tokens token_id:N, without bytes and text_offset: {there} (--model names the folder)")
        if not took_apart: return
        if self.counts["malformed"]:
            note(f"{self.counts['malformed']:,} answers begin a tool call that cannot be read: it stays in their content")
        if self.counts["markers"]:
            note(f"{self.counts['markers']:,} answers are whole: their channels, reasoning and tool calls are separated by special tokens, and this "
                 "run did not store matching token_ids (output.store: [text, token_ids], or output.skip_special_tokens: false)")
        if self.missing:
            note(f"the model's folder {self.missing} does not exist: reasoning and tool calls are recognised by the text alone (--model names the folder)")
        if not self.source.prompts and self.counts["thoughts"]:
            note("the prompts of this run are not available, so reasoning that was cut before </think> cannot be distinguished from an answer; --prompts names them")
