"""The pictures of the page, as embedded SVG."""
import base64
import collections
import html
import io

from ..common import need
from .look import NARROW
from .metrics import Metrics, smoothed
from .text import apart, brief, clock, compact, quantile, time_ticks, whole

COLOURS = {"generated": "#d9822b", "prompt": "#3f6fa3", "stop": "#4c956c", "length": "#d9822b", "stop string": "#7fb8a4",
           "repetition": "#b0508e", "error": "#c0392b", "none": "#9aa0a6", "load": "#9aa0a6", "prefill": "#3f6fa3",
           "decode": "#d9822b", "rest": "#dcdcdc", "line": "#333333"}


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

    def image(self, figure, alt): return f'<img alt="{html.escape(alt)}" src="{self.source(figure)}">'

    def source(self, figure):
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        self.plt.close(figure)
        return f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}"

    def wide(self, draw, alt):
        """A picture over the whole page, drawn again for a narrow page, because letters for a width of 11 inches are illegible on 500
        pixels."""
        return f'<picture><source media="{NARROW}" srcset="{self.source(draw(5.4))}">{self.image(draw(11), alt)}</picture>'

    def curve(self, axes, points, **look):
        nan = float("nan")
        x = [nan if at is None else at / self.scale for at, _ in points]
        y = [nan if value is None else value for _, value in points]
        if len(points) <= 12: look = {"marker": "o", "markersize": 3, "clip_on": False, **look}  # a short run has few points: all of them are shown
        axes.plot(x, y, **look)

    def over_time(self, axes, label):
        """The time axis, with a line at the beginning of each attempt."""
        axes.set_xlabel(f"{self.unit} of work")
        axes.set_ylabel(label)
        axes.set_xlim(0, max(self.run.metrics.work_seconds / self.scale, 1e-6))
        axes.set_ylim(0, axes.get_ylim()[1] * 1.06)
        axes.yaxis.set_major_formatter(self.plt.FuncFormatter(lambda v, _: compact(v)))
        few = len(self.run.metrics.begins) <= 12
        for _, at in self.later_begins():
            axes.axvline(at, color="#888888" if few else "#d5d5d5", linewidth=0.8, linestyle=(0, (4, 3)) if few else "-", zorder=0)

    def later_begins(self):
        """(number, position) of the attempts after the first."""
        return [(number, at / self.scale) for number, at in sorted(self.run.metrics.begins.items())[1:]]

    def number_attempts(self, axes):
        for number, at in apart(self.later_begins(), axes.get_xlim()[1]):
            axes.annotate(str(number), (at, 1), xycoords=("data", "axes fraction"), fontsize=7, color="#777777", xytext=(2, 1),
                          textcoords="offset points")

    def rate(self):
        """One panel per quantity, because beside the rate of prompt tokens that of generated tokens would be a flat line. Empty
        quantities have none."""
        names = [name for name in ("generated", "prompt") if self.run.metrics.sum(Metrics.RATES[name])] or ["generated"]
        return self.wide(lambda width: self.rate_figure(width, names), f"{' and '.join(names)} tokens per second over working time")

    def rate_figure(self, width, names):
        figure, panels = self.plt.subplots(len(names), 1, figsize=(width, 0.4 + 1.6 * len(names)), layout="constrained", sharex=True, squeeze=False)
        panels = panels[:, 0]
        for axes, name in zip(panels, names):
            self.curve(axes, smoothed(self.run.metrics.rates(Metrics.RATES[name])), color=COLOURS[name], linewidth=1.3)
            self.over_time(axes, f"{name} tokens/s")
        for axes in panels[:-1]: axes.set_xlabel("")
        self.number_attempts(panels[0])
        figure.align_ylabels()
        return figure

    def running(self):
        figure, axes = self.figure()
        self.curve(axes, self.run.metrics.levels("running", {}), color=COLOURS["line"], linewidth=1.2, drawstyle="steps-post")
        self.over_time(axes, "running sequences")
        self.number_attempts(axes)
        return self.image(figure, "running sequences over working time")

    def progress(self):
        figure, axes = self.figure()
        before = {a["number"]: a["done_before"] for a in self.run.attempts}
        self.curve(axes, self.run.metrics.levels("rows_done", before), color=COLOURS["stop"], linewidth=1.6, drawstyle="steps-post")
        axes.axhline(self.run.total, color="#888888", linewidth=0.8)
        self.over_time(axes, f"rows done of {whole(self.run.total)}")
        axes.set_ylim(0, self.run.total * 1.06 or 1)
        self.number_attempts(axes)
        return self.image(figure, "rows done over working time")

    def exchange(self):
        figure, axes = self.figure()
        for (name, key), colour in zip(Metrics.BYTES.items(), ("#7fb8a4", "#b0508e")):
            if self.run.metrics.sum(key) > 0: self.curve(axes, smoothed(self.run.metrics.rates(key, "rank 0")), color=colour, linewidth=1.2, label=name)
        self.over_time(axes, "bytes per second, rank 0")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderaxespad=0, handlelength=1)
        return self.image(figure, "bytes exchanged per second over working time")

    def bins(self, counters):
        """Edges for lengths: even, or logarithmic if the longest is far from the usual."""
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
        """Counters by name, stacked."""
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
        """One bar with named parts."""
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

    def scores(self, means):
        figure, axes = self.figure()
        low, high = (float(self.np.quantile(means, q)) for q in (0.002, 0.998))  # a few distant values would leave one bar for all others
        axes.hist(self.np.clip(means, low, high), self.np.linspace(low, max(high, low + 1e-3), 41), color=COLOURS["prompt"], edgecolor="white", linewidth=0.3)
        axes.set_xlabel("mean log-probability per token")
        axes.set_ylabel("prompts")
        axes.grid(axis="x", visible=False)
        axes.yaxis.set_major_locator(self.plt.MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(self.plt.FuncFormatter(lambda v, _: compact(v)))
        return self.image(figure, "histogram: prompts by mean log-probability per token")

    def experts(self, counts):
        return self.wide(lambda width: self.experts_figure(counts, width), "load of the experts by layer")

    def experts_figure(self, counts, width):
        """Load relative to the layer's mean, busiest first; beside it the busiest expert of each layer."""
        layers, numbers = len(counts), self.run.layers
        table = self.np.array([sorted(layer, reverse=True) for layer in counts], float)
        table /= self.np.maximum(table.mean(axis=1, keepdims=True), 1e-9)
        figure, (axes, side) = self.plt.subplots(1, 2, figsize=(width, min(5.5, 1.5 + 0.13 * layers)), layout="constrained", sharey=True,
                                                 gridspec_kw={"width_ratios": [4, 1]})
        most = max(2.0, float(self.np.quantile(table, 0.99)))  # one expert with all the load would leave the others without colour
        picture = axes.imshow(table, aspect="auto", cmap="magma_r", vmin=0, vmax=most, interpolation="nearest",
                              extent=(0.5, table.shape[1] + 0.5, layers - 0.5, -0.5))
        axes.set_xlabel("experts of a layer, busiest first")
        axes.set_ylabel("layer" if numbers else "layer with experts")
        axes.grid(visible=False)
        ticks = range(0, layers, -(-layers // 9))
        axes.set_yticks(ticks, [str(numbers[i] if numbers else i + 1) for i in ticks])
        axes.xaxis.set_major_locator(self.plt.MaxNLocator(8, integer=True))
        figure.colorbar(picture, ax=axes, label="load / mean", pad=0.01, extend="max" if table.max() > most else "neither")
        side.barh(range(layers), table[:, 0], color=COLOURS["generated"], height=0.8)
        side.axvline(1, color="#888888", linewidth=0.8)
        side.set_xlabel("busiest / mean")
        return figure
