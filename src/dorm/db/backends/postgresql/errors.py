"""From psycopg's errors to dorm's, by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

from __future__ import annotations

import re
import struct

import psycopg

from dorm.db.statement import Statement
from dorm.exceptions import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    QueryCanceled,
    TransactionManagementError,
)

DRIVER_ERRORS = (psycopg.Error, OverflowError, UnicodeError, struct.error)
_QUOTED = re.compile('".*"', re.DOTALL)

_CLASSES: dict[str, type[DatabaseError]] = {
    "08": OperationalError,
    "0A": NotSupportedError,
    "20": ProgrammingError,
    "21": ProgrammingError,
    "22": DataError,
    "23": IntegrityError,
    "25": TransactionManagementError,
    "28": OperationalError,
    "34": ProgrammingError,
    "3D": OperationalError,
    "3F": ProgrammingError,
    "40": OperationalError,
    "42": ProgrammingError,
    "44": ProgrammingError,
    "54": OperationalError,
    "53": OperationalError,
    "55": OperationalError,
    "57": OperationalError,
    "58": OperationalError,
    "XX": InternalError,
}
_OF_THE_DRIVER = 'prepared statement "_pg3_'
_RETRYABLE = ("40001", "40P01")


def is_of_stale_plan(exc: BaseException) -> bool:
    """True when a statement that the driver prepared is of no use any more; it has not run then.

    It belongs to a former shape of a table, or the session has lost it: by DEALLOCATE in a function, or in a pooler.
    """
    state = getattr(exc, "sqlstate", None)
    return (state == "0A000" and "cached plan" in str(exc)) or (state == "26000" and _OF_THE_DRIVER in str(exc))


def translated(exc: Exception, statement: Statement | None, alias: str, lost: bool) -> DatabaseError:
    """Return the error to raise for *exc*; the server's detail line, which holds values, stays off the message.

    *exc* becomes its cause and stands in every traceback, so its text loses them as well; ``exc.diag`` keeps them.
    """
    made = _translated(exc, lost)
    if isinstance(exc, psycopg.Error):
        exc.args = made.args
    made.alias = alias
    made.statement = statement.sql if statement is not None else None
    made.sqlstate = getattr(exc, "sqlstate", None)
    made.retryable = made.sqlstate in _RETRYABLE or is_of_stale_plan(exc)
    made.connection_lost = lost
    return made


def _translated(exc: Exception, lost: bool) -> DatabaseError:
    if isinstance(exc, (OverflowError, struct.error)):
        return DataError("a whole number is larger than the 64 bits of bigint")
    if isinstance(exc, UnicodeError):
        return DataError("a text holds half of a surrogate pair, which is no character and cannot be stored")
    if not isinstance(exc, psycopg.Error):
        return OperationalError(str(exc))
    state = exc.sqlstate or ""
    text = (exc.diag.message_primary or str(exc)).strip()
    if state == "57014":
        return QueryCanceled(f"{text} (SQLSTATE 57014)")
    if lost:
        return OperationalError(f"the connection was lost: {text}")
    if is_of_stale_plan(exc):
        why = "a table was altered since" if state == "0A000" else "the session, or a pooler before it, has dropped it"
        return OperationalError(f"{text}: {why}. Run the transaction again (atomic(retry=...) does).")
    if state == "42P01":
        return ProgrammingError(f"{text}. Run `dorm migrate` to create the tables.")
    if state == "42703":
        return ProgrammingError(f"{text}. Run `dorm migrate` if the model has changed.")
    if state == "P0001":
        # RAISE EXCEPTION in a trigger: a rule of the database's own refused the rows.
        return IntegrityError(text)
    if state.startswith("23"):
        return IntegrityError(_constraint(exc, text))
    if state == "25006":
        return OperationalError(
            f"{text}: the server is a standby, or the session only reads (default_transaction_read_only). "
            "Send it to the primary, in a session that may write."
        )
    if state.startswith("22"):
        # `invalid input syntax for type integer: "..."`: what these quote is the value.
        return DataError(_QUOTED.sub('"..."', text))
    if text.startswith("unterminated"):
        # What follows the quote that is never closed is shown, and that is a value.
        text = _QUOTED.sub('"..."', text)
    if state:
        return _CLASSES.get(state[:2], DatabaseError)(text)
    return _without_state(exc, text)


def _constraint(exc: psycopg.Error, text: str) -> str:
    """Return what was violated with the names of table and column."""
    names = [
        f"{what} {name}"
        for what, name in (("table", exc.diag.table_name), ("column", exc.diag.column_name))
        if name and f'"{name}"' not in text
    ]
    return f"{text} ({', '.join(names)})" if names else text


def _without_state(exc: psycopg.Error, text: str) -> DatabaseError:
    """Return the error for what the driver found by itself, before or beside the server."""
    for theirs, ours in (
        (psycopg.DataError, DataError),
        (psycopg.NotSupportedError, NotSupportedError),
        (psycopg.ProgrammingError, InterfaceError),
        (psycopg.OperationalError, OperationalError),
        (psycopg.InterfaceError, InterfaceError),
    ):
        if isinstance(exc, theirs):
            return ours(text)
    return DatabaseError(text)
