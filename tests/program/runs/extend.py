#!/usr/bin/env python3
"""An existing run is extended or its failed rows are retried: --extend and --retry-failed, with and without shards beside
outputs.h5. The result is compared with a run that had these prompts and settings from the start.

    extend.py MOEMILL SOURCE_DIR WORK_DIR [test names]"""
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import MODELS, SECONDS, SOURCE, check, command, differences, environment, expect_exit, fresh, main, moemill, rows, summary, write_prompts, write_run_json  # noqa: E402

sys.path.insert(0, str(SOURCE / "scripts"))
from moemill_io import read_run  # noqa: E402

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
NO_TIME = ["--set", "runtime.max_wall_time=0.05", "--set", "runtime.drain_margin=0"]


def prompts_of(count):
    """The first prompts of one list."""
    draw = random.Random(11)
    return {"prompt": [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(40)][:count],
            "id": [f"row {i}" for i in range(count)], "topic": [f"topic {i % 3}" for i in range(count)]}


def words_for(folder, out, *settings, prompts="p.h5"):
    sets = [w for s in ("sampling.seed=5", "output.shard_prompts=4", "sampling.logprobs=1", "sampling.prompt_logprobs=true",
                        "output.store=[text,token_ids,logprobs,prompt_token_ids,stop_reason]", *settings) for w in ("--set", s)]
    return ["run", "--model", MODELS / "deepseek_v3", "-i", folder / prompts, "-o", folder / out, *sets]


def equal(folder, out, whole="whole"):
    different = differences(folder / whole / "outputs.h5", folder / out / "outputs.h5")
    check(not different, out, "differs from a run from the start in", different)
    expect_exit(moemill("verify", folder / out, "--deep", "--replay", "5"), 0)


def history(out): return json.loads((out / "run.json").read_text())["history"]


def shards(out): return sorted(p.name for p in (out / "shards").iterdir())


def all_that_grows():
    """More prompts, a larger n, longer answers: each alone and all at once, on a different number of ranks, with shards and without."""
    folder = fresh("grows")
    write_prompts(folder / "p.h5", prompts_of(10)), write_prompts(folder / "more.h5", prompts_of(19))
    base = ["sampling.n=2", "sampling.max_tokens=7"]
    cases = [("prompts", "more.h5", base, 0), ("samples", "p.h5", ["sampling.n=3", base[1]], 2),
             ("length", "p.h5", [base[0], "sampling.max_tokens=15"], 3), ("all", "more.h5", ["sampling.n=4", "sampling.max_tokens=20"], 2)]
    for name, prompts, settings, ranks in cases:
        expect_exit(moemill(*words_for(folder, f"whole_{name}", *settings, prompts=prompts)), 0)
        for keep in ("true", "false"):
            out, kept = f"{name}_{keep}", f"output.keep_shards={keep}"
            expect_exit(moemill(*words_for(folder, out, *base, kept)), 0)
            check(bool(shards(folder / out)) == (keep == "true"), shards(folder / out))
            before = {(int(r["prompt_index"]), int(r["sample_index"])): r for r in rows(folder / out / "outputs.h5")}
            told = expect_exit(moemill(*words_for(folder, out, *settings, kept, prompts=prompts), "--extend", ranks=ranks), 0)
            check("--extend: " in told.stderr, told.stderr)
            equal(folder, out, f"whole_{name}")
            after = {(int(r["prompt_index"]), int(r["sample_index"])): r for r in rows(folder / out / "outputs.h5")}
            for key, row in before.items():  # earlier answers are the beginning of the new ones
                check(after[key]["token_ids"].tolist()[:len(row["token_ids"])] == row["token_ids"].tolist(), key)
            check(summary(folder / out)["resumed_rows"] > 0 or name in ("length", "all"), "all rows were made again")
            check([c["what"] for c in history(folder / out)] == ["extend"], history(folder / out))
            check(bool(shards(folder / out)) == (keep == "true"), shards(folder / out))
            again = expect_exit(moemill(*words_for(folder, out, *settings, kept, prompts=prompts), "--extend", ranks=ranks), 0)
            check("has these prompts and settings already" in again.stderr and "nothing to do" in again.stderr, again.stderr)
    made = sum(int(r["num_completion_tokens"]) for r in rows(folder / "length_false/outputs.h5"))
    check(summary(folder / "length_false")["generated_tokens"] == made, "tokens that were there were generated again")
    done = expect_exit(moemill(*words_for(folder, "length_false", *base)), 2)
    check("sampling.max_tokens: 15 there, 7 now" in done.stderr, done.stderr)


