"""Ids of rows, which must be unique."""
import re
import uuid

import numpy as np

from ..digests import Digests

WHOLE_ID = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0)?\Z")


def id_value(value, from_text):
    """An id's intended value: 1.0, as pandas writes whole numbers beside a null, is 1. None if there is no id."""
    if value == "" or value != value: return None
    if from_text and isinstance(value, str) and (whole := WHOLE_ID.match(value)): return int(whole[1])
    if isinstance(value, float) and value.is_integer(): return int(value)
    return str(value) if isinstance(value, uuid.UUID) else value


class Duplicates:
    """Finds repeated ids. The temporary file lies beside the output."""

    def __init__(self, folder): self.digests = Digests(folder)

    def add(self, ids, ordinals): self.digests.add([str(i) for i in ids], ordinals)

    def find(self):
        """{number of a row: number of the first row with the same id}."""
        later = {}
        for numbers, again in self.digests.parts():
            for i in np.flatnonzero(again):
                if not again[i - 1]: first = int(numbers[i - 1])
                later[int(numbers[i])] = first
        return later
