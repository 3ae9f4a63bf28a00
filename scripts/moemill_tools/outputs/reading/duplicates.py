"""Finds repeated rows over a whole run, in memory that does not grow with it."""
import unicodedata

import numpy as np

from ...digests import Digests
from ...run_files import writing


def normalised(text): return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Duplicates:
    """Rows whose text occurred before. The result has one bit per row."""
    WHERE = "the temporary file of --dedup, 24 bytes per row (TMPDIR names its folder)"

    def __init__(self, rows):
        with writing(self.WHERE): self.digests = Digests()
        self.rows = rows

    def add(self, texts, ordinals):
        """Adds the texts that identify rows, and the rows' numbers in the run."""
        with writing(self.WHERE): self.digests.add(texts, ordinals)

    def find(self):
        bits = np.zeros(self.rows // 8 + 1, "u1")
        for numbers, again in self.digests.parts():
            later = numbers[again]
            np.bitwise_or.at(bits, later // np.uint64(8), np.uint8(1) << (later % np.uint64(8)).astype("u1"))
        return bits
