#!/usr/bin/env python3
"""verify, replay and --retry-failed: what proves a run, and what must be found.

    verify.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import pathlib
import resource
import shutil
import sys

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import MODELS, check, differences, expect_exit, fresh, main, moemill, seal_again, write_prompts  # noqa: E402

PROMPTS = {"prompt": ["a b c", "one two", "d", "e f", "three four five"], "n": [2, 1, 1, 2, 1]}
NO_TIME = ["--set", "runtime.max_wall_time=0.0001", "--set", "runtime.drain_margin=0"]


def words_for(name, *settings, prompts=None):
    """The command and folder of a small job with several shards."""
    folder = fresh(name)
    write_prompts(folder / "p.h5", prompts or PROMPTS)
    sets = [w for s in ("sampling.max_tokens=6", "output.shard_prompts=2", "output.keep_shards=true", *settings) for w in ("--set", s)]
    return ["run", "--model", MODELS / "deepseek_v3", "-i", folder / "p.h5", "-o", folder / "out", *sets], folder / "out"


def elsewhere(words, out):
    """The same command for a different run directory."""
    at = words.index("-o") + 1
    return [*words[:at], out, *words[at + 1:]]


def without_a_merged_file():
    words, out = words_for("unmerged", "output.merge=false", "sampling.prompt_logprobs=true")
    expect_exit(moemill(*words), 0)
    check(not (out / "outputs.h5").exists())
    for more in ([], ["--deep"], ["--replay", "7"]):
        done = expect_exit(moemill("verify", out, *more), 0)
        check("checked 7 of 7 rows: 0 faults" in done.stdout, done.stdout)
    shard = out / "shards/shard-000001.h5"
    flip(shard, shard.read_bytes(), 30000)
    done = expect_exit(moemill("verify", out), 1)
    check("could not be checked because of" in done.stdout and "not finished" not in done.stdout, done.stdout)
    shard.unlink()
    done = expect_exit(moemill("verify", out), 1)
    check("shard-000001.h5: is missing" in done.stdout and "could not be" not in done.stdout, done.stdout)
    check("the run is not finished: 3 of its rows" in done.stdout, done.stdout)


def forge(path, name, row, value):
    """Sealed again, as by a writer with an error."""
    with h5py.File(path, "r+") as f: f[name][row] = value
    seal_again(path)


def replay_finds_what_the_model_did_not_say():
    words, out = words_for("forged", "sampling.logprobs=1")
    expect_exit(moemill(*words), 0)
    done = expect_exit(moemill("verify", out, "--replay", "7"), 0)
    check("replayed 7 rows: 0 differ" in done.stdout, done.stdout)
    alone = done.stdout
    for ranks in (1, 2, 3, 4): check(expect_exit(moemill("verify", out, "--replay", "7", ranks=ranks), 0).stdout == alone, ranks)
    for name, value in [("seed", 5), ("logprobs/values", np.float32(-1)), ("token_ids/values", 9)]:
        with h5py.File(out / "outputs.h5") as f: before = f["completions"][name][0]
        forge(out / "outputs.h5", f"completions/{name}", 0, value)
        expect_exit(moemill("verify", out), 0)  # its form is right
        what = name.split("/")[0]
        for ranks in (0, 3):
            done = expect_exit(moemill("verify", out, "--replay", "7", ranks=ranks), 1)
            check("replayed 7 rows: 1 differ" in done.stdout, done.stdout)
            check(f"prompt 0, sample 0: replay differs in {what}\n" in done.stdout, done.stdout)
        forge(out / "outputs.h5", f"completions/{name}", 0, before)


def replay_draws_the_same_rows_from_many_shards():
    """One file is open at a time, in a run with more shards than allowed open files; a smaller K replays the first rows of a larger K. A
    change of config.yaml's seed shows which rows were drawn: all of them differ then."""
    words, out = words_for("many_shards", "output.shard_prompts=1", "sampling.max_tokens=1",
                           prompts={"prompt": [f"number {i}" for i in range(150)]})
    expect_exit(moemill(*words, "--set", "output.merge=false"), 0)
    (out / "config.yaml").write_text((out / "config.yaml").read_text().replace("seed: 0\n", "seed: 1\n", 1))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    def drawn(count, seed, ranks=0):
        done = expect_exit(moemill("verify", out, "--replay", count, "--seed", seed, ranks=ranks), 1)
        check(f"replayed {count} rows: {count} differ" in done.stdout, done.stdout)
        return [line for line in done.stdout.splitlines() if "replay differs in seed" in line]
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try: ten, five, other = drawn(10, 4), drawn(5, 4), drawn(10, 5)
    finally: resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    check(set(five) < set(ten) and len(ten) == 10 and other != ten, five, ten, other)
    for ranks in (2, 3): check(drawn(10, 4, ranks) == ten, ranks)
    (out / "config.yaml").write_text((out / "config.yaml").read_text().replace("merge: false", "merge: true"))
    expect_exit(moemill(*words, "--set", "sampling.seed=1", "--overwrite"), 0)
    check("replayed 150 rows: 0 differ" in expect_exit(moemill("verify", out, "--replay", "150"), 0).stdout)
    (out / "config.yaml").write_text((out / "config.yaml").read_text().replace("seed: 1\n", "seed: 0\n", 1))
    check(drawn(10, 4) == ten, "other rows from outputs.h5")


