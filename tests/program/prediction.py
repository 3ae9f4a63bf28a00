#!/usr/bin/env python3
"""cost.calibration: what a run says of its time, which must add up; no byte of the answers depends on it; bad files and
other circumstances are named; `plan --calibration` and validate read the same file.

    prediction.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import pathlib

from moemill_program import MODELS, check, differences, expect_exit, fresh, main, moemill, rows, summary, write_prompts

PARTS = ("load", "prefill", "decode", "exchange", "idle")


def curve(size, sizes, seconds): return {size: sizes, "seconds": seconds}


def calibration(**changes):
    """Of a machine that does not exist: seconds of another model's layers."""
    rows_of = ("prompt_projections", "generated_projections", "small", "dense", "shared", "expert", "dispatch", "combine", "outside",
               "generated_core", "head")
    stages = {"micro_batches": 1, "share_on_core": 1} | {name: curve("rows", [0, 64], [1e-5, 2e-4]) for name in rows_of}
    stages |= {name: curve("context", [64, 1024], [1e-6, 1e-5]) for name in ("generated_core_row", "prompt_core_row")}
    rates = {"fma_flops": 1e11, "bf16_dot_flops": None, "int8_dot_ops": None, "read_bytes_per_second": 1e10}
    shape = {"model_type": "made_up", "moe_layers": 2, "dense_layers": 1, "hidden": 64, "vocabulary": 512, "experts": 8, "picks": 2,
             "prompt_projection_parameters": 1e4, "generated_projection_parameters": 1e4, "prompt_core_flops": 256, "generated_core_flops": 256,
             "kv_width": 64, "expert_parameters": 6144, "shared_expert_parameters": 6144, "dense_mlp_parameters": 12288}
    drawing = {name: 1e-6 for name in ("greedy", "temperature", "top_k", "top_p", "logprobs", "score")}
    return {"format": "moemill-machine", "format_version": 2, "measured_utc": "2026-11-30T04:00:00Z", "moemill_version": "0.1.0", "git_commit": "0",
            "cpu": "an abacus", "isa": "beads", "nodes": 1, "ranks_per_node": 7, "threads_per_rank": 9, "core": rates, "node": rates,
            "within_node": None, "between_nodes": None, "mpi": "none", "ranks": 7, "arithmetic": "bf16", "model": "made-up", "shape": shape,
            "measured_layers": 3, "measured_experts": 8, "stages": [stages], "drawing_seconds_a_row": drawing, "agreeing_seconds": 1e-6,
            "messages_within_node": None, "messages_between_nodes": None, "load_bytes_per_second": 1e9, "tokenize_bytes_per_second": 1e7,
            "shard_bytes_per_second": 1e8} | changes


def run_folder(name, prompts=40):
    folder = fresh(name)
    write_prompts(folder / "p.h5", {"prompt": [f"alpha beta {i} " * (1 + i % 5) for i in range(prompts)]})
    (folder / "machine.json").write_text(json.dumps(calibration()))
    (folder / "run.yaml").write_text(
        f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: {folder / 'p.h5'}}}\nsampling: {{max_tokens: 24, n: 2}}\n"
        f"output: {{dir: {folder / 'out'}, shard_prompts: 8}}\ncost: {{calibration: {folder / 'machine.json'}, hour_price: 2}}\n")
    return folder


def job(folder, *words, ranks=0): return moemill("run", "-c", folder / "run.yaml", *words, ranks=ranks)


def check_sums(predicted):
    for times in (predicted, predicted["measured"]):
        total = sum(times[f"{part}_seconds"] for part in PARTS)
        check(abs(times["wall_seconds"] - total) < 1e-6 and all(times[f"{part}_seconds"] >= 0 for part in PARTS), times)
    check(abs(predicted["error"] - (predicted["measured"]["wall_seconds"] / predicted["wall_seconds"] - 1)) < 1e-6, predicted)


def both_times_add_up():
    folder = run_folder("sums")
    done = expect_exit(job(folder, ranks=2), 0)
    s = summary(folder / "out")
    predicted = s["predicted"]
    check_sums(predicted)
    check(abs(predicted["measured"]["wall_seconds"] - s["wall_seconds"]) < 0.02, s)
    check(predicted["load_seconds"] > 0 and predicted["prefill_seconds"] > 0 and predicted["decode_seconds"] > 0 and predicted["exchange_seconds"] > 0, predicted)
    check(predicted["source"].startswith(str(folder / "machine.json") + ", an abacus, 2026-11-30"), predicted)
    ratio = predicted["per_million_tokens"] / s["cost"]["per_million_tokens"]
    check(abs(ratio * (1 + predicted["error"]) - 1) < 0.05, ratio, s)
    check("ledger: predicted " in done.stdout and "for this work (" in done.stdout and ", measured " in done.stdout, done.stdout)
    log = (folder / "out/run.log").read_text()
    check("forecast by " in log and "if all answers reach max_tokens" in log, log)
    for name in ("CPU: calibrated with an abacus", "kernels: calibrated with beads", "ranks: calibrated with 7", "threads per rank: calibrated with 9",
                 "model: calibrated with made-up"):
        check(f"cost.calibration: {folder / 'machine.json'}: {name}" in log, name, log)
    last = json.loads((folder / "out/metrics.jsonl").read_text().splitlines()[-1])["predicted"]
    check(last["decode_seconds"] == predicted["decode_seconds"], last, predicted)


