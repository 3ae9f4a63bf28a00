"""Values of rows: JSON in and out, nulls, and the error of one row."""
import collections
import datetime
import decimal
import json
import math
import uuid

from ..common import short, to_utf8


class RowFault(Exception):
    """An error that concerns one row."""
    custom_id = None  # id of the line in a batch file, if it has one


def no_text(fault):
    """Describes a text with half of a surrogate pair, or with a byte that is not UTF-8 and that CSV's reader keeps as such a half."""
    first = fault.object[fault.start]
    if not 0xdc80 <= ord(first) <= 0xdcff: return f"holds text that is not valid Unicode: {short(fault.object[fault.start:fault.end])}"
    return f"is not UTF-8: the byte {ord(first) - 0xdc00:#x} is not valid Unicode there: {to_utf8('FILE')}"


def finite(text):
    value = float(text)
    if value in (math.inf, -math.inf): raise ValueError(f"the number {short(text)} is too large for a float64")
    return value


def each_once(pairs):
    """Builds an object of a row. Python's JSON reader silently takes the last of repeated keys; here they are refused."""
    made = dict(pairs)
    if len(made) < len(pairs):
        (name, count), = collections.Counter(name for name, _ in pairs).most_common(1)
        raise RowFault(f"has the key {short(name)} {'twice' if count == 2 else f'{count} times'} in one object: remove all but one")
    return made


JSON = json.JSONDecoder(parse_float=finite)  # for values of rows: 1e400 would silently become infinity
ROW = json.JSONDecoder(parse_float=finite, object_pairs_hook=each_once)


def row_at(text, at):
    """(a row, or its own error; where it ends)."""
    try:
        return ROW.raw_decode(text, at)
    except RowFault as fault:
        row, end = JSON.raw_decode(text, at)
        if isinstance(row, dict): fault.custom_id = row.get("custom_id")
        return fault, end


class Null:
    """A null column in a template: false and none as usual, but never printed as the word None."""
    __hash__ = None
    def __init__(self, name): self._name = name
    def __bool__(self): return False
    def __eq__(self, other): return other is None or isinstance(other, Null)
    def __str__(self): raise RowFault(f"column {self._name} is null: use {{{{ {self._name} or '' }}}}")


def json_text(value):
    def other(part):
        if isinstance(part, Null): return None
        if isinstance(part, (datetime.date, datetime.time)): return part.isoformat()
        if isinstance(part, (decimal.Decimal, datetime.timedelta, uuid.UUID)): return str(part)
        raise RowFault(f"holds {type(part).__name__} within a list or object, which JSON cannot: --drop the column")
    return json.dumps(value, ensure_ascii=False, default=other)
