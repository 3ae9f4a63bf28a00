#!/usr/bin/env python3
"""Columns whose values are stored elsewhere: links, virtual datasets, raw files. Missing values are reported before the
start, a change of values between two attempts ends the run, and a change of storage alone does not.

    linked_input.py MOEMILL SOURCE_DIR WORK_DIR [--library NO_LOCKS]"""
import hashlib
import json
import pathlib
import shutil
import sys

import h5py
import numpy as np

LIBRARY = None
if "--library" in sys.argv:
    at = sys.argv.index("--library")
    LIBRARY = str(pathlib.Path(sys.argv[at + 1]).resolve())
    del sys.argv[at:at + 2]

from moemill_program import MODELS, SECONDS, SOURCE, check, differences, expect_exit, fresh, main, moemill, start, write_prompts, write_run_json  # noqa: E402
sys.path.insert(0, str(SOURCE / "tests/program/runs"))
from resume import wait_for_rows  # noqa: E402

sys.path.insert(0, str(SOURCE / "scripts"))
from moemill_tools.contents import input_columns  # noqa: E402


def run(folder, name="p.h5", out="out", code=0, env=None, cwd=None, sets=(), words=()):
    words = [*words] + [w for s in sets for w in ("--set", s)]
    return expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", folder / name if cwd is None else name, "-o", folder / out,
                               "--set", "sampling.max_tokens=2", *words, env=env, cwd=cwd), code)


def write_virtual(path, rows, maps, **how):
    """A virtual dataset x of this many numbers beside as many prompts. `maps`: (rows, file, dataset, its rows, total rows)."""
    layout = h5py.VirtualLayout((rows,), "i8")
    for target, file, name, count, taken in maps: layout[target] = h5py.VirtualSource(file, name, (count,), "i8")[taken]
    with h5py.File(path, "w") as f:
        f["prompt"] = [f"prompt {i}" for i in range(rows)]
        f.create_virtual_dataset("x", layout, **how)


