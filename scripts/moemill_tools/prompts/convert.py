"""Makes the datasets of some rows."""
import dataclasses

import numpy as np

from ..common import short
from .ids import id_value
from .chat.messages import (alpaca_text, checked_messages, from_alpaca, joined_parts, nulls_in_tools, parsed, without_nulls,
                       wrapped_tools)
from .sampling.settings import setting_of, setting_values, switch, token_list
from .values import RowFault, json_text, no_text


@dataclasses.dataclass
class Prompt:
    """The prompt of one row: a text or token ids, and where they come from."""
    text: str = None
    tokens: list = None
    messages: list = None  # outputs.py shows it as the question; None without a chat
    answer: str = ""  # removed by --drop-last-answer
    prefix: str = ""  # text of the assistant's turn that the prompt leaves open
    remarks: tuple = ()  # reported in a note
    is_chat: bool = False  # whether it was rendered with a chat template


def switched(value, name):
    if value is None: return None
    number = switch(value, name)
    return None if number is None else bool(number)


def check_lengths(settings):
    """moemill refuses a file with a row whose min_tokens exceed its max_tokens. -1 is the run's value, which is checked by the run."""
    for least, most in zip(settings.get("min_tokens", ()), settings.get("max_tokens", ())):
        if least > most >= 0: raise RowFault(f"min_tokens is {least}, more than the row's max_tokens, {most}: lower one or raise the other")