def rows_to_be_read_meanwhile():
    """While a run is extended its earlier rows are in outputs-before.h5 with their prompts; then the file is removed."""
    folder = fresh("meanwhile")
    write_prompts(folder / "p.h5", prompts_of(6)), write_prompts(folder / "more.h5", prompts_of(11))
    settings, before, out = ["sampling.max_tokens=5"], folder / "out/outputs-before.h5", folder / "out"
    def script(*words, code=0): return expect_exit(subprocess.run([sys.executable, SOURCE / "scripts/outputs.py", *words], capture_output=True, text=True), code)
    for kept in ("output.keep_shards=false", "output.keep_shards=true"):
        shutil.rmtree(out, ignore_errors=True)
        expect_exit(moemill(*words_for(folder, "out", *settings, kept)), 0)
        whole = (out / "outputs.h5").read_bytes()
        more = words_for(folder, "out", *settings, kept, prompts="more.h5")
        done = expect_exit(moemill(*more, "--extend", *NO_TIME), 75)
        check("outputs-before.h5: the rows as they were before" in done.stderr, done.stderr)
        check(before.read_bytes() == whole and not (out / "outputs.h5").exists(), list(out.iterdir()))
        check("outputs-before.h5 has the rows" in expect_exit(moemill("status", out), 0).stdout)
        said = script(before, "--add", "prompt")
        check([json.loads(line)["prompt"] for line in said.stdout.splitlines()] == prompts_of(6)["prompt"], said)
        check("outputs-before.h5 has the rows" in script(out, code=2).stderr)
        try: read_run(out)
        except FileNotFoundError as fault: check("outputs-before.h5" in str(fault), fault)
        else: raise AssertionError("read_run took an unfinished run")
        check(len(list(read_run(before))) == 6)
        expect_exit(moemill(*words_for(folder, "out", *settings, kept, prompts="more.h5"), *NO_TIME), 75)
        expect_exit(moemill(*more), 0)
        check(not before.exists(), "it stays for ever")
    expect_exit(moemill(*words_for(folder, "out", *settings, "sampling.n=2", prompts="more.h5"), "--extend", *NO_TIME), 75)
    expect_exit(moemill(*words_for(folder, "out", *settings, "sampling.n=2", "output.merge=false", prompts="more.h5")), 0)
    check(not before.exists() and not (out / "outputs.h5").exists(), "of a run that makes no outputs.h5")
    expect_exit(moemill(*words_for(folder, "out", *settings, "sampling.n=2", prompts="more.h5")), 0)
    expect_exit(moemill(*words_for(folder, "out", *settings, "sampling.n=3", prompts="more.h5"), "--extend", *NO_TIME), 75)
    expect_exit(moemill(*words_for(folder, "out", *settings, prompts="more.h5"), "--overwrite"), 0)
    check(not before.exists(), "--overwrite leaves it")


