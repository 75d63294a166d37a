"""Cursors on the server that ask for the next rows while their reader is busy with those before.

Between two FETCHes the server had nothing to do while the client made objects, and the client nothing while the server
looked for rows. A cursor whose connection nobody else uses sends the next FETCH as soon as an answer is there; it is
read when more rows are wanted. The answer stays on the server and in the socket until then: no more is in memory.

An answer that fills the sockets is a statement that goes on for as long as the reader takes: a ``statement_timeout``
would end it, and the stream with it. Where the session has one nothing is asked for ahead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.generators import execute
from psycopg.pq import ExecStatus, TransactionStatus

if TYPE_CHECKING:
    from psycopg._cursor_base import BaseCursor

    _Base = BaseCursor[Any, Any]
else:
    _Base = object

PATIENCE = 0.02
"""Seconds that a reader who leaves early waits for rows that are under way, before the server is told to stop."""

LOOK = 0.005
"""Seconds between two looks at the clock meanwhile."""

STOPPING = 5.0
"""Seconds that the server may take to stop."""


class _Ahead(_Base):
    """Goes before a server cursor of psycopg of either face: both wait for the one generator that is overridden here.

    Attributes:
        asks_ahead: nobody else uses the connection until the cursor is closed.
    """

    def __init__(self, connection: Any, name: str) -> None:
        super().__init__(connection, name)  # type: ignore[call-arg]  # a server cursor has one
        self.asks_ahead = False
        self._wants_more = False
        self._asked = False
        self._has_time: bool | None = None

    @property
    def is_under_way(self) -> bool:
        """True while an answer is under way that nobody reads."""
        return self._asked and self._pgconn.transaction_status == TransactionStatus.ACTIVE

    def _fetch_gen(self, num: int | None) -> Generator[Any, Any, list[Any]]:
        if not self.asks_ahead or num is None:
            found: list[Any] = yield from super()._fetch_gen(num)  # type: ignore[misc]  # a server cursor has it
            return found
        if self._wants_more and self._has_time is None:
            self._has_time = yield from self._is_untimed()
        if not self._asked:
            self._ask(num)
        self._asked = False
        result = (yield from execute(self._pgconn))[-1]
        if result.status != ExecStatus.TUPLES_OK:
            self._raise_for_result(result)
        if self._has_time and result.ntuples == num:
            # Whoever reads a second time will read on. What is wrong with the connection the next time will tell.
            with contextlib.suppress(psycopg.Error):
                self._ask(num)
                self._asked = True
                self._pgconn.flush()
        self._wants_more = True
        self.pgresult = result
        self._tx.set_pgresult(result, set_loaders=False)
        return self._tx.load_rows(0, result.ntuples, self._make_row)

    def _is_untimed(self) -> Generator[Any, Any, bool]:
        """Return whether the server lets a statement take as long as it takes."""
        self._pgconn.send_query_params(b"SHOW statement_timeout", None)
        shown = (yield from execute(self._pgconn))[-1]
        if shown.status != ExecStatus.TUPLES_OK:
            self._raise_for_result(shown)
        untimed: bool = shown.get_value(0, 0) == b"0"
        return untimed

    def _ask(self, number: int) -> None:
        question = f'FETCH FORWARD {number} FROM "{self._name}"'  # type: ignore[attr-defined]  # a server cursor has it
        self._pgconn.send_query_params(question.encode(), None, result_format=self._format)  # type: ignore[attr-defined]

    def rest(self, seconds: float) -> Generator[Any, Any, bool]:
        """Read the answer that is under way and forget it; False when it was not there in time."""
        end = monotonic() + seconds
        answer = execute(self._pgconn)
        try:
            wanted = next(answer)
            while True:
                ready = yield wanted
                if monotonic() > end:
                    return False
                wanted = answer.send(ready)
        except StopIteration:
            self._asked = False
            return True


class AheadCursor(_Ahead, psycopg.RawServerCursor[Any]):
    """The blocking face."""


class AsyncAheadCursor(_Ahead, psycopg.AsyncRawServerCursor[Any]):
    """The asyncio face."""
