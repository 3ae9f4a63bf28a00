#!/usr/bin/env python3
"""scripts/report.py on tiny, unfinished, often interrupted and very long runs: one page without outside references.

    report_page.py WORK_DIR [TEST ...]"""
import base64
import importlib.util
import json
import os
import pathlib
import re
import sys
import time
import unittest.mock

import h5py

from tools import OutputsMaker, check, main, script, write_lines  # puts scripts/ on the path

from moemill_tools.report.files import Damage
from moemill_tools.report.metrics import Metrics
from moemill_tools.report.pictures import Pictures

CONFIG = "model:\n  path: /models/Tiny-MoE\ncost:\n  hour_price: 2.5\n  unit: node\n  currency: EUR\n"


def make_run(folder, attempts=1, lines=5, done=True, code=0, counts=True):
    """A run directory of `attempts` with `lines` of metrics each."""
    folder.mkdir(exist_ok=True)
    rows = attempts * lines * 10
    (folder / "run.json").write_text(json.dumps({"run_id": "ab" * 16, "created_utc": "2026-01-02T03:04:05Z", "prompts": rows, "completions": rows,
                                                 "shard_prompts": 16, "fingerprints": {"input_sha256": "cd"}, "attempts": attempts, "exit_code": code}))
    (folder / "config.yaml").write_text(CONFIG)
    with open(folder / "metrics.jsonl", "w") as f:
        for a in range(1, attempts + 1):
            for i in range(1, lines + 1):
                line = {"time": f"2026-01-{1 + a % 28:02}T03:{i % 60:02}:05Z", "attempt": a, "wall_seconds": 2.0 + i * 10, "load_seconds": 2.0,
                        "rows_total": rows, "rows_done": ((a - 1) * lines + i) * 10, "rows_failed": 0, "prompts_done": (a - 1) * lines * 10,
                        "running": 64 - i % 7, "prompt_tokens": i * 5000, "cached_prompt_tokens": 0, "generated_tokens": i * (1000 + 10 * (i % 9)),
                        "prefill_seconds": i * 3.0, "decode_seconds": i * 6.0, "exchange_seconds": i * 0.5, "idle_seconds": i * 0.1,
                        "intra_node_bytes": i * 10**9, "inter_node_bytes": i * 10**8, "rows_sent": i * 1000, "rows_deduplicated": i,
                        "steps_with_one": i * 100, "steps_with_two": i * 10}
                if i == lines and counts: line["expert_counts"] = [[(e * 7 + l) % 23 + 1 for e in range(32)] for l in range(12)]
                f.write(json.dumps(line) + "\n")
    if done:
        (folder / "summary.json").write_text(json.dumps({
            "prompts_total": rows, "prompts_done": rows, "prompts_failed": 0, "completions": rows, "prompt_tokens": 25000, "cached_prompt_tokens": 0,
            "generated_tokens": 5000, "wall_seconds": 52.0, "load_seconds": 2.0, "prefill_seconds": 15.0, "decode_seconds": 30.0, "exchange_seconds": 2.5,
            "idle_seconds": .5, "ranks": 8, "nodes": 2, "attempts": attempts, "peak_rss_bytes": 3 * 10**9, "kv_bytes_per_token": 800,
            "memory": {"node_shared_bytes": 2 * 10**9, "rank_private_bytes": 10**8, "huge_page_bytes": 0},
            "exchange": {"intra_node_bytes": 5 * 10**9, "inter_node_bytes": 5 * 10**8, "rows_sent": 5000, "rows_deduplicated": 5,
                         "inter_node_bytes_minimum": 4 * 10**8, "messages": 777, "nodes_per_row": 1.25, "wait_seconds": 1.5, "pack_seconds": 1.0},
            "micro_batches": {"steps_with_one": 500, "steps_with_two": 1200},
            "balance": {"rows_mean_over_max": .93, "tail_seconds": 4.0, "tail_utilisation": .61, "replayed_tokens": 1234},
            "expert_load": {"max_over_mean": 1.75, "max_over_mean_balanced": 1.25, "expert_max_over_mean": 2.25},
            "cost": {"currency": "EUR", "total": 0.072, "per_million_tokens": 2.4, "per_million_output_tokens": 14.4}, "exit_code": code}))
        tokens = [[1] * (1 + i % 200) for i in range(rows)]
        OutputsMaker(folder / "outputs.h5", run_id="ab" * 16).rows(range(rows), [0] * rows, list(range(rows)), [b"x"] * rows, tokens,
                                                 finish=[2 if i % 3 == 0 else 1 for i in range(rows)]).done()
    return folder


