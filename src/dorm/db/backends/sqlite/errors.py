"""From apsw's errors to dorm's."""

from __future__ import annotations

import re

import apsw

from dorm.db.statement import Statement
from dorm.exceptions import (
    ConnectionFailed,
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    QueryCanceled,
)

_UNTERMINATED = re.compile('unrecognized token: "[\'"`].*', re.DOTALL)
_MISSING_TABLE = re.compile(r"no such table: (\S+)")


def translated(exc: Exception, statement: Statement | None, alias: str) -> DatabaseError:
    """Return the error to raise for *exc*; texts of SQLite name tables and columns, never values."""
    made = _translated(exc)
    made.alias = alias
    made.statement = statement.sql if statement is not None else None
    return made


def removed(alias: str) -> ConnectionFailed:
    """Return the error for a connection whose file was moved, removed or replaced; nothing was written."""
    made = ConnectionFailed(
        f"the file of {alias!r} was moved, removed or replaced since this connection opened it. Run the transaction "
        "again: it goes to the file that has the name now. Call close_all() before you replace a database."
    )
    made.alias = alias
    made.passing = made.retryable = True
    return made


def _translated(exc: Exception) -> DatabaseError:
    text = str(exc)
    if isinstance(exc, apsw.ConstraintError):
        return IntegrityError(text)
    if isinstance(exc, (apsw.BusyError, apsw.LockedError)):
        made = OperationalError(
            f"{text}: another process holds the database longer than the busy timeout. "
            "Shorten its transactions or raise OPTIONS['timeout']."
        )
        made.retryable = True
        return made
    if isinstance(exc, apsw.InterruptError):
        return QueryCanceled("the statement was interrupted")
    if isinstance(exc, apsw.CantOpenError):
        return OperationalError(f"{text}: does the folder of the file exist, and may this process write there?")
    if isinstance(exc, apsw.ReadOnlyError):
        return OperationalError(
            f"{text}: may this process write the file and its folder, where SQLite keeps its log? With mode=ro or "
            "immutable=1 in NAME it may not; immutable=1 reads without a log, while nobody writes."
        )
    if isinstance(exc, apsw.NotADBError):
        return InternalError(f"{text}: NAME of the alias names a file of another kind, or an encrypted one.")
    if isinstance(exc, apsw.CorruptError):
        return InternalError(f"{text}: restore a backup, or see https://www.sqlite.org/recovery.html")
    if isinstance(exc, apsw.SQLError):
        return _wrong_sql(text)
    if isinstance(exc, (apsw.MismatchError, apsw.TooBigError, apsw.RangeError)):
        return DataError(text)
    if isinstance(exc, (apsw.ConnectionClosedError, apsw.CursorClosedError)):
        made = OperationalError(f"the connection was lost: {text}")
        made.connection_lost = True
        return made
    if isinstance(exc, (apsw.BindingsError, apsw.MisuseError, apsw.ThreadingViolationError)):
        return InterfaceError(text)
    if isinstance(exc, OverflowError):
        return DataError("a whole number is larger than the 64 bits that SQLite can store")
    if isinstance(exc, TypeError):
        return InterfaceError(f"SQLite cannot store a value of this type: {text}")
    if isinstance(exc, re.error):
        return DataError(f"invalid regular expression: {exc.msg}")
    if isinstance(exc, UnicodeError):
        return DataError("a text holds half of a surrogate pair, which is no character and cannot be stored")
    if isinstance(exc, (ValueError, ArithmeticError, LookupError)):
        # The words of these name the value.
        return DataError(f"a function of the statement cannot take the value it was given ({type(exc).__name__})")
    return OperationalError(text)


def _wrong_sql(text: str) -> DatabaseError:
    # What follows the quote that is never closed is shown, and that is a value.
    text = _UNTERMINATED.sub("unrecognized token: '...", text)
    missing = _MISSING_TABLE.search(text)
    if missing is not None:
        return ProgrammingError(f"table {missing.group(1)} does not exist. Run `dorm migrate` to create the tables.")
    if "no such column" in text or "has no column" in text:
        return ProgrammingError(f"{text}. Run `dorm migrate` if the model has changed.")
    return ProgrammingError(text) if "syntax error" in text or "no such" in text else OperationalError(text)
