"""metrics.jsonl as curves."""
from .files import LINE, json_lines

MOST_POINTS = 1000  # points of a curve: more than two lines per pixel would show nothing new


class Metrics:
    """metrics.jsonl as curves over working time: one attempt after another, without the waiting between them."""
    RATES = {"prompt": "prompt_tokens", "generated": "generated_tokens"}
    BYTES = {"within nodes": "intra_node_bytes", "between nodes": "inter_node_bytes"}

    def __init__(self, path, damage):
        self.last = {}  # attempt: its last line
        self.begins = {}  # attempt: seconds of work before it
        self.first_time, self.last_time = {}, {}
        self.expert_counts = None
        points, offset, attempt = [], 0.0, None
        step, seen = 1, 0  # for a long run every step-th line is kept
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
        """Picks by layer and expert, summed over the attempts."""
        if self.expert_counts is None: self.expert_counts = [list(layer) for layer in counts]
        elif [len(c) for c in counts] == [len(c) for c in self.expert_counts]:
            self.expert_counts = [[a + b for a, b in zip(x, y)] for x, y in zip(self.expert_counts, counts)]

    def levels(self, name, starts):
        """(seconds of work, value) of a quantity that is measured at a point in time. An attempt begins with the value in `starts`, or
        0; None separates the attempts."""
        curve, attempt = [], None
        for number, at, line in self.points:
            if line is not None and number != attempt:
                attempt = number
                curve.append((self.begins[number], starts.get(number, 0)))
            curve.append((at, None if line is None else line.get(name, 0)))
        return curve

    def rates(self, name, whose="all ranks"):
        """(seconds of work, units per second) from a counter that starts at 0 in each attempt. An attempt's last line sums over all
        ranks what other lines report for rank 0 only, so it is no point of such a curve."""
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


def smoothed(curve):
    """At most MOST_POINTS steps: neighbouring ones are averaged."""
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
    """The positions at which steps (two points of one value) and gaps begin."""
    at = 0
    while at < len(curve):
        yield at
        at += 1 if curve[at][1] is None else 2
