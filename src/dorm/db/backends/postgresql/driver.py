"""A blocking PostgreSQL connection: a thin face over psycopg's; see `aio` for the other one."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg

from dorm.db.backends.postgresql.adapt import natural
from dorm.db.backends.postgresql.ahead import AheadCursor
from dorm.db.backends.postgresql.cursors import PostgresCopy, PostgresCursor
from dorm.db.backends.postgresql.errors import DRIVER_ERRORS
from dorm.db.backends.postgresql.prepared import PreparedCursor, as_they_are
from dorm.db.backends.postgresql.session import (
    COMMIT,
    IDLE,
    IN_TRANSACTION,
    NO_NAMES,
    ROLLBACK,
    SessionState,
    cursor_names,
    prepares,
)
from dorm.db.backends.postgresql.uninterrupted import Uninterrupted
from dorm.db.driver import Rows, SyncConnection, SyncCursor, Take
from dorm.db.statement import Statement, Template
from dorm.exceptions import DatabaseError

_CANCELLING = 2.0
"""Seconds that a request to cancel may take."""


class PostgresConnection(SessionState["psycopg.Connection[Any]"], SyncConnection):
    """A blocking connection."""

    def __init__(self, raw: psycopg.Connection[Any], alias: str) -> None:
        super().__init__(raw, alias)
        self._typed = PreparedCursor(raw)
        self._control = psycopg.RawCursor(raw)
        self._natural: PreparedCursor | None = None
        self._cursor = self._typed
        # psycopg types a query as LiteralString; dorm's texts are compiled, never spliced.
        self._run: Any = self._typed.execute
        self._run_many: Any = self._typed.executemany

    def _choose(self, template: Template) -> Any:
        """Make the cursor that types parameters as *template* wants it the one in use; return its ``execute``."""
        if template.natural:
            chosen = self._natural = self._natural or natural(PreparedCursor(self.raw))
            self._cursor = chosen
            return chosen.execute
        self._cursor = self._typed
        return self._run

    def _send(self, statement: Statement, take: Take | None = None) -> None:
        if self._cursor.reader:
            self.check_is_free()
        if self.deferred:
            if self.is_far:
                self._ride(statement)
                return
            self._flush()
        template = statement.template
        run = self._choose(template)
        self._cursor.take = take
        try:
            run(template.sql, statement.params, prepare=prepares(statement), binary=template.binary)
        except DRIVER_ERRORS as exc:
            if self.is_stale(exc):
                self._send_unprepared(statement)
                return
            raise self.failed(exc, statement) from exc

    def _flush(self) -> None:
        """Send what waits; what fails goes on waiting, so that nothing after it happens outside the transaction."""
        if self._cursor.reader:
            self.check_is_free()
        begins = self.raw.pgconn.transaction_status == IDLE
        while self.deferred:
            statement = self.deferred.first()
            start = time.perf_counter()
            try:
                self._run(statement.sql, (), prepare=False)
            except DRIVER_ERRORS as exc:
                made = self.failed(exc, statement)
                made.nothing_done = begins
                raise made from exc
            self.deferred.sent()
            begins = False
            self.took(time.perf_counter() - start)

    def _ride(self, statement: Statement) -> None:
        """Send what waits and *statement* in one trip; results are read after the pipeline is left.

        Of several errors psycopg raises the first, the others being consequences. While BEGIN has not succeeded it goes
        on waiting, so that nothing after it happens outside the transaction.
        """
        waiting = self.deferred.all()
        begins = self.raw.pgconn.transaction_status == IDLE
        template = statement.template
        run = self._choose(template)
        control: Any = self._control.execute
        try:
            with self.raw.pipeline():
                for each in waiting:
                    control(each.sql, prepare=False)
                run(template.sql, statement.params, prepare=prepares(statement), binary=template.binary)
                if self._commit_rides:
                    control(COMMIT.sql, prepare=False)
        except DRIVER_ERRORS as exc:
            raise self.failed_riding(exc, statement, begins) from exc
        finally:
            self.left_pipeline()
            if self._commit_rides or self.raw.pgconn.transaction_status in IN_TRANSACTION:
                self.deferred.sent(len(waiting))

    def _send_unprepared(self, statement: Statement) -> None:
        self._stale_plans = True
        run: Any = self._cursor.execute
        try:
            run(statement.sql, statement.params, prepare=False, binary=statement.template.binary)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc

    def query(self, statement: Statement) -> Rows:
        self._send(statement, as_they_are if statement.template.large else None)
        return self.answer(statement)

    def query_in_pieces(self, statement: Statement, take: Take) -> list[Any]:
        self._send(statement, take)
        return self.answer(statement, take)

    def query_all(self, statements: Sequence[Statement]) -> list[Rows]:
        found: list[Rows] = []
        if self.deferred or not self.is_far:
            trips = []
            for statement in statements if not self.is_far else statements[:1]:
                start = time.perf_counter()
                found.append(self.query(statement))
                trips.append(time.perf_counter() - start)
            if not self.is_far:
                # The quickest one tells most of the way, and least of the server's work.
                self.took(min(trips))
                return found
        return found + self._piped(statements[len(found) :])

    def _piped(self, statements: Iterable[Statement]) -> list[Rows]:
        """Send statements in one pipeline, each while the server works on those before it."""
        statement: Statement | None = None
        cursors: list[Any] = []
        try:
            with self.raw.pipeline():
                for statement in statements:
                    template = statement.template
                    cursor: Any = psycopg.RawCursor(self.raw)
                    cursors.append(cursor)
                    cursor.execute(template.sql, statement.params, prepare=prepares(statement), binary=template.binary)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        finally:
            self.left_pipeline()
        return [cursor.fetchall() for cursor in cursors]

    def execute(self, statement: Statement) -> int:
        self._send(statement)
        return self._cursor.rowcount

    def table(self, statement: Statement) -> tuple[tuple[str, ...], Rows]:
        self._send(statement)
        described = self._cursor.description
        if described is None:
            return NO_NAMES, []
        return tuple(column.name for column in described), self.answer(statement)

    def execute_many(self, statement: Statement) -> int:
        self._flush()
        try:
            self._run_many(statement.sql, statement.params)
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return self._typed.rowcount

    def query_many(self, statement: Statement) -> Rows:
        each = (Statement(statement.template, params) for params in statement.params)
        found: Rows = []
        if len(statement.params) == 1 or (self.deferred and self.is_far):
            for first in itertools.islice(each, 1):
                found = self.query(first)
        if len(statement.params) > 1:
            self._flush()
            for rows in self._piped(each):
                found.extend(rows)
        return found

    def script(self, statement: Statement) -> int:
        self._flush()
        try:
            self.raw.execute(statement.sql.encode())
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return -1

    def open(self, statement: Statement, chunk_size: int) -> SyncCursor:
        self._flush()
        cursor = AheadCursor(self.raw, f"dorm_{next(cursor_names)}")
        opened = PostgresCursor(self, cursor, statement, chunk_size)
        try:
            run: Any = cursor.execute
            run(statement.sql, statement.params, binary=statement.template.binary)
        except BaseException as exc:
            opened.close()
            if not isinstance(exc, DRIVER_ERRORS):
                raise
            raise self.failed(exc, statement) from exc
        return opened.described()

    def copy_in(self, statement: Statement, rows: Iterable[Sequence[Any]], types: tuple[str, ...]) -> int:
        self._flush()
        count = 0
        try:
            with psycopg.Cursor(self.raw).copy(statement.sql.encode()) as copy:
                if types:
                    copy.set_types(types)
                for row in rows:
                    copy.write_row(row)
                    count += 1
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return count

    def open_copy(self, statement: Statement, sql: str, params: Any, binary: bool, chunk_size: int) -> SyncCursor:
        self._flush()
        cursor = psycopg.Cursor(self.raw)
        run: Any = cursor.execute
        try:
            run(f"SELECT * FROM ({sql.rstrip().rstrip(';')}) q LIMIT 0", params)
            described = cursor.description or []
            text = f"COPY ({sql.rstrip().rstrip(';')}) TO STDOUT{' (FORMAT BINARY)' if binary else ''}"
            copying: Any = cursor.copy
            context = copying(text, params)
            copy = context.__enter__()
            copy.set_types([column.type_code for column in described])
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, statement) from exc
        return PostgresCopy(self, context, copy.rows(), statement, tuple(c.name for c in described), chunk_size)

    def listen(self, channel: str) -> Iterator[tuple[str, str, int]]:
        try:
            self.raw.execute(f"LISTEN {channel}".encode())
            for each in self.raw.notifies():
                yield each.channel, each.payload, each.pid
        except DRIVER_ERRORS as exc:
            raise self.failed(exc, None) from exc

    def release(self, name: str, statement: Statement) -> None:
        if not self.release_deferred(name, statement):
            self.control(statement)

    def control(self, statement: Statement) -> None:
        self._send(statement)

    def commit(self) -> None:
        self.has_committed = False
        if self.ends_unbegun():
            self.has_committed = True
            return
        with Uninterrupted(self.raw) as interrupted:
            try:
                self._send(COMMIT)
                self.has_committed = True
            except DatabaseError as exc:
                if interrupted.kept is not None:
                    raise interrupted.kept from exc
                raise
            finally:
                self.end_streams()
        if interrupted.kept is not None:
            raise interrupted.kept

    def rollback(self) -> None:
        self.deferred.clear()
        if self.in_transaction:
            try:
                self._send(ROLLBACK)
            finally:
                self.end_streams()

    def ping(self) -> bool:
        """Return whether the server answers."""
        try:
            self.raw.execute("SELECT 1")
        except psycopg.Error:
            self._broken = True
        return self.usable

    def cancel(self) -> None:
        try:
            self.raw.cancel_safe(timeout=_CANCELLING)
        except DRIVER_ERRORS:
            # The server does not answer. Ending the socket wakes the thread that waits for it; closing it here would
            # be a use of the connection by two threads. It may be gone already: then there is no socket to ask for.
            with (
                contextlib.suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(self.raw.pgconn.socket)) as end,
            ):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.raw.close()
