"""Reads the files of a run: outputs.h5 or its finished shards, run.json, config.yaml. Called by all of outputs.py. Reports what is
damaged, in which run, and how to continue."""
import json
import re

from ...common import Fault, note, one_line
from ...run_files import cure_of, open_h5, reading, refusal, text_of
from ..layout import BLOCK_ROWS


def read_manifest(path):
    """run.json, with the required keys."""
    try:
        run = json.loads(path.read_bytes().decode())
        wrong = None if isinstance(run, dict) else "no object"
    except (OSError, ValueError, RecursionError) as fault:
        if isinstance(fault, PermissionError): raise Fault(f"{path}: cannot be read: {refusal(fault)}") from None
        wrong = one_line(fault)
    def fits(name, kind, low): return type(run.get(name)) is kind and (kind is str or run[name] >= low)
    if not wrong:
        bad = [n for n, kind, low in (("run_id", str, 0), ("prompts", int, 0), ("shard_prompts", int, 1)) if not fits(n, kind, low)]
        if bad: wrong = f"no {', '.join(bad)}, or not in the form that moemill writes"
    if wrong:
        raise Fault(f"{path}: cannot be read: it is damaged or missing ({wrong}); restore it from a copy, or copy outputs.h5 (or a shard) to "
                    "another folder and name that copy: it needs no run.json")
    return run


class Outputs:
    """The files of a run in the order of their prompts."""

    def __init__(self, path, allow_incomplete):
        self.folder, missing, self._config = None, None, None
        if not path.exists(): raise Fault(f"{path}: no such file or folder")
        if path.is_dir():
            self.folder = path
            paths, missing = self._of_folder(path)
        else:
            paths = [path]
            if (path.parent / "run.json").exists(): self.folder = path.parent
        manifest = self.folder / "run.json" if self.folder else None
        self.manifest = read_manifest(manifest) if manifest and manifest.exists() else {}
        run_id = self.manifest.get("run_id")
        self.files, starts, self.rows = [], {}, 0
        for p in paths:
            file = open_h5(p)
            with reading(p):
                if file.attrs.get("format") not in ("moemill-outputs", b"moemill-outputs"):
                    raise Fault(f"{p}: is not a file of moemill's outputs (attribute format): name a run directory, its outputs.h5 or a shard")
                if int(file.attrs.get("format_version", 0)) != 1:
                    raise Fault(f"{p}: has format version {file.attrs.get('format_version')}, this script knows 1: take the outputs.py of the moemill that wrote it")
                theirs = text_of(file.attrs.get("run_id", ""))
                if run_id not in (None, theirs):
                    raise Fault(f"{p}: is of the run {theirs or '(none)'}, but {manifest} is of the run {run_id}: put back the file of this "
                                "run, or copy this one to another folder and name that copy")
                if int(file.attrs.get("complete", 0)) != 1: missing = missing or f"{p}: was not finished"
                if "completions" not in file: raise Fault(f"{p}: has no group /completions: it is damaged; {cure_of(p)}")
                indices = file["completions/prompt_index"]
                starts[file] = int(indices[0]) if len(indices) else 0
                self.rows += file["completions/status"].shape[0]
                if file["completions/status"].shape != indices.shape: raise ValueError("columns of different lengths")
            self.files.append(file)
        if paths[0].name == "outputs.h5" and self.folder: missing = missing or self._missing_rows(paths[0], manifest)
        before = self.folder / "outputs-before.h5" if self.folder else None
        if missing and before and before.exists():
            missing += f"; {before} has the rows from before it was extended or retried"
        if missing and not allow_incomplete: raise Fault(f"{missing}; --allow-incomplete uses the finished shards")
        if missing: note(missing)
        self.files.sort(key=starts.get)

    def _missing_rows(self, path, manifest):
        """After a run was extended by prompts or samples, outputs.h5 is still the previous one until the run is done."""
        wanted = read_manifest(manifest).get("completions") if manifest.exists() else None
        if type(wanted) is not int or wanted <= self.rows: return None
        return f"{path}: has {self.rows:,} of the {wanted:,} rows of this run, which is not finished (moemill status {self.folder} has the counts)"

    def prompts_before(self):
        """The number of prompts before each change (--extend), because older files have that many."""
        counts = [change.get("prompts") for change in self.manifest.get("history") or () if isinstance(change, dict)]
        return [c[0] for c in counts if isinstance(c, list) and c and type(c[0]) is int]

    @staticmethod
    def _of_folder(path):
        if (path / "outputs.h5").exists(): return [path / "outputs.h5"], None
        shards = sorted(p for p in path.glob("shards/shard-*.h5"))
        if not (path / "run.json").exists() and not shards:
            raise Fault(f"{path}: is not a run directory: it has neither outputs.h5 nor run.json")
        run = read_manifest(path / "run.json")
        wanted = -(-run["prompts"] // run["shard_prompts"])
        if not shards and run.get("shards_removed"):
            raise Fault(f"{path}: outputs.h5 is missing, and the run's shards were removed when it was whole: restore it from a copy")
        before = path / "outputs-before.h5"
        if not shards and before.exists():
            raise Fault(f"{path}: no shard of this run is finished yet since it was extended or retried (moemill status {path}); "
                        f"{before} has the rows from before")
        if not shards: raise Fault(f"{path}: no shard of this run is finished yet (moemill status {path})")
        if len(shards) == wanted: return shards, None
        if len(shards) > wanted:
            raise Fault(f"{path}: has {len(shards)} shards, by run.json it has {wanted}: restore run.json from a copy, or remove the shards "
                        "of another run")
        return shards, (f"{path}: this run is not finished: {len(shards)} of {wanted} shards are (rows in its journal are "
                        f"not read; moemill status {path} has the counts)")

    def attribute(self, name):
        with reading(self.files[0].filename): return text_of(self.files[0].attrs.get(name, ""))

    def has_number_ids(self):
        with reading(self.files[0].filename): return not self.files[0]["completions/id"].dtype.hasobject

    def has_several_samples(self):
        for file in self.files:
            with reading(file.filename):
                samples = file["completions/sample_index"]
                if any(samples[at:at + 16 * BLOCK_ROWS].any() for at in range(0, len(samples), 16 * BLOCK_ROWS)): return True
        return False

    def config(self):
        """The resolved run.yaml: config.yaml, or the copy in the outputs."""
        if self._config is None: self._config = self._read_config()
        return self._config

    def _read_config(self):
        copy, path = self.attribute("config_yaml"), self.folder / "config.yaml" if self.folder else None
        if not path or not path.exists(): return copy
        def sections(text): return set(re.findall(r"^(\w+):", text, re.M))
        try:
            text = path.read_text(encoding="utf-8")
            lost = sections(copy) - sections(text)
            wrong = f"lacks {', '.join(sorted(lost))}" if lost else "" if text.strip() and "\0" not in text else "is empty or zeroed"
        except (OSError, UnicodeDecodeError) as fault:
            if isinstance(fault, PermissionError): raise Fault(f"{path}: cannot be read: {refusal(fault)}") from None
            wrong = one_line(fault)
        if not wrong: return text
        raise Fault(f"{path}: cannot be read: it is damaged ({wrong}); move it away: the outputs have a copy of it, which is then read")
