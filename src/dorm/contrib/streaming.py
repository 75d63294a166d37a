"""Exports in constant memory: JSON, JSON lines and CSV as chunks of bytes, with personal data masked on demand.

Sources are querysets and managers (read in chunks, never all at once), and iterables, async ones in the async forms,
of instances, mappings, tuples (keys ``col_0`` ...) or single values (key ``value``). What fails in mid-stream is
raised; the bracket of a JSON list is not closed then, so that nobody takes a part for the whole.

With ``mask_pii=True`` every value that comes from a ``pii=True`` field is replaced (see `dorm.contrib.pii`): of
instances, of ``values()`` and its like under whatever name, of annotations computed from such a field, of joined
models, of every branch of a union. Raw SQL may come from anywhere and is masked too, with a warning. Rows without a
model pass.
"""

from __future__ import annotations

import csv
import datetime
import decimal
import enum
import io
import json
import logging
import math
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from dorm.contrib.pii import masking, pii_fields, sentinel
from dorm.queryset import QuerySet
from dorm.queryset.lineage import Result, results
from dorm.queryset.raw import RawQuerySet

_log = logging.getLogger("dorm.contrib.streaming")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Mask = Callable[[Any], Any]
Row = dict[str, Any]


# -- rows --------------------------------------------------------------------------------------------------------


def _is_queryset(source: Any) -> bool:
    return isinstance(source, QuerySet)


def _queryset(source: Any) -> Any:
    """Return the queryset behind a queryset or manager, None for other sources."""
    if _is_queryset(source):
        return source
    if hasattr(source, "get_queryset"):
        return source.all()
    return None


def _rows_of(source: Any, chunk_size: int) -> Iterable[Any]:
    qs = _queryset(source)
    if qs is None:
        return source if isinstance(source, Iterable) else _refuse(source)
    are_there = getattr(qs, "_rows", None) is not None
    rows: Iterable[Any] = qs if are_there else qs.iterator(chunk_size=chunk_size)
    return rows


def _loads(source: Any) -> bool:
    """True for what loads rows by itself; the user's iterables may look at their values."""
    return isinstance(source, RawQuerySet) or _queryset(source) is not None


_END = object()


def _unseen(source: Iterable[Any]) -> Iterator[Any]:
    """Give the rows of a queryset, loaded without what is going to be masked."""
    with masking():
        items = iter(source)
    while True:
        with masking():
            item = next(items, _END)
        if item is _END:
            return
        yield item


async def _aunseen(source: AsyncIterable[Any]) -> AsyncIterator[Any]:
    """Asyncio form of `_unseen`."""
    with masking():
        items = aiter(source)
    while True:
        with masking():
            item = await anext(items, _END)
        if item is _END:
            return
        yield item


def _refuse(source: Any) -> Any:
    raise TypeError(f"a source is a queryset, a manager or an iterable, not {type(source).__name__}")


async def _arows_of(source: Any, chunk_size: int, mask_pii: bool) -> AsyncGenerator[Any, None]:
    qs = _queryset(source)
    if qs is not None:
        async with aclosing(qs.aiterator(chunk_size=chunk_size)) as rows:
            async for row in _aunseen(rows) if mask_pii else rows:
                yield row
    elif isinstance(source, AsyncIterable):
        async for row in _aunseen(source) if mask_pii and _loads(source) else source:
            yield row
    else:
        for row in source if isinstance(source, Iterable) else _refuse(source):
            yield row


def _checked(chunk_size: Any) -> int:
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size must be a whole number from 1, not {chunk_size!r}")
    return chunk_size


