#!/usr/bin/env python3
"""How fast two programs are, in turns: OLD NEW NEW OLD, several rounds, for both kernel bodies.

    bench_pair.py OLD_PROGRAM NEW_PROGRAM [--only NAME] [--rounds N] [--looked-for PERCENT] [--long]

A line per number: the median of each program in microseconds, new over old for the medians and for the best, and the
spread: the width that holds half of the ratios of single runs, over the square root of their count. "all" is the geometric
mean of a benchmark's numbers. A number is "noisy" where the spread exceeds what is looked for. Exit 1 where one that is
not noisy is slower by more than that."""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
from launch import command, environment, instruction_sets

SOURCE = pathlib.Path(__file__).resolve().parents[2]
# Ranks and options of each benchmark. Two rounds of all take some six minutes on two cores that do nothing else, most of
# it for the random weights of decode and prefill.
SHORT = {"gemm": (0, "--shapes 2048x1408 --rows 1,4,16,64 --seconds 0.1"),
         "attention": (0, "--rows 512 --groups 8x64 --seconds 0.1"),
         "exchange": (2, "--rows 1,64,512 --steps 200"),
         "decode": (0, "--sequences 64 --tokens 64 --steps 6 --threads 1"),
         "prefill": (0, "--sequences 2 --tokens 256 --steps 3 --threads 1")}
LONG = {"gemm": (0, ""), "attention": (0, ""), "exchange": (2, "--steps 1000"),
        "decode": (2, "--steps 16"), "prefill": (2, "--steps 8")}
# Shapes, which name a number. Every one that tells two results of a benchmark apart must be here.
NAMES = ("rows_are", "rows", "k", "n", "group", "key_width", "value_width", "window", "context")
BARE = ("copy", "transfers")  # time of the machine without the program


def parse_words():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path, metavar="OLD_PROGRAM")
    parser.add_argument("new", type=pathlib.Path, metavar="NEW_PROGRAM")
    parser.add_argument("--only", default="", metavar="NAME", help="one benchmark")
    parser.add_argument("--rounds", type=int, default=2, help="each runs both programs twice (default: 2)")
    parser.add_argument("--looked-for", type=float, default=1.0, metavar="PERCENT", help="(default: 1)")
    parser.add_argument("--long", action="store_true", help="the benchmarks' own settings")
    return parser.parse_args()


def measured(program, bench, ranks, options, isa):
    """{name: (median, best)} in seconds, of one run."""
    bodies = ["--isa", isa] if bench != "exchange" else []
    words = command(program, ranks, "bench", bench, *options.split(), *bodies, "--json")
    done = subprocess.run(words, env=environment({"MOEMILL_ISA": isa}), cwd=SOURCE, capture_output=True, text=True)
    if done.returncode: sys.exit(f"{program} bench {bench}: exit {done.returncode}\n{done.stderr}")
    report = json.loads(done.stdout[done.stdout.index("{"):])
    if "seconds_per_step" in report: return {"step": (report["seconds_per_step"],) * 2}
    found = {}
    for line in report["results"]:
        shape = " ".join(f"{name} {line[name]}" for name in NAMES if name in line)
        for key, median in line.items():
            what = key.removesuffix("seconds_median").removesuffix("_")
            if not key.endswith("seconds_median") or what in BARE: continue
            name = f"{what or 'step'} {shape}"
            if name in found: sys.exit(f"{bench}: two results have the name {name}")
            found[name] = median, line.get(key.replace("median", "best"), median)
    return found | {"all": [math.exp(statistics.mean(map(math.log, times))) for times in zip(*found.values())]}


def compare(words, bench, isa):
    """Prints a line per number; how many are slower."""
    ranks, options = (LONG if words.long else SHORT)[bench]
    runs = {words.old: [], words.new: []}
    for _ in range(words.rounds):
        for program in (words.old, words.new, words.new, words.old):
            runs[program].append(measured(program, bench, ranks, options, isa))
    if runs[words.old][0].keys() != runs[words.new][0].keys():
        print(f"{bench:10}{isa:8}the two programs measure different things")
        return 0
    return sum(judged(words, f"{bench:10}{isa:8}{name:94}", *([run[name] for run in runs[p]] for p in (words.old, words.new)))
               for name in runs[words.old][0])


def judged(words, what, old, new):
    """Prints the line; whether the new program is slower beyond doubt."""
    medians = [statistics.median(median for median, _ in runs) for runs in (old, new)]
    change = 100 * (medians[1] / medians[0] - 1)
    best = 100 * (min(b for _, b in new) / min(b for _, b in old) - 1)
    quarters = statistics.quantiles((b / a for (a, _), (b, _) in zip(old, new)), n=4)
    spread = 100 * (quarters[2] - quarters[0]) / len(old) ** 0.5
    noisy = spread > words.looked_for
    slower = not noisy and change > words.looked_for
    verdict = "noisy" if noisy else "SLOWER" if slower else "faster" if change < -words.looked_for else "the same"
    print(f"{what}{1e6 * medians[0]:12.1f}{1e6 * medians[1]:12.1f}{change:+8.1f} %{best:+8.1f} %{spread:7.1f} %  {verdict}", flush=True)
    return slower


def main():
    words = parse_words()
    words.old, words.new = words.old.resolve(), words.new.resolve()
    here = instruction_sets(words.old) & instruction_sets(words.new)
    print(f"{'benchmark':10}{'bodies':8}{'number':94}{'old, us':>12}{'new, us':>12}{'new/old':>10}{'best':>10}{'spread':>9}")
    slower = 0
    for bench in SHORT:
        if words.only not in bench: continue
        for isa in ("avx2", "avx512") if bench != "exchange" else ("avx512" if "avx512" in here else "avx2",):
            if isa in here: slower += compare(words, bench, isa)
    sys.exit(1 if slower else 0)


if __name__ == "__main__": main()
