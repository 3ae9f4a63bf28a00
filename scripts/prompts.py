#!/usr/bin/env python3
"""Makes prompts.h5, which moemill reads, from JSONL (.gz too), Parquet, CSV, a Hugging Face datasets folder or an
OpenAI batch file.

Each row becomes one prompt. Chat messages are rendered with the model's own chat template; a Jinja template makes a
prompt from columns. Ids, sampling columns and all other columns are kept. The input is read twice (once to learn the
types of the columns, once to write) in small blocks, so its size does not matter. The same input gives the same bytes.

Without this script three lines of h5py are enough:
    import h5py
    with h5py.File("prompts.h5", "w") as f:
        f["prompt"] = ["Once upon a time", "Q: 7 + 8?\\nA:"]
"""
EXAMPLES = """examples:
  # a text column `prompt`; id, temperature, max_tokens and the like are used where present, the rest is carried along
  prompts.py questions.jsonl -o prompts.h5

  # chat: `messages` (or ShareGPT `conversations`), rendered as transformers' apply_chat_template does
  prompts.py chats.jsonl.gz --model /models/DeepSeek-V3 -o prompts.h5
  prompts.py chats.parquet --model /models/Qwen3-30B-A3B --template-arg enable_thinking=false -o prompts.h5

  # a question a row, asked as a user turn behind a system message
  prompts.py gsm8k/main --split train --prompt-column question --user-turn --system "Think step by step." \\
      --model /models/Qwen3-30B-A3B -o prompts.h5

  # columns put into a template; without --user-turn it is the prompt itself
  prompts.py reviews.csv --template 'Translate to French: {{ text }}\\nFrench:' --id-column review_id -o prompts.h5

  # a datasets folder (save_to_disk, or one of the Hub), one split; four samples a row; a renamed column
  prompts.py ./squad --split train --prompt-column question --set n=4 --map context=passage -o prompts.h5

  # an OpenAI batch file: custom_id, body.messages or body.prompt, and the body's sampling keys by row
  prompts.py batch.jsonl --model /models/Qwen3-30B-A3B -o prompts.h5

bad rows: --on-error fail (default) stops at the first one and writes nothing; skip leaves them out and lists them in
OUTPUT.skipped.jsonl (file, line or row, custom_id of a batch file, error).

folders: the split of a file is what stands before -00000-of-00001 in its name, or a name with train, validation, test or
their like in it (train_sft.jsonl, dev.csv, fr/test/0.parquet). A folder with several splits needs --split NAME, or --split
all, which reads all of them in the order of their names. A folder with several data sets (en/train-..., fr/train-...) is
refused: give en or fr as INPUT. Where no name says a split, all files are read.

batch files: chat lines (body.messages), completion lines (body.prompt) and those of /v1/responses (input, instructions,
max_output_tokens) may stand in one file; a line with both is taken by its url, one without url gets that of its kind. Lines
with another url (/v1/embeddings), or whose prompt is token ids or a list, are bad rows. An empty prompt is taken along and
fails in the run, with the code `empty`. What skip left out is unknown to the run: outputs.py --format openai-batch has no
line for it, its custom_id is in OUTPUT.skipped.jsonl only.

content in parts ([{"type": "text", "text": ...}]): its texts are joined by new lines, as vLLM does, for chat templates that
have no loop over parts; images and the like are bad rows. The column stays as it was.

tool calls: arguments that are JSON text, as the API sends them, are objects for the chat template; the column stays as it was.

what becomes of a column: text is UTF-8 text; whole numbers int64, others float64; true/false bool; lists and objects
(and columns of mixed types) JSON text. HDF5 has no null: it becomes NaN in a column of numbers, "" in one of text.
Numbers beyond float64 (1e400) are bad rows in JSON; in CSV they, and whole numbers beyond 18 digits, make a column of text.

OUTPUT gets its name only when all of it is on the disk and has been read back; whatever goes wrong before (a full disk, a
signal) leaves nothing behind. Exit code 2: something of yours to mend; 1: the system failed.

needs Python 3.9 or newer with h5py, numpy, jinja2 and tqdm (Debian: python3-h5py python3-jinja2 python3-tqdm), and
pyarrow for Parquet and datasets folders only (PyPI). All of them in an environment of their own:
  python3 -m venv ~/moemill-tools && ~/moemill-tools/bin/pip install -r scripts/tools-requirements.txt
"""
import argparse
import collections
import csv
import datetime
import decimal
import errno
import gzip
import hashlib
import io
import json
import math
import os
import pathlib
import re
import secrets
import signal
import sys
import tempfile
import time
import uuid
import zlib

BLOCK_ROWS = 2048
BLOCK_BYTES = 8 << 20  # of input text; one longer row is a block of its own
MOST_EXACT = 2**53  # whole numbers up to here are exact as float64
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


class Fault(Exception):
    """The whole job cannot go on: what, where, how to fix."""


class RowFault(Exception):
    """One row is no good."""
    custom_id = None  # of a line of a batch file, where it says one


def need(module):
    try:
        return __import__(module)
    except ImportError as missing:
        raise Fault(f"needs the Python package {missing.name}: see the end of --help for how to install it") from None


def text_of_file(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise Fault(f"{path}: is not UTF-8 ({fault.reason} at byte {fault.start}): save it as UTF-8") from None


# ---------------------------------------------------------------------------------------------------------------------
# Reading: every reader yields blocks of (rows, places, part), rows being dictionaries or RowFaults, places line or row
# numbers, part the fraction of the file read so far.

def open_bytes(path):
    raw = open(path, "rb")
    if raw.read(2) == b"\x1f\x8b":
        raw.seek(0)
        return raw, gzip.GzipFile(fileobj=raw)
    raw.seek(0)
    return raw, raw


def finite(text):
    value = float(text)
    if value in (math.inf, -math.inf): raise ValueError(f"the number {short(text)} is beyond what a float64 holds")
    return value


JSON = json.JSONDecoder(parse_float=finite)  # of what rows hold: 1e400 would silently become infinity


def parse_line(line):
    try:
        row = JSON.decode(line.decode())
    except UnicodeDecodeError as fault:
        return RowFault(f"is not UTF-8 ({fault.reason} at byte {fault.start})")
    except (ValueError, RecursionError) as fault:
        return RowFault(f"is not JSON: {fault}")
    return row if isinstance(row, dict) else RowFault(f"is a JSON {type(row).__name__}, needs an object {{...}} a line")


def read_jsonl(path, _):
    raw, lines = open_bytes(path)
    size = max(1, os.path.getsize(path))
    rows, places, held = [], [], 0
    with raw:
        try:
            for number, line in enumerate(lines, 1):
                if number == 1: line = line.removeprefix(b"\xef\xbb\xbf")
                if number == 1 and line.lstrip()[:1] == b"[":
                    raise Fault(f"{path}: is one JSON array; needs one object a line: jq -c '.[]' {path} > rows.jsonl")
                if not line.strip(): continue
                rows.append(parse_line(line))
                places.append(number)
                held += len(line)
                if len(rows) >= BLOCK_ROWS or held >= BLOCK_BYTES:
                    yield rows, places, raw.tell() / size
                    rows, places, held = [], [], 0
        except (EOFError, OSError, zlib.error) as fault:
            raise Fault(f"{path}: cannot be read behind line {places[-1] if places else 0}: {fault}") from None
    yield rows, places, 1.0


def read_csv(path, options):
    raw, stream = open_bytes(path)
    size = max(1, os.path.getsize(path))
    csv.field_size_limit(1 << 30)
    delimiter = options.delimiter or ("\t" if ".tsv" in path.name else ",")
    # What is not UTF-8 becomes lone surrogates, which no column takes: the row is refused, not the file.
    with raw, io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            names = next(filter(None, reader), None)  # blank lines are no rows
            if not names: raise Fault(f"{path}: is empty; needs a line of column names and rows below it")
            if len(set(names)) < len(names): raise Fault(f"{path}: two columns have the same name: {', '.join(names)}")
            rows, places, held, begins = [], [], 0, reader.line_num + 1
            for cells in reader:
                if len(cells) == len(names): row = dict(zip(names, cells))
                else: row = RowFault(f"has {len(cells)} cells, the first line names {len(names)} columns")
                if cells: rows.append(row), places.append(begins)
                held += sum(map(len, cells))
                begins = reader.line_num + 1
                if len(rows) >= BLOCK_ROWS or held >= BLOCK_BYTES:
                    yield rows, places, raw.tell() / size
                    rows, places, held = [], [], 0
        except (csv.Error, EOFError, OSError, zlib.error) as fault:
            raise Fault(f"{path}: line {reader.line_num}: cannot be read as CSV: {fault}") from None
    yield rows, places, 1.0


def rows_of(batch, path, options):
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns):
        try:
            columns[name] = column.to_pylist()
        except (ValueError, OverflowError) as fault:  # Python has no nanoseconds, and no years before 1 or beyond 9999
            new = dict(options.map).get(name, name)
            if new not in options.drop and (options.keep is None or new in options.keep):
                raise Fault(f"{path}: column {name} ({column.type}): {fault}\n(--drop {name} leaves it out; else store it as text "
                            "or in microseconds)") from None
            columns[name] = [None] * len(column)
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def rows_of_batches(batches, total, path, options):
    done = 0
    for batch in batches:
        row_bytes = max(1, batch.nbytes // max(1, batch.num_rows))
        step = max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes))
        for first in range(0, batch.num_rows, step):
            rows = rows_of(batch.slice(first, step), path, options)
            yield rows, range(done, done + len(rows)), (done + len(rows)) / max(1, total or done + len(rows))
            done += len(rows)


