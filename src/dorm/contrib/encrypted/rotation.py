"""Moving stored values to the head key, and counting which key they are under."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from dorm.contrib.advisory import holding, key_for
from dorm.contrib.encrypted.fields import EncryptedFieldMixin
from dorm.contrib.encrypted.keys import Key, is_marked, keys, opened, written_form
from dorm.db.connection import Database, connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import CallUser, Execute, Query
from dorm.db.statement import Statement, Template
from dorm.db.types import TEXT
from dorm.exceptions import FieldDoesNotExist, IntegrityError
from dorm.transaction import in_savepoint, in_transaction

_log = logging.getLogger("dorm.contrib.encrypted")


class _Table:
    """One table of the model with the encrypted columns it holds."""

    def __init__(self, model: Any, fields: list[Any], database: Database) -> None:
        dialect = database.dialect
        quote, place = dialect.quote, dialect.placeholder
        meta = model._meta
        self.model = model
        self.fields = fields
        self.database = database
        self.key = tuple(meta.pk_fields)
        width = len(self.key)
        table = quote(meta.db_table)
        pk = [quote(field.column) for field in self.key]
        places = [place(number, field.sql_type) for number, field in enumerate(self.key, 1)]
        columns = ", ".join([*pk, *(quote(field.column) for field in fields)])
        order, limit = ", ".join(pk), place(width + 1, None)
        behind = f"{pk[0]} > {places[0]}" if width == 1 else f"({order}) > ({', '.join(places)})"

        def same(first: int) -> str:
            return " AND ".join(
                f"{column} = {place(first + number, field.sql_type)}"
                for number, (column, field) in enumerate(zip(pk, self.key, strict=True))
            )

        self.first = f"SELECT {columns} FROM {table} ORDER BY {order} LIMIT {place(1, None)}"
        self.after = f"SELECT {columns} FROM {table} WHERE {behind} ORDER BY {order} LIMIT {limit}"
        self.again = f"SELECT {columns} FROM {table} WHERE {same(1)}"
        self.swaps = {
            field: f"UPDATE {table} SET {quote(field.column)} = {place(1, TEXT)} "
            f"WHERE {same(2)} AND {quote(field.column)} = {place(width + 2, TEXT)}"
            for field in fields
        }
        listed = [each for part in meta.unique_together for each in part]
        listed += [each for constraint in meta.constraints for each in getattr(constraint, "fields", ())]
        self.unique = {field for field in fields if field.unique or field.name in listed}
        self.owners = {
            field: f"SELECT {order} FROM {table} WHERE {quote(field.column)} = {place(1, TEXT)}" for field in fields
        }

    def bound(self, pk: Any) -> tuple[Any, ...]:
        """Return what the driver takes for a primary key that the user gave."""
        values = (pk,) if len(self.key) == 1 else tuple(pk)
        binds = [field.bind(self.database.dialect) for field in self.key]
        return tuple(value if bind is None else bind(value) for bind, value in zip(binds, values, strict=True))

    def shown(self, pk: tuple[Any, ...]) -> str:
        """Return a primary key as messages name it."""
        loads = [field.load(self.database.dialect) for field in self.key]
        values = tuple(value if load is None else load(value) for load, value in zip(loads, pk, strict=True))
        return repr(values[0] if len(values) == 1 else values)

    def split(self, row: Sequence[Any]) -> tuple[tuple[Any, ...], Sequence[Any]]:
        """Return the key and the stored texts of a row."""
        return tuple(row[: len(self.key)]), row[len(self.key) :]

    def _read(self, sql: str, *params: Any) -> Operation[list[Any]]:
        statement = Statement(Template(sql, reads=True), params, internal=True)
        return (yield from perform(Query(self.database, statement)))

    def rows(self, last: tuple[Any, ...] | None, size: int) -> Operation[list[Any]]:
        """Return the next rows: key and stored texts."""
        if last is None:
            return (yield from self._read(self.first, size))
        return (yield from self._read(self.after, *last, size))

    def row(self, pk: tuple[Any, ...]) -> Operation[list[Any]]:
        return (yield from self._read(self.again, *pk))

    def swap(self, field: Any, pk: tuple[Any, ...], old: str, new: str) -> Operation[bool]:
        """Replace *old* by *new* in a row if it is still *old*."""
        statement = Statement(Template(self.swaps[field]), (new, *pk, old), internal=True)
        op = perform(Execute(self.database, statement))
        if field not in self.unique:
            return bool((yield from op))
        try:
            return bool((yield from in_savepoint(op, self.database.alias)))
        except IntegrityError as exc:
            others = yield from self._read(self.owners[field], new)
            if not others:
                raise
            raise IntegrityError(
                f"{field} is unique, and the rows with the primary keys {self.shown(pk)} and "
                f"{self.shown(tuple(others[0]))} hold the same text under two keys: decide which of them stays"
            ) from exc


class _Options(NamedTuple):
    """What the callers of a rotation choose."""

    batch_size: int
    progress: Callable[[int, int], Any] | None
    using: str
    start_after: Any
    on_error: str
    dry_run: bool
    encrypt_plain: bool


class _Progress:
    def __init__(self) -> None:
        self.rewritten = 0
        self.examined = 0


def _new_form(field: Any, stored: str, pk: str, encrypt_plain: bool) -> str | None:
    """Return *stored* under the head key, None when it is to stay; ValueError that names field and row."""
    found = keys()
    if is_marked(stored):
        found_text = opened(stored, found)
        if found_text is None:
            raise ValueError(
                f"could not decrypt {field} of the row with the primary key {pk}: it was written under none of the "
                "configured keys"
            )
        number, text = found_text
        if number == 0:
            return None
    elif encrypt_plain:
        text = stored
    else:
        return None
    return found[0].encrypt(text, deterministic=field.deterministic, form=written_form())


def _rotated(table: _Table, row: Sequence[Any], options: _Options) -> Operation[bool]:
    """Bring one row to the head key; a value that somebody changes meanwhile is looked at again."""
    pk, texts = table.split(row)
    changed = False
    for number, field in enumerate(table.fields):
        stored = texts[number]
        while stored is not None:
            try:
                new = _new_form(field, stored, table.shown(pk), options.encrypt_plain)
            except ValueError as exc:
                if options.on_error == "raise":
                    raise
                _log.error("%s", exc)
                break
            if new is None:
                break
            changed = True
            if options.dry_run or (yield from table.swap(field, pk, stored, new)):
                break
            again = yield from table.row(pk)
            stored = table.split(again[0])[1][number] if again else None
    return changed


def _batch(table: _Table, last: Any, options: _Options, progress: _Progress) -> Operation[Any]:
    rows = yield from table.rows(last, options.batch_size)
    rewritten = 0
    for row in rows:
        rewritten += yield from _rotated(table, row, options)
    progress.rewritten += rewritten
    progress.examined += len(rows)
    return table.split(rows[-1])[0] if rows else None


@operation
def _rotate(model: Any, fields: Sequence[str] | None, options: _Options) -> Operation[int]:
    wanted = _checked(model, fields, options)
    database = connections[options.using]
    if not wanted:
        return 0
    keys()
    walk = _walked(wanted, database, options)
    if options.dry_run or not database.dialect.supports_advisory_locks or database.config.shares_sessions:
        return (yield from walk)
    # Two at once would do no harm, but the same work twice. Without the lock, values are compared all the same.
    key = key_for("dorm.rotate_encryption_keys", model._meta.db_table)
    return (yield from holding(key, walk, using=options.using, is_needed=False))


def _walked(wanted: list[Any], database: Database, options: _Options) -> Operation[int]:
    so_far = _Progress()
    for owner in dict.fromkeys(field.model for field in wanted):
        table = _Table(owner, [field for field in wanted if field.model is owner], database)
        last = None if options.start_after is None else table.bound(options.start_after)
        while True:
            before = so_far.examined
            found = yield from in_transaction(_batch(table, last, options, so_far), options.using)
            if so_far.examined == before:
                break
            if options.progress is not None:
                yield _told(options.progress, so_far)
            if so_far.examined - before < options.batch_size:
                break
            last = found
    return so_far.rewritten


def _told(progress: Callable[[int, int], Any], so_far: _Progress) -> CallUser[Any]:
    is_async = inspect.iscoroutinefunction(progress)
    counts = (so_far.rewritten, so_far.examined)
    return CallUser(None if is_async else progress, progress if is_async else None, *counts)


def encrypted_fields(model: Any) -> list[Any]:
    """Return the encrypted fields of *model*, inherited ones included."""
    return [field for field in model._meta.fields if isinstance(field, EncryptedFieldMixin)]


def _checked(model: Any, fields: Any, options: _Options) -> list[Any]:
    batch_size, progress = options.batch_size, options.progress
    if not isinstance(model, type) or not hasattr(model, "_meta"):
        raise TypeError(f"model_cls takes a model class, not {type(model).__name__}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number from 1, not {batch_size!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable, not {type(progress).__name__}")
    if options.on_error not in ("raise", "skip"):
        raise ValueError(f"on_error takes 'raise' or 'skip', not {options.on_error!r}")
    if fields is None:
        return encrypted_fields(model)
    if isinstance(fields, str):
        raise TypeError("fields takes a list of names, not one text")
    return [_field_of(model, name) for name in fields]


def _field_of(model: Any, name: str) -> Any:
    for field in model._meta.fields:
        if name in (field.name, field.attname):
            if not isinstance(field, EncryptedFieldMixin):
                raise TypeError(f"{model.__name__}.{name} is not an EncryptedField")
            return field
    raise FieldDoesNotExist(f"{model.__name__} has no field {name!r}")


def rotate_encryption_keys(
    model_cls: Any,
    fields: list[str] | None = None,
    *,
    batch_size: int = 500,
    progress: Callable[[int, int], Any] | None = None,
    using: str = "default",
    start_after: Any = None,
    on_error: Literal["raise", "skip"] = "raise",
    dry_run: bool = False,
    encrypt_plain: bool = True,
) -> int:
    """Write every value of the encrypted columns under the head key; return the number of rows rewritten.

    It walks the table by primary key in batches, a transaction each, below models: no signals, no ``auto_now``, no
    managers. A value is replaced only if it is still the one that was read, so writers may go on. Run again after a
    crash, it goes on; when everything is done it writes nothing. On PostgreSQL a second rotation of the table waits for
    the first (an advisory lock; not behind a transaction pooler).

    Args:
        fields: names of encrypted fields; None for all.
        progress: called with (rewritten, examined) after each committed batch.
        start_after: primary key to begin behind. on_error: ``"skip"`` logs values that no key opens and goes on.
        dry_run: count, and write nothing.
        encrypt_plain: encrypt text that was stored in the clear before the column was encrypted; False leaves it.
    Raises: ValueError: a value that no key opens, naming field and row; FieldDoesNotExist; TypeError: no such field.
    """
    options = _Options(batch_size, progress, using, start_after, on_error, dry_run, encrypt_plain)
    return run(_rotate(model_cls, fields, options))


async def arotate_encryption_keys(
    model_cls: Any,
    fields: list[str] | None = None,
    *,
    batch_size: int = 500,
    progress: Callable[[int, int], Any] | None = None,
    using: str = "default",
    start_after: Any = None,
    on_error: Literal["raise", "skip"] = "raise",
    dry_run: bool = False,
    encrypt_plain: bool = True,
) -> int:
    """Async twin of `rotate_encryption_keys`; a coroutine function as *progress* is awaited."""
    options = _Options(batch_size, progress, using, start_after, on_error, dry_run, encrypt_plain)
    return await arun(_rotate(model_cls, fields, options))


@operation
def _verify(model: Any, using: str, batch_size: int) -> Operation[dict[int | str, int]]:
    counts: dict[int | str, int] = {}
    found = keys()
    database = connections[using]
    wanted = encrypted_fields(model)
    for owner in dict.fromkeys(field.model for field in wanted):
        table = _Table(owner, [field for field in wanted if field.model is owner], database)
        last = None
        while True:
            rows = yield from table.rows(last, batch_size)
            for row in rows:
                for stored in table.split(row)[1]:
                    if stored is not None:
                        name = _under(stored, found)
                        counts[name] = counts.get(name, 0) + 1
            if len(rows) < batch_size:
                break
            last = table.split(rows[-1])[0]
    return counts


def _under(stored: str, found: Sequence[Key]) -> int | str:
    if not is_marked(stored):
        return "plain"
    found_text = opened(stored, found)
    return "unknown" if found_text is None else found_text[0]


def verify_encryption_keys(model_cls: Any, *, using: str = "default", batch_size: int = 1000) -> dict[int | str, int]:
    """Count stored values by the number of the key that opens them (0 is the newest), ``"plain"`` and ``"unknown"``.

    After a complete rotation only 0 is left, and the older keys can go.
    """
    return run(_verify(model_cls, using, batch_size))


async def averify_encryption_keys(
    model_cls: Any, *, using: str = "default", batch_size: int = 1000
) -> dict[int | str, int]:
    """Async twin of `verify_encryption_keys`."""
    return await arun(_verify(model_cls, using, batch_size))
