"""Cursors with a short way to the statements that the session has prepared already.

What the driver does around the protocol costs a point read as much again as the protocol: it makes an object of the
query, asks its table of prepared statements twice, and clears and fills the cursor. Once a text is prepared, its name
and its parameters are all that the server needs. The table stays the driver's own, with its rules: when it has
forgotten a statement (an ALTER, a ROLLBACK, too many of them) there is no name here, and the statement goes the long
way. The names that begin with an underscore are psycopg's (3.3); where one is missing every statement does.

The answer to a statement that gave many rows before is read in pieces, each made into results while the server sends
the next: both work at the same time, the rows of a piece are still in the processor's cache when they are looked at,
and the text of the whole answer is never in memory at once.
"""

from __future__ import annotations

from collections.abc import Generator
from threading import get_ident
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import execute, fetch, send
from psycopg.pq import ExecStatus, Format

from dorm.db.driver import Rows, Take
from dorm.db.statement import Template

if TYPE_CHECKING:
    from psycopg._cursor_base import BaseCursor

    _Base = BaseCursor[Any, Any]
else:
    _Base = object

_FORMATS = tuple([PyFormat.AUTO] * number for number in range(64))
_ROWS = ExecStatus.TUPLES_OK
_SOME_ROWS = ExecStatus.TUPLES_CHUNK

_PIECE = 128
"""Rows of a piece."""

_MANY = 2 * _PIECE
"""Rows from which on an answer is worth reading in pieces."""

_CAN_READ_PIECES = psycopg.capabilities.has_stream_chunked()


def as_they_are(rows: Rows) -> Rows:
    """Return *rows*: nothing is to be made of them."""
    return rows


class _ShortWay(_Base):
    """Goes before a cursor of psycopg of either face: both wait for the one generator that is overridden here.

    Attributes:
        take: what is made of each piece of the next answer, where it is read in pieces.
        reader: the thread that reads an answer in pieces just now; 0 for none.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.reader = 0
        self._tx = Transformer(self)
        table = getattr(connection, "_prepared", None)
        self._names: Any = getattr(table, "_names", None)
        self._to_flush: Any = getattr(table, "_to_flush", True)
        self.take: Take | None = None
        self._made: list[Any] | None = None

    def _execute_gen(self, query: Any, params: Any = None, **options: Any) -> Generator[Any, Any, None]:
        names = self._names
        take, self.take, self._made = self.take, None, None
        if (
            not names
            or params is None
            or options["prepare"] is not None
            or self._to_flush
            or self._conn._pipeline is not None
            or len(params) >= len(_FORMATS)
        ):
            yield from super()._execute_gen(query, params, **options)
            return
        transformer = self._tx
        dumped = transformer.dump_sequence(params, _FORMATS[len(params)])
        key = query.encode(), transformer.types or ()
        name = names.get(key)
        if name is None:
            yield from super()._execute_gen(query, params, **options)
            return
        names.move_to_end(key)
        answer_format = Format.BINARY if options["binary"] else Format.TEXT
        self._pgconn.send_query_prepared(name, dumped, transformer.formats, answer_format)
        if take is not None and _CAN_READ_PIECES:
            self.reader = get_ident()
            try:
                results = yield from self._in_pieces(take)
            finally:
                self.reader = 0
        else:
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

    def _in_pieces(self, take: Take) -> Generator[Any, Any, list[Any]]:
        """Read what was sent for while it comes; return the results that hold no rows, the last one's error among them.

        What is wrong with a value is raised when the rest of the answer was read: the connection is free then.
        """
        pgconn, transformer = self._pgconn, self._tx
        pgconn.set_chunked_rows_mode(_PIECE)
        made: list[Any] = []
        others: list[Any] = []
        wrong: Exception | None = None
        yield from send(pgconn)
        while (result := (yield from fetch(pgconn))) is not None:
            if result.status != _SOME_ROWS:
                others.append(result)
            elif wrong is None:
                transformer.set_pgresult(result, set_loaders=not made)
                try:
                    made += take(transformer.load_rows(0, result.ntuples, tuple))
                except Exception as exc:  # noqa: BLE001  # it is raised below
                    wrong = exc
                except BaseException:
                    pgconn.finish()
                    raise
        if wrong is not None and others[0].status == _ROWS:
            raise wrong
        self._made = made
        return others

    def rows(self, template: Template, take: Take | None = None) -> list[Any]:
        """Return what came of the rows of the answer; *take* is what was given for them before it was sent.

        A template whose answers have many rows is told so.
        """
        made, self._made = self._made, None
        if made is not None:
            template.large = len(made) > _PIECE
            return made
        self._check_result_for_fetch()
        found: Any = self.pgresult
        if found.ntuples > _MANY:
            template.large = True
        rows: Rows = self._tx.load_rows(self._pos, found.ntuples, self._make_row)
        return rows if take is None else take(rows)


class PreparedCursor(_ShortWay, psycopg.RawCursor[Any]):
    """The blocking face."""


class AsyncPreparedCursor(_ShortWay, psycopg.AsyncRawCursor[Any]):
    """The asyncio face."""
