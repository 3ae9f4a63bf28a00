"""The inputs of a job: standard input, and files whose kind is recognised by their names or first bytes."""
import dataclasses
import os
import pathlib
import shutil
import sys

from ...common import Fault, begin_beside
from ...run_files import writing
from .packed import DAMAGE, ENDINGS, open_bytes

KINDS = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".arrow": "arrow",
         ".h5": "hdf5", ".hdf5": "hdf5", ".hdf": "hdf5"}
ALLOWED = ("jsonl", "csv", "tsv", "parquet", "arrow", "hdf5")


@dataclasses.dataclass(frozen=True)
class Source:
    path: pathlib.Path
    kind: str  # one of ALLOWED
    name: str  # name in messages

    @property
    def is_text(self): return self.kind in ("csv", "tsv")  # whether numbers are texts that look like numbers


def ending(path):
    name = path.name.removesuffix(".tmp")
    for packed in ENDINGS: name = name.removesuffix(packed)
    return pathlib.PurePath(name).suffix.lower()


def kind_by_content(path):
    """The kind of unnamed data: JSON begins with a bracket, CSV with column names."""
    raw, stream = open_bytes(path)
    with raw:
        try:
            start = stream.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
        except DAMAGE as fault:
            raise Fault(f"standard input: cannot be read: {fault}") from None
    for magic, kind in ((b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"\x89HDF", "hdf5"), (b"{", "jsonl"), (b"[", "jsonl")):
        if start.startswith(magic): return kind
    return "tsv" if b"\t" in start.split(b"\n")[0] else "csv"


def source_of_stdin(output, kind):
    """Copies standard input to a file beside the output, because all input is read twice. The file is removed at the end."""
    with writing(str(output)): spooled = begin_beside(output.with_name(output.name + ".stdin"))
    if sys.stdin is None: raise Fault("standard input is closed: name a file")
    with open(spooled, "wb") as file: shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    return Source(spooled, kind or kind_by_content(spooled), "standard input")


def source_of_file(path, kind):
    kind = kind or KINDS.get(ending(path))
    if not kind:
        raise Fault(f"{path}: unknown ending; known are .jsonl, .json, .ndjson, .csv, .tsv (each also {', '.join(ENDINGS[:4])}), "
                    ".parquet, .arrow, .h5 and folders; --from names the kind of other files")
    if not path.exists(): raise Fault(f"{path}: no such file, though its folder lists it")
    return Source(path, kind, str(path))


def labels(paths):
    """{path: prefix of the ids of its rows}: the file's name up to the first dot. If several files have the same name, the folders that
    distinguish them are included; for files in the same folder the whole name is used."""
    of_stem, out = {}, {}
    for path in dict.fromkeys(paths): of_stem.setdefault(path.name.split(".")[0], []).append(path)
    for stem, group in of_stem.items():
        folders = [pathlib.Path(os.path.abspath(path)).parts[1:-1] for path in group]
        depths = range(max(map(len, folders)) + 1)
        def qualified(names, depth): return ["/".join((*f[max(0, len(f) - depth):], name)) for f, name in zip(folders, names)]
        ways = (qualified(names, depth) for names in ([stem] * len(group), [path.name for path in group]) for depth in depths)
        out.update(zip(group, next((way for way in ways if len(set(way)) == len(group)), [stem] * len(group))))
    return out