def page(run):
    script("report", run)
    text = (run / "report.html").read_text(encoding="utf-8")
    check(text.startswith("<!doctype html>") and text.endswith("</html>\n") and len(text) < 3 << 20, len(text))
    check(not re.search(r'(src|href)="(?!data:)', text) and "url(" not in text and "<script" not in text, "something from outside the page")
    check("nan" not in re.sub(r"base64,[^\"]*|<pre>.*?</pre>", "", text, flags=re.S).lower().split(), "NaN in the text")
    check(text.count("<section") == text.count("</section>") and text.count("<table") == text.count("</table>"))
    return text


def page_with(run, *drawn):
    """A page with only these pictures, because they take most of its time and add nothing to its words."""
    blank = {name: lambda *_: "" for name in ("rate", "running", "progress", "exchange", "histogram", "bar", "scores", "experts") if name not in drawn}
    with unittest.mock.patch("moemill_tools.report.page.Pictures", type("Some", (Pictures,), blank)): return page(run)


def pictures(text):
    """The pictures of a page as SVG in which words are words."""
    return [base64.b64decode(found).decode() for found in re.findall(r"data:image/svg\+xml;base64,([^\"]*)", text)]


def damaged_run_directories(work):
    """There is always a page, which lists what could not be read."""
    run = make_run(work / "run", lines=20)
    write_lines(run / "attempts.jsonl", [{"time": "2026-01-05T01:02:03Z", "attempt": 1, "event": "begin", "ranks": 8, "rows_before": 0}] * 3)
    (run / "shards").mkdir()
    OutputsMaker(run / "shards/shard-000000.h5", run_id="ab" * 16).rows([0], [0], [0], [b"x"], [[1]]).done()
    check("Not readable" not in page_with(run))
    def pages(name):
        path = run / name
        whole = path.read_bytes()
        # Cut-off lines, or no lines, are not damage in a file that grows by lines; from an empty run.json nothing is known.
        grows = name.endswith(".jsonl")
        for damage, what, told in (("empty", b"", not grows), ("garbage", bytes(range(255, 0, -1)) * 8, True), ("half", whole[:len(whole) // 2], not grows),
                                   ("zeroed", bytes(len(whole)), True), ("an array", b"[1]\n", True), ("deep", b"[" * 100000, True), ("missing", None, name == "run.json")):
            path.unlink()
            if what is not None: path.write_bytes(what)
            if name == "config.yaml" and damage in ("half", "an array", "deep"): told = False  # as readable as any text
            check((f"{name.split('/')[-1]}: " in page_with(run)) == told, name, damage)
            if damage == "missing" and name in ("metrics.jsonl", "summary.json"): page(run)
        path.unlink(missing_ok=True)
        path.mkdir()
        check(f"{name.split('/')[-1]}: " in page_with(run), name, "a directory")
        path.rmdir()
        path.write_bytes(whole)
    for name in ("run.json", "config.yaml", "summary.json", "metrics.jsonl", "attempts.jsonl"): pages(name)
    for name in ("outputs.h5", "shards/shard-000000.h5"):
        path = run / name
        whole = path.read_bytes()
        for what in (b"", bytes(range(255, 0, -1)) * 8, whole[:len(whole) // 2], bytes(len(whole))):
            path.write_bytes(what)
            text = page_with(run)
            check(f"Not readable: {path.name}: OSError" in text, name)
        path.unlink()
        path.mkdir()
        check(f"Not readable: {path.name}: " in page_with(run), name)
        path.rmdir()
        if name == "outputs.h5": continue  # the shards are read if there is none
        path.write_bytes(whole)
    for name, changes in (("run.json", {"prompts": "5"}), ("run.json", {"attempts": 10**15}), ("run.json", {"fingerprints": 1}), ("run.json", {"exit_code": "0"}),
                          ("summary.json", {"exchange": {}}), ("summary.json", {"cost": {"total": 1}}), ("summary.json", {"expert_load": []}),
                          ("summary.json", {"wall_seconds": None}), ("metrics.jsonl", {"wall_seconds": "x"}), ("metrics.jsonl", {"attempt": "1"}),
                          ("metrics.jsonl", {"expert_counts": [1]}), ("attempts.jsonl", {"ranks": "8"}), ("attempts.jsonl", {"exit_code": []})):
        whole = (run / name).read_text()
        (run / name).write_text(json.dumps({**json.loads(whole if name.endswith(".json") else whole.splitlines()[0]), **changes}) + "\n")
        check(f"{name}: " in page_with(run), name, changes)
        (run / name).write_text(whole)
    with h5py.File(run / "shards/shard-000000.h5", "r+") as f: f.attrs["run_id"] = "cd" * 16
    text = page_with(run)
    check("cd" * 16 in text and "shard-000000.h5: is of the run" in text)
    (run / "run.json").unlink()
    check("Not readable" in page(run), "drawn of what is left: two files are damaged, one is another run's")


def a_finished_run(work):
    text = page(make_run(work / "first"))
    for word in ("first</h1>", "finished", "50 of 50 completions", "Tiny-MoE", "8 ranks of 2 nodes", "Tokens per second", "Expert load by layer",
                 "0.072 EUR", "<td>all attempts</td>", "2.5 EUR per hour and node", "copies saved (row already on its way to that node)",
                 "the mean rank over the busiest</td><td class=n>0.93", "61 %</td>", "again for lack of KV cache",
                 "steps with one micro-batch, with two", "nodes that compute a row</td><td class=n>1.25",
                 "34.0 % of the completions were cut at max_tokens", "5 GB", "2.2 times the mean"):
        check(word in text, word)


def predicted_beside_measured_time(work):
    run = make_run(work / "predicted")
    check("Predicted and measured time" not in page(run), "a run without a calibration")
    summary = json.loads((run / "summary.json").read_text())
    summary["predicted"] = {"source": "machine.json, a <CPU>", "wall_seconds": 50, "load_seconds": 2, "prefill_seconds": 14, "decode_seconds": 30,
                            "exchange_seconds": 3, "idle_seconds": 1, "per_million_tokens": None, "error": .04,
                            "measured": {"wall_seconds": 52, "load_seconds": 2, "prefill_seconds": 15.4, "decode_seconds": 30, "exchange_seconds": 2.6, "idle_seconds": 2}}
    (run / "summary.json").write_text(json.dumps(summary))
    text = page(run)
    check("Predicted and measured time" in text and "+4.0 %" in text and "+10.0 %" in text and "a &lt;CPU&gt;" in text, text[-6000:])
    for broken in (None, {}, {"measured": None}):
        (run / "summary.json").write_text(json.dumps(summary | {"predicted": broken}))
        check("Predicted and measured" not in page(run), broken)


def unfinished_and_killed_runs(work):
    run = make_run(work / "killed", done=False, code=None)
    with open(run / "metrics.jsonl", "a") as f: f.write('{"time": "2026-01-02T')  # cut off by a kill
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**manifest, "completions": 80}))
    text = page(run)
    check("running, or killed" in text and "50 of 80 completions" in text and "no exit code" in text and "in the journal" in text)
    (run / "metrics.jsonl").unlink()
    text = page(run)
    check("metrics.jsonl has no line" in text and "0 generated tokens" not in text and "One rank" not in text, "a run that has just begun")
    check("Exchange of rows" not in text and text.count("<b>–</b>") == 4, "what is not known is no number")
    write_lines(run / "attempts.jsonl", [{"time": "2026-01-05T01:02:03Z", "attempt": 1, "event": "begin", "ranks": 8, "rows_before": 0}])
    check("Tiny-MoE</b> on 8 ranks, 1 attempt." in page_with(run), "ranks of an attempt without an end")
    (run / "summary.json").write_text("{ torn")
    (run / "shards").mkdir()
    (run / "shards/shard-000000.h5").write_bytes(b"torn")
    text = page(run)
    check("Not readable: summary.json: JSONDecodeError" in text and "shard-000000.h5: OSError" in text)
    check("stopped early" in page_with(make_run(work / "stopped", done=False, code=75)))
    check("no run.json" in script("report", work, code=2).stderr)


def killed_before_the_first_line(work):
    """The first attempt left no metrics: the work of the second is not reported as everything."""
    run = make_run(work / "untold", attempts=2)
    lines = (run / "metrics.jsonl").read_text().splitlines(True)
    (run / "metrics.jsonl").write_text("".join(line for line in lines if '"attempt": 2' in line))
    begin = {"time": "2026-01-05T01:02:03Z", "event": "begin", "ranks": 8, "rows_before": 0}
    write_lines(run / "attempts.jsonl", [{**begin, "attempt": 1}, {**begin, "attempt": 2}])
    text = page_with(run)
    check("Tokens and time of attempt 1 are not in these numbers" in text and "generated tokens in" in text, text[:3000])
    check("are not in these numbers" not in page_with(make_run(work / "told", attempts=2)))


def a_summary_that_is_not_of_all_attempts(work):
    """While the second attempt runs there is the first one's summary: its cost is not reported for both."""
    run = make_run(work / "second", attempts=2, code=None)
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "attempts": 1}))
    begin = {"time": "2026-01-05T01:02:03Z", "event": "begin", "rows_before": 0}
    write_lines(run / "attempts.jsonl", [{**begin, "attempt": 1, "ranks": 8, "nodes": 2}, {**begin, "attempt": 2, "ranks": 6, "nodes": 3, "rows_before": 50}])
    text = page_with(run)
    check("<span>cost, first attempt</span>" in text and "<td>first attempt</td>" in text and "all attempts" not in text, text[:6000])
    (run / "metrics.jsonl").write_text("")
    check(re.search(r"<td[^>]*>1</td>.*?>50</td>", page_with(run), re.S), "rows that a killed attempt left behind without a line of metrics")
    check("on 6 ranks of 3 nodes" in text and "times the mean load (first attempt)" in text and "peak rss bytes, first attempt" in text)
    (run / "attempts.jsonl").unlink()
    check("of 2 nodes" not in page_with(run) and "8 ranks" not in page_with(run), "where the second attempt runs is not known")
    (run / "summary.json").write_text(json.dumps({**summary, "attempts": 1, "cost": None}))
    check("<span>memory, all ranks, first attempt</span>" in page_with(run))


