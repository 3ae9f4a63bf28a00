"""Reader of HDF5: tables of pandas in both of its formats, and columns as written by h5py or prompts.py. It needs only h5py."""
import io
import json
import pickle

import h5py
import numpy as np

from ...common import Fault, one_line, open_unlocked
from .read import BLOCK_BYTES, BLOCK_ROWS, Block

DAMAGE = (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError, MemoryError, EOFError,
          pickle.UnpicklingError)
FRAMES = ("frame", "frame_table")
TIMES = ("datetime64", "timedelta64")


class Plain(pickle.Unpickler):
    """pandas stores names and texts as pickles, which could run any code. Here they may contain only what lists and arrays are made of."""
    ALLOWED = {"_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer", "encode"}

    def find_class(self, module, name):
        if name in self.ALLOWED and module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric",
                                               "numpy._core.numeric", "_codecs"):
            try:
                return super().find_class(module, name)
            except ModuleNotFoundError:  # NumPy 2 renamed core to _core
                return super().find_class(module.replace("numpy._core", "numpy.core"), name)
        raise pickle.UnpicklingError(f"it holds an object of {module}.{name}")


def unpickled(data): return Plain(io.BytesIO(bytes(data))).load()


def text_of(value): return value.decode() if isinstance(value, bytes) else str(value)


def read_hdf5(source, options):
    try:
        with open_unlocked(source.path) as file:
            for block in blocks_of(file, source, options.key): yield block
    except DAMAGE as fault:
        raise Fault(f"{source.name}: cannot be read as HDF5 with a table of pandas or with columns ({one_line(fault)})") from None


def blocks_of(file, source, key):
    if key is not None and key not in file: raise Fault(f"{source.name}: has no {key} (--key)")
    group = file if key is None else file[key]
    frames = {}
    def look(name, item):
        if isinstance(item, h5py.Group) and "pandas_type" in item.attrs: frames[name] = item
    if isinstance(group, h5py.Group):
        look(group.name, group)
        if not frames: group.visititems(look)
    if len(frames) > 1: raise Fault(f"{source.name}: holds several tables; name one with --key: {', '.join(sorted(frames))}")
    if frames:
        (name, frame), = frames.items()
        kind = text_of(frame.attrs["pandas_type"])
        if kind not in FRAMES: raise Fault(f"{source.name}: {name} is a {kind} of pandas; save a DataFrame")
        count, columns = (of_table if kind == "frame_table" else of_fixed)(frame, source)
    else: count, columns = of_columns(group, source)
    row_bytes = max(1, source.path.stat().st_size // max(1, count))
    step = max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes))
    for first in range(0, count, step):
        end = min(first + step, count)
        parts = {name: take(first, end) for name, take in columns.items()}
        yield Block([dict(zip(parts, values)) for values in zip(*parts.values())], "row", range(first + 1, end + 1), end / count)


def moments(values, kind):
    """datetime64 and timedelta64, which are stored as whole numbers. Older pandas does not store a unit and means nanoseconds."""
    kind = kind if "[" in kind else kind + "[ns]"
    return np.asarray(values, "i8").view(kind).astype(kind.split("[")[0] + "[us]").tolist()  # datetimes or timedeltas; None for NaT


def values_of(values, kind, null, what):
    """A column of numbers or fixed texts as Python values; `null` is the text that stands for a missing value."""
    if kind.startswith(TIMES): return moments(values, kind)
    if kind == "bool": return [bool(v) for v in values.tolist()]
    if values.dtype.kind == "S":
        texts = [v.decode() for v in values.tolist()]
        return texts if null is None else [None if t == null else t for t in texts]
    if values.dtype.kind not in "iufb": raise ValueError(f"column {what} is of type {values.dtype}")
    return values.tolist()


def of_table(frame, source):
    """format="table": one dataset, whose fields are columns or blocks of columns of one type."""
    table = frame["table"]
    attrs, columns = table.attrs, {}

    def taker(field, at, name):
        kind, null = text_of(attrs.get(field + "_dtype", b"")), attrs.get(field + "_nan_rep")
        if text_of(attrs.get(field + "_meta", b"")) == "category":
            raise Fault(f"{source.name}: column {name} is categorical, which only pandas can read: save df.astype({{'{name}': str}})")
        def take(first, end):
            values = table.fields(field)[first:end]
            values = values[:, at] if values.ndim > 1 else values
            return values_of(values, kind, None if null is None else text_of(null), name)
        return take
    for field in table.dtype.names:
        if field == "index":
            name = (unpickled(frame.attrs["info"]).get("index") or {}).get("index_name") if "info" in frame.attrs else None
            kind = text_of(attrs.get("index_kind", b""))
            if name is not None: columns[text_of(name)] = index_taker(table, kind)
            continue
        names = unpickled(attrs[field + "_kind"]) if field + "_kind" in attrs else [field]
        for at, name in enumerate(names): columns[text_of(name)] = taker(field, at, name)
    order = [text_of(n) for n in unpickled(frame.attrs["non_index_axes"])[0][1]] if "non_index_axes" in frame.attrs else []
    return len(table), {n: columns[n] for n in sorted(columns, key=lambda n: order.index(n) if n in order else -1)}


