"""Reads the files of a run directory as they are: damage is reported, never fatal."""
import json
import re

from ..common import one_line


def is_number(value): return type(value) in (int, float) and abs(value) < 1e24  # no job has larger numbers; sums stay finite


def is_amount(value): return value is None or is_number(value)


def is_whole(value): return type(value) is int and is_number(value)


class Damage:
    """Parts of the run directory that could not be read. The page is made from the rest and lists them."""

    def __init__(self): self.said = []

    def add(self, path, what): self.said.append(f"{path.name}: {what}")


def has_shape(value, shape):
    """Whether a value matches `shape`: a type, a test, or a dictionary of them ({key: kind})."""
    if isinstance(shape, dict): return isinstance(value, dict) and all(has_shape(value[k], kind) for k, kind in shape.items() if k in value)
    return type(value) is shape if isinstance(shape, type) else shape(value)


def is_count(value): return type(value) is int and 0 <= value < 10**6


def is_code(value): return value is None or is_whole(value)


MANIFEST = {"run_id": str, "created_utc": str, "prompts": is_whole, "completions": is_whole, "attempts": is_count, "exit_code": is_code, "fingerprints": dict}
EXCHANGE = ("intra_node_bytes", "inter_node_bytes", "rows_sent", "rows_deduplicated")
STEPS = ("steps_with_one", "steps_with_two")
LATER_EXCHANGE = ("inter_node_bytes_minimum", "messages", "nodes_per_row", "wait_seconds", "pack_seconds")  # not in older runs
COUNTERS = ("wall_seconds", "load_seconds", "prefill_seconds", "decode_seconds", "exchange_seconds", "idle_seconds", "prompt_tokens",
            "cached_prompt_tokens", "generated_tokens", "prompts_done")
SUMMARY = {"core_hours_allocated": is_amount, "core_hours_used": is_amount, "double_bos_prompts": is_amount,
           "row_seconds": lambda r: r is None or isinstance(r, dict) and all(map(is_amount, r.values())),
           **dict.fromkeys((*COUNTERS, "kv_bytes_per_token", "peak_rss_bytes"), is_number), "attempts": is_whole, "ranks": is_whole, "nodes": is_whole,
           "exchange": lambda e: isinstance(e, dict) and all(is_number(e.get(n)) for n in EXCHANGE) and all(
               is_number(e.get(n, 0)) for n in LATER_EXCHANGE),
           "micro_batches": lambda m: m is None or isinstance(m, dict) and all(is_amount(m.get(n, 0)) for n in STEPS),
           "expert_load": dict.fromkeys(("max_over_mean", "max_over_mean_balanced", "expert_max_over_mean", "work_max_over_mean", "work_max_over_mean_unsplit"), is_number),
           "memory": lambda m: m is None or isinstance(m, dict) and all(map(is_amount, m.values())),
           "cost": lambda c: c is None or c == {} or isinstance(c, dict) and (c.get("total") is None or isinstance(c.get("currency"), str) and all(
               is_number(c.get(n)) for n in ("total", "per_million_tokens", "per_million_output_tokens")))}
LINE = {**dict.fromkeys((*COUNTERS, *EXCHANGE, *STEPS, "rows_done", "rows_failed", "rows_total", "running", "max_over_mean"), is_number), "attempt": is_count,
        "time": str, "expert_counts": lambda e: e is None or isinstance(e, list) and all(
            isinstance(layer, list) and layer and all(map(is_number, layer)) for layer in e)}
ATTEMPT = {"core_hours_allocated": is_amount, "seconds": is_amount, "cores_allocated": is_amount, "attempt": is_count, "event": str, "time": str, "rows_before": is_whole, "exit_code": is_code,
           "ranks": is_code, "nodes": is_code, "reason": lambda r: r is None or isinstance(r, str)}


def read_json(path, shape, damage):
    """An object of `shape`; {} if none can be read."""
    if not path.exists(): return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        damage.add(path, one_line(fault))
        return {}
    if has_shape(found, shape) and found: return found
    damage.add(path, "is not in the form that moemill writes")
    return {}


def json_lines(path, shape, damage):
    """The complete lines of a file that a job may be writing. A line cut off by a kill is skipped; other damage is reported."""
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
