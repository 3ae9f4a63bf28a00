"""Finds repeated texts in memory that does not grow with their number."""
import hashlib
import tempfile

import numpy as np

from .common import to_nowhere


class Digests:
    """Writes hashes of texts, each with a number, to an unnamed temporary file, which is then read in parts."""
    PART = 1 << 15  # texts per part

    def __init__(self, folder=None):
        self.file, self.count = tempfile.TemporaryFile(dir=folder), 0

    def add(self, texts, numbers):
        digests = b"".join(hashlib.blake2b(t.encode("utf-8", "surrogatepass"), digest_size=16).digest() for t in texts)
        records = np.empty((len(texts), 3), "u8")
        records[:, :2] = np.frombuffer(digests, "u8").reshape(-1, 2)
        records[:, 2] = numbers
        try:
            self.file.write(records.tobytes())
            self.file.flush()
        except BaseException:
            to_nowhere(self.file.fileno())
            raise
        self.count += len(texts)

    def parts(self):
        """Yields (numbers, whether each text equals the one before it), sorted by text and number. Equal texts are in the same part.
        Must be the last call."""
        parts = min(64, 1 + self.count // self.PART)
        for part in range(parts):
            self.file.seek(0)
            kept = [np.empty((0, 3), "u8")]
            while block := self.file.read(self.PART * 24 // 4):
                records = np.frombuffer(block, "u8").reshape(-1, 3)
                kept.append(records[records[:, 0] % np.uint64(parts) == part])
            records = np.concatenate(kept)
            records = records[np.lexsort((records[:, 2], records[:, 1], records[:, 0]))]
            again = np.zeros(len(records), "?")
            again[1:] = (records[1:, :2] == records[:-1, :2]).all(axis=1)
            yield records[:, 2], again
        self.file.close()