def every_end_across_the_old_one():
    """The old end falls on every token in turn: on stop strings and characters that cross it, repetition, penalties."""
    folder = fresh("ends")
    write_prompts(folder / "p.h5", prompts_of(8))
    settings = ["sampling.ignore_eos=true", "sampling.repetition_penalty=1.1", "sampling.presence_penalty=0.3", "sampling.min_tokens=3",
                "sampling.repetition_detection.max_pattern_size=4", "sampling.repetition_detection.min_count=2"]
    expect_exit(moemill(*words_for(folder, "free", *settings, "sampling.max_tokens=24")), 0)
    texts = [r["text"] for r in rows(folder / "free/outputs.h5")]
    stops = sorted({t[i:i + 3] for t in texts for i in (8, 15) if len(t) > i + 3 and t[i:i + 3].isprintable() and "'" not in t[i:i + 3]})[:6]
    settings.append("sampling.stop=" + json.dumps(stops))
    expect_exit(moemill(*words_for(folder, "whole", *settings, "sampling.max_tokens=24")), 0)
    ends = {int(r["finish_reason"]) for r in rows(folder / "whole/outputs.h5")}
    check({2, 3} <= ends or {3, 4} <= ends, "the rows do not end in several ways", ends)
    for length in range(3, 24, 2):
        shutil.rmtree(folder / "out", ignore_errors=True)
        expect_exit(moemill(*words_for(folder, "out", *settings, f"sampling.max_tokens={length}")), 0)
        expect_exit(moemill(*words_for(folder, "out", *settings, "sampling.max_tokens=24"), "--extend"), 0)
        different = differences(folder / "whole/outputs.h5", folder / "out/outputs.h5")
        check(not different, "from", length, "tokens on:", different)


def a_repetition_that_the_length_hid():
    """Two ends at one token: length is reported, and the other reason once length no longer applies."""
    folder = fresh("hidden")
    write_prompts(folder / "p.h5", prompts_of(12))
    settings = ["sampling.ignore_eos=true", "sampling.temperature=0", "sampling.repetition_detection.max_pattern_size=8",
                "sampling.repetition_detection.min_count=2"]
    expect_exit(moemill(*words_for(folder, "whole", *settings, "sampling.max_tokens=60")), 0)
    ended = [r for r in rows(folder / "whole/outputs.h5") if r["finish_reason"] == 4]
    check(ended, "no row ends by repetition")
    for length in sorted({int(r["num_completion_tokens"]) for r in ended})[:4]:
        shutil.rmtree(folder / "out", ignore_errors=True)
        expect_exit(moemill(*words_for(folder, "out", *settings, f"sampling.max_tokens={length}")), 0)
        expect_exit(moemill(*words_for(folder, "out", *settings, "sampling.max_tokens=60"), "--extend"), 0)
        equal(folder, "out")


def unfinished_and_without_parts():
    """Stopped in the middle before and during the extension; without token ids, so that nothing can continue; scores alone."""
    folder = fresh("unfinished")
    write_prompts(folder / "p.h5", prompts_of(20)), write_prompts(folder / "more.h5", prompts_of(40))
    base, grown = ["sampling.n=2", "sampling.max_tokens=150", "sampling.ignore_eos=true"], ["sampling.n=3", "sampling.max_tokens=220",
                                                                                           "sampling.ignore_eos=true"]
    expect_exit(moemill(*words_for(folder, "whole", *grown, prompts="more.h5")), 0)
    layout = ["--set", "parallel.max_num_seqs=4"]
    done = moemill(*words_for(folder, "out", *base), *layout, "--set", "runtime.max_wall_time=0.6", "--set", "runtime.drain_margin=0")
    check(done.returncode in (0, 75), done.stderr)
    expect_exit(moemill(*words_for(folder, "out", *grown, prompts="more.h5"), *layout, *NO_TIME, "--extend"), 75)
    told = json.loads(expect_exit(moemill("status", folder / "out", "--json"), 0).stdout)
    check(told["total"] == 120 and told["prompts_total"] == 40 and not told["merged"] and told["pending"] > 0, told)
    expect_exit(moemill(*words_for(folder, "out", *grown, prompts="more.h5"), ranks=2), 0)  # --extend need not be repeated
    equal(folder, "out")
    text = ["output.store=[text]", "sampling.logprobs=null"]
    for name, store in (("text", text), ("scores", [*text, "sampling.max_tokens=0"])):
        expect_exit(moemill(*words_for(folder, f"{name}_whole", "sampling.n=2", "sampling.max_tokens=9", *text)), 0)
        first = ["sampling.n=2", "sampling.max_tokens=6", *store]
        expect_exit(moemill(*words_for(folder, name, *first)), 0)
        expect_exit(moemill(*words_for(folder, name, "sampling.n=2", "sampling.max_tokens=9", *text), "--extend"), 0)
        equal(folder, name, f"{name}_whole")


