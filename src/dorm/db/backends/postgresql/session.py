"""What both faces of a PostgreSQL connection know of their session: what waits, what broke, how far the server is."""

from __future__ import annotations

import itertools
import time
from threading import get_ident
from typing import Any, Generic, TypeVar

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from dorm.db.backends.postgresql.errors import DRIVER_ERRORS, is_of_stale_plan, translated
from dorm.db.backends.postgresql.prepared import AsyncPreparedCursor, PreparedCursor
from dorm.db.deferred import Deferred
from dorm.db.driver import Take
from dorm.db.statement import Statement, Template
from dorm.db.streams import Streams
from dorm.exceptions import DatabaseError, TransactionManagementError

C = TypeVar("C", bound="psycopg.Connection[Any] | psycopg.AsyncConnection[Any]")

IDLE = TransactionStatus.IDLE
IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE)
FAR = 0.0004
"""Seconds of a trip from which on several statements go out together; a pipeline costs the client some 0.1 ms."""

NO_NAMES: tuple[str, ...] = ()
COMMIT = Statement(Template("COMMIT", prepare=False), (), internal=True)
ROLLBACK = Statement(Template("ROLLBACK", prepare=False), (), internal=True)

cursor_names = itertools.count(1)
"""Numbers for the names of cursors, none used twice in a process."""


def prepares(statement: Statement) -> bool | None:
    """Return what psycopg wants to know: False for what is never prepared, None to let it count."""
    return None if statement.template.prepare else False


class SessionState(Generic[C]):
    """What both faces know of their connection."""

    _cursor: PreparedCursor | AsyncPreparedCursor
    """The one that was used last."""

    def __init__(self, raw: C, alias: str) -> None:
        self.raw = raw
        self.alias = alias
        self.deferred = Deferred()
        self.streams = Streams()
        self.rides = True
        self.is_far = False
        self._commit_rides = False
        self.returned_at = self.handed_out_at = time.monotonic()
        self._broken = False
        self._stale_plans = False

    @property
    def usable(self) -> bool:
        return not self._broken and not self.raw.closed and not self._stale_plans

    @property
    def is_clean(self) -> bool:
        """True when the connection may be handed to somebody else: usable, and in no transaction."""
        return (
            not self._broken
            and not self._stale_plans
            and not self.deferred
            and self.raw.pgconn.transaction_status == IDLE
        )

    @property
    def in_transaction(self) -> bool:
        return bool(self.deferred) or self.raw.pgconn.transaction_status in IN_TRANSACTION

    @property
    def is_doomed(self) -> bool:
        return self.raw.pgconn.transaction_status == TransactionStatus.INERROR

    def ends_unbegun(self) -> bool:
        """Forget what waits, since the transaction ends; True when BEGIN is among it, so that nothing need be sent."""
        unbegun = bool(self.deferred) and self.raw.pgconn.transaction_status == IDLE
        self.deferred.clear()
        return unbegun

    def took(self, seconds: float) -> None:
        """Learn from the time of a trip to the server whether saving trips is worth the work of a pipeline."""
        self.is_far = self.rides and seconds > FAR and psycopg.Pipeline.is_supported()

    def ride_commit(self, wanted: bool) -> bool:
        self._commit_rides = wanted and self.is_far
        return self._commit_rides

    def left_pipeline(self) -> None:
        """Give the connection up when it is in a pipeline still.

        Interrupted while it enters one psycopg leaves it there, and who has it next would wait for answers in vain.
        """
        if self.raw.pgconn.pipeline_status != PipelineStatus.OFF:
            self.abort()

    def failed_riding(self, exc: Exception, statement: Statement, begins: bool) -> DatabaseError:
        """Return the error of a statement with which what waited went out."""
        made = self.failed(exc, statement)
        if not self._commit_rides:
            # Once a COMMIT is under way, a lost connection leaves open what became of it.
            made.nothing_done = begins and made.connection_lost
        return made

    def release_deferred(self, name: str, statement: Statement) -> bool:
        """Let RELEASE wait as well: it cannot fail, unless the transaction has failed already."""
        if self.deferred.released(name):
            return True
        if self.is_far and self.raw.pgconn.transaction_status == TransactionStatus.INTRANS:
            self.deferred.add(statement)
            return True
        return False

    def abort(self) -> None:
        self._broken = True
        self.raw.pgconn.finish()
        self.end_streams()

    def end_streams(self) -> None:
        """Tell the driver that the cursors went with the transaction or the connection: nothing is sent for them."""
        for cursor in self.streams.all():
            cursor.lost()

    def failed(self, exc: Exception, statement: Statement | None) -> DatabaseError:
        """Return the error to raise for what psycopg raised."""
        lost = self.raw.closed or self.raw.pgconn.transaction_status == TransactionStatus.UNKNOWN
        self._broken = self._broken or lost
        if is_of_stale_plan(exc):
            # After an ALTER the plans of this connection are wrong: it is not handed on.
            self._stale_plans = True
        return translated(exc, statement, self.alias, lost)

    def check_is_free(self) -> None:
        """Refuse a statement of a thread that reads an answer just now, and would wait for itself.

        Objects are made meanwhile, so the garbage collector runs, and it may call a finalizer of the user's.
        """
        if self._cursor.reader == get_ident():
            raise TransactionManagementError(
                f"a finalizer sent a statement to {self.alias!r} in the middle of another one: the garbage collector "
                "called it while rows came. Let it take a note, and send the statement later."
            )

    def answer(self, statement: Statement, take: Take | None = None) -> list[Any]:
        """Return the rows that came for *statement*, or what *take* made of them."""
        try:
            return self._cursor.rows(statement.template, take)
        except DRIVER_ERRORS as exc:
            # A value that Python has not: a date after the year 9999.
            raise self.failed(exc, statement) from exc

    def is_stale(self, exc: Exception) -> bool:
        """True when the statement did not run, because its prepared plan belongs to a former shape of the table."""
        return is_of_stale_plan(exc) and self.raw.pgconn.transaction_status == TransactionStatus.IDLE