def replay_of_a_prompt_that_fails_now():
    """Keeps all but one prompt, so that only one rank of three has work; each message appears once."""
    words, out = words_for("fails_now")
    expect_exit(moemill(*words), 0)
    (out / "config.yaml").write_text((out / "config.yaml").read_text().replace("max_model_len: auto", "max_model_len: 9"))
    for ranks in (0, 2, 3):
        done = expect_exit(moemill("verify", out, "--replay", "7", ranks=ranks), 1)
        check(done.stdout.count("the row (its prompt fails now)") == 6 and "6 differ" in done.stdout, done.stdout, done.stderr)
    (out / "config.yaml").write_text((out / "config.yaml").read_text().replace("max_model_len: 9", "max_model_len: 2"))
    for ranks in (0, 2): check("7 differ" in expect_exit(moemill("verify", out, "--replay", "7", ranks=ranks), 1).stdout, ranks)
    (out / "config.yaml").unlink()
    done = expect_exit(moemill("verify", out, "--replay", "7", ranks=2), 2)
    check(done.stderr.count(f"{out / 'config.yaml'}") == 1, done.stderr)


def replay_of_scores():
    """A job that only scores has only scores to compare: in outputs.h5, and in a shard that begins with prompt 2."""
    words, out = words_for("scores", "sampling.max_tokens=0", "sampling.prompt_logprobs=true")
    expect_exit(moemill(*words), 0)
    expect_exit(moemill("verify", out, "--replay", "7"), 0)
    with h5py.File(out / "outputs.h5") as f: end = int(f["prompt_logprobs/offsets"][4])
    forge(out / "outputs.h5", "prompt_logprobs/values", end - 1, np.float32(-0.5))
    expect_exit(moemill("verify", out), 0)
    done = expect_exit(moemill("verify", out, "--replay", "7"), 1)
    check(expect_exit(moemill("verify", out, "--replay", "7", ranks=2), 1).stdout == done.stdout, done.stdout)
    for sample in (0, 1): check(f"prompt 3, sample {sample}: replay differs in prompt_logprobs" in done.stdout, done.stdout)
    check("replayed 7 rows: 2 differ" in done.stdout, done.stdout)
    (out / "outputs.h5").unlink()
    expect_exit(moemill(*words, "--set", "output.merge=false"), 0)
    expect_exit(moemill("verify", out, "--replay", "7"), 0)
    forge(out / "shards/shard-000001.h5", "prompt_logprobs/values", -1, np.float32(-0.5))
    done = expect_exit(moemill("verify", out, "--replay", "7"), 1)
    check("prompt 3, sample 1: replay differs in prompt_logprobs" in done.stdout, done.stdout)


TOO_LONG = "one two three four five six seven eight nine ten eleven twelve"
WITH_LONG = {"prompt": ["a b c", TOO_LONG, "d", "e f", TOO_LONG + " and more"], "n": [2, 1, 1, 2, 1]}
SHORT, CUT = ["--set", "model.max_model_len=24"], ["--set", "errors.too_long=truncate_left"]


def failed_rows_again():
    """With and without the parts that a shard may lack."""
    for name, more in [("plain", []), ("scored", ["sampling.prompt_logprobs=true", "sampling.logprobs=2"]),
                       ("text", ["output.store=[text]"])]:
        words, out = words_for(f"retry_{name}", *more, prompts=WITH_LONG)
        words += SHORT
        expect_exit(moemill(*elsewhere(words, out.parent / "whole"), *CUT), 0)
        expect_exit(moemill(*words), 3)
        expect_exit(moemill(*words, *CUT, "--retry-failed"), 0)
        check(not differences(out.parent / "whole/outputs.h5", out / "outputs.h5"), name, differences(out.parent / "whole/outputs.h5", out / "outputs.h5"))


