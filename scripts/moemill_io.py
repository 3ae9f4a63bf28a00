"""moemill in Python: write prompts, read a run as rows or as a table, follow a running one. One file that may be copied anywhere;
it needs h5py and numpy only.

    from moemill_io import follow, read_run, write_prompts
    write_prompts("prompts.h5", ["Q: 7 + 8?", "Once"], id=["sum", "tale"], max_tokens=[8, 64])    # before the job
    for row in read_run("runs/first"): print(row["id"], row["sample_index"], row["text"])          # after it
    for row in follow("runs/first"): ...                                                          # meanwhile

A row is a dictionary: what /completions of outputs.h5 says (status and finish_reason by their names, missing numbers None), the
input's other columns (one with a name of these gets input_ before it, until it is free), error_code and error_message of failed rows, prompt_logprobs where they were asked for.
"""
import collections
import datetime
import decimal
import json
import os
import pathlib
import re
import secrets
import time
import uuid

import h5py
import numpy as np

__all__ = ["write_prompts", "read_run", "follow", "Run"]

STATUS = ("pending", "ok", "failed", "skipped")
FINISH = (None, "stop", "length", "stop_string", "repetition", "error")
BLOCK_ROWS = 1024
WHOLE = ("n", "top_k", "max_tokens", "min_tokens", "seed", "logprobs")  # settings per row for which -1 means the run's value
REAL = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")  # settings for which NaN does
LISTS = ("stop", "stop_token_ids")  # settings that the file stores as JSON
SWITCHES = ("ignore_eos", "add_special_tokens")  # settings with the values 1, 0, and -1 for the run's value
OWN = {"prompt_index", "sample_index", "id", "status", "finish_reason", "num_prompt_tokens", "num_completion_tokens", "seed", "cumulative_logprob", "text",
       "token_ids", "logprobs", "top_ids", "top_logprobs", "stop_reason", "prompt_logprobs", "prompt_token_ids", "error_code", "error_message"}
MOST_EXACT = 2**53  # whole numbers up to here are exact in float64


def opened(path, mode="r"):
    """Opens a file without a lock, as moemill itself does: some file systems have no locks."""
    try:
        return h5py.File(path, mode, locking=False)
    except (TypeError, ValueError):  # h5py before 3.5
        return h5py.File(path, mode)
    except OSError as fault:  # HDF5 opens a file that this process has already open only in the same way, which is usually h5py's default
        if "locking flag" not in str(fault): raise
        return h5py.File(path, mode)


# Writing prompts

def write_prompts(path, prompts, /, **columns):
    """Makes prompts.h5 from texts or lists of token ids, and from columns beside them: a list, array or pandas column with one value per
    prompt, or one number or text for all. `id` and sampling settings (n, temperature, max_tokens, seed, stop ...) apply to their
    prompts; all other columns are carried to the outputs. None, NaN and pandas' NA mean the run's setting, or become NaN or "". Lists
    and objects become JSON text, dates text."""
    if isinstance(prompts, (str, bytes, dict)): raise ValueError("write_prompts: prompts must be a list, [text] if there is only one")
    prompts = list(prompts)
    if not prompts: raise ValueError("write_prompts: there are no prompts")
    made = {**prompt_column(prompts), **{name: made_column(name, values, len(prompts)) for name, values in columns.items()}}
    path = pathlib.Path(os.path.realpath(path))
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with opened(temporary, "x") as file:
            for name, (values, dtype, kind) in made.items():
                dataset = file.create_dataset(name, data=values, dtype=dtype)
                if kind: dataset.attrs["moemill_kind"] = kind  # outputs.py turns it back
        with open(temporary, "rb") as file: os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def prompt_column(prompts):
    is_text = isinstance(prompts[0], str)
    parts = []
    for row, prompt in enumerate(prompts):
        try:
            if is_text: parts.append(np.frombuffer(prompt.encode(), "u1"))
            else: parts.append(np.asarray(prompt, "i4") if len(prompt) else np.empty(0, "i4"))
            if not is_text and (parts[-1].ndim != 1 or list(parts[-1]) != list(prompt) or (parts[-1] < 0).any()): raise ValueError
        except (AttributeError, TypeError, ValueError, OverflowError):
            kind = "text" if is_text else "a list of token ids"
            raise ValueError(f"write_prompts: prompt {row} is {str(ascii(prompt))[:80]}, must be {kind} as the first one") from None
    name = "prompt" if is_text else "prompt_token_ids"
    offsets = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype("u8")
    return {f"{name}/values": (np.concatenate(parts), None, None), f"{name}/offsets": (offsets, None, None)}


