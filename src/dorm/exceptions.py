"""Every exception that dorm raises, and the two helpers that make their messages useful.

The database branch carries PEP 249's names (https://peps.python.org/pep-0249/#exceptions); the rest are Django's.
Nothing here imports anything of dorm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias


class DormError(Exception):
    """Base of every exception of dorm."""


# -- configuration and wrong use ---------------------------------------------------------------------------------


class ImproperlyConfigured(DormError):
    """A setting is missing or wrong."""


class InvalidOption(ImproperlyConfigured, TypeError, ValueError):
    """A field, or ``Meta``, was given an option that it does not have or cannot take."""


class ConnectionDoesNotExist(ImproperlyConfigured):
    """An alias that is no key of ``DATABASES``."""


class FieldError(DormError):
    """A name or a combination of names in a query means nothing for this model."""


class FieldFetchBlocked(FieldError):
    """A late load from an instance whose fetch mode is ``FETCH_RAISE``."""


class FieldDoesNotExist(FieldError):
    """A model has no field of that name."""


class UnexpectedKeyword(FieldError, TypeError):
    """A model was made with a keyword that is none of its fields."""


class InvalidFieldName(FieldError, ValueError):
    """An option that takes names of fields (``update_fields``) got one that it cannot use."""


class InvalidPrefetch(FieldError, AttributeError):
    """A part of a path given to ``prefetch_related`` is no relation of the objects found there."""


class UnsavedInstance(DormError, ValueError):
    """An instance without a key was used where a key is needed; nothing was sent."""


class SuspiciousOperation(DormError):
    """Something from outside looks like an attack."""


class SuspiciousFileOperation(SuspiciousOperation, ValueError):
    """A file's name leads out of its folder, or is none."""


class SynchronousOnlyOperation(DormError):
    """A statement would have been sent implicitly, by a blocking call, in a running event loop."""


class OperationNotDriven(DormError, RuntimeWarning):
    """An operation was built and never run: a ``yield from`` is missing (seen with DORM_CHECK_OPERATIONS=1)."""


class ObjectDoesNotExist(DormError):
    """No row matches."""


DoesNotExist = ObjectDoesNotExist


class MultipleObjectsReturned(DormError):
    """More than one row matches where one was asked for."""


# -- what a database says (PEP 249) ------------------------------------------------------------------------------


class DatabaseError(DormError):
    """What went wrong in, or on the way to, a database.

    Attributes:
        alias: key of ``DATABASES``, or None where no database was involved yet.
        statement: text of the SQL, placeholders and no values, or None.
        sqlstate: five characters of the SQL standard where the server gives them, else None.
        retryable: True when the same transaction may succeed if it is run again from its start.
        connection_lost: True when the connection it happened on is gone.
        nothing_done: True when it happened before anything of the transaction was done.
    """

    alias: str | None = None
    statement: str | None = None
    sqlstate: str | None = None
    retryable: bool = False
    connection_lost: bool = False
    nothing_done: bool = False


class InterfaceError(DatabaseError):
    """The driver was used in a way it refuses."""


class DataError(DatabaseError):
    """A value is out of range or malformed for its column."""


class OperationalError(DatabaseError):
    """The database could not do its work: connection lost, time-out, lock, disk."""


class PoolTimeout(OperationalError):
    """No connection of the pool became free in time; the message says who holds them."""


class ConnectionFailed(OperationalError):
    """No connection could be made; nothing was sent. ``passing`` is True for what may be over in a moment."""

    passing: bool = False
    nothing_done = True


class QueryCanceled(OperationalError):
    """A statement was cancelled on the server, by a time limit or by somebody."""


class DeadlineExceeded(QueryCanceled, TimeoutError):
    """The time that ``dorm.deadline`` gave was over; what was under way has been cancelled."""


class IntegrityError(DatabaseError):
    """A constraint of the database refused the rows."""


class ProtectedError(IntegrityError):
    """A deletion is refused by ``PROTECT``; ``protected_objects`` are the rows that forbid it."""

    def __init__(self, msg: str, protected_objects: Iterable[Any]) -> None:
        self.protected_objects = protected_objects
        super().__init__(msg, protected_objects)


class RestrictedError(IntegrityError):
    """A deletion is refused by ``RESTRICT``; ``restricted_objects`` are the rows that forbid it."""

    def __init__(self, msg: str, restricted_objects: Iterable[Any]) -> None:
        self.restricted_objects = restricted_objects
        super().__init__(msg, restricted_objects)


class InternalError(DatabaseError):
    """The database found its own state broken."""


class ProgrammingError(DatabaseError):
    """The statement is wrong for this database: syntax, missing table or column."""


class NotSupportedError(DatabaseError, NotImplementedError):
    """This backend cannot do what was asked; nothing was sent."""


class TransactionManagementError(ProgrammingError):
    """A transaction is used in a way that would join or leave it silently, or after it broke or ended."""


