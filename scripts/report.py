#!/usr/bin/env python3
"""Makes one self-contained report.html of a run directory: what was done, how fast, on what, what it cost, what went wrong.

Works while the run goes on and after it, on one attempt or a hundred. Reads run.json, attempts.jsonl, config.yaml,
metrics.jsonl, summary.json and outputs.h5 (or the finished shards), and changes none of them. No network: the pictures are
within the page.
"""
EXAMPLES = """examples:
  report.py runs/first                  # makes runs/first/report.html
  report.py runs/first -o first.html

needs Python 3.9 or newer with h5py, numpy and matplotlib (Debian: python3-h5py python3-matplotlib), or
  python3 -m venv ~/moemill-tools && ~/moemill-tools/bin/pip install -r scripts/tools-requirements.txt
"""
import argparse
import base64
import collections
import contextlib
import datetime
import html
import io
import json
import math
import os
import pathlib
import re
import signal
import sys

MOST_POINTS = 1000  # of a curve: two metrics lines a pixel would show nothing more
MOST_ATTEMPTS = 1000  # in the table: the last ones
BLOCK_ROWS = 1 << 16
FINISH = ("none", "stop", "length", "stop string", "repetition", "error")
COLOURS = {"generated": "#d9822b", "prompt": "#3f6fa3", "stop": "#4c956c", "length": "#d9822b", "stop string": "#7fb8a4",
           "repetition": "#b0508e", "error": "#c0392b", "none": "#9aa0a6", "load": "#9aa0a6", "prefill": "#3f6fa3",
           "decode": "#d9822b", "rest": "#dcdcdc", "line": "#333333"}
EXIT = {0: "finished", 1: "an internal or system error", 2: "refused: settings, model or input", 3: "finished, too many failed rows",
        75: "stopped early, all saved"}


class Fault(Exception):
    """The report cannot be made: what, where, how to fix."""


def need(module):
    try:
        return __import__(module, fromlist=["x"])
    except ImportError as missing:
        raise Fault(f"needs the Python package {missing.name}: see the end of --help for how to install it") from None


# ---------------------------------------------------------------------------------------------------------------------
# What the run directory says

def one_line(fault): return " ".join(f"{type(fault).__name__}: {fault}".split())


def is_number(value): return type(value) in (int, float) and abs(value) < 1e24  # no job has more of anything; sums stay finite


def is_whole(value): return type(value) is int and is_number(value)


class Damage:
    """What of the run directory could not be read: the page is made of the rest and says so."""

    def __init__(self): self.said = []

    def add(self, path, what): self.said.append(f"{path.name}: {what}")


def has_shape(value, shape):
    """Whether what is there of `shape` is of its kind: a type, a test, or a dictionary of them ({key: kind})."""
    if isinstance(shape, dict): return isinstance(value, dict) and all(has_shape(value[k], kind) for k, kind in shape.items() if k in value)
    return type(value) is shape if isinstance(shape, type) else shape(value)


def is_count(value): return type(value) is int and 0 <= value < 10**6


def is_code(value): return value is None or is_whole(value)


MANIFEST = {"run_id": str, "created_utc": str, "prompts": is_whole, "completions": is_whole, "attempts": is_count, "exit_code": is_code, "fingerprints": dict}
EXCHANGE = ("intra_node_bytes", "inter_node_bytes", "rows_sent", "rows_deduplicated")
COUNTERS = ("wall_seconds", "load_seconds", "prefill_seconds", "decode_seconds", "exchange_seconds", "idle_seconds", "prompt_tokens",
            "cached_prompt_tokens", "generated_tokens", "prompts_done")
SUMMARY = {**dict.fromkeys((*COUNTERS, "kv_bytes_per_token", "peak_rss_bytes"), is_number), "attempts": is_whole, "ranks": is_whole, "nodes": is_whole,
           "exchange": lambda e: isinstance(e, dict) and all(is_number(e.get(n)) for n in EXCHANGE),
           "expert_load": {"max_over_mean": is_number, "max_over_mean_balanced": is_number},
           "cost": lambda c: c is None or c == {} or isinstance(c, dict) and (c.get("total") is None or isinstance(c.get("currency"), str) and all(
               is_number(c.get(n)) for n in ("total", "per_million_tokens", "per_million_output_tokens")))}
LINE = {**dict.fromkeys((*COUNTERS, *EXCHANGE, "rows_done", "rows_failed", "rows_total", "running", "max_over_mean"), is_number), "attempt": is_count,
        "time": str, "expert_counts": lambda e: e is None or isinstance(e, list) and all(
            isinstance(layer, list) and layer and all(map(is_number, layer)) for layer in e)}
ATTEMPT = {"attempt": is_count, "event": str, "time": str, "rows_before": is_whole, "exit_code": is_code,
           "ranks": is_code, "nodes": is_code, "reason": lambda r: r is None or isinstance(r, str)}


def read_json(path, shape, damage):
    """An object of `shape`; {} where there is none that can be read."""
    if not path.exists(): return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        damage.add(path, one_line(fault))
        return {}
    if has_shape(found, shape) and found: return found
    damage.add(path, "is not as moemill writes it")
    return {}


def json_lines(path, shape, damage):
    """The whole lines of a file that a job may be writing; what a kill tore is left out, other damage is told."""
    if not path.exists(): return
    bad = 0
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in f:
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                if has_shape(row, shape): yield row
                elif not line.startswith("{") or line.rstrip().endswith("}"): bad += 1
    except OSError as fault:
        damage.add(path, one_line(fault))
    if bad: damage.add(path, f"{bad:,} of its lines cannot be read")


