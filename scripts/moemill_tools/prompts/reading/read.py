"""Readers of JSON and CSV, compressed or not. Every reader yields Blocks of rows."""
import codecs
import collections
import contextlib
import csv
import io
import json
import os

from ...common import Fault, to_utf8
from .packed import DAMAGE, open_bytes
from ..values import RowFault, no_text, row_at

BLOCK_ROWS = 2048
SPACE = " \t\r\n"  # white space as JSON defines it
BLOCK_BYTES = 8 << 20  # bytes of input text per block; a longer row is a block of its own

# `rows` are dictionaries or RowFaults. `places` are their numbers, from 1, in units of "line", "row" or "item". `part` is the fraction of
# the file that has been read.
Block = collections.namedtuple("Block", "rows unit places part")


def refuse_utf16(start, source):
    """Refuses UTF-16: no line of UTF-8 text begins with its marks or contains a NUL."""
    found = "UTF-16" if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else {(False, True): "UTF-16LE", (True, False): "UTF-16BE"}.get(
        tuple(byte == 0 for byte in start[:2]))
    if found: raise Fault(f"{source.name}: is {found}, and text is read as UTF-8: {to_utf8(source.name, found)}")


def parse_line(line, name):
    try:
        text = line.decode().strip(SPACE)
        row, end = row_at(text, 0)
        if end < len(text): raise json.JSONDecodeError("Extra data", text, end)
    except UnicodeDecodeError as fault:
        return RowFault(f"is not UTF-8 ({fault.reason} at byte {fault.start}): {to_utf8(name)}")
    except (ValueError, RecursionError) as fault:
        return RowFault(f"is not JSON: {fault}")
    return row if isinstance(row, (dict, RowFault)) else RowFault(f"is a JSON {type(row).__name__}, needs an object {{...}} a line")


def read_json(source, _):
    """Reads a file with one object per line, or with one array of objects, as fine-tuning data sets often have."""
    raw, stream = open_bytes(source.path)
    with raw:
        try:
            start = stream.read(1 << 16)
            refuse_utf16(start, source)
            start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
        except DAMAGE as fault:
            raise Fault(f"{source.name}: cannot be read: {fault}") from None
    is_array = start[:1] == b"[" and start[1:].lstrip()[:1] in (b"{", b"]", b"")  # otherwise a line that is not an object
    yield from (read_array if is_array else read_lines)(source)


def read_lines(source):
    raw, lines = open_bytes(source.path)
    size = max(1, os.path.getsize(source.path))
    rows, places, held = [], [], 0
    with raw:
        try:
            for number, line in enumerate(lines, 1):
                if number == 1: line = line.removeprefix(b"\xef\xbb\xbf")
                if not line.strip(): continue
                rows.append(parse_line(line, source.name))
                places.append(number)
                held += len(line)
                if len(rows) >= BLOCK_ROWS or held >= BLOCK_BYTES:
                    yield Block(rows, "line", places, raw.tell() / size)
                    rows, places, held = [], [], 0
        except DAMAGE as fault:
            raise Fault(f"{source.name}: cannot be read after line {places[-1] if places else 0}: {fault}") from None
    yield Block(rows, "line", places, 1.0)


class Characters:
    """The text of a stream, read as far as necessary, for a JSON decoder that needs a whole value at once."""

    def __init__(self, stream):
        self.stream, self.decoder = stream, codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.at, self.is_whole = "", 0, False

    def more(self):
        """Doubles the text in memory, so that a long value is not decoded again for each block. Returns False at the end."""
        if self.is_whole: return False
        block = self.stream.read(max(1 << 16, len(self.text) - self.at))
        self.text, self.at, self.is_whole = self.text[self.at:] + self.decoder.decode(block, not block), 0, not block
        return True

    def peek(self):
        """The next character that is not white space; "" at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in SPACE: self.at += 1
            if self.at < len(self.text): return self.text[self.at]
            if not self.more(): return ""

    def value(self):
        """The next value, or the error of this value alone."""
        while True:
            try:
                value, self.at = row_at(self.text, self.at)
                return value
            except ValueError:
                if not self.more(): raise


def read_array(source):
    raw, stream = open_bytes(source.path)
    size, rows, first = max(1, os.path.getsize(source.path)), [], 1
    with raw:
        text, mark = Characters(stream), "["
        try:
            while text.peek() == mark:  # the bracket, then the comma before each further item
                text.at += 1
                if mark == "[" and text.peek() == "]": break
                mark, value = ",", text.peek() and text.value()
                rows.append(value if isinstance(value, (dict, RowFault)) else RowFault(f"is a JSON {type(value).__name__}, must be an object"))
                if len(rows) >= BLOCK_ROWS:
                    yield Block(rows, "item", range(first, first + len(rows)), raw.tell() / size)
                    rows, first = [], first + len(rows)
            if text.peek() != "]": raise ValueError("there is neither a comma nor the end of the array")
            text.at += 1
            if text.peek(): raise ValueError("there is something after the end of the array")
        except (RecursionError, UnicodeDecodeError, ValueError, *DAMAGE) as fault:
            raise Fault(f"{source.name}: is one JSON array that cannot be read after item {first + len(rows) - 1}: {fault}") from None
    yield Block(rows, "item", range(first, first + len(rows)), 1.0)


def check_names(names, source):
    if not names: raise Fault(f"{source.name}: is empty; needs a line of column names and rows below it")
    try:
        "".join(names).encode()
    except UnicodeEncodeError as fault:
        raise Fault(f"{source.name}: its first line {no_text(fault)}") from None
    if len(set(names)) < len(names): raise Fault(f"{source.name}: two columns have the same name: {', '.join(names)}: rename one")


def read_csv(source, options):
    path = source.path
    raw, stream = open_bytes(path)
    with raw, contextlib.suppress(*DAMAGE): refuse_utf16(stream.read(4), source)  # damage is reported below
    raw, stream = open_bytes(path)
    size = max(1, os.path.getsize(path))
    csv.field_size_limit(1 << 30)
    delimiter = options.delimiter or ("\t" if source.kind == "tsv" else ",")
    # Invalid UTF-8 becomes lone surrogates, which no column accepts: the row is refused, not the file.
    with raw, io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            names = next(filter(None, reader), None)  # blank lines are not rows
            check_names(names, source)
            rows, places, held, begins = [], [], 0, reader.line_num + 1
            for cells in reader:
                if len(cells) == len(names): row = dict(zip(names, cells))
                else: row = RowFault(f"has {len(cells)} cells, the first line names {len(names)} columns: a cell with {delimiter!r} or a line break in it needs quotes around it (--delimiter)")
                if cells: rows.append(row), places.append(begins)
                held += sum(map(len, cells))
                begins = reader.line_num + 1
                if len(rows) >= BLOCK_ROWS or held >= BLOCK_BYTES:
                    yield Block(rows, "line", places, raw.tell() / size)
                    rows, places, held = [], [], 0
        except (csv.Error, *DAMAGE) as fault:
            raise Fault(f"{path}: line {reader.line_num}: cannot be read as CSV: {fault}") from None
    yield Block(rows, "line", places, 1.0)
