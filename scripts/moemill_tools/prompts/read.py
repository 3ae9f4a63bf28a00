"""Readers of files: each yields blocks of (rows, places, part), rows being dictionaries or RowFaults, places line or row
numbers, part the fraction of the file read so far."""
import csv
import gzip
import io
import os
import pathlib
import zlib

from ..common import Fault, need
from .values import JSON, RowFault

BLOCK_ROWS = 2048
BLOCK_BYTES = 8 << 20  # of input text; one longer row is a block of its own


def open_bytes(path):
    raw = open(path, "rb")
    if raw.read(2) == b"\x1f\x8b":
        raw.seek(0)
        return raw, gzip.GzipFile(fileobj=raw)
    raw.seek(0)
    return raw, raw


def parse_line(line):
    try:
        row = JSON.decode(line.decode())
    except UnicodeDecodeError as fault:
        return RowFault(f"is not UTF-8 ({fault.reason} at byte {fault.start})")
    except (ValueError, RecursionError) as fault:
        return RowFault(f"is not JSON: {fault}")
    return row if isinstance(row, dict) else RowFault(f"is a JSON {type(row).__name__}, needs an object {{...}} a line")


def read_jsonl(path, _):
    raw, lines = open_bytes(path)
    size = max(1, os.path.getsize(path))
    rows, places, held = [], [], 0
    with raw:
        try:
            for number, line in enumerate(lines, 1):
                if number == 1: line = line.removeprefix(b"\xef\xbb\xbf")
                if number == 1 and line.lstrip()[:1] == b"[":
                    raise Fault(f"{path}: is one JSON array; needs one object a line: jq -c '.[]' {path} > rows.jsonl")
                if not line.strip(): continue
                rows.append(parse_line(line))
                places.append(number)
                held += len(line)
                if len(rows) >= BLOCK_ROWS or held >= BLOCK_BYTES:
                    yield rows, places, raw.tell() / size
                    rows, places, held = [], [], 0
        except (EOFError, OSError, zlib.error) as fault:
            raise Fault(f"{path}: cannot be read behind line {places[-1] if places else 0}: {fault}") from None
    yield rows, places, 1.0


def read_csv(path, options):
    raw, stream = open_bytes(path)
    size = max(1, os.path.getsize(path))
    csv.field_size_limit(1 << 30)
    delimiter = options.delimiter or ("\t" if ".tsv" in path.name else ",")
    # What is not UTF-8 becomes lone surrogates, which no column takes: the row is refused, not the file.
    with raw, io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            names = next(filter(None, reader), None)  # blank lines are no rows
            if not names: raise Fault(f"{path}: is empty; needs a line of column names and rows below it")
            if len(set(names)) < len(names): raise Fault(f"{path}: two columns have the same name: {', '.join(names)}")
            rows, places, held, begins = [], [], 0, reader.line_num + 1
            for cells in reader:
                if len(cells) == len(names): row = dict(zip(names, cells))
                else: row = RowFault(f"has {len(cells)} cells, the first line names {len(names)} columns")
                if cells: rows.append(row), places.append(begins)
                held += sum(map(len, cells))
                begins = reader.line_num + 1
                if len(rows) >= BLOCK_ROWS or held >= BLOCK_BYTES:
                    yield rows, places, raw.tell() / size
                    rows, places, held = [], [], 0
        except (csv.Error, EOFError, OSError, zlib.error) as fault:
            raise Fault(f"{path}: line {reader.line_num}: cannot be read as CSV: {fault}") from None
    yield rows, places, 1.0


def rows_of(batch, path, options):
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns):
        try:
            columns[name] = column.to_pylist()
        except (ValueError, OverflowError) as fault:  # Python has no nanoseconds, and no years before 1 or beyond 9999
            new = dict(options.map).get(name, name)
            if new not in options.drop and (options.keep is None or new in options.keep):
                raise Fault(f"{path}: column {name} ({column.type}): {fault}\n(--drop {name} leaves it out; else store it as text "
                            "or in microseconds)") from None
            columns[name] = [None] * len(column)
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def rows_of_batches(batches, total, path, options):
    done = 0
    for batch in batches:
        row_bytes = max(1, batch.nbytes // max(1, batch.num_rows))
        step = max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes))
        for first in range(0, batch.num_rows, step):
            rows = rows_of(batch.slice(first, step), path, options)
            yield rows, range(done, done + len(rows)), (done + len(rows)) / max(1, total or done + len(rows))
            done += len(rows)


def read_parquet(path, options):
    need("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:  # without a size it reads whole columns
            groups = map(file.metadata.row_group, range(file.num_row_groups))
            row_bytes = max((g.total_byte_size / g.num_rows for g in groups if g.num_rows), default=1)
            step = max(1, min(BLOCK_ROWS, int(BLOCK_BYTES / row_bytes)))
            yield from rows_of_batches(file.iter_batches(batch_size=step), file.metadata.num_rows, path, options)
    except (pa.ArrowException, OSError) as fault:
        raise Fault(f"{path}: cannot be read as Parquet: {fault}") from None


def read_arrow(path, options):
    need("pyarrow")
    import pyarrow as pa
    try:
        with pa.OSFile(str(path)) as file:
            try:
                reader = pa.ipc.open_stream(file)
            except pa.ArrowInvalid:
                file.seek(0)
                whole = pa.ipc.open_file(file)
                reader = (whole.get_batch(i) for i in range(whole.num_record_batches))
            size = os.path.getsize(path)
            for rows, places, _ in rows_of_batches(reader, None, path, options): yield rows, places, file.tell() / size
    except (pa.ArrowException, OSError) as fault:
        raise Fault(f"{path}: cannot be read as Arrow: {fault}") from None


READERS = {".jsonl": read_jsonl, ".json": read_jsonl, ".ndjson": read_jsonl, ".csv": read_csv, ".tsv": read_csv,
           ".parquet": read_parquet, ".arrow": read_arrow}


def ending(path):
    name = path.name.removesuffix(".gz").removesuffix(".tmp")
    return pathlib.PurePath(name).suffix.lower()