def setting(config, section, key):
    """A plain value of the resolved run.yaml, which moemill itself wrote."""
    part = re.search(rf"^{section}:\n((?: +.*\n?)*)", config, re.M)
    found = re.search(rf"^ +{key}: *(.*)$", part.group(1), re.M) if part else None
    return found.group(1).strip().strip("'\"") if found else None


class Metrics:
    """metrics.jsonl as curves over working time: the attempts behind one another, without the waiting between them."""
    RATES = {"prompt": "prompt_tokens", "generated": "generated_tokens"}
    BYTES = {"within nodes": "intra_node_bytes", "between nodes": "inter_node_bytes"}

    def __init__(self, path, damage):
        self.last = {}      # attempt: its last line
        self.begins = {}    # attempt: seconds of work before it
        self.first_time, self.last_time = {}, {}
        self.expert_counts = None
        points, offset, attempt = [], 0.0, None
        step, seen = 1, 0   # of the lines of a long run every step-th is kept
        for line in json_lines(path, LINE, damage):
            number, wall = line.get("attempt", 1), line.get("wall_seconds")
            if wall is None: continue
            if number != attempt:
                if attempt is not None:
                    offset += self.last[attempt]["wall_seconds"]
                    points.append((attempt, None, None))  # a gap
                attempt = number
                self.begins[attempt] = offset
                self.first_time[attempt] = line.get("time", "")
            self.last[attempt], self.last_time[attempt] = line, line.get("time", "")
            if isinstance(line.get("expert_counts"), list): self.add_experts(line["expert_counts"])
            seen += 1
            if seen % step == 0: points.append((attempt, offset + wall, line))
            if len(points) > 4 * MOST_POINTS:
                points = [p for i, p in enumerate(points) if i % 2 == 0 or p[1] is None]
                step *= 2
        self.work_seconds = offset + (self.last[attempt]["wall_seconds"] if attempt is not None else 0)
        self.points = points

    def add_experts(self, counts):
        """Layers of picks by expert; the attempts add up."""
        if self.expert_counts is None: self.expert_counts = [list(layer) for layer in counts]
        elif [len(c) for c in counts] == [len(c) for c in self.expert_counts]:
            self.expert_counts = [[a + b for a, b in zip(x, y)] for x, y in zip(self.expert_counts, counts)]

    def levels(self, name, starts):
        """(seconds of work, value) of a quantity that is so at a time, from what `starts` has for an attempt's begin, or 0; None
        parts the attempts."""
        curve, attempt = [], None
        for number, at, line in self.points:
            if line is not None and number != attempt:
                attempt = number
                curve.append((self.begins[number], starts.get(number, 0)))
            curve.append((at, None if line is None else line.get(name, 0)))
        return curve

    def rates(self, name, whose="all ranks"):
        """(seconds of work, units a second) from a counter that starts at 0 in each attempt. What a line tells of rank 0 alone
        an attempt's last line tells of all ranks: it is no point of that curve."""
        curve, attempt, before_at, before = [], None, 0.0, 0
        for number, at, line in self.points:
            if line is None:
                curve.append((before_at, None))
                continue
            if number != attempt: attempt, before_at, before = number, self.begins[number] + line.get("load_seconds", 0), 0
            if whose == "rank 0" and "max_over_mean" in line: continue
            now = line.get(name, 0)
            if at > before_at: curve += [(before_at, (now - before) / (at - before_at)), (at, (now - before) / (at - before_at))]
            before_at, before = at, now
        return curve

    def sum(self, name): return sum(line.get(name, 0) or 0 for line in self.last.values())


