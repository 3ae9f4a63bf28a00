"""What outputs.py and report.py share about the files of a run: HDF5 files opened with an account of what damage means, the
plain settings of config.yaml, whose error a failed write is."""
import contextlib
import json
import re

from .common import Fault, one_line, open_unlocked

CURE_H5 = ("take it from a copy; of a run, `moemill verify RUN_DIR` tells what is damaged: a shard or outputs.h5 that is removed is "
           "made again by the same `moemill run`")
DAMAGE = (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError, MemoryError)  # as h5py meets it


def open_h5(path):
    try:
        return open_unlocked(path)
    except OSError as fault:
        raise Fault(f"{path}: cannot be read as HDF5, is damaged or still being written ({one_line(fault)}); {CURE_H5}") from None


@contextlib.contextmanager
def reading(path):
    """Around what reads a HDF5 file: h5py meets damage with exceptions of many kinds."""
    try:
        yield
    except DAMAGE as fault:
        raise Fault(f"{path}: cannot be read, is damaged ({one_line(fault)}); {CURE_H5}") from None


@contextlib.contextmanager
def writing(name):
    """Around what writes a file: the system's error is of this one, not of a temporary name or of none."""
    try:
        yield
    except OSError as fault:
        fault.filename = name
        raise


def text_of(value): return value.decode() if isinstance(value, bytes) else str(value)


def setting(config, section, key):
    """A plain value of the resolved run.yaml, which moemill itself wrote."""
    part = re.search(rf"^{section}:\n((?: +.*\n?)*)", config, re.M)
    found = re.search(rf"^ +{key}: *(.*)$", part.group(1), re.M) if part else None
    if not found: return None
    value = found.group(1).strip()
    try:
        return json.loads(value) if value.startswith('"') else value.strip("'")
    except ValueError:
        raise Fault(f"config.yaml: {section}.{key} cannot be read, is damaged: {value[:80]}; take the file from a copy") from None
