"""Turns lines of an OpenAI batch file into flat rows of columns."""
from ...common import short
from ..chat.messages import joined_parts
from ..values import RowFault

ENDPOINTS = ("/chat/completions", "/completions", "/responses")


def flatten_batch(row):
    """A line of an OpenAI batch file."""
    body, url = row.get("body"), str(row.get("url") or "").rstrip("/")
    if "custom_id" not in row or not isinstance(body, dict):
        raise RowFault("has no custom_id or no body, but a file with custom_id and without prompts is taken for an OpenAI batch "
                       "file (in any other file --prompt-column NAME says where the prompt is)")
    if not isinstance(row["custom_id"], (str, int)): raise RowFault("custom_id is neither text nor a whole number")
    if url and not url.endswith(ENDPOINTS): raise RowFault(f"url {url} asks for no text; known are /v1{', /v1'.join(ENDPOINTS)}")
    kind = "/completions" if body.get("messages") is None else "/chat/completions"
    if url.endswith("/responses") or "input" in body and not {"messages", "prompt"} & body.keys():
        body, kind = from_responses(body), "/responses"
    flat = {"id": row["custom_id"]}
    flat.update((k, v) for k, v in row.items() if k not in ("custom_id", "body"))
    flat.update((k, v) for k, v in body.items() if k != "id")
    if not url: flat["url"] = "/v1" + kind  # outputs.py writes results of the same kind
    if flat.get("max_completion_tokens") is not None: flat["max_tokens"] = flat.pop("max_completion_tokens")
    if isinstance(flat.get("prompt"), list): flat["prompt"] = one_prompt(flat["prompt"])
    if flat.get("functions") and not flat.get("tools"):  # names of the API's first version
        if not isinstance(flat["functions"], list): raise RowFault(f"body.functions is {short(flat['functions'])}, must be a list")
        flat["tools"] = [{"type": "function", "function": f} for f in flat["functions"]]
    return flat


def one_prompt(prompts):
    """The contents of a list in body.prompt: one prompt as token ids, or a list of one prompt. Several prompts would need several ids."""
    if prompts and all(type(token) is int for token in prompts): return prompts
    if not prompts or not all(isinstance(p, (str, list)) for p in prompts):
        raise RowFault(f"body.prompt is {short(prompts)}, must be a text or a list of token ids")
    if len(prompts) == 1: return one_prompt(prompts[0]) if isinstance(prompts[0], list) else prompts[0]
    raise RowFault(f"body.prompt holds {len(prompts)} prompts: write a line for each, with a custom_id of its own (several answers to one "
                   "prompt are n)")


def from_responses(body):
    """The body of /v1/responses with the names of /v1/chat/completions."""
    for name in ("previous_response_id", "conversation", "prompt"):
        if body.get(name) is not None: raise RowFault(f"body.{name} refers to data that only OpenAI has; put its messages into input")
    for name, kind in (("tools", list), ("text", dict), ("reasoning", dict), ("include", list)):
        if not isinstance(body.get(name) or kind(), kind): raise RowFault(f"body.{name} is {short(body[name])}, must be {'a list' if kind is list else 'an object'}")
    items = body.get("input")
    if isinstance(items, str): items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items: raise RowFault(f"body.input must be text or a list of messages, is {short(items)}")
    done = ("input", "instructions", "max_output_tokens", "tools", "text", "reasoning", "include")
    system = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    chat = {"messages": system + messages_of_items(items), **{k: v for k, v in body.items() if k not in done}}
    if body.get("max_output_tokens") is not None: chat["max_tokens"] = body["max_output_tokens"]
    if body.get("tools"):
        if not all(isinstance(t, dict) and t.get("type") == "function" for t in body["tools"]):
            raise RowFault(f"body.tools has tools other than functions, which only OpenAI can call: {short(body['tools'])}")
        chat["tools"] = [t if "function" in t else {"type": "function", "function": {k: v for k, v in t.items() if k != "type"}}
                         for t in body["tools"]]
    text, effort = body.get("text") or {}, (body.get("reasoning") or {}).get("effort")
    if text.get("format"): chat["response_format"] = text["format"]
    if text.get("verbosity"): chat["verbosity"] = text["verbosity"]
    if effort: chat["reasoning_effort"] = effort
    included = body.get("include") or []
    if "message.output_text.logprobs" in included: chat["logprobs"] = True
    if others := [i for i in included if i != "message.output_text.logprobs"]: chat["include"] = others
    return chat


def messages_of_items(items):
    """Messages from the items of /v1/responses: calls and reasoning belong to the neighbouring assistant message."""
    messages, thought = [], None
    for item in items:
        kind = (item.get("type") or "message") if isinstance(item, dict) else None
        if kind == "reasoning" and item.get("content"):
            thought = joined_parts(item["content"])
            continue
        if kind == "message": messages.append({"role": item.get("role"), "content": joined_parts(item.get("content"))})
        elif kind == "function_call":
            if thought is not None or not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(
                {"id": item.get("call_id"), "type": "function", "function": {k: item.get(k) for k in ("name", "arguments")}})
        elif kind == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": joined_parts(item.get("output"))})
        else: raise RowFault(f"body.input has {short(item)}, which is neither a message nor a function call")
        if thought is not None and messages[-1]["role"] == "assistant":
            messages[-1]["reasoning_content"], thought = thought, None
    if thought is not None: raise RowFault("body.input ends with reasoning that no message follows")
    return messages


def batch_source(row):
    """The place of a batch line's prompt: ("messages" or "text", column). If it has both, its url decides."""
    url = str(row.get("url") or "").rstrip("/")
    is_plain = url.endswith("/completions") and not url.endswith("/chat/completions")
    if row.get("messages") is not None and not (is_plain and row.get("prompt") is not None): return "messages", "messages"
    return "text", "prompt"