class Converter:
    def __init__(self, plan):
        self.plan, self.options = plan, plan.options

    def prompt_of(self, row):
        kind, name = self.plan.source_of(row)
        if kind == "tokens": return Prompt(tokens=token_list(row.get(name), name), remarks=self.unused(row, kind))
        if kind == "messages":
            messages, is_sharegpt = checked_messages(row.get(name), name)
            return self.chat_prompt(row, messages, is_sharegpt)
        if kind == "alpaca":
            if self.plan.chat: return self.chat_prompt(row, from_alpaca(row), True)
            return Prompt(alpaca_text(row), remarks=(("alpaca",), *self.unused(row, kind)))
        text = self.plan.template.render(row) if kind == "template" else self.text_of(row, name)
        turn = [{"role": "user", "content": text}]
        if self.plan.turns_text(): return self.chat_prompt(row, turn, False)
        return Prompt(text, messages=turn if self.plan.chat else None, remarks=self.unused(row, kind))

    def unused(self, row, kind):
        """Remarks about columns beside a prompt that is not a conversation."""
        return tuple(("beside ids" if kind == "tokens" else "beside", name) for name in self.plan.idle_beside(row, kind))

    def text_of(self, row, name):
        text = row.get(name)
        if isinstance(text, str): return text
        if self.plan.form == "batch":
            if text is None: raise RowFault("has neither body.messages nor body.prompt")
            raise RowFault(f"body.prompt is {short(text)}, must be a text or a list of token ids")
        if text is None: raise RowFault(f"{name} is missing or null")
        raise RowFault(f"{name} is {short(text)}, must be text")

    def chat_prompt(self, row, messages, is_sharegpt):
        remarks = []
        messages, answer = self.last_turn(row, messages, remarks)
        messages = self.with_system(row, messages, remarks)
        tools, extra = (self.plan.of_chat(row, name) for name in ("tools", "chat_template_kwargs"))
        tools = parsed(tools, "tools") if tools is not None else None
        extra = (parsed(extra, "chat_template_kwargs") if extra is not None else None) or {}
        if tools is not None and not isinstance(tools, list): raise RowFault(f"tools is {short(tools)}, must be a list (use --drop tools if it is data)")
        if tools and is_sharegpt: tools = wrapped_tools(tools)
        shown = messages
        if nulls_in_tools(messages, tools):
            if not self.options.drop_nulls: remarks.append(("nulls",))
            else: tools, shown = without_nulls(tools), [{**m, "tool_calls": without_nulls(m.get("tool_calls"))} for m in messages]
        if not isinstance(extra, dict): raise RowFault(f"chat_template_kwargs is {short(extra)}, must be an object")
        if self.plan.form == "batch":
            if row.get("reasoning_effort") is not None: extra = {"reasoning_effort": row["reasoning_effort"], **extra}
            if documents := self.plan.of_chat(row, "documents"): extra = {"documents": documents, **extra}
        opened = switched(self.plan.of_chat(row, "add_generation_prompt"), "add_generation_prompt")
        done = self.plan.chat.render(shown, tools, extra, self.continues(row, messages), opened)
        if messages[-1]["role"] == "assistant" and not done.prefix: remarks.append(("answers",))
        return Prompt(done.text, None, messages, answer, done.prefix, (*remarks, *done.remarks), is_chat=True)

    def continues(self, row, messages):
        """Whether the last turn is an assistant's turn that the model shall continue."""
        said = switched(self.plan.of_chat(row, "continue_final_message"), "continue_final_message")
        if said is not None: return said
        last = messages[-1]
        is_begun = self.options.continue_final_message or self.options.assistant_prefix or last.get("prefix") or last.get("partial")
        return bool(is_begun) and last["role"] == "assistant"

    def last_turn(self, row, messages, remarks):
        """(messages, removed answer): the last turn treated as the options ask."""
        answer = ""
        if messages[-1]["role"] == "assistant" and self.options.drop_last_answer and len(messages) > 1:
            answer, messages = joined_parts(messages[-1].get("content") or ""), messages[:-1]
            if not isinstance(answer, str): answer = json_text(answer)
        if self.options.assistant_prefix:
            if messages[-1]["role"] == "assistant":
                raise RowFault("ends with an assistant's turn already: --assistant-prefix begins another")
            messages = [*messages, {"role": "assistant", "content": self.options.assistant_prefix}]
        return messages, answer

    def with_system(self, row, messages, remarks):
        """The conversation with the system message of its column, or that of --system if it has none."""
        beside = self.plan.of_chat(row, "system")
        if beside is not None and not isinstance(beside, str): raise RowFault(f"system is {short(beside)}, must be text (--drop system)")
        if messages[0]["role"] in ("system", "developer"):
            if beside and beside != messages[0].get("content"): remarks.append(("system twice",))
            return messages
        if beside: remarks.append(("system",))
        text = beside or self.options.system
        return [{"role": "system", "content": text}, *messages] if text else messages

    def id_of(self, row):
        name, types = self.plan.id_column, self.plan.id_types
        value = row.get(name)
        if id_value(value, False) is None:
            raise RowFault(f"id ({name}) is missing, null or empty (--id-column none numbers the rows instead)")
        if types == {int}:
            value = int(value.removesuffix(".0") if isinstance(value, str) else value)
            if not -2**63 <= value < 2**63: raise RowFault(f"id {value} does not fit 64 bits (--id-column none numbers the rows instead)")
            return value
        if "\0" in str(value): raise RowFault("id holds a NUL character (--id-column none numbers the rows instead)")
        return str(id_value(value, False))

    def adds_special_tokens(self, row, prompt):
        """The column's value for one row: 1, 0, or -1 if it is unknown."""
        said = switched(self.plan.of_chat(row, "add_special_tokens"), "add_special_tokens")
        if said is not None: return int(said)
        if prompt.is_chat: return 0  # the template decides alone: transformers and vLLM add nothing to its output
        if prompt.tokens is not None or self.plan.begins is None: return -1
        return int(not prompt.text.startswith(self.plan.begins))

    def convert(self, rows, carried):
        """(datasets of some rows as arrays and lists; their prompts). RowFault if any row is bad."""
        made = [self.prompt_of(row) for row in rows]
        out = {}
        if self.plan.kinds == {"tokens"}:
            values = np.array([t for p in made for t in p.tokens], "i4")
            out["prompt_token_ids"] = ([len(p.tokens) for p in made], values)
        else:
            encoded = [p.text.encode() for p in made]
            out["prompt"] = ([len(e) for e in encoded], np.frombuffer(b"".join(encoded), "u1"))
        if self.plan.id_column:
            ids = [self.id_of(row) for row in rows]
            out["id"] = np.array(ids, "i8") if self.plan.id_types == {int} else ids
        out["add_special_tokens"] = np.array([self.adds_special_tokens(r, p) for r, p in zip(rows, made)], "i1")
        out |= self.settings(rows)
        if self.plan.chat:
            out["messages"] = [json_text(p.messages) for p in made]
            if self.options.drop_last_answer: out["dropped_answer"] = [p.answer for p in made]
            if self.plan.continues: out["assistant_prefix"] = [p.prefix for p in made]
        for name, target in carried.items():
            try:
                out[target] = self.plan.columns[name].convert([row.get(name) for row in rows])
            except RowFault as fault:
                raise RowFault(f"column {name} {fault}") from None
        for name, values in out.items():
            if isinstance(values, list):
                joined = "".join(values)
                joined.encode()
                if "\0" in joined: raise RowFault(f"column {name} holds a NUL character, which texts of HDF5 cannot (--drop {name})")
        return out, made

    def settings(self, rows):
        out = {}
        for name in self.plan.used_settings():
            try:
                out[name] = setting_values([setting_of(row, name) for row in rows], name, self.plan.wide)
            except RowFault as fault:
                if name in self.plan.constants: raise
                own = min(self.plan.called.get(name, {name})).split(".")[0]  # for a setting within an object, the object
                raise RowFault(f"{fault} (if it is not meant as the setting, use --map {own}=my_{own})") from None
        check_lengths(out)
        return out

    def convert_or_fault(self, rows, carried):
        try:
            return self.convert(rows, carried)
        except RecursionError:
            raise RowFault("holds lists or objects that are nested too deeply") from None
        except UnicodeEncodeError as fault:
            raise RowFault(no_text(fault)) from None
