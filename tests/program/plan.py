"""`moemill plan`: the check table, the examples, a question and its answer, bad input. No MPI, no network, under 2 s."""
import json
import re
import subprocess
import sys
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


def a_question_has_json_curves_and_a_page():
    folder = fresh("json")
    words = [*QUESTION, "--hardware", "H100", "--against", "scale_up"]
    begin = time.monotonic()
    text = expect_exit(moemill(*words, "--json"), 0).stdout
    check(time.monotonic() - begin < 4, "slow:", time.monotonic() - begin)
    answer = json.loads(text)
    check(answer["version"] == 1 and answer["kind"] == "plan" and len(answer["check"]) == 70, answer.keys())
    best, hours = answer["best"], answer["best"]["gpu_hours_of"]
    parts = sum(hours[part] for part in ("prefill", "decode", "idle_last_sequences", "idle_other_phase", "load"))
    check(abs(parts - best["gpu_hours"]) < 1e-9 * parts, "GPU-hours add up:", parts, best["gpu_hours"])
    plain = expect_exit(moemill(*words), 0).stdout
    check(plain.splitlines()[0] == answer["answer"] and "one domain" not in answer["answer"], answer["answer"])
    check("parallel:" in plain and "no GPU backend" in plain and "H100-SXM in one domain" in plain, plain)
    check("FLOP/s" in expect_exit(moemill(*words, "--explain"), 0).stdout, "formulas with their numbers")
    (folder / "plan.json").write_text(text)
    report = [sys.executable, SOURCE / "scripts/report.py", "--plan", folder / "plan.json"]
    subprocess.run(report, check=True)
    page = (folder / "plan.html").read_text()
    check(all(f"Over {curve}" in page for curve in ("batch", "GPUs", "speed", "context", "network", "price")), page[:500])
    check(page.count("<svg") == 8 and answer["answer"] in page and "nan" not in page.lower(), page.count("<svg"))
    for wrong in ('{"version": 1}', '{"version": 2, "kind": "plan"}', "[]", "no json", '{"version": 1, "kind": "plan", "best": {}}'):
        (folder / "plan.json").write_text(wrong)
        told = subprocess.run(report, capture_output=True, text=True)
        check(told.returncode == 2 and "plan.json" in told.stderr and "Traceback" not in told.stderr, wrong, told.stderr)


def numbers(value):
    """Every number and word of a JSON value with its path."""
    if isinstance(value, dict): return {f"{key}.{path}": leaf for key in value for path, leaf in numbers(value[key]).items()}
    if isinstance(value, list): return {f"{i}.{path}": leaf for i, item in enumerate(value) for path, leaf in numbers(item).items()}
    return {"": value}


GOLDEN = {"bulk": [*QUESTION, "--hardware", "H100,GB200", "--nodes", "9,18"],
          "promise": [*QUESTION, "--hardware", "H200", "--cached-fraction", "0.5", "--tokens-per-second-per-user", "20", "--output-spread", "0"],
          "small": ["plan", "--model", "gpt-oss-120b", "--prompts", "20000", "--input-tokens", "800", "--output-tokens", "300", "--hardware", "B200",
                    "--gpus", "1,2,8", "--budget", "100", "--change", "price.per_hour=-10%"]}


GOLDEN_FILE = SOURCE / "tests/program/golden_plans.json"


def asked_again():
    answers = {}
    for name, words in GOLDEN.items():
        answers[name] = json.loads(expect_exit(moemill(*words, "--json"), 0).stdout)
        for long in ("check", "curves"): answers[name].pop(long)
    return answers


def make_golden(): GOLDEN_FILE.write_text(json.dumps(asked_again(), indent=1) + "\n")  # run by its name alone; look at what changes


def golden_answers():
    now, then = numbers(asked_again()), numbers(json.loads(GOLDEN_FILE.read_text()))
    check(now.keys() == then.keys(), now.keys() ^ then.keys())
    for path, value in then.items():
        same = abs(value - now[path]) <= 1e-6 * abs(value) + 1e-9 if isinstance(value, float) else value == now[path]
        check(same, path, value, now[path])


