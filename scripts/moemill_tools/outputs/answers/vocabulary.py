"""The parts of a model's folder that show how its answers are structured: the chat template, the special tokens and the bytes of each
token. Read only if an answer must be taken apart; empty if the folder no longer exists."""
import base64
import contextlib
import json
import re

from ...common import Fault, one_line

# Special tokens that separate the parts of an answer. If tokenizer.json marks them as special they are missing in text and appear only in
# token_ids.
MARKERS = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|call|>", "<|return|>", "<|constrain|>",
           "<think>", "</think>", "[THINK]", "[/THINK]", "<seed:think>", "</seed:think>", "<tool_call>", "</tool_call>",
           "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]",
           "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
           "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_end|>",
           "<|tool_call_argument_begin|>", "<minimax:tool_call>", "</minimax:tool_call>")


def byte_letters():
    """The byte for which each letter of a byte-level vocabulary stands (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


class Vocabulary:
    def __init__(self, folder):
        self.folder, self.template, self._tokens = folder, "", None
        self.data, self.added, self.special = {}, {}, {}
        if folder is None or not folder.is_dir(): return
        with self.reading("tokenizer_config.json"):
            settings = self.read("tokenizer_config.json")
            self.template = self.read_template(settings)
        with self.reading("tokenizer.json"):
            self.data = self.read("tokenizer.json")
            added = [(a.get("id"), a) for a in self.data.get("added_tokens") or []]
            added += [(int(i), a) for i, a in (settings.get("added_tokens_decoder") or {}).items() if not self.data]
            self.added = {i: str(a.get("content", "")) for i, a in added}
            self.special = {i: self.added[i] for i, a in added if a.get("special")}

    @contextlib.contextmanager
    def reading(self, name):
        try:
            yield
        except (OSError, ValueError, RecursionError, AttributeError, TypeError, LookupError) as fault:
            raise Fault(f"{self.folder / name}: cannot be read ({one_line(fault)}), and it is needed to take answers apart: --model names "
                        "a different folder of the model") from None

    def read(self, name):
        path = self.folder / name
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found if isinstance(found, dict) else {}

    def read_template(self, settings):
        alone = self.folder / "chat_template.jinja"
        if alone.exists(): return alone.read_text(encoding="utf-8", errors="replace")
        template = settings.get("chat_template") or self.read("chat_template.json").get("chat_template") or ""
        return template if isinstance(template, str) else "".join(str(t.get("template", "")) for t in template if isinstance(t, dict))

    def hides(self):
        """Whether any of the tokens that text leaves out is a marker."""
        return any(content in MARKERS for content in self.special.values())

    def bytes_of(self, token):
        if self._tokens is None:
            with self.reading("tokenizer.json" if self.data else "tiktoken.model"): self._tokens = self.read_tokens()
        return self._tokens.get(token)

    def read_tokens(self):
        if self.folder is None: return {}
        alone = self.folder / "tiktoken.model"
        if not self.data and alone.exists():
            lines = (line.split() for line in alone.read_bytes().splitlines() if line.strip())
            tokens = {int(rank): base64.b64decode(text) for text, rank in lines}
        else:
            model = self.data.get("model") or {}
            vocabulary = model.get("vocab") or {}
            if isinstance(vocabulary, list): vocabulary = {entry[0]: i for i, entry in enumerate(vocabulary)}
            by_bytes = '"ByteLevel"' in json.dumps([self.data.get("decoder"), self.data.get("pre_tokenizer")])
            tokens = {i: from_byte_letters(t) if by_bytes else from_pieces(t) for t, i in vocabulary.items()}
        return tokens | {i: content.encode() for i, content in self.added.items()}

    def pieces(self, token_ids, text):
        """The text of a row in parts, [(is a marker, text)], split at the markers in token_ids that text leaves out. None if the parts
        do not make up the text."""
        parts, held = [], bytearray()
        def flush():
            if held: parts.append((False, held.decode("utf-8", "replace")))
            held.clear()
        for token in token_ids:
            if token in self.special:
                flush()
                if self.special[token] in MARKERS: parts.append((True, self.special[token]))
                continue
            raw = self.bytes_of(token)
            if raw is None: return None
            held += raw
        flush()
        whole = "".join(t for marker, t in parts if not marker)
        if whole.startswith(" ") and not text.startswith(" "):  # SentencePiece drops it at the beginning
            at = next(i for i, (marker, _) in enumerate(parts) if not marker)
            parts[at] = (False, parts[at][1][1:])
            whole = whole[1:]
        return up_to(parts, len(text)) if whole.startswith(text) else None


def from_byte_letters(token, table=byte_letters()):
    try:
        return bytes([table[letter] for letter in token])
    except KeyError:
        return token.encode()


def from_pieces(token):
    """SentencePiece: ▁ is a space, <0x0A> a byte."""
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token): return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def up_to(parts, length):
    """A stop string ends the text before the tokens end."""
    out = []
    for marker, text in parts:
        if not marker:
            if length <= 0: break
            text = text[:length]
            length -= len(text)
        out.append((marker, text))
    return out


def marked(text):
    """The same for a text that contains its markers (output.skip_special_tokens: false)."""
    parts = re.split("(" + "|".join(map(re.escape, MARKERS)) + ")", text)
    return [(i % 2 == 1, part) for i, part in enumerate(parts) if part]