class Rows:
    """What the finished rows are like: lengths by finish reason, errors. Read in blocks."""

    def __init__(self, folder, damage):
        h5py, np = need("h5py"), need("numpy")
        self.files = [folder / "outputs.h5"] if (folder / "outputs.h5").exists() else sorted(folder.glob("shards/shard-*.h5"))
        self.read, self.reasons = 0, collections.Counter()
        self.prompt_lengths, self.lengths = collections.Counter(), collections.defaultdict(collections.Counter)
        self.errors, self.first_ids = collections.Counter(), collections.defaultdict(list)
        self.attributes = {}
        for path in self.files:
            try:
                with h5py.File(path, "r") as file: self._take(file, np)
            except (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError, MemoryError) as fault:
                damage.add(path, one_line(fault))

    def _take(self, file, np):
        done = file["completions"]
        self.attributes = self.attributes or {k: v.decode() if isinstance(v, bytes) else v for k, v in file.attrs.items()}
        rows = len(done["status"])
        for first in range(0, rows, BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            reason, tokens = done["finish_reason"][part], done["num_completion_tokens"][part]
            first_sample = done["sample_index"][part] == 0
            self._count(self.prompt_lengths, done["num_prompt_tokens"][part][first_sample], np)
            for code in np.unique(reason).tolist():
                name, mine = FINISH[code] if code < len(FINISH) else str(code), reason == code
                self.reasons[name] += int(mine.sum())
                self._count(self.lengths[name], tokens[mine], np)
        self.read += rows
        codes = file["errors/code"][:]
        for i, code in enumerate(codes):
            code = code.decode()
            self.errors[code] += 1
            if len(self.first_ids[code]) < 5:
                self.first_ids[code].append((int(file["errors/prompt_index"][i]), file["errors/message"][i].decode()))

    @staticmethod
    def _count(counter, values, np):
        for value, count in zip(*np.unique(values, return_counts=True)): counter[int(value)] += int(count)


class Run:
    def __init__(self, folder):
        if not folder.is_dir(): raise Fault(f"{folder}: no such folder")
        self.folder, self.damage = folder, Damage()
        if not any((folder / name).exists() for name in ("run.json", "outputs.h5", "shards", "metrics.jsonl")):
            raise Fault(f"{folder}: is no run directory: there is no run.json")
        self.manifest = read_json(folder / "run.json", MANIFEST, self.damage)
        if not (folder / "run.json").exists(): self.damage.add(folder / "run.json", "is missing")
        self.summary = read_json(folder / "summary.json", SUMMARY, self.damage)
        self.config = self.read_config(folder / "config.yaml")
        self.metrics, self.rows = Metrics(folder / "metrics.jsonl", self.damage), Rows(folder, self.damage)
        last = self.metrics.last.get(max(self.metrics.last, default=0), {})
        self.total = self.manifest.get("completions", last.get("rows_total", 0))
        self.done = max(last.get("rows_done", 0), self.rows.read)
        self.prompts_total = self.manifest.get("prompts", 0)
        self.prompts_done = max(last.get("prompts_done", 0), self.summary.get("prompts_done", 0))
        self.code = self.manifest.get("exit_code")
        # The last attempt's end is in the summary only if that attempt reached its end.
        self.summary_counts = self.summary.get("attempts") == self.manifest.get("attempts") and self.code is not None
        self.failed = max(self.rows.reasons["error"], last.get("rows_failed", 0))
        # Without a line of metrics nothing is known of tokens and time, which is not the same as none.
        self.measured = bool(self.metrics.last) or self.summary_counts
        self.attempts = self.read_attempts()
        self.untold = [a["number"] for a in self.attempts if a["code"] is None and a["number"] not in self.metrics.last]
        attributes = self.rows.attributes
        if self.manifest and str(attributes.get("run_id", self.manifest.get("run_id"))) != self.manifest.get("run_id"):
            self.damage.add(self.rows.files[0], f"is of the run {attributes['run_id']}, run.json is of {self.manifest.get('run_id')}")
        latest = self.attempts[-1] if self.attempts else {"number": 0, "ranks": None, "nodes": None}
        self.ranks, self.nodes = latest["ranks"], latest["nodes"]
        # Cost, memory and load of the experts are told by the summary alone: of the attempts before it.
        told = self.summary.get("attempts", 0)
        self.summary_of = "" if told >= latest["number"] else "first attempt" if told == 1 else f"first {whole(told)} attempts"

    def read_config(self, path):
        if not path.exists(): return ""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            self.damage.add(path, one_line(fault))
            return ""
        if text.strip() and "\0" not in text: return text
        self.damage.add(path, "is empty or zeroed")
        return ""

    def number(self, name):
        """Of the summary where it speaks for the whole run, else added up from the metrics."""
        if self.summary_counts and name in self.summary: return self.summary[name]
        if name == "prompt_tokens": return self.metrics.sum(name) + self.metrics.sum("cached_prompt_tokens")
        return self.metrics.sum(name)

    def state(self):
        if not self.manifest: return "not known: run.json cannot be read", "bad"
        if self.code is None and self.done < self.total: return "running, or killed", "wait"
        if self.done >= self.total and self.code in (0, None): return "finished", "good"
        return EXIT.get(self.code, f"exit code {self.code}"), {75: "wait", 3: "wait"}.get(self.code, "bad")

    def read_attempts(self):
        """A row an attempt: from attempts.jsonl where there is one, and from the metrics."""
        begins, ends = {}, {}
        for line in json_lines(self.folder / "attempts.jsonl", ATTEMPT, self.damage):
            if "attempt" in line:  # of several ends the first one was the cause
                (ends if line.get("event") == "end" else begins).setdefault(line["attempt"], line)
        rows, before, of_summary = [], 0, self.summary.get("attempts")
        for number in sorted({*begins, *ends, *self.metrics.last, *range(1, self.manifest.get("attempts", 0) + 1)}):
            begin, end, last = begins.get(number, {}), ends.get(number, {}), self.metrics.last.get(number, {})
            is_last = number == self.manifest.get("attempts")
            code = end.get("exit_code", self.code if is_last else None)
            why = end.get("reason") or (EXIT.get(code, f"exit code {code}") if code is not None else "running, or killed" if is_last
                                        else "killed" if begin else "not known (killed, or ended early)")
            before = begin.get("rows_before", before)
            summary = self.summary if number == of_summary else {}
            kept = begins.get(number + 1, {}).get("rows_before")  # all that a killed attempt is known to have left
            done = max(before, last.get("rows_done", before) if end or kept is None else kept)
            rows.append({"number": number, "began": begin.get("time") or began(last),
                         "wall": last.get("wall_seconds", seconds_between(begin.get("time"), end.get("time"))),
                         "ranks": begin.get("ranks", summary.get("ranks")), "nodes": begin.get("nodes", summary.get("nodes")), "before": before,
                         "hosts": begin.get("hosts"), "slurm": begin.get("slurm_job_id"), "rows": done - before, "why": why,
                         "code": code})
            before = done
        return rows


def moment(text): return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def seconds_between(first, last):
    try:
        return (moment(last) - moment(first)).total_seconds()
    except (TypeError, ValueError):
        return None


def began(line):
    """When an attempt began, from one of its metrics lines."""
    try:
        at = moment(line["time"]) - datetime.timedelta(seconds=line["wall_seconds"])
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    except (KeyError, TypeError, ValueError):
        return None


# ---------------------------------------------------------------------------------------------------------------------
# Text

def whole(n): return "–" if n is None else f"{int(n):,}"


def compact(n):
    if n is None: return "–"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(n) >= size: return f"{n / (size if unit != 'k' else 1e3):.3g} {unit}"
    return f"{n:,.0f}" if n >= 100 or n == int(n) else f"{n:.3g}"


def clock(seconds):
    if seconds is None: return "–"
    if seconds < 10: return f"{seconds:.1f} s"
    s = int(seconds + 0.5)
    if s < 60: return f"{s} s"
    if s < 3600: return f"{s // 60} min {s % 60:02} s"
    if s < 172800: return f"{s // 3600} h {s // 60 % 60:02} min"
    return f"{s // 86400} d {s // 3600 % 24:02} h"


def size_text(n):
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if n < 1000 or unit == "PB": return f"{n:.0f} B" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000


def share(part, total): return f"{100 * part / total:.1f} %" if total else "–"


def money(value, currency):
    if value >= 1 or value <= 0: return f"{value:,.2f} {currency}"
    return f"{value:.{1 - math.floor(math.log10(value))}f} {currency}"  # two digits that say something


def counted(n, noun): return f"{whole(n)} {noun}{'' if n == 1 else 's'}"


def quantile(counter, q):
    total, seen = sum(counter.values()), 0
    for value in sorted(counter):
        seen += counter[value]
        if seen >= q * total: return value
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# Pictures

class Pictures:
    def __init__(self, run):
        need("matplotlib").use("svg")
        self.plt, self.np = need("matplotlib.pyplot"), need("numpy")
        self.plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "moemill", "font.family": "sans-serif",
                                  "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"], "font.size": 9,
                                  "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#888888",
                                  "axes.labelcolor": "#444444", "xtick.color": "#666666", "ytick.color": "#666666",
                                  "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.7, "axes.axisbelow": True,
                                  "legend.frameon": False, "legend.fontsize": 8})
        self.run = run
        seconds = run.metrics.work_seconds
        self.scale, self.unit = next((s, u) for limit, s, u in ((180, 1, "seconds"), (10800, 60, "minutes"),
                                                                (1e18, 3600, "hours")) if seconds < limit)

    def figure(self, width=5.4, height=2.3):
        return self.plt.subplots(figsize=(width, height), layout="constrained")

    def image(self, figure, alt):
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        self.plt.close(figure)
        return f'<img alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}">'

    def curve(self, axes, points, **look):
        nan = float("nan")
        x = [nan if at is None else at / self.scale for at, _ in points]
        y = [nan if value is None else value for _, value in points]
        if len(points) <= 12: look = {"marker": "o", "markersize": 3, "clip_on": False, **look}  # a short run has few points: all are seen
        axes.plot(x, y, **look)

    def over_time(self, axes, label):
        """The time axis, with a line where an attempt began."""
        axes.set_xlabel(f"{self.unit} of work")
        axes.set_ylabel(label)
        axes.set_xlim(0, max(self.run.metrics.work_seconds / self.scale, 1e-6))
        axes.set_ylim(0, axes.get_ylim()[1] * 1.06)
        axes.yaxis.set_major_formatter(self.plt.FuncFormatter(lambda v, _: compact(v)))
        few = len(self.run.metrics.begins) <= 12
        for _, at in self.later_begins():
            axes.axvline(at, color="#888888" if few else "#d5d5d5", linewidth=0.8, linestyle=(0, (4, 3)) if few else "-", zorder=0)

    def later_begins(self):
        """(number, where) of the attempts behind the first."""
        return [(number, at / self.scale) for number, at in sorted(self.run.metrics.begins.items())[1:]]

    def number_attempts(self, axes):
        for number, at in apart(self.later_begins(), axes.get_xlim()[1]):
            axes.annotate(str(number), (at, 1), xycoords=("data", "axes fraction"), fontsize=7, color="#777777", xytext=(2, 1),
                          textcoords="offset points")

    def rate(self):
        """A panel each: prompts are computed at a rate beside which that of generation would be a flat line."""
        figure, panels = self.plt.subplots(2, 1, figsize=(11, 3.6), layout="constrained", sharex=True)
        for axes, name in zip(panels, ("generated", "prompt")):
            self.curve(axes, smoothed(self.run.metrics.rates(Metrics.RATES[name])), color=COLOURS[name], linewidth=1.3)
            self.over_time(axes, f"{name} tokens/s")
        panels[0].set_xlabel("")
        self.number_attempts(panels[0])
        figure.align_ylabels()
        return self.image(figure, "prompt and generated tokens a second over working time")

    def running(self):
        figure, axes = self.figure()
        self.curve(axes, self.run.metrics.levels("running", {}), color=COLOURS["line"], linewidth=1.2)
        self.over_time(axes, "running sequences")
        self.number_attempts(axes)
        return self.image(figure, "running sequences over working time")

    def progress(self):
        figure, axes = self.figure()
        before = {a["number"]: a["before"] for a in self.run.attempts}
        self.curve(axes, self.run.metrics.levels("rows_done", before), color=COLOURS["stop"], linewidth=1.6)
        axes.axhline(self.run.total, color="#888888", linewidth=0.8)
        self.over_time(axes, f"rows done of {whole(self.run.total)}")
        axes.set_ylim(0, self.run.total * 1.06 or 1)
        self.number_attempts(axes)
        return self.image(figure, "rows done over working time")

    def exchange(self):
        figure, axes = self.figure()
        for (name, key), colour in zip(Metrics.BYTES.items(), ("#7fb8a4", "#b0508e")):
            if self.run.metrics.sum(key) > 0: self.curve(axes, smoothed(self.run.metrics.rates(key, "rank 0")), color=colour, linewidth=1.2, label=name)
        self.over_time(axes, "bytes a second, rank 0")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderaxespad=0, handlelength=1)
        return self.image(figure, "bytes exchanged a second over working time")

    def bins(self, counters):
        """Edges for lengths: even ones, or logarithmic ones when the longest is far from the usual."""
        lengths = [v for c in counters for v in c]
        low, high = min(lengths), max(lengths)
        if high - low < 40:
            spare = 3 if high - low < 6 else 0  # empty bins beside a single length
            return self.np.arange(max(0, low - spare) - 0.5, high + spare + 1.5), False
        usual = quantile(sum(counters, collections.Counter()), 0.5)
        if high > 20 * max(usual, 1) and low > 0:
            return self.np.unique(self.np.round(self.np.geomspace(low, high + 1, 41)) - 0.5), True
        return self.np.linspace(low - 0.5, high + 0.5, 41), False

    def histogram(self, parts, label):
        """Counters by name, on top of one another."""
        figure, axes = self.figure()
        edges, logarithmic = self.bins(list(parts.values()))
        bottom = self.np.zeros(len(edges) - 1)
        for name, counter in parts.items():
            values, counts = zip(*counter.items())
            height, _ = self.np.histogram(values, edges, weights=counts)
            axes.bar(edges[:-1], height, self.np.diff(edges), bottom, align="edge", color=COLOURS[name], label=name,
                     edgecolor="white", linewidth=0.3)
            bottom += height
        if len(parts) > 1:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=len(parts), borderaxespad=0, handlelength=1)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(self.plt.FuncFormatter(lambda v, _: compact(v)))
        else: axes.xaxis.set_major_locator(self.plt.MaxNLocator(8, integer=True))
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("tokens")
        axes.set_ylabel(label)
        axes.yaxis.set_major_locator(self.plt.MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(self.plt.FuncFormatter(lambda v, _: compact(v)))
        return self.image(figure, f"histogram: {label} by length")

    def bar(self, parts, form):
        """One bar of named parts."""
        figure, axes = self.figure(5.4, 1.05)
        left, total = 0, sum(parts.values()) or 1
        for name, value in parts.items():
            axes.barh(0, value, left=left, color=COLOURS[name], height=0.6)
            if value > 0.09 * total:
                axes.text(left + value / 2, 0, name, ha="center", va="center", fontsize=8,
                          color="#333333" if name in ("rest", "load") else "white")
            left += value
        axes.set_xlim(0, left or 1)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False)
        if form is clock: axes.set_xticks(time_ticks(left), map(brief, time_ticks(left)))
        else:
            axes.xaxis.set_major_formatter(self.plt.FuncFormatter(lambda v, _: form(v)))
            axes.xaxis.set_major_locator(self.plt.MaxNLocator(5, integer=True))
        return self.image(figure, ", ".join(f"{name} {form(value)}" for name, value in parts.items()))

    def experts(self, counts):
        """Load relative to the layer's mean, busiest first; beside it the busiest expert of each layer."""
        layers = len(counts)
        table = self.np.array([sorted(layer, reverse=True) for layer in counts], float)
        table /= self.np.maximum(table.mean(axis=1, keepdims=True), 1e-9)
        figure, (axes, side) = self.plt.subplots(1, 2, figsize=(11, min(5.5, 1.5 + 0.13 * layers)), layout="constrained", sharey=True,
                                                 gridspec_kw={"width_ratios": [4, 1]})
        most = max(2.0, float(self.np.quantile(table, 0.99)))  # one expert with all the load would leave the others without colour
        picture = axes.imshow(table, aspect="auto", cmap="magma_r", vmin=0, vmax=most, interpolation="nearest",
                              extent=(0.5, table.shape[1] + 0.5, layers - 0.5, -0.5))
        axes.set_xlabel("experts of a layer, busiest first")
        axes.set_ylabel("MoE layer")
        axes.grid(visible=False)
        if layers <= 8: axes.set_yticks(range(layers))
        else: axes.yaxis.set_major_locator(self.plt.MaxNLocator(8, integer=True))
        axes.xaxis.set_major_locator(self.plt.MaxNLocator(8, integer=True))
        figure.colorbar(picture, ax=axes, label="load / mean", pad=0.01, extend="max" if table.max() > most else "neither")
        side.barh(range(layers), table[:, 0], color=COLOURS["generated"], height=0.8)
        side.axvline(1, color="#888888", linewidth=0.8)
        side.set_xlabel("busiest / mean")
        return self.image(figure, "load of the experts by layer")