def write_numbered(path, pattern, rows, name=b"x"):
    """Sources of two numbers each, one per file: %b stands for the number."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    target = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
    target.select_hyperslab((0,), (h5py.h5s.UNLIMITED,), (2,), (2,))
    settings.set_virtual(target, pattern, name, h5py.h5s.create_simple((2,)))
    with h5py.File(path, "w") as f:
        f["prompt"] = [f"prompt {i}" for i in range(rows)]
        h5py.h5d.create(f.id, b"x", h5py.h5t.NATIVE_INT64, target, settings)


def carried(folder, out="out"):
    with h5py.File(folder / out / "outputs.h5") as f: return f["carry/x"][:].tolist()


def sources_of_virtual_datasets():
    folder, every = fresh("virtual"), slice(None)
    for i in range(4):
        with h5py.File(folder / f"b-{i}.h5", "w") as f: f["x"] = np.arange(2) + 10 * i
    two = [(slice(0, 2), "b-0.h5", "x", 2, every), (slice(2, 4), "b-1.h5", "x", 2, every)]
    write_virtual(folder / "good.h5", 4, two)
    write_virtual(folder / "nested.h5", 4, [(every, "good.h5", "x", 4, every)])
    write_virtual(folder / "filled.h5", 4, two[:1], fillvalue=-1)
    write_numbered(folder / "numbered.h5", b"b-%b.h5", 8)
    for name, want in (("good", [0, 1, 10, 11]), ("nested", [0, 1, 10, 11]), ("filled", [0, 1, -1, -1]), ("numbered", [0, 1, 10, 11, 20, 21, 30, 31])):
        run(folder, f"{name}.h5", name)
        check(carried(folder, name) == want, name, carried(folder, name))
    write_virtual(folder / "half.h5", 4, two[:1])
    write_virtual(folder / "nameless.h5", 2, [(every, "b-0.h5", "nope", 2, every)])
    write_virtual(folder / "nested_nameless.h5", 2, [(every, "nameless.h5", "x", 2, every)])
    write_virtual(folder / "short.h5", 3, [(every, "b-0.h5", "x", 5, slice(1, 4))])
    write_virtual(folder / "gone.h5", 4, [two[0], (slice(2, 4), "gone/b.h5", "x", 2, every)])
    for name, said in (("half", "only 2 have a source"), ("nameless", "no dataset 'nope'"), ("nested_nameless", "no dataset 'nope'"),
                       ("short", "its shape has changed"), ("gone", "'gone/b.h5', which cannot be opened")):
        for command in ("run", "validate"):
            words = [command, "--model", MODELS / "deepseek_v3", "-i", folder / f"{name}.h5", "-o", folder / "none"]
            done = expect_exit(moemill(*words), 2)
            check(said in done.stderr and f"{name}.h5: dataset '/x'" in done.stderr and done.stderr.count("\n") == 1, name, done.stderr)
    check(not (folder / "none").exists(), "a run was begun")
    # The places where HDF5 looks: beside the named file, beside the file that a link leads to, in the folders of a variable.
    (folder / "linked").mkdir()
    (folder / "linked/good.h5").symlink_to(folder / "good.h5")
    run(folder, "linked/good.h5", "by_link")
    (folder / "moved").mkdir()
    (folder / "b-1.h5").rename(folder / "moved/b-1.h5")
    check("'b-1.h5', which cannot be opened" in run(folder, "good.h5", code=2).stderr)
    check("'b-1.h5', which cannot be opened" in run(folder, "numbered.h5", code=2).stderr, "there is a b-2.h5 behind it")
    run(folder, "good.h5", "by_variable", env={"HDF5_VDS_PREFIX": f"/nowhere:{folder / 'moved'}"})
    check(carried(folder, "by_link") == carried(folder, "by_variable") == [0, 1, 10, 11])


def rows_that_no_source_gives():
    """A fill value is neither a prompt nor a setting; rows that are not taken from a source may be missing."""
    folder = fresh("unmapped")
    with h5py.File(folder / "b.h5", "w") as f: f["t"], f["n"], f["p"] = np.array([b"one", b"two"], "S8"), np.array([1, 2]), np.array([b"q"] * 6, "S8")
    def virtual(path, name, kind, rows, maps, fill):
        layout = h5py.VirtualLayout((rows,), kind)
        for target, file, source, count, taken in maps: layout[target] = h5py.VirtualSource(folder / file, source, (count,), kind)[taken]
        with h5py.File(folder / path, "a") as f: f.create_virtual_dataset(name, layout, fillvalue=fill)
    every, halves = slice(None), [(slice(0, 1), "b.h5", "t", 2, slice(0, 1)), (slice(3, 4), "b.h5", "t", 2, slice(1, 2))]
    virtual("prompt.h5", "prompt", "S8", 4, halves, b"fill")
    with h5py.File(folder / "n.h5", "w") as f: f["prompt"] = ["a", "b", "c"]
    virtual("n.h5", "n", "i8", 3, [(slice(0, 2), "b.h5", "n", 2, every)], -1)
    virtual("twice.h5", "prompt", "S8", 4, [(slice(0, 2), "b.h5", "t", 2, every), (slice(1, 3), "b.h5", "t", 2, every)], b"fill")
    virtual("over.h5", "prompt", "S8", 3, [(every, "prompt.h5", "prompt", 4, slice(1, 4))], b"")
    for name, said in (("prompt", "'/prompt': is a virtual dataset of 4 values, of which only 2 have a source (not rows 1 to 2)"),
                       ("n", "'/n': is a virtual dataset of 3 values, of which only 2 have a source (not row 2)"),
                       ("twice", "only 3 have a source (not row 3)"), ("over", "(not rows 1 to 2)")):
        done = run(folder, f"{name}.h5", code=2)
        check(said in done.stderr and "a fill value is no prompt" in done.stderr, name, done.stderr)
    virtual("whole.h5", "prompt", "S8", 6, [(slice(0, 6, 2), "b.h5", "p", 6, slice(0, 3)), (slice(1, 6, 2), "b.h5", "p", 6, slice(3, 6))], b"fill")
    virtual("part.h5", "prompt", "S8", 1, [(every, "prompt.h5", "prompt", 4, slice(3, 4))], b"")
    for name in ("whole", "part"): run(folder, f"{name}.h5", name)


def links_that_lead_nowhere():
    """A dangling link used to count as absent, and with it a setting of all rows."""
    folder = fresh("dangling")
    def refused(make, *said):
        with h5py.File(folder / "p.h5", "w") as f: make(f)
        done = run(folder, code=2)
        for part in said: check(part in done.stderr, part, done.stderr)
        check("damaged" not in done.stderr, done.stderr)
    link = h5py.ExternalLink
    refused(lambda f: f.update({"prompt": link("gone.h5", "/prompt")}), "dataset '/prompt': is a link to '/prompt' of 'gone.h5'", "which cannot be opened")
    def more(name, what):
        def make(f): f["prompt"], f[name] = ["a", "b"], what
        return make
    refused(more("temperature", link("gone.h5", "/t")), "dataset '/temperature': is a link to '/t' of 'gone.h5'")
    refused(more("topic", h5py.SoftLink("/elsewhere")), "dataset '/topic': is a link to '/elsewhere' of this file")
    refused(more("topic", link("p.h5", "/elsewhere")), "dataset '/topic': is a link to '/elsewhere' of 'p.h5'")
    refused(lambda f: f.update({"prompt/offsets": [0, 1], "prompt/values": link("gone.h5", "/v")}), "dataset '/prompt/values': is a link")
    run(folder, sets=["input.group=/none"], code=2)
    with h5py.File(folder / "p.h5", "w") as f: more("topic", link("gone.h5", "/t"))(f)
    run(folder, sets=["output.carry_columns=[]"])  # then the column is not needed
    with h5py.File(folder / "p.h5", "w") as f:
        f["prompt"] = ["a", "b"]
        f.create_dataset("x", (2,), "i8", external=[(str(folder / "raw.bin"), 0, 16)])
    check("raw.bin', which is not there" in run(folder, out="raw", code=2).stderr)
    (folder / "raw.bin").write_bytes(b"\1" * 9)
    check("raw.bin', which is too short" in run(folder, out="raw", code=2).stderr)
    (folder / "raw.bin").write_bytes(np.array([7, 8], "<i8").tobytes())
    run(folder, out="raw")
    check(carried(folder, "raw") == [7, 8])


def raw_files_that_end_early():
    """HDF5 reads zeros after the end of such files. h5py's external='x.raw' names no size: it means the rest of the file."""
    folder = fresh("raw")
    def write(*external):
        with h5py.File(folder / "p.h5", "w") as f:
            f["prompt"] = ["a", "b", "c"]
            f.create_dataset("x", (3,), ">i8", external=external[0] if isinstance(external[0], str) else list(external))
    raw, more = folder / "x.raw", folder / "more.raw"
    unlimited = h5py.h5f.UNLIMITED
    values = np.array([7, 8, 9], ">i8").tobytes()
    for case, (external, whole) in enumerate((
            ([str(raw)], {raw: values}), ([(str(raw), 5, unlimited)], {raw: bytes(5) + values}), ([(str(raw), 0, 24)], {raw: values}),
            ([(str(more), 2, 10), (str(raw), 1, unlimited)], {more: bytes(2) + values[:10], raw: bytes(1) + values[10:]}),
            ([(str(raw), 0, 1000)], {raw: values}))):
        write(*external)
        for path, data in whole.items(): path.write_bytes(data)
        run(folder, out=f"whole{case}")
        check(carried(folder, f"whole{case}") == [7, 8, 9], case, carried(folder, f"whole{case}"))
        for path, data in whole.items():
            for size in (len(data) - 1, 0):
                path.write_bytes(data[:size])
                done = run(folder, out="short", code=2)
                check(f"{path.name}', which is too short" in done.stderr and "dataset '/x'" in done.stderr, case, done.stderr)
            path.write_bytes(data)
    check(not (folder / "short").exists(), "a run was begun")


