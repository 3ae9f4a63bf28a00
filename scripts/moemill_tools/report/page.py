"""The page: one function per card."""
import collections
import datetime
import html
import math
import os

from .files import LATER_EXCHANGE, STEPS, setting
from .look import STYLE, card, filled, table
from .metrics import Metrics
from .pictures import Pictures
from .rows import FINISH
from .text import clock, compact, counted, money, quantile, share, size_text, time_text, whole

MOST_ATTEMPTS = 1000  # rows of the table: the last ones


class Page:
    def __init__(self, run):
        self.run, self.pictures = run, Pictures(run)

    def lead(self):
        run = self.run
        model = os.path.basename((setting(run.config, "model", "path") or "").rstrip("/"))
        on = f" on {counted(run.ranks, 'rank')}" if run.ranks else ""
        if on and run.nodes: on += f" of {counted(run.nodes, 'node')}"
        tries = counted(len(run.attempts), "attempt")
        failed = f", {whole(run.failed)} failed" if run.failed else ""
        text = (f"{whole(run.done)} of {whole(run.total)} completions of {whole(run.prompts_total)} prompts done{failed}{self.as_of()}, with "
                f"<b>{html.escape(model or 'the model')}</b>{on}")
        if not run.measured: return f"{text}, {tries}. Tokens and time are not known yet: metrics.jsonl has no line."
        if run.only_scores: made = f"{compact(run.number('prompt_tokens'))} prompt tokens scored"
        else: made = f"{compact(run.number('generated_tokens'))} generated tokens"
        return f"{text}: {made} in {clock(self.work())} of work, {tries}."

    def as_of(self): return f" as of {html.escape(time_text(self.run.as_of))}" if self.run.as_of else ""

    def work(self):
        """The seconds of all attempts: the sum of their table."""
        if self.run.summary_counts and "wall_seconds" in self.run.summary: return self.run.summary["wall_seconds"]
        return sum(a["wall"] or 0 for a in self.run.attempts)

    def tiles(self):
        run, work = self.run, self.work()
        generated, prompt = run.number("generated_tokens"), run.number("prompt_tokens") - run.number("cached_prompt_tokens")
        rate = (generated + prompt) / work if work else None
        if not run.measured: generated = prompt = work = None
        tiles = [(share(run.done, run.total), f"of the rows done{self.as_of()}"), (whole(run.failed), "rows failed"),
                 (compact(generated), "tokens generated"), (compact(prompt), "prompt tokens computed" + self.shared()),
                 (compact(rate), "tokens per second, prompt and generated"), (clock(work), "of work")]
        if run.only_scores: tiles[2] = (f"{self.perplexity(0.5):.3g}", "median perplexity")
        hours = run.summary.get("core_hours_allocated")
        if hours is not None: tiles.append((f"{hours:,.3g}", self.covering("core-hours allocated")))
        if self.cost(): tiles.append((money(self.cost()["total"], self.cost()["currency"]), self.covering("cost")))
        elif run.summary.get("peak_rss_bytes"): tiles.append((size_text(run.summary["peak_rss_bytes"]), self.covering("memory, all ranks")))
        return '<div class="tiles">' + "".join(f'<div class="tile"><b>{v}</b><span>{t}</span></div>' for v, t in tiles) + "</div>"

    def shared(self):
        """What samples of a prompt and prompts that begin alike did not compute again."""
        cached = self.run.number("cached_prompt_tokens")
        return f", {compact(cached)} more shared" if cached else ""

    def of_attempts(self): return f" ({self.run.summary_of})" if self.run.summary_of else ""

    def covering(self, what): return f"{what}, {self.run.summary_of}" if self.run.summary_of else what

    def cost(self):
        cost = self.run.summary.get("cost") or {}
        return cost if cost.get("total") is not None else None

    def alerts(self):
        run, reasons, said = self.run, self.run.rows.reasons, []
        good = sum(reasons.values()) - reasons["error"] - reasons["none"]
        if good and reasons["length"] > 0.1 * good and not run.only_scores:
            said.append(f"{share(reasons['length'], good)} of the completions were cut at max_tokens (finish reason length).")
        if good and reasons["repetition"] > 0.02 * good: said.append(f"{share(reasons['repetition'], good)} ended in a loop of repetition.")
        if run.failed: said.append(f"{counted(run.failed, 'row')} failed ({share(run.failed, run.ended)} of those that have ended): see the errors below.")
        if run.summary.get("double_bos_prompts"):
            said.append(f"{counted(run.summary['double_bos_prompts'], 'prompt')} began with the token that is added at the beginning, so they had it twice "
                        "(<code>input.add_special_tokens: false</code>, or prompts made by prompts.py with <code>--model</code>).")
        if run.damage.said:
            said.append("Not readable: " + html.escape("; ".join(run.damage.said)) + ". <code>moemill verify</code> shows which rows can be read.")
        if run.code is None and run.ended < run.total:
            said.append("The last attempt has left no exit code: it is running or was killed. Rerun the same command to resume.")
        if run.as_of:
            said.append(f"Rows, tokens and time are{self.as_of()}, the job's last line in metrics.jsonl or attempts.jsonl; <code>moemill status</code> counts the rows "
                        "on the disk, which may be more.")
        if run.measured: said += self.without_metrics()
        load = run.busiest_expert() or 1
        if load > 2: said.append(f"The busiest expert of a layer has {load:.1f} times the mean load{self.of_attempts()}.")
        if run.rows.read < run.ended:
            said.append(f"Lengths and finish reasons are those of the {whole(run.rows.read)} rows in finished shards; the others "
                        "are still in the journal.")
        return "<ul class=alerts>" + "".join(f"<li>{s}</li>" for s in said) + "</ul>" if said else ""

    def without_metrics(self):
        """What the numbers do not include for attempts without a line of metrics: their tokens, and their time if it is recorded
        nowhere."""
        said = []
        for what, is_timed in (("Tokens", True), ("Tokens and time", False)):
            numbers = [a["number"] for a in self.run.without_metrics if (a["wall"] is not None) == is_timed]
            if not numbers: continue
            which = f"attempt {numbers[0]}" if len(numbers) == 1 else f"{whole(len(numbers))} attempts"
            but = f" ({'its' if len(numbers) == 1 else 'their'} time is)" if is_timed else ""
            said.append(f"{what} of {which} are not in these numbers{but}: no line of metrics was written before its end, or so far.")
        return said

    def curves(self):
        m, p = self.run.metrics, self.pictures
        if not m.points: return [card("Over time", "<p class=note>metrics.jsonl has no line yet.</p>", wide=True)]
        means = {name: compact(m.sum(key) / max(1e-9, self.work())) for name, key in Metrics.RATES.items()}
        made = "" if self.run.only_scores else f" and {means['generated']} generated"
        rates = f"Overall {means['prompt']} prompt tokens computed{made} per second of work, including loading."
        if sum(line is not None for _, _, line in m.points) < 2:
            return [card("Over time", f"<p class=note>One line of metrics only (runtime.progress_interval): no curves. {rates}</p>", wide=True)]
        later = sorted(m.begins)[1:]
        many = "" if not later else f" The vertical line marks the beginning of attempt {later[0]}; the waiting before it is left out." if len(later) == 1 else \
            f" The vertical lines mark the beginnings of attempts {later[0]} to {later[-1]}; the waiting between them is left out."
        failed = f"<p class=note>{counted(self.run.failed, 'row')} more failed.</p>" if self.run.failed else ""
        if any(line and line.get("running") for _, _, line in m.points): running = p.running()
        else: running = "<p class=note>No line of metrics was written while sequences ran (runtime.progress_interval).</p>"
        return [card("Tokens per second", p.rate() + f"<p class=note>{rates}{many}</p>", wide=True),
                card("Running sequences", running), card("Rows done", p.progress() + failed)]

    def lengths(self):
        rows, p, cards = self.run.rows, self.pictures, []
        def note(counter):
            return "<p class=note>" + ", ".join(f"{n} {whole(quantile(counter, q))}" for n, q in
                                                (("median", .5), ("90 %", .9), ("99 %", .99), ("longest", 1))) + "</p>"
        if rows.prompt_lengths:
            cards.append(card("Prompt lengths", p.histogram({"prompt": rows.prompt_lengths}, "prompts") + note(rows.prompt_lengths)))
        if self.run.only_scores: return [*cards, self.scores()]
        good = {n: rows.lengths[n] for n in FINISH if n not in ("error", "none") and rows.lengths.get(n)}
        if good: cards.append(card("Completion lengths by finish reason", p.histogram(good, "completions") + note(sum(good.values(), collections.Counter()))))
        if rows.reasons:
            parts = {n: rows.reasons[n] for n in FINISH if rows.reasons[n]}
            cards.append(card("Finish reasons", p.bar(parts, compact) + table(
                ("", "rows", "share of ended rows"), [(n, whole(c), share(c, rows.read)) for n, c in parts.items()], (1, 2))))
        return cards

    def scores(self):
        means = self.run.rows.answers.means
        levels = ", ".join(f"{n} {self.perplexity(q):.3g}" for n, q in (("median", .5), ("90 %", .9), ("99 %", .99), ("highest", 1)))
        return card("Scores of the prompts", self.pictures.scores(means) + f"<p class=note>Perplexity of {whole(len(means))} prompts: {levels}.</p>")

    def perplexity(self, share_of_prompts):
        """The value that this share of the prompts does not exceed."""
        means = sorted(self.run.rows.answers.means, reverse=True)
        return math.exp(min(700, -means[min(len(means) - 1, int(share_of_prompts * len(means)))]))

    def answers(self):
        """The number of distinct answers, and some of them."""
        seen, run = self.run.rows.answers, self.run
        if not seen.has_text and not run.only_scores:
            return [card("Some answers", "<p class=note>The run stored no text (<code>output.store</code>): no answer can be shown or compared.</p>")]
        if run.only_scores or not seen.ok: return []
        rows = [("distinct answers", whole(len(seen.texts)), share(len(seen.texts), seen.ok)),
                ("repeated answers", whole(seen.ok - len(seen.texts)), share(seen.ok - len(seen.texts), seen.ok)),
                ("answers repeated within the samples of a prompt", whole(seen.again), share(seen.again, seen.ok))]
        first = "" if seen.looked_at >= run.rows.read else f"<p class=note>Compared over the first {whole(seen.looked_at)} rows.</p>"
        cards = [card("Distinct answers", table(("", "rows", "share of the good rows"), rows, (1, 2)) + first)]
        times = run.summary.get("row_seconds")
        if times and any(value is not None for value in times.values()):
            names = (("p50", "median"), ("p90", "90 %"), ("p99", "99 %"), ("max", "longest"))
            body = table(("", "from its first step to its end"), [(n, clock(times[k])) for k, n in names if times.get(k) is not None], (1,))
            cards.append(card("Seconds per row", body + (f"<p class=note>Over the {run.summary_of}.</p>" if run.summary_of else "")))
        shown = "".join(f'<div class="sample"><p><b>{html.escape(s.id)}</b> <span class="note">{s.reason}, {counted(s.tokens, "token")}'
                        f'{": " + html.escape(s.asked) if s.asked else ""}</span></p><pre>{html.escape(s.text)}</pre></div>' for s in seen.samples)
        return [*cards, card("Some answers", f"<p class=note>Rows evenly spread over the run, as the model wrote them.</p>{shown}", wide=True)]

    def phases(self):
        run, work = self.run, self.work()
        load, prefill, decode = (run.number(f"{n}_seconds") for n in ("load", "prefill", "decode"))
        if not work: return []
        parts = {"load": load, "prefill": prefill, "decode": decode, "rest": max(0, work - load - prefill - decode)}
        says = {"load": "start-up and loading the model", "prefill": "steps with prompt rows", "decode": "steps without any",
                "rest": "agreeing on steps, storing rows, merging" + (", attempts without a line of metrics" if run.without_metrics else "")}
        rows = [(n, says[n], clock(v), share(v, work)) for n, v in parts.items()]
        steps = prefill + decode
        rows += [(n, t, clock(run.number(f"{n}_seconds")), share(run.number(f"{n}_seconds"), steps) + " of the steps")
                 for n, t in (("exchange", "within the steps: rows to experts and back"), ("idle", "waiting for other ranks"))]
        return [card("Time by phase", self.pictures.bar(parts, clock) + table(("", "", "seconds", "share"), rows, (2, 3)))]

    def prediction(self):
        """Predicted beside measured seconds, part by part."""
        said = self.run.summary.get("predicted")
        if not said or not said.get("measured"): return []
        def error(there, here): return f"{100 * (here / there - 1):+.1f} %" if there else "–"
        names = {"load": "start-up and loading the model", "prefill": "steps with prompt rows", "decode": "steps without any",
                 "exchange": "rows to experts and back, waiting for the slowest rank", "idle": "without rows, agreeing, storing, merging", "wall": "all of it"}
        rows = [(n, t, clock(there), clock(here), error(there, here)) for n, t in names.items()
                for there, here in [(said.get(f"{n}_seconds", 0), said["measured"].get(f"{n}_seconds", 0))]]
        note = f"<p class=note>Predicted from {html.escape(str(said.get('source', '')))}; exchange and idle time are not part of the other two here.</p>"
        return [card("Predicted and measured time", table(("", "", "predicted", "measured", "longer by"), rows, (2, 3, 4)) + note)]

    def traffic(self):
        run = self.run
        if not run.measured: return []
        e = run.summary.get("exchange") if run.summary_counts else None
        e = e or {n: run.metrics.sum(n) for n in ("intra_node_bytes", "inter_node_bytes", "rows_sent", "rows_deduplicated")}
        rows = [("within nodes", size_text(e["intra_node_bytes"])), ("between nodes", size_text(e["inter_node_bytes"])),
                ("rows sent to experts", compact(e["rows_sent"])), ("copies saved (row already on its way to that node)", compact(e["rows_deduplicated"]))]
        if all(n in e for n in LATER_EXCHANGE):
            rows += [("between nodes at least, each row once a node", size_text(e["inter_node_bytes_minimum"])), ("messages", compact(e["messages"])),
                     ("nodes that compute a row", f"{e['nodes_per_row']:.2f}"),
                     ("packing, waiting (mean over ranks)", f"{clock(e['pack_seconds'])}, {clock(e['wait_seconds'])}")]
        m = (run.summary.get("micro_batches") if run.summary_counts else None) or {n: run.metrics.sum(n) for n in STEPS}
        if m.get("steps_with_two"):
            rows.append(("steps with one micro-batch, with two", f"{compact(m.get('steps_with_one', 0))}, {compact(m['steps_with_two'])}"))
        b = run.summary.get("balance") if run.summary_counts else None
        if b:
            rows.append(("rows of a step, the mean rank over the busiest", f"{b['rows_mean_over_max']:.2f}"))
            rows.append(("tail (places free, nothing left to deal), places taken in it", f"{clock(b['tail_seconds'])}, {100 * b['tail_utilisation']:.0f} %"))
            if b["replayed_tokens"]: rows.append(("tokens computed again for lack of KV cache", compact(b["replayed_tokens"])))
        moved = e["intra_node_bytes"] + e["inter_node_bytes"]
        seen = any(value is not None for key in Metrics.BYTES.values() for _, value in run.metrics.rates(key, "rank 0"))
        picture = self.pictures.exchange() if moved and seen else ""
        if not moved: picture = f"<p class=note>{'One rank: nothing to exchange.' if run.ranks == 1 else 'No rows were sent between ranks so far.'}</p>"
        return [card("Exchange of rows with experts", picture + table(("", ""), rows, (1,)))]

    @staticmethod
    def nodes_of(load):
        if "expert_max_over_mean" not in load or max(load["max_over_mean"], load["max_over_mean_balanced"]) <= 1: return ""
        return (f"; the busiest node computes {load['max_over_mean_balanced']:.2f} times the mean ({load['max_over_mean']:.2f} if experts lay in slices)")

    def experts(self):
        load, counts = self.run.summary.get("expert_load", {}), self.run.metrics.expert_counts
        if counts and any(map(any, counts)):
            text = f"<p class=note>Picks of each expert over the mean of its layer, {compact(sum(map(sum, counts)))} picks in total"
            text += f"; the busiest has {self.run.busiest_expert():.2f} times the mean{self.of_attempts()}, averaged over layers{self.nodes_of(load)}.</p>" if load else ".</p>"
            return [card("Expert load by layer", self.pictures.experts(counts) + text, wide=True)]
        if not load: return []
        return [card("Expert load", f"<p>The busiest expert of a layer has {self.run.busiest_expert():.2f} times the mean load{self.of_attempts()}, averaged over "
                     f"layers{self.nodes_of(load)}.</p><p class=note>The load by layer is "
                     "reported at the end of an attempt.</p>")]

    def attempts(self):
        rows, known = [], any(a["core_hours"] is not None for a in self.run.attempts)
        for a in self.run.attempts[-MOST_ATTEMPTS:]:
            hosts = a["hosts"]
            if isinstance(hosts, list): hosts = f"{hosts[0]} and {len(hosts) - 1} more" if len(hosts) > 2 else ", ".join(map(str, hosts))
            why = html.escape(a["why"][:300]) + (self.as_of() if a is self.run.attempts[-1] and a["code"] is None else "")
            rows.append((a["number"], html.escape(time_text(a["began"] or "–").removesuffix(" UTC")), clock(a["wall"]), whole(a["ranks"]),
                         html.escape(str(hosts or "–")), html.escape(str(a["slurm"] or "–")), whole(a["rows"]), why, "–" if a["code"] is None else a["code"],
                         *["–" if a["core_hours"] is None else f"{a['core_hours']:,.3g}"] * known))
        head = ("", "began (UTC)", "worked", "ranks", "hosts", "Slurm job", "rows ended", "how it ended", "code", *["core-hours"] * known)
        body = table(head, rows, (2, 3, 6, 8, 9))
        cut = f"<p class=note>The last {whole(len(rows))} of {whole(len(self.run.attempts))}.</p>" if len(rows) < len(self.run.attempts) else ""
        return [card("Attempts", f'<div class="scroll">{body}</div>{cut}', wide=True)]

    def errors(self):
        rows = self.run.rows
        if not rows.errors: return []
        listed = [(html.escape(code), whole(count), share(count, rows.read), "<br>".join(f"prompt {i}: {html.escape(m[:300])}" for i, m in rows.first_ids[code]))
                  for code, count in rows.errors.most_common()]
        return [card("Errors", table(("code", "rows", "share of ended rows", "first rows"), listed, (1, 2)), wide=True)]

    def price(self):
        cost = self.cost()
        if not cost: return []
        c, hour = cost["currency"], setting(self.run.config, "cost", "hour_price")
        unit = setting(self.run.config, "cost", "unit")
        if unit == "auto": unit = "core"  # as in lib/mill/summary.cpp
        rows = [("price", f"{hour} {c} per hour and {unit}"), (self.run.summary_of or "all attempts", money(cost["total"], c)),
                ("per 1M tokens, computed prompt tokens and generated ones", money(cost["per_million_tokens"], c)),
                ("per 1M generated tokens", money(cost["per_million_output_tokens"], c))]
        return [card("Cost", table(("", ""), rows, (1,)))]

    def details(self):
        run, attributes = self.run, self.run.rows.attributes
        facts = [("run", run.manifest.get("run_id", "")), ("began", run.manifest.get("created_utc", ""))]
        facts += [(n.replace("_", " "), attributes[n]) for n in ("moemill_version", "git_commit", "backend", "dtype") if n in attributes]
        facts += [(n.replace("_", " "), v) for n, v in run.manifest.get("fingerprints", {}).items()]
        facts += [(self.covering(n), f"{run.summary[k]:,.4g}") for k, n in (("core_hours_allocated", "core-hours allocated"), ("core_hours_used", "core-hours used"))
                  if run.summary.get(k) is not None]
        if "kv_bytes_per_token" in run.summary: facts.append(("kv bytes per token", whole(run.summary["kv_bytes_per_token"])))
        if "peak_rss_bytes" in run.summary: facts.append((self.covering("peak rss bytes"), size_text(run.summary["peak_rss_bytes"])))
        for key, what in (("node_shared_bytes", "weights in common, a node"), ("rank_private_bytes", "memory of its own, a rank"),
                          ("huge_page_bytes", "weights on huge pages")):
            if key in (run.summary.get("memory") or {}): facts.append((what, size_text(run.summary["memory"][key])))
        body = table(("", ""), [(html.escape(str(n)), f"<code>{html.escape(str(v))}</code>") for n, v in facts])
        return [card("The run", body + f"<details><summary>config.yaml</summary><pre>{html.escape(run.config)}</pre></details>", wide=True)]

    def text(self):
        run = self.run
        state, look = run.state()
        name = html.escape(str(run.folder.resolve().name))
        cards = filled([*self.curves(), *self.lengths(), *self.answers(), *self.phases(), *self.prediction(), *self.traffic(), *self.price(), *self.experts(), *self.attempts(),
                        *self.errors(), *self.details()])
        made = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                f"<title>{name}: {html.escape(state)}</title><style>{STYLE}</style></head><body><main>"
                f'<h1>{name}</h1><span class="badge {look}">{html.escape(state)}</span><p class="lead">{self.lead()}</p>{self.tiles()}'
                f'{self.alerts()}<div class="grid">{"".join(cards)}</div><p class="note">moemill, report made {made}</p></main></body></html>\n')