def an_earlier_run_is_a_sample():
    folder = fresh("like")
    prompts = write_prompts(folder / "prompts.h5", {"prompt": ["a b c d"] * 20 + ["a b c d e f g h"] * 30})
    expect_exit(moemill("run", "--model", MODELS / "deepseek_v3", "-i", prompts, "--set", f"output.dir={folder / 'run'}",
                        "--set", "sampling.max_tokens=6", "--set", "sampling.ignore_eos=true"), 0)
    words = ["plan", "--model", "deepseek-v3", "--like", folder / "run", "--hardware", "H200", "--gpus", "16"]
    text = expect_exit(moemill(*words), 0).stdout
    check(text.startswith("50 prompts (") and " + 6 tokens)" in text.splitlines()[0] and "0.0 % fail" in text, text)
    check("% of prompt tokens cached" in text, text)
    text = expect_exit(moemill(*words, "--prompts", "1000000", "--output-tokens", "40"), 0).stdout
    check(text.startswith("1,000,000 prompts (") and " + 40 tokens)" in text.splitlines()[0], text)


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
    told = moemill("plan", "--model", "deepseek-v3", "-i", prompts, "--hardware", "H200")
    check(told.returncode == 2 and "has no tokenizer" in told.stderr and "--input-tokens" in told.stderr, told.stderr)
    text = expect_exit(moemill(*words, "--limit", "10"), 0).stdout
    check(text.startswith("20 prompts ("), "--limit cuts the file:", text)
    told = moemill(*words, "--prompts", "5")
    check(told.returncode == 2 and "--prompts and an input file" in told.stderr, told.stderr)


def samples_count_each():
    words = [*QUESTION, "--hardware", "H100", "--nodes", "18"]
    once, twice = (expect_exit(moemill(*words, "--set", f"sampling.n={n}"), 0).stdout for n in (1, 2))
    check(once == expect_exit(moemill(*words), 0).stdout and once.startswith("10,000,000 prompts"), once)
    check(twice.startswith("20,000,000 prompts") and "2 samples of each count each" in twice, twice)
    half = expect_exit(moemill(*words[:3], "--prompts", "20000000", *words[5:], "--cached-fraction", "0.5"), 0).stdout
    check(twice.splitlines()[0] == half.splitlines()[0], "the second sample computes no prompt:", twice, half)


def a_file_of_lengths_is_said_as_understood():
    lengths = fresh("lengths") / "lengths.csv"
    lengths.write_text("10,20\n")
    text = expect_exit(moemill(*QUESTION[:-1], lengths, "--hardware", "H100"), 0).stdout
    check("answers: 10 tokens on average, as they are, at most 10, as 20 lengths of " in text, text)


def tables_and_curves_explain_themselves():
    words = ["plan", "--model", "qwen3-30b-a3b", "--prompts", "20000", "--input-tokens", "800", "--output-tokens", "300", "--hardware", "H100,B200"]
    text = expect_exit(moemill(*words, "--against", "scale_up", "--curve", "batch,price", "--budget", "1000"), 0).stdout
    rows = [line for line in text.splitlines() if line.endswith(("one pool", "phases apart"))]
    check(len({line.index(line.split("  ")[-1]) for line in rows if " in one domain" in line}) == 1, "columns of one table:", rows)
    check("break-even: at " in text and "as much as " in text and "the budget of 1,000" in text, text)
    alone = expect_exit(moemill(*words[:-1], "H100", "--curve", "price"), 0).stdout
    check("break-even: none" in alone, alone)
    none = moemill(*QUESTION, "--hardware", "H100", "--gpus", "8")
    check(none.returncode == 1 and "the weights alone do not fit" in none.stdout, none.stdout)


