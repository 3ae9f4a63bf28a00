"""The page of a plan: the JSON of `moemill plan --json` as plan.html, with its curves, terms and published points."""
import html
import json

from ..common import Fault, text_of_file
from .drawing import COLORS, line_chart, number_text, scatter, stacked_bars
from .look import STYLE, card, filled, table

VERSION = 1
# What a curve shows on its vertical axis: what answers cost, or all tokens where the prompts change.
EVERYTHING = ("context", "network", "price")


def read_plan(path):
    try:
        plan = json.loads(text_of_file(path))
    except FileNotFoundError:
        raise Fault(f"{path}: no such file; moemill plan ... --json > {path} makes one") from None
    except ValueError as fault:
        raise Fault(f"{path}: is not JSON ({fault}); --plan takes what moemill plan ... --json has written") from None
    if not isinstance(plan, dict) or plan.get("kind") != "plan":
        raise Fault(f"{path}: is not the JSON of a question to moemill plan; --plan takes what moemill plan ... --json has written")
    if plan.get("version") != VERSION:
        raise Fault(f"{path}: has version {plan.get('version')!r}, and this report.py reads {VERSION}; take the one that came with that moemill")
    return plan


def colored(names): return {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}


def in_order(names): return list(dict.fromkeys(names))


class PlanPage:
    def __init__(self, plan):
        self.plan, self.best = plan, plan["best"]
        self.unit = "rank" if self.best["speed"].startswith("this machine") else "GPU"  # a CPU node is planned by its ranks

    def money(self, value): return "–" if value is None else f"{value:,.4g} {self.currency()}"

    def currency(self): return self.best["currency"] or "GPU-hours"

    def tiles(self):
        best, prices = self.best, self.best["price_per_million_tokens"]
        cost, low, high = (number_text(best[key] or 0) for key in ("cost", "cost_low", "cost_high"))
        sure = "within 10 %, which calibrations aim at" if self.unit == "rank" else "as sure as published points are met"
        tiles = [(f"{best['hours']:,.3g} h", "time"), (f"{best['gpus']:,} {html.escape(best['hardware'])}", self.unit + "s"),
                 (f"{cost} {self.currency()}" if best["cost"] is not None else "no price", "cost"),
                 (f"{low} to {high}" if best["cost"] is not None else "–", sure)]
        if prices: tiles += [(self.money(prices["output"]), "per million generated tokens"), (self.money(prices["input"]), "per million prompt tokens")]
        tiles.append((f"{best['tokens_per_second_per_user']:,.3g}", "tokens per second of a user"))
        if best["energy_kwh"] is not None: tiles.append((f"{number_text(best['energy_kwh'])} kWh", "energy"))
        return '<div class="tiles">' + "".join(f'<div class="tile"><b>{v}</b><span>{t}</span></div>' for v, t in tiles) + "</div>"

    def terms(self):
        phases = [(name, self.best[name]) for name in ("prefill", "decode")]
        bars, names = [], []
        for name, phase in phases:
            seconds = {term: s for term, s in phase["seconds_of_terms"].items() if term != "hidden"}
            whole = sum(seconds.values()) or 1
            bars.append((name, {term: s / whole for term, s in seconds.items()}))
            names += seconds
        notes = "".join(f'<p class="note">{name}: {phase["rows_per_gpu"]:,.0f} rows a {self.unit}, a step of {1e3 * phase["step_seconds"]:,.1f} ms, '
                        f'{phase["tokens_per_second_per_gpu"]:,.0f} tokens/s a {self.unit}; bound: {html.escape(phase["bound"])}</p>' for name, phase in phases)
        return card("Terms of a step, in per cent", stacked_bars(bars, colored(in_order(names))) + notes)

    def hours(self):
        shares = self.best["gpu_hours_of"]
        names = {"prefill": "prefill", "decode": "decode", "idle_last_sequences": "idle: the last sequences", "idle_other_phase": "idle: the other phase",
                 "load": "loading of weights"}
        whole = self.best["gpu_hours"]
        rows = [(label, f"{shares[key]:,.4g}", f"{100 * shares[key] / whole:.1f} %") for key, label in names.items()]
        faster = [(html.escape(gain["figure"]), f"{100 * gain['time_saved_share']:.1f} %") for gain in self.best["saved_by_20_percent_more"]]
        body = table(["", f"{self.unit}-hours", ""], rows + [("all", f"{whole:,.4g}", "")], (1, 2))
        if faster: body += '<p class="note">Time that 20 % more of a figure saves; the first one is the bound.</p>' + table(["figure", "saves"], faster, (1,))
        return card(f"Where the {self.unit}-hours go", body)

    def curves(self):
        by_name = {}
        for curve in self.plan["curves"]: by_name.setdefault(curve["curve"], []).append(curve)
        bounds = colored(in_order(p["bound_of_answers"] for curve in self.plan["curves"] for p in curve["points"] if p["possible"]))
        return [self.curve(name, curves, bounds) for name, curves in by_name.items()]

    def curve(self, name, curves, bounds):
        title = "Over GPUs" if name == "gpus" else f"Over {name}"
        kind = "everything" if name in EVERYTHING else "output"
        lines = []
        for i, curve in enumerate(curves):
            points = [(p[curve["unit"]], p["price_per_million_tokens"][kind], p["bound_of_answers"],
                       p["sequences_per_gpu"] >= p["sequences_that_fit_per_gpu"]) for p in curve["points"] if p["possible"]]
            if points: lines.append((curve["hardware"], i > 0, points))
        impossible = [number_text(p[curves[0]["unit"]]) for p in curves[0]["points"] if not p["possible"]]
        if not lines: return card(title, "<p>no layout can do this</p>")
        what = "generated" if kind == "output" else "all"
        notes = f'<p class="note">{html.escape(curves[0]["hardware"])}: {html.escape(curves[0]["about"])}. Colours name the bound of answers; a dark ring: memory ends.'
        if len(lines) > 1: notes += f" Dashed: {html.escape(lines[1][0])}."
        if impossible: notes += f" Not possible: {', '.join(impossible)}."
        chart = line_chart(lines, bounds, curves[0]["unit"].replace("_", " "), f"{self.currency()} per million {what} tokens")
        return card(title, chart + notes + "</p>")

    def layouts(self):
        rows = [(html.escape(p["hardware"]), f"{p['gpus']:,}", f"{p['hours']:,.3g}", "–" if p["cost"] is None else number_text(p["cost"]),
                 "–" if p["cost"] is None else f"{number_text(p['cost_low'])} to {number_text(p['cost_high'])}", f"{p['tokens_per_second_per_user']:.1f}",
                 f"EP{p['decode']['gpus_per_group']}" if not p["phases_apart"] else
                 f"{p['prefill']['groups']:.0f} EP{p['prefill']['gpus_per_group']} + {p['decode']['groups']:.0f} EP{p['decode']['gpus_per_group']}",
                 html.escape(p["unchecked"])) for p in self.plan["plans"]]
        left_out = "".join(f'<p class="note">left out: {l["layouts"]:,} layouts: {html.escape(l["reason"])}</p>' for l in self.plan["left_out"])
        return card("Best layout of each machine and number of GPUs",
                    '<div class="scroll">' + table(["machine", self.unit + "s", "hours", "cost", "range", "a user", "group", "unchecked"], rows, (1, 2, 3, 4, 5)) + "</div>" + left_out, True)

    def check(self):
        points = [(p["published_tokens_per_second_per_gpu"], p["predicted_tokens_per_second_per_gpu"], p["family"], p["id"]) for p in self.plan["check"]]
        within = sum(abs(p["error"]) <= 0.2 for p in self.plan["check"])
        chart = scatter(points, colored(in_order(p[2] for p in points)), "published tokens/s a GPU", "predicted")
        return card("Published throughputs, and what the model says of them", chart + f'<p class="note">{within} of {len(points)} within 20 % (dashed)</p>')

    def text(self):
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in [self.plan["ceiling"].strip(), *self.plan["notes"]] if note)
        start = f"<pre>{html.escape(self.best['parallel'] + (self.best['launch'] or '# moemill has no GPU backend yet, so no command starts this'))}</pre>"
        price = self.best["price"]
        said = html.escape(self.best["speed"]) + (f"; unchecked: {html.escape(self.best['unchecked'])}" if self.best["unchecked"] else "")
        if price: said += f"; {price['per_gpu_hour']:g} {price['currency']} per {self.unit}-hour, {html.escape(str(price['date'] or 'as asked'))}: {html.escape(price['source'])}"
        cards = filled([self.terms(), self.hours(), *self.curves(), self.check(), card("For run.yaml", start + f"<ul>{notes}</ul>"), self.layouts()])
        model = html.escape(self.plan["question"]["model"])
        return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
                f"<title>plan: {model}</title><style>{STYLE}</style></head><body><main><h1>{model}</h1>"
                f'<p class="lead">{html.escape(self.plan["answer"])}</p><p class="note">speed: {said}</p>{self.tiles()}<div class="grid">{"".join(cards)}</div></main></body></html>\n')


def plan_page(path):
    plan = read_plan(path)
    try:
        if plan["best"] is None: raise Fault(f"{path}: has no plan that keeps the limits: {plan['would'][0]['change'] + ' would' if plan['would'] else 'nothing to show'}")
        return PlanPage(plan).text()
    except (KeyError, TypeError, IndexError, AttributeError) as fault:
        raise Fault(f"{path}: is not in the form that moemill writes ({type(fault).__name__}: {fault}); moemill plan ... --json makes it again") from None
