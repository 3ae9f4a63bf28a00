"""Decides what the rows are, where their prompts and ids come from, and what becomes of their columns."""
import pathlib

from ..common import Fault, short
from .reading.batch import batch_source, flatten_batch
from .chat.chat import Chat
from .chat.column_template import ColumnTemplate
from .sampling.names import SAME, near_setting
from .sampling.nested import PARAMETERS, without_objects
from .sampling.settings import RESERVED, SAMPLING, is_asked, is_wide
from .chat.special_tokens import special_texts
from .values import RowFault

# Columns that are prompts without an option, and their kinds.
PROMPTS = {"prompt_token_ids": "tokens", "messages": "messages", "conversations": "messages", "conversation": "messages",
           "prompt": "text", "instruction": "alpaca"}
NO_PROMPTS = ("no column is named prompt or messages; {}. Name one with --prompt-column, --messages-column, or make it with --template")
# Columns that belong to their rows' conversations; --drop therefore also prevents their use.
CHAT_COLUMNS = ("system", "tools", "chat_template_kwargs", "continue_final_message", "add_generation_prompt", "documents",
                "add_special_tokens")
# Columns that a prompt of plain text or token ids does not use.
OF_TURNS = tuple(name for name in CHAT_COLUMNS if name != "add_special_tokens")


# Columns that prompts.py makes from conversations.
OF_ANY_CHAT = ("messages", "dropped_answer", "assistant_prefix")


def datasets_of(names, reserved):
    """{column: dataset}. A name that HDF5 accepts is kept and reserved; the other names are changed after that."""
    def plain(name): return name.replace("/", "_").strip(". ") or "column"
    targets = {name: name for name in names if plain(name) == name and name not in reserved}
    used = set(targets)
    for name in names:
        if name in targets: continue
        target = "input_" + plain(name) if plain(name) in reserved else plain(name)
        while target in used: target += "_"
        used.add(target)
        targets[name] = target
    return {name: targets[name] for name in names}


def holds_messages(value): return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def holds_tokens(value): return isinstance(value, list) and bool(value) and all(type(v) is int for v in value)


def has_open_turn(value):
    """Whether the last message may have the key `prefix` (DeepSeek, Mistral) or `partial` (Kimi), which leaves it open."""
    if isinstance(value, str): return '"prefix"' in value or '"partial"' in value
    return holds_messages(value) and isinstance(value[-1], dict) and bool(value[-1].get("prefix") or value[-1].get("partial"))


