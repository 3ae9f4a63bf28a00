#!/usr/bin/env python3
"""scripts/outputs.py --scores and --format pairs: scores in every form, in wrong forms, of a different run; ties.

    scores_in.py WORK_DIR [TEST ...]"""
import gzip
import json
import pathlib
import sys

import h5py

from tools import HAS_PYARROW, OutputsMaker, check, main, read_lines, script, write_lines


def run_of(path, ids, texts=None, samples=2, **carried):
    """Good rows: `samples` for each prompt."""
    prompts, count = [p for p in range(len(ids)) for _ in range(samples)], len(ids) * samples
    made = OutputsMaker(path).rows(prompts, list(range(samples)) * len(ids), [ids[p] for p in prompts],
                                   [t.encode() for t in texts or [f"text {i}" for i in range(count)]], [[1]] * count)
    made.carry("messages", [json.dumps([{"role": "user", "content": f"ask {i}"}]) for i in ids])
    for name, values in carried.items(): made.carry(name, values)
    made.done()
    return path


def scored(work, source, scores, *words):
    """The score of each row, in order, and the notes."""
    done = script("outputs", source, "-o", work / "o.jsonl", "--overwrite", "--scores", scores, "--add", "score", *words)
    return [row["score"] for row in read_lines(work / "o.jsonl")], done.stderr


def refused(work, source, scores, *words):
    """The one line of the error, for a file with that name."""
    for old in work.glob("no.jsonl*"): old.unlink()
    done = script("outputs", source, "-o", work / "no.jsonl", "--scores", scores, "--format", "pairs", *words, code=2)
    check(done.stderr.startswith(f"outputs.py: {scores}: ") and done.stderr.count("\n") == 1, done.stderr)
    check(not list(work.glob("no.jsonl*")), "something was left")
    return done.stderr


