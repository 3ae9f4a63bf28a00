"""The command outputs.py: options in, one file out."""
import time

from ..common import Fault, exit_codes, need, ready_to_leave
from .options import parse_arguments


def run(options):
    need("h5py"), need("numpy")
    if options.scores and not options.scores.exists(): raise Fault(f"{options.scores}: no such file (--scores)")
    from .job import Job
    started, job = time.monotonic(), Job(options)
    written = job.run()
    job.tell()
    seconds = time.monotonic() - started
    for place, rows in zip(job.places, written):
        if place.path:
            print(f"{place.path}: {rows:,} rows of {job.total:,} completions, {place.path.stat().st_size / 1e6:,.1f} MB, in "
                  f"{seconds:.1f} s ({job.total / max(seconds, 1e-9):,.0f} completions/s)")


def main(words=None):
    ready_to_leave()
    with exit_codes("outputs.py"):
        run(parse_arguments(words))
        print(end="", flush=True)
