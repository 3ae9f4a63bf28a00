"""Turns of a conversation in the forms of common data sets: OpenAI's messages, ShareGPT's conversations, Alpaca's fields."""
import json

from ...common import Fault, short, text_of_content

ROLES = {"system": "system", "developer": "system", "user": "human", "assistant": "gpt", "tool": "observation", "function": "observation"}


def turns_before(row, carried):
    """The messages before the answer. An assistant's turn that the prompt leaves open is the beginning of the answer."""
    messages = row["messages"] if carried else [{"role": "user", "content": row["prompt"]}]
    if not isinstance(messages, list) or not all(isinstance(m, dict) and has_calls(m.get("tool_calls")) for m in messages):
        raise Fault(f"prompt {row['prompt_index']}: its column messages is not a list of messages: leave the prompt out, or use --format rows")
    messages = [{k: v for k, v in m.items() if v is not None} for m in messages]
    if row.get("assistant_prefix") and messages and messages[-1].get("role") == "assistant": messages.pop()
    return messages


def has_calls(calls):
    """Whether tool_calls has the expected form, or is empty."""
    return calls is None or isinstance(calls, list) and all(isinstance(c, dict) and isinstance(c.get("function", {}), dict) for c in calls)


def assistant_turn(answer):
    turn = {"role": "assistant"}
    if answer.reasoning is not None: turn["reasoning_content"] = answer.reasoning
    turn["content"] = answer.content
    if answer.calls: turn["tool_calls"] = answer.calls
    return turn


def text_of_turn(message):
    text = text_of_content(message.get("content"))
    if text is None:
        raise Fault(f"a message's content has parts that are not text ({short(message['content'])}), which this format cannot hold: --format messages "
                    "to JSONL keeps it")
    return text


def plain_call(call):
    function = call.get("function", call)
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            pass
    return {"name": function.get("name"), "arguments": arguments}


def conversation(messages):
    """ShareGPT's form: from, value. Tool calls are turns of their own, from function_call."""
    out = []
    for message in messages:
        role, text = message.get("role"), text_of_turn(message)
        calls = [plain_call(c) for c in message.get("tool_calls") or []]
        turn = {"from": ROLES.get(role, role), "value": text}
        if message.get("reasoning_content"): turn["reasoning_content"] = message["reasoning_content"]
        if text or not calls: out.append(turn)
        if calls:
            made = {"from": "function_call", "value": json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False)}
            if "reasoning_content" in turn and not text: made["reasoning_content"] = turn["reasoning_content"]
            out.append(made)
    return out


def alpaca(messages):
    """Alpaca's fields of a conversation whose last turn is the answer; None if it has no such form (tools, two turns of one side)."""
    system = "\n".join(text_of_turn(m) for m in messages if m.get("role") in ("system", "developer"))
    turns = [m for m in messages if m.get("role") not in ("system", "developer")]
    fits = len(turns) % 2 == 0 and all(m.get("role") == ("user", "assistant")[i % 2] and not m.get("tool_calls") for i, m in enumerate(turns))
    if not turns or not fits: return None
    texts = [text_of_turn(m) for m in turns]
    return {"instruction": texts[-2], "input": "", "output": texts[-1], "system": system,
            "history": [[texts[i], texts[i + 1]] for i in range(0, len(texts) - 2, 2)]}
