"""The compared jobs: the demo, and every family with every way to sample, to stop and to score."""
import dataclasses
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py

from job_layouts import FEW_LAYOUTS, LAYOUTS
from prompt_files import random_prompts, write_prompts

SOURCE = Path(__file__).resolve().parents[2]
MODELS = SOURCE / "tests/data/models"
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
TWO_LAYOUTS = [dict(ranks=0), dict(ranks=2, threads=2, isa="avx2", batch=33, seqs=5)]
WITH_SCORES = {"sampling.logprobs": 3, "sampling.prompt_logprobs": "true", "sampling.ignore_eos": "true"}


@dataclasses.dataclass
class Case:
    """One job in several layouts, of which the first is the reference."""
    name: str
    model: Path
    write: Callable[[Path], object]  # makes the prompts
    settings: dict = dataclasses.field(default_factory=dict)
    layouts: list = dataclasses.field(default_factory=lambda: TWO_LAYOUTS)
    ends: tuple = ()  # finish reasons that its rows must have, so that the case tests what it is for
    config: Path | None = None

    def words(self):
        config = ["-c", self.config] if self.config else []
        return [*config, "--model", self.model, *(word for kv in self.settings.items() for word in ("--set", "%s=%s" % kv))]

    def temperatures(self, prompts):
        """One per prompt."""
        with h5py.File(prompts) as f:
            count = len(f["prompt" if "prompt" in f else "prompt_token_ids"])
            own = f["temperature"][:].tolist() if "temperature" in f else [math.nan] * count
        default = float(self.settings.get("sampling.temperature", 1))
        return [default if math.isnan(t) else t for t in own]


def demo():
    folder = SOURCE / "configs/demo"
    def write(path):
        make = [sys.executable, folder / "make_prompts.py", folder / "prompts.jsonl", path]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    layouts = [dict(ranks=2), dict(ranks=2, threads=1, micro=2, batch=128), dict(ranks=3, domain=1, isa="avx2")]
    return Case("demo", folder / "model", write, {}, layouts, ("stop",), folder / "run.yaml")


def token_prompts(family, seed):
    vocabulary = json.loads((MODELS / family / "config.json").read_text())["vocab_size"]
    return lambda path: random_prompts(path, vocabulary, seed)


def text_prompts(count, **columns):
    draw = random.Random(count)
    lines = [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]
    return lambda path: write_prompts(path, {"prompt": lines, **columns})


def families():
    """Greedy and drawn rows in one file, with scores of tokens and of prompts; two families in every layout."""
    cases = []
    for seed, family in enumerate(sorted(path.parent.name for path in MODELS.glob("*/config.json"))):
        layouts = LAYOUTS if family in ("deepseek_v3", "gpt_oss") else FEW_LAYOUTS
        settings = {"sampling.logprobs": 3, "sampling.prompt_logprobs": "true", "sampling.ignore_eos": "true",
                    "sampling.max_tokens": 12, "sampling.seed": seed}
        cases.append(Case(f"family/{family}", MODELS / family, token_prompts(family, seed), settings, layouts, ("length",)))
    return cases


def sampling():
    """One way to sample, to stop or to score at a time. Keys without a section are those of `sampling`."""
    def case(name, family, settings, prompts=text_prompts(24), ends=()):
        def full(key): return key if key.startswith(("model.", "output.", "errors.")) else f"sampling.{key}"
        settings = {"max_tokens": 24, "errors.max_failed_fraction": 1} | settings
        return Case(f"sampling/{name}", MODELS / family, prompts, {full(k): v for k, v in settings.items()}, ends=ends)

    rows_of_their_own = text_prompts(24, n=[1 + i % 3 for i in range(24)], seed=list(range(24)),
                                     temperature=[i % 4 * 0.5 for i in range(24)], min_p=[i % 3 * 0.01 for i in range(24)],
                                     stop=['["a"]' if i % 5 == 0 else "" for i in range(24)], note=list(range(24)))
    bad_rows = lambda path: write_prompts(path, {"prompt": [b"alpha", b"", b"\xff\xfe", b"beta"]})
    some_only_scored = text_prompts(12, max_tokens=[0, 8, 3] * 4, n=[1, 2, 3] * 4)
    every_token = {"max_tokens": 200, "ignore_eos": "true"}
    return [
        case("greedy", "deepseek_v3", {"temperature": 0}),
        case("temperature_top_p", "gpt_oss", {"temperature": 0.8, "top_p": 0.9}),
        case("top_k", "qwen3_moe", {"top_k": 20}),
        case("min_p", "mixtral", {"min_p": 0.02}),
        case("top_p_top_k_min_p", "olmoe", {"top_p": 0.95, "top_k": 50, "min_p": 0.005, "temperature": 1.3}),
        case("penalties", "glm4_moe", {"repetition_penalty": 1.2, "presence_penalty": 0.3, "frequency_penalty": 0.2}),
        case("penalties_greedy", "deepseek_v3", {"temperature": 0, "repetition_penalty": 1.3, "frequency_penalty": 0.5}),
        case("n", "qwen2_moe", {"n": 5, "top_p": 0.9}),
        case("stop", "deepseek_v3", {"stop": '["a", "er"]', "stop_token_ids": "[5, 17, 40, 63]", "max_tokens": 100,
                                     "output.store": "[text, token_ids, stop_reason]"}, ends=("stop", "stop_string")),
        case("special_tokens_in_text", "mixtral", {"min_tokens": 8, "output.skip_special_tokens": "false"}),
        case("logprobs", "deepseek_v2_lite", {"logprobs": 20, "top_k": 5, "output.store": "[logprobs, prompt_token_ids]"}),
        case("prompt_logprobs", "qwen3_moe", {"prompt_logprobs": "true", "logprobs": 0}),
        case("repetition", "deepseek_v3", {"temperature": 0, "repetition_detection.max_pattern_size": 8,
                                           "repetition_detection.min_count": 3} | every_token, ends=("repetition",)),
        case("from_model", "glm4_moe", {"from_model": "true"}),
        case("rows_of_their_own", "gpt_oss", {}, rows_of_their_own),
        case("too_long_truncated", "deepseek_v3", {"errors.too_long": "truncate_left", "model.max_model_len": 32}),
        case("too_long_failed", "qwen3_moe", {"model.max_model_len": 40}, ends=("error",)),
        case("bad_rows", "mixtral", {}, bad_rows, ends=("error",)),
        case("scoring", "deepseek_v3", {"max_tokens": 0, "prompt_logprobs": "true"}, token_prompts("deepseek_v3", 30)),
        case("scoring_in_windows", "gpt_oss", {"max_tokens": 0, "prompt_logprobs": "true"}, token_prompts("gpt_oss", 31)),
        case("scoring_beside_generation", "qwen2_moe", {"prompt_logprobs": "true"}, some_only_scored),
    ]


def resumed():
    """Jobs that are long enough to be stopped in the middle, with shards that end one after another."""
    def case(family):
        settings = {"sampling.max_tokens": 200, "sampling.ignore_eos": "true", "sampling.logprobs": 1,
                    "sampling.prompt_logprobs": "true", "output.shard_prompts": 8, "output.journal_flush_seconds": 0.05,
                    "parallel.max_num_seqs": 6}
        prompts = text_prompts(60, n=[1 + i % 2 for i in range(60)], temperature=[i % 3 * 0.5 for i in range(60)])
        return Case(f"resume/{family}", MODELS / family, prompts, settings, [dict(ranks=0), dict(ranks=2)], ("length",))
    return [case("deepseek_v3"), case("gpt_oss")]