class _Shape:
    """How the rows of one source become dicts, decided once."""

    def __init__(self, source: Any, mask_pii: bool) -> None:
        self.masks = bool(mask_pii)
        self.names: tuple[str, ...] | None = None
        self.extra: list[Result] = []
        self._masked: dict[int, Any] = {}
        self._of_models: dict[type, list[tuple[str, Any]]] = {}
        qs = _queryset(source)
        if qs is None:
            return
        kind, found = results(qs)
        self.extra = found if kind == "object" else []
        if kind in ("tuple", "named"):
            self.names = tuple(each.name for each in found)
        if kind == "flat" and found:
            self.names = (found[0].name,)
        if self.masks:
            self._masked = {place: field for place, each in enumerate(found) if (field := _masking(each)) is not None}
            self._by_name = {
                each.name: self._masked[place] for place, each in enumerate(found) if place in self._masked
            }

    _by_name: dict[str, Any] = {}

    def row(self, item: Any) -> Row:
        """Return *item* as a dict, masked where that was asked for; *item* itself is not changed."""
        if hasattr(item, "_meta") and hasattr(item, "__dict__"):
            return self._instance(item)
        if isinstance(item, Mapping):
            return {key: self._value(key, value) for key, value in item.items()}
        if isinstance(item, (tuple, list)):
            names = getattr(item, "_fields", None) or self.names or tuple(f"col_{n}" for n in range(len(item)))
            return {
                name: sentinel(self._masked[place], value) if place in self._masked else value
                for place, (name, value) in enumerate(zip(names, item, strict=False))
            }
        name = "value"
        return {name: sentinel(self._masked[0], item) if 0 in self._masked else item}

    def _value(self, key: str, value: Any) -> Any:
        return sentinel(self._by_name[key], value) if key in self._by_name else value

    def _instance(self, item: Any) -> Row:
        cls = type(item)
        fields = self._of_models.get(cls)
        if fields is None:
            flagged = pii_fields(cls) if self.masks else []
            fields = [(field.attname, field if field in flagged else None) for field in cls._meta.fields]
            self._of_models[cls] = fields
        known = item.__dict__
        row = {}
        for name, masked in fields:
            if name in known:
                value = known[name]
                row[name] = value if masked is None else sentinel(masked, value)
        for each in self.extra:
            if each.name in known:
                row[each.name] = self._value(each.name, known[each.name])
        return row


def _masking(found: Result) -> Any:
    """Return the field whose sentinel hides a result, None for results that need none."""
    for output in found.outputs:
        if getattr(output, "pii", False):
            return output
    if found.opaque:
        _log.warning("%r is raw SQL, which may show personal data: it is masked", found.name)
        return found.outputs[0] if found.outputs else None or _OPAQUE
    return None


_OPAQUE = object()


# -- values ------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Return what JSON has for *value*."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return str(value)


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
_pretty = json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=2, default=_plain)


def _encode(value: Any, encoder: json.JSONEncoder = _compact) -> str:
    """Return *value* as JSON; numbers that JSON has no form for are spelled in text, as PostgreSQL does."""
    try:
        return encoder.encode(value)
    except ValueError:
        return encoder.encode(_spelled(value))


