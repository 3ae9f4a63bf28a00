"""Functions for the tests of this folder: run the scripts with the test's Python, read prompt files as plain values, make outputs.h5
with any content and size without a job. Needs h5py and numpy."""
import contextlib
import gc
import importlib.util
import io
import json
import pathlib
import shutil
import sys

import h5py
import numpy as np

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = SOURCE / "scripts"
sys.path.insert(0, str(SCRIPTS))  # for tests of one of their modules
HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
SKIPPED = 77  # ctest's SKIP_RETURN_CODE


class Skip(Exception):
    """The test cannot run here; reported in the output."""


def needs_pyarrow():
    if not HAS_PYARROW: raise Skip("pyarrow is not here")


def check(holds, *what):
    if not holds: raise AssertionError(" ".join(str(w) for w in what))


def fresh(work, name):
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


class Done:
    def __init__(self, returncode, stdout, stderr): self.returncode, self.stdout, self.stderr = returncode, stdout, stderr


def script(name, *words, code=0):
    """The output of scripts/NAME.py; code None accepts any. It runs within this process, because hundreds of starts of Python would take
    most of the time."""
    module = sys.modules.get(f"script_{name}")
    if module is None:
        spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    out, err, ended = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            module.main([str(w) for w in words])
        except SystemExit as end:
            ended = end.code or 0
    gc.collect()  # files that an error left open would stay open, and HDF5 opens no such file again
    done = Done(ended, out.getvalue(), err.getvalue())
    check(code is None or ended == code, f"exit {ended}, not {code}: {name}.py {words}\n{done.stdout}\n{done.stderr}")
    return done


def write_lines(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def read_lines(path):
    import gzip
    opened = gzip.open(path, "rt", encoding="utf-8") if path.name.endswith(".gz") else open(path, encoding="utf-8")
    with opened as f: return [json.loads(line) for line in f]


def column(group, name):
    """A column of any form as a list."""
    item = group[name]
    if isinstance(item, h5py.Group):
        ends, values = item["offsets"][:].tolist(), item["values"][:]
        parts = [values[a:b] for a, b in zip(ends, ends[1:])]
        return [p.tobytes().decode() for p in parts] if values.dtype == np.uint8 else [p.tolist() for p in parts]
    return [v.decode() if isinstance(v, bytes) else v for v in item[:].tolist()]


def columns(path):
    with h5py.File(path) as f: return {name: column(f, name) for name in f}


class OutputsMaker:
    """Writes the layout of outputs.h5, block by block."""

    def __init__(self, path, complete=1, run_id="0123456789abcdef0123456789abcdef", config_yaml=""):
        self.file, self.complete, self.ends = h5py.File(path, "w"), complete, {}
        for name, value in {"format": "moemill-outputs", "format_version": 1, "run_id": run_id, "config_yaml": config_yaml,
                            "created_utc": "2026-01-02T03:04:05Z"}.items(): self.file.attrs[name] = value
        self.file.create_group("carry")

    def _append(self, name, values, dtype):
        values = np.asarray(values, object if h5py.check_string_dtype(np.dtype(dtype)) else dtype)
        if name not in self.file:
            self.file.create_dataset(name, (0, *values.shape[1:]), dtype, maxshape=(None, *values.shape[1:]),
                                     chunks=(4096, *values.shape[1:]))
        item = self.file[name]
        item.resize(len(item) + len(values), axis=0)
        if len(values): item[len(item) - len(values):] = values

    def _ragged(self, name, parts, values_name, dtype):
        if name + "/offsets" not in self.file: self._append(name + "/offsets", [0], "u8")
        lengths = [len(p) for p in parts]
        end = int(self.file[name + "/offsets"][-1])
        self._append(name + "/offsets", end + np.cumsum(lengths, dtype="u8") if lengths else [], "u8")
        flat = np.frombuffer(b"".join(parts), "u1") if dtype == "u1" else np.array([v for p in parts for v in p], dtype)
        self._append(f"{name}/{values_name}", flat, dtype)

    def rows(self, prompt_index, sample_index, ids, texts, tokens, status=None, finish=None, logprobs=None, top=None):
        """Completions; texts as bytes, tokens as lists. top: (ids, values) of shape [tokens, k]."""
        c, count = "completions/", len(prompt_index)
        status = [1] * count if status is None else status
        self._append(c + "prompt_index", prompt_index, "u8")
        self._append(c + "sample_index", sample_index, "u4")
        self._append(c + "id", ids, h5py.string_dtype() if isinstance(ids[0], str) else "i8")
        self._append(c + "status", status, "u1")
        self._append(c + "finish_reason", [1 if s == 1 else 5 for s in status] if finish is None else finish, "u1")
        self._append(c + "num_prompt_tokens", [7] * count, "u4")
        self._append(c + "num_completion_tokens", [len(t) for t in tokens], "u4")
        self._append(c + "seed", [2**63 + i for i in prompt_index], "u8")
        sums = [np.nan] * count if logprobs is None else [sum(p) for p in logprobs]
        self._append(c + "cumulative_logprob", sums, "f4")
        self._ragged(c + "text", texts, "values", "u1")
        self._ragged(c + "token_ids", tokens, "values", "i4")
        if logprobs is not None: self._append(c + "logprobs/values", [v for p in logprobs for v in p], "f4")
        if top is not None:
            self._append(c + "logprobs/top_ids", top[0], "i4")
            self._append(c + "logprobs/top_values", top[1], "f4")
        return self

    def carry(self, name, values, dtype=None):
        values = values if dtype is None else np.array(values, dtype)
        self._append("carry/" + name, values, dtype or (h5py.string_dtype() if isinstance(values[0], str) else "f8"))
        return self

    def scores(self, parts):
        self._ragged("prompt_logprobs", parts, "values", "f4")
        return self

    def errors(self, rows):
        for name, at, dtype in (("prompt_index", 0, "u8"), ("sample_index", 1, "u4"), ("code", 2, h5py.string_dtype()),
                                ("message", 3, h5py.string_dtype())):
            self._append("errors/" + name, [r[at] for r in rows], dtype)
        return self

    def done(self):
        if "errors" not in self.file: self.errors([])
        if self.complete is not None: self.file.attrs["complete"] = self.complete
        self.file.close()


def main(work, tests, words):
    """Runs the tests, or those named, without those named with a dash before; 77 if some were skipped and none failed."""
    failed = skipped = 0
    wanted, unwanted = [w for w in words if w[0] != "-"], [w[1:] for w in words if w[0] == "-"]
    for name in (*wanted, *unwanted): check(name in [test.__name__ for test in tests], "there is no test", name)
    for test in tests:
        if wanted and test.__name__ not in wanted or test.__name__ in unwanted: continue
        try:
            test(fresh(work, test.__name__))
            print(f"ok      {test.__name__}", flush=True)
        except Skip as why:
            skipped += 1
            print(f"SKIPPED {test.__name__}: {why}", flush=True)
        except Exception as fault:
            failed += 1
            print(f"FAILED  {test.__name__}: {type(fault).__name__}: {fault}", flush=True)
    print(f"{failed} failed, {skipped} SKIPPED, with {sys.executable}")
    sys.exit(1 if failed else SKIPPED if skipped else 0)