def pending_again_after_a_stopped_retry():
    words, out = words_for("stopped", prompts=WITH_LONG)
    words += SHORT
    whole = out.parent / "whole/outputs.h5"
    expect_exit(moemill(*elsewhere(words, out.parent / "whole"), *CUT), 0)
    expect_exit(moemill(*words), 3)
    words += CUT
    expect_exit(moemill(*words, "--retry-failed", *NO_TIME), 75)
    check(not (out / "outputs.h5").exists(), "outputs.h5 speaks for rows that are pending")
    status = json.loads(expect_exit(moemill("status", out, "--json"), 0).stdout)
    check((status["done"], status["failed"], status["pending"]) == (5, 0, 2), status)
    expect_exit(moemill("verify", out), 1)
    expect_exit(moemill(*words, ranks=2), 0)
    check(not differences(whole, out / "outputs.h5"), differences(whole, out / "outputs.h5"))
    expect_exit(moemill("verify", out, "--deep"), 0)


def a_damaged_shard():
    """The message names the file and the remedy, and the remedy works."""
    words, out = words_for("damaged")
    expect_exit(moemill(*words), 0)
    whole = (out / "outputs.h5").rename(out.parent / "whole.h5")
    shard = out / "shards/shard-000001.h5"
    shard.write_bytes(shard.read_bytes()[:1500])
    for ranks in (0, 2):
        done = expect_exit(moemill(*words, ranks=ranks), 1)
        check(f"{shard}: is damaged" in done.stderr and "remove this file" in done.stderr, done.stderr)
    shard.unlink()
    expect_exit(moemill(*words), 0)
    check(not differences(whole, out / "outputs.h5"), differences(whole, out / "outputs.h5"))


def flip(path, whole, bit):
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)


def shards_removed_after_the_merge():
    """Removed by a user. outputs.h5 then has all rows, also for --retry-failed."""
    words, out = words_for("removed", prompts=WITH_LONG)
    words += ["--set", "errors.max_failed_fraction=0.9", *SHORT]
    expect_exit(moemill(*words), 0)
    before = (out / "outputs.h5").read_bytes()
    for shard in sorted((out / "shards").iterdir())[1:]: shard.unlink()
    check("cannot change" in expect_exit(moemill(*words, "--retry-failed"), 0).stderr)
    (out / "shards/shard-000000.h5").unlink()
    (out / "shards").rmdir()
    (out / "journal").rmdir()
    for ranks in (0, 2):
        done = expect_exit(moemill(*words, ranks=ranks), 0)
        check("nothing to do" in done.stderr and "2 rows of 2 prompts failed" in done.stderr, done.stderr)
    expect_exit(moemill("verify", out, "--deep", "--replay", "3"), 0)
    check((out / "outputs.h5").read_bytes() == before, "outputs.h5 was changed")
    (out / "outputs.h5").rename(out.parent / "whole.h5")
    expect_exit(moemill(*words), 0)  # all rows are generated again: only the user knows that they existed
    check(not differences(out.parent / "whole.h5", out / "outputs.h5"))
    for shard in (out / "shards").iterdir(): shard.unlink()
    expect_exit(moemill(*words, *CUT, "--retry-failed"), 0)
    expect_exit(moemill("verify", out, "--deep", "--replay", "7"), 0)


def files_of_another_run():
    words, out = words_for("mine")
    expect_exit(moemill(*words), 0)
    others, other = words_for("others")
    expect_exit(moemill(*others), 0)
    mine = (out / "outputs.h5").rename(out.parent / "mine.h5")
    (out / "outputs.h5").write_bytes((other / "outputs.h5").read_bytes())
    done = expect_exit(moemill(*words), 2)
    check(f"{out / 'outputs.h5'}: is of another run" in done.stderr, done.stderr)
    (out / "outputs.h5").unlink()
    expect_exit(moemill(*words), 0)
    whole = (out / "config.yaml").read_bytes()
    for damage, says, code in ((b"", "is damaged", 2), (whole[:-3], "is damaged", 1), (b"\xff" * 40, "is damaged", 2),
                               (None, "is missing", 2)):
        (out / "config.yaml").unlink()
        if damage is not None: (out / "config.yaml").write_bytes(damage)
        done = expect_exit(moemill(*words), 2)
        check(f"{out / 'config.yaml'}: {says}" in done.stderr and "restore it" in done.stderr, done.stderr)
        done = expect_exit(moemill("verify", out), code)
        check(str(out / "config.yaml") in done.stdout + done.stderr, done.stdout, done.stderr)
        if damage is None: (out / "config.yaml").touch()
    (out / "config.yaml").write_bytes(whole)
    expect_exit(moemill(*words), 0)
    check(not differences(mine, out / "outputs.h5"), differences(mine, out / "outputs.h5"))


