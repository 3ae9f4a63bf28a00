"""Predicted against measured time of runs: see scripts/plan_accuracy.sh, which calls it from the top of the checkout. Needs h5py
and numpy."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

import h5py
import numpy

PROGRAM = pathlib.Path("build/bin/moemill").resolve()
PARTS = ("load", "prefill", "decode", "exchange", "idle")
MODELS = {"demo": "configs/demo/model"} | {name: f"configs/bench/{name}" for name in ("deepseek-0.5b", "qwen3-0.5b", "olmoe-0.5b")}
# Of each job: prompts, tokens of a prompt, samples, and tokens of an answer. The tail's lengths are log-normal.
JOBS = {"short": (96, 24, 1, 64), "long": (32, 512, 1, 16), "samples": (16, 96, 8, 48), "tail": (128, 48, 1, None)}
DEMO_TIMES = 24  # the demo model is so small that its jobs have so many times the prompts: not all of their start is predicted


def launched(ranks, *words):
    options = os.environ.get("MOEMILL_MPI_OPTIONS", "").split()
    cores = len(os.sched_getaffinity(0))
    more = ["--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"] if ranks > cores else ["--bind-to", "core"]
    return (["mpirun", "-n", str(ranks), *options, *more] if ranks > 1 else []) + [str(w) for w in words]


def output_of(words):
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0: sys.exit(f"{' '.join(words)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def write_prompts(path, job, model):
    """Random token ids, and max_tokens of each prompt, which all answers reach."""
    prompts, tokens, samples, answer = JOBS[job]
    if model == "demo": prompts *= DEMO_TIMES
    draw = numpy.random.default_rng(7)
    vocabulary = json.loads((pathlib.Path(MODELS[model]) / "config.json").read_text())["vocab_size"]
    lengths = draw.integers(tokens // 2, tokens * 3 // 2 + 1, prompts)
    answers = numpy.full(prompts, answer) if answer else numpy.clip(draw.lognormal(3.2, 1.0, prompts), 2, 400)
    with h5py.File(path, "w") as f:
        ids = f.create_dataset("prompt_token_ids", (prompts,), dtype=h5py.vlen_dtype("i4"))
        for i, length in enumerate(lengths): ids[i] = draw.integers(10, vocabulary - 10, length)
        f["max_tokens"] = answers.astype("i4")
        f["n"] = numpy.full(prompts, samples, "i4")


def threads(ranks): return max(1, len(os.sched_getaffinity(0)) // ranks)


def settings(folder, model, ranks, micro_batches):
    dummy = "" if model == "demo" else ", load_format: dummy"
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS[model]}{dummy}}}\ninput: {{path: {folder / 'prompts.h5'}}}\nsampling: {{ignore_eos: true}}\n"
        f"output: {{dir: {folder / 'out'}, store: [token_ids]}}\n"
        f"parallel: {{threads_per_rank: {threads(ranks)}, micro_batches: {micro_batches}}}\ncost: {{calibration: {folder.parent / 'calibration.json'}}}\n")
    return folder / "run.yaml"


def percent(measured, predicted): return f"{100 * (measured / predicted - 1):+.0f} %" if predicted > 0 else "–"


def planned_seconds(text):
    """Of the line of parts that `moemill plan` prints."""
    line = next(line for line in text.splitlines() if line.startswith("parts "))
    return {name: float(number) for name, number in (part.split() for part in line.removesuffix(" s").split(None, 1)[1].split(", "))}


def run_job(folder, model, ranks, job, micro_batches):
    folder.mkdir()
    write_prompts(folder / "prompts.h5", job, model)
    config = settings(folder, model, ranks, micro_batches)
    output_of(launched(ranks, PROGRAM, "run", "-c", config))
    predicted = json.loads((folder / "out/summary.json").read_text())["predicted"]
    plan = planned_seconds(output_of([str(PROGRAM), "plan", "-c", str(config), "--ranks", str(ranks), "--calibration",
                                      str(folder.parent / "calibration.json")]))
    shutil.rmtree(folder)
    there, here = predicted, predicted["measured"]
    # Random weights are made, not loaded, which no calibration has a rate for.
    unforeseen = 0 if there["load_seconds"] > 0 else here["load_seconds"]
    work = here["wall_seconds"] - unforeseen
    row = [model, ranks, job, f"{work:.1f}", percent(work, there["wall_seconds"])]
    row += [f"{here[f'{part}_seconds']:.1f} ({percent(here[f'{part}_seconds'], there[f'{part}_seconds'])})" for part in PARTS]
    return row + [percent(work, sum(plan.values()))]


def run_bench(work, model, ranks, bench, micro_batches):
    """A row of `bench decode` or `bench prefill` with their own settings: one step, in seconds."""
    report = json.loads(output_of(launched(ranks, PROGRAM, "bench", bench, "--model", MODELS[model], "--threads", threads(ranks), "--json",
                                           "--micro-batches", micro_batches,
                                           "--calibration", work / "calibration.json")))
    predicted = report["predicted"]
    measured = predicted["seconds_per_step"] * (1 + predicted["error"])
    return [model, ranks, f"bench {bench}", f"{measured:.3g}", f"{100 * predicted['error']:+.0f} %"] + ["–"] * (len(PARTS) + 1)


def main():
    names = lambda known: lambda text: [name if name in known else sys.exit(f"{name}: is none of {', '.join(known)}") for name in text.split(",") if name]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=names(MODELS), default=list(MODELS))
    parser.add_argument("--ranks", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--jobs", type=names(JOBS), default=list(JOBS))
    parser.add_argument("--benches", type=names(("decode", "prefill")), default=["decode", "prefill"])
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/plan_accuracy"), help="folder for files that pass")
    parser.add_argument("--calibrate", default="", help="more options of bench calibrate, such as '--isa avx2', which the runs then use, too")
    parser.add_argument("--calibrated-ranks", type=int, help="calibrate with so many ranks, whatever the jobs have")
    parser.add_argument("--micro-batches", type=int, choices=(1, 2), default=1)
    asked = parser.parse_args()
    print("| model | ranks | job | measured, s | total | " + " | ".join(PARTS) + " | plan -c |\n" + "|---" * 11 + "|")
    for model in asked.models:
        for ranks in asked.ranks:
            shutil.rmtree(asked.work, ignore_errors=True)
            asked.work.mkdir(parents=True)
            calibrated = asked.calibrated_ranks or ranks
            output_of(launched(calibrated, PROGRAM, "bench", "calibrate", "--model", MODELS[model], "--threads", threads(max(ranks, calibrated)), "-o",
                               asked.work / "calibration.json", *asked.calibrate.split()))
            # Programs choose the fastest kernels at their start: those that were calibrated are the ones to compare with.
            os.environ["MOEMILL_ISA"] = json.loads((asked.work / "calibration.json").read_text())["isa"]
            for bench in asked.benches:
                print("| " + " | ".join(map(str, run_bench(asked.work, model, ranks, bench, asked.micro_batches))) + " |", flush=True)
            for job in asked.jobs:
                print("| " + " | ".join(map(str, run_job(asked.work / job, model, ranks, job, asked.micro_batches))) + " |", flush=True)
    print(f"\nPer cent: how much longer it took than predicted. The making of random weights is not in the total. {output_of([str(PROGRAM), '--version']).splitlines()[0]}")


if __name__ == "__main__": main()