def a_page_under_another_name(work):
    """A link is kept and its target replaced; no pipe is removed."""
    run = make_run(work / "run", lines=2)
    (work / "target.html").write_text("old")
    (run / "report.html").symlink_to(work / "target.html")
    page_with(run)
    check((run / "report.html").is_symlink() and (work / "target.html").read_text(encoding="utf-8").startswith("<!doctype"))
    os.mkfifo(work / "pipe.html")
    said = script("report", run, "-o", work / "pipe.html", code=2).stderr
    check("pipe.html: is not a regular file" in said and (work / "pipe.html").is_fifo(), said)


def many_attempts(work):
    run = make_run(work / "often", attempts=60)
    lines = [{"time": "2026-01-05T01:02:03Z", "attempt": 2, "event": "begin", "ranks": 8, "nodes": 3, "hosts": ["n1", "n2", "n3"],
              "slurm_job_id": "4711", "rows_before": 50},
             {"time": "2026-01-05T02:02:03Z", "attempt": 2, "event": "end", "exit_code": 1, "reason": "rank 3: <broken>", "rank": 3},
             {"time": "2026-01-05T02:02:03Z", "attempt": 2, "event": "end", "exit_code": 1, "reason": "a consequence", "rank": 0},
             {"time": "2026-01-06T01:02:03Z", "attempt": 3, "event": "begin", "ranks": 4, "hosts": ["n1"], "slurm_job_id": None, "rows_before": 100}]
    write_lines(run / "attempts.jsonl", lines)
    text = page(run)
    check("core-hours" not in text)
    write_lines(run / "attempts.jsonl", [{**lines[0], "time": "2026-01-04T00:00:00Z"}, {**lines[1], "core_hours_allocated": 96.0}, *lines[2:],
                                         {"time": "2026-03-07T00:00:00Z", "attempt": 4, "event": "killed", "last_sign_of_life": "2026-01-06T09:00:00Z"}])
    told = page_with(run)
    check("core-hours</th>" in told and "<td class=n>96</td>" in told and "2026-03-07" not in told, "when a kill was noticed is no begin")
    check("60 attempts" in text and "2026-01-05 01:02:03" in text and "n1 and 2 more" in text and "4711" in text)
    check("rank 3: &lt;broken&gt;" in text and "a consequence" not in text and "<td>killed</td>" in text)