def in_every_file(work, stem, rows):
    """The rows as JSON lines, CSV, HDF5 and Parquet."""
    yield write_lines(work / f"{stem}.jsonl", rows)
    lines = [",".join(rows[0])] + [",".join(str(v) for v in row.values()) for row in rows]
    (work / f"{stem}.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    yield work / f"{stem}.csv"
    with h5py.File(work / f"{stem}.h5", "w") as f:
        for name in rows[0]: f[name] = [row[name] for row in rows]
    yield work / f"{stem}.h5"
    if HAS_PYARROW:
        import pyarrow as pa
        import pyarrow.parquet as pq
        pq.write_table(pa.Table.from_pylist(rows), work / f"{stem}.parquet")
        yield work / f"{stem}.parquet"


def whole_numbers_in_every_way(work):
    """pandas writes 3 as 3.0 if a column has a gap."""
    numbers, names = run_of(work / "n.h5", [10, 11, 12]), run_of(work / "s.h5", ["10", "11", "x.0"])
    want = [0, .5, 1, 1.5, 2, 2.5]
    for stem, form in (("whole", int), ("float", float), ("text", str), ("text-float", lambda n: f"{n}.0")):
        rows = [{"id": form(10 + i // 2), "sample_index": form(i % 2), "score": i / 2} for i in range(6)]
        for path in in_every_file(work, stem, rows): check(scored(work, numbers, path) == (want, ""), path.name, scored(work, numbers, path))
        by_index = write_lines(work / "i.jsonl", [{"prompt_index": form(i // 2), "sample_index": form(i % 2), "score": i / 2} for i in range(6)])
        check(scored(work, numbers, by_index)[0] == want, stem)
    for ident in (10, 10.0, "10"):  # text ids that look like numbers
        rows = [{"id": ident, "sample_index": 0, "score": 1}, {"id": "x.0", "sample_index": 1, "score": 2}]
        check(scored(work, names, write_lines(work / "t.jsonl", rows))[0] == [1, None, None, None, None, 2], ident)


def files_as_programs_write_them(work):
    """A byte order mark before the first name, a long text beside the score, compressed files, missing scores."""
    source = run_of(work / "a.h5", ["a", "ü"])
    rows = [("a", 0, "0.5"), ("a", 1, ""), ("ü", 0, "NaN"), ("ü", 1, "2")]
    text = "\ufeffid,sample_index,score,text\n" + "".join(f'{i},{s},{v},"{"x, " * 100000}\n"\n' for i, s, v in rows)
    (work / "a.csv").write_text(text, encoding="utf-8")
    with gzip.open(work / "b.csv.gz", "wt", encoding="utf-8") as f: f.write(text)
    (work / "c.jsonl").write_text("\ufeff" + "".join(json.dumps({"id": i, "sample_index": s, "score": json.loads(v or "null")}) + "\n\n" for i, s, v in rows),
                                  encoding="utf-8")
    for name in ("a.csv", "b.csv.gz", "c.jsonl"): check(scored(work, source, work / name) == ([.5, None, None, 2], ""), name)


def what_is_no_file_of_scores(work):
    source = run_of(work / "run.h5", [10, 11])
    good = '{"id": 10, "sample_index": 0, "score": 1}\n'
    def says(name, content, *words):
        (work / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        said = refused(work, source, work / name)
        check(all(w in said for w in words), name, content[:80], said)
    for line, words in (("[1]", ["line 3", "not a JSON object"]), ("7", ["line 3"]), ("{", ["line 3", "JSON"]), ("[" * 100000, ["line 3", "JSON"]),
                        ('{"id": "x", "sample_index": 0, "score": 1}', ["line 3", "'x'", "whole number"]), ('{"id": 10.5, "sample_index": 0, "score": 1}', ["10.5"]),
                        ('{"id": null, "sample_index": 0, "score": 1}', ["line 3", "id None"]), ('{"sample_index": 0, "score": 1}', ["line 3", "id None"]),
                        ('{"id": [1], "sample_index": 0, "score": 1}', ["[1]"]), ('{"id": true, "sample_index": 0, "score": 1}', ["True"]),
                        ('{"id": 11, "sample_index": "x", "score": 1}', ["line 3", "sample_index 'x'"]), ('{"id": 11, "sample_index": 0.5, "score": 1}', ["0.5"]),
                        ('{"id": 11, "sample_index": {}, "score": 1}', ["sample_index {}"]), ('{"id": 11, "sample_index": 0, "score": "good"}', ["'good'"]),
                        ('{"id": 11, "sample_index": 0, "score": [1]}', ["[1]"]), ('{"id": 11, "sample_index": 0, "score": 1e400}', ["inf", "finite"]),
                        ('{"id": 11, "sample_index": 0, "score": ' + "9" * 400 + "}", ["finite"]), ('{"id": 11, "sample_index": 0}', ["line 3", "no column score"]),
                        ('{"id": 10, "sample_index": 0.0, "score": 1}', ["more than one score"])):
        says("a.jsonl", good + "\n" + line + "\n", *words)
    says("b.jsonl", json.dumps([{"id": 10, "score": 1}], indent=1), "line 1")
    says("c.jsonl", good.encode() * 2000 + b'{"id": "\xff"}\n', "line 2001 is not UTF-8")
    says("d.jsonl", "", "no scores")
    says("e.jsonl.gz", gzip.compress(good.encode() * 5000)[:-20], "cannot be read")
    says("f.jsonl.gz", good, "cannot be read")
    head = "id,sample_index,score\n"
    says("a.csv", (head + "10,0,1\n").encode() + b"11,0,\xfc\n", "line 3 is not UTF-8")
    says("b.csv", head, "no scores")
    says("c.csv", "", "no scores")
    says("d.csv", head + "10,0,1,2\n", "line 2 is not CSV", "cells")
    says("e.csv", head + "10,0,1\n11,0\n", "line 3 is not CSV", "cells")
    says("f.csv", "name,score\na,1\n", "neither id nor prompt_index")
    says("a.h5", b"no HDF5", "HDF5")
    with h5py.File(work / "b.h5", "w") as f: f["id"], f["score"] = [10, 11], [1.0]
    check("different lengths" in refused(work, source, work / "b.h5"))
    with h5py.File(work / "whole.h5", "w") as f: f["id"], f["sample_index"], f["score"], f["a"] = [10, 10, 11, 11], [0, 1, 0, 1], [1.0] * 4, [0]
    check(scored(work, source, work / "whole.h5") == ([1.0] * 4, ""), "a column that is not read may be of any length")
    with h5py.File(work / "c.h5", "w") as f: f["id"], f["sample_index"], f["score"] = [10], [0], [1j]
    check("finite number" in refused(work, source, work / "c.h5"))
    (work / "d.txt").write_text(good)
    check("unknown ending" in refused(work, source, work / "d.txt"))
    (work / "folder.jsonl").mkdir()
    check("cannot be read" in refused(work, source, work / "folder.jsonl"))
    if HAS_PYARROW:
        says("a.parquet", b"PAR1 and nothing more PAR1", "Parquet")
        whole = next(p for p in in_every_file(work, "good", [{"id": 10 + i // 2, "sample_index": i % 2, "score": float(i)} for i in range(4)]) if p.suffix == ".parquet")
        says("b.parquet", whole.read_bytes()[:-30], "Parquet")


def samples_must_be_told_apart(work):
    rows = write_lines(work / "s.jsonl", [{"id": 10, "score": 1}, {"id": 11, "score": 2}])
    check(scored(work, run_of(work / "one.h5", [10, 11], samples=1), rows) == ([1, 2], ""), "one sample a prompt needs no sample_index")
    check("sample_index" in refused(work, run_of(work / "two.h5", [10, 11]), rows))
    null = write_lines(work / "n.jsonl", [{"id": 10, "sample_index": 0, "score": 1}, {"id": 11, "sample_index": None, "score": 1}])
    check("line 2 has no sample_index" in refused(work, work / "two.h5", null))


def scores_that_match_nothing(work):
    """They end in an error, or in a count if some match."""
    source = run_of(work / "a.h5", ["a", "b"])
    rows = [{"id": i, "sample_index": s, "score": 1 + s} for i in "ab" for s in range(2)]
    check(scored(work, source, write_lines(work / "all.jsonl", rows)) == ([1, 2, 1, 2], ""))
    others = [{**row, "id": "A" + row["id"]} for row in rows]
    said = refused(work, source, write_lines(work / "none.jsonl", others))
    check("none of its 4 scores" in said and "'Aa'" in said and "'a'" in said, said)
    some = write_lines(work / "some.jsonl", [*rows[:3], *others])
    for words in ([], ["--dedup", "all"]):
        got, said = scored(work, source, some, *words)
        check(got == [1, 2, 1, None] and "4 of its 7 scores are of no completion" in said and "1 ok completions have no score" in said, said)
    big = run_of(work / "big.h5", list(range(5000)), samples=1)
    late = write_lines(work / "late.jsonl", [{"id": 4999, "score": 1}])
    got, said = scored(work, big, late, "--limit", "2")
    check(got == [None, None] and "none of its 1 scores is of the rows that --limit took" in said, said)
    got, said = scored(work, big, late)
    check(got == [None] * 4999 + [1] and "4,999 ok completions have no score" in said, said)


def scores_are_a_column(work):
    """Scores that are given are written, without asking for the column."""
    source = run_of(work / "a.h5", ["a", "b"], samples=1)
    scores = write_lines(work / "s.jsonl", [{"id": "a", "reward": 1}, {"id": "b", "reward": 2}])
    def rows(*words):
        script("outputs", source, "-o", work / "o.jsonl", "--overwrite", "--scores", scores, "--score", "reward", *words)
        return read_lines(work / "o.jsonl")
    check([row.get("score") for row in rows()] == [1, 2], rows())
    check([row.get("score") for row in rows("--add", "score,seed")] == [1, 2] and list(rows("--columns", "id")[0]) == ["id"])
    if HAS_PYARROW: script("outputs", source, "-o", work / "o.parquet", "--scores", scores, "--score", "reward")


def pairs_of(work, texts, scores, *words):
    samples = len(texts)
    source = run_of(work / "p.h5", ["a"], texts, samples)
    path = write_lines(work / "p.jsonl", [{"id": "a", "sample_index": i, "score": s} for i, s in enumerate(scores)])
    done = script("outputs", source, "-o", work / "p.out.jsonl", "--overwrite", "--format", "pairs", "--scores", path, *words)
    got = [(r["chosen"][0]["content"], r["rejected"][0]["content"], r["score_chosen"], r["score_rejected"]) for r in read_lines(work / "p.out.jsonl")]
    return got[0] if got else done.stderr.split("left out: ")[1].strip()


def ties(work):
    """The first best and the first worst that differ; a prompt is dropped only if no two texts differ."""
    check(pairs_of(work, ["x", "y", "z"], [1, 1, 0]) == ("x", "z", 1, 0))
    check(pairs_of(work, ["x", "X ", "y"], [1, 0, 0]) == ("x", "y", 1, 0), "the second of two worst ones")
    check(pairs_of(work, ["x", "y", "x"], [1, 1, 0]) == ("y", "x", 1, 0), "the second of two best ones")
    check(pairs_of(work, ["x", "x", "y", "x", "z"], [2, 0, 0, 0, 0]) == ("x", "y", 2, 0))
    check(pairs_of(work, ["x", "y", "x"], [1, .5, 0]) == ("x", "y", 1, .5), "no tie: the worst that differs")
    check(pairs_of(work, ["x", "y", "x"], [1, .9, 0], "--min-margin", "0.5") == ("y", "x", .9, 0), "the next best has the margin")
    check(pairs_of(work, ["x", "X", " x"], [1, .5, 0]) == "pair of equal texts")
    check(pairs_of(work, ["x", "y"], [1, 1]) == "pair with too small a margin")
    check(pairs_of(work, ["x", "y"], [1, .5], "--min-margin", "0.6") == "pair with too small a margin")
    check(pairs_of(work, ["x", "y"], [1, None]) == "prompt with fewer than two scored samples")


def columns_that_are_no_scores(work):
    source = run_of(work / "a.h5", ["a", "b"], topic=["x", "y"], level=[1.0, 2.0])
    check("not a column of numbers" in script("outputs", source, "--format", "pairs", "--score", "topic", code=2).stderr)
    check("not a column of numbers" in script("outputs", source, "--min-score", "1", "--score", "messages", code=2).stderr)
    done = script("outputs", source, "-o", work / "o.jsonl", "--min-score", "2", "--score", "level")
    check([r["id"] for r in read_lines(work / "o.jsonl")] == ["b", "b"], done.stderr)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [
        whole_numbers_in_every_way, files_as_programs_write_them, what_is_no_file_of_scores, samples_must_be_told_apart, scores_that_match_nothing,
        scores_are_a_column, ties, columns_that_are_no_scores], sys.argv[2:])
