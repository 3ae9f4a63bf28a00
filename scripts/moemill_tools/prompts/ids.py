"""Ids of rows, which must be unique."""
import hashlib
import re
import tempfile
import uuid

import numpy as np


WHOLE_ID = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0)?\Z")


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