def made_column(name, values, count):
    """(values, dtype, kind) of a column, for h5py."""
    if name in ("prompt", "prompt_token_ids") or "/" in name or not name.strip("."):
        raise ValueError(f"write_prompts: a column cannot be named {name!r}")
    if isinstance(values, (dict, set)): raise ValueError(f"write_prompts: column {name} is a {type(values).__name__}, must be a list")
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"): values = [values] * count
    values = numbers_of(values)
    if not isinstance(values, np.ndarray): values = [plain_value(v, name) for v in values]
    if len(values) != count: raise ValueError(f"write_prompts: column {name} has {len(values)} values, but there are {count} prompts")
    if name == "id": check_ids(values)
    if name == "seed": check_seeds(values)
    if isinstance(values, np.ndarray): return values, None, None
    if name in LISTS: values = [v if v in (None, "") else list_text(v) for v in values]
    if name in SWITCHES and set(values) <= {None, True, False, -1}: return np.array([-1 if v is None else v for v in values], "i1"), None, None
    return typed(values, -1 if name in WHOLE else np.nan if name in REAL else None)


def numbers_of(values):
    """The array of a column of numbers (pandas' too) if HDF5 accepts it, otherwise the list of its values."""
    array = values.to_numpy() if hasattr(values, "to_numpy") and isinstance(getattr(values, "dtype", None), np.dtype) else values
    is_whole = isinstance(array, np.ndarray) and array.ndim and array.dtype.kind in "biuf" and array.dtype.itemsize <= 8
    return array if is_whole else list(values)


def plain_value(value, name):
    """A value for JSON; None for everything that means no value: NaN, NaT, pandas' NA."""
    if value is None or isinstance(value, (str, bool, int)) and not isinstance(value, np.generic): return value
    if type(value).__name__ in ("NAType", "NaTType"): return None
    if isinstance(value, dict): return {k: plain_value(v, name) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)): return [plain_value(v, name) for v in value]
    if isinstance(value, np.longdouble): value = float(value)
    if isinstance(value, np.generic): value = value.item()
    if value is None or isinstance(value, float) and value != value: return None
    if isinstance(value, (str, bool, int, float)): return value
    if hasattr(value, "isoformat"): return value.isoformat()
    if isinstance(value, (datetime.timedelta, decimal.Decimal, uuid.UUID)): return str(value)
    try:
        return value.decode()
    except (AttributeError, UnicodeDecodeError):
        raise ValueError(f"write_prompts: column {name} holds {str(ascii(value))[:80]}, which is neither text nor a number nor a list of them") from None


def list_text(value):
    """A list as JSON. Text that is a JSON list stays as it is; other text becomes a list of one."""
    try:
        if isinstance(value, str) and isinstance(json.loads(value), list): return value
    except ValueError:
        pass
    return json.dumps(value if isinstance(value, list) else [value], ensure_ascii=False)


def typed(values, missing):
    """`missing` is the number that means the run's setting in the setting's column."""
    types = {type(v) for v in values} - {type(None)}
    if not types and missing is not None: return np.full(len(values), missing), None, None
    if types == {str} or not types:
        texts = ["" if v is None else v for v in values]
        if not any("\0" in t for t in texts): return texts, h5py.string_dtype(), None
    if types == {bool} and None not in values: return np.array(values, "?"), None, None
    if types <= {bool, int, float} and types != {bool}:
        if missing is not None: values = [missing if v is None or v != v else v for v in values]
        if {type(v) for v in values} <= {bool, int} and (-2**63 <= min(values) and max(values) < 2**63 or 0 <= min(values) and max(values) < 2**64):
            return np.array(values, "u8" if max(values) >= 2**63 else "i8"), None, None
        if all(type(v) is not int or abs(v) <= MOST_EXACT for v in values):
            whole = {type(v) for v in values} == {int, type(None)}
            return np.array([np.nan if v is None else v for v in values], "f8"), None, "whole" if whole else None
    return [json.dumps(v, ensure_ascii=False) for v in values], h5py.string_dtype(), "json"


