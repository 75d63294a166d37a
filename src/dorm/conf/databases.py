"""One entry of ``DATABASES`` as a checked value."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from dorm.conf.engines import ENGINES
from dorm.exceptions import ImproperlyConfigured, choices_text, nearest
from dorm.record import Record, field

_PORTS = {"postgresql": 5432, "cockroachdb": 26257, "mysql": 3306, "mariadb": 3306}
_FILE_ENGINES = ("sqlite", "libsql", "duckdb")


_log = logging.getLogger("dorm.conf")


class DatabaseConfig(Record):
    """Settings of one database; times in seconds. See the table in ``docs/settings.md``."""

    alias: str
    engine: str
    name: str
    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    min_pool_size: int = 1
    max_pool_size: int = 10
    pool_timeout: float = 30.0
    max_idle: float = 600.0
    max_lifetime: float = 3600.0
    pool_check: bool = True
    prepare_threshold: int | None = 5
    pgbouncer_mode: str | bool = False
    test: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shares_sessions(self) -> bool:
        """True behind a PgBouncer that hands out connections for less than a session."""
        return self.pgbouncer_mode in (True, "transaction", "statement")


_KEYS: dict[str, tuple[str, tuple[type, ...]]] = {
    "ENGINE": ("engine", (str,)),
    "NAME": ("name", (str,)),
    "USER": ("user", (str,)),
    "PASSWORD": ("password", (str,)),
    "HOST": ("host", (str,)),
    "PORT": ("port", (int, type(None))),
    "OPTIONS": ("options", (Mapping,)),
    "MIN_POOL_SIZE": ("min_pool_size", (int,)),
    "MAX_POOL_SIZE": ("max_pool_size", (int,)),
    "POOL_TIMEOUT": ("pool_timeout", (int, float)),
    "MAX_IDLE": ("max_idle", (int, float)),
    "MAX_LIFETIME": ("max_lifetime", (int, float)),
    "POOL_CHECK": ("pool_check", (bool,)),
    "PREPARE_THRESHOLD": ("prepare_threshold", (int, type(None))),
    "PGBOUNCER_MODE": ("pgbouncer_mode", (bool, str)),
    "TEST": ("test", (Mapping,)),
}
_PGBOUNCER_MODES = (False, True, "transaction", "statement", "session")


def database_config(alias: str, entry: Any) -> DatabaseConfig:
    """Return the checked form of ``DATABASES[alias]``: a URL, or a dict that may hold one under ``URL``.

    Raises: ImproperlyConfigured: an unknown key, a value of the wrong type, a URL that does not parse.
    """
    where = f"DATABASES[{alias!r}]"
    if isinstance(entry, str):
        entry = {"URL": entry}
    if not isinstance(entry, Mapping):
        raise ImproperlyConfigured(f"{where} is a {type(entry).__name__}: give a dict or a URL.")
    given = dict(entry)
    url = given.pop("URL", None)
    if url is not None:
        from dorm.conf.url import parse_database_url

        try:
            given = {**parse_database_url(url), **given}
        except ImproperlyConfigured as exc:
            raise ImproperlyConfigured(f"{where}: {exc}") from None
    values: dict[str, Any] = {}
    for key, value in given.items():
        attribute = _KEYS[_known(where, key)][0]
        values[attribute] = _typed(where, key, value)
    engine = values.get("engine", "sqlite")
    values["engine"] = ENGINES.get(engine, engine)
    values.setdefault("name", ":memory:" if values["engine"] in _FILE_ENGINES else "")
    if values["engine"] in _PORTS:
        values["host"] = values.get("host") or "localhost"
        values["port"] = values.get("port") or _PORTS[values["engine"]]
    config = DatabaseConfig(alias, **values)
    _check(where, config)
    if values.get("prepare_threshold") is not None and config.shares_sessions:
        _log.warning(
            "%s: PGBOUNCER_MODE turns prepared statements off, PREPARE_THRESHOLD is ignored. With PgBouncer 1.21 and "
            'max_prepared_statements, PGBOUNCER_MODE "session" keeps them.',
            where,
        )
    return config


def _known(where: str, key: str) -> str:
    if key not in _KEYS:
        raise ImproperlyConfigured(
            f"{where} has the unknown key {key!r}.{nearest(key, _KEYS)} Keys: URL, {choices_text(_KEYS)}."
        )
    return key


def _typed(where: str, key: str, value: Any) -> Any:
    if key == "PORT" and isinstance(value, str):
        if value and not value.isdigit():
            raise ImproperlyConfigured(f"{where}['PORT'] takes a number.")
        return int(value) if value else None
    if key == "NAME" and hasattr(value, "__fspath__"):
        return str(value)
    types = _KEYS[key][1]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = " or ".join("None" if each is type(None) else each.__name__ for each in types)
        raise ImproperlyConfigured(f"{where}[{key!r}] takes {names}, not {type(value).__name__}.")
    return value


def _check(where: str, config: DatabaseConfig) -> None:
    if config.max_pool_size < 1 or not 0 <= config.min_pool_size <= config.max_pool_size:
        raise ImproperlyConfigured(f"{where} needs 0 <= MIN_POOL_SIZE <= MAX_POOL_SIZE and MAX_POOL_SIZE >= 1.")
    if config.pgbouncer_mode not in _PGBOUNCER_MODES:
        raise ImproperlyConfigured(
            f"{where}['PGBOUNCER_MODE'] takes one of {choices_text(map(str, _PGBOUNCER_MODES))}."
        )
