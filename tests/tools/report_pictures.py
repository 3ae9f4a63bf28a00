#!/usr/bin/env python3
"""scripts/report.py: curves, colours and steps of its pictures.

    report_pictures.py WORK_DIR [TEST ...]"""
import importlib.util
import json
import pathlib
import sys

from report_page import make_run, page, page_with, pictures
from tools import check, main, write_lines

from moemill_tools.report.files import Damage
from moemill_tools.report.metrics import Metrics
from moemill_tools.report.text import apart, brief, time_ticks



def pictures_can_be_read(work):
    """Labels of attempts do not overlap, each rate has an axis, steps of time are round."""
    check(apart([(2, 10.0), (3, 12.0), (4, 19.0), (5, 60.0), (6, 61.0)], 100) == [(2, 10.0), (5, 60.0)])
    check(time_ticks(4300) == [0, 900, 1800, 2700, 3600] and time_ticks(0.9) == [0, 0.2, 0.4, 0.6000000000000001, 0.8], time_ticks(0.9))
    check([brief(t) for t in (0, 0.5, 30, 600, 3600, 5400, 86400 * 3)] == ["0", "0.5 s", "30 s", "10 min", "1 h", "1 h 30 min", "3 d"])
    check(len(time_ticks(1e9)) in range(3, 7) and time_ticks(1e-9) == [0])
    text = page_with(make_run(work / "run", attempts=3), "rate")
    rate = pictures(text)[0]
    check(all(f">{name} tokens/s<" in rate for name in ("prompt", "generated")) and "attempt 2" not in rate and ">2</text>" in rate, rate[-3000:])


def curves_begin_where_attempts_do(work):
    lines = [{"attempt": a, "wall_seconds": 10.0 * i, "rows_done": 50 * a + i, "running": 9} for a in (1, 2) for i in (1, 2)]
    metrics = Metrics(write_lines(work / "metrics.jsonl", lines), Damage())
    check(metrics.levels("rows_done", {2: 40}) == [(0, 0), (10, 51), (20, 52), (None, None), (20, 40), (30, 101), (40, 102)], metrics.levels("rows_done", {2: 40}))


def one_line_is_no_curve(work):
    text = page(make_run(work / "one", lines=1))
    check("One line of metrics only" in text and "generated per second" in text and "Running sequences" not in text and "Rows done" not in text, text[:4000])
    check("One line" not in page_with(make_run(work / "two", lines=2)))


def colours_that_end_before_the_maximum(work):
    import matplotlib.figure
    whole, ends = matplotlib.figure.Figure.colorbar, []
    def watched(self, *words, **more):
        ends.append(more.get("extend"))
        return whole(self, *words, **more)
    run = make_run(work / "run", lines=3)
    metrics = (run / "metrics.jsonl").read_text().splitlines()
    matplotlib.figure.Figure.colorbar = watched
    try:
        for most in (12, 10_000):
            counts = [[most if e == l == 0 else 10 for e in range(32)] for l in range(12)]
            (run / "metrics.jsonl").write_text("\n".join([*metrics[:-1], json.dumps({**json.loads(metrics[-1]), "expert_counts": counts})]) + "\n")
            page_with(run, "experts")
    finally:
        matplotlib.figure.Figure.colorbar = whole
    check(ends == ["neither"] * 2 + ["max"] * 2, "drawn for wide pages and for narrow ones", ends)


def levels_are_steps(work):
    """A number of rows is constant until the next line: no interpolated slope, and no saw teeth at the beginnings of attempts."""
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


if __name__ == "__main__":
    if importlib.util.find_spec("matplotlib") is None:
        print("SKIPPED all: matplotlib is not here")
        sys.exit(77)
    main(pathlib.Path(sys.argv[1]).resolve(), [
        pictures_can_be_read, curves_begin_where_attempts_do, one_line_is_no_curve, colours_that_end_before_the_maximum,
        levels_are_steps], sys.argv[2:])
