"""A run as a source of columns: its outputs, the prompts that it was made from, and the columns that it carries."""
import hashlib
import pathlib

import h5py

from ...common import Fault
from ...contents import changed_columns
from ...run_files import open_h5, reading, setting
from .plain import Plain
from .prompts_file import Prompts
from .run import Outputs


class Source:
    def __init__(self, options, path):
        self.options, self.path = options, path
        self.plain = Plain()
        self.outputs = Outputs(path, options.allow_incomplete)
        file = self.outputs.files[0]
        self.prompts = self.open_prompts()
        self.kinds = {**({} if not self.prompts else self.prompts.kinds()), **{n: "json" for n in options.json_columns}}
        with reading(file.filename): self.carried = {name: name for name in file.get("carry", {})}  # Job renames them if necessary
        if "messages" in self.carried: self.kinds["messages"] = "json"

    def open_prompts(self):
        config = self.outputs.config()
        path = self.options.prompts or setting(config, "input", "path")
        if not path: return None
        path = pathlib.Path(path)
        if not path.exists():
            if self.options.prompts: raise Fault(f"{path}: no such file (--prompts)")
            return None
        self.check_prompts(path)
        return Prompts(path, setting(config, "input", "group") or "/", self.plain)

    def check_prompts(self, path):
        """Different prompts may have the same ids: unless the columns are unchanged, answers would go with the wrong questions."""
        its, columns = self.outputs.attribute("input_sha256"), self.outputs.attribute("input_columns")
        if not its: return
        if columns:
            changed = self.changed_columns(path, columns)
            if not changed: return
            what = f"the outputs' input_columns differ in {', '.join(changed)}"
        else:  # the run is of a moemill that hashed the file as a whole
            if sha256_of(path) == its: return
            what = "its SHA-256 is not the outputs' input_sha256"
        raise Fault(f"{path}: has changed since this run was made, or is a different file ({what}): put "
                    "the old file back, or name it with --prompts; if it is lost move this file away, to get the rows without it")

    def changed_columns(self, path, columns):
        config = self.outputs.config()
        limit, name = setting(config, "input", "limit"), setting(config, "input", "group") or "/"
        with open_h5(path) as file, reading(path):
            group = file.get(name)
            if not isinstance(group, h5py.Group): return [f"group {name}"]
            changed = changed_columns(group, columns, int(limit) if limit and limit.isdigit() else None)
            for count in self.outputs.prompts_before():  # rows added after them do not change a prompt
                if changed: changed = changed_columns(group, columns, count)
            return changed

    def tells_prompts_apart(self):
        """Columns that identify a prompt: what the model read, or what that was made from, or only its position."""
        for name in ("prompt", "prompt_token_ids"):
            if self.prompts and name in self.prompts.group: return [name]
        return [c for c in ("messages", "tools") if c in self.carried] or ["prompt_index"]

    def only_scores(self):
        """Whether the run only scored its prompts (max_tokens: 0 with prompt_logprobs)."""
        return self.scores_prompts() and setting(self.outputs.config(), "sampling", "max_tokens") == "0"

    def scores_prompts(self):
        """Whether the run has log-probabilities of its prompts' tokens."""
        with reading(self.outputs.files[0].filename): return "prompt_logprobs" in self.outputs.files[0]

    def stores_prompts(self):
        """Whether the outputs have the prompts' token ids (output.store)."""
        with reading(self.outputs.files[0].filename): return "prompt_token_ids" in self.outputs.files[0]

    def has(self, name):
        """Whether the run stored this column. For token_ids only the offsets may exist, which logprobs share."""
        with reading(self.outputs.files[0].filename):
            item = self.outputs.files[0]["completions"].get(name)
            return item is not None and not (isinstance(item, h5py.Group) and list(item) == ["offsets"])

    def carried_item(self, shown):
        """The dataset of a carried column in the first file, for its type."""
        file = self.outputs.files[0]
        with reading(file.filename): return file["carry"][self.carried[shown]]

    def of_unknown_kind(self, columns):
        """Carried columns that prompts.py may have made from JSON or from whole numbers with gaps, which only prompts.h5 shows."""
        if self.prompts: return []
        def may_be(dtype): return h5py.check_string_dtype(dtype) or dtype.kind == "f"
        return [shown for shown in columns if shown in self.carried and self.carried[shown] not in self.kinds
                and may_be(self.carried_item(shown).dtype)]


def sha256_of(path):
    sums = hashlib.sha256()
    with reading(path), open(path, "rb") as file:
        while part := file.read(1 << 20): sums.update(part)
    return sums.hexdigest()
