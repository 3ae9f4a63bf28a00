"""The checksum `input_sha256` of the columns of a prompts.h5, as lib/dataset/README.md defines it. It depends only on the values, not on
how they are stored."""
import hashlib
import struct

import h5py
import numpy as np

BLOCK_ROWS = 65536


def type_name(dtype):
    """The type as the definition spells it."""
    if text := h5py.check_string_dtype(dtype): return "text" if text.length is None else f"|S{text.length}"
    if (element := h5py.check_vlen_dtype(dtype)) is not None: return f"list({type_name(np.dtype(element))})"
    if dtype.subdtype: return f"({','.join(map(str, dtype.shape))}){type_name(dtype.base)}"
    if dtype.names: return "{" + ",".join(f"{name}:{type_name(dtype[name])}" for name in dtype.names) + "}"
    if dtype.kind == "b": return "enum |i1"
    if dtype.kind == "c":
        part = f"{dtype.str[0]}f{dtype.itemsize // 2}"
        return "{r:" + part + ",i:" + part + "}"
    if h5py.check_enum_dtype(dtype): return "enum " + dtype.str
    return dtype.str


def is_plain(dtype):
    """Whether the bytes in memory are exactly the values."""
    if dtype.subdtype: return is_plain(dtype.base)
    if dtype.names: return all(is_plain(dtype[n]) for n in dtype.names) and sum(dtype[n].itemsize for n in dtype.names) == dtype.itemsize
    return dtype.kind not in "OS"


def flat(values): return values.reshape(-1) if isinstance(values, np.ndarray) else values


def counted(value): return struct.pack("<Q", len(value)) + value


def pieces(dtype, values):
    """The bytes of some values, in order."""
    if dtype.subdtype: return pieces(dtype.base, np.asarray(values).reshape(-1))
    if is_plain(dtype): return [np.ascontiguousarray(values, dtype).tobytes()]
    if h5py.check_string_dtype(dtype):
        return [counted(v if isinstance(v, bytes) else str(v).encode()) for v in flat(values)]
    if (element := h5py.check_vlen_dtype(dtype)) is not None:
        element = np.dtype(element)
        return [part for v in flat(values) for part in [struct.pack("<Q", len(v)), *pieces(element, v)]]
    return [part for row in flat(values) for name in dtype.names for part in pieces(dtype[name], [row[name]])]


def sha256_of_rows(dataset, rows):
    """The hash of the first rows of a dataset."""
    shape = " ".join(map(str, (rows, *dataset.shape[1:])))
    sums = hashlib.sha256(f"{type_name(dataset.dtype)} {shape}\n".encode())
    for first in range(0, rows, BLOCK_ROWS):
        sums.update(b"".join(pieces(dataset.dtype, dataset[first:min(first + BLOCK_ROWS, rows)])))
    return sums.hexdigest()


def input_columns(group, names, rows):
    """The text whose SHA-256 is input_sha256. `names` are datasets; a packed column has two, name/offsets and name/values."""
    lines = []
    for name in sorted(names, key=str.encode):
        count = rows
        if name.endswith("/offsets"): count = rows + 1
        if name.endswith("/values"): count = int(group[name[:-len("values")] + "offsets"][rows])
        lines.append(f"{sha256_of_rows(group[name], count)}  {name}\n")
    return "".join(lines)


def changed_columns(group, columns, limit):
    """The columns that differ from a run's `input_columns`, or are missing."""
    names = [line.split("  ", 1)[1] for line in columns.splitlines()]
    lost = [n for n in names if n not in group]
    if lost: return lost
    prompts = "prompt_token_ids" if "prompt_token_ids" in group else "prompt"
    rows = len(group[prompts]) if isinstance(group[prompts], h5py.Dataset) else len(group[prompts + "/offsets"]) - 1
    now = input_columns(group, names, rows if limit is None else min(rows, limit))
    return [n for n, a, b in zip(names, columns.splitlines(), now.splitlines()) if a != b]
