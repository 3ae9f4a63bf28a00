"""Decides which files of a folder are read, by the splits and subsets in their names."""
import json
import pathlib
import re

from ...common import Fault, note
from .sources import KINDS, ending, source_of_file, source_of_stdin


SPLIT_WORD = re.compile(r"(?:^|[-._ \d])(?:(train|training)|(validation|valid|dev|val)|(test|testing|eval|evaluation))"
                        r"(?=$|[-._ \d])", re.IGNORECASE)


def pick_splits(where, splits, wanted):
    def word(name): return (match := SPLIT_WORD.search(name)) and match.lastindex
    if wanted in splits: return [wanted]
    if wanted == "all" or wanted is None and len(splits) == 1: return sorted(splits)
    near = [s for s in splits if wanted and word(wanted) and word(s) == word(wanted)]  # validation: dev.jsonl
    if len(near) == 1: return near
    raise Fault(f"{where}: has the splits {', '.join(sorted(splits))}; name one with --split, or --split all")


def split_and_subset(path):
    """(split, subset) named by a path below a datasets folder: train-00000-of-00002-<hash>.parquet, dev.jsonl, fr/test/0.parquet. "" if
    the path names none."""
    stem = path.name[:path.name.lower().rindex(ending(path))]
    sharded = re.match(r"(.+?)[-_.]\d+-of-\d+", stem)
    name = sharded[1] if sharded else re.sub(r"[-_. ]\d+$", "", stem)
    split = name if SPLIT_WORD.search(name) else next(filter(SPLIT_WORD.search, reversed(path.parent.parts)), sharded and name)
    return split or "", "/".join(p for p in path.parent.parts if p != "data" and not SPLIT_WORD.search(p))


def listed(path, read):
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault(f"{path}: is not in the form of datasets' save_to_disk; save the data set again") from None


def files_of_folder(folder, split):
    """Files of a datasets folder in order: those of save_to_disk, or files of one kind in a folder."""
    if (folder / "dataset_dict.json").exists():
        splits = pick_splits(folder, listed(folder / "dataset_dict.json", lambda d: list(map(str, d["splits"]))), split)
        return [path for name in splits for path in files_of_folder(folder / name, None)]
    if (folder / "state.json").exists():
        return listed(folder / "state.json", lambda s: [folder / f["filename"] for f in s["_data_files"]])
    found = sorted(p for p in folder.rglob("*") if p.is_file() and KINDS.get(ending(p), "hdf5") != "hdf5" and
                   not any(part.startswith((".", "__")) for part in p.relative_to(folder).parts))
    for kinds in ((".parquet",), (".arrow",), (".jsonl", ".ndjson", ".json"), (".csv", ".tsv")):
        files = [p for p in found if ending(p) in kinds and p.name not in ("dataset_info.json", "dataset_infos.json")]
        if not files: continue
        said = {p: split_and_subset(p.relative_to(folder)) for p in files}
        if not any(name for name, _ in said.values()):
            if split not in (None, "all"): raise Fault(f"{folder}: its file names contain no splits; remove --split")
            if len(files) > 1: note(f"{folder}: its {len(files):,} files have no splits in their names: all are read, in the order of their names")
            return files
        subsets = {subset for _, subset in said.values()}
        if len(subsets) > 1:
            raise Fault(f"{folder}: holds several data sets (subsets {', '.join(sorted(s or '.' for s in subsets))}); give the "
                        "folder of one as INPUT, or several of them, or the files themselves")
        names = {p: name or p.name.split(".")[0] for p, (name, _) in said.items()}
        chosen = pick_splits(folder, set(names.values()), split)
        return [p for p in files if names[p] in chosen]
    raise Fault(f"{folder}: holds no Parquet, Arrow, JSONL or CSV file, and no dataset of save_to_disk")


def find_sources(options, output):
    sources, kind = [], options.input_kind
    if options.inputs.count("-") > 1: raise Fault("standard input (-) can be read only once")
    for name in options.inputs:
        path = pathlib.Path(name)
        if name == "-": sources.append(source_of_stdin(output, kind))
        elif path.is_dir(): sources += [source_of_file(p, kind) for p in files_of_folder(path, options.split)]
        elif path.is_file(): sources.append(source_of_file(path, kind))
        elif path.exists(): raise Fault(f"{path}: is not a regular file; the input is read twice, so it cannot be a pipe: write it "
                                        "to a file, or give it as standard input, with - as its name")
        else: raise Fault(f"{path}: no such file")
    return sources
