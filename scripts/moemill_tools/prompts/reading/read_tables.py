"""Readers of Parquet and Arrow files."""
import os

from ...common import Fault, need
from .read import BLOCK_BYTES, BLOCK_ROWS, Block


def rows_of(batch, path, options):
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns):
        try:
            columns[name] = column.to_pylist()
        except (ValueError, OverflowError) as fault:  # Python has no nanoseconds, and no years before 1 or after 9999
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
            yield Block(rows, "row", range(done + 1, done + len(rows) + 1), (done + len(rows)) / max(1, total or done + len(rows)))
            done += len(rows)


def read_parquet(source, options):
    path = source.path
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


def read_arrow(source, options):
    path = source.path
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
            for block in rows_of_batches(reader, None, path, options): yield block._replace(part=file.tell() / size)
    except (pa.ArrowException, OSError) as fault:
        raise Fault(f"{path}: cannot be read as Arrow: {fault}") from None
