"""Statistics of the finished rows, read in blocks."""
import collections

import numpy as np

from ..common import one_line, open_unlocked
from ..run_files import DAMAGE, refusal
from .answers import SAMPLES, Answers

BLOCK_ROWS = 1 << 16
FINISH = ("none", "stop", "length", "stop string", "repetition", "error")


class Rows:
    """Statistics of the finished rows: lengths by finish reason, and errors. Read in blocks."""

    def __init__(self, folder, damage):
        self.files = [folder / "outputs.h5"] if (folder / "outputs.h5").exists() else sorted(folder.glob("shards/shard-*.h5"))
        self.read, self.reasons = 0, collections.Counter()
        self.prompt_lengths, self.lengths = collections.Counter(), collections.defaultdict(collections.Counter)
        self.errors, self.first_ids = collections.Counter(), collections.defaultdict(list)
        self.attributes = {}
        self.answers = Answers(FINISH)
        for i, path in enumerate(self.files):
            try:
                with open_unlocked(path) as file:
                    self._take(file)
                    self.answers.take(file, SAMPLES * (i + 1) // len(self.files) - SAMPLES * i // len(self.files))
            except DAMAGE as fault:
                damage.add(path, refusal(fault) or one_line(fault))

    def _take(self, file):
        done = file["completions"]
        self.attributes = self.attributes or {k: v.decode() if isinstance(v, bytes) else v for k, v in file.attrs.items()}
        rows = len(done["status"])
        for first in range(0, rows, BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            reason, tokens = done["finish_reason"][part], done["num_completion_tokens"][part]
            first_sample = done["sample_index"][part] == 0
            self._count(self.prompt_lengths, done["num_prompt_tokens"][part][first_sample])
            for code in np.unique(reason).tolist():
                name, mine = FINISH[code] if code < len(FINISH) else str(code), reason == code
                self.reasons[name] += int(mine.sum())
                self._count(self.lengths[name], tokens[mine])
        self.read += rows
        codes = file["errors/code"][:]
        for i, code in enumerate(codes):
            code = code.decode()
            self.errors[code] += 1
            if len(self.first_ids[code]) < 5:
                self.first_ids[code].append((int(file["errors/prompt_index"][i]), file["errors/message"][i].decode()))

    @staticmethod
    def _count(counter, values):
        for value, count in zip(*np.unique(values, return_counts=True)): counter[int(value)] += int(count)
