"""What outputs.py does: options in, one file out."""
import time

from ..common import Fault, exit_codes, need, note, progress, ready_to_leave
from .options import parse_arguments


def export(options):
    """The job: (rows written, rows of the run, reasons with counts of what was left out, columns whose kind nobody tells)."""
    from .columns import Columns
    from .formats import Formats
    from .place import Place
    from .rows import Rows
    from .scores import Scores
    from .source import Source
    from .types import parquet_types
    from .writers import JsonLines, Parquet
    place = Place(options.output, options.overwrite)
    kind = place.kind()
    source = Source(options)
    columns = Columns(options, source)
    rows = Rows(options, source, columns, Scores(options.scores, options.score or "score", source.outputs) if options.scores else None)
    if kind == "parquet" and options.format == "openai-batch": raise Fault("OpenAI batch results are JSONL")
    made = Formats(options, source, columns, rows.counts).rows_as(options.format, rows.all(progress("writing", source.outputs.rows)))
    try:
        with place.writing(): writer = Parquet(place.open(), parquet_types(options, source, columns)) if kind == "parquet" else JsonLines(place.stream())
        written = write_in_blocks(made, rows, writer, place)
        rows.check_scores()
        with place.writing():
            if place.path: writer.close()
            place.finish()
    except BaseException:
        place.abandon()
        raise
    source.plain.tell()
    if columns.prompt_key == ["prompt_index"]: note("--dedup: the prompts of this run are not here, so rows of different prompts were not compared; "
                                                    "--prompts names their file")
    return written, source.outputs.rows, rows.counts, source.of_unknown_kind([c for c in columns.carried_used if c in columns.shown])


def write_in_blocks(made, rows, writer, place):
    """What fits memory when it is read does when it is written."""
    written, ready = 0, []
    for row in made:
        ready.append(row)
        if len(ready) < rows.block_rows: continue
        with place.writing(): writer.write(ready)
        written, ready = written + len(ready), []
    if ready:
        with place.writing(): writer.write(ready)
    return written + len(ready)


def run(options):
    need("h5py"), need("numpy")
    if options.scores and not options.scores.exists(): raise Fault(f"{options.scores}: no such file (--scores)")
    started = time.monotonic()
    written, completions, left_out, unknown = export(options)
    for reason, count in left_out.items():
        if count: note(f"{count:,} left out: {reason}")
    if unknown:
        note(f"the prompts.h5 of this run is not here, and only it tells which columns hold JSON (here they stay text) and which whole "
             f"numbers with gaps (here 3 is 3.0): this may touch {', '.join(unknown)}; --prompts names the file")
    seconds = time.monotonic() - started
    if options.output:
        print(f"{options.output}: {written:,} rows of {completions:,} completions, {options.output.stat().st_size / 1e6:,.1f} MB, in "
              f"{seconds:.1f} s ({completions / max(seconds, 1e-9):,.0f} completions/s)")


def main(words=None):
    ready_to_leave()
    with exit_codes("outputs.py"):
        run(parse_arguments(words))
        print(end="", flush=True)