def what_is_refused():
    folder = fresh("refused")
    write_prompts(folder / "p.h5", prompts_of(10))
    base = ["sampling.n=2", "sampling.max_tokens=8"]
    expect_exit(moemill(*words_for(folder, "out", *base)), 0)
    kept, manifest = (folder / "out/outputs.h5").read_bytes(), (folder / "out/run.json").read_bytes()
    def refused(says, *settings, prompts="p.h5", flags=("--extend",)):
        done = expect_exit(moemill(*words_for(folder, "out", *(settings or base), prompts=prompts), *flags), 2)
        check(says in done.stderr, says, done.stderr)
        check((folder / "out/outputs.h5").read_bytes() == kept, "outputs.h5 was touched")
        check((folder / "out/run.json").read_bytes() == manifest, "run.json was touched")
        dry = expect_exit(moemill(*words_for(folder, "out", *(settings or base), prompts=prompts), *flags, "--dry-run"), 2)
        check(says in dry.stderr and "can work" not in dry.stdout, "a dry run says otherwise:", dry.stdout, dry.stderr)
    changed = prompts_of(12)
    changed["prompt"][3] = "something else"
    write_prompts(folder / "changed.h5", changed)
    refused("the first 10 prompts, in column prompt; the run keeps only their hashes", prompts="changed.h5")
    changed = prompts_of(12)
    changed["topic"][9] = "another"
    write_prompts(folder / "carried.h5", changed)
    refused("column 'topic'", prompts="carried.h5")
    write_prompts(folder / "special.h5", {**prompts_of(12), "add_special_tokens": np.array([True] * 9 + [False] * 3)})
    refused("the first 10 prompts, in column add_special_tokens;", prompts="special.h5")
    write_prompts(folder / "fewer.h5", prompts_of(9))
    refused("the first 10 prompts (there are 9 now)", prompts="fewer.h5")
    # Without --extend, the message says what it could do, and only that.
    for settings, takes in ((["sampling.n=3", base[1]], True), ([base[0], "sampling.max_tokens=9"], True),
                            (["sampling.n=1", base[1]], False), ([base[0], "sampling.max_tokens=7"], False),
                            (["sampling.n=3", base[1], "sampling.seed=4"], False)):
        done = expect_exit(moemill(*words_for(folder, "out", *settings)), 2)
        check(("use --extend to change this run" in done.stderr) == takes, settings, done.stderr)
    refused("n can only grow", "sampling.n=1", "sampling.max_tokens=8")
    refused("max_tokens can only grow", "sampling.n=2", "sampling.max_tokens=5")
    refused("sampling.temperature", *base, "sampling.temperature=0.5")
    refused("would fail", "sampling.n=2", "sampling.max_tokens=100000")
    refused("--extend", *base, flags=("--extend", "--overwrite"))
    doubled = prompts_of(12)
    doubled["id"][11] = "row 0"
    write_prompts(folder / "doubled.h5", doubled)
    refused("same id", prompts="doubled.h5")
    write_prompts(folder / "more.h5", prompts_of(12))
    dry = expect_exit(moemill(*words_for(folder, "out", *base, prompts="more.h5"), "--extend", "--dry-run"), 0)
    check("20 -> 24 rows" in dry.stderr and "can work" in dry.stdout, dry.stdout, dry.stderr)
    check((folder / "out/run.json").read_bytes() == manifest, "a dry run changed the run")
    # A run of a moemill that hashed the prompts as a whole: the message names what is missing, not a prompt that may be the same.
    older = json.loads(manifest)
    del older["fingerprints"]["prompts_sha256"]
    manifest = write_run_json(folder / "out", older)
    refused("has no prompts_sha256", prompts="more.h5")


