#!/usr/bin/env python3
"""scripts/report.py: its numbers are those of the run, whichever attempts and lines of metrics there are.

    report_numbers.py WORK_DIR [TEST ...]"""
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest.mock

import h5py

from report_page import make_run, page, page_with
from tools import SCRIPTS, OutputsMaker, check, main, write_lines  # puts scripts/ on the path

from moemill_tools.report.files import Damage
from moemill_tools.report.metrics import Metrics
from moemill_tools.report.pictures import Pictures


def killed_before_the_first_line(work):
    """The first attempt left no metrics: what the second one did is not said to be all."""
    run = make_run(work / "untold", attempts=2)
    lines = (run / "metrics.jsonl").read_text().splitlines(True)
    (run / "metrics.jsonl").write_text("".join(line for line in lines if '"attempt": 2' in line))
    begin = {"time": "2026-01-05T01:02:03Z", "event": "begin", "ranks": 8, "rows_before": 0}
    write_lines(run / "attempts.jsonl", [{**begin, "attempt": 1}, {**begin, "attempt": 2}])
    text = page_with(run)
    check("Tokens and time of attempt 1 are not in these numbers" in text and "generated tokens in" in text, text[:3000])
    check("are not in these numbers" not in page_with(make_run(work / "told", attempts=2)))


def a_summary_that_is_not_of_all_attempts(work):
    """While the second attempt runs there is the first one's summary: its cost is not said to be that of both."""
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


def rates_are_those_of_the_lines(work):
    """The last line of an attempt has the bytes of all ranks, the others rank 0's: no leap in the curve."""
    lines = [{"attempt": a, "wall_seconds": 10.0 * i, "load_seconds": 0.0, "generated_tokens": 500 * i, "intra_node_bytes": 1000 * i,
              **({"max_over_mean": 1.5, "intra_node_bytes": 80000} if i == 4 else {})} for a in (1, 2) for i in (1, 2, 3, 4)]
    metrics = Metrics(write_lines(work / "metrics.jsonl", lines), Damage())
    check(metrics.work_seconds == 80 and metrics.begins == {1: 0, 2: 40}, metrics.begins)
    check({v for _, v in metrics.rates("generated_tokens") if v is not None} == {50}, metrics.rates("generated_tokens"))
    bytes_curve = metrics.rates("intra_node_bytes", "rank 0")
    check({v for _, v in bytes_curve if v is not None} == {100} and metrics.sum("intra_node_bytes") == 160000, bytes_curve)


def numbers_that_no_job_has(work):
    """Numbers beyond any float, half of a surrogate pair, a million attempts: the page is made, and is a page."""
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
        check("run.json: is not as moemill writes it" in page_with(run), changes)
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


def levels_are_steps(work):
    """A number of rows holds until the next line: no slope, which nobody has seen, and no saw where attempts begin."""
    import matplotlib.axes
    styles, whole = [], matplotlib.axes.Axes.plot
    def watched(self, *words, **more):
        styles.append(more.get("drawstyle"))
        return whole(self, *words, **more)
    matplotlib.axes.Axes.plot = watched
    try:
        page_with(make_run(work / "run", attempts=3), "rate", "running", "progress")
    finally:
        matplotlib.axes.Axes.plot = whole
    check(styles.count("steps-post") == 2, styles)


def done_and_failed_are_two_things(work):
    """Done is on the disk and ok, as everywhere; the curve begins and ends with such rows."""
    run = make_run(work / "run", attempts=2, done=False, code=3)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines: line.update(rows_done=line["rows_done"] - 4, rows_failed=4)
    write_lines(run / "metrics.jsonl", lines)
    tokens = [[1]] * 100
    OutputsMaker(run / "outputs.h5", run_id="ab" * 16).rows(range(100), [0] * 100, list(range(100)), [b"x"] * 100, tokens, status=[2 if i < 4 else 1 for i in range(100)]).errors(
        [(i, 0, "too_long", "why " * 70 + "end") for i in range(4)]).done()
    text = page_with(run)
    for word in ("96 of 100 completions of 100 prompts done, 4 failed, with ", "<b>96.0 %</b><span>of the rows done", "4 rows failed (4.0 % of those that have ended)", "4 rows more failed",
                 "The upright line: where attempt 2 began", "why end"): check(word in text, word, text[2500:6000])
    held = []
    with unittest.mock.patch.object(Pictures, "curve", lambda self, axes, points, **look: held.append(points)): page_with(run, "progress")
    check([value for _, value in held[0] if value is not None][-1] == 96 and (52.0, 46) in held[0] and 50 not in [value for _, value in held[0]], held)
    check("where the attempts 2 to 3 began" in page_with(make_run(work / "three", attempts=3)))


def nothing_that_ran_is_no_chart(work):
    """Lines of metrics at the ends only, when nothing runs: words instead of an empty picture."""
    run = make_run(work / "run", lines=2)
    write_lines(run / "metrics.jsonl", [{**json.loads(line), "running": 0} for line in (run / "metrics.jsonl").read_text().splitlines()])
    check("No line of metrics was written while sequences ran" in page_with(run))
    check("No line of metrics" not in page_with(make_run(work / "other")))


def a_home_that_cannot_be_written(work):
    run, home = make_run(work / "run"), {"HOME": "/proc", "TMPDIR": str(work)}
    env = {k: v for k, v in os.environ.items() if k not in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")} | home
    done = subprocess.run([sys.executable, SCRIPTS / "report.py", run], env=env, text=True, capture_output=True)
    check(done.returncode == 0 and done.stderr == "", done.stderr)


if __name__ == "__main__":
    tests = [killed_before_the_first_line, a_summary_that_is_not_of_all_attempts, rates_are_those_of_the_lines,
             numbers_that_no_job_has, runs_of_almost_nothing, levels_are_steps,
             done_and_failed_are_two_things, nothing_that_ran_is_no_chart, a_home_that_cannot_be_written]
    if importlib.util.find_spec("matplotlib") is None:
        print("SKIPPED all: matplotlib is not here")
        sys.exit(77)
    main(pathlib.Path(sys.argv[1]).resolve(), tests, sys.argv[2:])
