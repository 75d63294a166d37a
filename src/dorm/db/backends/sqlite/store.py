"""What all connections to one database file share in this process: how it is opened, and the writers' queue."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

import apsw

from dorm.conf.databases import DatabaseConfig
from dorm.db.backends.sqlite import functions, uri
from dorm.db.backends.sqlite.errors import translated
from dorm.db.pool import FairSemaphore
from dorm.exceptions import ImproperlyConfigured, OperationalError, choices_text, nearest

_JOURNALS = ("DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL", "OFF")
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")
_MODES = ("DEFERRED", "IMMEDIATE", "EXCLUSIVE")
_OPTIONS = ("journal_mode", "synchronous", "timeout", "transaction_mode", "init_command", "inline_budget_ms")
_STATEMENTS = 200
"""Prepared statements that each connection keeps."""

_writers: dict[str, FairSemaphore] = {}
_writers_lock = threading.Lock()


def _writer_of(path: str) -> FairSemaphore:
    """Return the queue of those who write to a file: one a file and process, whatever aliases lead to it."""
    with _writers_lock:
        found = _writers.get(path)
        if found is None:
            found = _writers[path] = FairSemaphore(1, f"the writer's place of {os.path.basename(path)}")
        return found


class Store:
    """One SQLite database.

    Raises: ImproperlyConfigured: an OPTIONS key or value that SQLite does not have.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.alias = config.alias
        self.pid = os.getpid()
        self.in_memory = config.name in ("", ":memory:")
        self.name = f"/dorm-{config.alias}-{self.pid}" if self.in_memory else config.name
        if not self.in_memory and not uri.file_of(config.name):
            raise ImproperlyConfigured(
                f"DATABASES[{config.alias!r}]['NAME'] is a URI of a database in memory, which each connection would "
                "have for itself. NAME ':memory:' is one that they share."
            )
        options = dict(config.options)
        for key in options:
            if key not in _OPTIONS:
                raise ImproperlyConfigured(
                    f"DATABASES[{config.alias!r}]['OPTIONS'] has the unknown key {key!r}.{nearest(key, _OPTIONS)} "
                    f"SQLite takes {choices_text(_OPTIONS)}."
                )
        self.journal = _one_of(config, options, "journal_mode", "MEMORY" if self.in_memory else "WAL", _JOURNALS)
        self.synchronous = _one_of(config, options, "synchronous", "FULL", _SYNCHRONOUS)
        begins = "DEFERRED" if uri.reads_only(config.name) else "IMMEDIATE"
        self.mode = _one_of(config, options, "transaction_mode", begins, _MODES)
        self.timeout = _seconds(config, options, "timeout", 5.0)
        self.inline_seconds = _seconds(config, options, "inline_budget_ms", 0.5) / 1000
        self.init_command = str(options.get("init_command", ""))
        self._path = "" if self.in_memory else os.path.realpath(uri.file_of(self.name))
        self.writer = _writer_of(self._path or self.name)
        self.pools: WeakSet[Any] = WeakSet()
        """Those that are told when the file turns out to be gone: of blocking code, and of each event loop."""
        self._anchor: apsw.Connection | None = None
        self._lock = threading.Lock()

    def open(self) -> apsw.Connection:
        """Return a new connection, set up.

        Raises: OperationalError: the file cannot be opened; the message names it.
        """
        if self.in_memory:
            with self._lock:
                if self._anchor is None or self.pid != os.getpid():
                    # A child of fork() gets an empty database of its own: the parent's handle is never touched.
                    self.pid = os.getpid()
                    self.name = f"/dorm-{self.alias}-{self.pid}"
                    self._anchor = self._opened()
        return self._opened()

    def _opened(self) -> apsw.Connection:
        try:
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            name = f"file:{self.name}?vfs=memdb" if self.in_memory else self.name
            if uri.is_uri(name):
                flags |= apsw.SQLITE_OPEN_URI
            db = apsw.Connection(name, flags=flags, statementcachesize=_STATEMENTS)
            db.set_busy_timeout(int(self.timeout * 1000))
            # The kind of the log stands in the file.
            if not self.in_memory and not db.readonly("main"):
                db.execute(f"PRAGMA journal_mode = {self.journal}").fetchall()
            db.execute(f"PRAGMA synchronous = {self.synchronous}").fetchall()
            db.execute("PRAGMA foreign_keys = ON").fetchall()
            functions.register(db)
            if self.init_command:
                db.execute(self.init_command).fetchall()
        except apsw.CantOpenError as exc:
            made = OperationalError(
                f"cannot open {self.name!r} (DATABASES[{self.alias!r}]['NAME']): does its folder exist, and may this "
                "process write there?"
            )
            made.alias = self.alias
            raise made from exc
        except apsw.Error as exc:
            raise translated(exc, None, self.alias) from exc
        return db

    def file(self) -> tuple[int, int] | None:
        """Return which file the name stands for now; None for none, and in memory."""
        if not self._path:
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def suspect(self) -> None:
        """A connection found its file gone: others must not go on reading it."""
        for pool in list(self.pools):
            pool.suspect()

    def close(self) -> None:
        """Let go of a database in memory: it is gone with its last connection."""
        with self._lock:
            anchor, self._anchor = self._anchor, None
        if anchor is not None and self.pid == os.getpid():
            anchor.close()


def _one_of(config: DatabaseConfig, options: dict[str, Any], key: str, default: str, allowed: tuple[str, ...]) -> str:
    value = str(options.get(key, default)).upper()
    if value not in allowed:
        raise ImproperlyConfigured(
            f"DATABASES[{config.alias!r}]['OPTIONS'][{key!r}] takes one of {choices_text(allowed)}."
        )
    return value


def _seconds(config: DatabaseConfig, options: dict[str, Any], key: str, default: float) -> float:
    try:
        value = float(options.get(key, default))
    except (TypeError, ValueError):
        value = -1.0
    if value < 0:
        raise ImproperlyConfigured(f"DATABASES[{config.alias!r}]['OPTIONS'][{key!r}] takes a number, not negative.")
    return value
