"""Decides the names of the input's columns in rows, where the run's own columns have names too. Called once per job, for all its runs."""
from .layout import CHAT, FIXED, OF_FORMAT, OTHERS, RUN, SCORING, SPLIT


def own_names(options, sources):
    """Names of the columns that this job makes, for any input."""
    own = {*FIXED, *OTHERS, *OF_FORMAT.get(options.format, ())} - {"messages"}  # except the input's own column, which prompts.py carries
    if options.split or options.format in CHAT: own |= set(SPLIT)
    if any(source.scores_prompts() for source in sources): own |= set(SCORING)
    if len(sources) > 1: own.add(RUN)
    return own


def names_in_rows(names, taken):
    """{column of the input: its name in rows}. If the name is taken, input_ is put before it until it is free and no other column's
    name."""
    used, out = {*names, *taken}, {}
    for name in sorted(names):
        shown = name
        while name in taken and shown in used: shown = "input_" + shown
        used.add(shown)
        out[name] = shown
    return out


def call_columns(options, sources):
    """Gives the carried columns of all runs their names in rows, the same in each run."""
    names = names_in_rows({name for source in sources for name in source.carried}, own_names(options, sources))
    for source in sources: source.carried = {names[name]: name for name in source.carried}


def renamed(options, parts):
    """{column of the input: its name in rows} for renamed columns that matter to the user, because they are read or their own name was
    asked for."""
    asked, out = {*(options.columns or ()), *options.add, options.score}, {}
    for part in parts:
        after = part.columns.next_turn.needed if part.columns.next_turn else set()
        for shown, name in part.source.carried.items():
            if shown != name and (shown in part.columns.carried_used or name in asked | after): out[name] = shown
    return out
