"""Several operations whose queries go to the server together: one round trip for each step they take side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from dorm.db.database import Database
from dorm.db.operation import Operation, operation
from dorm.db.request import Query, QueryAll, QueryInPieces, Request
from dorm.exceptions import DatabaseError


class _Run:
    """One of the operations, in a context of its own: what it asks for now, or that it has ended."""

    __slots__ = ("context", "op", "request")

    def __init__(self, op: Operation[None]) -> None:
        self.op = op
        # What one sets while it waits must not reach the others.
        self.context = copy_context()
        self.request: Request[Any] | None = None
        self.answer(None)

    def answer(self, reply: Any) -> None:
        """Hand it the reply to its request; raise what it raises."""
        try:
            self.request = self.context.run(self.op.send, reply)
        except StopIteration:
            self.request = None

    def throw(self, exc: BaseException) -> None:
        """Raise *exc* at its request; raise what it raises."""
        try:
            self.request = self.context.run(self.op.throw, exc)
        except StopIteration:
            self.request = None


@operation
def together(ops: Sequence[Operation[None]], database: Database) -> Operation[None]:
    """Carry *ops* out side by side on *database*, whose dialect `sends_together`.

    Queries that several of them ask for at the same time go out in one trip; everything else is done for each by
    itself. When one fails the others are ended and its error is raised; of several failures the first one's.
    """
    runs: list[_Run] = []
    try:
        for op in ops:
            runs.append(_Run(op))
        while waiting := [run for run in runs if run.request is not None]:
            queries = [run for run in waiting if _goes_along(run.request, database)]
            if len(queries) > 1:
                yield from _all(queries, database)
            for run in waiting:
                if run not in queries or len(queries) == 1:
                    yield from _one(run)
    except BaseException as exc:
        for op in ops[len(runs) :]:
            op.close()
        for run in runs:
            yield from _ended(run, exc)
        raise


def _goes_along(request: Request[Any] | None, database: Database) -> bool:
    """True for a SELECT of dorm's that any connection to *database* may answer."""
    return (
        isinstance(request, Query)
        and request.source is database
        and request.connection is None
        and request.statement.template.reads
        and not request.statement.template.natural
    )


@operation
def _all(runs: list[_Run], database: Database) -> Operation[None]:
    """Answer the queries of all *runs* by one request, whose time is told with the last of them."""
    queries = [run.request for run in runs if isinstance(run.request, Query)]
    statements = [query.statement for query in queries]
    in_block = database.in_block
    try:
        replies = yield QueryAll(database, statements)
    except DatabaseError as exc:
        if in_block:
            runs[0].throw(exc)
            return
        # Nothing but reading happened: each is asked again by itself, and gets an error of its own.
        for run in runs:
            yield from _one(run)
        return
    for query in queries[:-1]:
        query.timed = False
    for run, query, rows in zip(runs, queries, replies, strict=True):
        run.answer(query.take(rows) if isinstance(query, QueryInPieces) else rows)


@operation
def _one(run: _Run) -> Operation[None]:
    """Answer the request of one run."""
    assert run.request is not None, "a run that asks for something"
    try:
        reply = yield run.request
    except Exception as exc:  # noqa: BLE001  # handed on to the operation that asked
        run.throw(exc)
    else:
        run.answer(reply)


@operation
def _ended(run: _Run, exc: BaseException) -> Operation[None]:
    """End a run where it stands; what it does to clean up is done."""
    if not getattr(run.op, "gi_suspended", False):
        return
    try:
        run.throw(exc)
        while run.request is not None:
            yield from _one(run)
    except BaseException as again:  # noqa: BLE001  # the first error is the one that is raised
        if again is not exc:
            exc.add_note(f"dorm: an operation beside the failed one ended with {type(again).__name__}")
