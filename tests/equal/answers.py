"""The answers of two outputs.h5: what differs first, and how many of the tokens that were drawn differ."""
import json

import h5py
import numpy as np

from output_files import datasets

# Root attributes in which two runs with the same answers may differ; lib/dataset/README.md describes them.
OF_THE_RUN = {"run_id", "created_utc", "moemill_version", "git_commit", "world_size", "slurm_job_id"}
SETTINGS = ("model.", "input.", "sampling.", "errors.")  # sections of config_yaml that are part of the answers
NEW_WORDS = {("model.arithmetic", "exact"): "bf16"}  # of settings that programs have renamed
# What a drawn token changes. Everything else is the same for any draw.
DRAWN = ("finish_reason", "num_completion_tokens", "cumulative_logprob", "text/", "token_ids/", "stop_reason/", "logprobs/")


def first_difference(old, new):
    """The first difference between two outputs.h5, as text; None if they are equal."""
    return different_values(old, new) or different_attributes(old, new) or different_root(old, new)


def different_values(old, new, ignore=lambda name: False):
    left, right = ({n: v for n, v in datasets(path).items() if not ignore(n)} for path in (old, new))
    only = sorted(left.keys() ^ right.keys())
    if only: return f"{only[0]} is in the {'old' if only[0] in left else 'new'} file alone"
    for name in left:
        if left[name] == right[name]: continue
        for what, a, b in zip(("type", "shape"), left[name], right[name]):
            if a != b: return f"{name}: {what} {a}, then {b}"
        return different_element(old, new, name)
    return None


def different_element(old, new, name):
    """`name` has the same shape in both files, and different bytes."""
    with h5py.File(old) as f, h5py.File(new) as g:
        a, b = f[name][()], g[name][()]
        if a.dtype.hasobject:
            same = np.array([repr(x) == repr(y) for x, y in zip(a.ravel(), b.ravel())])
        else:
            raw = [np.ascontiguousarray(x).view(np.uint8).reshape(a.size, a.itemsize) for x in (a, b)]
            same = (raw[0] == raw[1]).all(axis=1)
        at = int(np.argmin(same))
        row = ""
        offsets = name.rsplit("/", 1)[0] + "/offsets"
        if name.startswith("completions/logprobs/"): offsets = "completions/token_ids/offsets"
        if not name.endswith("/offsets") and offsets in f:
            per_element = a.size // max(1, a.shape[0])
            row = f" of row {np.searchsorted(f[offsets][()], at // per_element, side='right') - 1}"
        count = int((~same).sum())
        return f"{name}[{at}]{row}: {a.ravel()[at]!r}, then {b.ravel()[at]!r}; {count:,} of {a.size:,} values differ"


def different_attributes(old, new):
    """Attributes of groups and datasets, which name the codes; and groups without members."""
    def attributes(path):
        found = {}
        with h5py.File(path) as f:
            f.visititems(lambda name, item: found.update({name: repr({k: plain(v) for k, v in item.attrs.items()})}))
        return found
    left, right = attributes(old), attributes(new)
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name): return f"attributes of {name}: {left.get(name)}, then {right.get(name)}"
    return None


def plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


def different_root(old, new):
    """Every description of answers in the old file is also in the new one, which may have more."""
    left, right = about(old), about(new)
    for name, value in left.items():
        if right.get(name) != value: return f"{name}: {value!r}, then {right.get(name)!r}"
    return None


def about(path):
    """Root attributes that describe the answers, settings one by one, and run.json's fingerprints."""
    with h5py.File(path) as f: found = {f"root attribute {k}": plain(v) for k, v in f.attrs.items() if k not in OF_THE_RUN}
    backend = "root attribute backend"
    found[backend] = found[backend].split()[0]  # the kernel bodies come after it
    config = settings(found.pop("root attribute config_yaml"))
    fingerprints = json.loads((path.parent / "run.json").read_text())["fingerprints"]
    return (found | {f"config_yaml {k}": v for k, v in config.items() if k.startswith(SETTINGS)}
            | {f"run.json's {k}": v for k, v in fingerprints.items()})


def settings(config_yaml):
    """{"sampling.temperature": "1", ...}: what the program writes has one key on a line and two spaces for a level."""
    found, sections = {}, []
    for line in config_yaml.splitlines():
        key, _, value = line.partition(":")
        sections[len(key) - len(key.lstrip()) >> 1:] = [key.strip()]
        name = ".".join(sections)
        found[name] = NEW_WORDS.get((name, value.strip()), value.strip())
    return found


def changed_draws(old, new, temperature):
    """(what else differs or None, drawn tokens, how many of them changed, rows that changed). `temperature` of each
    prompt: rows that are greedy have nothing to draw."""
    def drawn_column(name): return name.removeprefix("completions/").startswith(DRAWN) and name.startswith("completions/")
    other = different_values(old, new, ignore=drawn_column) or different_attributes(old, new) or different_root(old, new)
    if other: return other, 0, 0, 0
    tokens = changed = rows = 0
    with h5py.File(old) as f, h5py.File(new) as g:
        prompt_index = f["completions/prompt_index"][:]
        for row, (a, b) in enumerate(zip(drawn_values(f), drawn_values(g))):
            greedy = temperature[prompt_index[row]] == 0
            if greedy and repr(a) != repr(b): return f"row {row} is greedy and differs", 0, 0, 0
            if greedy: continue
            if "token_ids" not in a:  # a run that stores text alone
                rows += repr(a) != repr(b)
                continue
            ours, theirs = a["token_ids"], b["token_ids"]
            tokens += len(ours)
            differ = sum(x != y for x, y in zip(ours, theirs)) + abs(len(ours) - len(theirs))
            changed, rows = changed + differ, rows + (differ > 0)
            if not differ and repr(a) != repr(b): return f"row {row} has the same tokens and differs", 0, 0, 0
    return None, tokens, changed, rows


def drawn_values(file):
    """One dictionary per completion of what a drawn token changes."""
    c = file["completions"]
    rows = [{} for _ in range(len(c["prompt_index"]))]
    for name in c:
        if not (name + "/").startswith(DRAWN) and name not in DRAWN: continue
        for part in c[name] if isinstance(c[name], h5py.Group) else [""]:
            if part == "offsets": continue
            values = c[f"{name}/{part}"][()].tolist() if part else c[name][()].tolist()
            offsets = c["token_ids" if name == "logprobs" else name]["offsets"][:] if part else range(len(rows) + 1)
            for i, row in enumerate(rows): row[name if part in ("", "values") else f"{name}/{part}"] = values[offsets[i]:offsets[i + 1]]
    return rows
