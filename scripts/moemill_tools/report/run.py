"""A run as the report shows it: all of its files combined, with one row per attempt."""
import collections
import datetime
import json
import pathlib

from ..common import Fault, one_line
from .files import ATTEMPT, MANIFEST, SUMMARY, Damage, json_lines, read_json, setting
from .metrics import Metrics
from .rows import Rows
from .text import whole

EXIT = {0: "finished", 1: "an internal or system error", 2: "refused: settings, model or input", 3: "finished, too many failed rows",
        75: "stopped early, all saved"}


class Run:
    def __init__(self, folder):
        if not folder.is_dir(): raise Fault(f"{folder}: no such folder; name the output.dir of a run")
        self.folder, self.damage = folder, Damage()
        if not any((folder / name).exists() for name in ("run.json", "outputs.h5", "shards", "metrics.jsonl")):
            raise Fault(f"{folder}: is not a run directory: there is no run.json")
        self.manifest = read_json(folder / "run.json", MANIFEST, self.damage)
        if not (folder / "run.json").exists(): self.damage.add(folder / "run.json", "is missing")
        self.summary = read_json(folder / "summary.json", SUMMARY, self.damage)
        self.config = self.read_config(folder / "config.yaml")
        self.metrics, self.rows = Metrics(folder / "metrics.jsonl", self.damage), Rows(folder, self.damage)
        last = self.metrics.last.get(max(self.metrics.last, default=0), {})
        self.total = self.manifest.get("completions", last.get("rows_total", 0))
        # A row is done if it is on the disk and ok, failed if it is on the disk with an error; it has ended in both cases.
        self.ended = max(last.get("rows_done", 0) + last.get("rows_failed", 0), self.rows.read)
        self.failed = max(self.rows.reasons["error"], last.get("rows_failed", 0))
        self.prompts_total = self.manifest.get("prompts", 0)
        self.prompts_done = max(last.get("prompts_done", 0), self.summary.get("prompts_done", 0))
        self.code = self.manifest.get("exit_code")
        self.attempts = self.read_attempts()
        latest = self.attempts[-1] if self.attempts else {"number": 0, "ranks": None, "nodes": None, "before": 0, "began": None}
        counted_at = latest["began"] if latest["before"] > self.ended else last.get("time")
        self.ended = max(self.ended, latest["before"])
        self.done = max(0, self.ended - self.failed)
        # The last attempt's end is in the summary only if that attempt ended cleanly.
        self.summary_counts = self.summary.get("attempts") == self.manifest.get("attempts") and self.code is not None
        # The last line of a job that is running or was killed: more of its rows may have ended since.
        self.as_of = counted_at if not self.summary_counts and self.ended < self.total else None
        # Without a line of metrics tokens and time are unknown, which is not the same as zero.
        self.measured = bool(self.metrics.last) or self.summary_counts
        self.without_metrics = [a for a in self.attempts if a["code"] is None and a["number"] not in self.metrics.last]
        attributes = self.rows.attributes
        if self.manifest and str(attributes.get("run_id", self.manifest.get("run_id"))) != self.manifest.get("run_id"):
            self.damage.add(self.rows.files[0], f"is of the run {attributes['run_id']}, run.json is of {self.manifest.get('run_id')}")
        self.ranks, self.nodes = latest["ranks"], latest["nodes"]
        # Only the summary has cost, memory and load of the experts, for the attempts up to it.
        attempts = self.summary.get("attempts", 0)
        self.layers = layers_of(self.config, self.metrics.expert_counts)
        self.only_scores = bool(self.rows.answers.means) and not sum(self.rows.lengths.values(), collections.Counter()).keys() - {0}
        self.summary_of = "" if attempts >= latest["number"] else "first attempt" if attempts == 1 else f"first {whole(attempts)} attempts"

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
        """From the summary if it covers the whole run, otherwise summed from the metrics."""
        if self.summary_counts and name in self.summary: return self.summary[name]
        if name == "prompt_tokens": return self.metrics.sum(name) + self.metrics.sum("cached_prompt_tokens")
        return self.metrics.sum(name)

    def busiest_expert(self):
        """Over the mean of its layer; older summaries have it under another name. None without a summary."""
        load = self.summary.get("expert_load", {})
        return load.get("expert_max_over_mean", load.get("max_over_mean"))

    def state(self):
        if not self.manifest: return "not known: run.json cannot be read", "bad"
        if self.code is None and self.ended < self.total: return "running, or killed", "wait"
        if self.ended >= self.total and self.code in (0, None): return "finished", "good"
        return EXIT.get(self.code, f"exit code {self.code}"), {75: "wait", 3: "wait"}.get(self.code, "bad")

    def read_attempts(self):
        """One row per attempt: from attempts.jsonl if it has the attempt, and from the metrics."""
        begins, ends, kills = {}, {}, {}
        for line in json_lines(self.folder / "attempts.jsonl", ATTEMPT, self.damage):
            if "attempt" in line:  # the first of several ends is the cause
                {"end": ends, "killed": kills}.get(line.get("event"), begins).setdefault(line["attempt"], line)
        rows, before, failed, of_summary = [], 0, 0, self.summary.get("attempts")
        for number in sorted({*begins, *ends, *self.metrics.last, *range(1, self.manifest.get("attempts", 0) + 1)}):
            begin, end, last = begins.get(number, {}), ends.get(number, {}), self.metrics.last.get(number, {})
            is_last = number == self.manifest.get("attempts")
            code = end.get("exit_code", self.code if is_last else None)
            why = end.get("reason") or (EXIT.get(code, f"exit code {code}") if code is not None else "running, or killed" if is_last
                                        else "killed" if begin else "not known (killed, or ended early)")
            before = begin.get("rows_before", before)
            summary = self.summary if number == of_summary else {}
            kept = begins.get(number + 1, {}).get("rows_before")  # all that is known about a killed attempt
            done = max(before, last.get("rows_done", before) + last.get("rows_failed", 0) if end or kept is None else kept)
            seconds = seconds_of(begin, end, kills.get(number, {}), last)
            rows.append({"number": number, "began": begin.get("time") or began(last), "wall": seconds,
                         "ranks": begin.get("ranks", summary.get("ranks")), "nodes": begin.get("nodes", summary.get("nodes")), "before": before,
                         "done_before": max(0, before - failed),
                         "hosts": begin.get("hosts"), "slurm": begin.get("slurm_job_id"), "rows": done - before, "why": why,
                         "code": code, "core_hours": core_hours_of(begin, end, seconds)})
            before, failed = done, last.get("rows_failed", failed)
        return rows


