"""Statistics of a run's answers: examples, the number of distinct answers, results of scored prompts. Read in blocks, from the first
rows only if there are very many."""
import collections
import hashlib
import json

import numpy as np

from ..common import text_of_content

MOST_ROWS = 400_000  # rows whose answers are compared: 8 bytes each, some seconds
SAMPLES, SAMPLE_CHARS = 6, 600
BLOCK = 4096

Sample = collections.namedtuple("Sample", "id asked reason tokens text")


def texts_of(group, first, last):
    ends = group["offsets"][first:last + 1].astype("i8")
    values = group["values"][ends[0]:ends[-1]].tobytes()
    ends = (ends - ends[0]).tolist()
    return [values[a:b] for a, b in zip(ends, ends[1:])]


class Answers:
    def __init__(self, finish):
        self.finish = finish
        self.samples, self.texts = [], set()
        self.has_text = True  # whether the run stored any text
        self.looked_at = self.ok = self.again = 0  # rows; good rows; rows whose prompt had the same answer before
        self.means = []  # scored prompts: mean log-probability per token
        self.prompt, self.of_prompt = None, set()

    def take(self, file, wanted):
        """Reads one file and takes `wanted` samples from it, evenly spread."""
        done = file["completions"]
        self.has_text = "values" in done.get("text", {})
        if self.has_text:
            self.take_samples(file, wanted)
            rows = len(done["status"])
            for first in range(0, rows, BLOCK):
                if self.looked_at >= MOST_ROWS: break
                self.compare(done, first, min(rows, first + BLOCK))
        if "prompt_logprobs" in file: self.take_scores(file["prompt_logprobs"])

    def compare(self, done, first, last):
        good, prompts = done["status"][first:last] == 1, done["prompt_index"][first:last]
        self.looked_at += last - first
        for ok, prompt, text in zip(good.tolist(), prompts.tolist(), texts_of(done["text"], first, last)):
            if not ok: continue
            key = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
            if prompt != self.prompt: self.prompt, self.of_prompt = prompt, set()
            self.again += key in self.of_prompt
            self.of_prompt.add(key)
            self.texts.add(key)
            self.ok += 1

    def take_samples(self, file, wanted):
        done = file["completions"]
        good = np.flatnonzero(done["status"][:BLOCK * 16] == 1)
        good = good[np.linspace(0, len(good) - 1, min(wanted, len(good))).astype(int)] if len(good) else good
        for row in good.tolist():
            text = texts_of(done["text"], row, row + 1)[0]
            ident = done["id"][row]
            code = int(done["finish_reason"][row])
            self.samples.append(Sample(ident.decode("utf-8", "replace") if isinstance(ident, bytes) else str(ident), self.asked(file, row),
                                       self.finish[code] if code < len(self.finish) else str(code), int(done["num_completion_tokens"][row]),
                                       cut(text.decode("utf-8", "replace"))))

    @staticmethod
    def asked(file, row):
        """The last message of the prompt, if the run carries the messages."""
        if "messages" not in file.get("carry", {}): return ""
        prompts = file["completions/prompt_index"]
        try:
            messages = json.loads(file["carry/messages"][len(np.unique(prompts[:row + 1])) - 1])
            return cut(text_of_content(messages[-1].get("content")) or "", 200)
        except (ValueError, LookupError, AttributeError, TypeError):
            return ""

    def take_scores(self, group):
        count = len(group["offsets"]) - 1
        for first in range(0, count, BLOCK):
            last = min(count, first + BLOCK)
            ends = group["offsets"][first:last + 1].astype("i8")
            values, ends = group["values"][ends[0]:ends[-1]].astype("f8"), ends - ends[0]
            known = ~np.isnan(values)
            counts, sums = (np.concatenate(([0], np.cumsum(v))) for v in (known, np.where(known, values, 0)))
            counts, sums = counts[ends[1:]] - counts[ends[:-1]], sums[ends[1:]] - sums[ends[:-1]]
            self.means += (sums[counts > 0] / counts[counts > 0]).tolist()


def cut(text, most=SAMPLE_CHARS): return text if len(text) <= most else text[:most] + " …"
