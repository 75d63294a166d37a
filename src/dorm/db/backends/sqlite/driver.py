"""One SQLite connection, blocking. It may move between threads but is never used by two at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from itertools import chain
from time import monotonic
from typing import Any, TypeVar

import apsw

from dorm.db.backends.sqlite.errors import removed, translated
from dorm.db.backends.sqlite.store import Store
from dorm.db.deferred import Deferred
from dorm.db.driver import Rows, SyncConnection, SyncCursor
from dorm.db.limits import within
from dorm.db.pool import Waiter
from dorm.db.statement import Statement
from dorm.db.streams import Streams, over
from dorm.exceptions import OperationalError, TransactionManagementError

T = TypeVar("T")

_DRIVER_ERRORS = (apsw.Error, TypeError, ValueError, ArithmeticError, LookupError, re.error)
"""What apsw raises, and what the functions do that dorm registers: they refuse values in Python's words."""


_LAST_KEY = 2**63 - 1
_FAR_APART = 2**32
_TRIGGERS = (
    "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE "
    "UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
)
"""What may drop rows of an INSERT, or write further ones between them."""

_UNSYNCED = (0, 1)
"""``PRAGMA synchronous`` OFF and NORMAL (https://www.sqlite.org/pragma.html#pragma_synchronous)."""

_LOOK = 1.0
"""Seconds between two looks at whether a connection's file is the one that has its name."""

_STEPS_BETWEEN_SIGNALS = 2_000_000
"""Instructions of SQLite's virtual machine, some 30 ms."""


def _goes_on() -> bool:
    return False


def _in_order(rows: Rows) -> Rows:
    """Return what an INSERT of several rows gave back, which begins with their keys, in the order of the rows.

    RETURNING promises no order, and keys are counted upwards; but where the largest possible one is taken SQLite draws
    them at random, far from one another, and only the order in which it gives them is left.
    """
    counted = sorted(rows)
    return rows if rows and counted[-1][0] - counted[0][0] > _FAR_APART else counted