def moment(text): return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def seconds_between(first, last):
    try:
        return (moment(last) - moment(first)).total_seconds()
    except (TypeError, ValueError):
        return None


def seconds_of(begin, end, killed, last):
    """How long an attempt worked, as the summary counts it: by attempts.jsonl, and at least as long as its metrics show."""
    seconds = next((line["seconds"] for line in (end, killed) if line.get("seconds") is not None and line["seconds"] >= 0), None)
    if seconds is None:
        seconds = seconds_between(begin.get("time"), end.get("time") or killed.get("last_sign_of_life"))
        if seconds is not None: seconds = max(0.0, seconds)
    return max((s for s in (seconds, last.get("wall_seconds")) if s is not None), default=None)


def core_hours_of(begin, end, seconds):
    """A killed attempt held its cores too, although it could not record for how long."""
    if end.get("core_hours_allocated") is not None: return end["core_hours_allocated"]
    cores = begin.get("cores_allocated")
    return None if cores is None or seconds is None else cores * seconds / 3600


def began(line):
    """The begin of an attempt, from one of its metrics lines."""
    try:
        at = moment(line["time"]) - datetime.timedelta(seconds=line["wall_seconds"])
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    except (KeyError, TypeError, ValueError):
        return None


def layers_of(config, counts):
    """The model's own numbers of its layers with experts, from its config.json; None if it does not exist or does not match."""
    try:
        model = json.loads((pathlib.Path(setting(config, "model", "path") or "") / "config.json").read_text(encoding="utf-8"))
        model = model.get("text_config") or model
        dense, every, single = model.get("first_k_dense_replace") or 0, model.get("decoder_sparse_step") or 1, model.get("mlp_only_layers") or []
        often = model.get("moe_layer_freq", 1)
        def has_experts(i): return i >= dense and i not in single and (i + 1) % every == 0 and (often[i] if isinstance(often, list) else i % often == 0)
        layers = [i for i in range(model["num_hidden_layers"]) if has_experts(i)]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None
    return layers if counts and len(layers) == len(counts) else None
