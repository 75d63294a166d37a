"""Columns that the database never sees in the clear, and moving them to a new key.

AES-256-GCM by `cryptography`. Stored is ``"v1:" + base64(nonce + ciphertext + tag)``; with
``FIELD_ENCRYPTION_FORMAT = "v2"`` new values carry the id of their key, ``"v2:<id>:..."``. Both are read. Keys come
from ``FIELD_ENCRYPTION_KEYS`` (newest first) and ``FIELD_ENCRYPTION_KEY`` (last): the first encrypts, all decrypt. Text
without a prefix is read as it is (columns that were plain once); what is written is always encrypted, whatever it looks
like.

A deterministic field gives the same text the same ciphertext, so it can be compared; who reads the table sees which
rows are equal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import inspect
import logging
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final, Literal

from dorm.conf.settings import settings
from dorm.db.connection import Database, connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import CallUser, Execute, Query
from dorm.db.statement import Statement, Template
from dorm.db.template import add_secret_names
from dorm.db.types import TEXT, SqlType
from dorm.exceptions import FieldDoesNotExist, FieldError, ImproperlyConfigured, IntegrityError
from dorm.fields import CharField, TextField
from dorm.lookups import Lookup
from dorm.transaction import in_transaction

_log = logging.getLogger("dorm.contrib.encrypted")

V1: Final = "v1:"
V2: Final = "v2:"
_NONCE = 12
_KEY_BYTES = 32
_HINT = "give FIELD_ENCRYPTION_KEYS base64 texts of 32 bytes each, newest first"


# -- keys and values ---------------------------------------------------------------------------------------------


class Key:
    """One key: its cipher, its id (a digest, safe to show)."""

    __slots__ = ("_cipher", "_secret", "id")

    def __init__(self, secret: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as exc:
            raise ImproperlyConfigured(
                "encrypted fields need cryptography, which is not installed: pip install 'dormdb[encrypted]'"
            ) from exc
        self._secret = secret
        self._cipher = AESGCM(secret)
        self.id = hashlib.blake2b(secret, digest_size=4, person=b"dorm-key-id").hexdigest()

    def encrypt(self, text: str, *, deterministic: bool, form: str = V1) -> str:
        """Return *text* encrypted."""
        data = text.encode()
        nonce = hmac.new(self._secret, data, hashlib.sha256).digest()[:_NONCE] if deterministic else os.urandom(_NONCE)
        packed = base64.b64encode(nonce + self._cipher.encrypt(nonce, data, None)).decode()
        return f"{V2}{self.id}:{packed}" if form == V2 else f"{V1}{packed}"

    def decrypt(self, packed: bytes) -> str | None:
        """Return the text, None when it was not written under this key."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(packed[:_NONCE], packed[_NONCE:], None).decode()
        except (InvalidTag, ValueError):
            return None

    def __repr__(self) -> str:
        return f"<Key {self.id}>"


def _raw(value: Any, name: str) -> bytes:
    if isinstance(value, bytes) and len(value) == _KEY_BYTES:
        return value
    if not isinstance(value, (str, bytes)):
        raise ImproperlyConfigured(f"{name} holds a {type(value).__name__}: {_HINT}.")
    try:
        found = base64.b64decode(
            value, altchars=b"-_" if set(value) & set("-_" if isinstance(value, str) else b"-_") else None
        )
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != _KEY_BYTES:
        raise ImproperlyConfigured(f"{name} holds a key that is not 32 bytes long: {_HINT}.")
    return found


@lru_cache(8)
def _made(raw: tuple[bytes, ...]) -> tuple[Key, ...]:
    return tuple(map(Key, raw))


def keys() -> tuple[Key, ...]:
    """Return the configured keys, newest first.

    Raises: ImproperlyConfigured: none, or a wrong one; the message names the setting, never a key.
    """
    listed = getattr(settings, "FIELD_ENCRYPTION_KEYS", None) or []
    single = getattr(settings, "FIELD_ENCRYPTION_KEY", None) or ""
    if isinstance(listed, (str, bytes)):
        raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS takes a list of keys, not one.")
    raw = [_raw(value, "FIELD_ENCRYPTION_KEYS") for value in listed]
    if single:
        raw.append(_raw(single, "FIELD_ENCRYPTION_KEY"))
    if not raw:
        raise ImproperlyConfigured(f"there is no encryption key: {_HINT}, or FIELD_ENCRYPTION_KEY one.")
    return _made(tuple(dict.fromkeys(raw)))