def without_file_locks():
    """If flock fails, HDF5 used to return fill values for the targets of links."""
    if not LIBRARY: return
    folder = fresh("locks")
    with h5py.File(folder / "part.h5", "w") as f: f["prompt"], f["x"] = ["one", "two three"], [4, 5]
    write_virtual(folder / "p.h5", 2, [(slice(None), "part.h5", "x", 2, slice(None))])
    with h5py.File(folder / "p.h5", "a") as f:
        del f["prompt"]
        f["prompt"] = h5py.ExternalLink("part.h5", "/prompt")
    run(folder)
    run(folder, out="unlocked", env={"LD_PRELOAD": LIBRARY})
    run(folder, out="insists", env={"LD_PRELOAD": LIBRARY, "HDF5_USE_FILE_LOCKING": "TRUE"})
    for out in ("unlocked", "insists"): check(not differences(folder / "out/outputs.h5", folder / out / "outputs.h5"), out)
    check(carried(folder) == [4, 5], carried(folder))


def odd_columns(f, rows=3):
    text = h5py.string_dtype()
    f["pair"] = np.array([[b"ab", b"c"]] * rows, "S4")
    f["latin"] = np.array([b"caf\xe9"] * rows, "S6")
    tags = f.create_dataset("tags", (rows,), h5py.vlen_dtype(text))  # the other rows are never written
    tags[0] = np.array(["x", "yü"], object)
    lists = f.create_dataset("lists", (rows,), h5py.vlen_dtype(h5py.vlen_dtype(np.int32)))
    inner = np.empty(2, object)
    inner[:] = [np.array([1, 2], np.int32), np.array([3], np.int32)]
    lists[0] = inner
    f.create_dataset("table", (rows, 2), text)[0] = ["a", "b"]
    record = np.dtype([("a", ">i4"), ("t", text), ("v", h5py.vlen_dtype(np.int16)), ("s", "S3"), ("m", "<f4", (2, 2))])
    f.create_dataset("record", (rows,), record)[0] = (1, "q", np.array([1, 2], np.int16), b"s", np.ones((2, 2)))
    f["flag"] = np.arange(rows) % 2 == 0
    f["kind"] = np.zeros(rows, h5py.enum_dtype({"A": 0, "B": 1}, "u2"))
    f["opaque"] = np.array([b"1234"] * rows, "V4")
    f["complex"] = np.ones(rows, "c8") * 2j
    f["big"] = np.arange(rows, dtype=">f8")


