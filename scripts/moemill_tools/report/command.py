"""The command report.py: a run directory in, one page out."""
import logging
import os
import pathlib

from ..common import Fault, Parser, begin_beside, clear_away, exit_codes, need, ready_to_leave, real_target, unfinished
from .plan_page import plan_page

DESCRIPTION = """Makes one self-contained report.html of a run directory: what was done, how fast, on what
machines, at what cost, and what went wrong.

Works during a run and after it, for one attempt or a hundred. Reads run.json, attempts.jsonl,
config.yaml, metrics.jsonl, summary.json and outputs.h5 (or the finished shards), and changes none
of them. It needs no network: the pictures are embedded in the page.

With --plan, the page of an answer of `moemill plan --json`: its curves, the terms of its steps, and
published throughputs against the model.
"""
EXAMPLES = """examples:
  report.py runs/first                  # makes runs/first/report.html
  report.py runs/first -o first.html
  moemill plan -c run.yaml --hardware H100 --json > plan.json
  report.py --plan plan.json            # makes plan.html beside it, and needs no package

needs Python 3.9 or newer with h5py, numpy and matplotlib (Debian: python3-h5py python3-matplotlib).
All of them in an environment of their own:
  python3 -m venv ~/moemill-tools
  ~/moemill-tools/bin/pip install -r scripts/tools-requirements.txt
"""


def publish(path, text):
    """Writes the page completely or not at all, under a temporary name of this process until then."""
    path = real_target(path)
    try:
        temporary = begin_beside(path)
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as f:  # a damaged text may not be UTF-8
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
        unfinished.discard(temporary)
    except OSError as fault:
        fault.filename = str(path)
        raise
    finally:
        clear_away()


def publish_and_say(path, text):
    publish(path, text)
    print(f"{path}: {len(text) / 1e3:,.0f} KB", flush=True)


def parse_arguments(words):
    p = Parser("report.py", DESCRIPTION, EXAMPLES)
    p.add_argument("run_dir", type=pathlib.Path, metavar="RUN_DIR", nargs="?")
    p.add_argument("--plan", type=pathlib.Path, metavar="FILE.json", help="an answer of moemill plan --json, in place of RUN_DIR")
    p.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE.html", help="default: RUN_DIR/report.html, or plan.html beside FILE.json")
    options = p.parse_args(words)
    if (options.run_dir is None) == (options.plan is None): p.error("give RUN_DIR, or --plan FILE.json")
    return options


def run(options):
    path = options.output or (options.plan.with_name("plan.html") if options.plan else options.run_dir / "report.html")
    if options.output and (path.is_dir() or not path.parent.is_dir()): raise Fault(f"{path}: is a folder, or is in no folder (-o FILE.html)")
    if path.exists() and not path.is_file(): raise Fault(f"{path}: is not a regular file (-o FILE.html names another)")
    if options.plan: return publish_and_say(path, plan_page(options.plan))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # messages about building its list of fonts or an unwritable HOME need no action
    for module in ("h5py", "numpy", "matplotlib"): need(module)
    from .page import Page
    from .run import Run
    publish_and_say(path, Page(Run(options.run_dir)).text())


def main(words=None):
    ready_to_leave()
    with exit_codes("report.py"): run(parse_arguments(words))
