"""Functions that outputs.py and report.py share for the files of a run: opening HDF5 files with advice about damage, reading plain
settings of config.yaml, and naming the file of a failed write."""
import contextlib
import json
import os
import pathlib
import re

from .common import Fault, one_line, open_unlocked

DAMAGE = (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError, MemoryError)  # exceptions that h5py raises for damaged files


def cure_of(path):
    """Advice about a damaged HDF5 file. Removing it is right only if the run can make it again: a shard by computing its rows, outputs.h5 from existing shards."""
    path = pathlib.Path(path)
    if path.parent.name == "shards": return "restore it from a copy, or remove it and rerun the same `moemill run`, which computes its rows again"
    if path.name != "outputs.h5": return "restore it from a copy"
    advice = f"`moemill verify {path.parent}` shows what can be read"
    if not any(path.parent.glob("shards/shard-*.h5")): return f"restore it from a copy, and keep it until then: nothing else has the run's rows; {advice}"
    return f"move it away and rerun the same `moemill run`, which makes it from the run's shards; {advice}"


def refusal(fault):
    """The system's reason for refusing a file, which is not damage; None if the system did not refuse it."""
    if not isinstance(fault, OSError) or not fault.errno: return None
    said = os.strerror(fault.errno)
    return f"{said} (ask its owner for permission to read it)" if isinstance(fault, PermissionError) else said


def open_h5(path):
    try:
        return open_unlocked(path)
    except OSError as fault:
        if said := refusal(fault): raise Fault(f"{path}: cannot be read: {said}") from None
        raise Fault(f"{path}: cannot be read as HDF5: it is damaged or still being written ({one_line(fault)}); {cure_of(path)}") from None


@contextlib.contextmanager
def reading(path):
    """Wraps code that reads an HDF5 file, because h5py reports damage with many kinds of exceptions."""
    try:
        yield
    except DAMAGE as fault:
        if said := refusal(fault): raise Fault(f"{path}: cannot be read: {said}") from None
        raise Fault(f"{path}: cannot be read: it is damaged ({one_line(fault)}); {cure_of(path)}") from None


@contextlib.contextmanager
def writing(name):
    """Wraps code that writes a file, so that the system's error names this file and not a temporary one."""
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
        raise Fault(f"config.yaml: {section}.{key} cannot be read: it is damaged: {value[:80]}; restore the file from a copy") from None
