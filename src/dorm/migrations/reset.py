"""Whether a database may be emptied without asking, and emptying it."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Any

from dorm.conf.databases import DatabaseConfig
from dorm.db.backends.engines import engine_of

_THROW_AWAY = re.compile(r"(test(s|ing|db)?|dev(el|elopment|db)?)\d*\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What may be done with a database: ``"run"``, ``"ask"`` (for its name, on a terminal) or ``"refuse"``.

    Attributes:
        reasons: why not at once.
    """

    decision: str
    reasons: tuple[str, ...] = ()


def is_throw_away_name(name: str) -> bool:
    """True for names one of whose parts says test or development: ``shop_dev``, ``test2``, not ``latest``."""
    if name in ("", ":memory:"):
        return True
    return any(_THROW_AWAY.match(part) for part in re.split(r"[^A-Za-z0-9]+", name) if part)


def is_local_host(host: str) -> bool:
    """True for this machine: no host, a socket's folder, localhost, 127.0.0.0/8, ::1."""
    if not host or host.startswith(("/", "@")) or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def hosts_of(config: DatabaseConfig) -> list[str] | None:
    """Return every host that a connection may go to; None when that cannot be told (a service file)."""
    options: Any = config.options
    if options.get("service") or os.environ.get("PGSERVICE"):
        return None
    host = options.get("host") or config.host or os.environ.get("PGHOST") or ""
    # libpq connects to the address where there is one, and takes the host for a mere name.
    address = options.get("hostaddr") or os.environ.get("PGHOSTADDR")
    return [part.strip() for part in str(address or host).split(",")]


def name_of(config: DatabaseConfig) -> str:
    """Return the name of the database that a connection goes to, wherever it is given; a user's own when nowhere."""
    options: Any = config.options
    if options.get("dbname") or config.name:
        return str(options.get("dbname") or config.name)
    environment = os.environ
    user = options.get("user") or config.user or environment.get("PGUSER")
    return str(environment.get("PGDATABASE") or user or "")


def judge(config: DatabaseConfig, debug: bool) -> Verdict:
    """Return what may be done with a database; looks at settings only and opens no connection."""
    if engine_of(config).in_file:
        return Verdict("run")
    hosts = hosts_of(config)
    local = hosts is not None and all(map(is_local_host, hosts))
    name = name_of(config)
    named = is_throw_away_name(name)
    if local and (debug or named):
        return Verdict("run")
    reasons = []
    if not debug:
        reasons.append("DEBUG is off")
    if not named:
        reasons.append(f"the name {name!r} says neither test nor dev")
    if hosts is None:
        reasons.append("the host comes from a service file")
    elif not local:
        reasons.append(f"the host {', '.join(hosts)!r} is not this machine")
    return Verdict("ask" if debug or named or local else "refuse", tuple(reasons))
