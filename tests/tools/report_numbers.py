#!/usr/bin/env python3
"""scripts/report.py: its numbers are those of the run, for any attempts and lines of metrics.

    report_numbers.py WORK_DIR [TEST ...]"""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import unittest.mock

from report_page import CONFIG, make_run, page_with
from tools import SCRIPTS, OutputsMaker, check, main, write_lines  # puts scripts/ on the path

from moemill_tools.report.pictures import Pictures


def done_and_failed_are_two_things(work):
    """Done means on the disk and ok, as everywhere; the curve begins and ends with such rows."""
    run = make_run(work / "run", attempts=2, done=False, code=3)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines: line.update(rows_done=line["rows_done"] - 4, rows_failed=4)
    write_lines(run / "metrics.jsonl", lines)
    tokens = [[1]] * 100
    OutputsMaker(run / "outputs.h5", run_id="ab" * 16).rows(range(100), [0] * 100, list(range(100)), [b"x"] * 100, tokens, status=[2 if i < 4 else 1 for i in range(100)]).errors(
        [(i, 0, "too_long", "why " * 70 + "end") for i in range(4)]).done()
    text = page_with(run)
    for word in ("96 of 100 completions of 100 prompts done, 4 failed, with ", "<b>96.0 %</b><span>of the rows done", "4 rows failed (4.0 % of those that have ended)", "4 rows more failed",
                 "The vertical line marks the beginning of attempt 2", "why end"): check(word in text, word, text[2500:6000])
    held = []
    with unittest.mock.patch.object(Pictures, "curve", lambda self, axes, points, **look: held.append(points)): page_with(run, "progress")
    check([value for _, value in held[0] if value is not None][-1] == 96 and (52.0, 46) in held[0] and 50 not in [value for _, value in held[0]], held)
    check("the beginnings of attempts 2 to 3" in page_with(make_run(work / "three", attempts=3)))


def seconds_of_killed_attempts(work):
    """Table, total and sentence agree: a killed attempt without a line of metrics has its seconds and core-hours from attempts.jsonl."""
    run = make_run(work / "run", attempts=3)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    write_lines(run / "metrics.jsonl", [line for line in lines if line["attempt"] != 2])
    begin = {"time": "2026-01-05T01:02:03Z", "event": "begin", "ranks": 2, "rows_before": 0, "cores_allocated": 4}
    told = [{**begin, "attempt": 1}, {"attempt": 1, "event": "killed", "last_sign_of_life": "2026-01-05T01:03:03Z", "seconds": 60.0}, {**begin, "attempt": 2},
            {"attempt": 2, "event": "killed", "last_sign_of_life": "2026-01-05T01:02:06Z", "seconds": 3.015}, {**begin, "attempt": 3},
            {"attempt": 3, "event": "end", "exit_code": 0, "seconds": 52.0, "core_hours_allocated": 0.0578, "time": "2026-01-05T01:03:00Z"}]
    write_lines(run / "attempts.jsonl", told)
    summary = json.loads((run / "summary.json").read_text())
    for is_told in (True, False):  # from the summary, or from the table alone
        if is_told: (run / "summary.json").write_text(json.dumps({**summary, "attempts": 3, "wall_seconds": 115.015}))
        else: (run / "summary.json").unlink()
        text = page_with(run)
        for word in (">1 min 00 s<", ">3.0 s<", ">52 s<", "<b>1 min 55 s</b><span>of work", ">0.0667<", ">0.00335<", ">0.0578<",
                     "Tokens of attempt 2 are not in these numbers (its time is): "): check(word in text, word, is_told)
    del told[3]["seconds"], told[1]
    write_lines(run / "attempts.jsonl", told)
    text = page_with(run)
    check(">3.0 s<" in text and "<b>1 min 47 s</b>" in text, "by times of day; of a kill that nobody noticed the metrics tell the time")
    write_lines(run / "attempts.jsonl", [line for line in told if line["event"] != "killed"])
    check("Tokens and time of attempt 2 are not in" in page_with(run))


def numbers_as_of(work):
    """The last line of a killed or running job is shown with its time, or that of the attempt that counted more rows when it began."""
    run = make_run(work / "run", done=False, code=None)
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**manifest, "completions": 80}))
    text = page_with(run)
    for word in ("50 of 80 completions of 50 prompts done as of 2026-01-02 03:05:05 UTC, with ", "of the rows done as of 2026-01-02 03:05:05 UTC<", "Rows, tokens and time are as of 2026",
                 "running, or killed as of 2026-01-02 03:05:05 UTC<"): check(word in text, word, text[2500:6000])
    begin = {"time": "2026-01-05T01:02:03Z", "event": "begin", "ranks": 2, "rows_before": 64}
    write_lines(run / "attempts.jsonl", [{**begin, "attempt": 1, "rows_before": 0}, {**begin, "attempt": 2}])
    (run / "run.json").write_text(json.dumps({**manifest, "completions": 80, "attempts": 2}))
    check("64 of 80 completions of 50 prompts done as of 2026-01-05 01:02:03 UTC, with " in page_with(run))
    check(" as of " not in page_with(make_run(work / "done")))


def a_price_names_its_unit(work):
    """The result of cost.unit: auto."""
    run = make_run(work / "run", lines=1)
    for unit, said in (("auto", "core"), ("node", "node")):
        (run / "config.yaml").write_text(CONFIG.replace("unit: node", f"unit: {unit}"))
        check(f"2.5 EUR per hour and {said}<" in page_with(run), unit)


def nothing_that_ran_is_no_chart(work):
    """Lines of metrics only at the ends, when nothing runs: words instead of an empty picture."""
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
    tests = [done_and_failed_are_two_things, seconds_of_killed_attempts, numbers_as_of, a_price_names_its_unit, nothing_that_ran_is_no_chart, a_home_that_cannot_be_written]
    if importlib.util.find_spec("matplotlib") is None:
        print("SKIPPED all: matplotlib is not here")
        sys.exit(77)
    main(pathlib.Path(sys.argv[1]).resolve(), tests, sys.argv[2:])