LONG = " ".join(WORDS * 3)
MIXED = {"prompt": ["a b c", "", LONG, "d", "e f", LONG + " a"], "n": [2, 1, 1, 1, 2, 2]}


def failures_that_can_and_cannot_change():
    """Only too_long rows are generated again with a different policy or length; the empty one stays."""
    folder = fresh("retry")
    write_prompts(folder / "p.h5", MIXED)
    base = ["sampling.max_tokens=6", "model.max_model_len=24", "errors.max_failed_fraction=1"]
    for name, other in (("policy", ["model.max_model_len=24", "errors.too_long=truncate_left"]), ("length", ["model.max_model_len=200"]),
                        ("reduce", ["model.max_model_len=24", "errors.too_long=truncate_right"])):
        now = ["sampling.max_tokens=6", "errors.max_failed_fraction=1", *other]
        expect_exit(moemill(*words_for(folder, f"whole_{name}", *now)), 0)
        done = expect_exit(moemill(*words_for(folder, name, *base)), 0)
        check("4 rows of 3 prompts failed: 1 empty, 3 too_long" in done.stderr, done.stderr)
        before = (folder / name / "outputs.h5").read_bytes()
        done = expect_exit(moemill(*words_for(folder, name, *base), "--retry-failed"), 0)
        check("1 empty, 3 too_long cannot change" in done.stderr and "nothing to do" in done.stderr, done.stderr)
        check((folder / name / "outputs.h5").read_bytes() == before and history(folder / name) == [], "something was done")
        expect_exit(moemill(*words_for(folder, name, *now)), 2)
        done = expect_exit(moemill(*words_for(folder, name, *now), "--retry-failed", ranks=2), 0)
        check("3 too_long are generated again" in done.stderr and "1 empty cannot" in done.stderr, done.stderr)
        equal(folder, name, f"whole_{name}")
        s = summary(folder / name)
        check((s["prompts_done"], s["prompts_failed"], s["failed_by_code"], s["resumed_rows"]) == (5, 1, {"empty": 1}, 6), s)
        change = history(folder / name)[0]
        check(change["what"] == "retry_failed" and set(change["values"]) <= {"errors.too_long", "model.max_model_len"}, change)
        told = json.loads(expect_exit(moemill("status", folder / name, "--json"), 0).stdout)
        check((told["done"], told["failed"], told["failed_by_code"]) == (8, 1, {"empty": 1}), told)
    expect_exit(moemill(*words_for(folder, "length", "sampling.max_tokens=6", "errors.max_failed_fraction=1", "model.max_model_len=20"),
                        "--retry-failed"), 2)  # existing rows would fail


def settings_that_rows_have_used():
    """Answers to prompts that were cut forbid a different policy; without a row to generate again, there is none to set."""
    folder = fresh("used")
    def refused(out, says, *settings, flags):
        names = ("outputs.h5", "run.json", "config.yaml")
        kept = [(folder / out / name).read_bytes() for name in names]
        done = expect_exit(moemill(*words_for(folder, out, *settings), *flags), 2)
        check(says in done.stderr, says, done.stderr)
        dry = expect_exit(moemill(*words_for(folder, out, *settings), *flags, "--dry-run"), 2)
        check(says in dry.stderr, "a dry run does not say", says, dry.stderr)
        check(kept == [(folder / out / name).read_bytes() for name in names], "something was written")
    base = ["sampling.max_tokens=6", "model.max_model_len=24", "errors.max_failed_fraction=1"]
    write_prompts(folder / "p.h5", {"prompt": ["a b c", LONG, "d"], "max_tokens": [6, 6, 24]})  # the last one leaves no space for a prompt
    expect_exit(moemill(*words_for(folder, "cut", *base, "errors.too_long=truncate_left")), 0)
    refused("cut", "would cut it differently", *base, "errors.too_long=truncate_right", flags=["--retry-failed"])
    refused("cut", "would cut it differently", *base, "errors.too_long=truncate_right", flags=["--retry-failed", "--extend"])
    expect_exit(moemill("verify", folder / "cut", "--deep", "--replay", "5"), 0)
    write_prompts(folder / "p.h5", {"prompt": ["a b c", "d"]})
    expect_exit(moemill(*words_for(folder, "none", *base)), 0)
    for other in ("errors.too_long=truncate_left", "model.max_model_len=30"):
        refused("none", "there is no row to generate again", *base, other, flags=["--retry-failed"])
    refused("none", "there is no row to generate again", *base, "sampling.max_tokens=8", "errors.too_long=truncate_left",
            flags=["--retry-failed", "--extend"])
    done = expect_exit(moemill(*words_for(folder, "none", *base), "--retry-failed"), 0)
    check("no row has failed" in done.stderr and "nothing to do" in done.stderr, done.stderr)