def rates_are_those_of_the_lines(work):
    """The last line of an attempt has the bytes of all ranks, the others rank 0's: the curve has no jump."""
    lines = [{"attempt": a, "wall_seconds": 10.0 * i, "load_seconds": 0.0, "generated_tokens": 500 * i, "intra_node_bytes": 1000 * i,
              **({"max_over_mean": 1.5, "intra_node_bytes": 80000} if i == 4 else {})} for a in (1, 2) for i in (1, 2, 3, 4)]
    metrics = Metrics(write_lines(work / "metrics.jsonl", lines), Damage())
    check(metrics.work_seconds == 80 and metrics.begins == {1: 0, 2: 40}, metrics.begins)
    check({v for _, v in metrics.rates("generated_tokens") if v is not None} == {50}, metrics.rates("generated_tokens"))
    bytes_curve = metrics.rates("intra_node_bytes", "rank 0")
    check({v for _, v in bytes_curve if v is not None} == {100} and metrics.sum("intra_node_bytes") == 160000, bytes_curve)


def numbers_that_no_job_has(work):
    """Numbers beyond any float, half of a surrogate pair, a million attempts: the page is made and is well-formed."""
    run = make_run(work / "run", lines=3)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for name in ("prefill_seconds", "wall_seconds", "rows_done"):
        for value in (10**400, 1e308, float("inf")):
            write_lines(run / "metrics.jsonl", [{**lines[0], name: value}, *lines[1:]])
            check("metrics.jsonl: 1 of its lines cannot be read" in page_with(run), name, value)
    write_lines(run / "metrics.jsonl", lines)
    manifest = json.loads((run / "run.json").read_text())
    for changes in ({"prompts": 10**400}, {"completions": 10**400}, {"exit_code": 10**400}):
        (run / "run.json").write_text(json.dumps({**manifest, **changes}))
        check("run.json: is not in the form that moemill writes" in page_with(run), changes)
    (run / "run.json").write_text(json.dumps({**manifest, "attempts": 200_000}))
    check("The last 1,000 of 200,000." in page(run))
    (run / "run.json").write_text(json.dumps(manifest))
    (run / "attempts.jsonl").write_text('{"time": "2026-01-05T01:02:03Z", "attempt": 1, "event": "end", "exit_code": 1, "reason": "half \\ud83d of it"}\n')
    check("half \\ud83d of it" in page_with(run))