def read_parquet(path, options):
    need("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:  # without a size it reads whole columns
            groups = map(file.metadata.row_group, range(file.num_row_groups))
            row_bytes = max((g.total_byte_size / g.num_rows for g in groups if g.num_rows), default=1)
            step = max(1, min(BLOCK_ROWS, int(BLOCK_BYTES / row_bytes)))
            yield from rows_of_batches(file.iter_batches(batch_size=step), file.metadata.num_rows, path, options)
    except (pa.ArrowException, OSError) as fault:
        raise Fault(f"{path}: cannot be read as Parquet: {fault}") from None


def read_arrow(path, options):
    need("pyarrow")
    import pyarrow as pa
    try:
        with pa.OSFile(str(path)) as file:
            try:
                reader = pa.ipc.open_stream(file)
            except pa.ArrowInvalid:
                file.seek(0)
                whole = pa.ipc.open_file(file)
                reader = (whole.get_batch(i) for i in range(whole.num_record_batches))
            size = os.path.getsize(path)
            for rows, places, _ in rows_of_batches(reader, None, path, options): yield rows, places, file.tell() / size
    except (pa.ArrowException, OSError) as fault:
        raise Fault(f"{path}: cannot be read as Arrow: {fault}") from None


READERS = {".jsonl": read_jsonl, ".json": read_jsonl, ".ndjson": read_jsonl, ".csv": read_csv, ".tsv": read_csv,
           ".parquet": read_parquet, ".arrow": read_arrow}


def ending(path):
    name = path.name.removesuffix(".gz").removesuffix(".tmp")
    return pathlib.PurePath(name).suffix.lower()


# Names of splits, as the datasets library knows them: a word of its own in the name of a file or folder.
SPLIT_WORD = re.compile(r"(?:^|[-._ \d])(?:(train|training)|(validation|valid|dev|val)|(test|testing|eval|evaluation))"
                        r"(?=$|[-._ \d])", re.IGNORECASE)


def pick_splits(where, splits, wanted):
    def word(name): return (match := SPLIT_WORD.search(name)) and match.lastindex
    if wanted in splits: return [wanted]
    if wanted == "all" or wanted is None and len(splits) == 1: return sorted(splits)
    near = [s for s in splits if wanted and word(wanted) and word(s) == word(wanted)]  # validation: dev.jsonl
    if len(near) == 1: return near
    raise Fault(f"{where}: has the splits {', '.join(sorted(splits))}; name one with --split, or --split all")


def split_and_subset(path):
    """(split, subset) that a path below a datasets folder says: train-00000-of-00002-<hash>.parquet, dev.jsonl,
    fr/test/0.parquet. "" where it says none."""
    stem = path.name[:path.name.lower().rindex(ending(path))]
    sharded = re.match(r"(.+?)[-_.]\d+-of-\d+", stem)
    name = sharded[1] if sharded else re.sub(r"[-_. ]\d+$", "", stem)
    split = name if SPLIT_WORD.search(name) else next(filter(SPLIT_WORD.search, reversed(path.parent.parts)), sharded and name)
    return split or "", "/".join(p for p in path.parent.parts if p != "data" and not SPLIT_WORD.search(p))


def listed(path, read):
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault(f"{path}: is not as datasets' save_to_disk writes it; save the data set anew") from None


def files_of_folder(folder, split):
    """Files of a datasets folder in their order: save_to_disk's, or files of one kind beside each other."""
    if (folder / "dataset_dict.json").exists():
        splits = pick_splits(folder, listed(folder / "dataset_dict.json", lambda d: list(map(str, d["splits"]))), split)
        return [path for name in splits for path in files_of_folder(folder / name, None)]
    if (folder / "state.json").exists():
        return listed(folder / "state.json", lambda s: [folder / f["filename"] for f in s["_data_files"]])
    found = sorted(p for p in folder.rglob("*") if p.is_file() and ending(p) in READERS and
                   not any(part.startswith((".", "__")) for part in p.relative_to(folder).parts))
    for kinds in ((".parquet",), (".arrow",), (".jsonl", ".ndjson", ".json"), (".csv", ".tsv")):
        files = [p for p in found if ending(p) in kinds and p.name not in ("dataset_info.json", "dataset_infos.json")]
        if not files: continue
        said = {p: split_and_subset(p.relative_to(folder)) for p in files}
        if not any(name for name, _ in said.values()):
            if split not in (None, "all"): raise Fault(f"{folder}: its files name no splits; leave out --split")
            if len(files) > 1: note(f"{folder}: its {len(files):,} files name no splits: all are read, in the order of their names")
            return files
        subsets = {subset for _, subset in said.values()}
        if len(subsets) > 1:
            raise Fault(f"{folder}: holds several data sets (subsets {', '.join(sorted(s or '.' for s in subsets))}); give the "
                        "folder of one as INPUT, or those of several behind one another, or the files themselves")
        names = {p: name or p.name.split(".")[0] for p, (name, _) in said.items()}
        chosen = pick_splits(folder, set(names.values()), split)
        return [p for p in files if names[p] in chosen]
    raise Fault(f"{folder}: holds no Parquet, Arrow, JSONL or CSV file, and no dataset of save_to_disk")


def find_files(options):
    files = []
    for path in map(pathlib.Path, options.inputs):
        if path.is_dir(): files += files_of_folder(path, options.split)
        elif path.is_file(): files.append(path)
        elif path.exists(): raise Fault(f"{path}: is no plain file; the input is read twice, so it cannot be a pipe: write it to a file")
        else: raise Fault(f"{path}: no such file")
    for path in files:
        if ending(path) not in READERS:
            raise Fault(f"{path}: unknown ending; knows .jsonl, .json, .ndjson, .csv, .tsv (each also .gz), .parquet, "
                        ".arrow and folders")
        if not path.exists(): raise Fault(f"{path}: no such file, though its folder lists it")
    if len({ending(path) in (".csv", ".tsv") for path in files}) > 1:
        raise Fault("CSV files, which do not tell numbers from text, cannot be mixed with other kinds")
    return files


# ---------------------------------------------------------------------------------------------------------------------
# Rows: a row of any form becomes a flat dictionary of columns.

ENDPOINTS = ("/chat/completions", "/completions", "/responses")
PROMPTS = ("prompt_token_ids", "messages", "conversations", "prompt")  # columns that are prompts without an option
TEXT_TYPES = ("text", "input_text", "output_text")  # of parts of a message's content


def flatten_batch(row):
    """A line of an OpenAI batch file."""
    body, url = row.get("body"), str(row.get("url") or "").rstrip("/")
    if "custom_id" not in row or not isinstance(body, dict):
        raise RowFault("has no custom_id or no body, but a file with custom_id and without prompts is taken for an OpenAI batch "
                       "file")
    if not isinstance(row["custom_id"], (str, int)): raise RowFault("custom_id is neither text nor a whole number")
    if url and not url.endswith(ENDPOINTS): raise RowFault(f"url {url} asks for no text; known are /v1{', /v1'.join(ENDPOINTS)}")
    kind = "/completions" if body.get("messages") is None else "/chat/completions"
    if url.endswith("/responses") or "input" in body and not {"messages", "prompt"} & body.keys():
        body, kind = from_responses(body), "/responses"
    flat = {"id": row["custom_id"]}
    flat.update((k, v) for k, v in row.items() if k not in ("custom_id", "body"))
    flat.update(body)
    if not url: flat["url"] = "/v1" + kind  # outputs.py writes results of that kind
    if flat.get("max_completion_tokens") is not None: flat["max_tokens"] = flat.pop("max_completion_tokens")
    if flat.get("top_k") == -1: flat["top_k"] = 0  # vLLM's "off"
    return flat


def from_responses(body):
    """The body of /v1/responses under the names of /v1/chat/completions."""
    for name in ("previous_response_id", "conversation", "prompt"):
        if body.get(name) is not None: raise RowFault(f"body.{name} names what only OpenAI has; put its messages into input")
    items, messages = body.get("input"), []
    if isinstance(items, str): items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items: raise RowFault(f"body.input must be text or a list of messages, is {short(items)}")
    if body.get("instructions"): messages.append({"role": "system", "content": body["instructions"]})
    for item in items:
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message": messages.append({"role": item.get("role"), "content": joined_parts(item.get("content"))})
        elif kind == "function_call":
            if messages[-1:] == [] or messages[-1]["role"] != "assistant": messages.append({"role": "assistant", "content": ""})
            messages[-1].setdefault("tool_calls", []).append(
                {"id": item.get("call_id"), "type": "function", "function": {k: item.get(k) for k in ("name", "arguments")}})
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": joined_parts(item.get("output"))})
        else: raise RowFault(f"body.input has {short(item)}, which is no message and no function call")
    done = ("input", "instructions", "max_output_tokens", "tools", "text", "reasoning", "include")
    chat = {"messages": messages, **{k: v for k, v in body.items() if k not in done}}
    if body.get("max_output_tokens") is not None: chat["max_tokens"] = body["max_output_tokens"]
    for name, kind in (("tools", list), ("text", dict), ("reasoning", dict), ("include", list)):
        if not isinstance(body.get(name) or kind(), kind): raise RowFault(f"body.{name} is {short(body[name])}")
    if body.get("tools"):
        if not all(isinstance(t, dict) and t.get("type") == "function" for t in body["tools"]):
            raise RowFault(f"body.tools has others than functions: {short(body['tools'])}")
        chat["tools"] = [t if "function" in t else {"type": "function", "function": {k: v for k, v in t.items() if k != "type"}}
                         for t in body["tools"]]
    form, effort = (body.get("text") or {}).get("format"), (body.get("reasoning") or {}).get("effort")
    if form and form != {"type": "text"}: chat["response_format"] = form
    if effort: chat["reasoning_effort"] = effort
    if "message.output_text.logprobs" in (body.get("include") or []): chat["logprobs"] = True
    return chat


def text_parts(content):
    """A list of parts as its texts alone, without the nulls that Parquet puts beside them."""
    for part in content:
        if not (isinstance(part, dict) and part.get("type", "text") in TEXT_TYPES and isinstance(part.get("text"), str)):
            raise RowFault(f"a message's content has {short(part)}, which is no text: moemill reads text only")
    return [{**{k: v for k, v in part.items() if v is not None}, "type": "text"} for part in content]


def joined_parts(content):
    return "\n".join(part["text"] for part in text_parts(content)) if isinstance(content, list) else content


SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
                  "model": "assistant", "bot": "assistant", "system": "system", "tool": "tool", "observation": "tool",
                  "function_response": "tool"}


