#!/usr/bin/env python3
"""What two micro-batches hide of a slow link: steps of `moemill bench` on two pretended hosts of one rank, over a link of 1 Gbit/s and
0.5 ms and over one as fast as the machine. A report, not a gate; it needs root (hosts.py) and a quiet machine of two cores.

    slow_link.py [--program build/bin/moemill] [--megabits 1000] [--delay-us 500] [--rounds 3] [--workloads decode,prefill] [-- OPTIONS OF BENCH]

A and B are steps with one and with two micro-batches on the slow link, C and D the same on the fast one; auto is what `--micro-batches
auto` makes of them. Runs follow each other A B C D auto, A B ..., and the medians of the rounds count. Hidden is 1 - (B - D) / (A - C): what
two micro-batches lose by smaller products is in D as in B. Exchange is what the slow link adds and what C waits, as a share of what C computes in the layers: the head has nothing to hide."""
import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

from hosts import Hosts

RUNS = [("A", "slow0", "1"), ("B", "slow0", "2"), ("C", "fast0", "1"), ("D", "fast0", "2"), ("auto, slow", "slow0", "auto"), ("auto, fast", "fast0", "auto")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/bin/moemill")
    parser.add_argument("--megabits", type=float, default=1000)
    parser.add_argument("--delay-us", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workloads", default="decode,prefill")
    parser.add_argument("bench", nargs="*", help="options of both benchmarks, behind --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        hosts = Hosts(folder, options.megabits, options.delay_us)
        try:
            for workload in options.workloads.split(","): report(hosts, workload, options)
        finally: hosts.close()


class Runs:
    """All runs of one kind."""
    def __init__(self): self.ms, self.waiting, self.switch_ms = [], [], []

    def add(self, out, switch_seconds):
        self.out, shares = out, out["shares"]
        self.ms.append(1e3 * out["seconds_per_step"])
        self.waiting.append(self.ms[-1] * shares["waiting"])
        self.layers_ms = self.ms[-1] * (1 - sum(shares[part] for part in ("waiting", "packing", "head", "drawing", "rest")))
        self.switch_ms.append(1e3 * switch_seconds / (out["steps"] + 1))  # one step is not measured

    def middle(self, values="ms"): return statistics.median(getattr(self, values))


def report(hosts, workload, options):
    runs = {name: Runs() for name, _, _ in RUNS}
    program = pathlib.Path(options.program).resolve()
    threads = max(1, len(os.sched_getaffinity(0)) // 2)  # a host takes all cores for its own
    for _ in range(options.rounds):
        for name, device, batches in RUNS:
            before = hosts.switch_seconds(device)
            words = ("bench", workload, "--json", "--threads", threads, "--micro-batches", batches, *options.bench)
            runs[name].add(json.loads(hosts.mpirun(device, program, *words)), hosts.switch_seconds(device) - before)
    out = runs["A"].out
    print(f"{workload}, {out['model']}, {out['sequences']} sequences, {out['tokens']} tokens, {out['isa']}, {threads} threads, commit {out['commit'][:9]}")
    for name, r in runs.items():
        print(f"  {name:10}  {r.middle():8.1f} ms a step ({', '.join(f'{ms:.1f}' for ms in r.ms)}), waiting {r.middle('waiting'):5.1f}, "
              f"packing {r.ms[-1] * r.out['shares']['packing']:5.1f}, " + ("" if "auto" in name else f"the switch {r.middle('switch_ms'):5.1f}, ") +
              f"{r.out['steps_with_two']} of {r.out['steps']} steps with two")
    a, b, c, d = (runs[name] for name in "ABCD")
    added, left = a.middle() - c.middle(), b.middle() - d.middle()
    # What the switch takes of the cores nobody can hide; where a rank waits for it, it takes nothing.
    of_switch = (b.middle("switch_ms") - d.middle("switch_ms")) / 2
    print(f"  exchange {100 * (added + c.middle('waiting')) / c.layers_ms:.0f} % of what the layers compute; the slow link adds {added:.1f} ms with one, "
          f"{left:.1f} ms with two: {100 * (1 - left / added):.0f} % hidden, {100 * (1 - (left - of_switch) / added):.0f} % without the switch's own time; "
          f"{100 * (1 - (b.middle('waiting') - d.middle('waiting')) / (a.middle('waiting') - c.middle('waiting'))):.0f} % of the waiting")
    for link, pair in (("slow", "AB"), ("fast", "CD")):
        better = min(runs[n].middle() for n in pair)
        print(f"  auto on the {link} link: {100 * (runs[f'auto, {link}'].middle() / better - 1):+.1f} % of the better of one and two")
    sys.stdout.flush()


if __name__ == "__main__": main()
