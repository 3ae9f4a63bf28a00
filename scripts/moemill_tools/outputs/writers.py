"""The two kinds of files that rows are written to: JSON Lines and Parquet."""
import json

from ..common import Fault, need


class JsonLines:
    def __init__(self, stream): self.stream = stream

    def write(self, rows):
        try:
            try:
                text = "".join([json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in rows])
            except ValueError:  # a NaN deep in a carried column
                text = "".join([json.dumps(without_nan(r), ensure_ascii=False) + "\n" for r in rows])
        except (TypeError, RecursionError):
            name, value = next((n, v) for r in rows for n, v in r.items() if not fits_json(v))
            raise Fault(f"column {name} holds what JSON has not ({value!r:.60}): leave it out with --columns") from None
        self.stream.write(text)

    def close(self): self.stream.close()


def fits_json(value):
    try:
        json.dumps(without_nan(value))
    except (TypeError, RecursionError):
        return False
    return True


def without_nan(value):
    if isinstance(value, float): return value if value - value == 0 else None
    if isinstance(value, dict): return {k: without_nan(v) for k, v in value.items()}
    return [without_nan(v) for v in value] if isinstance(value, list) else value


class Parquet:
    GROUP_ROWS, GROUP_BYTES = 65536, 32 << 20

    def __init__(self, file, types):
        need("pyarrow")
        import pyarrow as pa
        import pyarrow.parquet as pq
        self.pa, self.types = pa, types
        self.schema = pa.schema([(name, self._type(kind)) for name, kind in types.items()])
        self.writer = pq.ParquetWriter(file, self.schema, compression="zstd")
        self.held, self.held_rows, self.held_bytes = [], 0, 0

    def _type(self, kind):
        pa = self.pa
        if kind.startswith("list "): return pa.list_(self._type(kind[5:]))
        if kind == "messages": return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
        return {"json": pa.string(), "float": pa.float32(), "double": pa.float64(), "bool": pa.bool_()}.get(kind) \
            or getattr(pa, kind)()

    def write(self, rows):
        columns = []
        for name, kind in self.types.items():
            values = [row.get(name) for row in rows]
            try:
                if kind == "json": values = [v if v is None else json.dumps(v, ensure_ascii=False) for v in values]
                if kind == "messages": values = [self.plain(v) for v in values]
                columns.append(self.pa.array(values, self.schema.field(name).type))
            except (self.pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as fault:
                raise Fault(f"column {name} does not fit Parquet's {self.schema.field(name).type}: {fault}; write JSONL") from None
        batch = self.pa.record_batch(columns, schema=self.schema)
        self.held.append(batch)
        self.held_rows += len(rows)
        self.held_bytes += batch.nbytes
        if self.held_rows >= self.GROUP_ROWS or self.held_bytes >= self.GROUP_BYTES: self.flush()

    @staticmethod
    def plain(messages):
        """Parquet has one shape for all rows: role and content as text. What else a message has would be lost."""
        for m in messages or []:
            if m.keys() - {"role", "content"} or not isinstance(m.get("content"), (str, type(None))):
                raise Fault(f"a message has more than role and text ({', '.join(m)}), which Parquet's fixed columns cannot "
                            "hold here: write JSONL")
        return messages

    def flush(self):
        if self.held: self.writer.write_table(self.pa.Table.from_batches(self.held, self.schema), row_group_size=1 << 30)
        self.held, self.held_rows, self.held_bytes = [], 0, 0

    def close(self):
        self.flush()
        self.writer.close()

