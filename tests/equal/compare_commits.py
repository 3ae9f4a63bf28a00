#!/usr/bin/env python3
"""Two programs, the same jobs, the same answers? README.md beside this file says what is compared.

    compare_commits.py OLD_PROGRAM NEW_PROGRAM WORK_DIR [--only NAME] [--quick] [--count-drawn-tokens]

Exit 1 where anything differs."""
import argparse
import pathlib
import shutil
import subprocess
import sys
import time

import h5py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
import answers
import cases
from job_layouts import environment_of, words_of
from launch import command, environment, instruction_sets

SECONDS = 600  # seconds; longer than any of these jobs takes even on a busy machine
QUICK = ("family/deepseek_v3", "family/gpt_oss_mxfp4", "family/mixtral", "sampling/temperature_top_p", "sampling/penalties",
         "sampling/stop", "sampling/scoring", "resume/deepseek_v3")


class Failed(Exception):
    """A program that did not end as required."""


def parse_words():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path, metavar="OLD_PROGRAM")
    parser.add_argument("new", type=pathlib.Path, metavar="NEW_PROGRAM")
    parser.add_argument("work", type=pathlib.Path, metavar="WORK_DIR")
    parser.add_argument("--only", default="", metavar="NAME", help="cases whose name contains this")
    parser.add_argument("--quick", action="store_true", help="some cases, each in two layouts")
    parser.add_argument("--count-drawn-tokens", action="store_true",
                        help="drawn tokens may differ and are counted; everything else must be equal")
    parser.add_argument("--new-set", action="append", default=[], metavar="KEY=VALUE",
                        help="a setting of the new program's own runs, not of those that it resumes; more than one may be given")
    return parser.parse_args()


class Comparison:
    def __init__(self, words):
        self.old, self.new, self.work = (path.resolve() for path in (words.old, words.new, words.work))
        self.counting, self.quick = words.count_drawn_tokens, words.quick
        self.new_words = [word for setting in words.new_set for word in ("--set", setting)]
        self.bodies = instruction_sets(self.old) & instruction_sets(self.new)
        self.differ = 0
        print(f"{'case':36}{'layout of the new program':48}{'datasets':>8}{'rows':>6}  result")

    def compare(self, case):
        """The old program runs in the first layout, the new one in all."""
        folder, prompts = self.prepare(case)
        old = folder / "old/outputs.h5"
        if self.fails(case, {}, lambda: self.run(self.old, case, prompts, old.parent, case.layouts[0])): return
        self.check_ends(case, old)
        for number, layout in enumerate(case.layouts):
            if layout.get("isa", "plain") not in self.bodies: continue
            new = folder / f"new-{number}/outputs.h5"
            if self.fails(case, layout, lambda: self.run(self.new, case, prompts, new.parent, layout, self.new_words)): continue
            self.report(case, layout, old, new, prompts)

    def resume(self, case):
        """Begun by the old program, stopped, finished by the new one: equal to an undisturbed run."""
        folder, prompts = self.prepare(case)
        old, new = folder / "old/outputs.h5", folder / "resumed/outputs.h5"
        first, then = case.layouts
        if self.fails(case, then, lambda: self.run(self.old, case, prompts, old.parent, first)): return
        if self.fails(case, then, lambda: self.run_until_stopped(case, prompts, new.parent, first)): return
        if self.counting:  # a different definition: only the old program can finish what was begun
            refused = self.started(self.new, case, prompts, new.parent, then).wait(SECONDS) == 2
            return self.line(case, then, "", "refused, as it must be" if refused else "NOT REFUSED", refused)
        if self.fails(case, then, lambda: self.run(self.new, case, prompts, new.parent, then)): return
        self.report(case, then, old, new, prompts)

    def replay(self, case):
        """The new program generates rows of the old one again."""
        folder = self.work / case.name.replace("/", "-")
        words = command(self.new, 0, "verify", folder / "old", "--deep", "--replay", "12")
        done = subprocess.run(words, env=environment(), cwd=cases.SOURCE, timeout=SECONDS, capture_output=True, text=True)
        good = done.returncode == 0
        self.line(case, {}, "", "replays" if good else last_line(done.stdout + done.stderr), good, "verify --replay")

    def prepare(self, case):
        folder = self.work / case.name.replace("/", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        case.write(folder / "prompts.h5")
        if self.quick: case.layouts = [case.layouts[0], case.layouts[-1]]
        return folder, folder / "prompts.h5"

    def started(self, program, case, prompts, out, layout, more=()):
        words = ["run", *case.words(), "-i", prompts, "-o", out, "--log-level", "warning", *words_of(layout), *more]
        return subprocess.Popen(command(program, layout["ranks"], *words), env=environment(environment_of(layout)),
                                cwd=cases.SOURCE, stdout=subprocess.DEVNULL, stderr=(out.parent / "log").open("w"))

    def run(self, program, case, prompts, out, layout, more=()):
        self.expect(self.started(program, case, prompts, out, layout, more), program, out, 0)

    def run_until_stopped(self, case, prompts, out, layout):
        job = self.started(self.old, case, prompts, out, layout)
        while job.poll() is None and not list((out / "shards").glob("*.h5")): time.sleep(0.01)
        if job.poll() is None: (out / "stop").touch()
        self.expect(job, self.old, out, 75)

    @staticmethod
    def expect(job, program, out, code):
        try:
            ended = job.wait(SECONDS)
        except subprocess.TimeoutExpired:
            job.kill()
            ended = "none"
        if ended != code: raise Failed(f"{program}: exit {ended}, not {code}: {last_line((out.parent / 'log').read_text())}")

    def fails(self, case, layout, action):
        try:
            action()
        except Failed as fault:
            self.line(case, layout, "", str(fault), False)
            return True
        return False

    def check_ends(self, case, path):
        with h5py.File(path) as f:
            reason = f["completions/finish_reason"]
            seen = {reason.attrs["names"][code] for code in reason[:]}
        for wanted in case.ends:
            if wanted not in seen: self.line(case, {}, "", f"no row ends by {wanted}: the case shows nothing", False)

    def report(self, case, layout, old, new, prompts):
        if self.counting:
            other, tokens, changed, rows = answers.changed_draws(old, new, case.temperatures(prompts))
            text = other or f"{changed:,} of {tokens:,} drawn tokens changed, in {rows:,} rows; the rest is equal"
        else:
            other = answers.first_difference(old, new)
            text = other or "equal"
        with h5py.File(old) as f: rows = len(f["completions/status"])
        self.line(case, layout, f"{len(answers.datasets(old)):8}{rows:6}", text, not other)

    def line(self, case, layout, counts, text, good, what=None):
        self.differ += not good
        what = what or " ".join(f"{key} {value}" for key, value in layout.items())
        print(f"{case.name:36}{what:48}{counts:14}  {'' if good else 'DIFFERS: '}{text}", flush=True)


def last_line(text):
    return (text.strip().splitlines() or ["without a word"])[-1]


def main():
    words = parse_words()
    comparison = Comparison(words)
    def wanted(case): return words.only in case.name and (case.name in QUICK or words.only or not words.quick)
    for case in filter(wanted, [cases.demo(), *cases.families(), *cases.sampling()]):
        comparison.compare(case)
        if case.name.startswith("family/") and not words.count_drawn_tokens: comparison.replay(case)
    for case in filter(wanted, cases.resumed()): comparison.resume(case)
    print(f"{comparison.differ} differences" if comparison.differ else "everything is equal")
    sys.exit(1 if comparison.differ else 0)


if __name__ == "__main__": main()
