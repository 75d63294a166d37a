"""What a block of code sent: every statement, or only their number.

A log sees the statements of its own context: the code of the block, what it calls, and the tasks it starts. Threads
that the block starts have contexts of their own.
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from dorm.contrib.querystats import TemplateStats as _Stats, checked_size
from dorm.db import hooks
from dorm.db.forks import in_child
from dorm.db.hooks import Observation
from dorm.db.template import template_of

MOST_RECORDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """One statement: text with placeholders, parameters as they were sent, milliseconds, what it raised."""

    sql: str
    params: tuple[Any, ...]
    vendor: str
    elapsed_ms: float
    error: BaseException | None = None
    alias: str = "default"
    template: str = ""

    def to_dict(self, *, include_params: bool = False) -> dict[str, Any]:
        """Return it for JSON; parameters only when asked for, as text where JSON has no form for them."""
        found: dict[str, Any] = {
            "sql": self.sql,
            "vendor": self.vendor,
            "alias": self.alias,
            "elapsed_ms": round(self.elapsed_ms, 3),
            "error": type(self.error).__name__ if self.error is not None else None,
        }
        if include_params:
            found["params"] = [_as_json(value) for value in self.params]
        return found


def _as_json(value: Any) -> Any:
    """Return a parameter as JSON has it: bytes in hexadecimal, what JSON has no form for as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in value]
    return str(value)


@dataclass(frozen=True, slots=True)
class TemplateStats:
    """Statements of one template within a log."""

    template: str
    count: int
    total_ms: float
    p50_ms: float
    p95_ms: float


_logs: ContextVar[tuple[Callable[[Observation], None], ...]] = ContextVar("dorm_querylogs", default=())
_lock = threading.Lock()


def _forked(module: Any) -> None:
    module._lock = threading.Lock()


in_child(sys.modules[__name__], _forked)
_users = 0
_uninstall: hooks.Uninstall | None = None


def _spread(seen: Observation) -> None:
    for log in _logs.get():
        log(seen)


def watch(observe: Callable[[Observation], None]) -> Callable[[], None]:
    """Call *observe* for each statement of the current context and its tasks; return the function that ends that."""
    global _users, _uninstall
    before = _logs.get()
    _logs.set((*before, observe))
    with _lock:
        _users += 1
        if _uninstall is None:
            _uninstall = hooks.install_observer(_spread)

    def end() -> None:
        global _users, _uninstall
        _logs.set(tuple(each for each in _logs.get() if each is not observe))
        with _lock:
            _users -= 1
            if not _users and _uninstall is not None:
                _uninstall()
                _uninstall = None

    return end


class QueryLog:
    """Records the statements of a block; a context manager, sync and async.

    Args:
        max_records: records kept, the latest; `count` and `total_ms` are of all.
    """

    def __init__(self, *, max_records: int = MOST_RECORDS) -> None:
        self._records: deque[QueryRecord] = deque(maxlen=checked_size("max_records", max_records))
        self._end: Callable[[], None] | None = None
        self.count = 0
        self.total_ms = 0.0

    @property
    def records(self) -> list[QueryRecord]:
        """The records, oldest first."""
        return list(self._records)

    def _observe(self, seen: Observation) -> None:
        if seen.kind != "statement":
            return
        ms = seen.elapsed_ms
        template = template_of(seen.statement, seen.vendor)
        self._records.append(
            QueryRecord(seen.sql, tuple(seen.params), seen.vendor, ms, seen.error, seen.alias, template)
        )
        self.count += 1
        self.total_ms += ms

    def __enter__(self) -> Self:
        if self._end is not None:
            raise RuntimeError("this log is in use already: make one for each block")
        self._end = watch(self._observe)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        end, self._end = self._end, None
        if end is not None:
            end()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def summary(self) -> list[TemplateStats]:
        """Return the statements by template, the largest total first."""
        found: dict[str, _Stats] = {}
        for record in self._records:
            stats = found.setdefault(record.template, _Stats(record.template, reservoir_max=MOST_RECORDS))
            stats.add(record.elapsed_ms)
        made = [
            TemplateStats(each.template, each.count, each.total_ms, each.percentile(0.5), each.percentile(0.95))
            for each in found.values()
        ]
        return sorted(made, key=lambda each: each.total_ms, reverse=True)

    def to_dicts(self, *, include_params: bool = False) -> list[dict[str, Any]]:
        """Return the records for JSON."""
        return [record.to_dict(include_params=include_params) for record in self._records]

    def dump_json(self, path: str | PathLike[str], *, include_params: bool = False) -> str:
        """Write the records as one JSON list; return the path."""
        Path(path).write_text(json.dumps(self.to_dicts(include_params=include_params), indent=1), "utf-8")
        return str(path)

    def dump_jsonl(self, path: str | PathLike[str], *, include_params: bool = False) -> str:
        """Write the records as JSON, one a line; return the path."""
        lines = [json.dumps(each) for each in self.to_dicts(include_params=include_params)]
        Path(path).write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return str(path)

    def dump_parquet(self, path: str | PathLike[str], *, include_params: bool = False) -> str:
        """Write the records as a Parquet file, parameters as JSON text; return the path.

        Raises: ImportError: pyarrow is not installed; the message names the extra.
        """
        try:
            pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError as exc:
            raise ImportError("pyarrow is not installed: pip install 'dormdb[parquet]'") from exc
        text, number = pyarrow.string(), pyarrow.float64()
        columns = {"sql": text, "vendor": text, "alias": text, "elapsed_ms": number, "error": text}
        rows = self.to_dicts(include_params=include_params)
        if include_params:
            columns["params"] = text
            for row in rows:
                row["params"] = json.dumps(row["params"])
        parquet.write_table(pyarrow.Table.from_pylist(rows, pyarrow.schema(columns)), str(path))
        return str(path)


@contextmanager
def query_log(*, max_records: int = MOST_RECORDS) -> Generator[QueryLog]:
    """Record the statements of the block."""
    with QueryLog(max_records=max_records) as log:
        yield log


Scope = MutableMapping[str, Any]


class QueryLogASGIMiddleware:
    """Records the statements of each HTTP request; the `QueryLog` stands in ``scope["dorm_querylog"]``."""

    def __init__(self, app: Callable[[Scope, Any, Any], Awaitable[None]], *, max_records: int = 10_000) -> None:
        self.app = app
        self.max_records = max_records

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with QueryLog(max_records=self.max_records) as log:
            scope["dorm_querylog"] = log
            await self.app(scope, receive, send)
