"""The rows of a run that are kept: filtered, without duplicates, with their scores; and the reasons why others are dropped."""
import hashlib
import json

import numpy as np

from ...common import Fault, note
from ...run_files import reading, text_of
from .blocks import Reader
from .duplicates import normalised
from ..layout import RUN

SIDE = " side"  # key of a row: whether it is for validation


class Rows:
    def __init__(self, options, source, columns, scores, begin, counts):
        """`begin` is the number of rows in the runs before this one."""
        self.options, self.source, self.columns, self.scores = options, source, columns, scores
        self.outputs, self.begin, self.counts = source.outputs, begin, counts
        self.block_rows = 1  # the block of the last row
        self.given = 0  # rows that are kept

    # The rows of a block that pass the filters: (columns of the block, indices kept).
    def blocks(self, bar):
        ordinal, o = self.begin, self.options
        self.looked_at = self.matched = self.unscored = 0
        for file in self.outputs.files:
            with reading(file.filename):
                reader = Reader(file, self.source, self.columns)
            ranges = reader.ranges()
            while True:
                with reading(file.filename):
                    first, last = next(ranges, (0, 0))
                    if first == last: break
                    block = reader.block(first, last)
                for name in self.columns.absent: block[name] = [None] * (last - first)
                if RUN in self.columns.shown and RUN in self.columns.computed: block[RUN] = [str(self.source.path)] * (last - first)
                if "score" in self.columns.wanted or o.score or o.scores: block["score"] = self.score_of(block)
                self.looked_at += last - first
                self.block_rows = last - first
                kept = self.filtered(block, last - first)
                yield block, kept, ordinal
                ordinal += last - first
                bar.update(last - first)

    def score_of(self, block):
        if not self.scores: return block[self.columns.score_name]
        scores, there = self.scores.of(block["id" if self.scores.by_id else "prompt_index"], block["sample_index"])
        self.matched += int(there.sum())
        self.unscored += sum(status == "ok" and not has for status, has in zip(block["status"], there.tolist()))
        return scores

    def check_scores(self):
        """Scores of a different run, or with ids in a different form, must not silently produce a file without rows."""
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
        """Indices of the rows that are kept. The others are counted by the first reason."""
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
        if "all" not in o.status: keep(f"its status is not {' or '.join(o.status)} (--status)", lambda i: block["status"][i] in o.status)
        if o.finish_reason: keep("finish reason (--finish-reason)", lambda i: block["finish_reason"][i] in o.finish_reason)
        within("num_completion_tokens", o.min_tokens, o.max_tokens, "number of tokens (--min-tokens, --max-tokens)")
        if o.min_chars is not None or o.max_chars is not None:
            block.setdefault("num_chars", [len(t) for t in block["text"]])
            within("num_chars", o.min_chars, o.max_chars, "number of characters (--min-chars, --max-chars)")
        within("mean_logprob", o.min_mean_logprob, o.max_mean_logprob, "mean logprob, or it has none (--min-mean-logprob, --max-mean-logprob)")
        if o.min_score is not None or o.max_score is not None: within("score", o.min_score, o.max_score, "score, or it has none (--min-score, --max-score)")
        return list(kept)

    def key(self, block, row):
        """The text that two duplicates share: the answer, and the exact prompt if that counts too."""
        answer = normalised(block["text"][row])
        if self.options.dedup_answers: return answer
        return json.dumps([block[c][row] for c in self.columns.prompt_key]) + answer

    def prompt_of(self, block, row):
        """The value that rows of one prompt share: the prompt, or its id if the prompts are not available."""
        key = ["id"] if self.columns.prompt_key == ["prompt_index"] else self.columns.prompt_key
        return json.dumps([block[c][row] for c in key])

    def add_to(self, duplicates, bar):
        for block, kept, ordinal in self.blocks(bar):
            if kept: duplicates.add([self.key(block, i) for i in kept], np.array(kept, "u8") + np.uint64(ordinal))

    def all(self, bar, bits, left):
        """Dictionaries with all columns of the kept rows, at most `left` of them, in order. `bits` marks rows that occurred before."""
        again = "its answer occurred before, in any prompt" if self.options.dedup_answers else "its prompt and answer occurred before"
        prompt, texts = None, set()
        for block, kept, ordinal in self.blocks(bar):
            if bits is not None:
                stay = [i for i in kept if not bits[(ordinal + i) >> 3] >> ((ordinal + i) & 7) & 1]
                self.counts[again] += len(kept) - len(stay)
                kept = stay
            if self.options.dedup == "prompt":
                stay = []
                for i in kept:
                    if block["prompt_index"][i] != prompt: prompt, texts = block["prompt_index"][i], set()
                    key = normalised(block["text"][i])
                    if key not in texts: stay.append(i)
                    texts.add(key)
                self.counts[again] += len(kept) - len(stay)
                kept = stay
            kept = kept[:left - self.given]
            if self.options.validation: block[SIDE] = self.sides(block, kept)
            names = list(block)
            if len(kept) == len(block["status"]): yield from (dict(zip(names, v)) for v in zip(*block.values()))
            else: yield from ({n: block[n][i] for n in names} for i in kept)
            self.given += len(kept)
            if self.given >= left: return

    def sides(self, block, kept):
        """Decides which rows are for validation: a share of the prompts, by a hash of each, so that additional rows never move a row."""
        sides, share = [False] * len(block["status"]), self.options.validation_share * 2**64
        for i in kept:
            digest = hashlib.blake2b(self.prompt_of(block, i).encode("utf-8", "surrogatepass"), digest_size=8).digest()
            sides[i] = int.from_bytes(digest, "little") < share
        return sides