def other_prompts_or_tokenizer():
    """Rows made with different prompts or a different tokenizer prove nothing about this run."""
    words, out = words_for("changed_inputs")
    model = shutil.copytree(MODELS / "deepseek_v3", out.parent / "model")
    words[2] = model
    expect_exit(moemill(*words), 0)
    prompts, tokenizer = out.parent / "p.h5", model / "tokenizer.json"
    kept = prompts.read_bytes()
    for ranks in (0, 2):
        write_prompts(prompts, {**PROMPTS, "prompt": ["another question", *PROMPTS["prompt"][1:]]})
        for option in (["--deep"], ["--replay", 7]):
            done = expect_exit(moemill("verify", out, *option, ranks=ranks), 1)
            check(f"{prompts}: is not what this run was made of" in done.stdout, done.stdout)
            check("replayed" not in done.stdout, "rows of other prompts were compared:", done.stdout)
        prompts.write_bytes(kept)
        tokenizer.write_text(tokenizer.read_text() + " ")
        done = expect_exit(moemill("verify", out, "--replay", 7, ranks=ranks), 1)
        check("is not the model that made this run (tokenizer_sha256 differs)" in done.stderr, done.stderr)
        shutil.copy(MODELS / "deepseek_v3/tokenizer.json", tokenizer)
    expect_exit(moemill("verify", out, "--deep", "--replay", 7), 0)


def shards_that_do_not_belong():
    """A shard of a different run, in the place of a different shard, or with a number that the run does not have: none is merged into
    outputs.h5."""
    words, out = words_for("strays", "output.merge=false")
    others, other = words_for("strays_from", "output.merge=false", "sampling.seed=9")
    for each in (words, others): expect_exit(moemill(*each), 0)
    second = out / "shards/shard-000001.h5"
    kept = second.read_bytes()
    merging = [*words, "--set", "output.merge=true"]
    for stray, says in ((other / "shards/shard-000001.h5", "is damaged (it is of run "),
                        (out / "shards/shard-000000.h5", "is damaged (it begins with prompt 0, not with 2)")):
        second.write_bytes(stray.read_bytes())
        done = expect_exit(moemill(*merging, ranks=2), 1)
        check(f"{second}: {says}" in done.stderr and not (out / "outputs.h5").exists(), done.stderr)
    second.write_bytes(kept)
    beyond = out / "shards/shard-000099.h5"
    beyond.write_bytes(kept)
    for command in (merging, ["status", out]):
        check(f"{beyond}: the run has only" in expect_exit(moemill(*command), 2).stderr)
    check(f"{beyond}: the run has only" in expect_exit(moemill("verify", out), 1).stdout)
    beyond.unlink()
    expect_exit(moemill(*merging), 0)
    expect_exit(moemill("verify", out, "--deep"), 0)


def output_dir_that_is_none():
    """Refused before anything is generated."""
    words, out = words_for("none")
    words = words[:words.index("-o")] + words[words.index("-o") + 2:]
    expect_exit(moemill(*words, "-o", out, "--resume", "always"), 2)
    check(not out.exists(), "the folder was made")
    out.write_text("")
    check("is neither a folder nor a link to one" in expect_exit(moemill(*words, "-o", out), 2).stderr)
    out.unlink()
    out.symlink_to(out.parent / "nothing")
    check("is neither a folder nor a link to one" in expect_exit(moemill(*words, "-o", out, ranks=2), 2).stderr)
    (out.parent / "nothing").mkdir()
    expect_exit(moemill(*words, "-o", out), 0)


if __name__ == "__main__":
    main([without_a_merged_file, replay_finds_what_the_model_did_not_say, replay_draws_the_same_rows_from_many_shards,
          replay_of_a_prompt_that_fails_now, replay_of_scores, failed_rows_again,
          pending_again_after_a_stopped_retry, a_damaged_shard,
          shards_removed_after_the_merge, files_of_another_run, other_prompts_or_tokenizer, shards_that_do_not_belong,
          output_dir_that_is_none])
