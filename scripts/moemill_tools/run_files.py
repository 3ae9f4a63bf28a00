"""What outputs.py and report.py share about the files of a run: HDF5 files opened with an account of what damage means, the
plain settings of config.yaml, whose error a failed write is."""
import contextlib
import json
import os
import pathlib
import re

from .common import Fault, one_line, open_unlocked

DAMAGE = (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError, MemoryError)  # as h5py meets it


def cure_of(path):
    """What to do about a damaged HDF5 file. To remove it is right where it is made again only: of shards that are there."""
    path = pathlib.Path(path)
    if path.parent.name == "shards": return "take it from a copy, or remove it, and the same `moemill run` computes its rows again"
    if path.name != "outputs.h5": return "take it from a copy"
    told = f"`moemill verify {path.parent}` tells what can be read"
    if not any(path.parent.glob("shards/shard-*.h5")): return f"take it from a copy, and keep it until then: nothing else has the run's rows; {told}"
    return f"move it away, and the same `moemill run` makes it of the run's shards; {told}"


def refusal(fault):
    """What the system says of a file that it does not give, which is no damage; None where it gave it."""
    if not isinstance(fault, OSError) or not fault.errno: return None
    said = os.strerror(fault.errno)
    return f"{said} (its owner must let you read it)" if isinstance(fault, PermissionError) else said


def open_h5(path):
    try:
        return open_unlocked(path)
    except OSError as fault:
        if said := refusal(fault): raise Fault(f"{path}: cannot be read: {said}") from None
        raise Fault(f"{path}: cannot be read as HDF5, is damaged or still being written ({one_line(fault)}); {cure_of(path)}") from None


@contextlib.contextmanager
def reading(path):
    """Around what reads a HDF5 file: h5py meets damage with exceptions of many kinds."""
    try:
        yield
    except DAMAGE as fault:
        if said := refusal(fault): raise Fault(f"{path}: cannot be read: {said}") from None
        raise Fault(f"{path}: cannot be read, is damaged ({one_line(fault)}); {cure_of(path)}") from None


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
