"""Scores of completions from a separate file (JSON Lines, CSV, Parquet, HDF5), looked up by (id, sample)."""
import array
import codecs
import csv
import gzip
import hashlib
import json
import pathlib
import sys
import zlib

import h5py
import numpy as np

from ...common import Fault, need, one_line, to_utf8
from ...run_files import open_h5, reading
from ..layout import BLOCK_ROWS


def whole(value):
    """An integer in any spelling (pandas writes 3 as 3.0 if a column has gaps); None if it is not an integer."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
        try:
            value = float(value)
        except ValueError:
            return None
    if type(value) is int: return value
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else None  # floats are exact up to here


class Scores:
    """Maps (id, sample) to a number: 16 bytes per score in memory, 40 while they are sorted."""

    def __init__(self, path, column, outputs):
        self.path, self.column, self.by_id = path, column, None
        numbers, several = outputs.has_number_ids(), outputs.has_several_samples()
        keys, values = array.array("Q"), array.array("d")
        for place, row in self._rows():
            def refuse(what): raise Fault(f"{path}: {place} {what}")
            if not isinstance(row, dict): refuse("is not a JSON object: each line must be one, with id, sample_index and the score (pandas: lines=True)")
            if column not in row: refuse(f"has no column {column}; it has: {', '.join(map(str, row))} (--score NAME)")
            if self.by_id is None:
                self.by_id = "id" in row
                if not self.by_id and "prompt_index" not in row: refuse("has neither id nor prompt_index")
            name = "id" if self.by_id else "prompt_index"
            given, sample = row.get(name), row.get("sample_index")
            ident = given if isinstance(given, str) and self.by_id and not numbers else whole(given)
            if ident is None: refuse(f"has the {name} {given!r}: it must be {'text or ' if self.by_id and not numbers else ''}a whole number")
            if sample in (None, ""):
                if several: refuse("has no sample_index, and this run has several samples of a prompt: add that column, 0 to n-1 as `outputs.py "
                                   "RUN_DIR --columns id,sample_index,text` gives it")
                sample = 0
            if whole(sample) is None: refuse(f"has the sample_index {sample!r}: it must be a whole number")
            try:
                value = float("nan") if row[column] in (None, "") else float(row[column])
            except (TypeError, ValueError, OverflowError):
                value = float("inf")
            if abs(value) == float("inf"): refuse(f"has the {column} {row[column]!r}: it must be a finite number, or empty")
            if not keys: self.first = ident, whole(sample)
            keys.append(self.key(ident, whole(sample)))
            values.append(value)
        if not keys: raise Fault(f"{path}: has no scores: it needs one row per completion with id, sample_index and {column}")
        order = np.argsort(np.frombuffer(keys, "u8"))
        self.keys, self.values = np.frombuffer(keys, "u8")[order], np.frombuffer(values, "f8")[order]
        twice = np.count_nonzero(self.keys[1:] == self.keys[:-1])
        if twice: raise Fault(f"{path}: {twice:,} completions have more than one score: keep one row for each id and sample_index")

    @staticmethod
    def key(ident, sample):
        return int.from_bytes(hashlib.blake2b(f"{ident}\0{sample}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")

    def _rows(self):
        """(place, row) of each score."""
        kind = pathlib.PurePath(self.path.name.removesuffix(".gz")).suffix
        if kind in (".jsonl", ".json", ".ndjson", ".csv"): yield from self._lines(kind)
        elif kind == ".parquet": yield from self._parquet()
        elif kind in (".h5", ".hdf5"): yield from self._h5()
        else: raise Fault(f"{self.path}: unknown ending; scores are .jsonl, .csv (.gz too), .parquet or .h5")

    def _lines(self, kind):
        path, at = self.path, 0
        def counted(file):
            nonlocal at
            for line in file:
                at += 1
                yield line
        csv.field_size_limit(sys.maxsize)  # the default limit is 128 KB, but a text may stand beside its score
        try:
            with (gzip.open if path.name.endswith(".gz") else open)(path, "rt", encoding="utf-8-sig", newline="") as f:
                for row in csv.DictReader(counted(f)) if kind == ".csv" else (json.loads(line) for line in counted(f) if line.strip()):
                    if kind == ".csv" and (None in row or None in row.values()): raise ValueError("its number of cells differs from the first line's")
                    yield f"line {at}", row
        except UnicodeDecodeError as fault:
            at += 1 + fault.object[:fault.start].count(b"\n")
            raise Fault(f"{path}: line {at} is not UTF-8 ({fault.reason}): {to_utf8(path, 'UTF-16' if fault.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else 'LATIN1')}") from None
        except (ValueError, RecursionError, csv.Error) as fault:
            raise Fault(f"{path}: line {at} is not {'CSV' if kind == '.csv' else 'JSON'}: {fault}") from None
        except (OSError, EOFError, zlib.error) as fault:
            raise Fault(f"{path}: cannot be read ({one_line(fault)})") from None

    def used(self, names):
        """The columns of a file that must be read; all if the score is not among them, for the message."""
        return [n for n in names if n in ("id", "prompt_index", "sample_index", self.column)] if self.column in names else names

    def _parquet(self):
        need("pyarrow")
        import pyarrow as pa
        import pyarrow.parquet as pq
        at = 0
        try:
            with pq.ParquetFile(self.path) as f:
                for batch in f.iter_batches(batch_size=BLOCK_ROWS, columns=self.used(f.schema_arrow.names)):
                    for at, row in enumerate(batch.to_pylist(), at + 1): yield f"row {at}", row
        except (OSError, ValueError, LookupError, OverflowError, MemoryError, pa.ArrowException) as fault:
            raise Fault(f"{self.path}: cannot be read as Parquet after row {at} ({one_line(fault)})") from None

    def _h5(self):
        with open_h5(self.path) as f, reading(self.path):
            columns = self.used([n for n in f if isinstance(f[n], h5py.Dataset) and f[n].ndim == 1])
            lengths = {len(f[n]) for n in columns}
            if len(lengths) > 1: raise Fault(f"{self.path}: its columns have different lengths ({', '.join(f'{n} {len(f[n])}' for n in columns)})")
            for first in range(0, max(lengths, default=0), BLOCK_ROWS):
                parts = [f[n][first:first + BLOCK_ROWS].tolist() for n in columns]
                for at, row in enumerate(zip(*parts), first + 1):
                    yield f"row {at}", dict(zip(columns, [v.decode() if isinstance(v, bytes) else v for v in row]))

    def of(self, idents, samples):
        """The scores of these completions, None if there is none; and which of them the file has."""
        wanted = np.array([self.key(i, s) for i, s in zip(idents, samples)], "u8")
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        there = self.keys[at] == wanted
        return [v if same and v == v else None for v, same in zip(self.values[at].tolist(), there.tolist())], there