def index_taker(table, kind):
    kind = kind if kind.startswith(TIMES) else ""
    return lambda first, end: values_of(table.fields("index")[first:end], kind, None, "index")


def of_fixed(frame, source):
    """format="fixed": blocks of columns of one type. The texts of a block are one pickle, so they are held in memory."""
    columns, index = {}, frame["axis1"] if "axis1" in frame else None
    if index is None: raise Fault(f"{source.name}: the index of {frame.name} has several levels: save df.reset_index()")
    count = len(index) if h5py.check_vlen_dtype(index.dtype) is None else len(unpickled(index[0]))
    def held(values): return lambda first, end: values[first:end]
    for b in range(int(frame.attrs["nblocks"])):
        items, values = frame[f"block{b}_items"], frame[f"block{b}_values"]
        names = [text_of(n) for n in (unpickled(items[0]) if h5py.check_vlen_dtype(items.dtype) else items[:].tolist())]
        kind = text_of(values.attrs.get("value_type", b""))
        if h5py.check_vlen_dtype(values.dtype):  # one pickle of all texts
            array = np.asarray(unpickled(values[0]), object).reshape(count, len(names))
            for at, name in enumerate(names): columns[name] = held([None if v != v else v for v in array[:, at].tolist()])
            continue
        if not kind and values.id.get_type().get_class() == h5py.h5t.BITFIELD: kind = "bool"  # as PyTables writes them
        for at, name in enumerate(names): columns[name] = block_taker(values, at, kind, name)
    name = text_of(index.attrs.get("name", b"N."))
    if name != "N." and h5py.check_vlen_dtype(index.dtype): columns = {name: held(list(unpickled(index[0]))), **columns}
    elif name != "N.": columns = {name: block_taker(index, None, text_of(index.attrs.get("kind", b"")), name), **columns}
    order = [text_of(n) for n in frame["axis0"][:].tolist()] if not h5py.check_vlen_dtype(frame["axis0"].dtype) else []
    return count, {n: columns[n] for n in sorted(columns, key=lambda n: order.index(n) if n in order else -1)}


def block_taker(values, at, kind, name):
    def take(first, end):
        part = values[first:end] if at is None else values[first:end, at]
        return values_of(part, kind if kind.startswith((*TIMES, "bool")) else "", None, name)
    return take


def of_columns(group, source):
    """Datasets of the same length, and groups of packed `values` and `offsets`."""
    if isinstance(group, h5py.Dataset): raise Fault(f"{source.name}: {group.name} is one dataset; --key names the group of columns")
    columns, lengths = {}, {}
    for name, item in group.items():
        if isinstance(item, h5py.Group) and {"values", "offsets"} <= set(item):
            lengths[name], columns[name] = len(item["offsets"]) - 1, packed_taker(item)
        elif isinstance(item, h5py.Dataset) and item.ndim and item.dtype.names is None:
            lengths[name], columns[name] = len(item), column_taker(item)
    if len(set(lengths.values())) > 1:
        raise Fault(f"{source.name}: its columns differ in length: {', '.join(f'{n} ({c:,})' for n, c in sorted(lengths.items()))}")
    if not columns: raise Fault(f"{source.name}: holds no table of pandas, and no columns at {group.name}; --key names another group")
    return next(iter(lengths.values())), columns


def packed_taker(group):
    def take(first, end):
        ends = group["offsets"][first:end + 1].tolist()
        values = group["values"][ends[0]:ends[-1]]
        parts = [values[a - ends[0]:b - ends[0]] for a, b in zip(ends, ends[1:])]
        return [p.tobytes().decode() if values.dtype == np.uint8 else p.tolist() for p in parts]
    return take


def column_taker(item):
    kind = text_of(item.attrs.get("moemill_kind", b""))
    def plain(value):
        if isinstance(value, bytes): value = value.decode()
        if kind == "json": return json.loads(value)
        if isinstance(value, float) and kind == "whole": return None if value != value else int(value)
        if isinstance(value, np.ndarray): return [plain(v) for v in value.tolist()]
        return [plain(v) for v in value] if isinstance(value, list) else value
    return lambda first, end: [plain(v) for v in item[first:end].tolist()]