class ReadOnlyModelError(DatabaseError):
    """A model with ``Meta.read_only`` was to be written."""


class BudgetExceeded(DatabaseError):
    """A statement ran longer or gave more rows than its budget allows."""


class MigrationError(DormError):
    """A migration cannot be planned or applied."""


# -- validation --------------------------------------------------------------------------------------------------

Messages: TypeAlias = "str | ValidationError | list[Any] | tuple[Any, ...] | Mapping[str, Any]"

NON_FIELD_ERRORS = "__all__"


class ValidationError(DormError):
    """One message, a list of them, or messages by field name.

    Args:
        message: text (with ``%(name)s`` for *params*), another error, a list, or a dict of field name to any of these.
        code: short machine-readable name of the reason.
        params: values for the text.
    """

    def __init__(self, message: Messages, code: str | None = None, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code, params)
        self.code = code
        self.params = params
        self.error_list: list[ValidationError] = []
        self._by_name: dict[str, list[ValidationError]] | None = None
        self.message: str = ""
        if isinstance(message, ValidationError):
            self._take_over(message)
        elif isinstance(message, Mapping):
            self._by_name = {name: ValidationError(part).error_list for name, part in message.items()}
            self.error_list = [error for errors in self._by_name.values() for error in errors]
        elif isinstance(message, (list, tuple)):
            for part in message:
                self.error_list.extend(ValidationError(part).error_list)
        else:
            self.message = message
            self.error_list = [self]

    def _take_over(self, other: ValidationError) -> None:
        self._by_name = other._by_name
        if other._is_single():
            self.message, self.code, self.params = other.message, other.code, other.params
            self.error_list = [self]
        else:
            self.error_list = list(other.error_list)

    def _is_single(self) -> bool:
        return len(self.error_list) == 1 and self.error_list[0] is self

    @property
    def error_dict(self) -> dict[str, list[ValidationError]]:
        """The errors by field name; only errors made of a dict have it (AttributeError otherwise)."""
        if self._by_name is None:
            raise AttributeError("this ValidationError has no errors by field: read error_list or messages.")
        return self._by_name

    @property
    def messages(self) -> list[str]:
        """The finished texts, in order."""
        return [error._text() for error in self.error_list]

    @property
    def message_dict(self) -> dict[str, list[str]]:
        """The finished texts by field name; messages of no field stand under ``"__all__"``."""
        grouped = self._by_name if self._by_name is not None else {NON_FIELD_ERRORS: self.error_list}
        return {name: [error._text() for error in errors] for name, errors in grouped.items()}

    def update_error_dict(self, error_dict: dict[str, list[ValidationError]]) -> dict[str, list[ValidationError]]:
        """Add these errors to *error_dict*, by field name; those of no field under ``"__all__"``. Return it."""
        grouped = self._by_name if self._by_name is not None else {NON_FIELD_ERRORS: self.error_list}
        for name, errors in grouped.items():
            error_dict.setdefault(name, []).extend(errors)
        return error_dict

    def _text(self) -> str:
        return str(self.message % self.params if self.params else self.message)

    def __iter__(self) -> Iterator[Any]:
        if self._by_name is not None:
            yield from self.message_dict.items()
        else:
            yield from self.messages

    def __str__(self) -> str:
        return repr(dict(self) if self._by_name is not None else list(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ValidationError) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> Any:
        """Return what makes two errors the same: texts, codes and parameters, in whatever order they were given."""
        if self._by_name is not None:
            return frozenset((name, _identities(errors)) for name, errors in self._by_name.items())
        if not self._is_single():
            return _identities(self.error_list)
        return (self.message, self.code, repr(sorted((self.params or {}).items())))


class InvalidValue(DataError, ValidationError, ValueError, TypeError):
    """A value that its field cannot take; nothing was sent. The message names the value's type, never the value."""

    def __init__(
        self, message: Messages, code: str | None = "invalid", params: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, code, params)

    def __str__(self) -> str:
        return "; ".join(self.messages)


def _identities(errors: Iterable[ValidationError]) -> Any:
    return frozenset(Counter(error._identity() for error in errors).items())


class OutOfRange(InvalidValue):
    """A number that a whole-number field cannot hold: too large, too small, or with a fraction. A condition on such a
    number is answered without it (no row is equal to it, every row is less); a row with it is refused."""


# -- helpers for messages ----------------------------------------------------------------------------------------


def nearest(name: str, options: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the option nearest to *name*, or an empty text when none is near."""
    import difflib

    found = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""


def error_text(exc: BaseException) -> str:
    """Return what an error says, for a message of dorm's; with its type unless it is dorm's: ``KeyError: 'name'``."""
    return str(exc) if isinstance(exc, DormError) else f"{type(exc).__name__}: {exc}"


def choices_text(options: Iterable[str], most: int = 20) -> str:
    """Return *options* as a comma-separated list of at most *most* names, saying how many more there are."""
    names = list(options)
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown or "none"