def attempts_with_and_without():
    folder = run_folder("attempts")
    expect_exit(job(folder, "--limit", "16"), 0)
    first = summary(folder / "out")["predicted"]
    done = expect_exit(job(folder, "--limit", "24", "--extend", "--set", "cost.calibration=null"), 0)
    check(summary(folder / "out")["predicted"]["decode_seconds"] == first["decode_seconds"], "an attempt without a calibration adds nothing")
    expect_exit(job(folder, "--limit", "40", "--extend"), 0)
    predicted = summary(folder / "out")["predicted"]
    check_sums(predicted)
    check(predicted["decode_seconds"] > first["decode_seconds"] and "with answers as long as those of earlier attempts" in
          (folder / "out/run.log").read_text(), predicted, first)
    plain = run_folder("none")
    words = ["--set", "cost.calibration=null"]
    done = expect_exit(job(plain, "--limit", "16", *words), 0)
    check(summary(plain / "out")["predicted"] is None, "predicted")
    hint = "ledger: no prediction: `moemill bench calibrate --model "
    check(hint in done.stdout, done.stdout)
    again = expect_exit(job(plain, "--limit", "40", "--extend", *words), 0)
    check("no prediction" not in again.stdout and (plain / "out/run.log").read_text().count(hint) == 1, "a run says it once:", again.stdout)


def no_byte_depends_on_it():
    folder = run_folder("bytes")
    expect_exit(job(folder, "--set", "cost.calibration=null"), 0)
    reference = folder / "reference.h5"
    (folder / "out/outputs.h5").rename(reference)
    for ranks, words in ((0, []), (2, ["--set", "parallel.max_num_seqs=3"]), (3, ["--set", "parallel.micro_batches=2"])):
        expect_exit(job(folder, "--overwrite", *words, ranks=ranks), 0)
        check(not differences(reference, folder / "out/outputs.h5"), ranks, words)


def a_forecast_refuses_no_run():
    folder = run_folder("long")
    write_prompts(folder / "p.h5", {"prompt": ["alpha beta " * 100_000] + ["alpha beta"] * 9})
    expect_exit(job(folder, "--set", "errors.max_failed_fraction=0.5", ranks=2), 0)
    s = summary(folder / "out")
    check(s["prompts_failed"] == 1 and s["predicted"]["decode_seconds"] > 0, s)


def bad_files_are_refused_before_anything_is_written():
    folder = run_folder("bad")
    file = folder / "machine.json"
    for text, words in {"": ["machine.json"], "{}": ["machine.json", "format"], json.dumps(calibration(format_version=99)): ["format_version"],
                        json.dumps(calibration(stages=[])): ["stages"],
                        json.dumps(calibration()).replace("share_on_core", "share"): ["stages[0].share_on_core", "bench calibrate"]}.items():
        file.write_text(text)
        for command in (["run"], ["validate"], ["plan", "--calibration", file]):
            done = expect_exit(moemill(*command, "-c", folder / "run.yaml"), 2)
            check(all(word in done.stderr for word in words), command, done.stderr)
    told = expect_exit(moemill("bench", "calibrate", "-o", folder / "nowhere/machine.json"), 2).stderr
    check("there is no folder" in told, told)
    file.unlink()
    check(str(file) in expect_exit(job(folder), 2).stderr and not (folder / "out").exists(), "a file that is not there")


def plan_and_validate_say_how_long():
    folder = run_folder("plan")
    text = expect_exit(moemill("validate", "-c", folder / "run.yaml", "--ranks", "2"), 0).stdout
    check("time     " in text and "if all answers reach max_tokens" in text and "parts    load " in text, text)
    words = ["plan", "-c", folder / "run.yaml", "--calibration", folder / "machine.json", "--ranks", "2"]
    text = expect_exit(moemill(*words), 0).stdout
    check(text.startswith("40 prompts, 80 answers (") and " + 1,920 tokens): " in text.splitlines()[0] and "on 2 ranks" in text, text)
    check("cost     " in text and "warning: cost.calibration" in text and "answers  all reach max_tokens" in text and "model.expert_sum groups" in text, text)
    told = expect_exit(moemill("plan", "-c", folder / "run.yaml", "--hardware", "H100", "--ranks", "2"), 2).stderr
    check("--ranks" in told and "--calibration" in told, told)
    (folder / "lengths").write_text("3 7\n20 1\n")
    for given, said in (("6", "log-normal"), (str(folder / "lengths"), "answers  as the 8 lengths of ")):
        shorter = expect_exit(moemill(*words, "--output-tokens", given), 0).stdout
        check(said in shorter and " + 1,920 tokens" not in shorter, shorter)
    expect_exit(job(folder, "--limit", "16"), 0)
    text = expect_exit(moemill("validate", "-c", folder / "run.yaml", "--limit", "16"), 0).stdout
    check("time     nothing is left to compute: all 32 rows are there" in text, text)
    for more, said in ((["--hardware", "H100"], "--hardware"), (["--ranks-per-node", "3"], "--ranks-per-node 3: is more than the 1 rank"), (["--output-tokens", "0"], "--output-tokens"), (["--ranks", "0"], "--ranks"),
                       (["--set", "parallel.expert_domain=3"], "expert_domain")):
        told = expect_exit(moemill(*words[:5], *more), 2).stderr
        check(said in told, told)


if __name__ == "__main__":
    main([both_times_add_up, attempts_with_and_without, no_byte_depends_on_it, a_forecast_refuses_no_run,
          bad_files_are_refused_before_anything_is_written,
          plan_and_validate_say_how_long])
