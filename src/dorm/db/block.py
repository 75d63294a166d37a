"""Blocks: transactions that are open, who owns them, and connections held for longer than one statement."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dorm.db.driver import Face
from dorm.db.request import Connection
from dorm.exceptions import TransactionManagementError


def current_owner() -> object:
    """Return who runs now: the asyncio task, else the thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task if task is not None else threading.get_ident()


@dataclass(slots=True, eq=False)
class Level:
    """One ``atomic()`` inside a block: its savepoint (None for the outermost and for ``savepoint=False``)."""

    savepoint: str | None
    commit_mark: int
    rollback_mark: int


@dataclass(slots=True)
class Callback:
    """One ``on_commit`` or ``on_rollback``."""

    call: Callable[[], Any]
    robust: bool


@dataclass(slots=True, eq=False)
class Block:
    """An open transaction.

    Attributes:
        owner: task or thread that opened it; nobody else may use it.
        ended: set when the transaction is over; whoever still holds the block gets an error.
        needs_rollback: an inner level failed without a savepoint of its own: only a rollback is possible.
        pinned: both faces use it (`Database.pin`).
    """

    alias: str
    connection: Connection
    owner: object
    face: Face
    lease: Lease | None = None
    ended: bool = False
    needs_rollback: bool = False
    pinned: bool = False
    levels: list[Level] = field(default_factory=list)
    on_commit: list[Callback] = field(default_factory=list)
    on_rollback: list[Callback] = field(default_factory=list)
    names: int = 0

    @property
    def own_connection(self) -> Connection | None:
        """The connection to name in a request; None for a pinned block, whose connection each face finds by itself."""
        return None if self.pinned else self.connection

    @property
    def usable_connection(self) -> Connection:
        """The connection, for a user's statement; TransactionManagementError once only a rollback is possible."""
        if self.needs_rollback:
            raise TransactionManagementError(
                "An error occurred in the current transaction. You can't execute queries until the end of the "
                f"'atomic' block on {self.alias!r}."
            )
        return self.connection

    def check(self, face: Face) -> None:
        """Raise `TransactionManagementError` unless the code running now may use this block."""
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


@dataclass(slots=True, eq=False)
class Lease:
    """A connection held for longer than one statement; *owned* ones go back to the pool at the end."""

    alias: str
    connection: Connection
    owned: bool
    in_transaction: bool = False