def check_seeds(values):
    """0 to 2^64-1, each exactly."""
    values = values.tolist() if isinstance(values, np.ndarray) else values
    for value in values:
        if isinstance(value, float) and value > MOST_EXACT: raise ValueError(f"write_prompts: the seed {value} is a float, which is not exact beyond 2^53")
        if isinstance(value, int) and not -1 <= value < 2**64: raise ValueError(f"write_prompts: the seed {value} must be from 0 to 2^64-1")
    if any(isinstance(v, int) and v >= 2**63 for v in values) and any(v is None or v == -1 or v != v for v in values):
        raise ValueError("write_prompts: where a seed is 2^63 or more every prompt needs one: uint64 has no -1 for the run's value")


def check_ids(values):
    values = values.tolist() if isinstance(values, np.ndarray) else values
    if len({type(v) for v in values}) > 1 or type(values[0]) not in (int, str) or "" in values:
        raise ValueError("write_prompts: ids must be all text or all whole numbers")
    (often, times), = collections.Counter(values).most_common(1)
    if times > 1: raise ValueError(f"write_prompts: the id {often!r} occurs {times} times, must be unique")


# Reading a run

def read_run(path):
    """The finished run in a directory, or an outputs.h5 or shard by its name: iterate over it, or take its table()."""
    path = pathlib.Path(path)
    if not path.is_dir(): return Run(path)
    file = path / "outputs.h5"
    before = path / "outputs-before.h5"
    if not file.exists() and before.exists():
        raise FileNotFoundError(f"{path}: was extended or is being retried and is not done: rerun the same `moemill run` to resume; "
                                f"read_run({str(before)!r}) has the rows from before")
    config = path / "config.yaml"
    if not file.exists() and config.exists() and re.search("^ +merge: false", config.read_text(encoding="utf-8"), re.M):
        raise FileNotFoundError(f"{path}: makes no outputs.h5 (output.merge: false): its rows are in its shards; follow({str(path)!r}) reads them "
                                "all, read_run() one of them by its name")
    if not file.exists():
        raise FileNotFoundError(f"{path}: has no outputs.h5 (yet): `moemill run` makes it at the end; follow() reads a run that is not "
                                "done")
    run, held = Run(file), manifest(path)
    if held and run.rows < held.get("completions", 0):
        raise ValueError(f"{path}: was extended and is not done; rerun the same `moemill run` to resume")
    return run


