"""The job: it reads runs and writes one file, or two if some rows are for validation."""
import collections
import sys

from ..common import Fault, note, progress, real_target
from .answers.answers import Answers
from .formats.batch import Batch
from .columns import Columns
from .reading.duplicates import Duplicates
from .formats.formats import Formats
from .formats.message_fields import message_fields
from .names import call_columns, renamed
from .writing.place import Place
from .reading.rows import SIDE, Rows
from .reading.scores import Scores
from .reading.source import Source
from .writing.types import merged, parquet_types
from .writing.writers import JsonLines, Parquet

Part = collections.namedtuple("Part", "source answers columns rows")  # the state of one run within the job


class Job:
    def __init__(self, options):
        self.options, self.counts, self.lacks = options, collections.Counter(), collections.Counter()
        places = [Place(path, options.overwrite) for path in (options.output, options.validation) if path or path is options.output]
        self.places, self.kinds = places, [place.kind() for place in places]
        if options.validation and not options.output: raise Fault("--validation FILE needs -o FILE for the other rows")
        if options.validation and places[0].target == places[1].target: raise Fault("-o and --validation name the same file")
        if "parquet" in self.kinds and options.format == "openai-batch": raise Fault("--format openai-batch writes JSONL: name a FILE.jsonl with -o")
        self.parts = self.open_runs()

    def open_runs(self):
        options, parts, begin = self.options, [], 0
        if len(options.inputs) > 1:
            for name in ("prompts", "scores"):
                if getattr(options, name): raise Fault(f"--{name} is for one run: use it for each run separately, or combine several runs without it")
            if options.format == "openai-batch": raise Fault("--format openai-batch takes one run: its lines answer one batch file")
        sources = [Source(options, path) for path in options.inputs]
        refuse_same(sources)
        call_columns(options, sources)
        carried = {name for source in sources for name in source.carried}
        for name in options.json_columns:
            there = sorted({own for source in sources for own in source.carried.values()})
            if name not in there: raise Fault(f"--json-column {name}: there is no such column of the input; there are: {', '.join(there) or 'none'}")
        for source in sources:
            answers = Answers(options, source)
            columns = Columns(options, source, answers, carried - set(source.carried))
            scores = Scores(options.scores, options.score or "score", source.outputs) if options.scores else None
            parts.append(Part(source, answers, columns, Rows(options, source, columns, scores, begin, self.counts)))
            begin += source.outputs.rows
        self.total = begin
        if len(parts) > 1:
            names = list(dict.fromkeys(c for part in parts for c in part.columns.shown))
            for part in parts: part.columns.show(names)
        return parts

    def find_duplicates(self):
        o = self.options
        if o.dedup != "all" and not o.dedup_answers: return None
        duplicates, bar = Duplicates(self.total), progress("looking for duplicates", self.total)
        for part in self.parts: part.rows.add_to(duplicates, bar)
        bar.close()
        self.counts.clear()
        return duplicates.find()

    def made(self):
        """(part, row of the run, row of the file) for all runs."""
        bits, bar, left = self.find_duplicates(), progress("writing", self.total), sys.maxsize if self.options.limit is None else self.options.limit
        for part in self.parts:
            rows = part.rows.all(bar, bits, left)
            if self.options.format == "openai-batch": made = Batch(self.options, part.source.outputs, part.answers).lines(rows)
            else: made = Formats(self.options, part.source, part.columns, part.answers, self.counts, self.lacks).rows_as(self.options.format, rows)
            for row, line in made: yield part, row, line
            left -= part.rows.given
            if left <= 0: break
        bar.close()

    def open_writers(self):
        types, fields = {}, ()
        if "parquet" in self.kinds:
            types = merged([parquet_types(self.options, part.source, part.columns) for part in self.parts])
            types = {c: types[c] for c in self.parts[0].columns.shown}
            fields = message_fields(self.options, types, self.parts)
        for place, kind in zip(self.places, self.kinds):
            with place.writing():
                yield Parquet(place.open(), types, fields) if kind == "parquet" else JsonLines(place.stream(), self.options.json_text)

    def run(self):
        """Rows written to each file."""
        try:
            writers, written, ready = list(self.open_writers()), [0] * len(self.places), [[] for _ in self.places]
            def write(side):
                with self.places[side].writing(): writers[side].write(ready[side])
                written[side] += len(ready[side])
                ready[side] = []
            for part, row, line in self.made():
                side = int(row.get(SIDE, False))
                ready[side].append(line)
                if len(ready[side]) >= part.rows.block_rows: write(side)  # blocks that fit into memory when they are read also do when they are written
            for side in range(len(writers)):
                if ready[side]: write(side)
            for part in self.parts: part.rows.check_scores()
            self.finish(writers)
        except BaseException:
            for place in self.places: place.abandon()
            raise
        return written

    def finish(self, writers):
        for place, writer in zip(self.places, writers):
            with place.writing():
                if place.path: writer.close()
                place.close()
        for place in self.places:
            with place.writing(): place.rename()

    def tell(self):
        for reason, count in self.counts.items():
            if count: note(f"{count:,} left out: {reason}")
        for what, count in self.lacks.items(): note(f"in {count:,} row{'' if count == 1 else 's'} {what}")
        if others := renamed(self.options, self.parts):
            note("columns of the input whose names are taken were renamed: " + ", ".join(f"{name} is {shown}" for name, shown in others.items()))
        for part in self.parts:
            source, columns = part.source, part.columns
            source.plain.tell()
            columns.cuts.tell()
            if self.options.format == "rows" and not self.options.columns and not source.has("text"):
                there = "rows have token_ids in its place" if source.has("token_ids") else "rows have no answer"
                note(f"{source.path}: this run stored no text, so {there}; the next run has it with output.store: [text, token_ids] in run.yaml")
            part.answers.tell(columns.takes_apart() and not self.options.whole_text)
            if columns.prompt_key == ["prompt_index"] and self.options.dedup:
                note(f"{source.path}: its prompts are not available, so rows of different prompts were not compared (--dedup); --prompts names their file")
            unknown = source.of_unknown_kind([c for c in columns.carried_used if c in columns.shown])
            if unknown:
                note(f"the prompts.h5 of this run is not available, which shows which columns hold JSON (they stay text) or whole numbers with "
                     f"gaps (3 becomes 3.0): this may affect {', '.join(unknown)}; --prompts names the file")


def refuse_same(sources):
    """Refuses a run that is named twice, or beside its folder, because each of its rows would be written twice."""
    seen = {}
    for source in sources:
        for file in source.outputs.files:
            before = seen.setdefault(real_target(file.filename), source)
            if before is not source: raise Fault(f"{source.path}: is the same run as {before.path}, whose rows would be written twice: name it once")
