"""Database URLs: ``scheme://user:password@host:port/name?KEY=value`` to the dict form of ``DATABASES``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dorm.conf.engines import ENGINES
from dorm.exceptions import ImproperlyConfigured, choices_text, nearest

_FILES = ("sqlite", "duckdb", "libsql")


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("true or false")


_TYPED: dict[str, Callable[[str], Any]] = {
    "MIN_POOL_SIZE": int,
    "MAX_POOL_SIZE": int,
    "POOL_TIMEOUT": float,
    "POOL_CHECK": _boolean,
    "MAX_IDLE": float,
    "MAX_LIFETIME": float,
    "PREPARE_THRESHOLD": int,
}


def parse_database_url(url: str) -> dict[str, Any]:
    """Return the ``DATABASES`` entry that *url* means.

    User, password and name are percent-decoded; the query keys MIN_POOL_SIZE, MAX_POOL_SIZE, POOL_TIMEOUT, POOL_CHECK,
    MAX_IDLE, MAX_LIFETIME and PREPARE_THRESHOLD become typed keys, every other one goes to ``OPTIONS``.

    Raises: ImproperlyConfigured: an unknown scheme, a port or a value that does not parse. The message holds no secret.
    """
    if not isinstance(url, str):
        raise ImproperlyConfigured(f"a database URL is a text, not {type(url).__name__}.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _unparsed("its host is none") from None
    engine = ENGINES.get(parts.scheme)
    if engine is None:
        raise ImproperlyConfigured(
            f"a database URL starts with the unknown scheme {parts.scheme!r}.{nearest(parts.scheme, ENGINES)} "
            f"Schemes: {choices_text(ENGINES)}."
        )
    if not url.strip()[len(parts.scheme) :].startswith("://"):
        raise _unparsed("'://' has to follow the scheme")
    if parts.fragment or url.endswith("#"):
        raise _unparsed("a '#' is written %23")
    found: dict[str, Any] = {"ENGINE": engine}
    if engine in _FILES:
        found["NAME"] = _file(parts)
    else:
        found["NAME"] = _decoded("name", parts.path.removeprefix("/"))
        for key, value in (("USER", parts.username), ("PASSWORD", parts.password), ("HOST", parts.hostname)):
            if value:
                found[key] = _decoded(key, value)
        try:
            port = parts.port
        except ValueError:
            # What stands there may be half of a password with an unencoded '/' in it: it is not shown.
            raise _unparsed("its port is no number from 0 to 65535") from None
        if port is not None:
            found["PORT"] = port
    _add_query(found, parts.query)
    return found


def _unparsed(reason: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"a database URL does not parse: {reason}. Write scheme://user:password@host:port/name and percent-encode "
        "special characters of user and password."
    )


def _decoded(what: str, text: str) -> str:
    try:
        found = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _unparsed(f"the bytes of its {what.lower()} are no UTF-8") from None
    if "\0" in found:
        raise _unparsed(f"its {what.lower()} holds the character NUL")
    return found


def _file(parts: SplitResult) -> str:
    """Return the file of a URL: two slashes and three are relative, four are absolute, nothing is in memory."""
    path = _decoded("name", parts.netloc + parts.path)
    if not parts.netloc:
        path = path.removeprefix("/")
    return path or ":memory:"


def _add_query(found: dict[str, Any], query: str) -> None:
    options: dict[str, Any] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        convert = _TYPED.get(key)
        if convert is None:
            options[key] = text
            continue
        try:
            found[key] = convert(text)
        except ValueError:
            raise ImproperlyConfigured(f"{key} in a database URL takes a {convert.__name__.strip('_')}.") from None
    if options:
        found["OPTIONS"] = options
