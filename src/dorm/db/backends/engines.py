"""What can be told of an engine before its driver is imported: where its databases lie, which client opens them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from dorm.conf.databases import DatabaseConfig


@dataclass(frozen=True)
class ClientCommand:
    """A command that opens a database in its own client, and what its environment has to hold (passwords)."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Engine:
    """Facts about an engine.

    Attributes:
        in_file: a database is a file of this machine, or lies in memory.
        by_libpq: connections are made by libpq: its keywords hold in OPTIONS, PgBouncer may stand before the server.
        drivers: modules that its backend imports.
        client: makes the command of the engine's own client; None where there is none.
    """

    in_file: bool = False
    by_libpq: bool = False
    drivers: tuple[str, ...] = ()
    client: Callable[[DatabaseConfig], ClientCommand] | None = None

    def missing_drivers(self) -> list[str]:
        """Return the drivers that are not installed; none is imported."""
        return [name for name in self.drivers if find_spec(name) is None]


_LIBPQ_VARIABLES = {
    "password": "PGPASSWORD",
    "hostaddr": "PGHOSTADDR",
    "service": "PGSERVICE",
    "passfile": "PGPASSFILE",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "channel_binding": "PGCHANNELBINDING",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
}
"""Keyword of libpq: the variable that psql reads it from."""


def _psql(config: DatabaseConfig) -> ClientCommand:
    known = {"user": config.user, "password": config.password, "host": config.host, "port": config.port}
    given: dict[str, Any] = {**known, "dbname": config.name, **config.options}
    arguments = ["psql"]
    for flag, key in (("-U", "user"), ("-h", "host"), ("-p", "port")):
        arguments += [flag, str(given[key])] if given[key] else []
    environment = {name: str(given[key]) for key, name in _LIBPQ_VARIABLES.items() if given.get(key)}
    return ClientCommand([*arguments, str(given["dbname"] or "postgres")], environment)


def _sqlite3(config: DatabaseConfig) -> ClientCommand:
    return ClientCommand(["sqlite3", config.name])


def _mysql(config: DatabaseConfig) -> ClientCommand:
    arguments = ["mysql"]
    for flag, value in (("--user", config.user), ("--host", config.host), ("--port", config.port)):
        arguments += [f"{flag}={value}"] if value else []
    return ClientCommand(
        [*arguments, *([config.name] if config.name else [])], {"MYSQL_PWD": config.password} if config.password else {}
    )


_POSTGRESQL = Engine(by_libpq=True, drivers=("psycopg", "psycopg_pool"), client=_psql)
_MYSQL = Engine(client=_mysql)
_ENGINES: dict[str, Engine] = {
    "sqlite": Engine(in_file=True, drivers=("apsw",), client=_sqlite3),
    "libsql": Engine(in_file=True),
    "duckdb": Engine(in_file=True),
    "postgresql": _POSTGRESQL,
    "cockroachdb": _POSTGRESQL,
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}


def engine_of(config: DatabaseConfig) -> Engine:
    """Return the facts about a database's engine; a backend from elsewhere may give them as its ``engine``.

    Raises: ImproperlyConfigured: there is no such engine.
    """
    found = _ENGINES.get(config.engine)
    if found is not None:
        return found
    from dorm.db.backends import load_backend

    given: Engine = getattr(load_backend(config.engine), "engine", Engine())
    return given
