"""The keys of messages in a Parquet file, where all rows have one shape: decided at the start, from everything that may occur."""
from ...run_files import reading
from ..answers.answers import opened_thought
from ..layout import BLOCK_ROWS

OF_TOOLS = ("tool_calls", "tool_call_id", "name")


def message_fields(options, types, parts):
    """Keys besides role and content."""
    if not {"messages", "conversations"} & set(types.values()): return ()
    found = set()
    for part in parts:
        if not options.whole_text and (part.answers.may_think() or opens_thought(part)): found.add("reasoning_content")
        if "messages" in part.source.carried: found |= keys_in(part.source, "messages", ("reasoning_content", *OF_TOOLS))
        if "tools" in part.source.carried and not options.whole_text and keys_in(part.source, "tools", ("name",)): found.add("tool_calls")
    if "tool_calls" in found: found |= {"tool_call_id", "name"} if "messages" in part.source.carried else set()
    return tuple(name for name in ("reasoning_content", *OF_TOOLS) if name in found)


def opens_thought(part):
    """Decided by the run's first prompt."""
    prompts = part.source.prompts
    if not prompts or "prompt" not in prompts.group or not part.source.outputs.rows: return False
    file = part.source.outputs.files[0]
    with reading(file.filename): first = int(file["completions/prompt_index"][0])
    return any(opened_thought(text) for text in prompts.texts(first, 1))


def keys_in(source, column, names):
    """Which of these keys occur in the JSON of a carried column."""
    marks, found = {name: f'"{name}"'.encode() for name in names}, set()
    for file in source.outputs.files:
        with reading(file.filename):
            item = file["carry"][column]
            for first in range(0, len(item), BLOCK_ROWS):
                block = b"".join(v if isinstance(v, bytes) else str(v).encode() for v in item[first:first + BLOCK_ROWS].tolist())
                found |= {name for name, mark in marks.items() if mark in block}
    return found
