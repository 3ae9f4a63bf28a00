"""Reads tool calls as each family of models writes them, and returns OpenAI's tool_calls. What cannot be read stays content."""
import json
import re

# Words by which a chat template is recognised, in the order in which they are searched, and the reader of its calls.
STYLES = (("<｜tool▁calls▁begin｜>", "deepseek"), ("<|tool_calls_section_begin|>", "kimi"), ("[TOOL_CALLS]", "mistral"),
          ("<minimax:tool_call>", "invoke"), ("｜DSML｜", "invoke"), ("<arg_key>", "glm"), ("<function=", "coder"), ("<tool_call>", "hermes"))


class Malformed(Exception):
    """The text begins a call but contains no readable one."""


def style_of(template): return next((style for mark, style in STYLES if mark in template), None)


def as_json(text):
    """Arguments as JSON text of an object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed from None
    return arguments_of(value)


def arguments_of(value):
    if isinstance(value, str): return as_json(value)
    if not isinstance(value, dict): raise Malformed
    return json.dumps(value, ensure_ascii=False)


def named(value):
    """(name, arguments, id) of {"name": ..., "arguments": {...}}."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str): raise Malformed
    return value["name"], arguments_of(value.get("arguments", value.get("parameters", {}))), value.get("id")


def typed(value, kind):
    """An argument that is written as text, converted to the type in the tool's schema."""
    if kind == "string": return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        if value in ("True", "False", "None"): return {"True": True, "False": False, "None": None}[value]
        return value


def types_of(tools, name):
    """{argument: type} of a tool, if the row has its tools."""
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function", tool) if isinstance(tool, dict) else {}
        if isinstance(function, dict) and function.get("name") == name:
            parameters = function.get("parameters")
            properties = parameters.get("properties") if isinstance(parameters, dict) else None
            return {n: p.get("type") for n, p in properties.items() if isinstance(p, dict)} if isinstance(properties, dict) else None
    return None


def with_types(name, pairs, tools):
    kinds = types_of(tools, name)
    values = {k: typed(v, (kinds.get(k) if kinds is not None else None)) for k, v in pairs}
    return name, json.dumps(values, ensure_ascii=False), None


def blocks_of(text, begin, end):
    """(text before, the blocks, text after). Every block must have its end."""
    at = text.find(begin)
    if at < 0: raise Malformed
    before, rest, blocks = text[:at], text[at:], []
    while rest.lstrip().startswith(begin):
        body, found, rest = rest.lstrip()[len(begin):].partition(end)
        if not found: raise Malformed
        blocks.append(body)
    return before, blocks, rest


def section_of(text, begin, end):
    """(text before, text within, text after). The end may have been a stop string."""
    before, _, rest = text.partition(begin)
    within, _, behind = rest.partition(end)
    return before, within, behind


def hermes(text, tools):
    before, blocks, behind = blocks_of(text, "<tool_call>", "</tool_call>")
    return before, [coder_call(b, tools) if "<function=" in b else named(loaded(b)) for b in blocks], behind