def from_sharegpt(turns):
    messages = []
    for turn in turns:
        if not isinstance(turn, dict) or "value" not in turn: return turns  # already role and content
        role = SHAREGPT_ROLES.get(turn.get("from"))
        if role is None: raise RowFault(f"conversation turn from {turn.get('from')!r} is unknown")
        messages.append({"role": role, "content": turn["value"]})
    return messages


def parsed(value, what):
    """Lists and objects that CSV and Parquet hold as JSON text."""
    if not isinstance(value, str): return value
    try:
        return JSON.decode(value)
    except ValueError as fault:
        raise RowFault(f"{what} is text that is not JSON: {fault}") from None


def checked_messages(value, what):
    messages = parsed(value, what)
    if isinstance(messages, list) and messages: messages = from_sharegpt(messages)
    if not isinstance(messages, list) or not messages:
        raise RowFault(f"{what} must be a list of at least one message, is {short(value)}")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RowFault(f"{what}: a message needs a role and content, one is {short(message)}")
    return messages


def batch_source(row):
    """Where a batch line's prompt stands: ("messages" or "text", column). With both, its url decides."""
    url = str(row.get("url") or "").rstrip("/")
    is_plain = url.endswith("/completions") and not url.endswith("/chat/completions")
    if row.get("messages") is not None and not (is_plain and row.get("prompt") is not None): return "messages", "messages"
    return "text", "prompt"


def short(value, length=60):
    text = repr(value)
    return text if len(text) <= length else text[:length] + "…"


# ---------------------------------------------------------------------------------------------------------------------
# Chat templates, as transformers 5 renders them.

class Arguments(dict):
    """Arguments of a tool call that came as JSON text: an object for templates that look into it, and still that text for
    those that write it out as it is."""
    _text = "{}"  # a template sees no name with an underscore, but would see `text` instead of an argument of that name
    def __str__(self): return self._text
    def __add__(self, other): return self._text + other
    def __radd__(self, other): return other + self._text


def with_arguments(message):
    """A message whose tool calls' arguments, which the OpenAI API has as JSON text, are objects, as vLLM renders them."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list): return message
    made = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(text := function.get("arguments"), str):
            try:
                value = JSON.decode(text) if text.strip() else {}
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, dict):
                value = Arguments(value)
                if text.strip(): value._text = text
                call = {**call, "function": {**function, "arguments": value}}
        made.append(call)
    return {**message, "tool_calls": made}


def loops_over_content(tree):
    """Whether a chat template takes message content as a list of parts: it has a loop over an attribute, a variable or a
    macro's parameter of that name, or over a variable set to one."""
    from jinja2 import nodes
    names = {"content"}

    def is_content(node):
        while isinstance(node, nodes.Filter): node = node.node
        if isinstance(node, nodes.Getattr): return node.attr == "content"
        if isinstance(node, nodes.Getitem): return isinstance(node.arg, nodes.Const) and node.arg.value == "content"
        return isinstance(node, nodes.Name) and node.name in names
    for made in tree.find_all(nodes.Assign):
        if isinstance(made.target, nodes.Name) and is_content(made.node): names.add(made.target.name)
    return any(is_content(loop.iter) for loop in tree.find_all(nodes.For))


