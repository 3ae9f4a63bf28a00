"""Rows that came before, found over a whole run in memory that does not grow with it."""
import hashlib
import tempfile
import unicodedata

import numpy as np

from ..run_files import writing


def normalised(text): return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Duplicates:
    """Rows whose text came before, found in memory that does not grow with their number: hashes go to an unnamed file,
    which is then looked through in parts. The result is a bit a row."""
    PART = 1 << 15
    WHERE = "the temporary file of --dedup, 24 bytes a row (TMPDIR names its folder)"

    def __init__(self, rows):
        with writing(self.WHERE): self.file = tempfile.TemporaryFile()
        self.count, self.rows = 0, rows

    def add(self, texts, ordinals):
        """Of rows what tells one from another, and their numbers in the run."""
        digests = b"".join(hashlib.blake2b(t.encode("utf-8", "surrogatepass"), digest_size=16).digest() for t in texts)
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