def runs_of_almost_nothing(work):
    """One line of metrics, a line of zeros, no prompts, no rows."""
    check("10 of 10 completions" in page(make_run(work / "one", lines=1)))
    run = make_run(work / "none", lines=1)
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**manifest, "prompts": 0, "completions": 0}))
    made = OutputsMaker(run / "outputs.h5", run_id="ab" * 16).rows([0], [0], [0], [b""], [[]])
    for name, item in made.file["completions"].items():
        if isinstance(item, h5py.Dataset): item.resize(0, axis=0)
    made.done()
    (run / "summary.json").unlink()
    for text in ("", json.dumps({"time": "2026-01-01T00:00:00Z", "attempt": 1, "wall_seconds": 0.0, "rows_total": 0, "rows_done": 0, "running": 0}) + "\n"):
        (run / "metrics.jsonl").write_text(text)
        check("0 of 0 completions" in page(run), text)


def very_long_metrics(work):
    run = make_run(work / "long", lines=200_000, done=False, code=None)
    began = time.monotonic()
    text = page(run)
    check(len(text) < 1 << 20, len(text))
    print(f"        200,000 lines of metrics: {len(text) / 1e3:.0f} KB in {time.monotonic() - began:.1f} s")


def answers_and_their_shares(work):
    """A few answers, escaped and cut; the number of distinct ones; core-hours, seconds per row, a doubled first token; failures by code."""
    run = make_run(work / "run")
    (run / "outputs.h5").unlink()
    texts = ["<b>&same", "<b>&same", "other " * 500, "<b>&same", "once", ""]
    maker = OutputsMaker(run / "outputs.h5", run_id="ab" * 16).rows([0, 0, 1, 1, 2, 2], [0, 1] * 3, ["<i>"] * 6, [x.encode() for x in texts], [[1]] * 6, [1] * 5 + [2])
    maker.carry("messages", [json.dumps([{"role": "user", "content": f"<ask> {i}"}]) for i in range(3)]).errors([(2, 1, "too_long", "far")]).done()
    summary = json.loads((run / "summary.json").read_text())
    more = {"core_hours_allocated": 12.5, "core_hours_used": 9.25, "double_bos_prompts": 3, "row_seconds": {"p50": 1.5, "p90": 70, "p99": 80, "max": 90}}
    (run / "summary.json").write_text(json.dumps({**summary, **more}))
    text = page_with(run)
    for word in ("&lt;b&gt;&amp;same", "&lt;i&gt;", "&lt;ask&gt; 2", "other other", " …</pre>", "<td class=n>3</td><td class=n>60.0 %</td>", "<b>12.5</b><span>core-hours allocated</span>",
                 "core-hours used", "3 prompts began with the token", "1 min 10 s", "<td>too_long</td><td class=n>1</td><td class=n>16.7 %</td>"):
        check(word in text, word)
    check("<b>&same" not in text and "other " * 120 not in text and "within the samples of a prompt</td><td class=n>1</td><td class=n>20.0 %" in text)
    (run / "summary.json").write_text(json.dumps({**summary, "row_seconds": None, "core_hours_allocated": None, "double_bos_prompts": 0}))
    check("Seconds per row" not in page_with(run))
    (run / "summary.json").write_text(json.dumps({**summary, "row_seconds": dict.fromkeys(("p50", "p90", "p99", "max"))}))
    text = page_with(run)
    check("Seconds per row" not in text and "core-hours" not in text and "began with the token" not in text)
    (run / "summary.json").write_text(json.dumps({**summary, "row_seconds": {"p50": "x"}}))
    check("Not readable: summary.json" in page_with(run))
    with h5py.File(run / "outputs.h5", "r+") as f: del f["completions/text"]
    check("The run stored no text" in page_with(run) and "stored no text" not in text)


