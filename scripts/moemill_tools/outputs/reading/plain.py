"""Converts columns of any form that h5py writes to plain Python values: texts of every kind, tables, lists, records. Bytes that are not
UTF-8 are escaped and counted, never replaced silently."""
import h5py
import numpy as np

from ...common import note

ESCAPED = "backslashreplace"  # b"caf\xe9" becomes caf\xe9


class Plain:
    def __init__(self): self.not_utf8 = {}  # columns with such bytes, in the order in which they were found

    def text(self, raw, column):
        if not isinstance(raw, bytes): return str(raw)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.not_utf8[column] = True
            return raw.decode("utf-8", ESCAPED)

    def of(self, values, column):
        """An array or one of its values as lists, dictionaries, texts and numbers."""
        if isinstance(values, (bytes, str)): return self.text(values, column)
        dtype = getattr(values, "dtype", None)
        if dtype is None: return [self.of(v, column) for v in values] if isinstance(values, (list, tuple)) else values
        if dtype.names:
            if values.shape == (): return {n: self.of(values[n], column) for n in dtype.names}
            return [self.of(v, column) for v in values]
        if dtype.kind in "SOU": return self.of(values.tolist(), column)
        if dtype.itemsize > 8 and dtype.kind == "f": values = values.astype("f8")  # Python's own float has no more precision
        return values.tolist()

    def tell(self):
        for column in self.not_utf8:
            note(f"column {column}: has texts that are not UTF-8 (Latin-1?); their bytes are written as \\xe9 and the like")


def has_plain_form(dtype):
    """Whether Plain can convert it."""
    if h5py.check_string_dtype(dtype): return True
    base = h5py.check_vlen_dtype(dtype)
    if base is not None: return has_plain_form(np.dtype(base))
    if dtype.subdtype: return has_plain_form(dtype.subdtype[0])
    if dtype.names: return all(has_plain_form(dtype[n]) for n in dtype.names)
    return dtype.kind in "iufbSU" and h5py.check_ref_dtype(dtype) is None


def depth_and_kind(dtype):
    """(nesting depth of lists, Parquet's name of the value's type, or json)."""
    if h5py.check_string_dtype(dtype) or dtype.kind in "SU": return 0, "string"
    base = h5py.check_vlen_dtype(dtype)
    if base is not None or dtype.subdtype:
        inner, shape = (np.dtype(base), (0,)) if base is not None else dtype.subdtype
        depth, kind = depth_and_kind(inner)
        return depth + len(shape), kind
    if dtype.names: return 0, "json"
    if dtype.kind == "f": return 0, "float" if dtype.itemsize <= 4 else "double"
    if dtype.kind in "iu": return 0, f"{'u' if dtype.kind == 'u' else ''}int{dtype.itemsize * 8}"
    return 0, "bool" if dtype.kind == "b" else None
