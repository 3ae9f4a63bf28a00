#!/usr/bin/env python3
"""Turns what moemill wrote (outputs.h5, a run directory, shards) into JSONL (.gz too), Parquet, OpenAI batch results, chat
messages for fine-tuning, or chosen/rejected pairs.

Rows come in (prompt, sample) order, joined with the input's other columns, filtered, without duplicates if wanted. Files
are read in small blocks, so their size does not matter.
"""
EXAMPLES = """examples:
  # every good row with its text, finish reason and the input's columns; --status all has the failed ones too
  outputs.py runs/first -o rows.jsonl
  outputs.py runs/first -o rows.parquet --columns id,sample_index,text,topic

  # to the terminal
  outputs.py runs/first --limit 3

  # chat messages for supervised fine-tuning: complete answers only, one of each text, nothing the model doubted
  outputs.py runs/first --format messages --finish-reason stop --min-tokens 20 --min-mean-logprob -1.5 \\
      --dedup all --columns messages -o sft.parquet

  # the same as prompt text and completion (what the model saw and wrote, to the character)
  outputs.py runs/first --format prompt-completion -o sft.jsonl.gz

  # preference pairs from n samples: the best and the worst by a reward model's scores, or by mean logprob
  outputs.py runs/first --format pairs --scores rewards.jsonl --score reward --min-margin 0.5 -o pairs.jsonl
  outputs.py runs/first --format pairs --score mean_logprob -o pairs.jsonl

  # answers to an OpenAI batch file, a line a request, failed ones with their error
  outputs.py runs/first --format openai-batch -o results.jsonl

  # tokens and logprobs (the run must have stored them)
  outputs.py runs/first --columns id,sample_index,token_ids,logprobs,top_ids,top_logprobs,prompt_logprobs -o scored.parquet

formats
  rows               a row a completion (default)
  messages           messages + the answer as an assistant's turn. The messages are the column `messages` that prompts.py
                     carries along; without one, the prompt's text is the user's turn. --split-thinking moves what stands
                     before </think> to the key reasoning_content
  prompt-completion  prompt, completion
  pairs              prompt, chosen, rejected (as messages where the run has them), score_chosen, score_rejected
  openai-batch       custom_id, response, error: n samples are n choices of one line; --add logprobs for theirs. The answer to
                     a .../completions line is a text_completion, to any other, /v1/responses too, a chat.completion. A request
                     whose rows all failed has its error; one that prompts.py --on-error skip left out has no line here,
                     PROMPTS.h5.skipped.jsonl names it

columns of a row: id prompt_index sample_index status finish_reason text num_prompt_tokens num_completion_tokens num_chars
  seed cumulative_logprob mean_logprob token_ids logprobs top_ids top_logprobs prompt_logprobs error_code error_message
  prompt prompt_token_ids messages score, and the input's own (a name of the list before gets the prefix input_). Missing
  numbers are null.

scores: --scores FILE (.jsonl, .csv, .parquet, .h5) with the columns id (or prompt_index), sample_index (if n > 1) and the
  one that --score names (default: score). Whole numbers may be written 3 or 3.0. Scores that fit no completion are counted
  in a note; if none fits, nothing is written. Or --score alone: mean_logprob, cumulative_logprob, num_completion_tokens,
  num_chars, or a numeric column of the input. With --scores rows have the column score, with --score alone by --add score.
  A score can be a filter, too (--min-score).

pairs: the first best sample and the first worst one whose text differs from it; where there is none, the next best.

duplicates: two texts are the same when they differ in white space and case only (Unicode NFKC). The first one stays.

needs Python 3.9 or newer with h5py, numpy and tqdm (Debian: python3-h5py python3-tqdm), and pyarrow for Parquet only
(PyPI): python3 -m venv ~/moemill-tools && ~/moemill-tools/bin/pip install -r scripts/tools-requirements.txt
"""
import argparse
import array
import collections
import contextlib
import csv
import datetime
import gzip
import hashlib
import io
import itertools
import json
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
import unicodedata
import zlib

BLOCK_ROWS = 1024
BLOCK_BYTES = 4 << 20  # of text and numbers of a block; one longer row is a block of its own
NUMBER_BYTES = 32      # of a number in a list of Python's
STATUS = ("pending", "ok", "failed", "skipped")
FINISH = (None, "stop", "length", "stop_string", "repetition", "error")
FIXED = ("prompt_index", "sample_index", "id", "status", "finish_reason", "num_prompt_tokens", "num_completion_tokens",
         "seed", "cumulative_logprob")
OTHERS = ("text", "num_chars", "mean_logprob", "token_ids", "logprobs", "top_ids", "top_logprobs", "prompt_logprobs",
          "error_code", "error_message", "prompt", "prompt_token_ids", "messages", "score", "completion", "chosen", "rejected")
ROW_COLUMNS = ("id", "prompt_index", "sample_index", "status", "finish_reason", "text", "num_prompt_tokens",
               "num_completion_tokens", "cumulative_logprob")


class Fault(Exception):
    """The job cannot go on: what, where, how to fix."""


def need(module):
    try:
        return __import__(module)
    except ImportError as missing:
        raise Fault(f"needs the Python package {missing.name}: see the end of --help for how to install it") from None


def note(text): print(f"note: {text}", file=sys.stderr)


# ---------------------------------------------------------------------------------------------------------------------
# Finding and opening the files of a run

def one_line(fault): return " ".join(f"{type(fault).__name__}: {fault}".split())


def open_h5(path):
    try:
        return h5py.File(path, "r")
    except OSError as fault:
        raise Fault(f"{path}: cannot be read as HDF5, is damaged or still being written ({one_line(fault)}); {CURE_H5}") from None


CURE_H5 = ("take it from a copy; of a run, `moemill verify RUN_DIR` tells what is damaged: a shard or outputs.h5 that is removed is "
           "made again by the same `moemill run`")


@contextlib.contextmanager
def reading(path):
    """Around what reads a HDF5 file: h5py meets damage with exceptions of many kinds."""
    try:
        yield
    except (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError, MemoryError) as fault:
        raise Fault(f"{path}: cannot be read, is damaged ({one_line(fault)}); {CURE_H5}") from None


@contextlib.contextmanager
def writing(name):
    """Around what writes a file: the system's error is of this one, not of a temporary name or of none."""
    try:
        yield
    except OSError as fault:
        fault.filename = name
        raise


def read_manifest(path):
    """run.json, with what is needed of it."""
    try:
        run = json.loads(path.read_bytes().decode())
        wrong = None if isinstance(run, dict) else "no object"
    except (OSError, ValueError, RecursionError) as fault:
        wrong = one_line(fault)
    def fits(name, kind, low): return type(run.get(name)) is kind and (kind is str or run[name] >= low)
    if not wrong:
        bad = [n for n, kind, low in (("run_id", str, 0), ("prompts", int, 0), ("shard_prompts", int, 1)) if not fits(n, kind, low)]
        if bad: wrong = f"no {', '.join(bad)}, or not as moemill writes it"
    if wrong:
        raise Fault(f"{path}: cannot be read, is damaged or missing ({wrong}); take it from a copy, or copy outputs.h5 (or a shard) to "
                    "another folder and name that copy: it needs no run.json")
    return run