class Chat:
    def __init__(self, options):
        self.keep_nulls = options.keep_nulls
        self.generation_prompt = not options.no_generation_prompt
        self.date = options.date
        folder = pathlib.Path(options.model) if options.model else None
        if folder and not folder.is_dir(): raise Fault(f"{folder}: no such folder (--model)")
        found, tokens = self._read_config(folder) if folder else ({}, {})
        self.templates = self._find(folder, found, options.chat_template)
        self.arguments = {**tokens, **dict(options.template_arg)}
        self.compiled = {}  # {name: (template, whether it takes parts)}
        self.added_before = self._added_before(folder) if folder else ""
        self.tools = None
        if options.tools:
            if not pathlib.Path(options.tools).is_file(): raise Fault(f"{options.tools}: no such file (--tools)")
            self.tools = self._json(pathlib.Path(options.tools))
            if not isinstance(self.tools, list): raise Fault(f"{options.tools}: must be a JSON list of tools (--tools)")
        for name in self.templates: self._template(name)  # a broken template is known before any row

    @staticmethod
    def _json(path):
        try:
            return json.loads(text_of_file(path)) if path.exists() else {}
        except ValueError as fault:
            raise Fault(f"{path}: is not JSON: {fault}") from None

    @staticmethod
    def _read_config(folder):
        """(chat templates by name, special tokens by name) that the model's JSON files say."""
        path = folder / "tokenizer_config.json"
        try:
            config = Chat._json(path)
            found = config.get("chat_template") or {}
            if isinstance(found, list): found = {t["name"]: t["template"] for t in found}
            if isinstance(found, str): found = {"default": found}
            if not all(isinstance(t, str) for t in found.values()): raise TypeError
            if not config: config = Chat._json(path := folder / "special_tokens_map.json")
            names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
            tokens = {name: t["content"] if isinstance(t, dict) else t for name in names if (t := config.get(name)) is not None}
        except (AttributeError, KeyError, TypeError):
            raise Fault(f"{path}: is not as transformers writes it; take the file of the model's publisher") from None
        return found, tokens

    @staticmethod
    def _find(folder, found, wanted):
        if folder:
            files = {p.stem: p for p in sorted(folder.glob("additional_chat_templates/*.jinja"))}
            if (folder / "chat_template.jinja").exists(): files["default"] = folder / "chat_template.jinja"
            if files: found = {name: text_of_file(path) for name, path in files.items()}
        if wanted in found: return {"default": found[wanted]}
        if wanted and pathlib.Path(wanted).is_file():
            return {"default": text_of_file(pathlib.Path(wanted))}
        names = ", ".join(sorted(found)) or "none"
        if wanted: raise Fault(f"--chat-template {wanted}: is no file and no template of the model, which has: {names}")
        if not folder: raise Fault("chat messages need the model's chat template: --model DIR, or --chat-template FILE")
        if "default" not in found and "tool_use" not in found:
            raise Fault(f"{folder}: has no default chat template (templates: {names}): name one with --chat-template")
        return found

    @staticmethod
    def _added_before(folder):
        """The text of the special tokens (a BOS) that tokenizer.json's post-processor puts before every prompt."""
        def before(part):
            if not isinstance(part, dict): return ""
            if part.get("type") == "Sequence": return "".join(map(before, part.get("processors", [])))
            if part.get("type") in ("BertProcessing", "RobertaProcessing"): return str(part["cls"][0])
            if part.get("type") != "TemplateProcessing": return ""
            known, text = part.get("special_tokens") or {}, ""
            for piece in part.get("single", []):
                if "SpecialToken" not in piece: break
                name = piece["SpecialToken"]["id"]
                text += "".join(known.get(name, {}).get("tokens", [name]))
            return text
        tokenizer = Chat._json(folder / "tokenizer.json")
        try:
            return before(tokenizer.get("post_processor"))
        except (AttributeError, IndexError, KeyError, TypeError):
            raise Fault(f"{folder / 'tokenizer.json'}: its post_processor is not as the tokenizers library writes it; "
                        "take the file of the model's publisher") from None

    def _environment(self):
        jinja2 = need("jinja2")
        import jinja2.ext
        import jinja2.sandbox

        class Generation(jinja2.ext.Extension):
            """{% generation %} marks the assistant's part for training; here it is its body."""
            tags = {"generation"}

            def parse(self, parser):
                next(parser.stream)
                return parser.parse_statements(["name:endgeneration"], drop_needle=True)

        def raise_exception(message):
            raise jinja2.exceptions.TemplateError(message)

        def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
            return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
        environment.filters["tojson"] = tojson
        environment.globals["raise_exception"] = raise_exception
        environment.globals["strftime_now"] = lambda form: (self.date or datetime.datetime.now()).strftime(form)
        return environment

    def _template(self, name):
        if name not in self.compiled:
            jinja2 = need("jinja2")
            try:
                environment = self._environment()
                tree = environment.parse(self.templates[name])
                self.compiled[name] = environment.from_string(tree), loops_over_content(tree)
            except jinja2.TemplateSyntaxError as fault:
                raise Fault(f"chat template {name}: line {fault.lineno}: {fault.message}") from None
        return self.compiled[name]

    def render(self, messages, tools, arguments):
        """The prompt of one conversation. Keys whose value is null are left out of its messages; reasoning is found under
        any of its three names; arguments of tool calls are objects; content in parts is one text, as vLLM joins it, for
        templates that know no parts."""
        if not self.keep_nulls: messages = [{k: v for k, v in m.items() if v is not None} for m in messages]
        tools = self.tools if tools is None else tools
        name = "tool_use" if tools is not None and "tool_use" in self.templates else "default"
        if name not in self.templates: raise RowFault("the model has a chat template for tools only, and here are none")
        template, takes_parts = self._template(name)
        seen = []
        for message in messages:
            names = ("reasoning_content", "thinking", "reasoning")
            reasoning = next((message[k] for k in names if message.get(k) is not None), None)
            if reasoning is not None: message = {"thinking": reasoning, **message, "reasoning_content": reasoning}
            if isinstance(content := message.get("content"), list):
                message = {**message, "content": text_parts(content) if takes_parts else joined_parts(content)}
            seen.append(with_arguments(message))
        try:
            return template.render(messages=seen, tools=tools, documents=None, add_generation_prompt=self.generation_prompt,
                                   **{**self.arguments, **arguments})
        except Exception as fault:  # a template may raise anything
            raise RowFault(f"the chat template refuses it: {type(fault).__name__}: {fault}") from None


# \n as typed in a shell, but not where it begins a command of LaTeX (\nabla, \neq ...) whose rest is no word: \nless may be
# a line that begins with "less".
TYPED_NEWLINE = re.compile(r"\\n(?!(?:abla|atural|cong|earrow|eq|ewcommand|ewline|geq|gtr|leq|oindent|olimits|onumber|"
                           r"ormalsize|ot|otin|prec|subseteq|succ|u|warrow)(?![A-Za-z]))")


class Null:
    """A null column in a template: false and none as ever, but never the word None."""
    __hash__ = None
    def __init__(self, name): self._name = name
    def __bool__(self): return False
    def __eq__(self, other): return other is None or isinstance(other, Null)
    def __str__(self): raise RowFault(f"column {self._name} is null: use {{{{ {self._name} or '' }}}}")


class ColumnTemplate:
    """A Jinja template over a row's columns; a column that is not there is a fault, not an empty string, and a null not the
    word None."""

    def __init__(self, text):
        jinja2 = need("jinja2")
        import jinja2.sandbox
        if text.startswith("@"):
            path = pathlib.Path(text[1:])
            if not path.is_file(): raise Fault(f"{path}: no such file (--template @FILE)")
            text = text_of_file(path)
        else:
            text = TYPED_NEWLINE.sub("\n", text)

        def not_null(value):
            if value is None: raise RowFault("a value within a column is null: use {{ x or '' }}")
            return value
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, finalize=not_null,
                                                                   keep_trailing_newline=True)
        environment.filters["tojson"] = json_text
        environment.tests["none"] = lambda value: value is None or isinstance(value, Null)
        try:
            self.template = environment.from_string(text)
        except jinja2.TemplateSyntaxError as fault:
            raise Fault(f"--template: line {fault.lineno}: {fault.message}") from None

    def render(self, row):
        try:
            return self.template.render({k: Null(k) if v is None else v for k, v in row.items()})
        except Exception as fault:
            raise RowFault(f"the template refuses it: {fault}") from None


# ---------------------------------------------------------------------------------------------------------------------
# Columns: what the first reading learns about one, and how the second one stores it.

WHOLE_TEXT = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
WHOLE_ID = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0)?\Z")
REAL_TEXT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)\Z")


def json_text(value):
    def other(part):
        if isinstance(part, Null): return None
        if isinstance(part, (datetime.date, datetime.time)): return part.isoformat()
        if isinstance(part, (decimal.Decimal, datetime.timedelta, uuid.UUID)): return str(part)
        raise RowFault(f"holds {type(part).__name__} within a list or object, which JSON cannot: --drop the column")
    return json.dumps(value, ensure_ascii=False, default=other)


class Column:
    """One carried column: observed in the first reading, then `kind` is fixed."""

    def __init__(self, from_text):
        self.from_text = from_text  # CSV: numbers are text that looks like one
        self.seen = set()
        self.low = self.high = 0
        self.has_nul = False
        self._kind = None

    def observe(self, values):
        kinds = set(map(self._kind_of_text if self.from_text else type, values))
        self.seen |= kinds
        if int in kinds and not (self.from_text and str in self.seen):
            is_whole = WHOLE_TEXT.match if self.from_text else lambda v: type(v) is int
            whole = [int(v) for v in values if v is not None and is_whole(v)]
            self.low, self.high = min(self.low, min(whole)), max(self.high, max(whole))
        if str in kinds and not self.has_nul: self.has_nul = "\0" in "".join([v for v in values if type(v) is str])

    @staticmethod
    def _kind_of_text(value):
        if value is None or value == "": return type(None)
        if WHOLE_TEXT.match(value): return int
        return float if REAL_TEXT.match(value) and math.isfinite(float(value)) else str  # 1e400 and longer whole numbers stay text

    def kind(self):
        if self._kind is None: self._kind = self._decide()
        return self._kind

    def _decide(self):
        types = {t for t in self.seen if t is not type(None)}
        null = type(None) in self.seen
        with_text = {datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID}
        if self.from_text and str in types: types = {str}
        exact = -MOST_EXACT <= self.low and self.high <= MOST_EXACT
        if types == {bool} and not null: return "bool"
        if types == {int} and not null and self.low >= -2**63:
            if self.high < 2**63: return "int64"
            if self.high < 2**64 and self.low >= 0: return "uint64"
        if types == {int} and null and exact: return "whole"
        if types and types <= {int, float}:
            return "float64" if exact else "text" if self.from_text else "json"
        if types <= {str} or types <= with_text or types == {bytes}: return "json" if self.has_nul else "text"
        return "json"

    def convert(self, values):
        """An array to store. RowFault where a value cannot be."""
        kind = self.kind()
        if kind == "json": return [json_text(v) for v in values]
        if kind == "text": return [self._text(v) for v in values]
        if self.from_text: values = [None if v in (None, "") else int(v) if kind == "int64" else float(v) for v in values]
        if kind in ("whole", "float64"):
            return np.array([np.nan if v is None else v for v in values], "f8")
        return np.array(values, {"bool": "?", "int64": "i8", "uint64": "u8"}[kind])

    @staticmethod
    def _text(value):
        if value is None: return ""
        if isinstance(value, str): return value
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise RowFault("holds bytes that are no text: --drop the column") from None
        return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else str(value)


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


