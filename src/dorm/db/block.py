"""Blocks: transactions that are open, who owns them, and connections held for longer than one statement."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from typing import Any

from dorm.db import loops
from dorm.db.dialect import Dialect
from dorm.db.driver import AsyncPool, Face, SyncPool
from dorm.db.request import Connection
from dorm.db.seeing import seen
from dorm.db.statement import Statement
from dorm.exceptions import DatabaseError, TransactionManagementError
from dorm.record import Record, field

_process = 0
"""Number of forks between this process and the first one."""


def _forked() -> None:
    global _process
    _process += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def current_owner() -> object:
    """Return who runs now: the asyncio task, else the thread."""
    if loops.running_loop() is None:
        return threading.get_ident()
    import asyncio

    task = asyncio.current_task()
    return task if task is not None else threading.get_ident()


class Mark(Record, frozen=False, eq=False):
    """A savepoint: its name, and how many callbacks were registered when it was set."""

    name: str
    commit_mark: int
    rollback_mark: int


class Level(Record, frozen=False, eq=False):
    """One ``atomic()`` inside a block: its savepoint (None for the outermost and for ``savepoint=False``).

    Attributes:
        of_test: the transaction around a test, which the code under test knows nothing of.
        owner: the task or thread that opened it, in a pinned block.
    """

    mark: Mark | None
    outermost: bool
    of_test: bool = False
    owner: object = None


class Callback(Record, frozen=False):
    """One ``on_commit`` or ``on_rollback``.

    Attributes:
        at_once: it sends no statement and does no harm where nothing was committed, so that it waits neither for
            autocommit after a ``commit()`` by hand nor for the answer to a COMMIT that was lost.
    """

    call: Callable[[], Any]
    robust: bool
    at_once: bool = False


class Block(Record, frozen=False, eq=False):
    """A connection that belongs to one task or thread for a while, mostly for a transaction.

    Attributes:
        owner: task or thread that opened it; nobody else may use it.
        lease: the hold on the connection, given back at the end of the outermost level.
        ended: set when the block is over; whoever still holds it gets an error.
        needs_rollback: something failed without a savepoint of its own: only a rollback is possible.
        cause: what failed.
        untold: why an inner level could not be undone, where something else was raised out of it.
        asked_to_roll_back: the user set `needs_rollback`.
        pinned: both faces use it (`Database.pin`).
        sees_snapshot: its statements see the data of its beginning, or may do so.
        touched: models written to, each with the savepoint in force; kept by the query cache.
        writes: statements sent in it that were no SELECTs of dorm's.
        timeout_ms: the time limit that the server keeps in this transaction, -1 for one that is not known.
        path: the schemas that the server searches in this transaction, () for ones that are not known.
        sets_path: *path* was changed in this transaction.
        manual: autocommit is off; *manual_lease* holds the connection.
        waiting: callbacks of transactions that were committed by hand, until autocommit is on again.
        kept: the connection is held for its own sake, with or without a transaction; *kept_lease* holds it.
    """

    alias: str
    connection: Connection
    owner: object
    face: Face
    lease: Lease | None = None
    ended: bool = False
    needs_rollback: bool = False
    cause: BaseException | None = None
    untold: DatabaseError | None = None
    asked_to_roll_back: bool = False
    pinned: bool = False
    sees_snapshot: bool = False
    touched: set[tuple[str, Mark | None]] = field(default_factory=set)
    writes: int = 0
    timeout_ms: int | None = None
    path: tuple[str, ...] | None = None
    sets_path: bool = False
    manual: bool = False
    manual_lease: Lease | None = None
    kept: bool = False
    kept_lease: Lease | None = None
    levels: list[Level] = field(default_factory=list)
    savepoints: list[Mark] = field(default_factory=list)
    on_commit: list[Callback] = field(default_factory=list)
    on_rollback: list[Callback] = field(default_factory=list)
    waiting: list[Callback] = field(default_factory=list)
    names: int = 0
    process: int = field(default_factory=lambda: _process)

    @property
    def in_transaction(self) -> bool:
        """True inside ``atomic``, and while autocommit is off."""
        return self.manual or bool(self.levels)

    @property
    def is_nested(self) -> bool:
        """True when an ``atomic`` opened now would be within another one; the transaction around a test is none."""
        return bool(self.levels) and not self.levels[-1].of_test

    @property
    def holds(self) -> bool:
        """True when the block goes on after its outermost level."""
        return self.manual or self.kept

    @property
    def own_connection(self) -> Connection | None:
        """The connection to name in a request; None for a pinned block, whose connection each face finds by itself."""
        return None if self.pinned else self.connection

    def admit(self, statement: Statement) -> None:
        """Count a statement; raise `TransactionManagementError` once only a rollback is possible."""
        if self.needs_rollback:
            raise self.broken() from self.cause
        if not statement.template.reads:
            self.writes += 1

    def broken(self) -> TransactionManagementError:
        """Return the error of a transaction that can only be rolled back."""
        return TransactionManagementError(
            "An error occurred in the current transaction. You can't execute queries until the end of the 'atomic' "
            f"block on {self.alias!r}."
        )

    def spoil(self, cause: BaseException | None) -> None:
        """Let only a rollback be possible from now on."""
        self.needs_rollback = True
        self.cause = self.cause or cause

    def heal(self) -> None:
        """What failed has been undone."""
        self.needs_rollback = False
        self.asked_to_roll_back = False
        self.cause = None
        self.untold = None

    def failed(self, statement: Statement, error: DatabaseError) -> None:
        """Note that a statement failed: a write of dorm's own dooms the block, as the server's answer often does."""
        if self.levels and statement.template.model and not statement.template.reads and not error.nothing_done:
            self.spoil(error)

    def keep(
        self, dialect: Dialect, seconds: float | None, path: tuple[str, ...] | None
    ) -> tuple[bool, tuple[str, ...] | None]:
        """Have the server limit the statements of this transaction and search *path* in it.

        Returns: whether it keeps the time; the path that is left to be set around each statement.
        """
        left = self.keep_path(dialect, path)
        return self.keep_time(dialect, seconds), left

    def keep_path(self, dialect: Dialect, path: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Have the server search *path* in this transaction; return it where there is no transaction."""
        if not self.in_transaction:
            return path
        if path != self.path:
            self.connection.deferred.add(seen(dialect, path, local=True))
            self.path = path
            self.sets_path = True
        return None

    def keep_time(self, dialect: Dialect, seconds: float | None) -> bool:
        """Have the server limit the statements of this transaction; False where it cannot.

        A limit that is a little longer than asked for is left as it is: setting it is a statement.
        """
        if not self.in_transaction:
            return False
        wanted = None if seconds is None else max(1, math.ceil(seconds * 1000))
        now = self.timeout_ms
        if wanted == now or (wanted is not None and now is not None and wanted <= now <= wanted * 1.1 + 20):
            return True
        template = dialect.statement_timeout(wanted)
        if template is None:
            return False
        self.connection.deferred.add(Statement(template, (), internal=True))
        self.timeout_ms = wanted
        return True

    def owned_lease(self) -> Lease:
        """Return the hold on the connection that the transaction has."""
        lease = self.lease or self.manual_lease
        assert lease is not None, "a transaction without its hold on a connection"
        return lease

    def move(self, connection: Connection, pool: SyncPool | AsyncPool) -> None:
        """Go on with *connection* of *pool*: what waited on the former one waits on it."""
        connection.deferred.take_over(self.connection.deferred)
        lease = self.owned_lease()
        self.connection = lease.connection = connection
        lease.pool = pool

    def mark_of(self, name: str | None) -> Mark | None:
        """Return the savepoint of that name, None when it is not set."""
        return next((mark for mark in self.savepoints if mark.name == name), None)

    def settings_unknown(self) -> None:
        """What the transaction told the server was undone, up to a savepoint."""
        if self.timeout_ms is not None:
            self.timeout_ms = -1
        if self.sets_path:
            self.path = ()

    def settings_gone(self) -> None:
        """What the transaction told the server ended with it."""
        self.timeout_ms = None
        self.path = None
        self.sets_path = False

    def forget(self, mark: Mark) -> None:
        """Forget a savepoint and those set after it."""
        if mark in self.savepoints:
            del self.savepoints[self.savepoints.index(mark) :]

    def undone(self, mark: Mark) -> None:
        """Forget what was written since *mark*, which stays in force: what is written next is news."""
        self.touched = {(label, at) for label, at in self.touched if at is not mark}

    def take_callbacks(self) -> tuple[list[Callback], list[Callback], list[Callback]]:
        """Return the callbacks of commit that do not wait, the others of commit and those of rollback; forget them."""
        on_commit, on_rollback = self.on_commit, self.on_rollback
        self.on_commit, self.on_rollback = [], []
        if not on_commit:
            return [], [], on_rollback
        return (
            [each for each in on_commit if each.at_once],
            [each for each in on_commit if not each.at_once],
            on_rollback,
        )

    def check(self, face: Face) -> None:
        """Raise `TransactionManagementError` unless the code running now may use this block."""
        # Every statement of a block passes here: a thread that runs no loop is not asked for by a further call.
        running = threading.get_ident() if loops.running_loop() is None else current_owner()
        if self.owner == running and self.face == face and not self.ended and self.process == _process:
            return
        if self.process != _process:
            raise TransactionManagementError(
                f"the transaction on {self.alias!r} belongs to the process that this one was forked from. Fork outside "
                "of blocks, or leave the block in the parent only."
            )
        if self.ended:
            raise TransactionManagementError(
                f"the transaction on {self.alias!r} that this task was started in has ended. Await the work inside "
                "the block, or start the task in a fresh context: "
                "asyncio.create_task(work(), context=contextvars.Context())."
            )
        if self.owner != current_owner():
            raise TransactionManagementError(
                f"a transaction on {self.alias!r} belongs to another task or thread. Await the work in the task that "
                "opened the block (asyncio.timeout() instead of wait_for(), which makes a task on 3.11), or start"
                " it in a fresh context: asyncio.create_task(work(), context=contextvars.Context())."
            )
        if self.face != face:
            raise TransactionManagementError(
                f"{'an awaited' if face == 'async' else 'a blocking'} call inside a transaction on {self.alias!r} that "
                f"{'an awaited' if self.face == 'async' else 'a blocking'} block opened: use the "
                f"{'a-prefixed' if self.face == 'async' else 'plain'} methods inside this block."
            )


class Lease(Record, frozen=False, eq=False):
    """A connection held for longer than one statement; *owned* ones go back to the pool at the end."""

    alias: str
    connection: Connection
    owned: bool
    in_transaction: bool = False
    path: tuple[str, ...] | None = None
    """The schemas that its transaction searches."""
    alters_session: bool = False
    """Its session was given another search path, which is taken back before anybody else has it."""
    pool: SyncPool | AsyncPool | None = None
    """Where an owned connection goes back to, also when the database has another one by then."""
