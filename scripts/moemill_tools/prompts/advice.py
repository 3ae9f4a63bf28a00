"""What a user should know of the rows: settings that no column can give, tokens twice, answers within prompts."""
import json
import sys

from ..common import note, short
from .settings import NOT_DONE, RUN_ONLY


class Advice:
    def __init__(self, plan):
        self.plan = plan
        self.run_only, self.not_done = {}, set()
        self.begun = 0  # prompts that begin with what the tokenizer would add

    def observe(self, name, values, rows):
        if name in RUN_ONLY: self.note_run_only(name, rows)
        if name in NOT_DONE and any(v not in (None, False, "", [], {}) for v in values): self.not_done.add(name)

    def note_run_only(self, name, rows):
        """Collects what run.yaml would say for these rows; "refused" where it has no way to say it."""
        held = self.run_only.setdefault(name, set())
        for row in rows:
            if len(held) > 2: return
            value = row.get(name)
            if name == "logprobs" and value is True: value = row.get("top_logprobs") or 0
            try:
                held.add("null" if value in (None, "") else json.dumps(RUN_ONLY[name](value)))
            except (ValueError, OverflowError, RecursionError):
                held.add("refused")

    def count_begun(self, lengths, values):
        """Counts the prompts that begin with the token which the tokenizer puts before them."""
        if not self.plan.chat or not self.plan.chat.added_before: return
        text, added, at = values.tobytes(), self.plan.chat.added_before.encode(), 0
        for length in lengths:
            self.begun += text.startswith(added, at, at + length)
            at += length

    def say(self, rows, answers_kept):
        used = [name for name in self.plan.used_settings() if name not in self.plan.constants]
        if used: note(f"used as sampling settings: {', '.join(used)}")
        for name in sorted(self.not_done): note(f"{name}: moemill does not do this; the column is carried along only")
        for name, values in self.run_only.items(): self.say_run_only(name, values)
        if answers_kept:
            note("conversations end with an assistant's turn, which is then part of the prompt; "
                 "--drop-last-answer leaves it out")
        if self.begun == rows:
            note(f"this model's tokenizer.json puts {self.plan.chat.added_before} before every prompt, and the chat template has written "
                 "it already: put into run.yaml  input: {add_special_tokens: false}")
        elif self.begun:
            note(f"this model's tokenizer.json puts {self.plan.chat.added_before} before every prompt, and {self.begun:,} of the "
                 f"{rows:,} prompts begin with it already: no add_special_tokens of run.yaml is right for all. Make two "
                 "files and run them apart")

    def say_run_only(self, name, values):
        if type(None) in self.plan.columns[name].seen: values = values | {"null"}
        if values == {"null"}: return
        if values == {"refused"}: note(f"{name}: run.yaml has no setting of these values; the column is carried along only")
        elif len(values) == 1:
            note(f"{name} is no setting of a single prompt; for all of them put into run.yaml:  "
                 f"sampling: {{{name}: {next(iter(values))}}}")
        else: note(f"{name} is no setting of a single prompt, and the rows differ in it: it is carried along only")


def show(prompt, tokens):
    """The first prompt, for the eye."""
    if prompt is None: print("--- the first prompt's tokens:", short(tokens, 300), file=sys.stderr)
    else: print("--- the first prompt", prompt if len(prompt) < 1500 else prompt[:1500] + "…", "---", sep="\n", file=sys.stderr)