def id_value(value, from_text):
    """An id as it is meant: 1.0, as pandas writes whole numbers beside a null, is 1. None where there is none."""
    if value == "" or value != value: return None
    if from_text and isinstance(value, str) and (whole := WHOLE_ID.match(value)): return int(whole[1])
    if isinstance(value, float) and value.is_integer(): return int(value)
    return str(value) if isinstance(value, uuid.UUID) else value


class Duplicates:
    """Finds ids that occur twice, in memory that does not grow with their number: hashes go to an unnamed file beside the
    output, which is then looked through in parts."""
    PART = 1 << 15

    def __init__(self, folder):
        self.file = tempfile.TemporaryFile(dir=folder)
        self.count = 0

    def add(self, ids, ordinals):
        digests = b"".join(hashlib.blake2b(str(i).encode("utf-8", "surrogatepass"), digest_size=16).digest() for i in ids)
        records = np.empty((len(ids), 3), "u8")
        records[:, :2] = np.frombuffer(digests, "u8").reshape(-1, 2)
        records[:, 2] = ordinals
        self.file.write(records.tobytes())
        self.count += len(ids)

    def find(self):
        """{ordinal of a row: ordinal of the first row with its id}."""
        parts, later = min(64, 1 + self.count // self.PART), {}
        for part in range(parts):
            self.file.seek(0)
            kept = []
            while block := self.file.read(self.PART * 24 // 4):
                records = np.frombuffer(block, "u8").reshape(-1, 3)
                kept.append(records[records[:, 0] % np.uint64(parts) == part])
            records = np.concatenate(kept) if kept else np.empty((0, 3), "u8")
            records = records[np.lexsort((records[:, 2], records[:, 1], records[:, 0]))]
            first = 0
            for i in np.flatnonzero((records[1:, :2] == records[:-1, :2]).all(axis=1)) + 1:
                if (records[first, :2] != records[i, :2]).any(): first = i - 1
                later[int(records[i, 2])] = int(records[first, 2])
        self.file.close()
        return later


# ---------------------------------------------------------------------------------------------------------------------
# Writing

unfinished = set()  # files to be gone when this ends before they have their names


def begin_beside(path):
    """A new file that will be renamed to `path`; its name is no other process's."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    unfinished.add(temporary)
    temporary.touch(exist_ok=False)
    return temporary


def clear_away():
    while unfinished:
        try:
            unfinished.pop().unlink(missing_ok=True)
        except OSError:
            pass  # there is a graver fault to tell


class Disk:
    """The file below HDF5. HDF5 writes chunks late, when h5py no longer looks at its faults, and crashes at the end over what
    it could not write; so the first fault of the system is kept here, for Target to ask for, and HDF5 hears of none."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_RDWR)
        self.at = self.end = 0
        self.fault = None

    def seek(self, offset, whence=os.SEEK_SET):
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.end}[whence]
        return self.at

    def tell(self): return self.at

    def write(self, data):
        data, done = memoryview(data), 0
        try:
            while done < len(data) and not self.fault: done += os.pwrite(self.descriptor, data[done:], self.at + done)
        except OSError as fault:
            self.fault = fault
        self.at += len(data)
        self.end = max(self.end, self.at)
        return len(data)

    def readinto(self, data):
        data, done = memoryview(data), 0
        try:
            while done < len(data) and (count := os.preadv(self.descriptor, [data[done:]], self.at + done)): done += count
        except OSError as fault:
            self.fault = self.fault or fault
        self.at += done
        return done

    def read(self, size): raise NotImplementedError  # h5py knows a file by this, and calls readinto

    def truncate(self, size):
        try:
            if not self.fault: os.ftruncate(self.descriptor, size)
        except OSError as fault:
            self.fault = fault
        self.end = size

    def flush(self): pass

    def settle(self):
        """All is on the disk, or OSError."""
        if not self.fault: os.fsync(self.descriptor)
        self.check()

    def check(self):
        if self.fault: raise self.fault


class Target:
    """OUTPUT.<random>.tmp, growing block by block, read back and renamed to OUTPUT when it is whole."""

    def __init__(self, path, compression):
        self.path, self.temporary = path, begin_beside(path)
        self.disk = Disk(self.temporary)
        self.file = h5py.File(self.disk, "w")
        self.filters = {"compression": "gzip", "compression_opts": int(compression[5:])} if compression != "none" else {}
        self.rows, self.sizes = 0, {}
        self.blocks = []  # (first row, end) as written: what fitted into memory then does so when it is read back
        self.sums = {}  # of each dataset, what was written: elements and their CRC-32

    def _append(self, name, values, dtype, chunk):
        if name not in self.file:
            filters = {} if h5py.check_string_dtype(np.dtype(dtype)) else self.filters  # variable-length data is not filtered
            self.file.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(chunk,), **filters)
        dataset = self.file[name]
        end = dataset.shape[0]
        dataset.resize((end + len(values),))
        if len(values): dataset[end:] = values
        self.sums[name] = end + len(values), checksum(values, self.sums.get(name, (0, 0))[1])
        self.disk.check()

    def column(self, name, values):
        if isinstance(values, list): self._append(name, np.array(values, object), h5py.string_dtype(), 1024)
        else: self._append(name, values, values.dtype, 4096)

    def packed(self, name, lengths, values):
        if name not in self.file: self._append(name + "/offsets", np.zeros(1, "u8"), "u8", 4096)
        ends = np.cumsum(lengths, dtype="u8") + np.uint64(self.sizes.get(name, 0))
        self.sizes[name] = int(ends[-1]) if len(ends) else self.sizes.get(name, 0)
        self._append(name + "/offsets", ends, "u8", 4096)
        self._append(name + "/values", values, values.dtype, 65536 if values.dtype == np.uint8 else 16384)

    def finish(self):
        """All of it is on the disk and reads back as it was written, or OSError."""
        self.file.close()
        self.disk.settle()
        try:
            with h5py.File(self.disk, "r") as file:
                cache = file.id.get_mdc_config()
                cache.max_size = cache.initial_size  # else it grows with the number of texts
                file.id.set_mdc_config(cache)
                for name, (length, written) in self.sums.items():
                    dataset, found = file[name], 0
                    is_text = h5py.check_string_dtype(dataset.dtype)
                    step = (1 << 20) // dataset.dtype.itemsize
                    blocks = self.blocks if is_text else [(i, i + step) for i in range(0, length, step)]
                    for first, end in blocks: found = checksum(dataset[first:end], found)
                    if len(dataset) != length or found != written: raise ValueError(f"dataset {name} differs")
        except (OSError, RuntimeError, KeyError, ValueError) as fault:
            self.disk.check()
            raise OSError(errno.EIO, f"does not read back as it was written: {fault}") from None

    def publish(self):
        os.replace(self.temporary, self.path)
        os.close(self.disk.descriptor)


def checksum(values, before):
    if values.dtype != object: return zlib.crc32(values, before)
    return zlib.crc32(b"\0".join([*(v.encode() if isinstance(v, str) else v for v in values), b""]), before)


# ---------------------------------------------------------------------------------------------------------------------
# The job

