"""Jobs of the program for measuring: prompts in, rows out, once in each arithmetic."""
import json
import shlex
import subprocess
import sys

from ..common import Fault

ARITHMETICS = ("bf16", "int8")
MOST_LOGPROBS = 1000  # that the program gives per token


class Jobs:
    """Runs of one model in a work folder. `more` are further settings, KEY=VALUE."""

    def __init__(self, program, launcher, model, work, more=()):
        self.words, self.model, self.work, self.more = [*shlex.split(launcher), str(program)], model, work, list(more)
        try:
            config = json.loads((model / "config.json").read_text())
        except (OSError, ValueError) as fault:
            raise Fault(f"{model}/config.json: {fault} (--model names a folder as downloaded from Hugging Face)") from None
        self.vocabulary = config.get("vocab_size", config.get("text_config", {}).get("vocab_size", MOST_LOGPROBS))
        self.has_tokenizer = any((model / name).exists() for name in ("tokenizer.json", "tiktoken.model"))

    def rows(self, name, prompts, columns, settings):
        """{arithmetic: rows, one per prompt}. `prompts` are texts or lists of token ids; `columns` lie beside them."""
        from moemill_io import read_run, write_prompts
        path = self.work / f"{name}.h5"
        write_prompts(path, prompts, **columns)
        done = {}
        for arithmetic in ARITHMETICS:
            out = self.work / f"{name}-{arithmetic}"
            self.run(path, out, [f"model.arithmetic={arithmetic}", "errors.max_failed_fraction=1", "runtime.log_level=warning",
                                 *settings, *self.more])
            done[arithmetic] = list(read_run(out))
            failed = [row for row in done[arithmetic] if row["status"] != "ok"]
            if len(failed) == len(prompts): raise Fault(f"{path}: all rows failed in {arithmetic}; the first: {failed[0]['error_message']}")
            if failed: print(f"quality.py: {name}: {len(failed)} of {len(prompts)} rows failed in {arithmetic} and do not count", file=sys.stderr)
        return done

    def run(self, prompts, out, settings):
        words = [*self.words, "run", "--model", str(self.model), "-i", str(prompts), "-o", str(out), "--overwrite"]
        for setting in settings: words += ["--set", setting]
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        except OSError as fault:
            raise Fault(f"{words[0]}: {fault.strerror} (--program names moemill, --launcher how ranks are started)") from None
        if done.returncode != 0: raise Fault(f"{shlex.join(words)}: exit code {done.returncode}\n{(done.stderr or done.stdout).strip()}")


def good_pairs(rows):
    """Rows of both arithmetics for each prompt that failed in neither."""
    return [(a, b) for a, b in zip(*(rows[arithmetic] for arithmetic in ARITHMETICS)) if a["status"] == b["status"] == "ok"]