class Run:
    """One file of rows, in the order (prompt, sample)."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        with opened(self.path) as file:
            if text_of(file.attrs.get("format")) != "moemill-outputs": raise ValueError(f"{path}: is not a moemill output file")
            if "complete" not in file.attrs: raise ValueError(f"{path}: is not complete; rerun the same `moemill run`, which makes it again")
            self.attrs = dict(file.attrs)
            self.rows = len(file["completions/status"])
            self.first_prompt = int(file["completions/prompt_index"][0]) if self.rows else 0

    def __len__(self): return self.rows

    def __iter__(self):
        with opened(self.path) as file:
            failed = failed_prompts(file)
            for first in range(0, self.rows, BLOCK_ROWS):
                block = self._block(file, first, min(first + BLOCK_ROWS, self.rows), None, failed)
                names = list(block)
                for values in zip(*map(as_list, block.values())): yield dict(zip(names, values))

    def table(self, *names):
        """{column: array} of all columns or of those named: arrays of numbers, and arrays of objects for texts, lists and values that
        may be None. pandas.DataFrame(run.table()) accepts it."""
        with opened(self.path) as file: block = self._block(file, 0, self.rows, names or None, failed_prompts(file))
        if missing := [n for n in names if n not in block]:
            raise KeyError(f"{self.path}: has no column {missing[0]}; there are: {', '.join(self.columns())}")
        return {name: block[name] if isinstance(block[name], np.ndarray) else as_objects(block[name]) for name in names or block}

    def columns(self):
        """The names of all columns."""
        with opened(self.path) as file: return list(self._block(file, 0, min(1, self.rows), None, failed_prompts(file)))

    def _block(self, file, first, end, names, failed):
        """{column: values} of some rows, of all columns or of those named: arrays of numbers, lists of everything else."""
        done, out = file["completions"], {}
        prompts = done["prompt_index"][first:end]
        def wanted(name): return names is None or name in names
        for name, item in done.items():
            if name == "logprobs" or not wanted(name): continue
            if not isinstance(item, h5py.Group): out[name] = plain(item[first:end])
            elif "values" in item: out[name] = parts_of(item, "values", item["offsets"][first:end + 1])  # otherwise only what logprobs need
        for name, codes in (("status", STATUS), ("finish_reason", FINISH)):
            if name in out: out[name] = [codes[c] if c < len(codes) else str(c) for c in out[name]]
        if "stop_reason" in out: out["stop_reason"] = [reason or None for reason in out["stop_reason"]]
        if "logprobs" in done and any(map(wanted, ("logprobs", "top_ids", "top_logprobs"))): out.update(logprobs_of(done, first, end))
        at = (prompts - np.uint64(self.first_prompt)).astype("i8")
        self._of_prompts(file, at, out, wanted)
        if wanted("error_code") or wanted("error_message"): out.update(errors_of(file, failed, prompts, done["sample_index"][first:end]))
        return {name: values for name, values in out.items() if wanted(name)}

    @staticmethod
    def _of_prompts(file, at, out, wanted):
        """Columns with one value per prompt, repeated for each of its rows."""
        low, high = (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)
        def spread(values): return values[at - low] if isinstance(values, np.ndarray) else [values[i] for i in (at - low).tolist()]
        carried = file["carry"] if "carry" in file else {}
        for name, item in zip(names_in_rows(carried), carried.values()):
            if not wanted(name): continue
            if isinstance(item, h5py.Group): out[name] = spread(parts_of(item, "values", item["offsets"][low:high + 1]))
            else: out[name] = spread(plain(item[low:high]))
        for name in ("prompt_logprobs", "prompt_token_ids"):
            if name not in file or not wanted(name): continue
            parts = parts_of(file[name], "values", file[name]["offsets"][low:high + 1])
            out[name] = spread([without_nan(p) for p in parts] if name == "prompt_logprobs" else parts)


def names_in_rows(carried):
    """The names of the input's columns, as in outputs.py: no two columns get the same name."""
    used = OWN | set(carried)
    for name in carried:
        shown = name
        while name in OWN and shown in used: shown = f"input_{shown}"
        used.add(shown)
        yield shown


def as_list(values):
    """A column as Python values, without NaN."""
    return values if isinstance(values, list) else without_nan(values) if values.dtype.kind == "f" else values.tolist()


def as_objects(values):
    array = np.empty(len(values), object)
    for i, value in enumerate(values): array[i] = value
    return array


def text_of(value): return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def plain(values):
    """A column of numbers as the array that it is, any other as a list of Python values."""
    return values if values.dtype.kind in "iubf" and values.ndim == 1 else [nested(v) for v in values.tolist()]


def nested(value): return [nested(v) for v in value] if isinstance(value, (list, tuple, np.ndarray)) else text_of(value)


def without_nan(values): return [None if v != v else v for v in values.tolist()]


def parts_of(group, name, ends):
    """The rows of a packed column: texts, or lists of numbers."""
    ends = ends.tolist()
    if len(ends) < 2: return []
    values = group[name][ends[0]:ends[-1]]
    parts = [values[a - ends[0]:b - ends[0]] for a, b in zip(ends, ends[1:])]
    if values.dtype == np.uint8: return [p.tobytes().decode("utf-8", "backslashreplace") for p in parts]
    return parts if values.dtype.kind == "f" else [p.tolist() for p in parts]


