#!/usr/bin/env python3
"""Every documented dataset, attribute and key of outputs.h5 and summary.json (lib/dataset/README.md, jobs/README.md).

    outputs.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import math
import pathlib
import sys

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import MODELS, WORK, check, differences, expect_exit, fresh, main, moemill, rows, summary, write_prompts  # noqa: E402

PROMPTS = {"prompt": ["one two three", "", "four", "five six"], "id": ["a", "b", "c", "d"], "n": [2, 1, 1, 1],
           "temperature": [1.0, float("nan"), 0.0, 0.5], "topic": ["p", "q", "r", "s"],
           "vector": np.arange(8, dtype=np.float64).reshape(4, 2)}


def run(name, *sets, ranks=2, code=0, prompts=PROMPTS):
    folder = fresh(name)
    write_prompts(folder / "p.h5", prompts)
    words = [w for s in sets for w in ("--set", s)]
    done = expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", folder / "p.h5", "-o", folder / "out",
                               "--set", "sampling.max_tokens=6", "--set", "errors.max_failed_fraction=0.5", *words,
                               ranks=ranks), code)
    return folder / "out", done


def every_dataset():
    out, _ = run("datasets", "sampling.logprobs=2", "sampling.prompt_logprobs=true", "sampling.seed=5")
    with h5py.File(out / "outputs.h5") as f:
        c = f["completions"]
        kinds = {"prompt_index": "uint64", "sample_index": "uint32", "status": "uint8", "finish_reason": "uint8",
                 "num_prompt_tokens": "uint32", "num_completion_tokens": "uint32", "seed": "uint64",
                 "cumulative_logprob": "float32", "text/values": "uint8", "text/offsets": "uint64",
                 "token_ids/values": "int32", "token_ids/offsets": "uint64", "logprobs/values": "float32",
                 "logprobs/top_ids": "int32", "logprobs/top_values": "float32"}
        for name, kind in kinds.items(): check(c[name].dtype == kind, name, c[name].dtype)
        check(c["prompt_index"][:].tolist() == [0, 0, 1, 2, 3] and c["sample_index"][:].tolist() == [0, 1, 0, 0, 0])
        check([i.decode() for i in c["id"][:]] == ["a", "a", "b", "c", "d"])
        check(c["status"][:].tolist() == [1, 1, 2, 1, 1] and c["finish_reason"][2] == 5)
        check(len(set(c["seed"][:].tolist())) == 5, "seeds are not all different")
        tokens = c["token_ids/offsets"][-1]
        check(c["token_ids/offsets"].shape == (6,) and c["token_ids/values"].shape == (tokens,))
        check(c["logprobs/values"].shape == (tokens,) and c["logprobs/top_ids"].shape == (tokens, 2))
        lengths = np.diff(c["token_ids/offsets"][:].astype(np.int64))
        check(lengths.tolist() == c["num_completion_tokens"][:].tolist())
        check(np.isfinite(c["logprobs/values"][:]).all() and (c["logprobs/values"][:] <= 0).all())
        top = c["logprobs/top_values"][:]
        check((top[:, 0] >= top[:, 1]).all() and (c["logprobs/values"][:] <= top[:, 0]).all())
        for i in (0, 1, 3, 4):
            a, b = c["token_ids/offsets"][i], c["token_ids/offsets"][i + 1]
            check(abs(float(c["cumulative_logprob"][i]) - c["logprobs/values"][a:b].astype(float).sum()) < 1e-4)
        scores, starts = f["prompt_logprobs/values"][:], f["prompt_logprobs/offsets"][:]
        check(starts.shape == (5,) and np.diff(starts.astype(np.int64)).tolist() == [
            int(c["num_prompt_tokens"][0]), 0, int(c["num_prompt_tokens"][3]), int(c["num_prompt_tokens"][4])], starts)
        for i in (0, 2, 3):
            one = scores[starts[i]:starts[i + 1]]
            check(math.isnan(one[0]) and (one[1:] < 0).all(), one)
        e = f["errors"]
        check(e["prompt_index"][:].tolist() == [1] and e["sample_index"][:].tolist() == [0] and e["code"][0] == b"empty")
        check(c["status"].attrs["names"].tolist() == ["pending", "ok", "failed", "skipped"] and c["status"].attrs["codes"].startswith("0 pending, 1 ok"))
        check(c["finish_reason"].attrs["names"][c["finish_reason"][2]] == "error" and e["code"][0].decode() in e["code"].attrs["names"])
        check([t.decode() for t in f["carry/topic"][:]] == ["p", "q", "r", "s"])
        check((f["carry/vector"][:] == PROMPTS["vector"]).all() and "n" not in f["carry"])
        a = f.attrs
        for name in ("format", "format_version", "run_id", "created_utc", "moemill_version", "git_commit", "config_yaml",
                     "input_sha256", "model_sha256", "tokenizer_sha256", "backend", "dtype", "world_size", "slurm_job_id",
                     "complete"): check(name in a, "attribute", name, "is missing")
        check(a["format"] == "moemill-outputs" and a["complete"] == 1 and a["world_size"] == 2 and a["dtype"] == "bfloat16")
        check(len(a["input_sha256"]) == 64 and "max_tokens: 6" in a["config_yaml"])
    check(sorted(p.name for p in out.iterdir() if p.name != "run.lock") == [
        "attempts.jsonl", "config.yaml", "journal", "metrics.jsonl", "outputs.h5", "run.json", "run.log", "shards", "summary.json"], list(out.iterdir()))
    check(not list((out / "journal").iterdir()), "journals are left")


def what_is_not_stored_is_absent():
    out, _ = run("stored", "output.store=[token_ids]", "output.carry_columns=[topic]", "output.compression=none", ranks=1)
    with h5py.File(out / "outputs.h5") as f:
        check("text" not in f["completions"] and "logprobs" not in f["completions"] and "prompt_logprobs" not in f)
        check(list(f["carry"]) == ["topic"] and np.isnan(f["completions/cumulative_logprob"][:]).all())


def greedy_is_the_first_of_the_best():
    out, _ = run("greedy", "sampling.logprobs=3", "sampling.temperature=0",
                 prompts={"prompt": ["one two", "three"], "max_tokens": [5, 7]})
    with h5py.File(out / "outputs.h5") as f:
        check((f["completions/token_ids/values"][:] == f["completions/logprobs/top_ids"][:, 0]).all())


def scoring_only():
    out, _ = run("scoring", "sampling.max_tokens=0", "sampling.prompt_logprobs=true", code=0)
    with h5py.File(out / "outputs.h5") as f:
        check(f["completions/num_completion_tokens"][:].tolist() == [0] * 5)
        check((f["prompt_logprobs/values"][:][1:3] < 0).all())
    s, made = summary(out), rows(out / "outputs.h5")
    check(s["prompt_tokens"] == sum(int(r["num_prompt_tokens"]) for r in made), s)
    out, _ = run("nothing", "sampling.max_tokens=0")  # causes a warning: neither scores nor tokens
    check(summary(out)["prompt_tokens"] == summary(out)["generated_tokens"] == 0, summary(out))


def stop_strings_and_tokens():
    out, _ = run("free", "sampling.ignore_eos=true", "sampling.max_tokens=20", prompts={"prompt": ["one two three"]}, ranks=0)
    free = rows(out / "outputs.h5")[0]
    stop = next(c for c in free["text"][4:] if c.isascii() and c.isprintable() and c != '"')
    folder_out, _ = run("stops", "sampling.ignore_eos=true", "sampling.max_tokens=20", f'sampling.stop=["{stop}"]',
                        prompts={"prompt": ["one two three"]}, ranks=0)
    row = rows(folder_out / "outputs.h5")[0]
    check(row["finish_reason"] == 3 and row["text"] == free["text"][:free["text"].index(stop)], row, free)
    token = int(free["token_ids"][6])
    first = free["token_ids"].tolist().index(token)
    out, _ = run("token", "sampling.ignore_eos=true", "sampling.max_tokens=20", f"sampling.stop_token_ids={token}",
                 prompts={"prompt": ["one two three"]}, ranks=0)
    row = rows(out / "outputs.h5")[0]
    check(row["finish_reason"] == 1 and row["token_ids"].tolist() == free["token_ids"].tolist()[:first + 1], row, free)
    out, _ = run("before", "sampling.ignore_eos=true", f"sampling.max_tokens={first}",
                 prompts={"prompt": ["one two three"]}, ranks=0)
    check(row["text"] == rows(out / "outputs.h5")[0]["text"] != "", "the stop token is in text:", row)


def what_the_model_read_and_what_ended_a_row():
    """prompt_token_ids: after special tokens and cuts, empty for a failed prompt; stop_reason: the string or the token."""
    store = "output.store=[text,token_ids,prompt_token_ids,stop_reason]"
    greedy = ("sampling.ignore_eos=true", "sampling.max_tokens=20", "sampling.temperature=0")
    free = rows(run("free_tokens", *greedy, prompts={"prompt": ["one two three"]}, ranks=0)[0] / "outputs.h5")[0]
    letter = next(c for c in free["text"][4:] if c.isascii() and c.isprintable() and c != '"')
    made = free["token_ids"].tolist()
    token = max(made, key=made.index)  # the one that comes last
    columns = {"prompt": ["one two three", "", "one two three", " ".join(["four"] * 90)], "stop": ["[]", "", json.dumps(["@@@@", letter]), ""]}
    for i, ranks in enumerate((0, 2)):
        out, _ = run(f"ended{i}", *greedy, f"sampling.stop_token_ids={token}", store,
                     "errors.too_long=truncate_left", "model.max_model_len=60", f"parallel.max_num_seqs={2 + i}", "output.shard_prompts=" + str(3 - i), ranks=ranks,
                     prompts=columns, code=0)
        expect_exit(moemill("verify", out, "--deep", "--replay", 9), 0)
    check(not differences(WORK / "ended0/out/outputs.h5", WORK / "ended1/out/outputs.h5"))
    made = rows(out / "outputs.h5")
    with h5py.File(out / "outputs.h5") as f:
        def ragged(group, i): return group["values"][group["offsets"][i]:group["offsets"][i + 1]]
        reasons = [ragged(f["completions/stop_reason"], i).tobytes().decode() for i in range(4)]
        read = [ragged(f["prompt_token_ids"], i).tolist() for i in range(4)]
        check(f["prompt_token_ids/values"].dtype == "int32" and f["prompt_token_ids/offsets"].shape == (5,))
    for row, reason in zip(made, reasons):
        check(reason == {1: str(row["token_ids"][-1]) if len(row["token_ids"]) else "", 3: letter}.get(row["finish_reason"], ""), row, reason)
    check(made[2]["finish_reason"] == 3 and made[0]["finish_reason"] == 1 and int(reasons[0]) == token, made, reasons)
    check([len(r) for r in read] == [made[0]["num_prompt_tokens"], 0, made[2]["num_prompt_tokens"], 40], read)
    check(read[0] == read[2] and read[3][0] == read[0][0], "special tokens in front", read)
    # Stopped and resumed, and failed rows repeated: the stop reasons of the others stay.
    out, _ = run("ended0", store, "output.shard_prompts=2", prompts=PROMPTS, code=0)
    kept = (out / "outputs.h5").read_bytes()
    (out.parent / "whole.h5").write_bytes(kept)
    expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", out.parent / "p.h5", "-o", out, "--set", "sampling.max_tokens=6",
                        "--set", "errors.max_failed_fraction=0.5", "--set", store, "--retry-failed"), 0)
    check(not differences(out.parent / "whole.h5", out / "outputs.h5"))


def too_long_policies():
    prompts = {"prompt_token_ids": np.arange(3, 103, dtype=np.int32).reshape(1, 100)}
    base = ["model.max_model_len=64", "sampling.max_tokens=10", "sampling.ignore_eos=true"]
    for policy, prompt_tokens, new_tokens in [("truncate_left", 54, 10), ("truncate_right", 54, 10)]:
        out, _ = run(policy, f"errors.too_long={policy}", *base, prompts=vlen(prompts))
        row = rows(out / "outputs.h5")[0]
        check((row["num_prompt_tokens"], row["num_completion_tokens"]) == (prompt_tokens, new_tokens), policy, row)
    out, _ = run("reduce", "errors.too_long=reduce_max_tokens", "model.max_model_len=104", *base[1:], prompts=vlen(prompts))
    check(rows(out / "outputs.h5")[0]["num_completion_tokens"] == 4)
    out, done = run("fail", "errors.max_failed_fraction=1", *base, prompts=vlen(prompts))
    with h5py.File(out / "outputs.h5") as f: check(f["errors/code"][0] == b"too_long", f["errors/code"][:])


def vlen(columns):
    """Rows of a matrix as a ragged column."""
    column = np.empty(len(columns["prompt_token_ids"]), dtype=h5py.vlen_dtype(np.int32))
    for i, row in enumerate(columns["prompt_token_ids"]): column[i] = np.array(row, dtype=np.int32)
    return {"prompt_token_ids": column}


def every_key_of_the_summary():
    out, done = run("summary", "cost.hour_price=2", "cost.unit=rank", "parallel.max_num_seqs=2")
    s = summary(out)
    keys = """prompts_total prompts_done prompts_failed failed_by_code double_bos_prompts completions prompt_tokens cached_prompt_tokens generated_tokens
        wall_seconds load_seconds prefill_seconds decode_seconds exchange_seconds idle_seconds tokens_per_second
        prefill_tokens_per_second decode_tokens_per_second core_hours_allocated core_hours_used ranks nodes attempts resumed_rows peak_rss_bytes
        memory kv_bytes_per_token exchange micro_batches prefix balance expert_load row_seconds cost predicted exit_code""".split()
    check(list(s) == keys, list(s))
    check(list(s["exchange"]) == ["intra_node_bytes", "inter_node_bytes", "rows_sent", "rows_deduplicated", "inter_node_bytes_minimum",
                                  "messages", "nodes_per_row", "wait_seconds", "pack_seconds"], s["exchange"])
    check(list(s["expert_load"]) == ["max_over_mean", "max_over_mean_balanced", "expert_max_over_mean", "work_max_over_mean",
                                     "work_max_over_mean_unsplit"])
    check(list(s["micro_batches"]) == ["steps_with_one", "steps_with_two"])
    check(list(s["balance"]) == ["rows_mean_over_max", "tail_seconds", "tail_utilisation", "replayed_tokens"], s["balance"])
    check(0.5 < s["balance"]["rows_mean_over_max"] <= 1 and 0 <= s["balance"]["tail_utilisation"] <= 1 and s["balance"]["tail_seconds"] >= 0, s["balance"])
    check(s["micro_batches"]["steps_with_one"] > 0 and s["micro_batches"]["steps_with_two"] > 0, s)  # both are tried
    check(list(s["prefix"]) == ["shared_tokens", "hit_tokens", "repeated_tokens"])
    times = s["row_seconds"]
    check(list(times) == ["p50", "p90", "p99", "max"] and 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["max"] < s["wall_seconds"], times)
    check(list(s["cost"]) == ["currency", "total", "per_million_tokens", "per_million_output_tokens"])
    made = rows(out / "outputs.h5")
    check((s["prompts_total"], s["prompts_done"], s["prompts_failed"], s["completions"]) == (4, 3, 1, 5), s)
    check(s["failed_by_code"] == {"empty": 1}, s)
    check(s["generated_tokens"] == sum(int(r["num_completion_tokens"]) for r in made), s)
    # For every row: a prompt's second sample uses the first one's pages and computes none of them again.
    check(s["prompt_tokens"] == sum(int(r["num_prompt_tokens"]) for r in made), s)
    check(s["cached_prompt_tokens"] == sum(int(r["num_prompt_tokens"]) for r in made if r["sample_index"] > 0) > 0, s)
    check((s["ranks"], s["nodes"], s["attempts"], s["resumed_rows"], s["exit_code"]) == (2, 1, 1, 0, 0), s)
    check(0 < s["load_seconds"] < s["wall_seconds"] and s["decode_seconds"] > 0 and s["prefill_seconds"] > 0, s)
    config = json.loads((MODELS / "deepseek_v3/config.json").read_text())
    check(s["kv_bytes_per_token"] == config["num_hidden_layers"] * (config["kv_lora_rank"] + config["qk_rope_head_dim"]) * 2)
    exchange, load = s["exchange"], s["expert_load"]
    # The two ranks share memory: nothing is sent, and both compute.
    check(not any(exchange[key] for key in ("intra_node_bytes", "inter_node_bytes", "inter_node_bytes_minimum", "rows_sent", "messages")), exchange)
    check(exchange["nodes_per_row"] == 1 and abs(exchange["wait_seconds"] + exchange["pack_seconds"] - s["exchange_seconds"]) < 1e-6, s)
    check(load["max_over_mean"] == load["max_over_mean_balanced"] == 1 < load["expert_max_over_mean"] and 1 <= load["work_max_over_mean"] <= load["work_max_over_mean_unsplit"] <= 2, load)
    check(s["peak_rss_bytes"] > 1 << 20)
    memory = s["memory"]
    check(list(memory) == ["node_shared_bytes", "rank_private_bytes", "huge_page_bytes"], memory)
    check(memory["node_shared_bytes"] > 0 and memory["rank_private_bytes"] > 1 << 20, memory)
    check(0 <= memory["huge_page_bytes"] <= memory["node_shared_bytes"], memory)
    check(s["peak_rss_bytes"] <= memory["node_shared_bytes"] + 2 * memory["rank_private_bytes"], s)
    check(abs(s["cost"]["total"] - 2 * 2 * s["wall_seconds"] / 3600) < 1e-9, s)
    tokens = s["prompt_tokens"] - s["cached_prompt_tokens"] + s["generated_tokens"]
    check(abs(s["cost"]["per_million_tokens"] - s["cost"]["total"] * 1e6 / tokens) < 1e-6, s)
    check("ledger:" in done.stdout and "per 1M tokens" in done.stdout, done.stdout)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    check(lines and (lines[-1]["rows_done"], lines[-1]["rows_failed"], lines[-1]["rows_total"]) == (4, 1, 5), lines)
    check(lines[-1]["prompts_done"] == 3 and lines[-1]["rows_sent"] == s["exchange"]["rows_sent"], lines)


def nodes_by_setting():
    out, _ = run("nodes", "parallel.ranks_per_node=1", "parallel.expert_domain=world")
    s = summary(out)
    check(s["memory"]["node_shared_bytes"] == 0, s)  # nobody to share with
    e = s["exchange"]
    check(s["nodes"] == 2 and e["inter_node_bytes"] == e["inter_node_bytes_minimum"] > 0 and e["intra_node_bytes"] == 0, s)
    check(e["rows_sent"] > 0 and e["messages"] > 0 and 1 < e["nodes_per_row"] <= 2, e)
    # Ranks of a node that may not share memory send each other messages.
    apart, _ = run("apart", "parallel.node_memory=off")
    e = summary(apart)["exchange"]
    check(e["intra_node_bytes"] > 0 and e["inter_node_bytes"] == e["inter_node_bytes_minimum"] == 0 and e["nodes_per_row"] == 1, e)
    tried = s["micro_batches"]
    check(tried["steps_with_one"] > 0 and tried["steps_with_two"] > 0, s)
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    check({key: line[key] for key in tried} == tried, line)


def dummy_weights_from_config_alone():
    folder = fresh("dummy")
    (folder / "model").mkdir()
    for name in ("config.json",): (folder / "model" / name).write_bytes((MODELS / "deepseek_v3" / name).read_bytes())
    with h5py.File(folder / "p.h5", "w") as f:
        f.create_dataset("prompt_token_ids", data=vlen({"prompt_token_ids": [[5, 6, 7], [8]]})["prompt_token_ids"])
    words = ["run", "--model", folder / "model", "-i", folder / "p.h5", "-o", folder / "out", "--set",
             "model.load_format=dummy", "--set", "sampling.max_tokens=4"]
    done = expect_exit(moemill(*words), 2)
    check("output.store" in done.stderr, done.stderr)
    expect_exit(moemill(*words, "--set", "output.store=[token_ids]", ranks=2), 0)
    check(len(rows(folder / "out/outputs.h5")) == 2)
    with h5py.File(folder / "p.h5", "a") as f: f["stop"] = ['["a"]', ""]
    done = expect_exit(moemill(*words, "--set", "output.store=[token_ids]", "--overwrite"), 2)
    check("column 'stop'" in done.stderr and "tokenizer.json" in done.stderr, done.stderr)


def more_logprobs_than_tokens_are_refused():
    out, done = run("logprobs", "sampling.logprobs=1000", code=2)
    check("sampling.logprobs" in done.stderr and "vocabulary" in done.stderr, done.stderr)
    check(not (out / "run.json").exists(), "a run was made")
    done = expect_exit(moemill("validate", "--model", MODELS / "deepseek_v3", "-i", out.parent / "p.h5", "-o", out, "--set",
                               "sampling.logprobs=1000"), 2)
    check("sampling.logprobs" in done.stderr, done.stderr)


if __name__ == "__main__":
    main([every_dataset, what_is_not_stored_is_absent, greedy_is_the_first_of_the_best, scoring_only,
          stop_strings_and_tokens, what_the_model_read_and_what_ended_a_row, too_long_policies, every_key_of_the_summary, nodes_by_setting,
          dummy_weights_from_config_alone, more_logprobs_than_tokens_are_refused])
