"""Makes the datasets of some rows."""
import numpy as np

from ..common import short
from .ids import id_value
from .rows import batch_source, checked_messages, joined_parts, parsed
from .settings import SAMPLING, sampling_values, stop_list, token_list
from .values import RowFault, json_text


class Converter:
    def __init__(self, plan):
        self.plan, self.options = plan, plan.options
        self.answers_kept = False

    def prompt_of(self, row):
        """(prompt text or None, token ids or None, messages or None, answer left out)."""
        kind, name = self.plan.source
        is_batch = kind == "batch"
        if is_batch: kind, name = batch_source(row)
        if kind == "tokens": return None, token_list(row.get(name)), None, ""
        if kind == "messages": messages = checked_messages(row.get(name), name)
        else:
            text = self.plan.template.render(row) if self.plan.template else row.get(name)
            if not isinstance(text, str):
                if text is None and is_batch: raise RowFault("has neither body.messages nor body.prompt")
                if is_batch: raise RowFault(f"body.prompt is {short(text)}, must be one text: token ids and lists of prompts are "
                                            "not taken in batch files (token ids: a column prompt_token_ids of plain rows)")
                if text is None: raise RowFault(f"{name} is missing or null")
                raise RowFault(f"{name} is {short(text)}, must be text")
            if not self.plan.chat: return text, None, None, ""
            if is_batch and not self.plan.turns_text(): return text, None, [{"role": "user", "content": text}], ""
            messages = [{"role": "user", "content": text}]
        answer = ""
        if messages[-1]["role"] == "assistant":
            if self.options.drop_last_answer and len(messages) > 1:
                answer, messages = joined_parts(messages[-1].get("content") or ""), messages[:-1]
                if not isinstance(answer, str): answer = json_text(answer)
            else: self.answers_kept = True
        if self.options.system and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.options.system}, *messages]
        tools, extra = row.get("tools"), row.get("chat_template_kwargs")
        tools = parsed(tools, "tools") if tools not in (None, "") else None
        extra = parsed(extra, "chat_template_kwargs") if extra not in (None, "") else {}
        if is_batch and row.get("reasoning_effort") is not None and isinstance(extra, dict):
            extra = {"reasoning_effort": row["reasoning_effort"], **extra}
        if tools is not None and not isinstance(tools, list): raise RowFault("tools must be a list")
        if not isinstance(extra, dict): raise RowFault("chat_template_kwargs must be an object")
        return self.plan.chat.render(messages, tools, extra), None, messages, answer

    def id_of(self, row):
        value = row.get(self.plan.id_column)
        if id_value(value, False) is None:
            raise RowFault(f"id ({self.plan.id_column}) is missing, null or empty (--id-column none numbers the rows instead)")
        if self.plan.id_types == {int}:
            value = int(value.removesuffix(".0") if isinstance(value, str) else value)
            if not -2**63 <= value < 2**63: raise RowFault(f"id {value} does not fit 64 bits")
            return value
        if "\0" in str(value): raise RowFault("id holds a NUL character")
        return str(id_value(value, False))

    def convert(self, rows, carried):
        """All datasets of some rows, as arrays and lists. RowFault when any row is no good."""
        made = [self.prompt_of(row) for row in rows]
        out = {}
        if self.plan.source[0] == "tokens":
            lists = [tokens for _, tokens, _, _ in made]
            values = np.array([t for tokens in lists for t in tokens], "i4")
            out["prompt_token_ids"] = ([len(tokens) for tokens in lists], values)
        else:
            encoded = [text.encode() for text, _, _, _ in made]
            out["prompt"] = ([len(e) for e in encoded], np.frombuffer(b"".join(encoded), "u1"))
        if self.plan.id_column:
            ids = [self.id_of(row) for row in rows]
            out["id"] = np.array(ids, "i8") if self.plan.id_types == {int} else ids
        for name in self.plan.used_settings():
            values = [row.get(name) for row in rows]
            try:
                out[name] = [stop_list(v) for v in values] if name == "stop" else sampling_values(values, name, SAMPLING[name])
            except RowFault as fault:
                if name in self.plan.constants: raise
                raise RowFault(f"{fault} (if it is not the sampling setting: --map {name}=my_{name})") from None
        if self.plan.chat:
            out["messages"] = [json_text(messages) for _, _, messages, _ in made]
            if self.options.drop_last_answer: out["dropped_answer"] = [answer for _, _, _, answer in made]
        for name, target in carried.items():
            try:
                out[target] = self.plan.columns[name].convert([row.get(name) for row in rows])
            except RowFault as fault:
                raise RowFault(f"column {name} {fault}") from None
        for name, values in out.items():
            if isinstance(values, list):
                joined = "".join(values)
                joined.encode()
                if "\0" in joined: raise RowFault(f"column {name} holds a NUL character")
        return out

    def convert_or_fault(self, rows, carried):
        try:
            return self.convert(rows, carried)
        except UnicodeEncodeError as fault:
            raise RowFault(f"holds text that is no Unicode: {short(fault.object[fault.start:fault.end])}") from None