def columns_of_odd_form():
    """All columns are carried unchanged, and input_sha256 equals the value that scripts/ compute from its definition."""
    folder = fresh("odd")
    with h5py.File(folder / "p.h5", "w") as f:
        g = f.create_group("in")
        g["prompt/values"], g["prompt/offsets"] = np.frombuffer(b"one two three", "u1"), np.array([0, 4, 8, 13], "u4")
        g["id"], g["n"] = ["a", "b", "ç"], [1.0, 2.0, np.nan]
        odd_columns(g)
    for limit in (3, 2):
        run(folder, out=f"out{limit}", sets=["input.group=/in", f"input.limit={limit}"])
        expect_exit(moemill("verify", "--deep", folder / f"out{limit}"), 0)
        with h5py.File(folder / f"out{limit}/outputs.h5") as o, h5py.File(folder / "p.h5") as p:
            names = ["prompt/values", "prompt/offsets", *(n for n in p["in"] if n != "prompt")]
            want = input_columns(p["in"], names, limit)
            check(o.attrs["input_columns"] == want, o.attrs["input_columns"], want)
            check(o.attrs["input_sha256"] == hashlib.sha256(want.encode()).hexdigest())
            for name in o["carry"]:
                a, b = o["carry"][name], p["in"][name]
                check(a.dtype == b.dtype and repr(a[:].tolist()) == repr(b[:limit].tolist()), name, a[:], b[:])


def contents_count_not_bytes():
    """The same values stored differently resume; different values, also behind a link, do not, and the column is named."""
    folder = fresh("contents")
    def write(word="one", topic=(1, 2, 3), more=False, **how):
        with h5py.File(folder / "part.h5", "w") as f: f.create_dataset("prompt", data=[f"{word} {i}" for i in range(3)], **how)
        with h5py.File(folder / "p.h5", "w") as f:
            f["prompt"] = h5py.ExternalLink("part.h5", "/prompt")
            f.create_dataset("topic", data=np.array(topic), **how)
            if more: f["more"] = [1, 2, 3]
    write()
    run(folder)
    kept = (folder / "out/outputs.h5").read_bytes()
    write(chunks=(2,), compression="gzip")
    with h5py.File(folder / "p.h5", "a") as f: f.attrs["note"], f["topic"].attrs["unit"] = "added", "m"
    run(folder)
    for changes, said in (({"word": "two"}, "column prompt"), ({"topic": (1, 2, 4)}, "column topic"), ({"more": True}, "column more"),
                          ({"word": "two", "topic": (1, 2, 4)}, "columns prompt, topic")):
        write(**changes)
        for words in (["run"], ["validate"]):
            done = expect_exit(moemill(*words, "--model", MODELS / "deepseek_v3", "-i", folder / "p.h5", "-o", folder / "out",
                                       "--set", "sampling.max_tokens=2"), 2)
            check(f"the contents of input.path: {said} (input_sha256 " in done.stderr, said, done.stderr)
    write("two")
    done = moemill("verify", folder / "out", "--replay", "1")
    check(done.returncode == 1 and "column prompt changed" in done.stdout, done.stdout)
    check((folder / "out/outputs.h5").read_bytes() == kept, "outputs.h5 was touched")