class Outputs:
    """The files of a run in the order of their prompts."""

    def __init__(self, path, allow_incomplete):
        self.folder, missing, self._config = None, None, None
        if not path.exists(): raise Fault(f"{path}: no such file or folder")
        if path.is_dir():
            self.folder = path
            paths, missing = self._of_folder(path)
        else:
            paths = [path]
            if (path.parent / "run.json").exists(): self.folder = path.parent
        manifest = self.folder / "run.json" if self.folder else None
        run_id = read_manifest(manifest)["run_id"] if manifest and manifest.exists() else None
        self.files, starts, self.rows = [], {}, 0
        for p in paths:
            file = open_h5(p)
            with reading(p):
                if file.attrs.get("format") not in ("moemill-outputs", b"moemill-outputs"):
                    raise Fault(f"{p}: is not a file of moemill's outputs (attribute format)")
                if int(file.attrs.get("format_version", 0)) != 1:
                    raise Fault(f"{p}: has format version {file.attrs.get('format_version')}, this script knows 1")
                theirs = text_of(file.attrs.get("run_id", ""))
                if run_id not in (None, theirs):
                    raise Fault(f"{p}: is of the run {theirs or '(none)'}, but {manifest} is of the run {run_id}: put back the file of this "
                                "run, or copy this one to another folder and name that copy")
                if int(file.attrs.get("complete", 0)) != 1: missing = missing or f"{p}: was not finished"
                if "completions" not in file: raise Fault(f"{p}: has no group /completions")
                indices = file["completions/prompt_index"]
                starts[file] = int(indices[0]) if len(indices) else 0
                self.rows += file["completions/status"].shape[0]
                if file["completions/status"].shape != indices.shape: raise ValueError("columns of different lengths")
            self.files.append(file)
        if missing and not allow_incomplete: raise Fault(f"{missing}; --allow-incomplete takes what is there")
        if missing: note(missing)
        self.files.sort(key=starts.get)

    @staticmethod
    def _of_folder(path):
        if (path / "outputs.h5").exists(): return [path / "outputs.h5"], None
        shards = sorted(p for p in path.glob("shards/shard-*.h5"))
        if not (path / "run.json").exists() and not shards:
            raise Fault(f"{path}: is no run directory: it has neither outputs.h5 nor run.json")
        run = read_manifest(path / "run.json")
        wanted = -(-run["prompts"] // run["shard_prompts"])
        if not shards: raise Fault(f"{path}: no shard of this run is finished yet (moemill status {path})")
        if len(shards) == wanted: return shards, None
        if len(shards) > wanted:
            raise Fault(f"{path}: has {len(shards)} shards, by run.json it has {wanted}: take run.json from a copy, or remove the shards "
                        "of another run")
        return shards, (f"{path}: this run is not finished: {len(shards)} of {wanted} shards are (rows in its journal are "
                        f"not read; moemill status {path} has the counts)")

    def attribute(self, name):
        with reading(self.files[0].filename): return text_of(self.files[0].attrs.get(name, ""))

    def has_number_ids(self):
        with reading(self.files[0].filename): return not self.files[0]["completions/id"].dtype.hasobject

    def has_several_samples(self):
        for file in self.files:
            with reading(file.filename):
                samples = file["completions/sample_index"]
                if any(samples[at:at + 16 * BLOCK_ROWS].any() for at in range(0, len(samples), 16 * BLOCK_ROWS)): return True
        return False

    def config(self):
        """The resolved run.yaml: config.yaml, or the copy that the outputs have."""
        if self._config is None: self._config = self._read_config()
        return self._config

    def _read_config(self):
        copy, path = self.attribute("config_yaml"), self.folder / "config.yaml" if self.folder else None
        if not path or not path.exists(): return copy
        def sections(text): return set(re.findall(r"^(\w+):", text, re.M))
        try:
            text = path.read_text(encoding="utf-8")
            lost = sections(copy) - sections(text)
            wrong = f"lacks {', '.join(sorted(lost))}" if lost else "" if text.strip() and "\0" not in text else "is empty or zeroed"
        except (OSError, UnicodeDecodeError) as fault:
            wrong = one_line(fault)
        if not wrong: return text
        raise Fault(f"{path}: cannot be read, is damaged ({wrong}); move it away: the outputs have a copy of it, which is then read")


def sha256_of(path):
    sums = hashlib.sha256()
    with reading(path), open(path, "rb") as file:
        while part := file.read(1 << 20): sums.update(part)
    return sums.hexdigest()


def text_of(value): return value.decode() if isinstance(value, bytes) else str(value)


def setting(config, section, key):
    """A plain value of the resolved run.yaml, which moemill itself wrote."""
    part = re.search(rf"^{section}:\n((?: +.*\n?)*)", config, re.M)
    found = re.search(rf"^ +{key}: *(.*)$", part.group(1), re.M) if part else None
    if not found: return None
    value = found.group(1).strip()
    try:
        return json.loads(value) if value.startswith('"') else value.strip("'")
    except ValueError:
        raise Fault(f"config.yaml: {section}.{key} cannot be read, is damaged: {value[:80]}; take the file from a copy") from None


class Prompts:
    """prompts.h5, for what outputs.h5 does not repeat: the prompts themselves, and which columns hold JSON."""

    def __init__(self, path, group):
        self.path, self.file = path, open_h5(path)
        self.group = self.file.get(group)
        if not isinstance(self.group, h5py.Group):
            raise Fault(f"{path}: has no group {group}, which the run read its prompts from: name the right file with --prompts")

    def kinds(self):
        with reading(self.path):
            found = {name: self.group[name].attrs.get("moemill_kind") for name in self.group}
            return {name: text_of(k) for name, k in found.items() if k is not None}

    def texts(self, first, count):
        with reading(self.path): return ragged_or_rows(self.group, "prompt", first, count, bytes)

    def tokens(self, first, count):
        with reading(self.path): return ragged_or_rows(self.group, "prompt_token_ids", first, count, list)

    def lengths(self, name, prompt_index):
        """Of these rows of a packed column; 0 of another one, which only reading tells."""
        if not isinstance(self.group.get(name), h5py.Group): return 0
        low, high = int(prompt_index[0]), int(prompt_index[-1])
        with reading(self.path):
            ends = self.group[name]["offsets"][low:high + 2].astype("i8")
            return np.diff(ends)[prompt_index.astype("i8") - low]

    def check_ids(self, first, ids):
        """The file of this run has the same ids; another one may not."""
        if "id" not in self.group: return
        with reading(self.path):
            theirs = ragged_or_rows(self.group, "id", first, len(ids), bytes) \
                if isinstance(self.group["id"], h5py.Group) or h5py.check_string_dtype(self.group["id"].dtype) \
                else self.group["id"][first:first + len(ids)].tolist()
        for offset, (mine, its) in enumerate(zip(ids, theirs)):
            if mine != its:
                raise Fault(f"{self.path}: is not the file that this run was made from: prompt {first + offset} has the "
                            f"id {its!r}, in the outputs {mine!r}")
        if len(theirs) < len(ids): raise Fault(f"{self.path}: has fewer prompts than the outputs")


def ragged_or_rows(group, name, first, count, kind):
    if name not in group: raise Fault(f"{group.file.filename}: has no {name}")
    item = group[name]
    if isinstance(item, h5py.Group):
        ends = item["offsets"][first:first + count + 1].astype("i8")
        values = item["values"][ends[0]:ends[-1]]
        ends = (ends - ends[0]).tolist()
        if kind is bytes:
            values = values.tobytes()
            return [values[a:b].decode("utf-8", "replace") for a, b in zip(ends, ends[1:])]
        values = values.tolist()
        return [values[a:b] for a, b in zip(ends, ends[1:])]
    rows = item[first:first + count]
    if kind is list: return [row.tolist() for row in rows]
    return [row.decode("utf-8", "replace") if isinstance(row, bytes) else str(row) for row in rows]


# ---------------------------------------------------------------------------------------------------------------------
# Blocks of rows as columns

def nulls_for_nan(values): return [None if v != v else v for v in values]


def reals(values):
    """float32 as the shortest text that gives it back, NaN as null."""
    return [None if v != v else float("%.9g" % v) for v in values.tolist()]


class Reader:
    """One file's rows in blocks: a dictionary of lists, only of the wanted columns."""

    def __init__(self, file, wanted, carried, kinds, prompts):
        self.file, self.done = file, file["completions"]
        self.wanted, self.carried, self.kinds, self.prompts = wanted, carried, kinds, prompts
        self.failed = 0        # rows of /errors used so far
        self.prompt_at = 0     # of the file's prompts, the first of the block
        self.last_prompt = None
        self.fits = 16         # rows that the next block may have: few, before it is known what they take
        self.by_prompt_bytes = 0  # of the block's columns with a row a prompt
        self._check()

    def _check(self):
        where = self.file.filename
        for name in ("text", "token_ids", "logprobs"):
            if name in self.wanted and (name not in self.done or "values" not in self.done[name]):
                hint = "sampling.logprobs: 0 or more" if name == "logprobs" else f"output.store with {name}"
                raise Fault(f"{where}: this run did not store {name}; it needs {hint} in run.yaml")
        if {"top_ids", "top_logprobs"} & self.wanted and "top_ids" not in self.done.get("logprobs", {}):
            raise Fault(f"{where}: this run did not store top logprobs; it needs sampling.logprobs: 1 or more in run.yaml")
        if "prompt_logprobs" in self.wanted and "prompt_logprobs" not in self.file:
            raise Fault(f"{where}: this run has no prompt logprobs; it needs sampling.prompt_logprobs: true in run.yaml")

    def ranges(self):
        """Row ranges that fit memory: by the offsets, and where there are none by what the rows of the block before took."""
        rows, first = len(self.done["status"]), 0
        while first < rows:
            ends = np.cumsum(self._row_bytes(first, min(rows, first + self.fits)))
            begin, first = first, first + max(1, int(np.searchsorted(ends, BLOCK_BYTES, "right")))
            yield begin, first

    def _row_bytes(self, first, last):
        def lengths(name): return np.diff(self.done[name]["offsets"][first:last + 1].astype("i8"))
        sizes, numbers = np.zeros(last - first, "i8"), len({"token_ids", "logprobs"} & self.wanted)
        top = {"top_ids", "top_logprobs"} & self.wanted
        if top: numbers += len(top) * self.done["logprobs/top_ids"].shape[1]
        if "text" in self.wanted: sizes += lengths("text")
        if numbers: sizes += numbers * NUMBER_BYTES * lengths("token_ids")
        for name, each in (("prompt", 1), ("prompt_token_ids", NUMBER_BYTES)):
            if name in self.wanted and self.prompts: sizes += each * self.prompts.lengths(name, self.done["prompt_index"][first:last])
        return sizes

    def _ragged(self, group, name, first, last):
        ends = group["offsets"][first:last + 1].astype("i8")
        return (ends - ends[0]).tolist(), group[name][ends[0]:ends[-1]] if name else (ends[0], ends[-1])

    def block(self, first, last):
        out = {}
        raw = {name: self.done[name][first:last] for name in ("prompt_index", "sample_index", "id", "status")}
        for name in FIXED:
            if name in self.wanted and name not in raw: raw[name] = self.done[name][first:last]
        out.update((name, values.tolist()) for name, values in raw.items())
        if raw["id"].dtype.hasobject: out["id"] = [i.decode() for i in out["id"]]
        out["status"] = [STATUS[s] if s < 4 else str(s) for s in out["status"]]
        if "finish_reason" in raw: out["finish_reason"] = [FINISH[f] if f < 6 else str(f) for f in out["finish_reason"]]
        if "mean_logprob" in self.wanted:
            tokens = self.done["num_completion_tokens"][first:last]
            sums = self.done["cumulative_logprob"][first:last].astype("f8")
            out["mean_logprob"] = nulls_for_nan(np.where(tokens > 0, sums / np.maximum(tokens, 1), np.nan).tolist())
        if "cumulative_logprob" in raw: out["cumulative_logprob"] = reals(raw["cumulative_logprob"])
        if "text" in self.wanted:
            ends, values = self._ragged(self.done["text"], "values", first, last)
            values = values.tobytes()
            out["text"] = [values[a:b].decode() for a, b in zip(ends, ends[1:])]
        if "num_chars" in self.wanted: out["num_chars"] = [len(t) for t in out["text"]]
        self._tokens(out, first, last)
        self._errors(out, raw["status"])
        self._by_prompt(out, raw["prompt_index"])
        return out

    def _tokens(self, out, first, last):
        names = {"token_ids": ("token_ids", "values"), "logprobs": ("logprobs", "values"), "top_ids": ("logprobs", "top_ids"),
                 "top_logprobs": ("logprobs", "top_values")}
        if not names.keys() & self.wanted: return
        ends, (low, high) = self._ragged(self.done["token_ids"], None, first, last)
        for name, (group, member) in names.items():
            if name not in self.wanted: continue
            values = self.done[group][member][low:high]
            if name == "logprobs": values = reals(values)
            elif name == "top_logprobs":
                flat, k = reals(values.ravel()), values.shape[1]
                values = [flat[i:i + k] for i in range(0, len(flat), k)]
            else: values = values.tolist()
            out[name] = [values[a:b] for a, b in zip(ends, ends[1:])]

    def _errors(self, out, status):
        """/errors has the failed rows in their order."""
        where = np.flatnonzero(status == 2).tolist()
        if {"error_code", "error_message"} & self.wanted:
            for name, member in (("error_code", "code"), ("error_message", "message")):
                out[name] = [None] * len(status)
                if not where: continue
                texts = self.file["errors"][member][self.failed:self.failed + len(where)]
                for i, text in zip(where, texts): out[name][i] = text.decode()
        self.failed += len(where)

    def _by_prompt(self, out, prompt_index):
        """Columns with a row a prompt, repeated for its samples."""
        if len(prompt_index) == 0: return
        new = np.empty(len(prompt_index), bool)
        new[0] = self.last_prompt is None or prompt_index[0] != self.last_prompt
        new[1:] = prompt_index[1:] != prompt_index[:-1]
        at = np.cumsum(new) + (self.prompt_at - 1)
        low, high = int(at[0]), int(at[-1]) + 1
        self.prompt_at, self.last_prompt = high, prompt_index[-1]
        at = (at - low).tolist()
        self.by_prompt_bytes = 0
        for name, dataset in self.carried.items():
            values = self.carried_values(dataset, low, high)
            out[name] = [values[i] for i in at]
        if "prompt_logprobs" in self.wanted:
            ends, values = self._ragged(self.file["prompt_logprobs"], "values", low, high)
            self.by_prompt_bytes += NUMBER_BYTES * len(values)
            values = reals(values)
            rows = [values[a:b] for a, b in zip(ends, ends[1:])]
            out["prompt_logprobs"] = [rows[i] for i in at]
        if self.prompts and {"prompt", "prompt_token_ids"} & self.wanted:
            first = int(prompt_index[0])
            starts = np.flatnonzero(new) if new[0] else np.concatenate(([0], np.flatnonzero(new)))
            if int(prompt_index[-1]) - first != high - low - 1: raise Fault(f"{self.file.filename}: prompts are missing in it")
            self.prompts.check_ids(first, [out["id"][i] for i in starts.tolist()])
            if "prompt" in self.wanted:
                texts = self.prompts.texts(first, high - low)
                self.by_prompt_bytes += sum(map(len, texts))
                out["prompt"] = [texts[i] for i in at]
            if "prompt_token_ids" in self.wanted:
                tokens = self.prompts.tokens(first, high - low)
                self.by_prompt_bytes += NUMBER_BYTES * sum(map(len, tokens))
                out["prompt_token_ids"] = [tokens[i] for i in at]
        self.fits = max(1, min(BLOCK_ROWS, 4 * self.fits, BLOCK_BYTES * (high - low) // max(1, self.by_prompt_bytes)))

    def carried_values(self, dataset, low, high):
        item = self.file["carry"][dataset]
        values, kind = item[low:high], self.kinds.get(dataset)
        if h5py.check_string_dtype(item.dtype):
            texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values.tolist()]
            self.by_prompt_bytes += sum(map(len, texts))
            return [decoded(t, dataset) for t in texts] if kind == "json" else texts
        self.by_prompt_bytes += NUMBER_BYTES * (sum(map(len, values)) if item.dtype.hasobject else values.size)
        if item.dtype.hasobject: return [v.tolist() for v in values]
        values = values.tolist()
        if item.dtype.kind == "f" and item.ndim == 1:
            values = nulls_for_nan(values)
            if kind == "whole": values = [None if v is None else int(v) for v in values]
        return values


def decoded(text, name):
    if text == "": return None
    try:
        return json.loads(text)
    except ValueError:
        raise Fault(f"carried column {name}: holds text that is not JSON: {text[:80]!r}") from None


# ---------------------------------------------------------------------------------------------------------------------
# Scores from another file

def whole(value):
    """An integer however it is written (pandas makes 3 into 3.0 where a column has gaps); None if it is none."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
        try:
            value = float(value)
        except ValueError:
            return None
    if type(value) is int: return value
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else None  # exact so far


class Scores:
    """(id, sample) to a number: 16 bytes a score in memory, 40 while they are sorted."""

    def __init__(self, path, column, outputs):
        self.path, self.column, self.by_id = path, column, None
        numbers, several = outputs.has_number_ids(), outputs.has_several_samples()
        keys, values = array.array("Q"), array.array("d")
        for place, row in self._rows():
            def refuse(what): raise Fault(f"{path}: {place} {what}")
            if not isinstance(row, dict): refuse("is no JSON object: a line is one, with id, sample_index and the score (pandas: lines=True)")
            if column not in row: refuse(f"has no column {column}; it has: {', '.join(map(str, row))} (--score NAME)")
            if self.by_id is None:
                self.by_id = "id" in row
                if not self.by_id and "prompt_index" not in row: refuse("has neither id nor prompt_index")
            name = "id" if self.by_id else "prompt_index"
            given, sample = row.get(name), row.get("sample_index")
            ident = given if isinstance(given, str) and self.by_id and not numbers else whole(given)
            if ident is None: refuse(f"has the {name} {given!r}: it must be {'text or ' if self.by_id and not numbers else ''}a whole number")
            if sample in (None, ""):
                if several: refuse("has no sample_index, and this run has several samples of a prompt: add that column, 0 to n-1 as `outputs.py "
                                   "RUN_DIR --columns id,sample_index,text` gives it")
                sample = 0
            if whole(sample) is None: refuse(f"has the sample_index {sample!r}: it must be a whole number")
            try:
                value = float("nan") if row[column] in (None, "") else float(row[column])
            except (TypeError, ValueError, OverflowError):
                value = float("inf")
            if abs(value) == float("inf"): refuse(f"has the {column} {row[column]!r}: it must be a finite number, or nothing")
            if not keys: self.first = ident, whole(sample)
            keys.append(self.key(ident, whole(sample)))
            values.append(value)
        if not keys: raise Fault(f"{path}: has no scores")
        order = np.argsort(np.frombuffer(keys, "u8"))
        self.keys, self.values = np.frombuffer(keys, "u8")[order], np.frombuffer(values, "f8")[order]
        twice = np.count_nonzero(self.keys[1:] == self.keys[:-1])
        if twice: raise Fault(f"{path}: {twice:,} completions have more than one score: leave one row for each id and sample_index")

    @staticmethod
    def key(ident, sample):
        return int.from_bytes(hashlib.blake2b(f"{ident}\0{sample}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")

    def _rows(self):
        """(where, row) of each."""
        kind = pathlib.PurePath(self.path.name.removesuffix(".gz")).suffix
        if kind in (".jsonl", ".json", ".ndjson", ".csv"): yield from self._lines(kind)
        elif kind == ".parquet": yield from self._parquet()
        elif kind in (".h5", ".hdf5"): yield from self._h5()
        else: raise Fault(f"{self.path}: unknown ending; scores are .jsonl, .csv (.gz too), .parquet or .h5")

    def _lines(self, kind):
        path, at = self.path, 0
        def counted(file):
            nonlocal at
            for line in file:
                at += 1
                yield line
        csv.field_size_limit(sys.maxsize)  # 128 KB without this: a text may stand beside its score
        try:
            with (gzip.open if path.name.endswith(".gz") else open)(path, "rt", encoding="utf-8-sig", newline="") as f:
                for row in csv.DictReader(counted(f)) if kind == ".csv" else (json.loads(line) for line in counted(f) if line.strip()):
                    if kind == ".csv" and (None in row or None in row.values()): raise ValueError("it has not as many cells as the first line")
                    yield f"line {at}", row
        except UnicodeDecodeError as fault:
            at += 1 + fault.object[:fault.start].count(b"\n")
            raise Fault(f"{path}: line {at} is not UTF-8 ({fault.reason}): write the file again as UTF-8") from None
        except (ValueError, RecursionError, csv.Error) as fault:
            raise Fault(f"{path}: line {at} is not {'CSV' if kind == '.csv' else 'JSON'}: {fault}") from None
        except (OSError, EOFError, zlib.error) as fault:
            raise Fault(f"{path}: cannot be read ({one_line(fault)})") from None

    def used(self, names):
        """Of a file's columns those to read; all where the score is not among them, for the message."""
        return [n for n in names if n in ("id", "prompt_index", "sample_index", self.column)] if self.column in names else names

    def _parquet(self):
        need("pyarrow")
        import pyarrow as pa
        import pyarrow.parquet as pq
        at = 0
        try:
            with pq.ParquetFile(self.path) as f:
                for batch in f.iter_batches(batch_size=BLOCK_ROWS, columns=self.used(f.schema_arrow.names)):
                    for at, row in enumerate(batch.to_pylist(), at + 1): yield f"row {at}", row
        except (OSError, ValueError, LookupError, OverflowError, MemoryError, pa.ArrowException) as fault:
            raise Fault(f"{self.path}: cannot be read as Parquet behind row {at} ({one_line(fault)})") from None

    def _h5(self):
        with open_h5(self.path) as f, reading(self.path):
            columns = self.used([n for n in f if isinstance(f[n], h5py.Dataset) and f[n].ndim == 1])
            lengths = {len(f[n]) for n in columns}
            if len(lengths) > 1: raise Fault(f"{self.path}: its columns have different lengths ({', '.join(f'{n} {len(f[n])}' for n in columns)})")
            for first in range(0, max(lengths, default=0), BLOCK_ROWS):
                parts = [f[n][first:first + BLOCK_ROWS].tolist() for n in columns]
                for at, row in enumerate(zip(*parts), first):
                    yield f"row {at}", dict(zip(columns, [v.decode() if isinstance(v, bytes) else v for v in row]))

    def of(self, idents, samples):
        """The scores of these completions, None where there is none; and which of them the file has."""
        wanted = np.array([self.key(i, s) for i, s in zip(idents, samples)], "u8")
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        there = self.keys[at] == wanted
        return [v if same and v == v else None for v, same in zip(self.values[at].tolist(), there.tolist())], there


# ---------------------------------------------------------------------------------------------------------------------
# Duplicates over the whole run

def normalised(text): return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Duplicates:
    """Rows whose text came before, found in memory that does not grow with their number: hashes go to an unnamed file,
    which is then looked through in parts. The result is a bit a row."""
    PART = 1 << 15
    WHERE = "the temporary file of --dedup all, 24 bytes a row (TMPDIR names its folder)"

    def __init__(self, rows):
        with writing(self.WHERE): self.file = tempfile.TemporaryFile()
        self.count, self.rows = 0, rows

    def add(self, texts, ordinals):
        digests = b"".join(hashlib.blake2b(normalised(t).encode(), digest_size=16).digest() for t in texts)
        records = np.empty((len(texts), 3), "u8")
        records[:, :2] = np.frombuffer(digests, "u8").reshape(-1, 2)
        records[:, 2] = ordinals
        with writing(self.WHERE):
            self.file.write(records.tobytes())
            self.file.flush()
        self.count += len(texts)

    def find(self):
        parts, bits = min(64, 1 + self.count // self.PART), np.zeros(self.rows // 8 + 1, "u1")
        for part in range(parts):
            self.file.seek(0)
            kept = [np.empty((0, 3), "u8")]
            while block := self.file.read(self.PART * 24 // 4):
                records = np.frombuffer(block, "u8").reshape(-1, 3)
                kept.append(records[records[:, 0] % np.uint64(parts) == part])
            records = np.concatenate(kept)
            records = records[np.lexsort((records[:, 2], records[:, 1], records[:, 0]))]
            later = records[1:][(records[1:, :2] == records[:-1, :2]).all(axis=1), 2]
            np.bitwise_or.at(bits, later // np.uint64(8), np.uint8(1) << (later % np.uint64(8)).astype("u1"))
        self.file.close()
        return bits


# ---------------------------------------------------------------------------------------------------------------------
# Writing

class JsonLines:
    def __init__(self, stream): self.stream = stream

    def write(self, rows):
        try:
            try:
                text = "".join([json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in rows])
            except ValueError:  # a NaN deep in a carried column
                text = "".join([json.dumps(without_nan(r), ensure_ascii=False) + "\n" for r in rows])
        except (TypeError, RecursionError):
            name, value = next((n, v) for r in rows for n, v in r.items() if not fits_json(v))
            raise Fault(f"column {name} holds what JSON has not ({value!r:.60}): leave it out with --columns") from None
        self.stream.write(text)

    def close(self): self.stream.close()


def fits_json(value):
    try:
        json.dumps(without_nan(value))
    except (TypeError, RecursionError):
        return False
    return True


def without_nan(value):
    if isinstance(value, float): return value if value - value == 0 else None
    if isinstance(value, dict): return {k: without_nan(v) for k, v in value.items()}
    return [without_nan(v) for v in value] if isinstance(value, list) else value


class Parquet:
    GROUP_ROWS, GROUP_BYTES = 65536, 32 << 20

    def __init__(self, file, types):
        need("pyarrow")
        import pyarrow as pa
        import pyarrow.parquet as pq
        self.pa, self.types = pa, types
        self.schema = pa.schema([(name, self._type(kind)) for name, kind in types.items()])
        self.writer = pq.ParquetWriter(file, self.schema, compression="zstd")
        self.held, self.held_rows, self.held_bytes = [], 0, 0

    def _type(self, kind):
        pa = self.pa
        if kind.startswith("list "): return pa.list_(self._type(kind[5:]))
        if kind == "messages": return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
        return {"json": pa.string(), "float": pa.float32(), "double": pa.float64(), "bool": pa.bool_()}.get(kind) \
            or getattr(pa, kind)()

    def write(self, rows):
        columns = []
        for name, kind in self.types.items():
            values = [row.get(name) for row in rows]
            try:
                if kind == "json": values = [v if v is None else json.dumps(v, ensure_ascii=False) for v in values]
                if kind == "messages": values = [self.plain(v) for v in values]
                columns.append(self.pa.array(values, self.schema.field(name).type))
            except (self.pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as fault:
                raise Fault(f"column {name} does not fit Parquet's {self.schema.field(name).type}: {fault}; write JSONL") from None
        batch = self.pa.record_batch(columns, schema=self.schema)
        self.held.append(batch)
        self.held_rows += len(rows)
        self.held_bytes += batch.nbytes
        if self.held_rows >= self.GROUP_ROWS or self.held_bytes >= self.GROUP_BYTES: self.flush()

    @staticmethod
    def plain(messages):
        """Parquet has one shape for all rows: role and content as text. What else a message has would be lost."""
        for m in messages or []:
            if m.keys() - {"role", "content"} or not isinstance(m.get("content"), (str, type(None))):
                raise Fault(f"a message has more than role and text ({', '.join(m)}), which Parquet's fixed columns cannot "
                            "hold here: write JSONL")
        return messages

    def flush(self):
        if self.held: self.writer.write_table(self.pa.Table.from_batches(self.held, self.schema), row_group_size=1 << 30)
        self.held, self.held_rows, self.held_bytes = [], 0, 0

    def close(self):
        self.flush()
        self.writer.close()


# ---------------------------------------------------------------------------------------------------------------------
# The job

class Exporter:
    def __init__(self, options):
        self.options = options
        self.outputs = Outputs(options.input, options.allow_incomplete)
        file = self.outputs.files[0]
        self.prompts = self.open_prompts()
        self.kinds = {**({} if not self.prompts else self.prompts.kinds()), **{n: "json" for n in options.json_columns}}
        known = set(FIXED) | set(OTHERS)
        with reading(file.filename):
            self.carried = {("input_" + n if n in known and n != "messages" else n): n for n in file.get("carry", {})}
        for name in options.json_columns:
            if name not in self.carried.values(): raise Fault(f"--json-column {name}: there is no such carried column")
        if "messages" in self.carried: self.kinds["messages"] = "json"
        self.columns = self.choose_columns()
        self.wanted = self.needed()
        self.scores = Scores(options.scores, options.score or "score", self.outputs) if options.scores else None
        self.counts = collections.Counter()

    def open_prompts(self):
        config = self.outputs.config()
        path = self.options.prompts or setting(config, "input", "path")
        if not path: return None
        path = pathlib.Path(path)
        if not path.exists():
            if self.options.prompts: raise Fault(f"{path}: no such file (--prompts)")
            return None
        self.check_prompts(path)
        return Prompts(path, setting(config, "input", "group") or "/")

    def check_prompts(self, path):
        """Other prompts may have the same ids: the file is the one of this run to the byte, or answers go with questions never asked."""
        its = self.outputs.attribute("input_sha256")
        if its and sha256_of(path) != its:
            raise Fault(f"{path}: has changed since this run was made, or is another file (its SHA-256 is not the outputs' input_sha256): put "
                        "the old file back, or name it with --prompts; where it is lost move this one away, to have the rows without it")

    def has(self, name):
        with reading(self.outputs.files[0].filename): return name in self.outputs.files[0]["completions"]

    def choose_columns(self):
        o, carried = self.options, list(self.carried)
        extra = [c for c in carried if c != "messages"]
        names = {"rows": [c for c in ROW_COLUMNS if c != "text" or self.has("text")] + carried,
                 "messages": ["id", "sample_index", "messages"] + (["tools"] if "tools" in carried else []),
                 "prompt-completion": ["id", "sample_index", "prompt", "completion"],
                 "pairs": ["id", "prompt", "chosen", "rejected", "score_chosen", "score_rejected"],
                 }.get(o.format, [])
        if o.format == "rows" and {"failed", "all"} & set(o.status): names[5:5] = ["error_code", "error_message"]
        if o.format == "rows" and o.scores: names.append("score")
        if o.format == "openai-batch":
            if o.columns or set(o.add) - {"logprobs"}: raise Fault("openai-batch has its own shape; --add logprobs is all it takes")
            return []
        known = set(names) | set(FIXED) | set(OTHERS) - {"completion", "chosen", "rejected"} | set(carried)
        if o.format == "pairs": known = set(names) | set(extra) | {"prompt_index", "num_prompt_tokens"}
        for name in [*(o.columns or []), *o.add]:
            if name not in known: raise Fault(f"there is no column {name}; there are: {', '.join(sorted(known))}")
        names = list(o.columns or names)
        return names + [c for c in o.add if c not in names]

    def needed(self):
        """Columns that must be read."""
        o, wanted = self.options, set(self.columns) & (set(FIXED) | set(OTHERS))
        wanted |= {"status", "id", "prompt_index", "sample_index"}
        if o.format != "rows" or o.dedup or o.min_chars is not None or o.max_chars is not None: wanted.add("text")
        if o.finish_reason or o.format == "openai-batch": wanted.add("finish_reason")
        if o.min_tokens is not None or o.max_tokens is not None: wanted.add("num_completion_tokens")
        if o.min_mean_logprob is not None or o.max_mean_logprob is not None: wanted.add("mean_logprob")
        if o.format == "openai-batch":
            wanted |= {"num_prompt_tokens", "num_completion_tokens", "error_code", "error_message"}
            if "logprobs" in o.add: wanted |= {"token_ids", "logprobs"}
        self.score_name = None
        if o.format == "pairs" and not (o.score or o.scores):
            raise Fault("--format pairs needs --scores FILE, or --score with a column such as mean_logprob")
        if o.score and not o.scores:
            self.score_name = o.score
            if o.score not in {"mean_logprob", "cumulative_logprob", "num_completion_tokens", "num_chars"} | set(self.carried):
                raise Fault(f"--score {o.score}: there is no such column; a score of your own comes with --scores FILE")
            if o.score in self.carried: self.check_score_column(self.carried[o.score])
            wanted.add(o.score)
        uses_score = "score" in wanted or o.min_score is not None or o.max_score is not None
        if uses_score and not (o.score or o.scores): raise Fault("a score needs --scores FILE or --score NAME")
        if "num_chars" in wanted or "chosen" in wanted: wanted.add("text")
        logprob = {"mean_logprob", "cumulative_logprob"} & (wanted if o.format != "rows" else {
            self.score_name} | ({"mean_logprob"} if "mean_logprob" in wanted else set()))
        if logprob and not self.has("logprobs") and setting(self.outputs.config(), "sampling", "logprobs") in (None, "null"):
            raise Fault(f"{self.options.input}: this run has no logprobs; it needs sampling.logprobs: 0 in run.yaml")
        # What the messages are made of: the run's own column, or the prompt's text.
        if "messages" in wanted and "messages" not in self.carried: wanted.add("prompt")
        if o.format == "pairs" and "messages" in self.carried: wanted = wanted - {"prompt"} | {"messages"}
        if {"prompt", "prompt_token_ids"} & wanted:
            if not self.prompts:
                raise Fault("the prompts are not in the outputs: name the file that the run was made from with --prompts")
            if "prompt" in wanted and "prompt" not in self.prompts.group:
                raise Fault(f"{self.prompts.path}: has token ids and no text of the prompts")
        self.carried_used = {shown: name for shown, name in self.carried.items()
                             if shown in wanted or shown in self.columns or shown == o.score
                             or (o.format == "openai-batch" and name in ("url", "model"))}
        return wanted

    def check_score_column(self, name):
        file = self.outputs.files[0]
        with reading(file.filename):
            item = file["carry"][name]
            if item.ndim != 1 or item.dtype.kind not in "iufb": raise Fault(f"--score {name}: is no column of numbers ({item.dtype})")

    def columns_of_unknown_kind(self):
        """Columns that prompts.py may have made of JSON or of whole numbers with gaps: only prompts.h5 tells."""
        if self.prompts: return []
        file = self.outputs.files[0]
        def may_be(name): return h5py.check_string_dtype(file["carry"][name].dtype) or file["carry"][name].dtype.kind == "f"
        with reading(file.filename): return [shown for shown, name in self.carried_used.items()
                                             if shown in self.columns and name not in self.kinds and may_be(name)]

    # A block's rows that pass the filters: (columns of the block, indices kept).
    def blocks(self, bar):
        ordinal, o = 0, self.options
        self.looked_at = self.matched = self.unscored = 0
        for file in self.outputs.files:
            with reading(file.filename):
                reader = Reader(file, self.wanted, self.carried_used, self.kinds, self.prompts)
            ranges = reader.ranges()
            while True:
                with reading(file.filename):
                    first, last = next(ranges, (0, 0))
                    if first == last: break
                    block = reader.block(first, last)
                if "score" in self.wanted or o.score or o.scores: block["score"] = self.score_of(block)
                self.looked_at += last - first
                self.block_rows = last - first
                kept = self.filtered(block, last - first)
                yield block, kept, ordinal
                ordinal += last - first
                bar.update(last - first)

    def score_of(self, block):
        if not self.scores: return block[self.score_name]
        scores, there = self.scores.of(block["id" if self.scores.by_id else "prompt_index"], block["sample_index"])
        self.matched += int(there.sum())
        self.unscored += sum(status == "ok" and not has for status, has in zip(block["status"], there.tolist()))
        return scores

    def check_scores(self):
        """Scores of another run, or with ids written in another way, must not end in a file without rows and without a word."""
        if not self.scores: return
        path, total = self.options.scores, len(self.scores.keys)
        whole_run = self.looked_at == self.outputs.rows  # --limit may have ended it before
        if not self.matched:
            name, (ident, sample) = "id" if self.scores.by_id else "prompt_index", self.scores.first
            file = self.outputs.files[0]
            with reading(file.filename): mine = file["completions"][name][:1].tolist()
            mine = "".join(f", this run's first is {text_of(m) if isinstance(m, bytes) else m!r}" for m in mine)
            said = (f"{path}: none of its {total:,} scores is of {'this run' if whole_run else 'the rows that --limit took'}: its first has the {name} "
                    f"{ident!r} and sample_index {sample}{mine}")
            if whole_run: raise Fault(said + "; give it the ids and sample_index that `outputs.py RUN_DIR --columns id,sample_index,text` writes")
            note(said)
        elif whole_run and (self.matched < total or self.unscored):
            note(f"{path}: {total - self.matched:,} of its {total:,} scores are of no completion of this run; {self.unscored:,} ok completions "
                 "have no score")

    def filtered(self, block, rows):
        """Indices of the rows that stay; the others are counted by the first reason."""
        o, kept = self.options, range(rows)
        def keep(reason, holds):
            nonlocal kept
            stay = [i for i in kept if holds(i)]
            self.counts[reason] += len(kept) - len(stay)
            kept = stay
        def within(name, low, high, reason):
            if low is None and high is None: return
            values = block[name]
            low = -float("inf") if low is None else low
            high = float("inf") if high is None else high
            keep(reason, lambda i: values[i] is not None and low <= values[i] <= high)
        if "all" not in o.status: keep("status", lambda i: block["status"][i] in o.status)
        if o.finish_reason: keep("finish reason", lambda i: block["finish_reason"][i] in o.finish_reason)
        within("num_completion_tokens", o.min_tokens, o.max_tokens, "number of tokens")
        if o.min_chars is not None or o.max_chars is not None:
            block.setdefault("num_chars", [len(t) for t in block["text"]])
            within("num_chars", o.min_chars, o.max_chars, "number of characters")
        within("mean_logprob", o.min_mean_logprob, o.max_mean_logprob, "mean logprob")
        if o.min_score is not None or o.max_score is not None: within("score", o.min_score, o.max_score, "score")
        return list(kept)

    def find_duplicates(self):
        duplicates, bar = Duplicates(self.outputs.rows), progress("looking for duplicates", self.outputs.rows)
        for block, kept, ordinal in self.blocks(bar):
            if kept: duplicates.add([block["text"][i] for i in kept], np.array(kept, "u8") + np.uint64(ordinal))
        bar.close()
        self.counts.clear()
        return duplicates.find()

    def rows(self, bar):
        """Dictionaries of all columns of the rows that stay, in order."""
        bits = self.find_duplicates() if self.options.dedup == "all" else None
        prompt, texts, left = None, set(), self.options.limit if self.options.limit is not None else sys.maxsize
        for block, kept, ordinal in self.blocks(bar):
            if bits is not None:
                stay = [i for i in kept if not bits[(ordinal + i) >> 3] >> ((ordinal + i) & 7) & 1]
                self.counts["duplicate"] += len(kept) - len(stay)
                kept = stay
            if self.options.dedup == "prompt":
                stay = []
                for i in kept:
                    if block["prompt_index"][i] != prompt: prompt, texts = block["prompt_index"][i], set()
                    key = normalised(block["text"][i])
                    if key not in texts: stay.append(i)
                    texts.add(key)
                self.counts["duplicate"] += len(kept) - len(stay)
                kept = stay
            names = list(block)
            if len(kept) == len(block["status"]): yield from (dict(zip(names, v)) for v in self.cut(zip(*block.values()), left))
            else: yield from ({n: block[n][i] for n in names} for i in kept[:left])
            left -= len(kept)
            if left <= 0: return

    @staticmethod
    def cut(rows, left): return itertools.islice(rows, left) if left < sys.maxsize else rows

    # One function a format: rows of the run to rows of the file.

    def format_rows(self, rows):
        columns = self.columns
        for row in rows:
            if "messages" in row or "messages" not in columns: yield {c: row[c] for c in columns}
            else: yield {**{c: row[c] for c in columns if c != "messages"}, "messages": self.turns(row)}

    def turns(self, row):
        messages = row["messages"] if "messages" in self.carried else [{"role": "user", "content": row["prompt"]}]
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise Fault(f"prompt {row['prompt_index']}: its column messages is no list of messages: leave the prompt out, or use --format rows")
        return [{k: v for k, v in m.items() if v is not None} for m in messages]

    def answer(self, text):
        if self.options.split_thinking and "</think>" in text:
            thinking, _, content = text.partition("</think>")
            thinking = thinking.lstrip().removeprefix("<think>").strip("\n")
            return {"role": "assistant", "reasoning_content": thinking, "content": content.lstrip("\n")}
        return {"role": "assistant", "content": text}

    def format_messages(self, rows):
        for row in rows:
            messages = [*self.turns(row), self.answer(row["text"])]
            yield {c: messages if c == "messages" else row[c] for c in self.columns}

    def format_prompt_completion(self, rows):
        for row in rows: yield {c: row["text"] if c == "completion" else row[c] for c in self.columns}

    def format_pairs(self, rows):
        chat = "messages" in self.carried
        for _, samples in itertools.groupby(rows, lambda r: r["prompt_index"]):
            scored = [s for s in samples if s["score"] is not None]
            if len(scored) < 2:
                self.counts["prompt with fewer than two scored samples"] += 1
                continue
            best, worst = self.pair_of(scored)
            if best is None:
                self.counts[worst] += 1
                continue
            made = {"chosen": best["text"], "rejected": worst["text"], "prompt": best.get("prompt"),
                    "score_chosen": best["score"], "score_rejected": worst["score"]}
            if chat:
                made.update(prompt=self.turns(best), chosen=[self.answer(best["text"])],
                            rejected=[self.answer(worst["text"])])
            yield {c: made[c] if c in made else best[c] for c in self.columns}

    def pair_of(self, scored):
        """The first best and the first worst whose texts differ, or (None, why there is none)."""
        texts, tried, why = {}, set(), "pair with too small a margin"
        def text(sample):
            at = sample["sample_index"]
            if at not in texts: texts[at] = normalised(sample["text"])
            return texts[at]
        upwards = sorted(scored, key=lambda s: s["score"])
        for best in sorted(scored, key=lambda s: s["score"], reverse=True):  # stable: of equal ones the first
            if text(best) in tried: continue  # a better one of this text found none
            tried.add(text(best))
            for worst in upwards:
                if best["score"] == worst["score"] or best["score"] - worst["score"] < self.options.min_margin: break
                if text(best) != text(worst): return best, worst
                why = "pair of equal texts"
        return None, why

    def format_openai_batch(self, rows):
        run = self.outputs.attribute("run_id")[:24]
        created = self.outputs.attribute("created_utc").replace("Z", "+00:00")
        with reading(self.outputs.files[0].filename):
            created = int(datetime.datetime.fromisoformat(created).timestamp()) if created else 0
        model_path = setting(self.outputs.config(), "model", "path") or ""
        for index, samples in itertools.groupby(rows, lambda r: r["prompt_index"]):
            samples = list(samples)
            good, first = [s for s in samples if s["status"] == "ok"], samples[0]
            line = {"id": f"batch_req_{run}_{index}", "custom_id": str(first["id"]), "response": None, "error": None}
            if not good:
                fault = next((s for s in samples if s["error_code"]), first)
                line["error"] = {"code": fault["error_code"] or fault["status"], "message": fault["error_message"] or ""}
                yield line
                continue
            url = str(first.get("url") or "").rstrip("/")
            plain = url.endswith("/completions") and not url.endswith("/chat/completions")
            body = {"id": f"{'cmpl' if plain else 'chatcmpl'}-{run}-{index}",
                    "object": "text_completion" if plain else "chat.completion", "created": created,
                    "model": first.get("model") or os.path.basename(model_path.rstrip("/")),
                    "choices": [self.choice(s, plain) for s in good],
                    "usage": {"prompt_tokens": first["num_prompt_tokens"],
                              "completion_tokens": sum(s["num_completion_tokens"] for s in good)}}
            body["usage"]["total_tokens"] = sum(body["usage"].values())
            line["response"] = {"status_code": 200, "request_id": f"req_{run}_{index}", "body": body}
            yield line

    def choice(self, row, plain):
        reason = {"stop_string": "stop"}.get(row["finish_reason"], row["finish_reason"])
        choice = {"index": row["sample_index"]}
        choice.update({"text": row["text"]} if plain else {"message": self.answer(row["text"])})
        choice["logprobs"] = None
        if "logprobs" in row:  # as vLLM returns tokens as ids
            names = [f"token_id:{t}" for t in row["token_ids"]]
            choice["logprobs"] = {"tokens": names, "token_logprobs": row["logprobs"]} if plain else \
                {"content": [{"token": n, "logprob": p, "bytes": None, "top_logprobs": []} for n, p in zip(names, row["logprobs"])]}
        choice["finish_reason"] = reason
        return choice

    # Types of Parquet columns.
    def types(self):
        k = {"prompt_index": "uint64", "sample_index": "uint32", "status": "string", "finish_reason": "string",
             "num_prompt_tokens": "uint32", "num_completion_tokens": "uint32", "num_chars": "uint32", "seed": "uint64",
             "cumulative_logprob": "float", "mean_logprob": "double", "text": "string", "token_ids": "list int32",
             "logprobs": "list float", "top_ids": "list list int32", "top_logprobs": "list list float",
             "prompt_logprobs": "list float", "error_code": "string", "error_message": "string", "prompt": "string",
             "prompt_token_ids": "list int32", "messages": "messages", "score": "double", "completion": "string",
             "chosen": "string", "rejected": "string", "score_chosen": "double", "score_rejected": "double"}
        if self.options.format == "pairs" and "messages" in self.carried:
            k.update(prompt="messages", chosen="messages", rejected="messages")
        if self.options.format == "rows" and "messages" in self.carried: k["messages"] = "json"
        file = self.outputs.files[0]
        with reading(file.filename):
            k["id"] = "string" if file["completions/id"].dtype.hasobject else "int64"
            for shown, name in self.carried.items():
                if shown not in k: k[shown] = self.carried_type(file["carry"][name], self.kinds.get(name))
        return {c: k[c] for c in self.columns}

    @staticmethod
    def carried_type(item, kind):
        if kind == "json": return "json"
        if kind == "whole": return "int64"
        if h5py.check_string_dtype(item.dtype): return "string"
        base = h5py.check_vlen_dtype(item.dtype)
        dtype = np.dtype(base) if base else item.dtype
        lists = "list " * (item.ndim - 1 + (1 if base else 0))
        if dtype.kind == "f": return lists + ("float" if dtype.itemsize <= 4 else "double")
        if dtype.kind in "iu": return f"{lists}{'u' if dtype.kind == 'u' else ''}int{dtype.itemsize * 8}"
        if dtype.kind == "b": return lists + "bool"
        raise Fault(f"carried column {item.name} has a type ({dtype}) that Parquet has not: leave it out with --columns")

    def run(self, writer, place):
        bar = progress("writing", self.outputs.rows)
        produce = getattr(self, "format_" + self.options.format.replace("-", "_"))
        written, ready = 0, []
        for row in produce(self.rows(bar)):
            ready.append(row)
            if len(ready) < self.block_rows: continue  # what fits memory when it is read does when it is written
            with place.writing(): writer.write(ready)
            written, ready = written + len(ready), []
        if ready:
            with place.writing(): writer.write(ready)
        bar.close()
        self.check_scores()
        return written + len(ready)


def progress(what, total):
    return need("tqdm").tqdm(total=total, desc=what, unit="row", unit_scale=True, disable=None, leave=False)


class Place:
    """Where the output goes: a file under a temporary name of this process until it is whole, or the terminal."""

    def __init__(self, path, overwrite):
        self.path, self.file = path, None
        if path is None: return
        if path.is_dir(): raise Fault(f"{path}: is a folder")
        if path.exists() and not path.is_file():
            raise Fault(f"{path}: is no plain file but a pipe or a device: without -o JSON Lines go to the terminal, or into it with > {path}")
        if path.exists() and not overwrite: raise Fault(f"{path}: is there already; --overwrite replaces it")
        self.target = pathlib.Path(os.path.realpath(path))  # a link stays, and what it points to is replaced
        if not self.target.parent.is_dir(): raise Fault(f"{self.target.parent}: no such folder")
        self.temporary = self.target.with_name(f"{self.target.name}.{os.getpid()}-{os.urandom(3).hex()}.tmp")

    def kind(self):
        if self.path is None: return "jsonl"
        name = self.path.name.removesuffix(".gz")
        for kind, endings in (("jsonl", (".jsonl", ".json", ".ndjson")), ("parquet", (".parquet",))):
            if name.endswith(endings): return kind
        raise Fault(f"{self.path}: unknown ending; writes .jsonl, .jsonl.gz and .parquet")

    def writing(self): return writing(self.path and str(self.path))

    def open(self):
        self.file = open(self.temporary, "xb")
        return self.file

    def stream(self):
        """For JSON Lines. Half of a surrogate pair, which UTF-8 has not, becomes JSON's escape for it."""
        form = {"encoding": "utf-8", "errors": "backslashreplace"}
        if self.path is None:
            if sys.stdout is None: raise Fault("standard output is closed: name a file with -o")
            if isinstance(sys.stdout, io.TextIOWrapper): sys.stdout.reconfigure(encoding="utf-8")
            return sys.stdout
        packed = self.path.name.endswith(".gz")
        file = gzip.GzipFile(self.path.name[:-3], "wb", 4, self.open(), mtime=0) if packed else self.open()
        return io.TextIOWrapper(file, newline="\n", **form)

    def finish(self):
        if not self.path: return
        self.file.close()
        descriptor = os.open(self.temporary, os.O_RDONLY)
        os.fsync(descriptor)  # some file systems have no room only now
        os.close(descriptor)
        os.replace(self.temporary, self.target)

    def abandon(self):
        if not self.file: return
        self.temporary.unlink(missing_ok=True)
        if not self.file.closed: to_nowhere(self.file.fileno())


def to_nowhere(descriptor):
    """What buffers still hold is written when they go: it must not fail a second time, with a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def listed(text): return [part for part in text.split(",") if part]


def one_of(allowed):
    def check(text):
        for part in listed(text):
            if part not in allowed: raise argparse.ArgumentTypeError(f"{part!r}: must be of {', '.join(allowed)}")
        return listed(text)
    return check


def row_count(text):
    if not text.isdecimal(): raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, 0 or more")
    return int(text)


def parse_arguments(words):
    p = argparse.ArgumentParser(prog="outputs.py", description=__doc__, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("input", type=pathlib.Path, metavar="RUN_DIR|FILE.h5", help="a run directory, outputs.h5, or one shard")
    p.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE", help=".jsonl, .jsonl.gz or .parquet (default: JSONL to "
                   "the terminal)")
    p.add_argument("--format", default="rows", choices=("rows", "messages", "prompt-completion", "pairs", "openai-batch"))
    p.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
    p.add_argument("--allow-incomplete", action="store_true", help="take the finished shards of an unfinished run")
    g = p.add_argument_group("columns")
    g.add_argument("--columns", type=listed, metavar="A,B", help="exactly these, in this order")
    g.add_argument("--add", type=listed, default=[], metavar="A,B", help="these behind the usual ones")
    g.add_argument("--prompts", type=pathlib.Path, metavar="FILE.h5", help="the run's prompts (default: where config.yaml says)")
    g.add_argument("--json-column", dest="json_columns", action="append", default=[], metavar="NAME",
                   help="this carried text is JSON: decode it (known by itself where prompts.py made the prompts and they are there)")
    g.add_argument("--split-thinking", action="store_true", help="text before </think> becomes reasoning_content")
    g = p.add_argument_group("which rows")
    g.add_argument("--status", type=one_of(("ok", "failed", "skipped", "all")), help="default: ok; openai-batch: all")
    g.add_argument("--finish-reason", type=one_of([f for f in FINISH if f]), metavar="A,B",
                   help="stop, length, stop_string, repetition")
    for name, kind, what in (("tokens", int, "generated tokens"), ("chars", int, "characters of text"),
                             ("mean-logprob", float, "logprob a token"), ("score", float, "score")):
        g.add_argument(f"--min-{name}", type=kind, metavar="X", help=f"at least X {what}" if kind is int else f"{what} of at least X")
        g.add_argument(f"--max-{name}", type=kind, metavar="X", help="at most X")
    g.add_argument("--dedup", choices=("prompt", "all"), help="drop texts that came before: of the same prompt, or anywhere")
    g.add_argument("--limit", type=row_count, metavar="N", help="stop after N rows that stay (before pairs and lines are made of them)")
    g = p.add_argument_group("scores")
    g.add_argument("--scores", type=pathlib.Path, metavar="FILE", help="a score for each completion")
    g.add_argument("--score", metavar="NAME", help="its column; without --scores, a column of the run")
    g.add_argument("--min-margin", type=float, default=0, metavar="X", help="pairs: the scores differ by at least X")
    options = p.parse_args(words)
    options.status = options.status or (["all"] if options.format == "openai-batch" else ["ok"])
    return options


def run(options):
    global h5py, np
    h5py, np = need("h5py"), need("numpy")
    if options.scores and not options.scores.exists(): raise Fault(f"{options.scores}: no such file (--scores)")
    started = time.monotonic()
    place = Place(options.output, options.overwrite)
    kind = place.kind()
    exporter = Exporter(options)
    if kind == "parquet" and options.format == "openai-batch": raise Fault("OpenAI batch results are JSONL")
    try:
        with place.writing(): writer = Parquet(place.open(), exporter.types()) if kind == "parquet" else JsonLines(place.stream())
        written = exporter.run(writer, place)
        with place.writing():
            if place.path: writer.close()
            place.finish()
    except BaseException:
        place.abandon()
        raise
    for reason, count in exporter.counts.items():
        if count: note(f"{count:,} left out: {reason}")
    unknown = exporter.columns_of_unknown_kind()
    if unknown:
        note(f"the prompts.h5 of this run is not here, and only it tells which columns hold JSON (here they stay text) and which whole "
             f"numbers with gaps (here 3 is 3.0): this may touch {', '.join(unknown)}; --prompts names the file")
    seconds = time.monotonic() - started
    if options.output:
        print(f"{options.output}: {written:,} rows of {exporter.outputs.rows:,} completions, "
              f"{options.output.stat().st_size / 1e6:,.1f} MB, in {seconds:.1f} s "
              f"({exporter.outputs.rows / max(seconds, 1e-9):,.0f} completions/s)")


def leave(number, _):
    """SIGTERM and SIGHUP: out by the way of every exception, which takes the temporary file along."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def main(words=None):
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL: signal.signal(number, leave)
    if isinstance(sys.stdout, io.TextIOWrapper): sys.stdout.reconfigure(errors="backslashreplace")  # names of files are any bytes
    try:
        run(parse_arguments(words))
        if sys.stdout: sys.stdout.flush()
    except Fault as fault:
        print(f"outputs.py: {fault}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        to_nowhere(1)  # `| head` has seen enough
        sys.exit(0)
    except OSError as fault:
        print(f"outputs.py: {fault.filename or 'standard output'}: {fault.strerror or fault}", file=sys.stderr)
        if fault.filename is None: to_nowhere(1)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