def runs_that_only_score(work):
    """No plots without data, no alarm about answers without tokens: the scores instead."""
    run = make_run(work / "run")
    (run / "outputs.h5").unlink()
    lines = [{**json.loads(line), "generated_tokens": 0} for line in (run / "metrics.jsonl").read_text().splitlines()]
    write_lines(run / "metrics.jsonl", lines)
    maker = OutputsMaker(run / "outputs.h5", run_id="ab" * 16).rows(range(50), [0] * 50, list(range(50)), [b""] * 50, [[]] * 50, finish=[2] * 50)
    maker.scores([[float("nan"), -1.0, -3.0]] * 49 + [[float("nan")]]).done()
    text = page(run)
    check("Scores of the prompts" in text and "<b>7.39</b><span>median perplexity" in text and "Perplexity of 49 prompts" in text, text[:4000])
    check("cut at max_tokens" not in text and "Completion lengths" not in text and "Finish reasons" not in text and "prompt tokens scored" in text)
    check(not any("generated tokens/s" in picture for picture in pictures(text)))


def layers_have_the_numbers_of_the_model(work):
    """The layers with experts, after dense ones or every second one, from the model's config.json if it exists."""
    run, folder = make_run(work / "run"), work / "model"
    folder.mkdir()
    def shown(model):
        (folder / "config.json").write_text(json.dumps(model))
        (run / "config.yaml").write_text(CONFIG.replace("/models/Tiny-MoE", str(folder)))
        picture = next(p for p in pictures(page_with(run, "experts")) if "busiest / mean" in p)
        return ">layer<" in picture, set(map(int, re.findall(r">(\d+)</text>", picture)))
    ours, numbers = shown({"num_hidden_layers": 15, "first_k_dense_replace": 3})
    check(ours and {3, 5, 13} <= numbers and 0 not in numbers - {0}, numbers)
    ours, numbers = shown({"num_hidden_layers": 25, "decoder_sparse_step": 2, "mlp_only_layers": []})
    check(ours and {1, 5, 21} <= numbers, numbers)
    check(shown({"num_hidden_layers": 7})[0] is False, "a config that does not fit")
    (folder / "config.json").unlink()
    check(any(">layer with experts<" in p for p in pictures(page_with(run, "experts"))))