def loaded(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed from None


def coder_call(block, tools):
    found = re.fullmatch(r"\s*<function=([^>\n]+)>(.*)</function>\s*", block, re.S)
    if not found: raise Malformed
    name, body = found.groups()
    pairs = re.findall(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", body, re.S)
    if re.sub(r"<parameter=[^>\n]+>.*?</parameter>", "", body, flags=re.S).strip(): raise Malformed
    return with_types(name.strip(), pairs, tools)


def glm(text, tools):
    before, blocks, behind = blocks_of(text, "<tool_call>", "</tool_call>")
    calls = []
    for block in blocks:
        name, found, rest = block.partition("<arg_key>")
        pairs = re.findall(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", found + rest, re.S)
        if not re.fullmatch(r"[\w.:-]+", name.strip()) or (found and not pairs): raise Malformed
        calls.append(with_types(name.strip(), [(k.strip(), v) for k, v in pairs], tools))
    return before, calls, behind


# Marks around all calls, around one call, and between its parts.
DEEPSEEK = (("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"), ("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"), "<｜tool▁sep｜>")
KIMI = (("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"), ("<|tool_call_begin|>", "<|tool_call_end|>"),
        "<|tool_call_argument_begin|>")


def in_sections(text, marks, call_of):
    """Calls between such marks. call_of makes one call from the text before and after the mark between its parts."""
    around_all, around_one, between = marks
    before, section, behind = section_of(text, *around_all)
    calls = []
    for body in blocks_of(section, *around_one)[1]:
        first, found, rest = body.partition(between)
        if not found: raise Malformed
        calls.append(call_of(first, rest))
    return before, calls, behind


def deepseek_call(first, rest):
    """V3 and R1 write the word function, then the name and fenced arguments; V3.1 the name, then the arguments."""
    fenced = re.fullmatch(r"\s*([^\n]+)\n```json\n(.*?)\n```\s*", rest, re.S)
    return (fenced.group(1).strip(), as_json(fenced.group(2)), None) if fenced else (first.strip(), as_json(rest), None)


def kimi_call(ident, rest):
    name = re.fullmatch(r"\s*(?:functions\.)?([\w.-]+?)(?::\d+)?\s*", ident)
    if not name: raise Malformed
    return name.group(1), as_json(rest), ident.strip()


def deepseek(text, tools): return in_sections(text, DEEPSEEK, deepseek_call)


def kimi(text, tools): return in_sections(text, KIMI, kimi_call)


def mistral(text, tools):
    before, *parts = text.split("[TOOL_CALLS]")
    calls = []
    for part in parts:
        if "[ARGS]" in part:
            name, _, arguments = part.partition("[ARGS]")
            name, _, ident = name.partition("[CALL_ID]")
            calls.append((name.strip(), as_json(arguments), ident.strip() or None))
        elif re.match(r"\s*[\w.-]+\s*\{", part):
            name, brace, rest = part.partition("{")
            calls.append((name.strip(), as_json(brace + rest), None))
        else:
            listed = loaded(part)
            if not isinstance(listed, list): raise Malformed
            calls += [named(one) for one in listed]
    return before, calls, ""


def invoke(text, tools):
    """MiniMax and DeepSeek V3.2: elements with name and parameters."""
    found = re.search(r"<(minimax:tool_call|｜DSML｜(?:function|tool)_calls)>(.*?)</\1>", text, re.S)
    if not found: raise Malformed
    calls = []
    for name, body in re.findall(r"<(?:｜DSML｜)?invoke name=\"?([^\">]+)\"?>(.*?)</(?:｜DSML｜)?invoke>", found.group(2), re.S):
        pairs = re.findall(r"<(?:｜DSML｜)?parameter name=\"?([^\">]+?)\"?((?: string=\"\w+\")?)>(.*?)</(?:｜DSML｜)?parameter>", body, re.S)
        said = {k: typed(v, "string" if "true" in how else (types_of(tools, name) or {}).get(k)) for k, how, v in pairs}
        calls.append((name, json.dumps(said, ensure_ascii=False), None))
    if not calls: raise Malformed
    return text[:found.start()], calls, text[found.end():]


READERS = {"deepseek": deepseek, "kimi": kimi, "mistral": mistral, "invoke": invoke, "glm": glm, "coder": hermes, "hermes": hermes}
BEGINS = {"deepseek": DEEPSEEK[0][0], "kimi": KIMI[0][0], "mistral": "[TOOL_CALLS]", "glm": "<tool_call>",
          "coder": "<tool_call>", "hermes": "<tool_call>"}


def begins_a_call(text, style):
    return ("<minimax:tool_call>" in text or "｜DSML｜" in text) if style == "invoke" else BEGINS[style] in text


def calls_in(text, style, tools):
    """(content, [(name, arguments, id)]) of an answer. Malformed if a call is begun and cannot be read."""
    before, calls, behind = READERS[style](text, tools)
    if not calls: raise Malformed
    return "\n".join(part.strip() for part in (before, behind) if part.strip()), calls
