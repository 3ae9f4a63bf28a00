"""Converts conversations in all forms to a list of messages as in the OpenAI API."""
import difflib

from ...common import short, text_of_part
from ..values import JSON, RowFault

REASONING = ("reasoning_content", "thinking", "reasoning")  # names for the same thing in vLLM, gpt-oss and OpenRouter
PLAIN_KEYS = {"role", "content", "tool_calls"}
SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
                  "model": "assistant", "bot": "assistant", "system": "system", "developer": "developer", "tool": "tool",
                  "observation": "tool", "function_response": "tool", "function_call": "assistant"}
# Names of roles that a template may not know, and the usual names with the same meaning.
MEANT_ROLES = {**SHAREGPT_ROLES, "developer": "system", "function": "tool", "ipython": "tool", "ai": "assistant"}


def likely_role(role):
    """The role that a misspelt name means, or None if none is similar."""
    letters = role.strip().lower()
    if letters in MEANT_ROLES: return MEANT_ROLES[letters]
    near = difflib.get_close_matches(letters, MEANT_ROLES, 1, 0.6) or [r for r in MEANT_ROLES if letters.startswith(r)]
    return MEANT_ROLES[near[0]] if near else None


def parsed(value, what):
    """Lists and objects that CSV and Parquet hold as JSON text."""
    if not isinstance(value, str): return value
    try:
        return JSON.decode(value)
    except (ValueError, RecursionError) as fault:
        raise RowFault(f"{what} is text that is not JSON: {fault}") from None


def text_parts(content):
    """A list of parts as its texts alone, without the nulls that Parquet adds to them."""
    parts = []
    for part in content:
        text = text_of_part(part)
        if text is None:
            raise RowFault(f"a message's content has {short(part)}, which is not text: moemill reads only text")
        parts.append({**{k: v for k, v in part.items() if v is not None and k != "refusal"}, "type": "text", "text": text})
    return parts


def joined_parts(content):
    return "\n".join(part["text"] for part in text_parts(content)) if isinstance(content, list) else content


def tool_calls_of(value):
    """The calls of a turn `function_call`: an object, or a list of several, possibly as JSON text."""
    calls = parsed(value, "a function_call turn")
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in calls):
        raise RowFault(f"a function_call turn must be an object with name and arguments, is {short(value)}")
    return [{"type": "function", "function": {"name": c["name"], "arguments": c.get("arguments", c.get("parameters", {}))}} for c in calls]


def from_sharegpt(turns):
    messages = []
    for turn in turns:
        if not isinstance(turn, dict) or "value" not in turn: return turns  # already has role and content
        role = SHAREGPT_ROLES.get(turn.get("from"))
        if role is None: raise RowFault(f"conversation turn from {turn.get('from')!r} is unknown; known are {', '.join(SHAREGPT_ROLES)}")
        if turn["from"] == "function_call": messages.append({"role": role, "tool_calls": tool_calls_of(turn["value"])})
        else: messages.append({"role": role, "content": turn["value"]})
    return messages


def plain_message(message):
    """A message without the forms that exist only in OpenAI's first API and in ShareGPT."""
    content = message.get("content")
    if not isinstance(content, (str, list, type(None))) and message["role"] != "function_call":
        raise RowFault(f"the content of a message is {short(content)}, must be text")
    if "content" not in message and message["role"] != "assistant":
        raise RowFault(f"a message of role {message['role']} has no content; it has {', '.join(message)}")
    if isinstance(calls := message.get("tool_calls"), str):
        message = {**message, "tool_calls": parsed(calls, "tool_calls") if calls.strip() else None}
    if message.keys() <= PLAIN_KEYS and message["role"] in ("user", "assistant", "system"): return message
    if message["role"] == "function_call" and isinstance(message.get("content"), (str, dict, list)):
        return {"role": "assistant", "tool_calls": tool_calls_of(message["content"])}
    if message["role"] == "observation": message = {**message, "role": "tool"}
    if isinstance(call := message.get("function_call"), dict) and not message.get("tool_calls"):
        message = {**message, "tool_calls": [{"type": "function", "function": call}]}
    if isinstance(refusal := message.get("refusal"), str) and message.get("content") in (None, "", []):
        message = {**message, "content": refusal}
    for name in ("audio", "images", "image", "videos"):
        if message.get(name): raise RowFault(f"a message has {name}, which is not text: moemill reads only text")
    return message


def checked_messages(value, what):
    """(messages, whether they were ShareGPT's turns)."""
    given = parsed(value, what)
    messages = from_sharegpt(given) if isinstance(given, list) and given else given
    if not isinstance(messages, list) or not messages:
        raise RowFault(f"{what} must be a list of at least one message, is {short(value)}")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RowFault(f"{what}: a message needs a role and content, one is {short(message)}")
    return [plain_message(m) for m in messages], messages is not given


def wrapped_tools(tools):
    """ShareGPT's list of bare functions as the list of tools that templates know."""
    return [{"type": "function", "function": t} if isinstance(t, dict) and "name" in t and "function" not in t else t for t in tools]


def without_nulls(value):
    """Lists and objects without the keys whose value is null: Parquet adds such keys to all rows if any row has them."""
    if isinstance(value, dict): return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, (list, tuple)) else value


def nulls_in_tools(messages, tools):
    """Whether a tool, or an argument of a call that is an object, contains a null."""
    lists = [m["tool_calls"] for m in messages if isinstance(m.get("tool_calls"), list)]
    calls = [call.get("function") for calls in lists for call in calls if isinstance(call, dict)]
    held = [tools, *(f.get("arguments") for f in calls if isinstance(f, dict))]
    return any(isinstance(v, (dict, list)) and without_nulls(v) != v for v in held)


def from_alpaca(row):
    """Messages made from instruction, input, history and system."""
    texts = {}
    for name in ("instruction", "input"):
        texts[name] = row.get(name) or ""
        if not isinstance(texts[name], str): raise RowFault(f"{name} is {short(texts[name])}, must be text")
    if not texts["instruction"] and not texts["input"]: raise RowFault("instruction is missing, null or empty")
    messages = []
    for turn in parsed(row.get("history") or [], "history"):
        if not isinstance(turn, (list, tuple)) or len(turn) != 2 or not all(isinstance(t, str) for t in turn):
            raise RowFault(f"history must be a list of [question, answer], holds {short(turn)}")
        messages += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
    return [*messages, {"role": "user", "content": "\n".join(filter(None, texts.values()))}]


ALPACA = ("Below is an instruction that describes a task{}. Write a response that appropriately completes the request.\n\n"
          "### Instruction:\n{}\n\n{}### Response:\n")


def alpaca_text(row):
    """The prompt of Stanford's Alpaca, for a model without a chat template."""
    from_alpaca(row)  # an error in the row's columns
    if row.get("history") not in (None, "", "[]", []) or row.get("system") not in (None, ""):
        raise RowFault("history and system need a chat template: --model DIR")
    given = row.get("input") or ""
    return ALPACA.format(", paired with an input that provides further context" if given else "", row.get("instruction") or "",
                         f"### Input:\n{given}\n\n" if given else "")


