"""Renders conversations with a model's chat template, as transformers 5 and vLLM do, and makes sure that nothing is lost."""
import collections
import json
import pathlib

from ...common import Fault, json_of_file, short
from .marks import mark_messages, mark_tools, survey
from .messages import MEANT_ROLES, REASONING, joined_parts, likely_role, text_parts
from .templates import Templates
from ..values import JSON, RowFault

MOST_SHAPES = 4096  # number of shapes of conversations whose rendering is remembered
END = "Q7xEndOfTurnzK"  # appended to a turn that stays open, to find where the template continues

# The result for one conversation: the prompt, the text of an assistant's turn that it leaves open (or ""), and remarks for a note.
Rendered = collections.namedtuple("Rendered", "text prefix remarks")


class Arguments(dict):
    """Arguments of a tool call: an object for templates that read its items, and the JSON text as it was for those that print it."""
    _text = None  # the original text, if it was text; templates cannot access a name with an underscore
    def _json(self): return json.dumps(self, ensure_ascii=False) if self._text is None else self._text
    def __str__(self): return super().__repr__() if self._text is None else self._text
    def __add__(self, other): return self._json() + other
    def __radd__(self, other): return other + self._json()


def with_arguments(message):
    """A message whose tool calls have objects as arguments, as in vLLM; the OpenAI API has JSON text."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list): return message
    made = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        value = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(value, str):
            text = value.strip() and value
            try:
                value = JSON.decode(text) if text else {}
            except (ValueError, RecursionError):
                value = None
        else: text = None
        if isinstance(value, dict):
            value = Arguments(value)
            if text is not None: value._text = text or "{}"
            call = {**call, "function": {**function, "arguments": value}}
        made.append(call)
    return {**message, "tool_calls": made}


def is_bare_call(message):
    """Whether a message has only tool calls, which templates recognise by a null, absent or empty content."""
    return bool(message.get("tool_calls")) and message.get("content") in (None, "", [])


AS_GIVEN = "given", "given"


def ways(messages):
    """Ways to give the same conversation to a template, beginning with the conversation as it is: (form of absent content, whether roles
    have names that every template knows)."""
    forms = ["given"] + ["absent", "empty", "null"] * any(map(is_bare_call, messages))
    roles = ["given"] + ["meant"] * any(MEANT_ROLES.get(m["role"], m["role"]) != m["role"] for m in messages)
    return [(form, role) for role in roles for form in forms]


def by_way(messages, way):
    form, role = way
    if role == "meant": messages = [{**m, "role": MEANT_ROLES.get(m["role"], m["role"])} for m in messages]
    if form == "given": return messages
    put = {"absent": {}, "empty": {"content": ""}, "null": {"content": None}}[form]
    return [{**{k: v for k, v in m.items() if k != "content"}, **put} if is_bare_call(m) else m for m in messages]


class Chat:
    def __init__(self, options):
        self.keep_nulls = options.keep_nulls
        self.generation_prompt = not options.no_generation_prompt
        self.templates = Templates(options)
        self.shapes = {}  # results of `settle` by the shape of the conversation
        self.tools = None
        if options.tools:
            self.tools = json_of_file(pathlib.Path(options.tools))
            if self.tools is None: raise Fault(f"{options.tools}: no such file (--tools)")
            if not isinstance(self.tools, list): raise Fault(f"{options.tools}: must be a JSON list of tools (--tools)")

    def unknown_arguments(self):
        """Names of --template-arg that no template reads, so that they would change nothing."""
        known = self.templates.variables()
        return [name for name in self.templates.given if name not in known]

    def prepared(self, messages, takes_parts):
        """Messages in the form that templates need: without keys whose value is null, with reasoning under all three names and arguments
        of tool calls as objects. Content in parts is joined into one text, as in vLLM, for templates without parts."""
        seen = []
        for message in messages:
            if not self.keep_nulls: message = {k: v for k, v in message.items() if v is not None}
            reasoning = next((message[k] for k in REASONING if message.get(k) is not None), None)
            if reasoning is not None: message = {"thinking": reasoning, **message, "reasoning_content": reasoning}
            if isinstance(content := message.get("content"), list):
                message = {**message, "content": text_parts(content) if takes_parts else joined_parts(content)}
            seen.append(with_arguments(message))
        return seen

    def render(self, messages, tools, arguments, continued=False, generation_prompt=None):
        """The prompt of one conversation. RowFault if a tool call or a turn would be lost."""
        tools = self.tools if tools is None else tools
        name = "tool_use" if tools is not None and "tool_use" in self.templates.templates else "default"
        if name not in self.templates.templates: raise RowFault("the model has a chat template for tools only, and the row has none: --chat-template names a different one")
        template, takes_parts, variables = self.templates.compile(name)
        opens = not continued and (self.generation_prompt if generation_prompt is None else generation_prompt)
        given = {"documents": None, "add_generation_prompt": opens, **self.templates.arguments, **arguments}

        def fill(messages, tools): return template.render(messages=messages, tools=tools, **given)
        seen = self.prepared(messages, takes_parts)
        way, lost = self.settle((name, opens, bool(tools), arguments and json.dumps(arguments, default=str)), seen, tools, fill)
        if lost.calls:
            raise RowFault(f"the chat template leaves out tool calls: {', '.join(map(str, self.names_of(seen, lost.calls)))} (--chat-template names a different one)")
        if lost.turns: raise RowFault(left_out(seen[lost.turns[0]]["role"], lost.turns[0]))
        remarks, shown = lost.remarks, seen
        if arguments: remarks += tuple(("argument", a) for a in arguments if a not in variables and a != "documents")
        if way != AS_GIVEN:
            shown = by_way(seen, way)
            remarks += tuple(("role", a["role"], b["role"]) for a, b in zip(seen, shown) if a["role"] != b["role"])
        prefix = self.open_turn(shown[-1]) if continued else ""
        if continued: shown = [*shown[:-1], {**shown[-1], "content": prefix + END}]
        try:
            text = fill(shown, tools)
        except Exception as fault:  # a template may raise any exception
            raise RowFault(f"the chat template refuses it: {type(fault).__name__}: {fault}") from None
        if continued:
            text, found, _ = text.rpartition(END)
            if not found: raise RowFault("the chat template leaves out the last message, which is to be continued")
        return Rendered(text, prefix, remarks)

    @staticmethod
    def open_turn(message):
        content = joined_parts(message.get("content"))
        if message["role"] != "assistant" or not isinstance(content, str) or not content or message.get("tool_calls"):
            raise RowFault("only an assistant's last message, with text and without tool calls, can be continued")
        return content

    @staticmethod
    def names_of(messages, places):
        return [((messages[i]["tool_calls"][j] or {}).get("function") or {}).get("name") for i, j in places]

    def settle(self, setting, messages, tools, fill):
        """(way, what it loses) for a conversation of this shape: the first of the ways that lose least, found with marks in place of all
        texts. If a template refuses all marks, the first way is used unchecked."""
        shape = str(setting), shape_of(messages)
        if shape in self.shapes: return self.shapes[shape]
        marked, marked_tools = mark_messages(messages), mark_tools(tools)
        best = None
        for order, way in enumerate(ways(messages)):
            try:
                text = fill(by_way(marked, way), marked_tools)
            except Exception:  # refused; another way may be accepted
                continue
            lost = survey(marked, marked_tools, text)
            rank = len(lost.calls), len(lost.turns), len(lost.remarks), text.count("None"), order
            if best is None or rank < best[0]: best = rank, (way, lost)
        found = best[1] if best else (AS_GIVEN, survey([], None, ""))
        if len(self.shapes) < MOST_SHAPES: self.shapes[shape] = found
        return found


def left_out(role, place):
    meant = likely_role(role)
    cure = f"is it {meant}?" if meant else "roles are system, user, assistant and tool"
    return f"the chat template leaves out message {place + 1}, of role {short(role)}, so that the model would not see it; {cure}"


def shape_of(messages):
    """Everything that decides which branches of a template a conversation takes, except the texts themselves."""
    def kind(value):
        if isinstance(value, str): return "text" if value.strip() else "blank"
        return len(value) if isinstance(value, (list, tuple)) else value if value is None else type(value).__name__
    return tuple([(m["role"], *[(k, kind(v)) for k, v in m.items() if k != "role"]) for m in messages])
