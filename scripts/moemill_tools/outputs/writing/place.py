"""Where the output goes: a file that gets its name when it is complete, or the terminal."""
import contextlib
import gzip
import io
import os
import sys

from ...common import Fault, begin_beside, clear_away, real_target, to_nowhere, unfinished
from ...run_files import writing


class Place:
    """Where the output goes: a file under a temporary name of this process until it is complete, or the terminal."""

    def __init__(self, path, overwrite):
        self.path, self.file, self.text = path, None, None
        if path is None: return
        if path.is_dir(): raise Fault(f"{path}: is a folder: name a file in it")
        if path.exists() and not path.is_file():
            raise Fault(f"{path}: is not a regular file but a pipe or a device: without -o JSON Lines go to the terminal, or into it with > {path}")
        if path.exists() and not overwrite: raise Fault(f"{path}: already exists; --overwrite replaces it")
        self.target = real_target(path)
        if not self.target.parent.is_dir(): raise Fault(f"{self.target.parent}: no such folder: make it first")

    def kind(self):
        if self.path is None: return "jsonl"
        name = self.path.name.removesuffix(".gz")
        if name.endswith(".json"):
            raise Fault(f"{self.path}: .json is one JSON value, and this writes JSON Lines, one row per line: name it "
                        f"{name}l{self.path.name[len(name):]}")
        for kind, endings in (("jsonl", (".jsonl", ".ndjson")), ("parquet", (".parquet",))):
            if name.endswith(endings): return kind
        raise Fault(f"{self.path}: unknown ending; writes .jsonl, .jsonl.gz and .parquet")

    def writing(self): return writing(self.path and str(self.path))

    def open(self):
        self.temporary = begin_beside(self.target)
        self.file = open(self.temporary, "wb")
        return self.file

    def stream(self):
        """An error handler for JSON Lines: half of a surrogate pair, which UTF-8 cannot encode, becomes JSON's escape for it."""
        form = {"encoding": "utf-8", "errors": "backslashreplace"}
        if self.path is None:
            if sys.stdout is None: raise Fault("standard output is closed: name a file with -o")
            if isinstance(sys.stdout, io.TextIOWrapper): sys.stdout.reconfigure(encoding="utf-8")
            return sys.stdout
        packed = self.path.name.endswith(".gz")
        file = gzip.GzipFile(self.path.name[:-3], "wb", 4, self.open(), mtime=0) if packed else self.open()
        self.text = io.TextIOWrapper(file, newline="\n", **form)
        return self.text

    def close(self):
        if not self.path: return
        self.file.close()
        descriptor = os.open(self.temporary, os.O_RDONLY)
        os.fsync(descriptor)  # some file systems report only now that they are full
        os.close(descriptor)

    def rename(self):
        if not self.path: return
        os.replace(self.temporary, self.target)
        unfinished.discard(self.temporary)

    def abandon(self):
        clear_away()
        if not self.file or self.file.closed: return
        to_nowhere(self.file.fileno())
        # Compressed text is three nested file objects, which Python closes in any order, with tracebacks.
        with contextlib.suppress(Exception):
            if self.text: self.text.close()