class Maker:
    def __init__(self, options):
        self.options = options
        self.files = find_files(options)
        self.renames, self.given = dict(options.map), set()  # given: names before --map
        for old, new in options.map:
            if self.renames[old] != new or list(self.renames.values()).count(new) > 1:
                raise Fault(f"--map {old}={new}: one of the names is mapped twice")
        self.constants = dict(options.set)
        self.form = self.source = self.chat = self.template = self.id_column = None
        self.columns, self.total = {}, 0
        self.id_types, self.later, self.first_labels = set(), {}, {}
        self.run_only, self.not_done, self.answers_kept, self.first_prompt = {}, set(), False, None
        self.skipped, self.skip_file, self.reasons = 0, None, collections.Counter()
        self.begun = 0  # prompts that begin with what the tokenizer would add

    # Rows of all files with a running number; the block's rows are flat dictionaries or RowFaults.
    def blocks(self):
        ordinal, left = 0, self.options.limit if self.options.limit is not None else sys.maxsize
        bytes_before, sizes = 0, [max(1, f.stat().st_size) for f in self.files]
        for path, size in zip(self.files, sizes):
            unit = "row" if ending(path) in (".parquet", ".arrow") else "line"
            for rows, places, part in READERS[ending(path)](path, self.options):
                if self.form is None: self.form = self.form_of([r for r in rows[:left] if isinstance(r, dict)])
                rows = [self.flat(r) for r in rows[:left]]
                if rows: yield path, unit, rows, places, ordinal, (bytes_before + part * size) / sum(sizes)
                ordinal, left = ordinal + len(rows), left - len(rows)
                if left <= 0: return
            bytes_before += size

    def form_of(self, rows):
        """What the rows are: lines of a batch file where any has a custom_id and a body, or a custom_id and no prompt."""
        options, given = self.options, {self.renames.get(k, k) for r in rows for k in r}
        has_prompt = options.template or options.prompt_column or options.messages_column or given & set(PROMPTS)
        if any("custom_id" in r and (isinstance(r.get("body"), dict) or not has_prompt) for r in rows): return "batch"
        return "rows" if rows else None

    def flat(self, row):
        try:
            if isinstance(row, RowFault): return row
            if self.form == "batch": row = flatten_batch(row)
            if self.renames:
                self.given |= row.keys()
                row = {self.renames.get(k, k): v for k, v in row.items()}
            if self.constants: row = {**row, **self.constants}
            return row
        except RowFault as fault:
            fault.custom_id = row.get("custom_id")
            return fault

    def settle(self, rows):
        """By the good rows of the first block: where prompts and ids come from."""
        options, row = self.options, {}
        for each in rows: row.update((k, v) for k, v in each.items() if row.get(k) is None)  # its first value that is no null
        names = ", ".join(row)
        for flag in ("prompt_column", "messages_column", "id_column"):
            name = getattr(options, flag)
            if name and name not in row and not (flag == "id_column" and name == "none"):
                raise Fault(f"--{flag.replace('_', '-')} {name}: there is no such column; the first rows have: {names}")
        def holds_messages(value):
            return isinstance(value, list) and value and isinstance(value[0], dict)
        if options.template:
            self.source, self.template = ("template", None), ColumnTemplate(options.template)
        elif options.messages_column: self.source = ("messages", options.messages_column)
        elif options.prompt_column: self.source = ("text", options.prompt_column)
        elif row.get("prompt_token_ids") is not None: self.source = ("tokens", "prompt_token_ids")
        elif self.form == "batch": self.source = ("batch", None)  # each line by what it has
        else:
            chats = [c for c in ("messages", "conversations") if row.get(c) is not None]
            if len(chats) == 1 and not isinstance(row.get("prompt"), str): self.source = ("messages", chats[0])
            elif chats:
                raise Fault(f"the rows have {' and '.join(chats + ['prompt'] * ('prompt' in row))}: say which with "
                            "--messages-column or --prompt-column")
            elif holds_messages(row.get("prompt")): self.source = ("messages", "prompt")
            elif "prompt" in row: self.source = ("text", "prompt")
            else: raise Fault(f"no column is named prompt or messages; the first rows have: {names}. Name one with "
                              "--prompt-column, --messages-column, or make it with --template")
        if self.source[0] == "text" and holds_messages(row.get(self.source[1])): self.source = ("messages", self.source[1])
        if self.source[0] == "tokens" and (options.user_turn or options.system):
            raise Fault("token ids cannot be made a user turn (--user-turn, --system)")
        if self.source[0] == "messages" or self.turns_text(): self.chat = Chat(options)
        if options.id_column != "none": self.id_column = options.id_column or ("id" if "id" in row else None)

    def turns_text(self):
        """Whether a plain prompt becomes a user's turn."""
        return bool(self.options.user_turn or self.options.system)

    def used_settings(self):
        """Columns that are settings of their prompts, where --drop does not leave them out, or --set gives them."""
        return [name for name in (*SAMPLING, "stop") if name in self.constants or
                name in self.columns and name not in self.options.drop]

    def carried_names(self, names):
        """{column of the input: dataset of the output} of what is carried along."""
        used = {self.id_column, *SAMPLING, "stop"}
        # Stored already, as the prompt or as `messages`; a question that became a user turn is still worth its column.
        if self.source[0] == "batch": used |= {"messages"} if self.turns_text() else {"messages", "prompt"}
        elif self.source[0] != "text" or not self.chat: used.add(self.source[1])
        if self.options.keep is not None: names = [n for n in names if n in self.options.keep]
        targets = {}
        for name in names:
            if name in used or name in self.options.drop: continue
            target = name.replace("/", "_").strip(". ") or "column"
            if target in RESERVED or (self.chat and target in ("messages", "dropped_answer")): target = "input_" + target
            while target in targets.values(): target += "_"
            targets[name] = target
        return targets

    def look(self):
        """The first reading: types of the columns, ids that occur twice, how many rows."""
        duplicates = Duplicates(pathlib.Path(os.path.realpath(self.options.output)).parent)
        bar = progress("looking", 100, "%")
        from_text = ending(self.files[0]) in (".csv", ".tsv")
        for path, unit, rows, places, ordinal, part in self.blocks():
            good = [(i, r) for i, r in enumerate(rows) if not isinstance(r, RowFault)]
            if len(good) < len(rows) and self.options.on_error == "fail":
                i = next(i for i, r in enumerate(rows) if isinstance(r, RowFault))
                self.refuse(path, unit, places[i], rows[i], rows[i])
            self.total += len(rows)
            bar.update(part * 100 - bar.n)
            if not good: continue
            if self.source is None: self.settle([r for _, r in good])
            if self.source[0] == "batch" and not self.chat and any(batch_source(r)[0] == "messages" for _, r in good):
                self.chat = Chat(self.options)
            found = dict.fromkeys(k for _, r in good for k in r)
            for name in found:
                values = [r.get(name) for _, r in good]
                if name not in self.columns:
                    if name == "id" and not self.id_column and self.options.id_column != "none" and self.total > len(rows):
                        raise Fault(f"{path}: ids begin at or behind {unit} {places[0]}, no row before has one: give all rows an "
                                    "id, or number them with --id-column none")
                    self.columns[name] = Column(from_text and name not in self.constants)
                    if self.total > len(rows): self.columns[name].seen.add(type(None))  # absent so far
                self.columns[name].observe(values)
                if name in RUN_ONLY: self.note_run_only(name, [r for _, r in good])
                if name in NOT_DONE and any(v not in (None, False, "", [], {}) for v in values): self.not_done.add(name)
            for name in self.columns.keys() - found: self.columns[name].seen.add(type(None))
            if self.id_column:
                ids = [(id_value(r.get(self.id_column), from_text), i) for i, r in good]
                ids = [(v, i) for v, i in ids if v is not None]
                self.id_types |= {type(v) for v, _ in ids}
                duplicates.add([v for v, _ in ids], np.array([ordinal + i for _, i in ids], "u8"))
        bar.close()
        if self.source is None:
            raise Fault("there is no row to make a prompt of" + (" (all were bad)" if self.total else ""))
        if self.id_types - {int, str}:
            raise Fault(f"column {self.id_column}: ids must be text or whole numbers, some are "
                        f"{', '.join(t.__name__ for t in self.id_types - {int, str})}")
        self.later = duplicates.find()
        self.check_names()

    def check_names(self):
        """A mistyped name is a fault, not an option without effect."""
        for old, new in self.renames.items():
            if old not in self.given:
                raise Fault(f"--map {old}={new}: there is no column {old}; there are: {', '.join(sorted(self.given))}")
            if new in self.given and new not in self.renames:
                raise Fault(f"--map {old}={new}: there is a column {new} already; map that one to another name too")
        for name in [*self.options.drop, *(self.options.keep or [])]:
            if name not in self.columns: raise Fault(f"--drop/--keep {name}: there is no such column; there are: "
                                                     f"{', '.join(self.columns)}")

    def note_run_only(self, name, rows):
        """Collects what run.yaml would say for these rows; "refused" where it has no way to say it."""
        held = self.run_only.setdefault(name, set())
        for row in rows:
            if len(held) > 2: return
            value = row.get(name)
            if name == "logprobs" and value is True: value = row.get("top_logprobs") or 0
            try:
                held.add("null" if value in (None, "") else json.dumps(RUN_ONLY[name](value)))
            except (ValueError, OverflowError, RecursionError):
                held.add("refused")

    def prompt_of(self, row):
        """(prompt text or None, token ids or None, messages or None, answer left out)."""
        kind, name = self.source
        is_batch = kind == "batch"
        if is_batch: kind, name = batch_source(row)
        if kind == "tokens": return None, token_list(row.get(name)), None, ""
        if kind == "messages": messages = checked_messages(row.get(name), name)
        else:
            text = self.template.render(row) if self.template else row.get(name)
            if not isinstance(text, str):
                if text is None and is_batch: raise RowFault("has neither body.messages nor body.prompt")
                if is_batch: raise RowFault(f"body.prompt is {short(text)}, must be one text: token ids and lists of prompts are "
                                            "not taken in batch files (token ids: a column prompt_token_ids of plain rows)")
                if text is None: raise RowFault(f"{name} is missing or null")
                raise RowFault(f"{name} is {short(text)}, must be text")
            if not self.chat: return text, None, None, ""
            if is_batch and not self.turns_text(): return text, None, [{"role": "user", "content": text}], ""
            messages = [{"role": "user", "content": text}]
        answer = ""
        if messages[-1]["role"] == "assistant":
            if self.options.drop_last_answer and len(messages) > 1:
                answer, messages = joined_parts(messages[-1].get("content") or ""), messages[:-1]
                if not isinstance(answer, str): answer = json_text(answer)
            else: self.answers_kept = True
        if self.options.system and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.options.system}, *messages]
        tools, extra = row.get("tools"), row.get("chat_template_kwargs")
        tools = parsed(tools, "tools") if tools not in (None, "") else None
        extra = parsed(extra, "chat_template_kwargs") if extra not in (None, "") else {}
        if is_batch and row.get("reasoning_effort") is not None and isinstance(extra, dict):
            extra = {"reasoning_effort": row["reasoning_effort"], **extra}
        if tools is not None and not isinstance(tools, list): raise RowFault("tools must be a list")
        if not isinstance(extra, dict): raise RowFault("chat_template_kwargs must be an object")
        return self.chat.render(messages, tools, extra), None, messages, answer

    def id_of(self, row):
        value = row.get(self.id_column)
        if id_value(value, False) is None:
            raise RowFault(f"id ({self.id_column}) is missing, null or empty (--id-column none numbers the rows instead)")
        if self.id_types == {int}:
            value = int(value.removesuffix(".0") if isinstance(value, str) else value)
            if not -2**63 <= value < 2**63: raise RowFault(f"id {value} does not fit 64 bits")
            return value
        if "\0" in str(value): raise RowFault("id holds a NUL character")
        return str(id_value(value, False))

    def convert(self, rows, carried):
        """All datasets of some rows, as arrays and lists. RowFault when any row is no good."""
        made = [self.prompt_of(row) for row in rows]
        out = {}
        if self.source[0] == "tokens":
            lists = [tokens for _, tokens, _, _ in made]
            values = np.array([t for tokens in lists for t in tokens], "i4")
            out["prompt_token_ids"] = ([len(tokens) for tokens in lists], values)
        else:
            encoded = [text.encode() for text, _, _, _ in made]
            out["prompt"] = ([len(e) for e in encoded], np.frombuffer(b"".join(encoded), "u1"))
        if self.id_column:
            ids = [self.id_of(row) for row in rows]
            out["id"] = np.array(ids, "i8") if self.id_types == {int} else ids
        for name in self.used_settings():
            values = [row.get(name) for row in rows]
            try:
                out[name] = [stop_list(v) for v in values] if name == "stop" else sampling_values(values, name, SAMPLING[name])
            except RowFault as fault:
                if name in self.constants: raise
                raise RowFault(f"{fault} (if it is not the sampling setting: --map {name}=my_{name})") from None
        if self.chat:
            out["messages"] = [json_text(messages) for _, _, messages, _ in made]
            if self.options.drop_last_answer: out["dropped_answer"] = [answer for _, _, _, answer in made]
        for name, target in carried.items():
            try:
                out[target] = self.columns[name].convert([row.get(name) for row in rows])
            except RowFault as fault:
                raise RowFault(f"column {name} {fault}") from None
        for name, values in out.items():
            if isinstance(values, list):
                joined = "".join(values)
                joined.encode()
                if "\0" in joined: raise RowFault(f"column {name} holds a NUL character")
        return out

    def convert_or_fault(self, rows, carried):
        try:
            return self.convert(rows, carried)
        except UnicodeEncodeError as fault:
            raise RowFault(f"holds text that is no Unicode: {short(fault.object[fault.start:fault.end])}") from None

    def fault_of(self, ordinal, row, label):
        """The RowFault of a row that is bad before anything is made of it."""
        if isinstance(row, RowFault): return row
        if ordinal in self.later:
            first = self.first_labels.get(self.later[ordinal], f"row {self.later[ordinal]} of the input")
            return RowFault(f"id {row.get(self.id_column)!r} is already that of {first}: ids must be unique (--id-column "
                            "none numbers the rows instead)")
        return None

    def write(self, target):
        """The second reading."""
        carried = self.carried_names(list(self.columns))
        firsts = set(self.later.values())
        bar = progress("writing", self.total, "row")
        for path, unit, rows, places, ordinal, _ in self.blocks():
            good = []
            for i, row in enumerate(rows):
                if ordinal + i in firsts: self.first_labels[ordinal + i] = f"{path}: {unit} {places[i]}"
                fault = self.fault_of(ordinal + i, row, places[i])
                if fault: self.refuse(path, unit, places[i], fault, row)
                else: good.append((row, places[i]))
            try:
                made = self.convert_or_fault([row for row, _ in good], carried)
            except RowFault:
                sound = []
                for row, place in good:
                    try:
                        self.convert_or_fault([row], carried)
                        sound.append(row)
                    except RowFault as fault:
                        self.refuse(path, unit, place, fault, row)
                made = self.convert_or_fault(sound, carried)
                good = [(row, None) for row in sound]
            if good:
                self.store(target, made)
                if self.first_prompt is None: self.first_prompt = self.prompt_of(good[0][0])
            bar.update(len(rows))
        bar.close()
        if target.rows == 0:
            self.publish_skipped()
            raise Fault(f"no row is good; the first faults are in {self.skip_path()}")
        for name, dataset in carried.items():
            kind = self.columns[name].kind()
            if dataset in target.file and kind in ("json", "whole"): target.file[dataset].attrs["moemill_kind"] = kind
        if self.chat: target.file["messages"].attrs["moemill_kind"] = "json"

    def store(self, target, made):
        rows = 0
        if self.chat and self.chat.added_before and "prompt" in made: self.begun += self.count_begun(*made["prompt"])
        for name, values in made.items():
            if isinstance(values, tuple):
                target.packed(name, *values)
                rows = len(values[0])
            else: target.column(name, values)
        target.blocks.append((target.rows, target.rows + rows))
        target.rows += rows

    def count_begun(self, lengths, values):
        text, added, at, count = values.tobytes(), self.chat.added_before.encode(), 0, 0
        for length in lengths:
            count += text.startswith(added, at, at + length)
            at += length
        return count

    def skip_path(self):
        return self.options.output.with_name(self.options.output.name + ".skipped.jsonl")

    def refuse(self, path, unit, place, fault, row):
        if self.options.on_error == "fail":
            raise Fault(f"{path}: {unit} {place}: {fault}\n(--on-error skip leaves bad rows out and lists them)")
        if self.skip_file is None: self.skip_file = open(begin_beside(self.skip_path()), "w", encoding="utf-8")
        line = {"file": str(path), unit: place}
        if self.form == "batch": line["custom_id"] = fault.custom_id if row is fault else row.get("id")
        line = json.dumps({**line, "error": str(fault)}, ensure_ascii=False, default=str)
        self.skip_file.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
        self.skipped += 1
        if len(self.reasons) < 1000 or str(fault) in self.reasons: self.reasons[str(fault)] += 1

    def publish_skipped(self):
        """The list of this run takes the place of an earlier run's, which is also gone when there is nothing to list."""
        if self.skip_file is None: return self.skip_path().unlink(missing_ok=True)
        self.skip_file.close()
        os.replace(self.skip_file.name, self.skip_path())

    def say(self, target_rows, size, seconds):
        if not self.options.quiet and self.first_prompt and self.first_prompt[0] is not None:
            text = self.first_prompt[0]
            print("--- the first prompt", text if len(text) < 1500 else text[:1500] + "…", "---", sep="\n", file=sys.stderr)
        elif not self.options.quiet and self.first_prompt:
            print("--- the first prompt's tokens:", short(self.first_prompt[1], 300), file=sys.stderr)
        used = [name for name in self.used_settings() if name not in self.constants]
        if used: note(f"used as sampling settings: {', '.join(used)}")
        for name in sorted(self.not_done): note(f"{name}: moemill does not do this; the column is carried along only")
        for name, values in self.run_only.items():
            if type(None) in self.columns[name].seen: values.add("null")
            if values == {"null"}: continue
            if values == {"refused"}: note(f"{name}: run.yaml has no setting of these values; the column is carried along only")
            elif len(values) == 1:
                note(f"{name} is no setting of a single prompt; for all of them put into run.yaml:  "
                     f"sampling: {{{name}: {next(iter(values))}}}")
            else: note(f"{name} is no setting of a single prompt, and the rows differ in it: it is carried along only")
        if self.answers_kept:
            note("conversations end with an assistant's turn, which is then part of the prompt; "
                 "--drop-last-answer leaves it out")
        if self.begun == target_rows:
            note(f"this model's tokenizer.json puts {self.chat.added_before} before every prompt, and the chat template has written "
                 "it already: put into run.yaml  input: {add_special_tokens: false}")
        elif self.begun:
            note(f"this model's tokenizer.json puts {self.chat.added_before} before every prompt, and {self.begun:,} of the "
                 f"{target_rows:,} prompts begin with it already: no add_special_tokens of run.yaml is right for all. Make two "
                 "files and run them apart")
        if self.skipped:
            (reason, count), = self.reasons.most_common(1)
            note(f"{self.skipped:,} bad rows were left out: {self.skip_path()}; {count:,} of them: {' '.join(reason.split())[:300]}")
        print(f"{self.options.output}: {target_rows:,} prompts, {size / 1e6:,.1f} MB, in {seconds:.1f} s "
              f"({target_rows / max(seconds, 1e-9):,.0f} rows/s)")


