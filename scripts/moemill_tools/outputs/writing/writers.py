"""Writers of the two kinds of files: JSON Lines and Parquet."""
import json

from ...common import Fault, need, text_of_content


class JsonLines:
    def __init__(self, stream, as_text): self.stream, self.as_text = stream, as_text

    def write(self, rows):
        for name in self.as_text:  # one type in all rows, because readers of JSON Lines guess it from the first rows
            for row in rows:
                if row.get(name) is not None and not isinstance(row[name], str): row[name] = json.dumps(row[name], ensure_ascii=False)
        try:
            try:
                text = "".join([json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in rows])
            except ValueError:  # a NaN deep within a carried column
                text = "".join([json.dumps(without_nan(r), ensure_ascii=False) + "\n" for r in rows])
        except (TypeError, RecursionError):
            name, value = next((n, v) for r in rows for n, v in r.items() if not fits_json(v))
            raise Fault(f"column {name} holds values that JSON cannot represent ({value!r:.60}): leave it out with --columns") from None
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


def call_of_texts(call):
    """A call whose arguments are JSON text, as in the OpenAI API."""
    function = call.get("function", call)
    arguments = function.get("arguments")
    if not isinstance(arguments, (str, type(None))): arguments = json.dumps(arguments, ensure_ascii=False)
    return {"id": call.get("id"), "type": call.get("type", "function"), "function": {"name": function.get("name"), "arguments": arguments}}


class Parquet:
    GROUP_ROWS, GROUP_BYTES = 65536, 32 << 20

    def __init__(self, file, types, fields):
        """`fields` are the keys of messages besides role and content."""
        need("pyarrow")
        import pyarrow as pa
        import pyarrow.parquet as pq
        self.pa, self.types, self.fields = pa, types, fields
        self.schema = pa.schema([(name, self._type(kind)) for name, kind in types.items()])
        self.writer = pq.ParquetWriter(file, self.schema, compression="zstd")
        self.held, self.held_rows, self.held_bytes = [], 0, 0

    def _type(self, kind):
        pa = self.pa
        if kind.startswith("list "): return pa.list_(self._type(kind[5:]))
        text = pa.string()
        function = pa.struct([("name", text), ("arguments", text)])
        others = {"tool_calls": pa.list_(pa.struct([("id", text), ("type", text), ("function", function)]))}
        if kind == "conversations":
            return pa.list_(pa.struct([("from", text), ("value", text)] + [("reasoning_content", text)] * ("reasoning_content" in self.fields)))
        if kind == "messages": return pa.list_(pa.struct([("role", text), ("content", text), *((n, others.get(n, text)) for n in self.fields)]))
        return {"json": pa.string(), "float": pa.float32(), "double": pa.float64(), "bool": pa.bool_()}.get(kind) \
            or getattr(pa, kind)()

    def write(self, rows):
        columns = []
        for name, kind in self.types.items():
            values = [row.get(name) for row in rows]
            try:
                if kind == "json": values = [v if v is None else json.dumps(v, ensure_ascii=False) for v in values]
                if kind == "string": values = [v if v is None or isinstance(v, str) else str(v) for v in values]  # ids of several runs
                if kind == "messages": values = [self.plain(v) for v in values]
                columns.append(self.pa.array(values, self.schema.field(name).type))
            except (self.pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as fault:
                raise Fault(f"column {name} does not fit Parquet's {self.schema.field(name).type}: {fault}; write JSONL") from None
        batch = self.pa.record_batch(columns, schema=self.schema)
        self.held.append(batch)
        self.held_rows += len(rows)
        self.held_bytes += batch.nbytes
        if self.held_rows >= self.GROUP_ROWS or self.held_bytes >= self.GROUP_BYTES: self.flush()

    def plain(self, messages):
        """Parquet has one shape for all rows: role and content as text (the texts of content in parts), reasoning, and tool calls.
        Anything else in a message would be lost."""
        if messages is None: return None
        for m in messages:
            if m.keys() - {"role", "content", *self.fields} or text_of_content(m.get("content")) is None:
                raise Fault(f"a message has more than role and text ({', '.join(m)}), which Parquet's fixed columns cannot "
                            "hold: write JSONL")
        messages = [{**m, "content": text_of_content(m["content"])} if isinstance(m.get("content"), list) else m for m in messages]
        if "tool_calls" not in self.fields: return messages
        return [{**m, "tool_calls": [call_of_texts(c) for c in m["tool_calls"]]} if m.get("tool_calls") else m for m in messages]

    def flush(self):
        if self.held: self.writer.write_table(self.pa.Table.from_batches(self.held, self.schema), row_group_size=1 << 30)
        self.held, self.held_rows, self.held_bytes = [], 0, 0

    def close(self):
        self.flush()
        self.writer.close()

