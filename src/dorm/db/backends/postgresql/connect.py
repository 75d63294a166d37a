"""How a connection to PostgreSQL is made: its parameters, and what is said when it cannot be had."""

from __future__ import annotations

import math
import re
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from dorm.conf.databases import DatabaseConfig
from dorm.db.backends.postgresql.adapt import ADAPTERS
from dorm.exceptions import ConnectionFailed, ImproperlyConfigured

MOST_PREPARED = 1_000
"""Prepared statements a connection keeps; the driver forgets the oldest beyond."""

_PASSING = ("connection refused", "starting up", "shutting down", "too many clients", "recovery mode", "timeout")
"""What may be otherwise in a moment."""

_STATES = (
    (re.compile("authentication failed"), "28P01"),
    (re.compile('role ".*" does not exist|pg_hba.conf'), "28000"),
    (re.compile('database ".*" does not exist'), "3D000"),
)
"""SQLSTATE of refusals that libpq hands on as a text alone."""

_ADVICE = (
    ("does not exist", "Create it, or correct NAME (and USER)."),
    ("password", "Check USER and PASSWORD."),
    ("authentication", "Check USER and PASSWORD, and the server's pg_hba.conf."),
    ("pg_hba.conf", "Check the server's pg_hba.conf."),
    ("too many clients", "Lower MAX_POOL_SIZE or raise the server's max_connections."),
    ("remaining connection slots", "Lower MAX_POOL_SIZE or raise the server's max_connections."),
    ("starting up", "Wait until the server is ready."),
    ("could not translate host name", "Check HOST."),
    ("resolve", "Check HOST."),
    ("ssl", "Check OPTIONS['sslmode'] and the certificates."),
)
_USUAL_ADVICE = "Is the server running there, and are HOST and PORT right?"


def parameters(config: DatabaseConfig, seconds: float) -> dict[str, Any]:
    """Return the arguments of psycopg's ``connect``; it gives up after *seconds*."""
    known = {"dbname": config.name, "user": config.user, "password": config.password, "host": config.host}
    given: dict[str, Any] = {key: value for key, value in known.items() if value}
    given.update({key: value for key, value in config.options.items() if key != "options"})
    if config.port is not None:
        given["port"] = str(config.port)
    # libpq counts in whole seconds and takes 1 for 2.
    given.setdefault("connect_timeout", max(2, math.ceil(seconds)))
    if not config.shares_sessions:
        given["options"] = f"-c TimeZone=UTC {config.options.get('options', '')}".strip()
    try:
        conninfo = make_conninfo("", **given)
    except psycopg.ProgrammingError as exc:
        # It names the option, never its value.
        raise ImproperlyConfigured(
            f"DATABASES[{config.alias!r}]['OPTIONS']: {' '.join(str(exc).split())}. It takes the keywords of libpq: "
            "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"
        ) from exc
    return {
        "conninfo": conninfo,
        "autocommit": True,
        "context": ADAPTERS,
        "prepare_threshold": None if config.shares_sessions else config.prepare_threshold,
    }


def failure(config: DatabaseConfig, exc: psycopg.Error | None) -> ConnectionFailed:
    """Return the error for a connection that could not be made: which one, why, and what to look at.

    Args:
        exc: what the driver said; None when nobody answered in time.
    """
    reason = " ".join(str(exc).split()) if exc is not None else f"timeout: no answer within {config.pool_timeout:g} s"
    lowered = reason.lower()
    advice = next((text for part, text in _ADVICE if part in lowered), _USUAL_ADVICE)
    made = ConnectionFailed(
        f"cannot connect to DATABASES[{config.alias!r}], the database {config.name!r} on {config.host or 'localhost'}:"
        f"{config.port}: {_short(reason)}. {advice}"
    )
    made.alias = config.alias
    made.sqlstate = exc.sqlstate if exc is not None else None
    if made.sqlstate is None:
        made.sqlstate = next((state for pattern, state in _STATES if pattern.search(lowered)), None)
    made.connection_lost = True
    made.passing = exc is not None and any(part in lowered for part in _PASSING)
    return made


def closed(config: DatabaseConfig) -> ConnectionFailed:
    """Return the error for a pool that was closed while somebody waited for it: the next one to ask opens another."""
    made = ConnectionFailed(f"the pool of {config.alias!r} was closed while a connection was waited for. Try again.")
    made.alias = config.alias
    made.passing = True
    return made


def _short(reason: str) -> str:
    """Return the last of the reasons that libpq strings together, without its own advice."""
    for separator in ("FATAL:", "failed:"):
        if separator in reason:
            reason = reason.rpartition(separator)[2]
    return reason.partition(" Is the server running")[0].partition(" Multiple connection")[0].strip(" .")