def apart(places, width):
    """Of (number, place) in their order those with room for the number."""
    out = []
    for number, at in places:
        if not out or at - out[-1][1] >= 0.1 * width: out.append((number, at))
    return out


TIME_STEPS = [0.1, 0.2, 0.5, *(unit * n for unit in (1, 60) for n in (1, 2, 5, 10, 15, 30)), *(3600 * n for n in (1, 2, 3, 6, 12)),
              *(86400 * n * 10**power for power in range(5) for n in (1, 2, 5))]


def time_ticks(seconds):
    """From 0, at steps as clocks have them: at most five."""
    step = next((step for step in TIME_STEPS if seconds / step < 6), seconds)
    return [step * i for i in range(int(seconds / step) + 1)]


def brief(seconds): return re.sub(r" 00 \w+$", "", clock(seconds)) if seconds else "0"


def smoothed(curve):
    """At most MOST_POINTS steps: neighbours become their mean."""
    pairs = [(curve[i][0], curve[i + 1][0], curve[i][1]) if curve[i][1] is not None else None
             for i in steps_of(curve)]
    width = max(1, -(-len(pairs) // MOST_POINTS))
    out, at = [], 0
    while at < len(pairs):
        if pairs[at] is None:
            out.append((out[-1][0] if out else 0, None))
            at += 1
            continue
        group = [pairs[at]]
        while len(group) < width and at + len(group) < len(pairs) and pairs[at + len(group)] is not None:
            group.append(pairs[at + len(group)])
        begin, end = group[0][0], group[-1][1]
        mean = sum((b - a) * v for a, b, v in group) / max(end - begin, 1e-12)
        out += [(begin, mean), (end, mean)]
        at += len(group)
    return out


def steps_of(curve):
    """Where steps (two points of one value) and gaps begin."""
    at = 0
    while at < len(curve):
        yield at
        at += 1 if curve[at][1] is None else 2


# ---------------------------------------------------------------------------------------------------------------------
# The page

STYLE = """
body{font:15px/1.5 -apple-system,"Segoe UI",Helvetica,Arial,sans-serif;color:#222;background:#f4f4f2;margin:0}
main{max-width:1120px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:24px;margin:0 12px 0 0;display:inline} h2{font-size:16px;margin:0 0 6px}
.badge{display:inline-block;border-radius:11px;padding:1px 12px;font-size:13px;color:#fff;vertical-align:3px}
.good{background:#4c956c}.wait{background:#c98a1b}.bad{background:#c0392b}
.lead{font-size:16px;margin:10px 0 18px;color:#333}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:12px;margin-bottom:16px}
.tile,.card{background:#fff;border:1px solid #e3e3df;border-radius:8px}
.tile{padding:10px 11px}.tile b{display:block;font-size:18px;font-weight:600;white-space:nowrap}.tile span{color:#666;font-size:13px}
.grid{display:grid;grid-template-columns:1fr 1fr;gap:14px}.card{padding:14px 16px;min-width:0}.wide{grid-column:1/-1}
img{width:100%;height:auto;display:block} p.note{color:#666;font-size:13px;margin:4px 0 0}
.alerts{margin:0 0 16px;padding:10px 16px 10px 32px;background:#fdf3e1;border:1px solid #eed9ae;border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:13.5px}td,th{text-align:left;padding:3px 10px 3px 0;vertical-align:top}
th{color:#666;font-weight:500;border-bottom:1px solid #ddd} td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.pair{display:grid;grid-template-columns:1fr 1fr;column-gap:28px;align-items:start}.pair h2,.pair p{grid-column:1/-1}
.scroll{max-height:420px;overflow:auto} pre{font-size:12.5px;overflow:auto;background:#fafaf8;padding:10px}
summary{cursor:pointer;color:#444}
@media(max-width:760px){.grid,.pair{grid-template-columns:1fr}}
"""


def table(head, rows, numeric=()):
    def cells(tag, row): return "".join(f'<{tag}{" class=n" if i in numeric else ""}>{c}</{tag}>' for i, c in enumerate(row))
    return (f"<table><tr>{cells('th', head)}</tr>" + "".join(f"<tr>{cells('td', r)}</tr>" for r in rows) + "</table>")


def card(title, body, wide=False):
    return f'<section class="card{" wide" if wide else ""}"><h2>{title}</h2>{body}</section>'


def filled(cards):
    """A narrow card without a neighbour gets the whole row, its picture beside its table."""
    narrow, out = '<section class="card">', list(cards)
    left = False  # the last card stands on the left, with room beside it
    for i, text in enumerate(out):
        left = text.startswith(narrow) and not left
        if left and (i + 1 == len(out) or not out[i + 1].startswith(narrow)):
            out[i] = text.replace(narrow, '<section class="card wide pair">', 1)
    return out


class Page:
    def __init__(self, run):
        self.run, self.pictures = run, Pictures(run)

    def lead(self):
        run = self.run
        model = os.path.basename((setting(run.config, "model", "path") or "").rstrip("/"))
        on = f" on {counted(run.ranks, 'rank')}" if run.ranks else ""
        if on and run.nodes: on += f" of {counted(run.nodes, 'node')}"
        tries = counted(len(run.attempts), "attempt")
        text = (f"{whole(run.done)} of {whole(run.total)} completions of {whole(run.prompts_total)} prompts with "
                f"<b>{html.escape(model or 'the model')}</b>{on}")
        if not run.measured: return f"{text}, {tries}. How many tokens in what time is not known yet: metrics.jsonl has no line."
        return f"{text}: {compact(run.number('generated_tokens'))} generated tokens in {clock(self.work())} of work, {tries}."

    def work(self): return self.run.number("wall_seconds") or self.run.metrics.work_seconds

    def tiles(self):
        run, work = self.run, self.work()
        generated, prompt = run.number("generated_tokens"), run.number("prompt_tokens") - run.number("cached_prompt_tokens")
        rate = (generated + prompt) / work if work else None
        if not run.measured: generated = prompt = work = None
        tiles = [(share(run.done, run.total), "of the rows done"), (whole(run.failed), "rows failed"),
                 (compact(generated), "tokens generated"), (compact(prompt), "prompt tokens computed"),
                 (compact(rate), "tokens a second, all told"), (clock(work), "of work")]
        if self.cost(): tiles.append((money(self.cost()["total"], self.cost()["currency"]), self.told("cost")))
        elif run.summary.get("peak_rss_bytes"): tiles.append((size_text(run.summary["peak_rss_bytes"]), self.told("memory, all ranks")))
        return '<div class="tiles">' + "".join(f'<div class="tile"><b>{v}</b><span>{t}</span></div>' for v, t in tiles) + "</div>"

    def of_attempts(self): return f" ({self.run.summary_of})" if self.run.summary_of else ""

    def told(self, what): return f"{what}, {self.run.summary_of}" if self.run.summary_of else what

    def cost(self):
        cost = self.run.summary.get("cost") or {}
        return cost if cost.get("total") is not None else None

    def alerts(self):
        run, reasons, said = self.run, self.run.rows.reasons, []
        good = sum(reasons.values()) - reasons["error"]
        if good and reasons["length"] > 0.1 * good:
            said.append(f"{share(reasons['length'], good)} of the completions were cut at max_tokens (finish reason length).")
        if good and reasons["repetition"] > 0.02 * good: said.append(f"{share(reasons['repetition'], good)} ended in a loop of repetition.")
        if run.failed: said.append(f"{counted(run.failed, 'row')} failed ({share(run.failed, run.total)}): see the errors below.")
        if run.damage.said:
            said.append("Not readable: " + html.escape("; ".join(run.damage.said)) + ". <code>moemill verify</code> tells what of the rows is damaged.")
        if run.code is None and run.done < run.total:
            said.append("The last attempt has left no exit code: it is running or was killed. The same command goes on with it.")
        if run.measured and run.untold:
            which = f"attempt {run.untold[0]}" if len(run.untold) == 1 else f"{whole(len(run.untold))} attempts"
            said.append(f"Tokens and time of {which} are not in these numbers: no line of metrics was written before the end, or yet.")
        load = run.summary.get("expert_load", {}).get("max_over_mean", 1)
        if load > 2: said.append(f"The busiest expert of a layer has {load:.1f} times the mean load{self.of_attempts()}.")
        if run.rows.read < run.done:
            said.append(f"Lengths and finish reasons are those of the {whole(run.rows.read)} rows in finished shards; the others "
                        "are in the journal so far.")
        return "<ul class=alerts>" + "".join(f"<li>{s}</li>" for s in said) + "</ul>" if said else ""

    def curves(self):
        m, p = self.run.metrics, self.pictures
        if not m.points: return [card("Over time", "<p class=note>metrics.jsonl has no line yet.</p>", wide=True)]
        means = {name: compact(m.sum(key) / max(1e-9, m.work_seconds)) for name, key in Metrics.RATES.items()}
        rates = f"On the whole {means['prompt']} prompt tokens computed and {means['generated']} generated a second."
        if sum(line is not None for _, _, line in m.points) < 2:
            return [card("Over time", f"<p class=note>One line of metrics only (runtime.progress_interval): no curves. {rates}</p>", wide=True)]
        many = "" if len(m.begins) == 1 else f" The upright lines: where the attempts 2 to {max(m.begins)} began; the waiting between them is left out."
        return [card("Tokens a second", p.rate() + f"<p class=note>{rates}{many}</p>", wide=True),
                card("Running sequences", p.running()), card("Rows done", p.progress())]

    def lengths(self):
        rows, p, cards = self.run.rows, self.pictures, []
        def note(counter):
            return "<p class=note>" + ", ".join(f"{n} {whole(quantile(counter, q))}" for n, q in
                                                (("median", .5), ("90 %", .9), ("99 %", .99), ("longest", 1))) + "</p>"
        if rows.prompt_lengths:
            cards.append(card("Prompt lengths", p.histogram({"prompt": rows.prompt_lengths}, "prompts") + note(rows.prompt_lengths)))
        good = {n: rows.lengths[n] for n in FINISH if n not in ("error", "none") and rows.lengths.get(n)}
        if good: cards.append(card("Completion lengths by finish reason", p.histogram(good, "completions") + note(sum(good.values(), collections.Counter()))))
        if rows.reasons:
            parts = {n: rows.reasons[n] for n in FINISH if rows.reasons[n]}
            cards.append(card("Finish reasons", p.bar(parts, compact) + table(
                ("", "rows", "share"), [(n, whole(c), share(c, rows.read)) for n, c in parts.items()], (1, 2))))
        return cards

    def phases(self):
        run, work = self.run, self.work()
        load, prefill, decode = (run.number(f"{n}_seconds") for n in ("load", "prefill", "decode"))
        if not work: return []
        parts = {"load": load, "prefill": prefill, "decode": decode, "rest": max(0, work - load - prefill - decode)}
        says = {"load": "start-up and loading the model", "prefill": "steps with prompt rows", "decode": "steps without any",
                "rest": "agreeing on steps, storing rows, merging"}
        rows = [(n, says[n], clock(v), share(v, work)) for n, v in parts.items()]
        steps = prefill + decode
        rows += [(n, t, clock(run.number(f"{n}_seconds")), share(run.number(f"{n}_seconds"), steps) + " of the steps")
                 for n, t in (("exchange", "within the steps: rows to experts and home"), ("idle", "waiting for other ranks"))]
        return [card("Time by phase", self.pictures.bar(parts, clock) + table(("", "", "seconds", "share"), rows, (2, 3)))]

    def traffic(self):
        run = self.run
        if not run.measured: return []
        e = run.summary.get("exchange") if run.summary_counts else None
        e = e or {n: run.metrics.sum(n) for n in ("intra_node_bytes", "inter_node_bytes", "rows_sent", "rows_deduplicated")}
        rows = [("within nodes", size_text(e["intra_node_bytes"])), ("between nodes", size_text(e["inter_node_bytes"])),
                ("rows sent to experts", compact(e["rows_sent"])), ("copies saved (row already on its way to that rank)", compact(e["rows_deduplicated"]))]
        moved = e["intra_node_bytes"] + e["inter_node_bytes"]
        seen = any(value is not None for key in Metrics.BYTES.values() for _, value in run.metrics.rates(key, "rank 0"))
        picture = self.pictures.exchange() if moved and seen else ""
        if not moved: picture = f"<p class=note>{'One rank: nothing to exchange.' if run.ranks == 1 else 'No rows were sent between ranks so far.'}</p>"
        return [card("Exchange of rows with experts", picture + table(("", ""), rows, (1,)))]

    def experts(self):
        load, counts = self.run.summary.get("expert_load", {}), self.run.metrics.expert_counts
        if counts and any(map(any, counts)):
            text = f"<p class=note>Picks of each expert over the mean of its layer, {compact(sum(map(sum, counts)))} picks in all"
            text += f"; the busiest has {load['max_over_mean']:.2f} times the mean{self.of_attempts()}, averaged over layers.</p>" if load else ".</p>"
            return [card("Expert load by layer", self.pictures.experts(counts) + text, wide=True)]
        if not load: return []
        return [card("Expert load", f"<p>The busiest expert of a layer has {load['max_over_mean']:.2f} times the mean load{self.of_attempts()}, averaged over "
                     f"layers ({load.get('max_over_mean_balanced', load['max_over_mean']):.2f} balanced).</p><p class=note>The load by layer is "
                     "told at the end of an attempt.</p>")]

    def attempts(self):
        rows = []
        for a in self.run.attempts[-MOST_ATTEMPTS:]:
            hosts = a["hosts"]
            if isinstance(hosts, list): hosts = f"{hosts[0]} and {len(hosts) - 1} more" if len(hosts) > 2 else ", ".join(map(str, hosts))
            rows.append((a["number"], html.escape((a["began"] or "–").replace("T", " ").replace("Z", "")), clock(a["wall"]), whole(a["ranks"]),
                         html.escape(str(hosts or "–")), html.escape(str(a["slurm"] or "–")), whole(a["rows"]), html.escape(a["why"][:300]), "–" if a["code"] is None else a["code"]))
        body = table(("", "began (UTC)", "worked", "ranks", "hosts", "Slurm job", "rows done", "ended", "code"), rows, (2, 3, 6, 8))
        cut = f"<p class=note>The last {whole(len(rows))} of {whole(len(self.run.attempts))}.</p>" if len(rows) < len(self.run.attempts) else ""
        return [card("Attempts", f'<div class="scroll">{body}</div>{cut}', wide=True)]

    def errors(self):
        rows = self.run.rows
        if not rows.errors: return []
        listed = [(html.escape(code), whole(count), "<br>".join(f"prompt {i}: {html.escape(m[:160])}" for i, m in rows.first_ids[code]))
                  for code, count in rows.errors.most_common()]
        return [card("Errors", table(("code", "rows", "the first ones"), listed, (1,)), wide=True)]

    def price(self):
        cost = self.cost()
        if not cost: return []
        c, hour = cost["currency"], setting(self.run.config, "cost", "hour_price")
        rows = [("price", f"{hour} {c} an hour and {setting(self.run.config, 'cost', 'unit')}"), (self.run.summary_of or "all attempts", money(cost["total"], c)),
                ("per 1M tokens, computed prompt tokens and generated ones", money(cost["per_million_tokens"], c)),
                ("per 1M generated tokens", money(cost["per_million_output_tokens"], c))]
        return [card("Cost", table(("", ""), rows, (1,)))]

    def details(self):
        run, attributes = self.run, self.run.rows.attributes
        facts = [("run", run.manifest.get("run_id", "")), ("began", run.manifest.get("created_utc", ""))]
        facts += [(n.replace("_", " "), attributes[n]) for n in ("moemill_version", "git_commit", "backend", "dtype") if n in attributes]
        facts += [(n.replace("_", " "), v) for n, v in run.manifest.get("fingerprints", {}).items()]
        if "kv_bytes_per_token" in run.summary: facts.append(("kv bytes per token", whole(run.summary["kv_bytes_per_token"])))
        if "peak_rss_bytes" in run.summary: facts.append((self.told("peak rss bytes"), size_text(run.summary["peak_rss_bytes"])))
        body = table(("", ""), [(html.escape(str(n)), f"<code>{html.escape(str(v))}</code>") for n, v in facts])
        return [card("The run", body + f"<details><summary>config.yaml</summary><pre>{html.escape(run.config)}</pre></details>", wide=True)]

    def text(self):
        run = self.run
        state, look = run.state()
        name = html.escape(str(run.folder.resolve().name))
        cards = filled([*self.curves(), *self.lengths(), *self.phases(), *self.traffic(), *self.price(), *self.experts(), *self.attempts(),
                        *self.errors(), *self.details()])
        made = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                f"<title>{name}: {html.escape(state)}</title><style>{STYLE}</style></head><body><main>"
                f'<h1>{name}</h1><span class="badge {look}">{html.escape(state)}</span><p class="lead">{self.lead()}</p>{self.tiles()}'
                f'{self.alerts()}<div class="grid">{"".join(cards)}</div><p class="note">moemill, report made {made}</p></main></body></html>\n')


def publish(path, text):
    """The page as a whole or not at all, under a name of this process until then."""
    path = pathlib.Path(os.path.realpath(path))  # a link stays, and what it points to is replaced
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(3).hex()}.tmp")
    try:
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as f:  # a damaged text may not be UTF-8
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError as fault:
        fault.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError): temporary.unlink(missing_ok=True)


