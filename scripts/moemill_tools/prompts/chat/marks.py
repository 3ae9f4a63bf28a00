"""Marks in place of the texts of a conversation show what a chat template leaves out."""
import collections
import json

from .messages import REASONING

# calls: (message, call) of tool calls missing from the prompt; turns: messages missing as a whole, because of their role; remarks: other
# missing parts, as tuples that begin with a word.
Lost = collections.namedtuple("Lost", "calls turns remarks")
ROLES = ("system", "developer", "user", "assistant", "tool")  # templates omit these on purpose, so a note reports them


def word(*places): return "Q7x" + "y".join(map(str, places)) + "zK"


def names_a_speaker(message):
    return message["role"] in ("user", "assistant", "system") and isinstance(message.get("name"), str) and bool(message["name"])


def mark_messages(messages):
    """The conversation with a unique word in place of each text and each tool call."""
    made = []
    for i, message in enumerate(messages):
        message = {k: word(i, "r") if k in REASONING and isinstance(v, str) and v.strip() else v for k, v in message.items()}
        content = message.get("content")
        if names_a_speaker(message): message["name"] = word(i, "n")
        if isinstance(content, str) and content.strip(): message["content"] = word(i)
        elif isinstance(content, list): message["content"] = [{**part, "text": word(i, j)} for j, part in enumerate(content)]
        if isinstance(calls := message.get("tool_calls"), list):
            message["tool_calls"] = [marked_call(call, word(i, "c", j)) for j, call in enumerate(calls)]
        if isinstance(call := message.get("function_call"), dict): message["function_call"] = {**call, "name": word(i, "c", 0)}
        made.append(message)
    return made


def marked_call(call, mark):
    """A tool call that is recognisable in a prompt even if a template writes only part of it."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict): return {**call, "name": mark} if isinstance(call, dict) and "name" in call else call
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        made = type(arguments)({**{k: mark if isinstance(v, str) else v for k, v in arguments.items()}, mark: mark})
        if getattr(arguments, "_text", None) is not None: made._text = json.dumps(made, ensure_ascii=False)
    else: made = mark if isinstance(arguments, str) else arguments
    return {**call, "function": {**function, "name": mark, "arguments": made}}


def mark_tools(tools):
    if not tools: return tools
    def marked(tool):
        if not isinstance(tool, dict): return tool
        if isinstance(tool.get("function"), dict): return {**tool, "function": {**tool["function"], "name": word("tools")}}
        return {**tool, "name": word("tools")}
    return [marked(tool) for tool in tools]


def survey(messages, tools, text):
    """The marks that a prompt does not contain."""
    calls, turns, remarks = [], [], []
    for i, message in enumerate(messages):
        content = message.get("content")
        parts = [p["text"] for p in content] if isinstance(content, list) else [content] if isinstance(content, str) else []
        marked = [p for p in parts if p.startswith("Q7x")]
        if marked and message["role"] not in ROLES and not any(w in text for w in (*marked, word(i, "r"), word(i, "c"))): turns.append(i)
        elif any(p not in text for p in marked): remarks.append(("content", message["role"]))
        if any(message.get(k) == word(i, "r") for k in REASONING) and word(i, "r") not in text: remarks.append(("reasoning",))
        if names_a_speaker(message) and word(i, "n") not in text: remarks.append(("name",))
        made = message.get("tool_calls") if isinstance(message.get("tool_calls"), list) else []
        calls += [(i, j) for j, call in enumerate(made) if (mark := word(i, "c", j)) in str(call) and mark not in text]
    if tools and word("tools") not in text: remarks.append(("tools",))
    return Lost(calls, turns, tuple(dict.fromkeys(remarks)))