def logprobs_of(done, first, end):
    ends = done["token_ids/offsets"][first:end + 1]  # exists with logprobs, whatever output.store lists
    group, out = done["logprobs"], {}
    out["logprobs"] = [None if len(p) and np.isnan(p).all() else without_nan(p) for p in parts_of(group, "values", ends)]
    if "top_ids" in group:  # a row that asked for fewer has ids of -1 after its own; a row that asked for none has only those
        ids, values = parts_of(group, "top_ids", ends), [p.tolist() for p in parts_of(group, "top_values", ends)]
        none = [p is None for p in out["logprobs"]]
        out["top_ids"] = [None if off else [[t for t in tokens if t >= 0] for tokens in row] for off, row in zip(none, ids)]
        out["top_logprobs"] = [None if off else [[v for t, v in zip(*pair) if t >= 0] for pair in zip(row, at)]
                               for off, row, at in zip(none, ids, values)]
    return out


def failed_prompts(file): return file["errors/prompt_index"][:] if "errors" in file else np.empty(0, "u8")


def errors_of(file, failed, prompts, samples):
    """error_code and error_message of some rows; None for good rows. `failed` are the prompts of all failed rows."""
    found = {}
    if len(failed) and len(prompts):
        low, high = np.searchsorted(failed, [prompts[0], prompts[-1] + np.uint64(1)])
        columns = [file[f"errors/{n}"][low:high].tolist() for n in ("prompt_index", "sample_index", "code", "message")]
        found = {(p, s): (text_of(code), text_of(message)) for p, s, code, message in zip(*columns)}
    rows = [found.get(key, (None, None)) for key in zip(prompts.tolist(), samples.tolist())]
    return {"error_code": [code for code, _ in rows], "error_message": [message for _, message in rows]}


# Following a run

def follow(path, poll_seconds=2.0, timeout_seconds=None):
    """Yields each row of a running (or finished) run once, one shard at a time as shards are finished, and ends with the run. It may be
    called before the run begins, and waits through kills and further attempts. (For a run that is extended meanwhile, call it again.)
    After timeout_seconds without a new row it raises TimeoutError; without it, it waits without limit."""
    path, seen, run_id, last = pathlib.Path(path), set(), None, time.monotonic()
    while True:
        run = manifest(path)
        if run and run_id not in (None, run["run_id"]):
            raise RuntimeError(f"{path}: holds a different run now (--overwrite?); follow it again")
        if run:
            run_id = run["run_id"]
            whole = read_if_there(path / "outputs.h5", run_id)
            if whole is not None and len(whole) >= run.get("completions", 0):  # otherwise it is the file from before the run was extended
                for row in whole:
                    if row["prompt_index"] // run["shard_prompts"] not in seen: yield row
                return
            for file in sorted((path / "shards").glob("shard-*.h5")):
                number = int(file.stem.partition("-")[2])
                if number in seen: continue
                shard = read_if_there(file, run_id)
                if shard is None: continue
                rows = read_or_none(shard)
                if rows is None: continue
                seen.add(number)
                yield from rows
                last = time.monotonic()
            if len(seen) >= -(-run["prompts"] // run["shard_prompts"]): return  # a run that makes no outputs.h5
        if timeout_seconds is not None and time.monotonic() - last > timeout_seconds:
            raise TimeoutError(f"{path}: no new row in {timeout_seconds:g} s; `moemill status {path}` shows the run's state")
        time.sleep(poll_seconds)


def manifest(path):
    """run.json, or None if it does not exist yet."""
    try:
        run = json.loads((path / "run.json").read_bytes())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return run if {"run_id", "prompts", "shard_prompts"} <= run.keys() else None


def read_if_there(file, run_id):
    """A file of this run; None if it does not exist, or no longer: shards are removed when outputs.h5 is complete."""
    try:
        run = Run(file) if file.exists() else None
    except PermissionError:
        raise  # it would never appear, and the loop would wait for ever
    except (OSError, KeyError, ValueError):
        return None
    return run if run and text_of(run.attrs.get("run_id")) == run_id else None


def read_or_none(shard):
    try:
        return list(shard)
    except (OSError, KeyError):
        return None  # it was removed while it was read; outputs.h5 has its rows