def runs_of_an_older_moemill():
    """Their run.json has the SHA-256 of the file as a whole: they can be resumed only with exactly that file."""
    folder = fresh("older")
    with h5py.File(folder / "p.h5", "w") as f: f["prompt"] = ["one", "two"]
    run(folder)
    manifest = json.loads((folder / "out/run.json").read_text())
    del manifest["fingerprints"]["input_columns"]
    manifest["fingerprints"]["input_sha256"] = hashlib.sha256((folder / "p.h5").read_bytes()).hexdigest()
    write_run_json(folder / "out", manifest)
    run(folder)
    with h5py.File(folder / "p.h5", "a") as f: f.attrs["note"] = "added"
    check("older moemill" in run(folder, code=2).stderr)


def runs_of_an_older_arithmetic():
    """What they have stays; they make no row here, and none is replayed."""
    folder = fresh("arithmetic")
    with h5py.File(folder / "p.h5", "w") as f: f["prompt"] = ["one", "two"]
    def again(code, *words): return run(folder, code=code, sets=("output.keep_shards=true",), words=words)
    again(0)
    with h5py.File(folder / "out/outputs.h5") as o: check(o.attrs["arithmetic"] == "exact-3-groups", o.attrs["arithmetic"])
    manifest = json.loads((folder / "out/run.json").read_text())
    check(manifest["fingerprints"].pop("arithmetic") == "exact-3-groups", manifest)
    write_run_json(folder / "out", manifest)
    again(0)  # nothing to do
    replay = moemill("verify", folder / "out", "--replay", "1")
    check(replay.returncode == 2 and "exact-1" in replay.stderr, replay.stdout, replay.stderr)
    check("exact-1" in again(2, "--retry-failed").stderr)
    (folder / "out/outputs.h5").unlink()
    refused = again(2).stderr
    check("exact-1" in refused and "--overwrite" in refused, refused)
    check("exact-1" in moemill("status", folder / "out").stdout or "exact-1" in moemill("status", folder / "out").stderr)
    again(0, "--overwrite")


def rewritten_while_a_job_reads_it():
    """The file is rewritten in place, as three lines of h5py do. No shard has rows of the new file; with the old file the run resumes."""
    folder = fresh("rewritten")
    columns = {"prompt": [f"prompt {i}" for i in range(120)], "x": list(range(120))}
    write_prompts(folder / "p.h5", columns)
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\nsampling: {{max_tokens: 60, ignore_eos: true}}\nparallel: {{max_num_seqs: 8}}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 8, journal_flush_seconds: 0.01, store: [text, token_ids, prompt_token_ids]}}\n")
    expect_exit(moemill("run", "-c", folder / "run.yaml", "-o", folder / "whole"), 0)
    changes = ({**columns, "prompt": [p.upper() for p in columns["prompt"]]}, {**columns, "x": [-1] * 120}, None)
    for ranks, change in zip((0, 0, 2), changes):
        shutil.rmtree(folder / "out", ignore_errors=True)
        job = start(folder, ranks)
        check(wait_for_rows(folder, job, 1), "the job was over before its prompts could change")
        if change: write_prompts(folder / "p.h5", change)
        else: (folder / "p.h5").write_bytes((folder / "p.h5").read_bytes()[:2000])
        said = job.communicate(timeout=SECONDS)[1]
        check(job.returncode == 2 and "was written to while this job reads it, and " in said, job.returncode, said)
        if change: check("input_sha256" in expect_exit(moemill("run", "-c", folder / "run.yaml"), 2).stderr)
        write_prompts(folder / "p.h5", columns)
        expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
        check(not differences(folder / "whole/outputs.h5", folder / "out/outputs.h5"), "rows of other prompts")
        expect_exit(moemill("verify", folder / "out", "--deep"), 0)


if __name__ == "__main__":
    main([sources_of_virtual_datasets, rows_that_no_source_gives, links_that_lead_nowhere, raw_files_that_end_early, without_file_locks, columns_of_odd_form, contents_count_not_bytes, rewritten_while_a_job_reads_it,
          runs_of_an_older_moemill, runs_of_an_older_arithmetic])