def pages_are_narrow_too(work):
    """Pictures over the whole page have a second form for small screens, with letters of the same size."""
    text = page(make_run(work / "run"))
    check(text.count("<picture><source media=") == 2 and 'name="viewport"' in text and "@media(max-width:760px)" in text, text.count("<picture>"))
    sizes = [float(re.search(r'width="([\d.]+)pt"', p).group(1)) for p in pictures(text)]
    check(min(sizes) < 400 and max(sizes) > 700, sizes)
    tile = re.search(r"\.tile b\{([^}]*)\}", text).group(1)
    check("overflow-wrap:anywhere" in tile and "nowrap" not in tile, "a long cost stays within its card", tile)


if __name__ == "__main__":
    tests = [a_finished_run, predicted_beside_measured_time, damaged_run_directories, unfinished_and_killed_runs, killed_before_the_first_line, a_summary_that_is_not_of_all_attempts,
             a_page_under_another_name, many_attempts, rates_are_those_of_the_lines, numbers_that_no_job_has,
             runs_of_almost_nothing, answers_and_their_shares, runs_that_only_score, layers_have_the_numbers_of_the_model,
             pages_are_narrow_too, very_long_metrics]
    if importlib.util.find_spec("matplotlib") is None:
        print("SKIPPED all: matplotlib is not here")
        sys.exit(77)
    main(pathlib.Path(sys.argv[1]).resolve(), tests, sys.argv[2:])
