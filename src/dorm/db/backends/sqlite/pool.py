"""The pool of blocking code: idle connections in a stack, as many open as are used at once."""

from __future__ import annotations

from typing import Any, TypeVar

from dorm.db.backends.sqlite.driver import SqliteConnection
from dorm.db.backends.sqlite.store import Store
from dorm.db.driver import SyncConnection, SyncPool
from dorm.db.pool import ForkAware
from dorm.db.request import StatementRequest

T = TypeVar("T")

MOST_IDLE = 10
"""Connections kept open while nobody uses them."""


class SqlitePool(SyncPool, ForkAware):
    """Connections to one store. Taking from and adding to a list's end are atomic under the GIL: no lock is needed."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._idle: list[SqliteConnection] = []
        self._parents: list[SqliteConnection] = []
        self._opened = 0
        self._closed = False
        store.pools.add(self)

    def forked(self) -> None:
        # The parent's handles must not be used nor closed here: SQLite drops the parent's file locks otherwise
        # (https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_).
        self._parents, self._idle = [*self._parents, *self._idle], []
        self._opened = 0

    def perform(self, request: StatementRequest[T], /) -> T:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.acquire()
        try:
            return request.on(connection)
        finally:
            # After dorm's own SELECTs, which are most statements, `release` has nothing to ask.
            if connection.doubtful or self._closed or len(self._idle) >= MOST_IDLE:
                self.release(connection)
            else:
                self._idle.append(connection)

    def acquire(self) -> SqliteConnection:
        try:
            return self._idle.pop()
        except IndexError:
            connection = SqliteConnection(self._store)
            connection.hear_signals()
            self._opened += 1
            return connection

    def release(self, connection: SyncConnection) -> None:
        assert isinstance(connection, SqliteConnection), "what was acquired comes back"
        if connection.is_clean and not self._closed and len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            self._opened -= 1
            connection.abort()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()
            self._opened -= 1
        self._store.close()

    def suspect(self) -> None:
        for _ in range(len(self._idle)):
            try:
                connection = self._idle.pop(0)
            except IndexError:
                return
            if connection.is_stale:
                self._opened -= 1
                connection.close()
            else:
                self._idle.append(connection)

    def stats(self) -> dict[str, Any]:
        idle = len(self._idle)
        return {
            "pool_min": 0,
            "pool_max": None,
            "pool_size": self._opened,
            "pool_available": idle,
            "requests_waiting": self._store.writer.waiting,
            "max_size": None,
            "in_use": self._opened - idle,
        }


__all__ = ["SqlitePool", "Store"]
