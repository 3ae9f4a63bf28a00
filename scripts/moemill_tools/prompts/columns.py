"""What the first reading learns about a column, and how the second reading stores it."""
import datetime
import decimal
import math
import re
import uuid

import numpy as np

from .values import RowFault, json_text

MOST_EXACT = 2**53  # whole numbers up to here are exact in float64
WHOLE_TEXT = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
REAL_TEXT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)\Z")


class Column:
    """A carried column. The first reading observes it, then `kind` is fixed."""

    def __init__(self):
        self.from_text = False  # whether any of its files is CSV, where a number is a text that looks like one
        self.seen = set()
        self.low = self.high = 0
        self.has_nul = False
        self._kind = None

    def observe(self, values, from_text):
        self.from_text |= from_text
        kinds = set(map(self._kind_of_text if from_text else type, values))
        self.seen |= kinds
        if int in kinds and not (from_text and str in self.seen):
            is_whole = WHOLE_TEXT.match if from_text else lambda v: type(v) is int
            whole = [int(v) for v in values if v is not None and is_whole(v)]
            self.low, self.high = min(self.low, min(whole)), max(self.high, max(whole))
        if str in kinds and not self.has_nul: self.has_nul = "\0" in "".join([v for v in values if type(v) is str])

    @staticmethod
    def _kind_of_text(value):
        if value is None or value == "": return type(None)
        if WHOLE_TEXT.match(value): return int
        return float if REAL_TEXT.match(value) and math.isfinite(float(value)) else str  # 1e400 and longer whole numbers stay text

    def kind(self):
        if self._kind is None: self._kind = self._decide()
        return self._kind

    def _decide(self):
        types = {t for t in self.seen if t is not type(None)}
        null = type(None) in self.seen
        with_text = {datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID}
        if self.from_text and str in types and types <= {str, int, float}: types = {str}
        exact = -MOST_EXACT <= self.low and self.high <= MOST_EXACT
        if types == {bool} and not null: return "bool"
        if types == {int} and not null and self.low >= -2**63:
            if self.high < 2**63: return "int64"
            if self.high < 2**64 and self.low >= 0: return "uint64"
        if types == {int} and null and exact: return "whole"
        if types and types <= {int, float}:
            return "float64" if exact else "text" if self.from_text else "json"
        if types <= {str} or types <= with_text or types == {bytes}: return "json" if self.has_nul else "text"
        return "json"

    def convert(self, values):
        """An array to store. RowFault if a value cannot be stored."""
        kind = self.kind()
        if kind == "json": return [json_text(v) for v in values]
        if kind == "text": return [self._text(v) for v in values]
        if self.from_text: values = [None if v in (None, "") else int(v) if kind == "int64" else float(v) for v in values]
        if kind in ("whole", "float64"):
            return np.array([np.nan if v is None else v for v in values], "f8")
        return np.array(values, {"bool": "?", "int64": "i8", "uint64": "u8"}[kind])

    @staticmethod
    def _text(value):
        if value is None: return ""
        if isinstance(value, str): return value
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise RowFault("holds bytes that are no text: --drop the column") from None
        return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else str(value)
