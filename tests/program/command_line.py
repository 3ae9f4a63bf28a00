#!/usr/bin/env python3
"""Commands, options, help, versions and precedence.

    command_line.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import re
import subprocess

import h5py

from moemill_program import MODELS, PROGRAM, SOURCE, check, expect_exit, fresh, main, moemill, rows, seal_again, write_prompts

COMMANDS = ["run", "validate", "preview", "status", "verify", "plan", "bench", "version"]


def help_of_every_command():
    listed = expect_exit(moemill("--help"), 0).stdout
    for command in COMMANDS:
        check(f"  {command} " in listed, f"--help does not list {command}")
        text = expect_exit(moemill(command, "--help"), 0).stdout
        check("usage" in text.lower(), f"{command} --help: {text[:200]}")
    text = moemill("run", "--help").stdout
    for word in ("--resume", "--overwrite", "--retry-failed", "--dry-run", "--limit", "--set", "--log-level",
                 "sampling.temperature", "parallel.expert_domain", "MOEMILL_ISA"):
        check(word in text, f"run --help does not mention {word}")


def help_is_readable_and_has_examples():
    """Help fits in 100 columns, `help COMMAND` prints the same, and the options in its examples exist."""
    def told(*words): return expect_exit(moemill(*words), 0).stdout
    pages = {"": told("help"), **{c: told(c, "--help") for c in COMMANDS}}
    for bench in ("gemm", "attention", "exchange", "decode", "prefill", "calibrate"): pages[f"bench {bench}"] = told("bench", bench, "--help")
    for name, text in pages.items():
        long = [line for line in text.splitlines() if len(line) > 100]
        check(not long, name, "--help has long lines:", long)
        if name: check(told("help", *name.split()) == text, f"help {name} is not {name} --help")
        if name != "version": check("moemill " in text.split("examples:" if name else "first run")[1], name, "has no examples:", text)
    for name in ("run", "validate", "preview", "status", "verify", "plan", "bench gemm", "bench attention", "bench exchange", "bench decode", "bench prefill", "bench calibrate"):
        for option in re.findall(r" (--[a-z-]+|-[a-z]) ", " ".join(l for l in pages[name].split("examples:")[1].splitlines() if "moemill" in l)):
            check(option in ("-n", "--bind-to") or f"{option} " in pages[name] or f"{option} " in pages[name].replace(" ]", " "), name, option, "is no option")
    table = told("run", "--help").split("accepted:")[1]
    check(all(f"  {key} = " in table for key in re.findall("^[|] `([a-z_.]+)` [|]", told("help", "run.yaml"), re.M)), table)
    check(told("help", "run.yaml") == (SOURCE / "configs/README.md").read_text(), "configs/README.md is old")
    expect_exit(moemill("help", "rum"), 2)


def the_run_directory_has_the_inputs_name():
    folder = fresh("default_dir")
    prompts = write_prompts(folder / "my.questions.h5", {"prompt": ["a b"]})
    expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", prompts, "--set", "sampling.max_tokens=1", cwd=folder), 0)
    check((folder / "runs/my.questions/outputs.h5").exists(), list(folder.rglob("*")))


def version_names_what_it_is():
    for word in ("--version", "version"):
        text = expect_exit(moemill(word), 0).stdout
        check(re.match(r"moemill \d+\.\d+\.\d+\n", text), text)
        for part in ("commit", "compiler", "Open MPI", "HDF5", "backends", "cpu"): check(part in text, part, "missing:", text)


def wrong_words_are_named():
    for words, parts in [
        (["rum"], ["'rum'", "'run'"]),
        (["run", "--overwite"], ["--overwite", "--overwrite"]),
        (["validate", "--rank", "2"], ["--rank", "--ranks"]),
        (["run", "--resume", "maybe"], ["auto, always or never"]),
        (["status"], ["RUN_DIR"]),
        (["status", "a", "b"], ["too many"]),
        (["run", "--set", "sampling.topp=1"], ["sampling.topp", "sampling.top_p"]),
        (["run", "--set", "nonsense"], ["key.path=value"]),
        (["run", "--temperature", "0.5"], ["'--temperature'", "--set sampling.temperature=VALUE"]),
        (["validate", "--max-model-len=5"], ["--set model.max_model_len=VALUE"]),
        (["preview", "--top_p", "1"], ["--set sampling.top_p=VALUE"]),
        (["run", "--tensor-parallel-size", "4"], ["does not support it", "mpirun -n R"]),
        (["run", "-c", "~/run.yaml"], ["only a shell"]),
        (["run", "-c", "$HOME/run.yaml"], ["only a shell"]),
        (["run", "--model", "${HOME}/m"], ["model.path", "only a shell"]),
        (["run", "-i", "$DATA/p.h5"], ["input.path", "only a shell"]),
        (["run", "-o", "runs/$USER"], ["output.dir", "only a shell"]),
        (["status", "~/runs/x"], ["RUN_DIR", "only a shell"]),
        (["run", "-o", "~"], ["output.dir", "only a shell"]),
        (["verify", "~user/x"], ["RUN_DIR", "only a shell"]),
        (["bench", "decode", "--model", "$HOME/m"], ["--model: $HOME/m", "only a shell"]),
        (["bench", "decode", "--micro-batches", "3"], ["--micro-batches is 1, 2 or auto"]),
        (["bench", "attention", "--model", "~/x"], ["--model: ~/x", "only a shell"]),
        (["run", "--model", "org/some-moe"], ["nothing is downloaded", "hf download org/some-moe --local-dir some-moe", "--model some-moe"]),
    ]:
        done = expect_exit(moemill(*words), 2)
        for part in parts: check(part in done.stderr, words, "message lacks", part, ":", done.stderr)
    expect_exit(moemill(), 2)
    folder = fresh("other_forms")
    for name in ("x.jsonl", "x.csv", "x.parquet", "x.jsonl.zst"):
        (folder / name).write_text('{"prompt": "a"}')
        done = expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", folder / name), 2)
        check(f"scripts/prompts.py {folder / name} -o " in done.stderr and ".h5" in done.stderr, done.stderr)


def flags_over_set_over_file():
    folder = fresh("precedence")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a b", "c", "d e f"]})
    config = folder / "run.yaml"
    config.write_text(f"model: {{path: {MODELS / 'deepseek_v3'}}}\ninput: {{path: nowhere.h5, limit: 1}}\n"
                      "sampling: {max_tokens: 9, ignore_eos: true}\noutput: {dir: nowhere}\n")
    expect_exit(moemill("run", "-c", config, "-i", prompts, "-o", folder / "out", "--limit", "2",
                        "--set", "sampling.max_tokens=3"), 0)
    made = rows(folder / "out/outputs.h5")
    check(len(made) == 2, len(made), "rows")
    check(all(r["num_completion_tokens"] == 3 for r in made), made)
    resolved = (folder / "out/config.yaml").read_text()
    check("max_tokens: 3" in resolved and "limit: 2" in resolved, resolved)


def columns_over_everything():
    folder = fresh("columns")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a b", "c", "d e f"], "max_tokens": [1, -1, 4], "n": [1, 3, -1]})
    expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", prompts, "-o", folder / "out",
                        "--set", "sampling.max_tokens=2",
                        "--set", "sampling.ignore_eos=true"), 0)
    made = rows(folder / "out/outputs.h5")
    check([(int(r["prompt_index"]), int(r["sample_index"]), int(r["num_completion_tokens"])) for r in made] ==
          [(0, 0, 1), (1, 0, 2), (1, 1, 2), (1, 2, 2), (2, 0, 4)], made)


def validate_and_dry_run_write_nothing():
    folder = fresh("validate")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a b", "c", "a b", ""], "topic": ["x", "y", "z", "w"]})
    words = ["--model", MODELS / "deepseek_v3", "-i", prompts, "-o", folder / "out", "--set", "sampling.max_tokens=4"]
    text = expect_exit(moemill("validate", *words, "--ranks", "4"), 0).stdout
    for part in ("parameters", "4 of text", "1 prompts equal", "1 prompts: empty", "weights", "KV cache", "columns  carried along: topic", "####"):
        check(part in text, part, "missing:", text)
    for ranks in (0, 2): expect_exit(moemill("run", *words, "--dry-run", ranks=ranks), 0)
    check(not (folder / "out").exists(), "a dry run wrote something")
    expect_exit(moemill("validate", *words, "--ranks", "4", "--set", "parallel.expert_domain=3"), 2)
    def domains_of(ranks): return expect_exit(moemill("validate", *words, "--ranks", "6", "--ranks-per-node", "3", "--set", f"parallel.expert_domain={ranks}"), 0).stdout
    check("1 of 3 domains have a part of a node" in domains_of(2) and "cuts nodes" not in domains_of(3) + domains_of(1) + domains_of("node"))
    expect_exit(moemill("validate", *words, "--set", "sampling.max_tokens=600"), 2)  # nothing fits the model's context


def validate_answers_whether_it_fits():
    """Works without prompts and without weights, for machines of different sizes, and for numbers that do not divide."""
    def sizes(model, *words, code): return expect_exit(moemill("validate", "--model", SOURCE / "configs/models" / model, *words), code).stdout
    words = ["--ranks", "64", "--ranks-per-node", "8", "--set", "model.max_model_len=8192", "--memory-per-node"]
    world = sizes("deepseek-v3", *words, "512", "--set", "parallel.expert_domain=world", code=0)
    check("4 of 256 experts per rank and layer, 64 ranks for a copy of all" in world, world)
    text = sizes("deepseek-v3", *words, "512", code=0)
    for part in ("671,026,419,200 parameters", "none in this folder", "64 ranks on 8 nodes of 8", "16 of 256 experts", "16 ranks for a copy of all", "70,272 bytes per token",
                 "GiB per node of 8 ranks", "fits     yes"): check(part in text, part, "missing:", text)
    text = sizes("deepseek-v3", *words, "100", code=2)
    check("fits     no" in text and "100.00 GiB of a node" in text and "cannot work" in text, text)
    text = sizes("olmoe-1b-7b", "--ranks", "100", "--ranks-per-node", "7", "--memory-per-node", "64", "--set", "model.max_model_len=2048", "--set", "parallel.expert_domain=world", code=0)
    check("100 ranks on 15 nodes of 7; 0 or 1 of 64 experts" in text and "36 ranks hold no expert" in text, text)
    text = sizes("gpt-oss-20b", "--ranks", "3", "--memory-per-node", "1e5", "--set", "model.max_model_len=4096", code=0)
    check("10 or 11 of 32 experts" in text and "where layers see a window of 128" in text and "3 ranks on 1 node of 3" in text, text)
    for wrong in (["--memory-per-node", "0"], ["--ranks", "0"], ["--ranks-per-node", "0"], ["--ranks", "2", "--ranks-per-node", "3"], ["-i", "absent.h5"]):
        sizes("deepseek-v3", *wrong, code=2)
    named = expect_exit(moemill("validate", "--model", "olmoe-1b-7b", "--memory-per-node", "64", "--set", "model.max_model_len=2048"), 0).stdout
    check("configs/models/olmoe-1b-7b: olmoe" in named, "a name of configs/models:", named)
    told = expect_exit(moemill("run", "--model", "olmoe-1b-7b", "-i", "absent.h5"), 2).stderr
    check("olmoe-1b-7b: no such folder" in told and "only the model's sizes" in told, told)


def validate_sees_files_in_the_way():
    folder = fresh("in_the_way")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a b", "c"]})
    (folder / "summary.json").write_text("mine")
    words = ["validate", "--model", MODELS / "deepseek_v3", "-i", prompts, "-o", folder, "--set", "sampling.max_tokens=2"]
    done = expect_exit(moemill(*words), 2)
    check(f"{folder / 'summary.json'}: is in the way" in done.stderr and "can work" not in done.stdout, done.stderr)


def validate_looks_at_the_run_directory():
    folder = fresh("validate_run")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a b", "c"]})
    words = ["--model", MODELS / "deepseek_v3", "-i", prompts, "-o", folder / "out", "--set", "sampling.max_tokens=2"]
    expect_exit(moemill("run", *words), 0)
    text = expect_exit(moemill("validate", *words), 0).stdout
    check("the job resumes it" in text and "the job can work" in text, text)
    for more in (["--set", "sampling.seed=7"], ["--set", "sampling.seed=7", "--limit", "1"]):
        done = expect_exit(moemill("validate", *words, *more), 2)
        check("sampling.seed" in done.stderr and "can work" not in done.stdout, done.stderr)
    done = expect_exit(moemill("run", "--dry-run", *words, "--set", "sampling.seed=7", ranks=2), 2)
    check("sampling.seed" in done.stderr, done.stderr)
    expect_exit(moemill("run", "--dry-run", "--overwrite", *words, "--set", "sampling.seed=7"), 0)
    expect_exit(moemill("run", "--dry-run", "--resume", "never", *words), 2)
    check(len(rows(folder / "out/outputs.h5")) == 2, "a look changed the run")
    done = expect_exit(moemill("validate", *words[:4], "-o", prompts / "out"), 2)
    check("is not a folder" in done.stderr, done.stderr)
    many = write_prompts(folder / "many.h5", {"prompt_token_ids/values": [5] * 1000001,
                                              "prompt_token_ids/offsets": list(range(1000002))})
    done = expect_exit(moemill("validate", "--model", MODELS / "deepseek_v3", "-i", many, "-o", folder / "new", "--set",
                               "output.shard_prompts=1"), 2)
    check("output.shard_prompts" in done.stderr, done.stderr)


def preview_shows_prompts_and_answers():
    folder = fresh("preview")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["hello there\n", "second", "third"]})
    text = expect_exit(moemill("preview", "--model", MODELS / "deepseek_v3", "-i", prompts, "--num-prompts", "2",
                               "--max-tokens", "5"), 0).stdout
    check("hello there\\n" in text and "second" in text and "third" not in text, text)
    check(text.count("token ids") == 4 and text.count("answer") == 2, text)


def preview_of_a_job_that_only_scores():
    folder = fresh("preview_score")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["hello there", "second"]})
    words = ["--model", MODELS / "deepseek_v3", "-i", prompts, "--set", "sampling.max_tokens=0", "--set", "sampling.prompt_logprobs=true"]
    text = expect_exit(moemill("preview", *words, "--num-prompts", "2"), 0).stdout
    told = [float(x) for x in re.findall(r"score      mean log-probability (-[0-9.]+) per token, perplexity", text)]
    check(len(told) == 2 and "answer" not in text, text)
    expect_exit(moemill("run", *words, "-o", folder / "out"), 0)
    with h5py.File(folder / "out/outputs.h5") as f:
        values, offsets = f["prompt_logprobs/values"][:], f["prompt_logprobs/offsets"][:].tolist()
    for i, mean in enumerate(told):
        check(abs(values[offsets[i] + 1:offsets[i + 1]].mean() - mean) < 1e-3, "not what the run stores", i, mean)


def preview_prepares_as_the_run_does():
    folder = fresh("preview_long")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["hello there"]})
    words = ["preview", "--model", MODELS / "deepseek_v3", "-i", prompts, "--num-prompts", "1", "--max-tokens", "3"]
    text = expect_exit(moemill(*words, "--set", "sampling.max_tokens=100000"), 0).stdout
    check("fails      too_long" in text and "answer" not in text, text)
    free = expect_exit(moemill(*words[:-1], "12", "--set", "sampling.temperature=0"), 0).stdout
    answer = next(l for l in free.splitlines() if "answer" in l).split("answer", 1)[1].strip()
    stop = re.findall("[a-z]{3,}", answer)[0]
    text = expect_exit(moemill(*words[:-1], "12", "--set", "sampling.temperature=0", "--set", f"sampling.stop=[{stop}]"), 0).stdout
    shown = next(l for l in text.splitlines() if "answer" in l).split("answer", 1)[1].strip()
    check(shown == answer[:answer.index(stop)].strip(), "the answer shows its stop string:", text)


def names_that_cannot_work():
    folder = fresh("names")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a"]})
    done = expect_exit(moemill("run", "-c", folder), 2)
    check("is a folder" in done.stderr, done.stderr)
    words = [b"run", b"--model", bytes(MODELS / "deepseek_v3"), b"-i", bytes(prompts), b"-o", bytes(folder) + b"/\xff"]
    done = subprocess.run([bytes(PROGRAM), *words], stderr=subprocess.PIPE)
    check(done.returncode == 2 and b"output.dir: is not UTF-8" in done.stderr, done)


def status_and_verify_of_a_finished_run():

    folder = fresh("status")
    prompts = write_prompts(folder / "p.h5", {"prompt": ["a b", "", "c d e"], "n": [2, 1, 1]})
    expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", prompts, "-o", folder / "out",
                        "--set", "sampling.max_tokens=4", "--set", "errors.max_failed_fraction=0.1"), 3)
    text = expect_exit(moemill("status", folder / "out"), 0).stdout
    check("3 done, 1 failed, 0 pending, of 4" in text, text)
    told = json.loads(expect_exit(moemill("status", folder / "out", "--json"), 0).stdout)
    check((told["done"], told["failed"], told["pending"], told["total"], told["exit_code"]) == (3, 1, 0, 4, 3), told)
    check("failed   1 empty" in text and "2 done, 1 failed, of 3" in text and told["failed_by_code"] == {"empty": 1}, text, told)
    check("on       1 rank × 1 thread on 1 node" in text and told["attempt"] == {"ranks": 1, "nodes": 1, "threads": 1}, text, told)
    again = expect_exit(moemill("run", "-c", folder / "out/config.yaml"), 3).stderr
    check("already; nothing to do" in again and "1 rows of 1 prompts failed: 1 empty" in again, "started again:", again)
    expect_exit(moemill("status", folder / "out", "--exit-code"), 3)
    expect_exit(moemill("status", folder / "nothing"), 2)
    expect_exit(moemill("verify", folder / "out"), 0)
    text = expect_exit(moemill("verify", folder / "out", "--deep", "--replay", "3"), 0).stdout
    check("replayed 3 rows: 0 differ" in text, text)
    with h5py.File(folder / "out/outputs.h5", "r+") as f:  # a forged token
        values = f["completions/token_ids/values"]
        values[...] = (values[...] + 1) % 300
    seal_again(folder / "out/outputs.h5")
    done = expect_exit(moemill("verify", folder / "out", "--replay", "3"), 1)
    check("replay differs in token_ids" in done.stdout, done.stdout)


if __name__ == "__main__":
    main([help_of_every_command, help_is_readable_and_has_examples, the_run_directory_has_the_inputs_name, version_names_what_it_is, wrong_words_are_named, flags_over_set_over_file,
          columns_over_everything, validate_and_dry_run_write_nothing,
          validate_answers_whether_it_fits, validate_sees_files_in_the_way, validate_looks_at_the_run_directory, preview_shows_prompts_and_answers,
          preview_prepares_as_the_run_does, preview_of_a_job_that_only_scores, names_that_cannot_work, status_and_verify_of_a_finished_run])