def note(text): print(f"note: {text}", file=sys.stderr)


def progress(what, total, unit):
    tqdm = need("tqdm").tqdm
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}" if unit == "%" else None
    return tqdm(total=total, desc=what, unit=unit, unit_scale=unit != "%", disable=None, leave=False, bar_format=form)


def pair(text):
    name, equals, value = text.partition("=")
    if not equals or not name: raise argparse.ArgumentTypeError(f"{text!r}: must be NAME=VALUE")
    return name, value


def valued_pair(text):
    name, value = pair(text)
    value = {"True": "true", "False": "false", "None": "null"}.get(value, value)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def delimiter(text):
    if text == "\\t": return "\t"
    if len(text) != 1 or text in '"\r\n\0': raise argparse.ArgumentTypeError(f"{text!r}: must be one character, or \\t for a tab")
    return text


def names(text): return [name for name in text.split(",") if name]


def parse_arguments(words):
    p = argparse.ArgumentParser(prog="prompts.py", description=__doc__, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="files or folders, read in this order")
    p.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="PROMPTS.h5")
    p.add_argument("--overwrite", action="store_true", help="replace PROMPTS.h5 if it is there")
    g = p.add_argument_group("what a prompt is made of")
    g.add_argument("--prompt-column", metavar="NAME", help="text column (default: prompt)")
    g.add_argument("--messages-column", metavar="NAME", help="chat column (default: messages, or conversations)")
    g.add_argument("--template", metavar="TEXT|@FILE", help="Jinja template over the columns: 'Q: {{ question }}\\nA:' "
                   "(\\n is a new line, but not where it begins a TeX command such as \\nabla; in a FILE nothing is replaced)")
    g = p.add_argument_group("chat")
    g.add_argument("--model", metavar="DIR", help="the model's folder: its chat template and special tokens")
    g.add_argument("--chat-template", metavar="NAME|FILE", help="another one of the model's templates, or a file")
    g.add_argument("--template-arg", metavar="NAME=VALUE", type=valued_pair, action="append", default=[],
                   help="variable for the chat template, e.g. enable_thinking=false (repeatable; VALUE as JSON or text)")
    g.add_argument("--tools", metavar="FILE", help="JSON list of tools for every row (a column `tools` wins)")
    g.add_argument("--user-turn", action="store_true", help="the prompt text is one user message, rendered as chat")
    g.add_argument("--system", metavar="TEXT", help="system message for conversations that have none (makes text chat)")
    g.add_argument("--drop-last-answer", action="store_true",
                   help="leave out an assistant's turn at the end (kept as column dropped_answer)")
    g.add_argument("--no-generation-prompt", action="store_true", help="do not open the assistant's turn at the end")
    g.add_argument("--keep-nulls", action="store_true", help="show the template keys whose value is null, as transformers 4 did")
    g.add_argument("--date", type=datetime.datetime.fromisoformat, metavar="YYYY-MM-DD",
                   help="today's date for templates that write it, so that a later day gives the same file")
    g = p.add_argument_group("columns")
    g.add_argument("--id-column", metavar="NAME", help="unique ids (default: id, or custom_id of a batch file); none: row numbers")
    g.add_argument("--map", metavar="OLD=NEW", type=pair, action="append", default=[],
                   help="rename a column, also to or from a sampling column: max_new_tokens=max_tokens (repeatable)")
    g.add_argument("--set", metavar="NAME=VALUE", type=valued_pair, action="append", default=[],
                   help="a column with this value in every row: n=4 (repeatable)")
    g.add_argument("--keep", metavar="A,B", type=names,
                   help="carry only these columns along (default: all)")
    g.add_argument("--drop", metavar="A,B", type=names, default=[], help="do not carry these, nor use them as sampling columns")
    g = p.add_argument_group("reading and writing")
    g.add_argument("--split", metavar="NAME", help="split of a datasets folder; all: every split, in the order of their names")
    g.add_argument("--delimiter", metavar="C", type=delimiter, help="of CSV files, \\t for a tab (default: a comma; a tab for .tsv)")
    g.add_argument("--limit", metavar="N", type=int, help="only the first N rows")
    g.add_argument("--on-error", choices=("fail", "skip"), default="fail", help="what to do about a bad row (default: fail)")
    g.add_argument("--compression", default="none", choices=["none"] + [f"gzip-{i}" for i in range(1, 10)],
                   help="of the prompts' text and of numbers (default: none)")
    g.add_argument("--quiet", action="store_true", help="do not show the first prompt")
    return p.parse_args(words)


