"""Reads from prompts.h5 what outputs.h5 does not repeat: the prompts themselves, and which columns hold JSON."""
import h5py
import numpy as np

from ...common import Fault
from ...run_files import open_h5, reading, text_of


class Prompts:
    """Reads from prompts.h5 what outputs.h5 does not repeat: the prompts themselves, and which columns hold JSON."""

    def __init__(self, path, group, plain):
        self.path, self.file, self.plain = path, open_h5(path), plain
        self.group = self.file.get(group)
        if not isinstance(self.group, h5py.Group):
            raise Fault(f"{path}: has no group {group}, which the run read its prompts from: name the right file with --prompts")

    def kinds(self):
        with reading(self.path):
            found = {name: self.group[name].attrs.get("moemill_kind") for name in self.group}
            return {name: text_of(k) for name, k in found.items() if k is not None}

    def texts(self, first, count):
        with reading(self.path): return ragged_or_rows(self.group, "prompt", first, count, bytes, self.plain)

    def tokens(self, first, count):
        with reading(self.path): return ragged_or_rows(self.group, "prompt_token_ids", first, count, list, self.plain)

    def lengths(self, name, prompt_index):
        """The number of bytes of these rows in a packed column; 0 for other columns, whose size is known only after reading."""
        if not isinstance(self.group.get(name), h5py.Group): return 0
        low, high = int(prompt_index[0]), int(prompt_index[-1])
        with reading(self.path):
            ends = self.group[name]["offsets"][low:high + 2].astype("i8")
            return np.diff(ends)[prompt_index.astype("i8") - low]

    def check_ids(self, first, ids):
        """Checks that this file has the run's ids; a different file may not."""
        if "id" not in self.group: return
        with reading(self.path):
            theirs = ragged_or_rows(self.group, "id", first, len(ids), bytes, self.plain) \
                if isinstance(self.group["id"], h5py.Group) or h5py.check_string_dtype(self.group["id"].dtype) \
                else self.group["id"][first:first + len(ids)].tolist()
        for offset, (mine, its) in enumerate(zip(ids, theirs)):
            if mine != its:
                raise Fault(f"{self.path}: is not the file that this run was made from: prompt {first + offset} has the "
                            f"id {its!r}, in the outputs {mine!r}: name the right one with --prompts")
        if len(theirs) < len(ids): raise Fault(f"{self.path}: has fewer prompts than the outputs: name the right file with --prompts")


def ragged_or_rows(group, name, first, count, kind, plain):
    if name not in group: raise Fault(f"{group.file.filename}: has no {name}; it has: {', '.join(group)}")
    item = group[name]
    if isinstance(item, h5py.Group):
        ends = item["offsets"][first:first + count + 1].astype("i8")
        values = item["values"][ends[0]:ends[-1]]
        ends = (ends - ends[0]).tolist()
        if kind is bytes:
            values = values.tobytes()
            return [plain.text(values[a:b], name) for a, b in zip(ends, ends[1:])]
        values = values.tolist()
        return [values[a:b] for a, b in zip(ends, ends[1:])]
    rows = item[first:first + count]
    if kind is list: return [row.tolist() for row in rows]
    return [plain.text(row, name) for row in rows]