def _spelled(value: Any) -> Any:
    """Return *value* with ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` in place of those numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _spelled(each) for key, each in value.items()}
    return [_spelled(each) for each in value] if isinstance(value, (list, tuple)) else value


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, (str, int, float)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, (dict, list, tuple)):
        return _encode(value)
    return _plain(value)


class _Csv:
    """Rows as CSV: the header is that of the first row unless columns are given."""

    def __init__(self, columns: list[str] | None, guard_formulas: bool) -> None:
        self.columns = columns
        self.guard = guard_formulas
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer)
        self._began = False

    def line(self, row: Row) -> bytes:
        if not self._began:
            self._began = True
            self.columns = list(row) if self.columns is None else self.columns
            self._writer.writerow(self.columns)
        self._writer.writerow([self._guarded(_cell(row.get(name))) for name in self.columns or ()])
        return self._taken()

    def end(self) -> bytes:
        if not self._began and self.columns is not None:
            self._writer.writerow(self.columns)
        return self._taken()

    def _guarded(self, value: Any) -> Any:
        return f"'{value}" if self.guard and isinstance(value, str) and value.startswith(_FORMULA) else value

    def _taken(self) -> bytes:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode()


# -- forms -------------------------------------------------------------------------------------------------------


class _Form:
    """What goes before, between and after rows."""

    def __init__(self, first: bytes, between: bytes, last: bytes, write: Callable[[Row], bytes]) -> None:
        self.first, self.between, self.last, self.write = first, between, last, write


def _json_form() -> _Form:
    return _Form(b"[", b",", b"]", lambda row: _encode(row).encode())


def _jsonl_form() -> _Form:
    return _Form(b"", b"", b"", lambda row: _encode(row).encode() + b"\n")


def _pretty_form() -> _Form:
    return _Form(b"", b"", b"", lambda row: _encode(row, _pretty).encode() + b"\n")


def _joined(form: _Form, shape: _Shape, items: Iterator[Any], chunk_size: int) -> Iterator[bytes]:
    parts = [form.first]
    began = False
    for number, item in enumerate(items, 1):
        parts.append(form.between if began else b"")
        parts.append(form.write(shape.row(item)))
        began = True
        if number % chunk_size == 0:
            yield b"".join(parts)
            parts = []
    parts.append(form.last)
    rest = b"".join(parts)
    if rest:
        yield rest


def _streamed(source: Any, form: _Form, chunk_size: int, mask_pii: bool) -> Iterator[bytes]:
    shape = _Shape(source, mask_pii)
    rows = _rows_of(source, chunk_size)
    return _joined(form, shape, _unseen(rows) if mask_pii and _loads(source) else iter(rows), chunk_size)


async def _astreamed(source: Any, form: _Form, chunk_size: int, mask_pii: bool) -> AsyncIterator[bytes]:
    shape = _Shape(source, mask_pii)
    parts = [form.first]
    number = 0
    async with aclosing(_arows_of(source, chunk_size, mask_pii)) as items:
        async for item in items:
            parts.append(form.between if number else b"")
            parts.append(form.write(shape.row(item)))
            number += 1
            if number % chunk_size == 0:
                yield b"".join(parts)
                parts = []
    parts.append(form.last)
    rest = b"".join(parts)
    if rest:
        yield rest


def stream_json(source: Any, *, chunk_size: int = 1000, mask_pii: bool = False) -> Iterator[bytes]:
    """Give one JSON list of objects; ``[]`` for an empty source.

    Args:
        chunk_size: rows fetched and given at a time. mask_pii: replace personal data, see the module.
    """
    return _streamed(source, _json_form(), _checked(chunk_size), mask_pii)


def astream_json(source: Any, *, chunk_size: int = 1000, mask_pii: bool = False) -> AsyncIterator[bytes]:
    """Async twin of `stream_json`."""
    return _astreamed(source, _json_form(), _checked(chunk_size), mask_pii)


def stream_jsonl(source: Any, *, chunk_size: int = 1000, mask_pii: bool = False) -> Iterator[bytes]:
    """Give one JSON object a line; nothing for an empty source."""
    return _streamed(source, _jsonl_form(), _checked(chunk_size), mask_pii)


def astream_jsonl(source: Any, *, chunk_size: int = 1000, mask_pii: bool = False) -> AsyncIterator[bytes]:
    """Async twin of `stream_jsonl`."""
    return _astreamed(source, _jsonl_form(), _checked(chunk_size), mask_pii)


def stream_ndjson_pretty(source: Any, *, chunk_size: int = 1000, mask_pii: bool = False) -> Iterator[bytes]:
    """Give JSON objects one after the other, indented for people."""
    return _streamed(source, _pretty_form(), _checked(chunk_size), mask_pii)


def astream_ndjson_pretty(source: Any, *, chunk_size: int = 1000, mask_pii: bool = False) -> AsyncIterator[bytes]:
    """Async twin of `stream_ndjson_pretty`."""
    return _astreamed(source, _pretty_form(), _checked(chunk_size), mask_pii)


def stream_csv(
    source: Any,
    *,
    chunk_size: int = 1000,
    columns: list[str] | None = None,
    mask_pii: bool = False,
    guard_formulas: bool = False,
) -> Iterator[bytes]:
    """Give CSV with a header.

    Args:
        columns: names and their order; unknown ones give empty cells. None takes those of the first row.
        guard_formulas: put an apostrophe before text that a spreadsheet would run (``=``, ``+``, ``-``, ``@``).
    """
    sheet = _Csv(list(columns) if columns is not None else None, guard_formulas)
    return _with_end(_streamed(source, _Form(b"", b"", b"", sheet.line), _checked(chunk_size), mask_pii), sheet)


def _with_end(chunks: Iterator[bytes], sheet: _Csv) -> Iterator[bytes]:
    yield from chunks
    end = sheet.end()
    if end:
        yield end


def astream_csv(
    source: Any,
    *,
    chunk_size: int = 1000,
    columns: list[str] | None = None,
    mask_pii: bool = False,
    guard_formulas: bool = False,
) -> AsyncIterator[bytes]:
    """Async twin of `stream_csv`."""
    sheet = _Csv(list(columns) if columns is not None else None, guard_formulas)
    return _awith_end(_astreamed(source, _Form(b"", b"", b"", sheet.line), _checked(chunk_size), mask_pii), sheet)


async def _awith_end(chunks: AsyncIterator[bytes], sheet: _Csv) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
    end = sheet.end()
    if end:
        yield end


def stream_bytes(source: Any) -> Iterator[bytes]:
    """Give the items of an iterable as bytes: bytes as they are, text as UTF-8, everything else as JSON."""
    for item in source:
        if isinstance(item, (bytes, bytearray, memoryview)):
            yield bytes(item)
        else:
            yield item.encode() if isinstance(item, str) else _encode(item).encode()
