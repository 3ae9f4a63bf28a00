"""`moemill plan`: the check table, the examples, a question and its answer, bad input. No MPI, no network, under 2 s."""
import json
import re
import time

from moemill_program import MODELS, SOURCE, check, expect_exit, fresh, main, moemill, write_prompts

QUESTION = ["plan", "--model", "deepseek-v3", "--prompts", "10000000", "--input-tokens", "1500", "--output-tokens", "600"]


def points_are_met():
    table = json.loads(expect_exit(moemill("plan", "--check", "--json"), 0).stdout)
    everything = table["summary"][0]
    check(table["version"] == 1 and everything["points"] == len(table["points"]) == 70, everything)
    check(everything["within_20_percent"] >= 56 and everything["median_error"] < 0.1, everything)
    text = expect_exit(moemill("plan", "--check"), 0).stdout
    check(all(point["id"] in text for point in table["points"]), "points are missing in the text")
    again = moemill("plan", "--check", "--points", SOURCE / "configs/published.yaml").stdout
    check(again == text, "the same file gives the same table")


def examples_and_machines():
    for example, words in {"day6": ["226.9", "87,072 USD", "0.300", "0.138"], "article": ["1,389", "21.7", "8.6 G"]}.items():
        text = expect_exit(moemill("plan", "--example", example), 0).stdout
        check(all(word in text for word in words), text)
    text = expect_exit(moemill("plan", "--hardware", "H100,MI300X"), 0).stdout
    check("2.00 USD per gpu-hour (2025-05-05" in text and "not sure" in text, text)


def a_question_is_answered_in_its_first_line():
    begin = time.monotonic()
    text = expect_exit(moemill(*QUESTION, "--hardware", "H100,H200,B200,GB200,GB300,MI300X,MI355X", "--all"), 0).stdout
    check(time.monotonic() - begin < 2, "slow:", time.monotonic() - begin)
    check(re.match(r"10,000,000 prompts \(1,500 \+ 600 tokens\): [\d.]+ h on \d+ \S+ \(\d+ nodes?\), [\d,]+ USD "
                   r"\([\d,]+ to [\d,]+\) at [\d.]+ USD/GPU-hour \(\d{4}-\d\d", text), text)
    none = moemill(*QUESTION, "--hardware", "H100", "--budget", "100")
    check(none.returncode == 1 and "a larger budget: 10,000,000 prompts" in none.stdout, none.stdout)
    none = moemill(*QUESTION, "--hardware", "H100", "--budget", "100", "--deadline", "1m")
    check(none.returncode == 1 and "without these limits: 10,000,000 prompts" in none.stdout, none.stdout)
    none = moemill(*QUESTION, "--hardware", "H100", "--nodes", "1")
    check(none.returncode == 1 and "other numbers of GPUs: 10,000,000 prompts" in none.stdout, none.stdout)


def prompts_of_a_file_are_the_work():
    folder = fresh("prompts")
    prompts = write_prompts(folder / "prompts.h5", {"prompt": ["a b c d"] * 40 + ["a b c d e f g h"] * 60})
    words = ["plan", "--model", MODELS / "deepseek_v3", "-i", prompts, "--hardware", "H100", "--gpus", "1", "--set", "sampling.n=2",
             "--set", "sampling.max_tokens=12"]
    text = expect_exit(moemill(*words), 0).stdout
    check(text.startswith("200 prompts (") and " + 12 tokens)" in text, "samples count each, answers reach max_tokens:", text)
    check("taken to reach max_tokens" in text, text)
    text = expect_exit(moemill(*words, "--output-tokens", "5"), 0).stdout
    check(" + 5 tokens)" in text.splitlines()[0] and "if all answers reach max_tokens: 200 prompts" in text, text)
    told = moemill(*words, "--prompts", "5")
    check(told.returncode == 2 and "--prompts and an input file" in told.stderr, told.stderr)


def mistakes_are_named():
    folder = fresh("mistakes")
    sparse = folder / "sparse.yaml"
    sparse.write_text((SOURCE / "configs/hardware/H100.yaml").read_text().replace("fp8: 1979", "fp8: 3958"))
    check("sparse" in expect_exit(moemill("plan", "--hardware", sparse), 0).stderr, "sparse peaks give a warning")
    dateless = folder / "dateless.yaml"
    dateless.write_text(re.sub("date: [0-9-]*, ", "", (SOURCE / "configs/hardware/H100.yaml").read_text()))
    yen = folder / "yen.yaml"
    yen.write_text((SOURCE / "configs/hardware/H100.yaml").read_text().replace("USD", "JPY"))
    long = folder / "long.txt"
    long.write_text("100 1000\n1000000 1\n")
    empty = folder / "empty.txt"
    empty.write_text("# no answer\n")
    for words, parts in [(["plan"], ["--check"]),
                         (["plan", "--hardware", dateless], ["dateless.yaml:9", "price.date", "missing"]),
                         (["plan", "--hardware", "H10"], ["H10", "known"]),
                         (["plan", "--example", "day7"], ["day6"]),
                         (["plan", "--json"], ["--check"]),
                         (["plan", "--check", "--points", "nowhere.yaml"], ["nowhere.yaml"]),
                         (["plan", "--prompts", "5"], ["--hardware"]),
                         (["plan", "--prompts", "5", "--hardware", "H100"], ["--model"]),
                         ([*QUESTION, "--hardware", "H100", "--cached-fraction", "1.5"], ["--cached-fraction", "0 to 1"]),
                         ([*QUESTION, "--hardware", "H100", "--deadline", "soon"], ["--deadline soon", "24h"]),
                         ([*QUESTION, "--hardware", "H100", "--budget", "-1"], ["--budget -1", "from 0"]),
                         ([*QUESTION, "--hardware", "H100", "--hour-price", "nan"], ["--hour-price nan", "from 0"]),
                         ([*QUESTION, "--hardware", "H100", "--tokens-per-second-per-user", "nan"], ["nan", "from 0"]),
                         ([*QUESTION, "--hardware", "H100", "--gpus", ""], ["--gpus", "empty"]),
                         ([*QUESTION, "--hardware", "H100", "--precision", ""], ["--precision", "empty"]),
                         ([*QUESTION, "--hardware", f"H100,{yen}"], ["USD", "JPY", "--hour-price"]),
                         (["plan", "--hardware", "H100", "--budget", "5"], ["--budget belongs to a question"]),
                         (["plan", "--check", "--gpus", "8"], ["--gpus belongs to a question"]),
                         ([*QUESTION, "--hardware", "H100", "--gpus", "8,,9"], ["--gpus"]),
                         ([*QUESTION, "--hardware", "H100", "--precision", "fp7"], ["fp7", "mxfp4-fp8"]),
                         ([*QUESTION[:-1], empty, "--hardware", "H100"], ["empty.txt", "no lengths"]),
                         ([*QUESTION[:-1], long, "--hardware", "H100"], ["1000000", "positions"]),
                         ([*QUESTION[:-1], "9000000", "--hardware", "H100"], ["positions"])]:
        told = moemill(*words)
        check(told.returncode == 2 and all(part in told.stderr for part in parts), words, told.returncode, told.stderr)


if __name__ == "__main__":
    main([points_are_met, examples_and_machines, a_question_is_answered_in_its_first_line, prompts_of_a_file_are_the_work, mistakes_are_named])
