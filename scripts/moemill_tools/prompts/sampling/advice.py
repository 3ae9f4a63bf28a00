"""Collects what a user should know about the rows: settings that a column cannot set, unsupported features, and what a chat template
leaves out."""
import collections
import json
import sys

from ...common import note, short
from .names import near_setting
from .nested import holds_settings, unknown_within
from .settings import REQUEST_KEYS, RUN_ONLY, SAMPLING, UNSUPPORTED, UNSUPPORTED_IN_REQUESTS, has_typed_escape, is_asked

# Texts for what happened to rows, by the first word of a remark.
TOLD = {
    "answers": "{rows} end with an assistant's turn, which becomes part of the prompt, with a new turn after it; "
               "--drop-last-answer removes it, --continue-final-message lets the model continue it",
    "continued": "in {rows} the prompt ends within an assistant's turn, whose text is in the column assistant_prefix; outputs.py joins it "
                 "with the answer",
    "system": "the column system became the system message of {rows} (--drop system does not use it)",
    "system twice": "{rows} have a system message and another text in the column system: the message was used",
    "alpaca": "{rows} became prompts in the words of Stanford's Alpaca; --model DIR makes them turns of its chat",
    "content": "the chat template leaves out messages of role {0} in {rows}: the model does not see them",
    "reasoning": "the chat template leaves out reasoning of assistants' turns in {rows}, as most do for all turns except the last",
    "tools": "the chat template does not write tools: the model does not see those of {rows}",
    "name": "the chat template does not write names: the model does not see the names in messages of {rows}",
    "beside": "{0} has no effect in {rows}, whose prompt is plain text: --user-turn (with --model) makes the prompt a user's turn, to which "
              "{0} belongs (use --drop {0} if it is data)",
    "beside ids": "{0} has no effect in {rows}, whose prompt is token ids (use --drop {0} if it is data)",
    "argument": "the chat template has no variable {0}: it has no effect in {rows}",
    "nulls": "tools or arguments of their calls hold nulls in {rows}, because Parquet adds them for keys of other rows: the model sees "
             "them; --drop-nulls leaves them out",
    "role": "the chat template does not know the role {0}: in {rows} it is rendered as {1}"}


# Settings that are used as they are, although they may have been meant differently.
ODD = {"stop": "stop: a backslash and n (or t) in {rows} stops where the model writes these two characters; a JSON list has the "
               "character itself: [\"\\n\"]",
       "max_tokens": "max_tokens: -1 in {rows} means the run's value, not unlimited",
       "seed": "seed: -1 in {rows} means the run's value, so that the same run gives the same answers"}