def mistakes_are_named():
    folder = fresh("mistakes")
    sparse = folder / "sparse.yaml"
    sparse.write_text((SOURCE / "configs/hardware/H100.yaml").read_text().replace("fp8: 1979", "fp8: 3958"))
    check("sparse" in expect_exit(moemill("plan", "--hardware", sparse), 0).stderr, "sparse peaks give a warning")
    dateless = folder / "dateless.yaml"
    dateless.write_text(re.sub("date: [0-9-]*, ", "", (SOURCE / "configs/hardware/H100.yaml").read_text()))
    yen = folder / "yen.yaml"
    yen.write_text((SOURCE / "configs/hardware/H100.yaml").read_text().replace("USD", "JPY"))
    node = folder / "node.yaml"
    node.write_text("name: n\nkind: cpu\ncalibration: nowhere.json\nmemory: {gbytes: 100}\n")
    other = folder / "other.yaml"
    (folder / "calibration.json").write_text('{"version": 99}')
    other.write_text(node.read_text().replace("nowhere", "calibration"))
    rated = folder / "rated.yaml"
    rated.write_text(node.read_text() + "peak_tflops: {bf16: 2}\n")
    gpu = folder / "gpu.yaml"
    gpu.write_text((SOURCE / "configs/hardware/H100.yaml").read_text() + "calibration: c.json\n")
    pairs = folder / "points.yaml"
    pairs.write_text(re.sub("redundant_experts: [0-9]+", "redundant_experts: 1", (SOURCE / "configs/published.yaml").read_text()))
    hybrid = folder / "hybrid"
    hybrid.mkdir()
    (hybrid / "config.json").write_text((SOURCE / "configs/models/qwen3-30b-a3b/config.json").read_text().replace("qwen3_moe", "qwen3_next"))
    long = folder / "long.txt"
    long.write_text("100 1000\n1000000 1\n")
    empty = folder / "empty.txt"
    empty.write_text("# no answer\n")
    comma = folder / "comma.txt"
    comma.write_text("10,20,30\n")
    for words, parts in [(["plan"], ["--check"]),
                         (["plan", "--hardware", dateless], ["dateless.yaml:9", "price.date", "missing"]),
                         (["plan", "--hardware", "H10"], ["H10", "known"]),
                         (["plan", "--example", "day7"], ["day6"]),
                         (["plan", "--json"], ["--check"]),
                         (["plan", "--check", "--hardware", "H100"], ["--check and --hardware"]),
                         ([*QUESTION, "--check", "--hardware", "H100"], ["--check stands alone"]),
                         ([*QUESTION, "--hardware", "H100", "--deadline", "3"], ["no unit", "3h"]),
                         ([*QUESTION[:-1], "/dev/zero", "--hardware", "H100"], ["/dev/zero", "never ends"]),
                         ([*QUESTION, "--hardware", "H100", "--curve", "bach"], ["batch"]),
                         ([*QUESTION, "--hardware", "H100", "--against", "ethernet"], ["scale_up"]),
                         ([*QUESTION, "--hardware", "H100", "--output-spread", "-1"], ["--output-spread", "from 0"]),
                         ([*QUESTION, "--hardware", "H100", "--change", "efficiency.hbm=1"], ["efficiency.memory"]),
                         ([*QUESTION, "--hardware", "H100", "--change", "efficiency.memory=much"], ["no number"]),
                         ([*QUESTION, "--hardware", "H100", "--change", "efficiency.memory=7"], ["efficiency.yaml", "0.01 to 1"]),
                         ([*QUESTION, "--hardware", "H100", "--change", "peak_tflops.fp4=1"], ["peak_tflops.fp4", "no machine"]),
                         ([*QUESTION, "--hardware", node], ["nowhere.json"]),
                         ([*QUESTION, "--hardware", node, "--precision", "fp8"], ["--precision", "CPU node"]),
                         ([*QUESTION, "--hardware", other], ["calibration.json", "bench calibrate"]),
                         ([*QUESTION, "--hardware", rated], ["rated.yaml:5", "peak_tflops"]),
                         ([*QUESTION, "--hardware", gpu], ["gpu.yaml:15", "calibration", "kind: cpu"]),
                         ([*QUESTION, "--hardware", "/etc/passwd"], ["/etc/passwd"]),
                         (["plan", "--check", "--points", pairs], ["redundant_experts", "do not divide"]),
                         (["plan", "--model", hybrid, *QUESTION[3:], "--hardware", "H100"], ["qwen3_next"]),
                         (["plan", "--like", folder, "--model", "deepseek-v3", "--hardware", "H100"], ["no run"]),
                         (["plan", "--check", "--points", "nowhere.yaml"], ["nowhere.yaml"]),
                         (["plan", "--prompts", "5"], ["--hardware"]),
                         (["plan", "--prompts", "5", "--hardware", "H100"], ["--model"]),
                         ([*QUESTION, "--hardware", "H100", "--cached-fraction", "1.5"], ["--cached-fraction", "0 to 1"]),
                         ([*QUESTION, "--hardware", "H100", "--deadline", "soon"], ["--deadline soon", "24h"]),
                         ([*QUESTION, "--hardware", "H100", "--budget", "-1"], ["--budget -1", "above 0"]),
                         ([*QUESTION, "--hardware", "H100", "--budget", "0"], ["--budget 0", "above 0", "leave it out"]),
                         ([*QUESTION, "--hardware", "H100", "--tokens-per-second-per-user", "0"], ["--tokens-per-second-per-user 0", "above 0"]),
                         ([*QUESTION, "--hardware", "H100", "--change", "memory.gbytes=90", "--change", "memory.gbytes=+5%"], ["memory.gbytes", "twice"]),
                         ([*QUESTION, "--hardware", "H100", "--limit", "5"], ["--limit", "-i"]),
                         ([*QUESTION, "--hardware", "H100", "--set", "parallel.max_num_seqs=5"], ["parallel.max_num_seqs", "leave it out"]),
                         ([*QUESTION, "--hardware", "H100", "--set", "cost.hour_price=5"], ["cost.hour_price", "--hour-price"]),
                         ([*QUESTION[:-1], comma, "--hardware", "H100"], ["comma.txt:1", "LENGTH COUNT"]),
                         ([*QUESTION, "--hardware", "H100", "--hour-price", "nan"], ["--hour-price nan", "from 0"]),
                         ([*QUESTION, "--hardware", "H100", "--tokens-per-second-per-user", "nan"], ["nan", "above 0"]),
                         ([*QUESTION, "--hardware", "H100", "--gpus", ""], ["--gpus", "empty"]),
                         ([*QUESTION, "--hardware", "H100", "--precision", ""], ["--precision", "empty"]),
                         ([*QUESTION, "--hardware", f"H100,{yen}"], ["USD", "JPY", "--hour-price"]),
                         (["plan", "--hardware", "H100", "--budget", "5"], ["--budget belongs to a question"]),
                         (["plan", "--check", "--gpus", "8"], ["--gpus belongs to a question"]),
                         ([*QUESTION, "--hardware", "H100", "--gpus", "8,,9"], ["--gpus"]),
                         ([*QUESTION, "--hardware", "H100", "--precision", "fp7"], ["--precision fp7: is no precision", "mxfp4-fp8"]),
                         ([*QUESTION[:-1], empty, "--hardware", "H100"], ["empty.txt", "no lengths"]),
                         ([*QUESTION[:-1], long, "--hardware", "H100"], ["1000000", "positions"]),
                         ([*QUESTION[:-1], "9000000", "--hardware", "H100"], ["positions"])]:
        told = moemill(*words)
        check(told.returncode == 2 and all(part in told.stderr for part in parts), words, told.returncode, told.stderr)


if __name__ == "__main__":
    main([points_are_met, examples_and_machines, a_question_is_answered_in_its_first_line, a_question_has_json_curves_and_a_page, golden_answers, an_earlier_run_is_a_sample, prompts_of_a_file_are_the_work, samples_count_each, a_file_of_lengths_is_said_as_understood,
          tables_and_curves_explain_themselves, mistakes_are_named] +
         ([make_golden] if "make_golden" in sys.argv else []))
