"""Tenants that have a schema each in one PostgreSQL database: the same tables, other rows.

``with TenantContext("acme"):`` lets code see the schema ``acme`` first and the shared schemas behind it
(``TENANTS_SHARED_SCHEMAS``, ``["public"]``). Entering sends nothing but one look, once a process, whether the schema is
there: without it names would quietly be found in the shared schemas. A transaction tells the server with its first
statement (``SET LOCAL``); outside transactions each statement is sent between setting the path and taking it back,
which is two trips more, so work in ``atomic()`` blocks. No connection goes back to the pool with a tenant's path.

Tasks that are started inside belong to the tenant; threads begin without one. Without a tenant code sees what the
session's own path shows. Several tenants in one table are `dorm.contrib.tenants_row`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

from dorm.cache.api import register_key_part
from dorm.conf.settings import settings
from dorm.db.connection import Database, connections
from dorm.db.context import register_context
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Execute, Query
from dorm.db.scope import search_path_of, set_search_path
from dorm.db.statement import Statement, Template
from dorm.exceptions import (
    DormError,
    ImproperlyConfigured,
    IntegrityError,
    MigrationError,
    NotSupportedError,
    choices_text,
    error_text,
)
from dorm.migrations.run import Options, Report, default_lock_timeout
from dorm.transaction import in_savepoint

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}\Z")
_RESERVED: Final = ("public", "information_schema")


class UnknownTenantError(DormError):
    """A tenant was to be entered that has no schema."""


class _Known:
    """Tenants registered by alias, and schemas that were seen in a database."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.registered: dict[str, dict[str, None]] = {}
        self.seen: WeakKeyDictionary[Database, set[str]] = WeakKeyDictionary()

    def was_seen(self, database: Database, name: str) -> bool:
        return name in self.seen.get(database, ())

    def note(self, database: Database, name: str) -> None:
        with self.lock:
            self.seen.setdefault(database, set()).add(name)

    def forget(self, database: Database, name: str) -> None:
        with self.lock:
            self.seen.get(database, set()).discard(name)


_known = _Known()


# -- names and databases -----------------------------------------------------------------------------------------


