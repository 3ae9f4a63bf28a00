"""What the rows are, where their prompts and ids come from, and what becomes of their columns."""
from ..common import Fault
from .chat import Chat
from .column_template import ColumnTemplate
from .rows import PROMPTS, flatten_batch
from .settings import RESERVED, SAMPLING
from .values import RowFault


class Plan:
    def __init__(self, options):
        self.options = options
        self.renames, self.given = dict(options.map), set()  # given: names before --map
        for old, new in options.map:
            if self.renames[old] != new or list(self.renames.values()).count(new) > 1:
                raise Fault(f"--map {old}={new}: one of the names is mapped twice")
        self.constants = dict(options.set)
        self.form = self.source = self.chat = self.template = self.id_column = None
        self.columns, self.id_types = {}, set()

    def form_of(self, rows):
        """What the rows are: lines of a batch file where any has a custom_id and a body, or a custom_id and no prompt."""
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
            if self.constants: row = {**row, **self.constants}
            return row
        except RowFault as fault:
            fault.custom_id = row.get("custom_id")
            return fault

    def settle(self, rows):
        """By the good rows of the first block: where prompts and ids come from."""
        options, row = self.options, {}
        for each in rows: row.update((k, v) for k, v in each.items() if row.get(k) is None)  # its first value that is no null
        names = ", ".join(row)
        for flag in ("prompt_column", "messages_column", "id_column"):
            name = getattr(options, flag)
            if name and name not in row and not (flag == "id_column" and name == "none"):
                raise Fault(f"--{flag.replace('_', '-')} {name}: there is no such column; the first rows have: {names}")
        def holds_messages(value):
            return isinstance(value, list) and value and isinstance(value[0], dict)
        if options.template:
            self.source, self.template = ("template", None), ColumnTemplate(options.template)
        elif options.messages_column: self.source = ("messages", options.messages_column)
        elif options.prompt_column: self.source = ("text", options.prompt_column)
        elif row.get("prompt_token_ids") is not None: self.source = ("tokens", "prompt_token_ids")
        elif self.form == "batch": self.source = ("batch", None)  # each line by what it has
        else:
            chats = [c for c in ("messages", "conversations") if row.get(c) is not None]
            if len(chats) == 1 and not isinstance(row.get("prompt"), str): self.source = ("messages", chats[0])
            elif chats:
                raise Fault(f"the rows have {' and '.join(chats + ['prompt'] * ('prompt' in row))}: say which with "
                            "--messages-column or --prompt-column")
            elif holds_messages(row.get("prompt")): self.source = ("messages", "prompt")
            elif "prompt" in row: self.source = ("text", "prompt")
            else: raise Fault(f"no column is named prompt or messages; the first rows have: {names}. Name one with "
                              "--prompt-column, --messages-column, or make it with --template")
        if self.source[0] == "text" and holds_messages(row.get(self.source[1])): self.source = ("messages", self.source[1])
        if self.source[0] == "tokens" and (options.user_turn or options.system):
            raise Fault("token ids cannot be made a user turn (--user-turn, --system)")
        if self.source[0] == "messages" or self.turns_text(): self.chat = Chat(options)
        if options.id_column != "none": self.id_column = options.id_column or ("id" if "id" in row else None)

    def turns_text(self):
        """Whether a plain prompt becomes a user's turn."""
        return bool(self.options.user_turn or self.options.system)

    def used_settings(self):
        """Columns that are settings of their prompts, where --drop does not leave them out, or --set gives them."""
        return [name for name in (*SAMPLING, "stop") if name in self.constants or
                name in self.columns and name not in self.options.drop]

    def carried_names(self, names):
        """{column of the input: dataset of the output} of what is carried along."""
        used = {self.id_column, *SAMPLING, "stop"}
        # Stored already, as the prompt or as `messages`; a question that became a user turn is still worth its column.
        if self.source[0] == "batch": used |= {"messages"} if self.turns_text() else {"messages", "prompt"}
        elif self.source[0] != "text" or not self.chat: used.add(self.source[1])
        if self.options.keep is not None: names = [n for n in names if n in self.options.keep]
        targets = {}
        for name in names:
            if name in used or name in self.options.drop: continue
            target = name.replace("/", "_").strip(". ") or "column"
            if target in RESERVED or (self.chat and target in ("messages", "dropped_answer")): target = "input_" + target
            while target in targets.values(): target += "_"
            targets[name] = target
        return targets

    def check_names(self):
        """A mistyped name is a fault, not an option without effect."""
        for old, new in self.renames.items():
            if old not in self.given:
                raise Fault(f"--map {old}={new}: there is no column {old}; there are: {', '.join(sorted(self.given))}")
            if new in self.given and new not in self.renames:
                raise Fault(f"--map {old}={new}: there is a column {new} already; map that one to another name too")
        for name in [*self.options.drop, *(self.options.keep or [])]:
            if name not in self.columns: raise Fault(f"--drop/--keep {name}: there is no such column; there are: "
                                                     f"{', '.join(self.columns)}")