class SqliteConnection(SyncConnection):
    """A connection; outside transactions each statement that may write waits for its turn in the writers' queue."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._db = store.open()
        self._file = store.file()
        self._looks_at = monotonic() + _LOOK
        self._cursor = self._db.cursor()
        self._run = self._cursor.execute
        self._open = True
        self._gone = False
        self._holds_writer = False
        self._began = False
        self._waiter: Waiter | None = None
        self.doubtful = False
        self.deferred = Deferred()
        self.streams = Streams()

    # -- state ---------------------------------------------------------------------------------------------------
    @property
    def usable(self) -> bool:
        return self._open and not self._gone

    @property
    def in_transaction(self) -> bool:
        return self._open and (self._began or self._db.in_transaction)

    @property
    def is_clean(self) -> bool:
        """True when the connection may be handed to somebody else: usable, and in no transaction.

        SQLite is asked only after something else than what dorm compiled as a SELECT or as a write of one row, which
        cannot have opened a transaction.
        """
        if not self.doubtful:
            return True
        self.doubtful = False
        return not self.in_transaction and self.usable

    @property
    def is_doomed(self) -> bool:
        return self._began and not self.deferred and not self._db.in_transaction

    def never_wait(self, is_over: Callable[[], bool], steps: int) -> None:
        """Interrupt every statement once *is_over* (asked every *steps* instructions), and never wait for a lock."""
        self._db.set_progress_handler(is_over, steps)
        self._db.set_busy_timeout(0)

    def hear_signals(self) -> None:
        """Let Ctrl-C end a statement that runs long: signal handlers of Python run in between.

        A look needs the interpreter's lock, which other threads may hold for 5 ms: it is rare.
        """
        self._db.set_progress_handler(_goes_on, _STEPS_BETWEEN_SIGNALS)

    def enforce_foreign_keys(self, on: bool) -> None:
        """Switch the enforcement of foreign keys; allowed in a transaction too, where the PRAGMA does nothing."""
        self._db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, int(on))

    @property
    def has_turn(self) -> bool:
        """True inside a transaction that has begun and may write: its writes wait for nobody."""
        return self._holds_writer and self._began and not self.deferred

    def write_at_once(self, send: Callable[[SqliteConnection], T]) -> T | None:
        """Let *send* write outside a transaction if it is nobody's turn; None when it is somebody's."""
        self._check_file()
        if not self._store.writer.try_acquire():
            return None
        self._holds_writer = True
        try:
            return send(self)
        finally:
            self._give_writer_back()

    def tell_commits(self, before: Callable[[], None], after: Callable[[int], None]) -> None:
        """Call *before* when a COMMIT begins, and *after* it with the pages that the write-ahead log has by then.

        The log is not copied into the database then, as SQLite does by itself every so many pages.
        """

        def begins() -> bool:
            before()
            return False

        def ended(_: apsw.Connection, __: str, pages: int) -> int:
            after(pages)
            return apsw.SQLITE_OK

        self._db.set_commit_hook(begins)
        self._db.set_wal_hook(ended)

    def commits_to_memory(self) -> bool:
        """True when a COMMIT waits for no disk: in memory, or in a write-ahead log that is not synced."""
        if self._store.in_memory:
            return True
        return self._db.pragma("journal_mode") == "wal" and self._db.pragma("synchronous") in _UNSYNCED

    # -- statements ----------------------------------------------------------------------------------------------
    def query(self, statement: Statement) -> Rows:
        template = statement.template
        if self._began:
            if self.deferred:
                self._flush()
            if not self._db.in_transaction:
                self._check_transaction()
        elif not template.reads:
            return self._writing(self._fetch, statement)
        try:
            rows = self._run(template.sql, statement.params)
            return self._counted_key() if template.tells_key else rows.fetchall()
        except _DRIVER_ERRORS as exc:
            raise self._translated(exc, statement) from exc

    def _fetch(self, statement: Statement) -> Rows:
        rows = self._run(statement.template.sql, statement.params)
        return self._counted_key() if statement.template.tells_key else rows.fetchall()

    def _counted_key(self) -> Rows:
        # It costs half of what RETURNING does. A trigger may have dropped the row: then there is none.
        return [(self._db.last_insert_rowid(),)] if self._db.changes() else []

    def execute(self, statement: Statement) -> int:
        return self._writing(self._changes, statement)

    def _changes(self, statement: Statement) -> int:
        if statement.template.model:
            # Compiled by dorm: an INSERT, UPDATE or DELETE.
            self._run(statement.template.sql, statement.params).fetchall()
            return self._db.changes()
        before = self._db.total_changes()
        self._run(statement.template.sql, statement.params).fetchall()
        # changes() keeps the number of the latest write; a statement that is none must not report it again.
        return self._db.changes() if self._db.total_changes() != before else 0

    def table(self, statement: Statement) -> tuple[tuple[str, ...], Rows]:
        return self._writing(self._table, statement)

    def _table(self, statement: Statement) -> tuple[tuple[str, ...], Rows]:
        columns: tuple[str, ...] = ()

        def described(cursor: apsw.Cursor, *_: Any) -> bool:
            nonlocal columns
            columns = tuple(name for name, *_ in cursor.get_description())
            return True

        cursor = self._db.cursor()
        cursor.exec_trace = described
        rows = cursor.execute(statement.template.sql, statement.params).fetchall()
        return columns, rows

    def execute_many(self, statement: Statement) -> int:
        return self._writing(self._changes_of_many, statement)

    def _changes_of_many(self, statement: Statement) -> int:
        before = self._db.total_changes()
        self._cursor.executemany(statement.template.sql, statement.params).fetchall()
        return self._db.total_changes() - before

    def query_many(self, statement: Statement) -> Rows:
        return self._writing(self._rows_of_many, statement)

    def _rows_of_many(self, statement: Statement) -> Rows:
        template, rows = statement.template, statement.params
        found: Rows = []
        whole = 0
        if template.many is not None:
            sql, number, silent, table = template.many
            whole = len(rows) - len(rows) % number
            regular = False
            for start in range(0, whole, number):
                params = list(chain.from_iterable(rows[start : start + number]))
                if silent is not None and regular:
                    self._run(silent, params)
                    last = self._db.last_insert_rowid()
                    found += zip(range(last - number + 1, last + 1), strict=True)
                    continue
                found += _in_order(self._run(sql, params).fetchall())
                regular = start == 0 and number < whole and self._counts_on(table, found)
        if whole < len(rows):
            found += self._cursor.executemany(template.sql, rows[whole:]).fetchall()
        return found

    def _counts_on(self, table: str, keys: Rows) -> bool:
        """Return whether the keys of the next rows follow those just counted one by one: RETURNING need not tell them.

        https://www.sqlite.org/autoinc.html: the next one is the largest plus one, until there is none.
        """
        if not keys or keys[-1][0] - keys[0][0] != len(keys) - 1:
            return False
        if keys[-1][0] != self._db.last_insert_rowid() or keys[-1][0] > _LAST_KEY // 2:
            return False
        return not self._run(_TRIGGERS, (table, table)).fetchall()

    def script(self, statement: Statement) -> int:
        self._writing(self._fetch, statement)
        return -1

    def open(self, statement: Statement, chunk_size: int) -> SyncCursor:
        try:
            if self.deferred:
                self._flush()
            rows = self._db.cursor().execute(statement.template.sql, statement.params)
        except _DRIVER_ERRORS as exc:
            raise self._translated(exc, statement) from exc
        return SqliteCursor(self, rows, statement, chunk_size)

    def _writing(self, send: Callable[[Statement], T], statement: Statement) -> T:
        """Send a statement that may write: in its turn, unless a transaction of this connection has it already."""
        one_row = statement.template.one_row
        if not one_row:
            self.doubtful = True
        if self._began:
            if self.deferred:
                self._flush()
            self._check_transaction()
        taken = not self._holds_writer and not self._began and (one_row or not is_select(statement))
        if taken:
            self._take_writer(statement)
        try:
            return send(statement)
        except _DRIVER_ERRORS as exc:
            raise self._translated(exc, statement) from exc
        finally:
            if taken:
                self._store.writer.release()

    def _check_transaction(self) -> None:
        if not self._db.in_transaction:
            raise TransactionManagementError(
                "SQLite rolled this transaction back when a write in it was interrupted or failed: "
                "leave the block and run it again."
            )

    @property
    def is_stale(self) -> bool:
        """True when the name of the file stands for another one by now, or for none."""
        return self._file != self._store.file()

    def _check_file(self) -> None:
        """Look now and then whether the file is still there: what is written into a removed one is lost in silence."""
        now = monotonic()
        if now < self._looks_at:
            return
        self._looks_at = now + _LOOK
        if self.is_stale:
            self._gone = self.doubtful = True
            self._store.suspect()
            raise removed(self._store.alias)

    def _take_writer(self, statement: Statement | None) -> None:
        self._check_file()
        writer = self._store.writer
        if not writer.try_acquire():
            writer.acquire(within(self._store.timeout), self._waits)
            self._waiter = None

    def _waits(self, waiter: Waiter) -> None:
        self._waiter = waiter

    def _translated(self, exc: Exception, statement: Statement | None) -> Exception:
        return translated(exc, statement, self._store.alias)

    # -- transactions --------------------------------------------------------------------------------------------
    def begin(self, statement: Statement) -> None:
        self.doubtful = True
        self._began = True
        super().begin(statement)

    def _flush(self) -> None:
        """Send what waits; what fails goes on waiting, so that nothing after it happens outside the transaction."""
        while self.deferred:
            statement = self.deferred.first()
            if self._db.in_transaction:
                self._control(statement)
            else:
                self._begin(statement)
            self.deferred.sent()

    def _begin(self, statement: Statement) -> None:
        writes = not statement.template.reads
        sql = statement.sql
        if writes:
            self._take_writer(statement)
            self._holds_writer = True
            sql = f"BEGIN {self._store.mode}"
        try:
            self._run(sql)
            if not writes:
                self._run("PRAGMA query_only = ON").fetchall()
        except BaseException as exc:
            self._give_writer_back()
            if isinstance(exc, _DRIVER_ERRORS):
                raise self._translated(exc, statement) from exc
            raise

    def control(self, statement: Statement) -> None:
        self._flush()
        self._check_transaction()
        self._control(statement)

    def _control(self, statement: Statement) -> None:
        try:
            self._run(statement.sql)
        except apsw.Error as exc:
            raise self._translated(exc, statement) from exc

    def commit(self) -> None:
        self.has_committed = False
        self._end_streams()
        if not self._open:
            raise OperationalError("the connection was closed before COMMIT: nothing of the transaction was kept")
        if self._db.in_transaction or not self.deferred:
            self._check_transaction()
            try:
                self._run("COMMIT")
            except apsw.Error as exc:
                raise self._translated(exc, None) from exc
            except BaseException:
                # Ctrl-C is heard when SQLite is through.
                self.has_committed = not self._db.in_transaction
                if self.has_committed:
                    self._ended()
                raise
        self.has_committed = True
        self._ended()

    def rollback(self) -> None:
        self._end_streams()
        try:
            if self._open and self._db.in_transaction:
                self._run("ROLLBACK")
        except apsw.Error as exc:
            self.abort()
            raise self._translated(exc, None) from exc
        finally:
            self._ended()

    def _end_streams(self) -> None:
        for cursor in self.streams.all():
            cursor.close()

    def _ended(self) -> None:
        self._began = False
        self.deferred.clear()
        if self._open and not self._holds_writer:
            self._run("PRAGMA query_only = OFF").fetchall()
        self._give_writer_back()

    def _give_writer_back(self) -> None:
        if self._holds_writer:
            self._holds_writer = False
            self._store.writer.release()

    # -- ends ----------------------------------------------------------------------------------------------------
    def interrupt(self) -> None:
        """Stop what another thread is doing on this connection: its statement, or its wait for its turn."""
        waiter = self._waiter
        if waiter is not None:
            self._store.writer.give_up(waiter)
        if self._open:
            with contextlib.suppress(apsw.ConnectionClosedError):
                self._db.interrupt()

    def cancel(self) -> None:
        self.interrupt()

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._began = False
            self.doubtful = True
            self.deferred.clear()
            self._db.close(True)
            self._give_writer_back()


class SqliteCursor(SyncCursor):
    """Rows of one SELECT, stepped chunk by chunk."""

    def __init__(self, connection: SqliteConnection, rows: apsw.Cursor, statement: Statement, chunk_size: int) -> None:
        self.connection = connection
        self._rows = rows
        self._statement = statement
        self._alias = connection._store.alias
        self._size = chunk_size
        self.is_over = False
        self._streams = connection.streams
        self._streams.opened(self)
        try:
            self.columns = tuple(name for name, *_ in rows.get_description())
        except apsw.ExecutionCompleteError:
            self.columns = ()

    def fetch(self) -> Rows:
        if self.is_over:
            raise over(self._alias)
        found: Rows = []
        try:
            for row in self._rows:
                found.append(row)
                if len(found) == self._size:
                    break
        except _DRIVER_ERRORS as exc:
            raise translated(exc, self._statement, self._alias) from exc
        return found

    def close(self) -> None:
        self._streams.closed(self)
        if self.connection.usable:
            self._rows.close(True)


def is_select(statement: Statement) -> bool:
    """True for a statement that only reads by its first word: what registered functions do in it is their business."""
    if statement.template.reads:
        return True
    return statement.template.sql.lstrip()[:6].upper() == "SELECT"
