"""What rows hold: JSON in and out, nulls, and the fault of one row."""
import collections
import datetime
import decimal
import json
import math
import uuid

from ..common import short, to_utf8


class RowFault(Exception):
    """One row is no good."""
    custom_id = None  # of a line of a batch file, where it says one


def no_text(fault):
    """What is wrong with a text that holds half of a surrogate pair, or a byte that CSV's reader could not decode, which it keeps as one."""
    first = fault.object[fault.start]
    if not 0xdc80 <= ord(first) <= 0xdcff: return f"holds text that is no Unicode: {short(fault.object[fault.start:fault.end])}"
    return f"is not UTF-8: the byte {ord(first) - 0xdc00:#x} is no Unicode there: {to_utf8('FILE')}"


def finite(text):
    value = float(text)
    if value in (math.inf, -math.inf): raise ValueError(f"the number {short(text)} is beyond what a float64 holds")
    return value


def each_once(pairs):
    """An object of a row. Of a key that is there twice JSON's readers take the last one, in silence."""
    made = dict(pairs)
    if len(made) < len(pairs):
        (name, count), = collections.Counter(name for name, _ in pairs).most_common(1)
        raise RowFault(f"has the key {short(name)} {'twice' if count == 2 else f'{count} times'} in one object: leave all but one out")
    return made


JSON = json.JSONDecoder(parse_float=finite)  # of what rows hold: 1e400 would silently become infinity
ROW = json.JSONDecoder(parse_float=finite, object_pairs_hook=each_once)


def row_at(text, at):
    """(a row, or what is wrong with it alone; where it ends)."""
    try:
        return ROW.raw_decode(text, at)
    except RowFault as fault:
        row, end = JSON.raw_decode(text, at)
        if isinstance(row, dict): fault.custom_id = row.get("custom_id")
        return fault, end


class Null:
    """A null column in a template: false and none as ever, but never the word None."""
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