def _form() -> str:
    return V2 if getattr(settings, "FIELD_ENCRYPTION_FORMAT", "v1") == "v2" else V1


def _opened(stored: str, found: Sequence[Key]) -> tuple[int, str] | None:
    """Return the number of the key that *stored* was written under and the text; None when no key fits."""
    packed = stored[len(V1) :]
    candidates = list(enumerate(found))
    if stored.startswith(V2):
        key_id, _, packed = packed.partition(":")
        candidates = [(number, key) for number, key in candidates if key.id == key_id]
    try:
        data = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return None
    for number, key in candidates:
        text = key.decrypt(data)
        if text is not None:
            return number, text
    return None


def is_marked(stored: str) -> bool:
    """True for stored text that claims to be encrypted."""
    return stored.startswith((V1, V2))


# -- fields ------------------------------------------------------------------------------------------------------


class EncryptedFieldMixin:
    """Makes a field of text store ciphertext: put it before the field's class.

    Args:
        deterministic: the same text gives the same ciphertext, so that ``=`` and ``in`` work, under any configured key;
            False allows no comparison but ``isnull``.
    """

    deterministic: bool

    def __init__(self, *args: Any, deterministic: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deterministic = deterministic

    @property
    def sql_type(self) -> SqlType:
        """The column holds text of any length: ciphertext is longer than what it hides."""
        return TEXT

    def contribute_to_class(self, cls: Any, name: str) -> None:
        """Become a field of *cls*; values of the column are masked in logs."""
        super().contribute_to_class(cls, name)  # type: ignore[misc]  # the field's
        add_secret_names([self.column])  # type: ignore[attr-defined]  # the field's

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        """As the field's, with ``deterministic``."""
        name, path, args, kwargs = super().deconstruct()  # type: ignore[misc]  # the field's
        if not self.deterministic:
            kwargs["deterministic"] = False
        return name, path, args, kwargs

    def encrypted(self, text: str) -> str:
        """Return *text* as it is stored now."""
        return keys()[0].encrypt(text, deterministic=self.deterministic, form=_form())

    def ciphertexts(self, text: str) -> list[str]:
        """Return every form in which *text* may be stored, for comparisons; FieldError unless deterministic."""
        if not self.deterministic:
            raise FieldError(f"{self} is not deterministic: it cannot be compared, only read and tested for NULL.")
        return [key.encrypt(text, deterministic=True, form=form) for key in keys() for form in (V1, V2)]

    def decrypted(self, stored: str) -> str:
        """Return what *stored* hides; ValueError when no configured key fits."""
        if not is_marked(stored):
            return stored
        found = _opened(stored, keys())
        if found is None:
            raise ValueError(f"could not decrypt a value of {self}: it was written under none of the configured keys")
        return found[1]

    def bind(self, dialect: Any) -> Callable[[Any], Any]:
        """Return what encrypts a value on its way to the driver."""
        return lambda value: self.encrypted(str(value))

    def load(self, dialect: Any) -> Callable[[Any], Any]:
        """Return what decrypts a value on its way back."""
        return self.decrypted


class EncryptedCharField(EncryptedFieldMixin, CharField[Any]):
    """Encrypted text of at most *max_length* characters (checked by validation)."""


class EncryptedTextField(EncryptedFieldMixin, TextField[Any]):
    """Encrypted text of any length."""


class _OneOf(Lookup):
    """Equality under every key: membership in the ciphertexts that the text may have.

    They stand in the compiled statement, so it is compiled each time.
    """

    cacheable: ClassVar[bool] = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """Return ``column IN (...)``."""
        field: Any = self.lhs.output
        texts = self.rhs if isinstance(self.rhs, (tuple, list, set, frozenset)) else (self.rhs,)
        values = [each for text in texts if text is not None for each in field.ciphertexts(str(text))]
        left, params = self.process_lhs(compiler, connection)
        if not values:
            return "1 = 0", []
        return f"{left} IN ({', '.join(['%s'] * len(values))})", [*params, *values]


class _Exact(_OneOf):
    lookup_name = "exact"
    cacheable = False


class _In(_OneOf):
    lookup_name = "in"
    cacheable = False


def _refusing(name: str) -> type[Lookup]:
    class Refused(Lookup):
        lookup_name = name
        cacheable = False

        def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
            """Refuse."""
            raise FieldError(
                f"{self.lhs.output} is encrypted: lookup {name!r} is not possible, only exact, in, isnull."
            )

    return Refused


for _field in (EncryptedCharField, EncryptedTextField):
    _field.register_lookup(_Exact)
    _field.register_lookup(_In)
    for _name in (
        "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "gt", "gte", "lt",
        "lte", "range", "regex", "iregex",
    ):  # fmt: skip
        _field.register_lookup(_refusing(_name))


# -- rotation ----------------------------------------------------------------------------------------------------


class _Table:
    """One table of the model with the encrypted columns it holds."""

    def __init__(self, model: Any, fields: list[Any], database: Database) -> None:
        quote, place = database.dialect.quote, database.dialect.placeholder
        meta = model._meta
        self.model = model
        self.fields = fields
        self.database = database
        self.pk = meta.pk
        self.bind_pk = meta.pk.bind(database.dialect)
        self.load_pk = meta.pk.load(database.dialect)
        table, pk = quote(meta.db_table), quote(meta.pk.column)
        columns = ", ".join([pk, *(quote(field.column) for field in fields)])
        pk_type = meta.pk.sql_type
        self.first = f"SELECT {columns} FROM {table} ORDER BY {pk} LIMIT {place(1, None)}"
        self.after = (
            f"SELECT {columns} FROM {table} WHERE {pk} > {place(1, pk_type)} ORDER BY {pk} LIMIT {place(2, None)}"
        )
        self.again = f"SELECT {columns} FROM {table} WHERE {pk} = {place(1, pk_type)}"
        self.swaps = {
            field: f"UPDATE {table} SET {quote(field.column)} = {place(1, TEXT)} "
            f"WHERE {pk} = {place(2, pk_type)} AND {quote(field.column)} = {place(3, TEXT)}"
            for field in fields
        }

    def rows(self, last: Any, size: int) -> Operation[list[Any]]:
        """Return the next rows: key and stored texts."""
        sql, params = (self.first, (size,)) if last is None else (self.after, (last, size))
        return (yield from perform(Query(self.database, Statement(Template(sql, reads=True), params, internal=True))))

    def row(self, pk: Any) -> Operation[list[Any]]:
        return (yield from perform(Query(self.database, Statement(Template(self.again), (pk,), internal=True))))

    def swap(self, field: Any, pk: Any, old: str, new: str) -> Operation[bool]:
        """Replace *old* by *new* in a row if it is still *old*."""
        statement = Statement(Template(self.swaps[field]), (new, pk, old), internal=True)
        try:
            touched = yield from perform(Execute(self.database, statement))
        except IntegrityError as exc:
            raise IntegrityError(
                f"{field} is unique, and another row holds the same text under another key than the row with the "
                f"primary key {pk!r}: decide which of the two stays"
            ) from exc
        return bool(touched)


class _Progress:
    def __init__(self) -> None:
        self.rewritten = 0
        self.examined = 0


def _new_form(field: Any, stored: str, pk: Any) -> str | None:
    """Return *stored* under the head key, None when it is already; ValueError that names field and row."""
    found = keys()
    if is_marked(stored):
        opened = _opened(stored, found)
        if opened is None:
            raise ValueError(
                f"could not decrypt {field} of the row with the primary key {pk!r}: it was written under none of the "
                "configured keys"
            )
        number, text = opened
        if number == 0 and stored.startswith(_form()):
            return None
    else:
        text = stored
    return found[0].encrypt(text, deterministic=field.deterministic, form=_form())


def _rotated(table: _Table, row: Sequence[Any], skips: bool, dry: bool) -> Operation[bool]:
    """Bring one row to the head key; a value that somebody changes meanwhile is looked at again."""
    pk, changed = row[0], False
    for number, field in enumerate(table.fields, 1):
        stored = row[number]
        while stored is not None:
            try:
                new = _new_form(field, stored, pk)
            except ValueError as exc:
                if not skips:
                    raise
                _log.error("%s", exc)
                break
            if new is None:
                break
            changed = True
            if dry or (yield from table.swap(field, pk, stored, new)):
                break
            again = yield from table.row(pk)
            stored = again[0][number] if again else None
    return changed


def _batch(table: _Table, last: Any, size: int, skips: bool, dry: bool, progress: _Progress) -> Operation[Any]:
    rows = yield from table.rows(last, size)
    rewritten = 0
    for row in rows:
        rewritten += yield from _rotated(table, row, skips, dry)
    progress.rewritten += rewritten
    progress.examined += len(rows)
    return rows[-1][0] if rows else None


@operation
def _rotate(
    model: Any,
    fields: Sequence[str] | None,
    batch_size: int,
    progress: Callable[[int, int], Any] | None,
    using: str,
    start_after: Any,
    on_error: str,
    dry_run: bool,
) -> Operation[int]:
    wanted = _checked(model, fields, batch_size, progress, on_error)
    if not wanted:
        return 0
    keys()
    database = connections[using]
    so_far = _Progress()
    for owner in dict.fromkeys(field.model for field in wanted):
        table = _Table(owner, [field for field in wanted if field.model is owner], database)
        last = start_after if start_after is None or table.bind_pk is None else table.bind_pk(start_after)
        while True:
            before = so_far.examined
            step = _batch(table, last, batch_size, on_error == "skip", dry_run, so_far)
            found = yield from in_transaction(step, using)
            if so_far.examined == before:
                break
            if progress is not None:
                yield _told(progress, so_far)
            if so_far.examined - before < batch_size:
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


def _checked(model: Any, fields: Any, batch_size: Any, progress: Any, on_error: str) -> list[Any]:
    if not isinstance(model, type) or not hasattr(model, "_meta"):
        raise TypeError(f"model_cls takes a model class, not {type(model).__name__}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number from 1, not {batch_size!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable, not {type(progress).__name__}")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error takes 'raise' or 'skip', not {on_error!r}")
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
) -> int:
    """Write every value of the encrypted columns under the head key; return the number of rows rewritten.

    It walks the table by primary key in batches, a transaction each, below models: no signals, no ``auto_now``, no
    managers. A value is replaced only if it is still the one that was read, so writers may go on. Run again after a
    crash, it goes on; when everything is done it writes nothing. Plain text of former times is encrypted, too.

    Args:
        fields: names of encrypted fields; None for all.
        progress: called with (rewritten, examined) after each committed batch.
        start_after: primary key to begin behind. on_error: ``"skip"`` logs values that no key opens and goes on.
        dry_run: count, and write nothing.
    Raises: ValueError: a value that no key opens, naming field and row; FieldDoesNotExist; TypeError: no such field.
    """
    args = (model_cls, fields, batch_size, progress, using, start_after, on_error, dry_run)
    return run(_rotate(*args))


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
) -> int:
    """Async twin of `rotate_encryption_keys`; a coroutine function as *progress* is awaited."""
    args = (model_cls, fields, batch_size, progress, using, start_after, on_error, dry_run)
    return await arun(_rotate(*args))


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
                for stored in row[1:]:
                    if stored is not None:
                        name = _under(stored, found)
                        counts[name] = counts.get(name, 0) + 1
            if len(rows) < batch_size:
                break
            last = rows[-1][0]
    return counts


def _under(stored: str, found: Sequence[Key]) -> int | str:
    if not is_marked(stored):
        return "plain"
    opened = _opened(stored, found)
    return "unknown" if opened is None else opened[0]


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
