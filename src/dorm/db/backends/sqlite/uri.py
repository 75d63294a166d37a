"""``NAME`` as one of SQLite's URIs (https://www.sqlite.org/uri.html): ``file:shop.db?mode=ro``."""

from __future__ import annotations

_TRUE = ("1", "true", "yes", "on")


def is_uri(name: str) -> bool:
    """True for names that SQLite reads as a URI."""
    return name.startswith("file:")


def file_of(name: str) -> str:
    """Return the file that a NAME means; nothing for a URI of a database in memory."""
    if not is_uri(name):
        return name
    # Loaded for such names alone: a first query pays for nothing that it does not need.
    from urllib.parse import unquote, urlsplit

    path = unquote(urlsplit(name).path)
    given = _parameters(name)
    return "" if path == ":memory:" or given.get("mode") == "memory" or given.get("vfs") == "memdb" else path


def reads_only(name: str) -> bool:
    """True when a NAME says that the file is never written."""
    given = _parameters(name) if is_uri(name) else {}
    return given.get("mode") == "ro" or given.get("immutable", "").lower() in _TRUE


def _parameters(name: str) -> dict[str, str]:
    from urllib.parse import parse_qs, urlsplit

    return {key: values[-1] for key, values in parse_qs(urlsplit(name).query).items()}
