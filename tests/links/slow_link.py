#!/usr/bin/env python3
"""What two micro-batches hide of a slow link: steps of `moemill bench` on two pretended hosts of one rank, over a link of 1 Gbit/s and
0.5 ms and over one as fast as the machine. A report, not a gate; it needs root (hosts.py) and a quiet machine of two cores.

    slow_link.py [--program build/bin/moemill] [--megabits 1000] [--delay-us 500] [--rounds 3] [--workloads decode,prefill] [-- OPTIONS OF BENCH]

A and B are steps with one and with two micro-batches on the slow link, C and D the same on the fast one; auto is what `--micro-batches
auto` makes of them. Runs follow each other A B C D auto, A B ..., and the medians of the rounds count. Hidden is 1 - (B - D) / (A - C): what
two micro-batches lose by smaller products is in D as in B. Exchange is what the slow link adds to what C waits, as a share of C's other time."""
import argparse
import json
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


def report(hosts, workload, options):
    steps = {name: [] for name, _, _ in RUNS}
    waits = {name: [] for name in steps}
    two = {}
    program = pathlib.Path(options.program).resolve()
    for _ in range(options.rounds):
        for name, device, batches in RUNS:
            out = json.loads(hosts.mpirun(device, program, "bench", workload, "--json", "--micro-batches", batches, *options.bench))
            steps[name].append(1e3 * out["seconds_per_step"])
            waits[name].append(out["shares"]["waiting"])
            two[name] = out["steps_with_two"], out["steps"]
    ms = {name: statistics.median(s) for name, s in steps.items()}
    print(f"{workload}, {out['model']}, {out['sequences']} sequences, {out['tokens']} tokens, {out['isa']}, commit {out['commit'][:9]}")
    for name in ms:
        print(f"  {name:10}  {ms[name]:8.1f} ms a step ({', '.join(f'{s:.1f}' for s in steps[name])}), waiting {100 * statistics.median(waits[name]):4.1f} %, "
              f"{two[name][0]} of {two[name][1]} steps with two")
    waited = ms["C"] * statistics.median(waits["C"])
    added, left = ms["A"] - ms["C"], ms["B"] - ms["D"]
    print(f"  exchange {100 * (added + waited) / (ms['C'] - waited):.0f} % of the rest; the slow link adds {added:.1f} ms with one, {left:.1f} ms with two: "
          f"{100 * (1 - left / added):.0f} % hidden")
    for link, pair in (("slow", "AB"), ("fast", "CD")):
        better = min(ms[n] for n in pair)
        print(f"  auto on the {link} link: {100 * (ms[f'auto, {link}'] / better - 1):+.1f} % of the better of one and two")
    sys.stdout.flush()


if __name__ == "__main__": main()
