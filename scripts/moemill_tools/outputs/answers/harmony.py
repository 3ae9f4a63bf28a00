"""gpt-oss's channels: `analysis` is reasoning, `final` the answer, `commentary` to=functions.NAME a tool call."""
import json
import re

CHANNELS = ("analysis", "commentary", "final")
MARKS = ("<|channel|>", "<|message|>", "<|start|>")
HEADER = ("<|channel|>", "<|constrain|>")  # markers that continue a message's head; every different marker begins its body


def messages_of(pieces, opened):
    """[(head, body, closed)] of an answer. `opened` is the channel whose message the prompt has begun, or ''."""
    out, head, body, within = [], [opened], [], bool(opened)
    def finish(closed):
        if within or body: out.append(("".join(head), "".join(body), closed))
    if pieces and not pieces[0][0] and not within: head, within = ["final"], True  # the beginning has no marker, because the prompt opened it
    for marker, text in pieces:
        if not marker: (body if within else head).append(text)
        elif text == "<|start|>" or within:
            finish(text in ("<|end|>", "<|return|>", "<|call|>"))
            head, body, within = [], [], False
        elif text in HEADER: head.append(" ")
        elif any(c in "".join(head).split() for c in CHANNELS): within = True  # <|message|>, or what the model wrote instead
    finish(False)
    return out


def channels(pieces, opened=""):
    """(reasoning, answer or None, [(name, arguments)], unreadable calls, which stay in the answer) of an answer in channels."""
    thoughts, answers, calls, malformed = [], [], [], 0
    for head, body, closed in messages_of(pieces, opened):
        words = head.split()
        to = next((w for w in words if w.startswith("to=")), "")
        name = re.sub(r"^to=(functions\.)?", "", to)
        if name and (closed or body.rstrip().endswith("}")) and is_object(body): calls.append((name, body.strip()))
        elif "analysis" in words: thoughts.append(body)
        elif name or "commentary" in words or "final" in words:
            answers.append(body)
            malformed += bool(name)
    return "\n".join(thoughts), "\n".join(answers) if answers else None, calls, malformed


def is_object(text):
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def opened_by(prompt):
    """The channel of a message that the prompt leaves open, or ''."""
    found = re.search(r"<\|channel\|>(\w+)[^<]*<\|message\|>[^<]*$", prompt[-4096:])
    return found.group(1) if found else ""
