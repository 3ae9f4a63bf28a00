"""Reads the rows of one file of a run as blocks of columns that fit into memory. Called by rows.py, which filters them."""
import json
import math

import h5py
import numpy as np

from ...common import Fault
from ...run_files import cure_of
from ..layout import BLOCK_BYTES, BLOCK_ROWS, FINISH, FIXED, NUMBER_BYTES, SCORING, STATUS


def nulls_for_nan(values): return [None if v != v else v for v in values]


def reals(values):
    """float32 as the shortest text that reads back to the same value; NaN as null."""
    return [None if v != v else float("%.9g" % v) for v in values.tolist()]


class Reader:
    """One file's rows in blocks: a dictionary of lists with only the requested columns."""

    def __init__(self, file, source, columns):
        self.file, self.done = file, file["completions"]
        self.wanted, self.carried = columns.wanted, columns.carried_used
        self.kinds, self.prompts, self.plain = source.kinds, source.prompts, source.plain
        self.failed = 0  # rows of /errors used so far
        self.prompt_at = 0  # the block's first prompt, counted from the file's first
        self.last_prompt = None
        self.fits = 16  # rows of the next block at most: few until their size is known
        self.by_prompt_bytes = 0  # the block's columns with one row per prompt
        self._check()

    def _check(self):
        where = self.file.filename
        for name in ("text", "token_ids", "logprobs", "stop_reason"):
            if name in self.wanted and (name not in self.done or "values" not in self.done[name]):
                hint = "sampling.logprobs: 0 or more" if name == "logprobs" else f"output.store with {name}"
                instead = "; its answers as token ids: --format rows --columns id,sample_index,token_ids" * (name == "text" and "token_ids" in self.done)
                raise Fault(f"{where}: this run did not store {name}; the next run does if run.yaml has {hint}{instead}")
        if {"top_ids", "top_logprobs"} & self.wanted and "top_ids" not in self.done.get("logprobs", {}):
            raise Fault(f"{where}: this run did not store top logprobs; the next run does with sampling.logprobs: 1 or more in run.yaml")
        if {"prompt_logprobs", *SCORING} & self.wanted and "prompt_logprobs" not in self.file:
            raise Fault(f"{where}: this run has no prompt logprobs; the next run has them with sampling.prompt_logprobs: true in run.yaml")

    def ranges(self):
        """Row ranges that fit into memory, by the offsets, or without offsets by the size of the previous block's rows."""
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
        if raw["id"].dtype.hasobject: out["id"] = [self.plain.text(i, "id") for i in out["id"]]
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
        if "stop_reason" in self.wanted:
            ends, values = self._ragged(self.done["stop_reason"], "values", first, last)
            values = values.tobytes()
            out["stop_reason"] = [values[a:b].decode() or None for a, b in zip(ends, ends[1:])]
        self._tokens(out, first, last)
        self._errors(out, raw["status"])
        self._by_prompt(out, raw["prompt_index"])
        return out

    def _tokens(self, out, first, last):
        wanted = {"token_ids", "logprobs", "top_ids", "top_logprobs"} & self.wanted
        if not wanted: return
        ends, (low, high) = self._ragged(self.done["token_ids"], None, first, last)
        def rows(values): return [values[a:b] for a, b in zip(ends, ends[1:])]
        if "token_ids" in wanted: out["token_ids"] = rows(self.done["token_ids/values"][low:high].tolist())
        if wanted == {"token_ids"}: return
        logprobs = rows(reals(self.done["logprobs/values"][low:high]))
        logprobs = [None if row and all(v is None for v in row) else row for row in logprobs]  # none were asked for
        if "logprobs" in wanted: out["logprobs"] = logprobs
        for name, values in self._top(wanted, low, high): out[name] = [v if p is not None else None for v, p in zip(rows(values), logprobs)]

    def _top(self, wanted, low, high):
        """(column, a list for each token). A row that asked for fewer than another row has fillers with token -1 after its own."""
        if not {"top_ids", "top_logprobs"} & wanted: return
        ids = self.done["logprobs/top_ids"][low:high]
        counts = (ids >= 0).sum(axis=1).tolist()
        if "top_ids" in wanted: yield "top_ids", [row[:n] for row, n in zip(ids.tolist(), counts)]
        if "top_logprobs" not in wanted: return
        flat, k = reals(self.done["logprobs/top_values"][low:high].ravel()), ids.shape[1]
        yield "top_logprobs", [flat[at:at + n] for at, n in zip(range(0, len(flat), k), counts)]

    def _errors(self, out, status):
        """/errors has the failed rows in order."""
        where = np.flatnonzero(status == 2).tolist()
        if {"error_code", "error_message"} & self.wanted:
            for name, member in (("error_code", "code"), ("error_message", "message")):
                out[name] = [None] * len(status)
                if not where: continue
                texts = self.file["errors"][member][self.failed:self.failed + len(where)]
                for i, text in zip(where, texts): out[name][i] = text.decode()
        self.failed += len(where)

    def _by_prompt(self, out, prompt_index):
        """Columns with one row per prompt, repeated for its samples."""
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
        self._prompt_logprobs(out, low, high, at)
        stored = "prompt_token_ids" in self.wanted and "prompt_token_ids" in self.file  # as the model read them
        if stored:
            ends, values = self._ragged(self.file["prompt_token_ids"], "values", low, high)
            self.by_prompt_bytes += NUMBER_BYTES * len(values)
            tokens = values.tolist()
            rows = [tokens[a:b] for a, b in zip(ends, ends[1:])]
            out["prompt_token_ids"] = [rows[i] for i in at]
        if self.prompts and ({"prompt", "prompt_token_ids"} - ({"prompt_token_ids"} if stored else set())) & self.wanted:
            first = int(prompt_index[0])
            starts = np.flatnonzero(new) if new[0] else np.concatenate(([0], np.flatnonzero(new)))
            if int(prompt_index[-1]) - first != high - low - 1:
                where = self.file.filename
                raise Fault(f"{where}: lacks prompts between {first} and {int(prompt_index[-1])}: it is damaged; {cure_of(where)}")
            self.prompts.check_ids(first, [out["id"][i] for i in starts.tolist()])
            if "prompt" in self.wanted:
                texts = self.prompts.texts(first, high - low)
                self.by_prompt_bytes += sum(map(len, texts))
                out["prompt"] = [texts[i] for i in at]
            if "prompt_token_ids" in self.wanted and not stored:
                tokens = self.prompts.tokens(first, high - low)
                self.by_prompt_bytes += NUMBER_BYTES * sum(map(len, tokens))
                out["prompt_token_ids"] = [tokens[i] for i in at]
        self.fits = max(1, min(BLOCK_ROWS, 4 * self.fits, BLOCK_BYTES * (high - low) // max(1, self.by_prompt_bytes)))

    def _prompt_logprobs(self, out, low, high, at):
        """The log-probabilities, and two values derived from them: the mean over a prompt's tokens except the first, and e to minus that
        mean."""
        if not {"prompt_logprobs", *SCORING} & self.wanted: return
        ends, values = self._ragged(self.file["prompt_logprobs"], "values", low, high)
        self.by_prompt_bytes += NUMBER_BYTES * len(values)
        if "prompt_logprobs" in self.wanted:
            numbers = reals(values)
            rows = [numbers[a:b] for a, b in zip(ends, ends[1:])]
            out["prompt_logprobs"] = [rows[i] for i in at]
        if set(SCORING) & self.wanted:
            known = [values[a:b][~np.isnan(values[a:b])] for a, b in zip(ends, ends[1:])]
            means = [float(k.mean(dtype="f8")) if len(k) else None for k in known]
            scores = dict(zip(SCORING, (means, [None if m is None else math.exp(min(-m, 700.0)) for m in means])))
            for name in set(SCORING) & self.wanted: out[name] = [scores[name][i] for i in at]

    def carried_values(self, dataset, low, high):
        item = self.file["carry"][dataset]
        values, kind = item[low:high], self.kinds.get(dataset)
        if h5py.check_string_dtype(item.dtype) and item.ndim == 1:
            texts = [self.plain.text(v, dataset) for v in values.tolist()]
            self.by_prompt_bytes += sum(map(len, texts))
            return [decoded(t, dataset) for t in texts] if kind == "json" else texts
        simple = item.dtype.kind in "iufb"
        values = values.tolist() if simple and item.dtype.itemsize <= 8 else self.plain.of(values, dataset)
        self.by_prompt_bytes += size_of(values)
        if simple and item.dtype.kind == "f" and item.ndim == 1:
            values = nulls_for_nan(values)
            if kind == "whole": values = [None if v is None else int(v) for v in values]
        return values


def size_of(values):
    """The approximate size of nested lists in bytes."""
    if isinstance(values, str): return len(values)
    if isinstance(values, dict): values = list(values.values())
    if not isinstance(values, list): return NUMBER_BYTES
    if not values or isinstance(values[0], (int, float)): return NUMBER_BYTES * len(values)
    return sum(map(size_of, values))


def decoded(text, name):
    if text == "": return None
    try:
        return json.loads(text)
    except ValueError:
        raise Fault(f"carried column {name}: holds text that is not JSON: {text[:80]!r}") from None

