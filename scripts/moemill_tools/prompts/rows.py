"""A row of any form becomes a flat dictionary of columns."""
from ..common import short
from .values import JSON, RowFault


ENDPOINTS = ("/chat/completions", "/completions", "/responses")
PROMPTS = ("prompt_token_ids", "messages", "conversations", "prompt")  # columns that are prompts without an option
TEXT_TYPES = ("text", "input_text", "output_text")  # of parts of a message's content


def flatten_batch(row):
    """A line of an OpenAI batch file."""
    body, url = row.get("body"), str(row.get("url") or "").rstrip("/")
    if "custom_id" not in row or not isinstance(body, dict):
        raise RowFault("has no custom_id or no body, but a file with custom_id and without prompts is taken for an OpenAI batch "
                       "file")
    if not isinstance(row["custom_id"], (str, int)): raise RowFault("custom_id is neither text nor a whole number")
    if url and not url.endswith(ENDPOINTS): raise RowFault(f"url {url} asks for no text; known are /v1{', /v1'.join(ENDPOINTS)}")
    kind = "/completions" if body.get("messages") is None else "/chat/completions"
    if url.endswith("/responses") or "input" in body and not {"messages", "prompt"} & body.keys():
        body, kind = from_responses(body), "/responses"
    flat = {"id": row["custom_id"]}
    flat.update((k, v) for k, v in row.items() if k not in ("custom_id", "body"))
    flat.update(body)
    if not url: flat["url"] = "/v1" + kind  # outputs.py writes results of that kind
    if flat.get("max_completion_tokens") is not None: flat["max_tokens"] = flat.pop("max_completion_tokens")
    if flat.get("top_k") == -1: flat["top_k"] = 0  # vLLM's "off"
    return flat


def from_responses(body):
    """The body of /v1/responses under the names of /v1/chat/completions."""
    for name in ("previous_response_id", "conversation", "prompt"):
        if body.get(name) is not None: raise RowFault(f"body.{name} names what only OpenAI has; put its messages into input")
    items, messages = body.get("input"), []
    if isinstance(items, str): items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items: raise RowFault(f"body.input must be text or a list of messages, is {short(items)}")
    if body.get("instructions"): messages.append({"role": "system", "content": body["instructions"]})
    for item in items:
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message": messages.append({"role": item.get("role"), "content": joined_parts(item.get("content"))})
        elif kind == "function_call":
            if messages[-1:] == [] or messages[-1]["role"] != "assistant": messages.append({"role": "assistant", "content": ""})
            messages[-1].setdefault("tool_calls", []).append(
                {"id": item.get("call_id"), "type": "function", "function": {k: item.get(k) for k in ("name", "arguments")}})
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": joined_parts(item.get("output"))})
        else: raise RowFault(f"body.input has {short(item)}, which is no message and no function call")
    done = ("input", "instructions", "max_output_tokens", "tools", "text", "reasoning", "include")
    chat = {"messages": messages, **{k: v for k, v in body.items() if k not in done}}
    if body.get("max_output_tokens") is not None: chat["max_tokens"] = body["max_output_tokens"]
    for name, kind in (("tools", list), ("text", dict), ("reasoning", dict), ("include", list)):
        if not isinstance(body.get(name) or kind(), kind): raise RowFault(f"body.{name} is {short(body[name])}")
    if body.get("tools"):
        if not all(isinstance(t, dict) and t.get("type") == "function" for t in body["tools"]):
            raise RowFault(f"body.tools has others than functions: {short(body['tools'])}")
        chat["tools"] = [t if "function" in t else {"type": "function", "function": {k: v for k, v in t.items() if k != "type"}}
                         for t in body["tools"]]
    form, effort = (body.get("text") or {}).get("format"), (body.get("reasoning") or {}).get("effort")
    if form and form != {"type": "text"}: chat["response_format"] = form
    if effort: chat["reasoning_effort"] = effort
    if "message.output_text.logprobs" in (body.get("include") or []): chat["logprobs"] = True
    return chat


def text_parts(content):
    """A list of parts as its texts alone, without the nulls that Parquet puts beside them."""
    for part in content:
        if not (isinstance(part, dict) and part.get("type", "text") in TEXT_TYPES and isinstance(part.get("text"), str)):
            raise RowFault(f"a message's content has {short(part)}, which is no text: moemill reads text only")
    return [{**{k: v for k, v in part.items() if v is not None}, "type": "text"} for part in content]


def joined_parts(content):
    return "\n".join(part["text"] for part in text_parts(content)) if isinstance(content, list) else content


SHAREGPT_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
                  "model": "assistant", "bot": "assistant", "system": "system", "tool": "tool", "observation": "tool",
                  "function_response": "tool"}


def from_sharegpt(turns):
    messages = []
    for turn in turns:
        if not isinstance(turn, dict) or "value" not in turn: return turns  # already role and content
        role = SHAREGPT_ROLES.get(turn.get("from"))
        if role is None: raise RowFault(f"conversation turn from {turn.get('from')!r} is unknown")
        messages.append({"role": role, "content": turn["value"]})
    return messages


def parsed(value, what):
    """Lists and objects that CSV and Parquet hold as JSON text."""
    if not isinstance(value, str): return value
    try:
        return JSON.decode(value)
    except ValueError as fault:
        raise RowFault(f"{what} is text that is not JSON: {fault}") from None


def checked_messages(value, what):
    messages = parsed(value, what)
    if isinstance(messages, list) and messages: messages = from_sharegpt(messages)
    if not isinstance(messages, list) or not messages:
        raise RowFault(f"{what} must be a list of at least one message, is {short(value)}")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RowFault(f"{what}: a message needs a role and content, one is {short(message)}")
    return messages


def batch_source(row):
    """Where a batch line's prompt stands: ("messages" or "text", column). With both, its url decides."""
    url = str(row.get("url") or "").rstrip("/")
    is_plain = url.endswith("/completions") and not url.endswith("/chat/completions")
    if row.get("messages") is not None and not (is_plain and row.get("prompt") is not None): return "messages", "messages"
    return "text", "prompt"