class Plan:
    def __init__(self, options):
        self.options = options
        self.renames, self.given = dict(options.map), set()  # given names are those before --map
        for old, new in options.map:
            if self.renames[old] != new or list(self.renames.values()).count(new) > 1:
                raise Fault(f"--map {old}={new}: one of the names is mapped twice")
        self.constants = {SAME.get(name, name): value for name, value in options.set}
        self.form = self.chat = self.template = self.id_column = None
        self.source = None  # (kind, column) for all rows; ("rows", None) if each row decides by its columns
        self.begins = None  # texts of the tokens that belong before a prompt; None if the model is not known
        self.continues = bool(options.continue_final_message or options.assistant_prefix)  # whether any row may leave a turn open
        self.kinds = set()  # the kinds that rows actually have
        self.served = set()  # (kind, column) of each row
        self.columns, self.id_types = {}, set()
        self.called = {}  # {setting: names under which rows have it}
        self.wide = set()  # settings with values of 2^63 or more
        self.beside = set(CHAT_COLUMNS) - set(options.drop)  # the settings that any row has, once all rows are read

    def form_of(self, rows):
        """What the rows are: lines of a batch file if any has a custom_id and a body, or a custom_id and no prompt."""
        options, given = self.options, {self.renames.get(k, k) for r in rows for k in r}
        has_prompt = options.template or options.prompt_column or options.messages_column or given & set(PROMPTS)
        if any("custom_id" in r and (isinstance(r.get("body"), dict) or not has_prompt) for r in rows): return "batch"
        return "rows" if rows else None

    def flat(self, row):
        try:
            if isinstance(row, RowFault): return row
            if self.form == "batch": row = flatten_batch(row)
            if self.renames:
                self.given |= row.keys()
                row = {self.renames.get(k, k): v for k, v in row.items()}
            objects = [name for name in PARAMETERS if name in row and self.takes_within(name)]
            if objects: row = without_objects(row, objects, self.called)
            if not SAME.keys().isdisjoint(row): row = self.in_own_names(row)
            if self.constants: row = {**row, **self.constants}
            return row
        except RowFault as fault:
            fault.custom_id = row.get("custom_id")
            return fault

    def takes_within(self, name):
        """Whether the settings in such an object are used, which they are unless an option declares it data."""
        return name in PARAMETERS and name not in self.options.drop and name not in (self.options.keep or ())

    def in_own_names(self, row):
        """Renames settings of other programs to moemill's names, unless an option decides otherwise."""
        out = dict(row)
        for other in SAME.keys() & row.keys() - set(self.options.drop) - set(self.options.keep or ()):
            setting, value = SAME[other], out.pop(other)
            mine = out.get(setting)
            if mine in (None, "") or mine != mine: out[setting] = value
            elif value not in (None, "", mine) and value == value:
                raise RowFault(f"has {setting} {short(mine)} and {other} {short(value)}, which are the same setting: --drop one of them")
            self.called.setdefault(setting, set()).add(other)
        return out

    def name_ids(self, rows, stem, places):
        """Makes ids differ between files: the file's name before the row's id or number."""
        name = self.options.id_column or "id"
        for row, place in zip(rows, places):
            if isinstance(row, dict): row[name] = f"{stem}:{place if row.get(name) in (None, '') else row[name]}"

    def settle(self, rows):
        """Decides by the good rows of the first block where prompts and ids come from."""
        options, row = self.options, {}
        for each in rows: row.update((k, v) for k, v in each.items() if row.get(k) is None)  # its first value that is not null
        names = f"the first rows have: {', '.join(row)}"
        if options.on_error == "fail": self.check_named(row, names)
        if options.template:
            self.source, self.template = ("template", None), ColumnTemplate(options.template)
        elif options.messages_column: self.source = ("messages", options.messages_column)
        elif options.prompt_column: self.source = ("text", options.prompt_column)
        elif self.form == "batch": self.source = ("rows", None)
        elif options.on_error == "skip" or any(name in row for name in PROMPTS): self.source = ("rows", None)
        else: raise Fault(NO_PROMPTS.format(names))
        if options.id_column != "none": self.id_column = options.id_column or ("id" if "id" in row else None)

    def check_named(self, columns, names):
        for flag in ("prompt_column", "messages_column", "id_column"):
            name = getattr(self.options, flag)
            if name and name not in columns and not (flag == "id_column" and name == "none"):
                raise Fault(f"--{flag.replace('_', '-')} {name}: there is no such column; {names}")

    @staticmethod
    def prompts_of(row):
        """The columns of a row that could be its prompt. Instructions beside a prompt are an ordinary column."""
        found = [name for name in PROMPTS if name in row and row[name] is not None and row[name] != ""]
        if "prompt_token_ids" in found: return found[:1]
        if "conversation" in found and not holds_messages(row["conversation"]): found.remove("conversation")  # the row's number or name
        if len(found) > 1 and not isinstance(row.get("prompt"), str): found = [name for name in found if name != "prompt"]
        if len(found) > 1 and found[-1] == "instruction": found.pop()
        return found

    def source_of(self, row):
        """(kind, column) of one row's prompt: messages, text, template, tokens or alpaca."""
        kind, name = self.source
        if kind == "rows" and self.form == "batch":
            kind, name = ("tokens", "prompt_token_ids") if row.get("prompt_token_ids") is not None else batch_source(row)
        elif kind == "rows":
            found = self.prompts_of(row)
            if len(found) > 1: raise RowFault(f"has {' and '.join(found)}: choose one with --messages-column or --prompt-column")
            if not found: found = [n for n in PROMPTS if n in row and (n != "instruction" or "prompt" not in row)]
            if not found: raise RowFault("has neither prompt nor messages (--prompt-column or --messages-column names it)")
            kind, name = PROMPTS[found[-1]], found[-1]
        if kind == "text" and holds_tokens(row.get(name)): return "tokens", name
        is_list = kind == "text" and self.form != "batch" and holds_messages(row.get(name))
        return ("messages", name) if is_list else (kind, name)

    def look_at(self, rows):
        """Learns the kinds of the prompts. The chat template is read when the first row needs it."""
        for row in rows:
            try:
                kind, name = self.source_of(row)
            except RowFault:
                continue
            if is_wide(row.get("seed")): self.wide.add("seed")
            self.kinds.add(kind)
            self.served.add((kind, name))
            if not self.continues:
                self.continues = row.get("continue_final_message") not in (None, False, "") or has_open_turn(row.get(name))
            is_chat = kind == "messages" or kind == "alpaca" and (self.options.model or self.options.chat_template) or (
                kind != "tokens" and self.turns_text())
            if is_chat and not self.chat: self.chat = Chat(self.options)
        if "tokens" in self.kinds and (self.turns_text() or self.kinds - {"tokens"}):
            raise Fault("token ids cannot be made a user turn (--user-turn, --system, --assistant-prefix)" if self.turns_text() else
                        "some rows have token ids as their prompt and others a text: a prompts.h5 holds one or the other; make two files")

    def finish_looking(self):
        """Called after the first reading: finds the tokens that belong before a prompt if a model is given."""
        names = f"there are: {', '.join(self.columns)}"
        self.check_named(self.columns, names)
        if self.source == ("rows", None) and self.form != "batch" and not self.columns.keys() & PROMPTS.keys(): raise Fault(NO_PROMPTS.format(names))
        self.beside &= set(self.columns)
        if not self.options.model: return
        if self.chat: self.begins = self.chat.templates.begins
        elif "tokens" not in self.kinds: self.begins = special_texts(pathlib.Path(self.options.model))

    def turns_text(self):
        """Whether a plain prompt becomes a user's turn."""
        return bool(self.options.user_turn or self.options.system or self.options.assistant_prefix)

    def used_settings(self):
        """Columns that are settings of their prompts, from the input (unless --drop names them) or from --set."""
        return [name for name in SAMPLING if name in self.constants or
                name in self.columns and name not in self.options.drop]

    def of_chat(self, row, name):
        """A row's value in a column of its conversation; None if --drop names the column."""
        value = row.get(name) if name in self.beside else None
        return None if value == "" else value

    def idle_beside(self, row, kind):
        """Columns of a row that only a conversation would use, in a row whose prompt is not one."""
        used = self.template.names if kind == "template" else ()
        return [name for name in OF_TURNS if name in self.beside and name not in used and is_asked(name, row.get(name))]

    def idle_options(self):
        """Options that apply only to conversations, when no row is one."""
        if self.chat: return []
        names = ("chat_template", "template_arg", "tools", "drop_last_answer", "continue_final_message", "no_generation_prompt", "keep_nulls",
                 "drop_nulls", "date")
        return ["--" + name.replace("_", "-") for name in names if getattr(self.options, name)]

    def idle_variables(self, carried):
        """Columns with the name of a variable of the chat template, which can be set only by chat_template_kwargs and --template-arg."""
        if not self.chat or self.form == "batch": return []
        known = self.chat.templates.variables() - {"messages", *self.beside - {"documents"}, *self.chat.templates.arguments}
        return [name for name in carried if name in known]

    def carried_names(self, names):
        """{column of the input: dataset of the output} for carried columns."""
        used = {self.id_column, "add_special_tokens", *SAMPLING}
        if "logprobs" in self.used_settings(): used.add("top_logprobs")  # the number of samples in the chat API
        # These are stored already, as the prompt or as `messages`; but a question that became a user turn is still stored as its column.
        if self.source[0] != "rows": used |= {self.source[1]} if self.source[0] != "text" or not self.turns_text() else set()
        else: used |= {n for kind, n in self.served if kind != "alpaca" and (kind != "text" or not self.turns_text())}
        if self.options.keep is not None: names = [n for n in names if n in self.options.keep]
        return datasets_of([n for n in names if n not in used and n not in self.options.drop], {*RESERVED, *(OF_ANY_CHAT if self.chat else ())})

    def check_names(self):
        """Refuses misspelt names, because such an option would have no effect."""
        for old, new in self.renames.items():
            if old not in self.given:
                raise Fault(f"--map {old}={new}: there is no column {old}; there are: {', '.join(sorted(self.given))}")
            if new in self.given and new not in self.renames:
                raise Fault(f"--map {old}={new}: the column {new} exists already; map it to a different name too")
        for name in [*self.options.drop, *(self.options.keep or [])]:
            if name not in self.columns: raise Fault(f"--drop/--keep {name}: there is no such column; there are: "
                                                     f"{', '.join(self.columns)}")
        for name, target in self.carried_names(list(self.columns)).items():
            setting = near_setting(target, self.columns[name].kind())
            if not setting or name in (self.options.keep or ()): continue
            if name in self.constants: raise Fault(f"--set {name}: is not a setting; did you mean {setting}?")
            raise Fault(f"column {name}: its name is almost that of the setting {setting}, and moemill refuses such columns: --map "
                        f"{name}={setting} if it is that; if it is data, another name, --map {name}=my_{name}, or none, --drop {name}")
