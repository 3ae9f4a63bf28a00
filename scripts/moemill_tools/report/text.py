"""Numbers as text for people."""
import math
import re


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


def time_text(stamp): return re.sub(r"^(\S+)T(\S+)Z$", r"\1 \2 UTC", stamp)


def size_text(n):
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if n < 1000 or unit == "PB": return f"{n:.0f} B" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000


def share(part, total): return f"{100 * part / total:.1f} %" if total else "–"


def money(value, currency):
    if value >= 1 or value <= 0: return f"{value:,.2f} {currency}"
    return f"{value:.{1 - math.floor(math.log10(value))}f} {currency}"  # two significant digits


def counted(n, noun): return f"{whole(n)} {noun}{'' if n == 1 else 's'}"


def quantile(counter, q):
    total, seen = sum(counter.values()), 0
    for value in sorted(counter):
        seen += counter[value]
        if seen >= q * total: return value
    return 0


TIME_STEPS = [0.1, 0.2, 0.5, *(unit * n for unit in (1, 60) for n in (1, 2, 5, 10, 15, 30)), *(3600 * n for n in (1, 2, 3, 6, 12)),
              *(86400 * n * 10**power for power in range(5) for n in (1, 2, 5))]


def time_ticks(seconds):
    """Ticks from 0 at steps as on clocks: at most five."""
    step = next((step for step in TIME_STEPS if seconds / step < 6), seconds)
    return [step * i for i in range(int(seconds / step) + 1)]


def brief(seconds): return re.sub(r" 00 \w+$", "", clock(seconds)) if seconds else "0"


def apart(places, width):
    """Those of (number, position), in order, that have space for the number."""
    out = []
    for number, at in places:
        if not out or at - out[-1][1] >= 0.1 * width: out.append((number, at))
    return out