def drained_while_cut_prompts_are_answered(folder, words):
    """A run whose first row has failed and whose others, with cut prompts, have only begun. How soon an answer is done depends on the
    machine: 20 ms on a fast one."""
    for wait in 3 * [0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.4]:
        shutil.rmtree(folder / "out", ignore_errors=True)
        job = subprocess.Popen(command(0, *words), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while job.poll() is None and not any((folder / "out/journal").glob("*.journal")): time.sleep(0.001)
        time.sleep(wait)
        job.send_signal(signal.SIGUSR1)
        job.wait(SECONDS)
        told = json.loads(moemill("status", folder / "out", "--json").stdout)
        if (told["done"], told["failed"]) == (0, 1) and sum(p.stat().st_size for p in (folder / "out/journal").iterdir()) > 1000: return
    raise AssertionError(f"never stopped in time: {told}")


def answers_that_were_begun_for_a_cut_prompt():
    """A different policy or a larger max_tokens cuts the prompt differently: what was begun for the old cut does not begin the new
    answer."""
    folder = fresh("begun")
    base = ["sampling.ignore_eos=true", "errors.max_failed_fraction=1"]
    columns = {"prompt": ["d"] + [LONG + " " + w for w in WORDS[:3]], "max_tokens": [512, 470, 470, 470]}
    write_prompts(folder / "p.h5", columns), write_prompts(folder / "more.h5", {**columns, "max_tokens": [512, 480, 480, 480]})
    for name, prompts, policy, flag in (("policy", "p.h5", "truncate_right", "--retry-failed"), ("length", "more.h5", "truncate_left", "--extend")):
        now = [*base, f"errors.too_long={policy}"]
        expect_exit(moemill(*words_for(folder, f"whole_{name}", *now, prompts=prompts)), 0)
        drained_while_cut_prompts_are_answered(folder, words_for(
            folder, "out", *base, "errors.too_long=truncate_left", "parallel.max_num_seqs=1", "output.journal_flush_seconds=0"))
        expect_exit(moemill(*words_for(folder, "out", *now, prompts=prompts), flag), 0)
        equal(folder, "out", f"whole_{name}")


def answers_that_are_no_numbers():
    """Internal failures are repeated: with excessive weights, as here, the rows fail again."""
    folder = fresh("internal")
    model = shutil.copytree(MODELS / "deepseek_v3", folder / "model")
    weights = max(model.glob("*.safetensors"), key=lambda p: p.stat().st_size)
    data = bytearray(weights.read_bytes())
    length = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8:8 + length])
    begin, end = tensors["model.norm.weight"]["data_offsets"]
    data[8 + length + begin:8 + length + end] = np.full((end - begin) // 2, 0x7f7f, dtype=np.uint16).tobytes()  # 3e38: sums are infinite
    weights.write_bytes(data)
    write_prompts(folder / "p.h5", {"prompt": ["a b", "", "c"]})
    words = ["run", "--model", model, "-i", folder / "p.h5", "-o", folder / "out", "--set", "sampling.max_tokens=4"]
    done = expect_exit(moemill(*words), 3)
    check("3 rows of 3 prompts failed: 1 empty, 2 internal" in done.stderr, done.stderr)
    done = expect_exit(moemill(*words, "--retry-failed", ranks=2), 3)
    check("2 internal are generated again" in done.stderr and "1 empty cannot" in done.stderr, done.stderr)
    check(summary(folder / "out")["attempts"] == 2 and summary(folder / "out")["resumed_rows"] == 1, summary(folder / "out"))
    told = expect_exit(moemill("status", folder / "out"), 0).stdout
    check("failed   1 empty, 2 internal" in told and "0 done, 3 failed, 0 pending" in told, told)


def shards_go_and_come():
    """By default only outputs.h5 is left; it is read in place of shards, and never generated again from nothing."""
    folder = fresh("once")
    write_prompts(folder / "p.h5", prompts_of(10))
    words = words_for(folder, "out", "sampling.max_tokens=5")
    done = expect_exit(moemill(*words), 0)
    check("3 shards are removed" in done.stderr and not shards(folder / "out"), done.stderr)
    kept = words_for(folder, "kept", "sampling.max_tokens=5", "output.keep_shards=true")
    expect_exit(moemill(*kept), 0)
    check(len(shards(folder / "kept")) == 3)
    expect_exit(moemill("verify", folder / "out", "--deep", "--replay", "4"), 0)
    told = json.loads(expect_exit(moemill("status", folder / "out", "--json"), 0).stdout)
    check((told["shards_finished"], told["shards_total"], told["done"], told["exit_code"]) == (3, 3, 10, 0), told)
    # Killed between the two: the next start removes the rest, once outputs.h5 has been read back.
    for shard in (folder / "kept/shards").iterdir(): shutil.copy(shard, folder / "out/shards")
    done = expect_exit(moemill(*words, ranks=2), 0)
    check("nothing to do" in done.stderr and not shards(folder / "out"), done.stderr)
    whole = (folder / "kept/outputs.h5").read_bytes()
    (folder / "kept/outputs.h5").write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    done = expect_exit(moemill(*words_for(folder, "kept", "sampling.max_tokens=5")), 1)
    check("is damaged" in done.stderr and len(shards(folder / "kept")) == 3, "shards of a damaged file were removed", done.stderr)
    (folder / "kept/outputs.h5").unlink()
    expect_exit(moemill(*words_for(folder, "kept", "sampling.max_tokens=5")), 0)
    check(not differences(folder / "out/outputs.h5", folder / "kept/outputs.h5"), "made of the shards")
    check(not shards(folder / "kept"))
    # The file is lost.
    (folder / "out/outputs.h5").rename(folder / "copy.h5")
    for ranks in (0, 2):
        done = expect_exit(moemill(*words, ranks=ranks), 2)
        check("restore it from a copy" in done.stderr and "--overwrite" in done.stderr, done.stderr)
    expect_exit(moemill("status", folder / "out", "--exit-code"), 2)
    text = moemill("status", folder / "out").stdout
    check("next     restore outputs.h5 from a copy" in text and "again to continue" not in text, text)
    check("restore it from a copy" in expect_exit(moemill("verify", folder / "out"), 1).stdout)
    (folder / "copy.h5").rename(folder / "out/outputs.h5")
    expect_exit(moemill(*words), 0)
    done = expect_exit(moemill(*words, "--set", "output.merge=false"), 0)
    check(f"nothing to do: {folder / 'out/outputs.h5'}" in done.stderr, "the folder of removed shards is named", done.stderr)
    expect_exit(moemill(*words, "--overwrite"), 0)
    expect_exit(moemill(*words_for(folder, "shards", "sampling.max_tokens=5", "output.merge=false")), 0)
    check(len(shards(folder / "shards")) == 3 and not (folder / "shards/outputs.h5").exists())


if __name__ == "__main__":
    main([all_that_grows, rows_to_be_read_meanwhile, every_end_across_the_old_one, a_repetition_that_the_length_hid,
          unfinished_and_without_parts, what_is_refused, failures_that_can_and_cannot_change, settings_that_rows_have_used, answers_that_were_begun_for_a_cut_prompt,
          answers_that_are_no_numbers,
          shards_go_and_come])