def run(options):
    global h5py, np
    h5py, np = need("h5py"), need("numpy")
    if options.output.exists() and not options.output.is_file():
        raise Fault(f"{options.output}: is no plain file, which the output must be: name one with -o")
    if options.output.exists() and not options.overwrite:
        raise Fault(f"{options.output}: is there already; --overwrite replaces it (a run made from it will not resume then)")
    if options.limit is not None and options.limit < 1: raise Fault("--limit must be at least 1")
    real = pathlib.Path(os.path.realpath(options.output))  # what a link points to is written, the link stays
    if not real.parent.is_dir(): raise Fault(f"{real.parent}: no such folder")
    for path in map(pathlib.Path, options.inputs):
        if path.exists() and options.output.exists() and path.samefile(options.output): raise Fault(f"{path}: is input and output")
    started = time.monotonic()
    maker = Maker(options)
    maker.look()
    try:
        target = Target(real, options.compression)
        try:
            maker.write(target)
            target.finish()
        except Exception:
            target.disk.check()  # what HDF5 says after a fault of the disk is no news
            raise
        if options.output.exists() and not options.overwrite:
            raise Fault(f"{options.output}: has appeared meanwhile; --overwrite replaces it")
        maker.publish_skipped()  # first: a new OUTPUT never stands beside an old list
        target.publish()
    finally:
        clear_away()
    return lambda: maker.say(target.rows, options.output.stat().st_size, time.monotonic() - started)


def main(words=None):
    options = parse_arguments(words)
    try:
        say = run(options)
    except Fault as fault:
        print(f"prompts.py: {fault}", file=sys.stderr)
        sys.exit(2)
    except OSError as fault:
        why = " ".join(str(fault.strerror or fault).split())
        if not fault.filename: why += "; no file was made: make room, or name another place with -o, and start again"
        print(f"prompts.py: {fault.filename or options.output}: {why}", file=sys.stderr)
        sys.exit(1)
    try:
        say()
        sys.stdout.flush()
    except OSError as fault:
        print(f"prompts.py: {options.output} is made, but this cannot be printed: {fault.strerror}", file=sys.stderr)
        sys.exit(1)


def leave(number, _):
    """Ends on a signal without going back through HDF5, which may be in the midst of a call."""
    clear_away()
    os.write(2, f"\nprompts.py: ended by {signal.Signals(number).name}; nothing unfinished is left\n".encode())
    os._exit(128 + number)


if __name__ == "__main__":
    for ending_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending_signal) != signal.SIG_IGN: signal.signal(ending_signal, leave)  # ignored under nohup
    try:
        main()
    except SystemExit as end:
        if end.code != 1: raise
        sys.stderr.flush()
        os._exit(1)  # HDF5's own clean-up crashes over a file that could not be written
