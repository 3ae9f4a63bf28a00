#!/usr/bin/env python3
"""With --json, stdout of every benchmark is one JSON value and nothing else, alone and under mpirun.

    json_alone.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import pathlib
import shutil
import subprocess
import sys

import h5py

PROGRAM, SOURCE, WORK = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
sys.path.insert(0, str(SOURCE / "tests/program"))
from launch import command, environment
from prompt_files import write_prompts

STEP = ("--sequences", "2", "--tokens", "3", "--steps", "2", "--threads", "1")
CASES = {
    "gemm": ("--shapes", "64x32", "--rows", "1,5", "--seconds", "0.01", "--weights", "bf16,fp8,mxfp4,int8"),
    "attention": ("--shapes", "40x32", "--groups", "2x16", "--rows", "3", "--seconds", "0.01"),
    "exchange": ("--rows", "1,3", "--hidden", "64", "--experts", "4", "--picks", "2", "--steps", "2"),
    "decode": STEP,
    "prefill": STEP,
    "simulate": ("--ranks", "8", "--ranks-per-node", "2", "--rows", "4"),
    "calibrate": ("--threads", "1", "--seconds", "0"),
}
COUNTED_RUN = ("--prompts", "20", "--input-tokens", "9", "--output-tokens", "5")


def measured(bench, ranks, *words):
    done = subprocess.run(command(PROGRAM, ranks, "bench", bench, *CASES[bench], *words, "--json"), env=environment(),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (bench, ranks, done.stderr)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as fault:
        sys.exit(f"bench {bench} on {ranks} ranks: {fault}\n{done.stdout}")


def check_step(out, model):
    assert out["model"] == str(model), out["model"]
    parts = out["needed_bytes"]
    assert abs(sum(bytes for part, bytes in parts.items() if part != "all") - parts["all"]) < 1, parts
    assert 0 < out["experts_picked"] <= out["experts"], out
    assert out["needed_gflops"] > 0 and out["share_of_reads"] > 0, out


def check_calibration(out, model, ranks):
    assert out["model"] == str(model) and out["ranks"] == max(ranks, 1), out["ranks"]
    assert [stages["micro_batches"] for stages in out["stages"]] == [1, 2], out["stages"]
    for stages in out["stages"]:
        assert stages["expert"]["seconds"][0] > 0 and stages["generated_core_row"]["seconds"][-1] > 0, stages


def check_int8(model):
    out = measured("decode", 0, "--model", model, "--arithmetic", "int8")
    assert out["arithmetic"] == "int8" and 0 < out["needed_int8_gops"] < out["needed_gflops"] and out["share_of_peaks"] > 0, out


def check_micro_batches(model):
    for wanted, two in (("1", {0}), ("2", {2}), ("auto", {0, 1, 2})):  # all that are measured are settled
        out = measured("prefill", 2, "--model", model, "--micro-batches", wanted)
        assert out["steps"] == 2 and out["steps_with_two"] in two and out["micro_batches"] in (1, 2), out


def check_recorded_picks():
    """A run keeps its picks without changing its answers, and the simulator counts them."""
    write_prompts(WORK / "p.h5", {"prompt": [f"alpha beta {i}" for i in range(40)]})
    for steps, out in ((0, "plain"), (3, "picks")):
        words = ("run", "--model", str(SOURCE / "configs/demo/model"), "-i", str(WORK / "p.h5"), "-o", str(WORK / out), "--set",
                 f"runtime.record_picks={steps}", "--set", "sampling.max_tokens=4")
        done = subprocess.run(command(PROGRAM, 2, *words), env=environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    with h5py.File(WORK / "plain/outputs.h5") as plain, h5py.File(WORK / "picks/outputs.h5") as recorded:
        assert (plain["completions/token_ids/values"][:] == recorded["completions/token_ids/values"][:]).all()
    assert not (WORK / "plain/picks.h5").exists()
    with h5py.File(WORK / "picks/picks.h5") as file:
        picks = file["picks"]
        assert file.attrs["steps"] == 3 and file.attrs["attempt"] == 1 and len(file.attrs["model_sha256"]) == 64 and picks.shape[0] == len(file["layers"]) and picks.shape[1] > 0 and picks.shape[2] == file.attrs["picks"]
        assert 0 < picks[:].max() < file.attrs["experts"]
    words = ("--model", SOURCE / "configs/demo/model", "--picks", WORK / "picks/picks.h5")
    out = measured("simulate", 0, *words)
    assert out["picks"] and out["power_law"] is None and 1 < out["nodes_per_row"] <= 4 and out["inter_node_bytes"] == out["inter_node_bytes_minimum"], out
    rows = h5py.File(WORK / "picks/picks.h5")["picks"].shape[1]
    assert out["recorded"] == {"rows": rows, "steps": 3, "attempt": 1, "counts_of_a_row": 32 / rows, "same_weights": True}, out
    text = subprocess.run(command(PROGRAM, 0, "bench", "simulate", *words, "--rows", "200"), env=environment(), capture_output=True, text=True).stdout
    assert f"{rows} rows recorded in 3 steps of attempt 1: for the 14,400 rows of all ranks each is counted {14400 / rows:.1f} times" in text, text
    check_models_of_picks()
    check_prompts_of_a_file()


def check_prompts_of_a_file():
    """A run is counted on the lengths, samples and max_tokens of its prompts; what cannot be known is refused."""
    demo = SOURCE / "configs/demo/model"
    out = measured("simulate", 0, "--model", demo, "-i", WORK / "p.h5", "--output-tokens", "4")["run"]
    with h5py.File(WORK / "plain/outputs.h5") as run:
        assert out["prompt_tokens"] == sum(run["completions/num_prompt_tokens"][:]) > 0, out
    write_prompts(WORK / "columns.h5", {"prompt": ["alpha beta"] * 3 + ["alpha " * 9000], "n": [1, 2, 3, 1], "max_tokens": [5, 1, 2, 1]})
    out = measured("simulate", 0, "--model", demo, "-i", WORK / "columns.h5", "--output-tokens", "9000")["run"]
    assert out["prompts"] == 3 and out["failing_prompts"] == 1 and out["answers"] == 6 and out["longest_answer"] == 5, out
    assert out["generated_tokens"] == 1 * 5 + 2 * 1 + 3 * 2 and out["shared_prompt_tokens"] == out["prompt_tokens"], out
    for words, why in ((("-i", WORK / "p.h5"), "has no tokenizer to count their tokens"), (("-i", WORK / "gone.h5"), "no such file"),
                       (("-i", WORK / "p.h5", "--prompts", "9"), "--prompts has no effect"),
                       (("-i", WORK / "p.h5", "--input-tokens", "9"), "--input-tokens has no effect")):
        done = subprocess.run(command(PROGRAM, 0, "bench", "simulate", *words), env=environment(), capture_output=True, text=True)
        assert done.returncode == 2 and why in done.stderr, done.stderr


def check_models_of_picks():
    """Shapes alone are counted with their weights unknown; another type, shape or other weights are refused."""
    demo, shapes, other = SOURCE / "configs/demo/model", WORK / "shapes", WORK / "other"
    shutil.copytree(demo, other)
    for folder, change in ((shapes, {}), (other, {"comment": "another"})):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(json.loads((demo / "config.json").read_text()) | change))
    out = measured("simulate", 0, "--model", shapes, "--picks", WORK / "picks/picks.h5")
    assert out["recorded"]["same_weights"] is None, out
    for folder, why in (("deepseek-v3", "4 picks of 16 experts"), ("gpt-oss-120b", "a model of type"), (other, "another model of this shape")):
        done = subprocess.run(command(PROGRAM, 0, "bench", "simulate", "--model", folder, "--picks", WORK / "picks/picks.h5"), env=environment(),
                              capture_output=True, text=True)
        assert done.returncode == 2 and why in done.stderr and "name its own model" in done.stderr, done.stderr


# A quotation mark and a backslash in the path must not spoil the JSON.
shutil.rmtree(WORK, ignore_errors=True)
model = WORK / 'a "quoted\\" folder'
shutil.copytree(SOURCE / "tests/data/models/deepseek_v3", model)
for bench in CASES:
    steps = bench in ("decode", "prefill", "calibrate")
    for ranks in (0, 2):
        out = measured(bench, ranks, *(("--model", model) if steps else COUNTED_RUN if bench == "simulate" else ()))
        if bench in ("decode", "prefill"): check_step(out, model)
        if bench == "calibrate": check_calibration(out, model, ranks)
        if bench in ("gemm", "attention", "exchange"): assert out["results"], out
        if bench == "simulate": assert out["inter_node_bytes"] == out["inter_node_bytes_minimum"] > 0 and out["run"]["steps"] > 0, out
        peaks = out["core"] if bench == "calibrate" else out
        if bench not in ("exchange", "simulate"): assert any(key in peaks for key in ("fma_peak_flops", "fma_flops")), out
check_int8(model)
check_recorded_picks()
check_micro_batches(model)
