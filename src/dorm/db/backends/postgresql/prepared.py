"""Cursors with a short way to the statements that the session has prepared already.

What the driver does around the protocol costs a point read as much again as the protocol: it makes an object of the
query, asks its table of prepared statements twice, and clears and fills the cursor. Once a text is prepared, its name
and its parameters are all that the server needs. The table stays the driver's own, with its rules: when it has
forgotten a statement (an ALTER, a ROLLBACK, too many of them) there is no name here, and the statement goes the long
way. The names that begin with an underscore are psycopg's (3.2 and 3.3); where one is missing every statement does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import execute
from psycopg.pq import ExecStatus, Format

from dorm.db.driver import Rows

if TYPE_CHECKING:
    from psycopg._cursor_base import BaseCursor

    _Base = BaseCursor[Any, Any]
else:
    _Base = object

_FORMATS = tuple([PyFormat.AUTO] * number for number in range(64))
_ROWS = ExecStatus.TUPLES_OK


class _ShortWay(_Base):
    """Goes before a cursor of psycopg of either face: both wait for the one generator that is overridden here."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._tx = Transformer(self)
        table = getattr(connection, "_prepared", None)
        self._names: Any = getattr(table, "_names", None)
        self._to_flush: Any = getattr(table, "_to_flush", True)

    def _execute_gen(self, query: Any, params: Any = None, **options: Any) -> Generator[Any, Any, None]:
        names = self._names
        if (
            not names
            or not params
            or options["prepare"] is not None
            or self._to_flush
            or self._conn._pipeline is not None
            or len(params) >= len(_FORMATS)
        ):
            yield from super()._execute_gen(query, params, **options)
            return
        transformer = self._tx
        dumped = transformer.dump_sequence(params, _FORMATS[len(params)])
        key = query.encode(), transformer.types
        name = names.get(key)
        if name is None:
            yield from super()._execute_gen(query, params, **options)
            return
        names.move_to_end(key)
        answer_format = Format.BINARY if options["binary"] else Format.TEXT
        self._pgconn.send_query_prepared(name, dumped, transformer.formats, answer_format)
        results = yield from execute(self._pgconn)
        found = results[0]
        if found.status != _ROWS:
            self._check_results(results)
            self._set_results(results)
            return
        self._results = results
        self._iresult = self._pos = 0
        self.pgresult = found
        self._rowcount = found.ntuples
        self._make_row = tuple
        transformer.set_pgresult(found)

    def rows(self) -> Rows:
        """Return the rows of the answer that were not read yet; what `fetchall` does when no pipeline is open."""
        found = self._check_result_for_fetch()
        return self._tx.load_rows(self._pos, found.ntuples, self._make_row)


class PreparedCursor(_ShortWay, psycopg.RawCursor[Any]):
    """The blocking face."""


class AsyncPreparedCursor(_ShortWay, psycopg.AsyncRawCursor[Any]):
    """The asyncio face."""