class Advice:
    def __init__(self, plan):
        self.plan = plan
        self.run_only, self.asked, self.unknown = {}, collections.Counter(), collections.Counter()
        self.remarks, self.odd = collections.Counter(), collections.Counter()
        self.no_objects, self.within = collections.Counter(), collections.Counter()

    def observe(self, name, values, rows):
        if name in RUN_ONLY: self.note_run_only(name, rows)
        if name in SAMPLING and name not in self.plan.constants: self.observe_setting(name, values)
        is_batch = self.plan.form == "batch"
        if name in (UNSUPPORTED_IN_REQUESTS if is_batch else UNSUPPORTED): self.asked[name] += sum(is_asked(name, v) for v in values)
        elif self.plan.takes_within(name):
            for value in values: self.unknown.update(unknown_within(name, value))
            self.no_objects[name] += sum(value not in (None, "") and not isinstance(value, dict) for value in values)
        elif not is_batch and name not in (*REQUEST_KEYS, *self.plan.options.drop): self.within[name] += sum(map(holds_settings, values))
        elif is_batch and name not in REQUEST_KEYS and name not in self.plan.constants:
            self.unknown[name] += sum(v is not None for v in values)

    def observe_setting(self, name, values):
        """Values whose author may have meant something different."""
        if name == "stop": self.odd[name] += sum(map(has_typed_escape, values))
        elif name in ("max_tokens", "seed"): self.odd[name] += sum(v in (-1, "-1") for v in values)

    def note_run_only(self, name, rows):
        """Collects what run.yaml would need for these rows; "refused" if it has no key for it."""
        held = self.run_only.setdefault(name, set())
        for row in rows:
            if len(held) > 2: return
            value = row.get(name)
            try:
                held.add("null" if value in (None, "") else json.dumps(RUN_ONLY[name][1](value)))
            except (ValueError, OverflowError, RecursionError, TypeError):
                held.add("refused")

    def count(self, prompts):
        for prompt in prompts:
            self.remarks.update(set(prompt.remarks) | ({("continued",)} if prompt.prefix else set()))

    def say(self, carried):
        used = [name for name in self.plan.used_settings() if name not in self.plan.constants]
        called = {setting: f" (called {' and '.join(sorted(names))})" for setting, names in self.plan.called.items()}
        if used: note(f"used as sampling settings: {', '.join(name + called.get(name, '') for name in used)}")
        for name in sorted(name for name, rows in self.odd.items() if rows and name in used): note(ODD[name].format(rows=counted(self.odd[name])))
        for name, rows in sorted(self.asked.items()):
            if rows: note(f"{name}: moemill does not support this, which {counted(rows)} {'asks' if rows == 1 else 'ask'} for; the column is only carried along")
        for name, rows in sorted(self.unknown.items()):
            if rows:
                note(f"{name}: is not a key of a request that moemill knows, {counted(rows)} with it; it changes no answer, the column is "
                     "only carried along")
        for name, rows in sorted(self.no_objects.items()):
            if rows: note(f"{name}: is not an object of settings in {counted(rows)}, and changes no answer there; the column is only carried along")
        for name, rows in sorted(self.within.items()):
            if rows and name in carried:
                note(f"{name}: holds names of settings in {counted(rows)}, and changes no answer: --map {name}=sampling_params takes them, --drop "
                     f"{name} leaves it out")
        for name, values in self.run_only.items(): self.say_run_only(name, values)
        for name in self.plan.chat.unknown_arguments() if self.plan.chat else ():
            note(f"--template-arg {name}: the chat template has no such variable; it has no effect")
        if idle := self.plan.idle_options():
            note(f"{', '.join(idle)}: no row is a conversation, so this has no effect; --user-turn makes each plain prompt one")
        for name in self.plan.idle_variables(carried):
            note(f"the column {name} is only carried along, though the chat template has a variable of that name: chat_template_kwargs of a row, or "
                 f"--template-arg {name}=VALUE for all, gives it")
        others = [f"{name or repr(name)} is {dataset}" for name, dataset in carried.items() if name != dataset]
        if others: note(f"columns that are carried along under other names: {', '.join(others)}")
        for remark, rows in sorted(self.remarks.items()): note(TOLD[remark[0]].format(*remark[1:], rows=counted(rows)))
        for name, meant in (("system_prompt", "system"), ("functions", "tools")):
            if self.plan.chat and name in carried and self.plan.form != "batch":
                note(f"the column {name} is only carried along: --map {name}={meant} makes it the {meant} of the conversations")
        for name, dataset in carried.items():
            if setting := near_setting(dataset, self.plan.columns[name].kind()):
                note(f"the column {dataset} is carried along as --keep says, but its name is almost that of the setting {setting}: moemill "
                     f"takes it where run.yaml names it, too:  output: {{carry_columns: [{dataset}]}}")

    def say_run_only(self, name, values):
        if type(None) in self.plan.columns[name].seen: values = values | {"null"}
        if values == {"null"}: return
        if values == {"refused"}: note(f"{name}: run.yaml has no setting of these values; the column is only carried along")
        elif len(values) == 1:
            note(f"{name} cannot be set per prompt; to set it for all prompts put into run.yaml:  "
                 f"{RUN_ONLY[name][0]}: {{{name}: {next(iter(values))}}}")
        else: note(f"{name} cannot be set per prompt, and the rows differ in it: it is only carried along (use one file and one run per value)")


def counted(rows): return f"{rows:,} row{'' if rows == 1 else 's'}"


def show(prompt):
    """Prints the first prompt."""
    if prompt.text is None: print("--- the first prompt's tokens:", short(prompt.tokens, 300), file=sys.stderr)
    else:
        text = prompt.text if len(prompt.text) < 1500 else prompt.text[:1500] + "…"
        print("--- the first prompt", text, "---", sep="\n", file=sys.stderr)
