#!/usr/bin/env python3
"""The contents of a run directory while a job works on it and after: status, run.log, attempts.jsonl, metrics.jsonl; and that
jobs/README.md explains all of their keys.

    reading.py MOEMILL SOURCE_DIR WORK_DIR"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from moemill_program import (PROGRAM, SECONDS, SOURCE, check, differences, environment, expect_exit, main, moemill, start,  # noqa: E402
                             summary)
from resume import halt, prepare, reference, wait_for_rows  # noqa: E402


def last_metrics(folder):
    return json.loads((folder / "out/metrics.jsonl").read_text().splitlines()[-1])


def numbers_of_all_ranks_and_attempts():
    folder = prepare("numbers", count=100, max_tokens=400)
    config = (folder / "run.yaml").read_text()
    (folder / "run.yaml").write_text(config.replace(
        "max_num_seqs: 6", "max_num_seqs: 6, ranks_per_node: 1, expert_domain: world"))  # rows are sent
    process = start(folder, 2)
    check(wait_for_rows(folder, process, 2), "the job was over before it could be stopped")
    (folder / "out/stop").touch()
    process.communicate(timeout=SECONDS)
    first = summary(folder / "out")
    line = last_metrics(folder)
    check(line["decode_step_tokens"] > 0 and line["generated_tokens"] == first["generated_tokens"], line, first)
    expect_exit(moemill("run", "-c", folder / "run.yaml", "--set", "output.merge=false", ranks=2), 0)
    line, s = last_metrics(folder), summary(folder / "out")
    check(line["prompts_done"] == line["prompts_total"] == 100, line)
    lines = [json.loads(text) for text in (folder / "out/metrics.jsonl").read_text().splitlines()]
    ends = [[l for l in lines if l["attempt"] == a][-1] for a in (1, 2)]
    for key in ("rows_sent", "inter_node_bytes", "messages"):
        check(s["exchange"][key] == sum(l[key] for l in ends) > first["exchange"][key] > 0, key, s, first)
    check(s["exchange"]["nodes_per_row"] == sum(l["row_nodes"] for l in ends) / sum(l["rows_routed"] for l in ends), s)
    decoded = sum(l["decode_step_tokens"] for l in ends)
    rate = decoded / sum(l["decode_seconds"] for l in ends)
    check(abs(s["decode_tokens_per_second"] / rate - 1) < 1e-6, s, rate)
    check(s["peak_rss_bytes"] == max(l["peak_rss_bytes"] for l in ends) and s["expert_load"]["expert_max_over_mean"] > 1, s)
    # An attempt that only merges generates no tokens, and keeps the earlier counts.
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    merged = summary(folder / "out")
    for key in ("generated_tokens", "kv_bytes_per_token", "exchange", "peak_rss_bytes", "expert_load"):
        check(merged[key] == s[key], key, merged, s)


def every_key_is_documented():
    folder = prepare("keys", count=6, max_tokens=4)
    expect_exit(moemill("run", "-c", folder / "run.yaml"), 0)
    text = (SOURCE / "jobs/README.md").read_text()
    for name in ("metrics.jsonl", "attempts.jsonl"):
        found = {key for line in (folder / "out" / name).read_text().splitlines() for key in json.loads(line)}
        if name == "attempts.jsonl": found.add("last_sign_of_life")  # in a killed attempt: resume.py
        check(len(found) > 10, name, found)
        section = text.split(f"### {name}")[1].split("\n### ")[0]
        missing = [key for key in found if f"`{key}`" not in section]
        check(not missing, name, "has keys that jobs/README.md does not explain:", missing)
    told = json.loads(expect_exit(moemill("status", folder / "out", "--json"), 0).stdout)
    section = text.split("### status --json")[1].split("\n##")[0]
    table = {key for line in section.splitlines() if line.startswith("| `") for key in re.findall(r"`(\w+)`", line.split("|")[1])}
    check(set(told) == table, "status --json and its table in jobs/README.md differ in", set(told) ^ table)


def the_log_can_be_followed():
    """run.log: every attempt's lines with full dates, and why it ended. It never stops a job, and never has lines of a different run."""
    folder = prepare("log", count=100, max_tokens=400)
    whole = reference(folder)
    words, log = ["run", "-c", folder / "run.yaml"], folder / "out/run.log"
    process = start(folder, 2)
    check(wait_for_rows(folder, process, 1), "the job was over before it could be stopped")
    check(" attempt 1 begins" in log.read_text(), log.read_text())
    (folder / "out/stop").touch()
    process.communicate(timeout=SECONDS)
    with open(log, "a") as f: f.write("torn by a k")
    done = expect_exit(moemill(*words, "--set", "sampling.max_tokens=7"), 2)
    expect_exit(moemill(*words, ranks=2), 0)
    expect_exit(moemill(*words), 0)
    text = log.read_text()
    for part in ("2 ranks on 1 node", "attempt 1 begins, 0 done of 150 rows", "warning: stopping early because of the stop file",
                 "attempt 1 ends with exit code 75: stopped early because of the stop file", "\ntorn by a k\n",
                 "error: " + done.stderr.split("moemill: error: ")[1], "attempt 2 begins", "all 150 rows of 100 prompts are done: ",
                 "ledger: ", "attempt 2 ends with exit code 0: all rows are done", "nothing to do"):
        check(part in text, part, text)
    dated = [line for line in text.splitlines() if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (info|warning|error): ", line)]
    check(len(dated) > 15 and sum("moemill 0." in line for line in dated) == 4, text)
    check(len([line for line in text.splitlines() if line not in dated]) == 1 + done.stderr.split("moemill: error: ")[1].rstrip().count("\n"), text)
    # A job that fails, one that has no log to write to, and one that is refused the directory.
    (folder / "out/outputs.h5").unlink()
    shard = folder / "out/shards/shard-000001.h5"
    kept = shard.read_bytes()
    shard.write_bytes(kept[:100] + b"?" + kept[101:])  # within its checksum: the merge refuses it
    done = expect_exit(moemill(*words, ranks=2), 1)
    check(re.search(r"Z error: (rank 0 on \S+: )?.*shard-000001.h5: is damaged", log.read_text()), log.read_text(), done.stderr)
    shard.write_bytes(kept)
    log.unlink()
    log.mkdir()
    done = expect_exit(moemill(*words), 0)
    check(not differences(whole, folder / "out/outputs.h5"), differences(whole, folder / "out/outputs.h5"))
    check(done.stderr.count("run.log") == 1 and "the job continues" in done.stderr, done.stderr)
    log.rmdir()
    log.write_text("an old line\n")
    process = start(folder, 0)
    process.wait(timeout=SECONDS)
    process = subprocess.Popen([str(PROGRAM), "run", "-c", str(folder / "run.yaml"), "--overwrite"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    check(wait_for_rows(folder, process, 1), "the job was over before another could come")
    holder = halt(folder)
    refused = expect_exit(moemill(*words), 2)
    check("another job" in refused.stderr, refused.stderr)
    os.kill(holder, signal.SIGCONT)
    process.terminate()
    process.wait(timeout=SECONDS)
    check("an old line" not in log.read_text() and "another job" not in log.read_text(), log.read_text())


def status_of_each_state():
    """What status reports about a run that is stopped, loads again, works, is killed, is done; and what verify reports."""
    folder = prepare("states", count=200, max_tokens=300)
    def told(*words): return expect_exit(moemill("status", folder / "out", *words), 0).stdout
    process = start(folder, 2)
    check(wait_for_rows(folder, process, 2), "the job was over before it could be stopped")
    holder = halt(folder)  # the second rank waits for it
    check("state    running, attempt 1 (process " in told() and "next" not in told(), told())
    done = expect_exit(moemill("verify", folder / "out"), 1)
    check(re.search(r"checked \d+ of 300 rows: ", done.stdout) and "the run is not finished: " in done.stdout, done.stdout)
    watch = subprocess.Popen([str(PROGRAM), "status", str(folder / "out"), "--watch", "--exit-code"], stdout=subprocess.PIPE, text=True)
    looks = 0
    while looks < 2 and (line := watch.stdout.readline()): looks += line.startswith("state    running, attempt 1 ")
    check(looks == 2, "--watch of a run at work ends")
    (folder / "out/stop").touch()
    os.kill(holder, signal.SIGCONT)
    process.communicate(timeout=SECONDS)
    check("state    stopped early, attempt 1" in watch.stdout.read(), "--watch does not see the end")
    check(watch.wait(timeout=SECONDS) == 75, "--watch --exit-code:", watch.returncode)
    text = told()
    check("state    stopped early, attempt 1\nended    stopped early because of the stop file" in text and "rate" not in text
          and "next     run the same command again to continue" in text, text)
    # An attempt without a line of metrics yet: the last line belongs to the previous one, and its rate is not reported for this one.
    process = subprocess.Popen([str(PROGRAM), "run", "-c", str(folder / "run.yaml"), "--set", "runtime.progress_interval=1000"],
                               env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    def attempts(): return json.loads((folder / "out/run.json").read_text())["attempts"]
    while process.poll() is None and attempts() == 1: time.sleep(0.01)
    check(halt(folder) == process.pid, "the job was over before it could be looked at")
    text = told()
    check("running, attempt 2" in text, text)
    check("rate     not known yet" in text and "next" not in text, text)
    process.kill()
    process.wait()
    check("state    killed, attempt 2\nrows" in told() and "next     run the same command again to continue" in told(), told())
    check("state    killed" in told("--watch"), "--watch of a run that is over")
    expect_exit(moemill("run", "-c", folder / "run.yaml", ranks=2), 0)
    check("state    done, attempt 3" in told() and "25 of 25 shards finished" in told() and "outputs.h5 is there" in told()
          and "next" not in told(), told())
    done = expect_exit(moemill("verify", folder / "out"), 0)
    check("checked 300 of 300 rows: 0 faults" in done.stdout and "not finished" not in done.stdout, done.stdout)
    check("no such folder" in expect_exit(moemill("status", folder / "none"), 2).stderr)


if __name__ == "__main__":
    main([numbers_of_all_ranks_and_attempts, every_key_is_documented, the_log_can_be_followed, status_of_each_state])