def leave(number, _):
    """SIGTERM and SIGHUP: out by the way of every exception, which takes the temporary file along."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def main(words=None):
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL: signal.signal(number, leave)
    p = argparse.ArgumentParser(prog="report.py", description=__doc__, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run_dir", type=pathlib.Path, metavar="RUN_DIR")
    p.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE.html", help="default: RUN_DIR/report.html")
    options = p.parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper): sys.stdout.reconfigure(errors="backslashreplace")  # names of files are any bytes
    try:
        path = options.output or options.run_dir / "report.html"
        if options.output and (path.is_dir() or not path.parent.is_dir()): raise Fault(f"{path}: is a folder, or in none (-o FILE.html)")
        if path.exists() and not path.is_file(): raise Fault(f"{path}: is no plain file (-o FILE.html names another)")
        text = Page(Run(options.run_dir)).text()
        publish(path, text)
        print(f"{path}: {len(text) / 1e3:,.0f} KB", flush=True)
    except Fault as fault:
        print(f"report.py: {fault}", file=sys.stderr)
        sys.exit(2)
    except OSError as fault:
        print(f"report.py: {fault.filename or 'standard output'}: {fault.strerror or fault}", file=sys.stderr)
        if fault.filename is None: os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # it must not fail again at the exit
        sys.exit(1)


if __name__ == "__main__":
    main()
