"""The job: it reads all files twice."""
import collections
import contextlib
import json
import os
import pathlib
import sys

import numpy as np

from ..common import Fault, begin_beside, note, progress
from ..run_files import writing
from .sampling.advice import Advice, show
from .columns import Column
from .convert import Converter
from .reading.folders import find_sources
from .ids import Duplicates, id_value
from .plan import Plan
from .reading.readers import READERS
from .sampling.settings import with_off
from .reading.sources import labels
from .chat.special_tokens import SpecialTokens
from .values import RowFault


class Maker:
    def __init__(self, options):
        self.options = options
        self.sources = find_sources(options, pathlib.Path(os.path.realpath(options.output)))
        self.plan = Plan(options)
        self.converter, self.advice = Converter(self.plan), Advice(self.plan)
        self.total, self.first_prompt, self.carried = 0, None, {}
        self.same_id, self.taken = {}, {}  # {row: first row with its id}; {that first row: place of the row that keeps the id}
        self.specials = SpecialTokens()
        self.skipped, self.skip_file, self.reasons = 0, None, collections.Counter()

    def blocks(self):
        """Rows of all files with a running number. The block's rows are flat dictionaries or RowFaults."""
        ordinal, left = 0, self.options.limit if self.options.limit is not None else sys.maxsize
        begins = labels([source.path for source in self.sources])
        bytes_before, sizes = 0, [max(1, s.path.stat().st_size) for s in self.sources]
        for source, size in zip(self.sources, sizes):
            for rows, unit, places, part in READERS[source.kind](source, self.options):
                if self.plan.form is None: self.plan.form = self.plan.form_of([r for r in rows[:left] if isinstance(r, dict)])
                rows = [self.plan.flat(r) for r in rows[:left]]
                if source.kind != "hdf5": rows = [with_off(r) for r in rows]
                if self.options.ids_by_file: self.plan.name_ids(rows, begins[source.path], places)
                if rows: yield source, unit, rows, places, ordinal, (bytes_before + part * size) / sum(sizes)
                ordinal, left = ordinal + len(rows), left - len(rows)
                if left <= 0: return
            bytes_before += size

    def look(self):
        """The first reading: types of columns, repeated ids, number of rows."""
        with writing(str(self.options.output)): duplicates = Duplicates(pathlib.Path(os.path.realpath(self.options.output)).parent)
        bar = progress("looking", 100, "%")
        for source, unit, rows, places, ordinal, part in self.blocks():
            path, from_text = source.name, source.is_text
            good = [(i, r) for i, r in enumerate(rows) if not isinstance(r, RowFault)]
            if len(good) < len(rows) and self.options.on_error == "fail":
                i = next(i for i, r in enumerate(rows) if isinstance(r, RowFault))
                self.refuse(path, unit, places[i], rows[i], rows[i])
            self.total += len(rows)
            bar.update(part * 100 - bar.n)
            if not good: continue
            if self.plan.source is None: self.plan.settle([r for _, r in good])
            self.plan.look_at([r for _, r in good])
            where = f"{path}: ids begin at or after {unit} {places[0]}"
            self.look_at_columns([r for _, r in good], self.total > len(rows), from_text, where)
            if self.plan.id_column:
                ids = [(id_value(r.get(self.plan.id_column), from_text), i) for i, r in good]
                ids = [(v, i) for v, i in ids if v is not None]
                self.plan.id_types |= {type(v) for v, _ in ids}
                duplicates.add([v for v, _ in ids], np.array([ordinal + i for _, i in ids], "u8"))
        bar.close()
        if self.plan.source is None:
            raise Fault("there is no row to make a prompt from" + (" (all were bad)" if self.total else ""))
        if self.plan.id_types - {int, str}:
            raise Fault(f"column {self.plan.id_column}: ids must be text or whole numbers, some are "
                        f"{', '.join(t.__name__ for t in self.plan.id_types - {int, str})}")
        later = duplicates.find()
        self.same_id = {**{first: first for first in later.values()}, **later}
        self.plan.check_names()
        self.plan.finish_looking()

    def look_at_columns(self, rows, have_others_come, from_text, where):
        columns, found = self.plan.columns, dict.fromkeys(k for r in rows for k in r)
        for name in found:
            values = [r.get(name) for r in rows]
            if name not in columns:
                is_late_id = name == "id" and not self.plan.id_column and self.options.id_column != "none" and have_others_come
                if is_late_id and self.options.on_error == "skip": self.plan.id_column = name  # rows without an id are bad in any case
                elif is_late_id:
                    raise Fault(f"{where}, no row before has one: give all rows an id, or number them with --id-column none "
                                "(--ids-by-file makes ids of the files' names)")
                columns[name] = Column()
                if have_others_come: columns[name].seen.add(type(None))  # absent so far
            columns[name].observe(values, from_text and name not in self.plan.constants)
            self.advice.observe(name, values, rows)
        for name in columns.keys() - found: columns[name].seen.add(type(None))

    def write(self, target):
        """The second reading."""
        self.carried = self.plan.carried_names(list(self.plan.columns))
        bar = progress("writing", self.total, "row")
        for source, unit, rows, places, ordinal, _ in self.blocks():
            path = source.name
            good = []
            for i, row in enumerate(rows):
                if isinstance(row, RowFault): self.refuse(path, unit, places[i], row, row)
                else: good.append((ordinal + i, row, places[i]))
            made, prompts = self.convert_sound(path, unit, good)
            if prompts:
                self.store(target, made)
                self.advice.count(prompts)
                if self.first_prompt is None: self.first_prompt = prompts[0]
            bar.update(len(rows))
        bar.close()
        if target.rows == 0:
            self.publish_skipped()
            raise Fault(f"no row is valid; the first errors are listed in {self.skip_path()}")
        self.specials.store(target)
        for name, dataset in self.carried.items():
            kind = self.plan.columns[name].kind()
            if dataset in target.file and kind in ("json", "whole"): target.file[dataset].attrs["moemill_kind"] = kind
        if self.plan.chat: target.file["messages"].attrs["moemill_kind"] = "json"

    def convert_sound(self, path, unit, good):
        """The rows that can be converted; the others are refused. Among rows with the same id the first good one keeps it."""
        if not any(ordinal in self.same_id for ordinal, _, _ in good):
            with contextlib.suppress(RowFault): return self.converter.convert_or_fault([row for _, row, _ in good], self.carried)
        sound = []
        for ordinal, row, place in good:
            try:
                self.converter.convert_or_fault([row], self.carried)
                first = self.same_id.get(ordinal)
                if first in self.taken:
                    by_file = "" if self.options.ids_by_file else ", --ids-by-file puts the file's name before each"
                    raise RowFault(f"id {row.get(self.plan.id_column)!r} is already that of {self.taken[first]}: ids must be unique "
                                   f"(--id-column none numbers the rows instead{by_file})")
                if first is not None: self.taken[first] = f"{path}: {unit} {place}"
                sound.append(row)
            except RowFault as fault:
                self.refuse(path, unit, place, fault, row)
        return self.converter.convert_or_fault(sound, self.carried)

    def store(self, target, made):
        self.specials.add(made.pop("add_special_tokens"))
        rows = 0
        for name, values in made.items():
            if isinstance(values, tuple):
                target.packed(name, *values)
                rows = len(values[0])
            else: target.column(name, values)
        target.blocks.append((target.rows, target.rows + rows))
        target.rows += rows

    def skip_path(self):
        return self.options.output.with_name(self.options.output.name + ".skipped.jsonl")

    def refuse(self, path, unit, place, fault, row):
        if self.options.on_error == "fail":
            raise Fault(f"{path}: {unit} {place}: {fault}\n(--on-error skip leaves bad rows out and lists them)")
        if self.skip_file is None: self.skip_file = open(begin_beside(self.skip_path()), "w", encoding="utf-8")
        line = {"file": str(path), unit: place}
        if self.plan.form == "batch": line["custom_id"] = fault.custom_id if row is fault else row.get("id")
        line = json.dumps({**line, "error": str(fault)}, ensure_ascii=False, default=str)
        self.skip_file.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
        self.skipped += 1
        if len(self.reasons) < 1000 or str(fault) in self.reasons: self.reasons[str(fault)] += 1

    def publish_skipped(self):
        """This run's list replaces an earlier run's, which is removed if there is nothing to list."""
        if self.skip_file is None: return self.skip_path().unlink(missing_ok=True)
        self.skip_file.close()
        os.replace(self.skip_file.name, self.skip_path())

    def say(self, rows, size, seconds):
        if not self.options.quiet and self.first_prompt: show(self.first_prompt)
        self.advice.say(self.carried)
        if self.skipped:
            (reason, count), = self.reasons.most_common(1)
            note(f"{self.skipped:,} bad rows were left out: {self.skip_path()}; {count:,} of them: {' '.join(reason.split())[:300]}")
        print(f"{self.options.output}: {rows:,} prompts, {size / 1e6:,.1f} MB, in {seconds:.1f} s "
              f"({rows / max(seconds, 1e-9):,.0f} rows/s)")