def _checked(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a tenant is a str, not {type(name).__name__}")
    if not _NAME.match(name) or name.startswith("pg_") or name in (*_RESERVED, *_shared()):
        raise ValueError(
            f"{name[:70]!r} cannot be a tenant's schema: 1 to 63 letters, digits, '_', '$' or '-', not a digit or '-' "
            "first, not pg_..., and none of the shared schemas"
        )
    return name


def _shared() -> tuple[str, ...]:
    found = getattr(settings, "TENANTS_SHARED_SCHEMAS", None) if settings.is_configured else None
    if found is None:
        return ("public",)
    if isinstance(found, str) or not all(isinstance(each, str) and each for each in found):
        raise ImproperlyConfigured("TENANTS_SHARED_SCHEMAS takes a list of names of schemas.")
    return tuple(found)


def _database(using: str) -> Database:
    database = connections[using]
    if not database.dialect.supports_search_path:
        raise NotSupportedError(
            f"tenants by schema are PostgreSQL-only: {using!r} is {database.vendor}. dorm.contrib.tenants_row keeps "
            "several tenants in one table on every backend."
        )
    mode = database.config.pgbouncer_mode
    if mode == "statement":
        raise ImproperlyConfigured(
            f"PGBOUNCER_MODE={mode!r} of {using!r} keeps no search_path from one statement to the next: tenants by "
            "schema need the transaction or the session mode."
        )
    return database


def _read(database: Database, sql: str, *params: Any) -> Operation[list[Any]]:
    statement = Statement(Template(sql, reads=True, natural=True), params, internal=True)
    return (yield from perform(Query(database, statement)))


def _send(database: Database, sql: str) -> Operation[None]:
    yield from perform(Execute(database, Statement(Template(sql, prepare=False), (), internal=True)))


# -- the tenant in force -----------------------------------------------------------------------------------------


def _exists(database: Database, name: str) -> Operation[bool]:
    return bool((yield from _read(database, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", name)))


@operation
def _is_there(database: Database, name: str) -> Operation[None]:
    """Raise `UnknownTenantError` unless the schema is there; looked up once."""
    if _known.was_seen(database, name):
        return
    if not (yield from _exists(database, name)):
        raise UnknownTenantError(
            f"there is no schema {name!r} on {database.alias!r}: make it by ensure_schema() or migrate_tenant()"
        )
    if not database.in_transaction:
        # A schema that this transaction made is gone when it is rolled back.
        _known.note(database, name)


class TenantContext:
    """Let a ``with`` or ``async with`` block see the schema of a tenant; inner ones replace outer ones.

    Args:
        name: the tenant's schema. using: alias; other aliases are not concerned.
    Raises: UnknownTenantError: no such schema. NotSupportedError: no PostgreSQL. ImproperlyConfigured: a PgBouncer that
        keeps no search path.
    """

    def __init__(self, name: str, *, using: str = "default") -> None:
        self.name = _checked(name)
        self.using = using
        self._before: list[tuple[str, ...] | None] = []

    def _enter(self) -> Self:
        self._before.append(set_search_path(self.using, (self.name, *_shared())))
        return self

    def __enter__(self) -> Self:
        run(_is_there(_database(self.using), self.name))
        return self._enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        set_search_path(self.using, self._before.pop())

    async def __aenter__(self) -> Self:
        await arun(_is_there(_database(self.using), self.name))
        return self._enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        set_search_path(self.using, self._before.pop())

    def __repr__(self) -> str:
        return f"TenantContext({self.name!r}, using={self.using!r})"


class aTenantContext(TenantContext):  # noqa: N801  # the async name beside TenantContext
    """`TenantContext` for ``async with`` only."""

    def __enter__(self) -> Self:
        raise TypeError("aTenantContext is for 'async with'; use TenantContext in blocking code")


def current_tenant(using: str = "default") -> str | None:
    """Return the name of the tenant in force on *using*, None without."""
    path = search_path_of(using)
    return path[0] if path else None


def _in_force() -> tuple[tuple[str, str | None], ...]:
    try:
        aliases = sorted(settings.DATABASES)
    except ImproperlyConfigured:
        # Nothing is configured, so no database can be asked.
        return ()
    return tuple((alias, current_tenant(alias)) for alias in aliases)


register_context("dorm.tenants", _in_force)
register_key_part(search_path_of)


# -- which there are ---------------------------------------------------------------------------------------------


def register_tenant(name: str, *, using: str = "default") -> str:
    """Let `migrate_all_tenants` and ``dorm migrate --all-tenants`` know a tenant; return its name. Nothing is sent."""
    with _known.lock:
        _known.registered.setdefault(using, {})[_checked(name)] = None
    return name


def registered_tenants(using: str = "default") -> list[str]:
    """Return the tenants that were registered in this process, in that order."""
    with _known.lock:
        return list(_known.registered.get(using, ()))


@operation
def _schemas(using: str) -> Operation[list[str]]:
    rows = yield from _read(
        _database(using),
        "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relname = 'dorm_migrations' AND c.relkind = 'r' ORDER BY n.nspname",
    )
    shared = _shared()
    return [name for (name,) in rows if name not in shared and _NAME.match(name)]


def tenant_schemas(using: str = "default") -> list[str]:
    """Return the schemas of the database that dorm has migrated, the shared ones aside."""
    return run(_schemas(using))


async def atenant_schemas(using: str = "default") -> list[str]:
    """Async twin of `tenant_schemas`."""
    return await arun(_schemas(using))


@operation
def _all(using: str) -> Operation[list[str]]:
    return sorted({*registered_tenants(using), *(yield from _schemas(using))})


def known_tenants(using: str = "default") -> list[str]:
    """Return the tenants that were registered in this process or migrated before, sorted."""
    return run(_all(using))


async def aknown_tenants(using: str = "default") -> list[str]:
    """Async twin of `known_tenants`."""
    return await arun(_all(using))


@operation
def _ensure(name: str, using: str) -> Operation[None]:
    database = _database(using)
    sql = f"CREATE SCHEMA IF NOT EXISTS {database.dialect.quote(_checked(name))}"
    if not (yield from _exists(database, name)):
        try:
            yield from in_savepoint(_send(database, sql), using)
        except IntegrityError:
            # IF NOT EXISTS doesn't wait for somebody else who is just making it.
            if not (yield from _exists(database, name)):
                raise


def ensure_schema(name: str, *, using: str = "default") -> None:
    """Make the schema of a tenant unless it is there."""
    run(_ensure(name, using))


async def aensure_schema(name: str, *, using: str = "default") -> None:
    """Async twin of `ensure_schema`."""
    await arun(_ensure(name, using))


@operation
def _drop(name: str, using: str) -> Operation[None]:
    database = _database(using)
    _known.forget(database, name)
    yield from _send(database, f"DROP SCHEMA IF EXISTS {database.dialect.quote(_checked(name))} CASCADE")
    with _known.lock:
        _known.registered.get(using, {}).pop(name, None)


def drop_schema(name: str, *, using: str = "default") -> None:
    """Remove a tenant with all of its rows. Other processes that have seen the schema must not enter it any more."""
    run(_drop(name, using))


async def adrop_schema(name: str, *, using: str = "default") -> None:
    """Async twin of `drop_schema`."""
    await arun(_drop(name, using))


# -- migrations --------------------------------------------------------------------------------------------------


@contextmanager
def _seen(using: str, name: str) -> Generator[None]:
    before = set_search_path(using, (name, *_shared()))
    try:
        yield
    finally:
        set_search_path(using, before)


@operation
def _migrate(name: str, using: str, label: str | None, target: str | None, options: Options) -> Operation[list[Any]]:
    from dorm.migrations.executor import Runner

    yield from _ensure(name, using)
    with _seen(using, name):
        return (yield from Runner(connections[using], options=options).migrate(label, target))


@operation
def _migrate_each(
    names: Sequence[str] | None, using: str, label: str | None, target: str | None, options: Options
) -> Operation[dict[str, list[Any]]]:
    if names is None:
        names = yield from _all(using)
    done: dict[str, list[Any]] = {}
    for name in names:
        try:
            done[name] = yield from _migrate(name, using, label, target, options)
        except Exception as exc:
            left = names[len(done) + 1 :]
            raise MigrationError(
                f"tenant {name!r} was not migrated ({len(done)} of {len(names)} are done"
                + (f", left: {choices_text(left)}" if left else "")
                + f"): {error_text(exc)}"
            ) from exc
    return done


def _silent(event: str, subject: Any) -> None:
    """Tell nobody how a migration comes along."""


def _options(fake: bool, fake_initial: bool, report: Report) -> Options:
    return Options(lock_timeout=default_lock_timeout(), fake=fake, fake_initial=fake_initial, report=report)


def migrate_tenant(
    name: str,
    *,
    using: str = "default",
    app_label: str | None = None,
    target: str | None = None,
    fake: bool = False,
    fake_initial: bool = False,
    report: Report = _silent,
) -> list[Any]:
    """Migrate one tenant, its schema made first; return the steps that were done.

    The record of what is applied (``dorm_migrations``) lies in the tenant's schema.

    Args:
        app_label, target: as ``dorm migrate`` takes them. fake, fake_initial: record only. report: told each event.
    """
    register_tenant(name, using=using)
    return run(_migrate(name, using, app_label, target, _options(fake, fake_initial, report)))


async def amigrate_tenant(
    name: str,
    *,
    using: str = "default",
    app_label: str | None = None,
    target: str | None = None,
    fake: bool = False,
    fake_initial: bool = False,
    report: Report = _silent,
) -> list[Any]:
    """Async twin of `migrate_tenant`."""
    register_tenant(name, using=using)
    return await arun(_migrate(name, using, app_label, target, _options(fake, fake_initial, report)))


def migrate_all_tenants(
    names: Iterable[str] | None = None,
    *,
    using: str = "default",
    app_label: str | None = None,
    target: str | None = None,
    fake: bool = False,
    fake_initial: bool = False,
    report: Report = _silent,
) -> dict[str, list[Any]]:
    """Migrate tenants one after another; return the steps by tenant.

    Args:
        names: which; None for all that are registered or were migrated before.
    Raises: MigrationError: one failed, which the message names; those before it are done, those after it are left.
    """
    wanted = None if names is None else [_checked(name) for name in names]
    return run(_migrate_each(wanted, using, app_label, target, _options(fake, fake_initial, report)))


async def amigrate_all_tenants(
    names: Iterable[str] | None = None,
    *,
    using: str = "default",
    app_label: str | None = None,
    target: str | None = None,
    fake: bool = False,
    fake_initial: bool = False,
    report: Report = _silent,
) -> dict[str, list[Any]]:
    """Async twin of `migrate_all_tenants`."""
    wanted = None if names is None else [_checked(name) for name in names]
    return await arun(_migrate_each(wanted, using, app_label, target, _options(fake, fake_initial, report)))
