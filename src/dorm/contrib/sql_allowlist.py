"""Only statements of known shape reach the database: a gate that compares templates.

Defence in depth beside input validation: the shape of a statement is judged, so a literal in place of a parameter is
the same template by design. Transaction control that dorm emits and statements it sends for itself (marked
``internal``, never recognised by their text) always pass. Judged are templates of the engine a statement goes to
(`dorm.db.template.normalize`); a text that can't be read for certain is refused.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, Final

from dorm.conf.settings import settings
from dorm.contrib.jsonfile import read_object, write_object
from dorm.db import hooks
from dorm.db.connection import connections
from dorm.db.forks import in_child
from dorm.db.lexer import Unlexable, lexemes
from dorm.db.request import StatementRequest
from dorm.db.template import (
    NORMALIZER_VERSION,
    UNPARSABLE,
    first_word,
    normalize,
    templates as read_templates,
    templates_of,
)
from dorm.exceptions import DatabaseError

__all__ = [
    "SQLNotAllowedError",
    "allowed_templates",
    "dump_captured",
    "install",
    "load_from_file",
    "merge",
    "normalize",
    "rejected_templates",
    "uninstall",
]

_log = logging.getLogger("dorm.contrib.sql_allowlist")

MOST_REJECTED: Final = 10_000
OVERFLOW: Final = "(overflow)"
FILE_VERSION: Final = 1
_SHOWN = 500
_DDL = frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE", "REINDEX", "VACUUM", "ANALYZE"})
_NOT_DDL = re.compile(
    r"ANALYZE\b(?:\W*format\b|\W*FORMAT\b|.*\b(?:SELECT|WITH|INSERT|UPDATE|DELETE|REPLACE|VALUES)\b)"
    r"|VACUUM\b.* INTO\b",
    re.DOTALL,
)
_BEFORE_TABLE = frozenset({
    "CREATE", "OR", "REPLACE", "GLOBAL", "LOCAL", "TEMP", "TEMPORARY", "UNLOGGED", "FOREIGN", "VIRTUAL", "EXTERNAL",
    "MATERIALIZED", "PERSISTENT", "TRANSIENT",
})  # fmt: skip
_FILLING = frozenset({"AS", "VALUES", "EXECUTE", "FROM"})
_FILLING_INSIDE = frozenset({"SELECT", "TABLE"})
_EXECUTABLE = re.compile(r"/\*M?!")
"""Opens a comment that MySQL runs: whatever stands in it, it is part of the statement."""
_EXPLAIN = re.compile(
    r"EXPLAIN(?: query plan| ANALYZE| verbose| extended| format ?=? ?\w+)*(?:\([^()]*\))? ?", re.IGNORECASE
)


class SQLNotAllowedError(DatabaseError):
    """A statement whose template is not on the list; nothing was sent. ``template`` is the template."""

    def __init__(self, template: str, alias: str) -> None:
        super().__init__(
            f"this statement is not on the allow-list of {alias!r}: {template[:_SHOWN]}. Add its template to the list "
            "if the application means to send it."
        )
        self.template = template
        self.alias = alias


class _Policy:
    """A list in force: immutable but for what it has seen."""

    def __init__(self, given: tuple[str, ...], allow_ddl: bool, raises: bool, aliases: frozenset[str] | None) -> None:
        self.given = given
        self.allow_ddl = allow_ddl
        self.raises = raises
        self.aliases = aliases
        self.rejected: dict[str, dict[str, Any]] = {}
        self._allowed: dict[str, frozenset[str]] = {}
        self.forked()
        in_child(self, _Policy.forked)

    def forked(self) -> None:
        """The list is inherited, and so is what was rejected: who dumps it in each worker merges the dumps."""
        self.lock = threading.Lock()

    def allowed(self, vendor: str) -> frozenset[str]:
        """Return the templates in the form of an engine."""
        found = self._allowed.get(vendor)
        if found is None:
            made = (each for text in self.given for each in read_templates(text, vendor))
            # What another engine reads and this one doesn't is never allowed here, that very text included.
            found = frozenset(each for each in made if not each.startswith(UNPARSABLE))
            self._allowed[vendor] = found
        return found

    def reject(self, template: str) -> bool:
        """Record a template; return whether it is the first time."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self.lock:
            known = self.rejected.get(template)
            if known is None and len(self.rejected) >= MOST_REJECTED:
                template = OVERFLOW
                known = self.rejected.get(template)
            if known is None:
                self.rejected[template] = {"count": 1, "first_seen": now, "last_seen": now}
                return True
            known["count"] += 1
            known["last_seen"] = now
            return False


class _State:
    def __init__(self) -> None:
        self.policy: _Policy | None = None
        self.uninstall: hooks.Uninstall | None = None
        self.forked()
        in_child(self, _State.forked)

    def forked(self) -> None:
        self.lock = threading.RLock()


_state = _State()


# -- in force ----------------------------------------------------------------------------------------------------


def install(
    templates: Iterable[str],
    *,
    allow_ddl: bool = True,
    raise_on_violation: bool = True,
    using: Iterable[str] | None = None,
) -> hooks.Uninstall:
    """Put a list in force, in place of the one there was: a statement sees the old or the new one, never none.

    Args:
        templates: templates or raw SQL; both are normalised.
        allow_ddl: let DDL pass unlisted (CREATE, ALTER, DROP, TRUNCATE, COMMENT ON, GRANT, REVOKE, REINDEX, VACUUM,
            ANALYZE). CREATE TABLE ... AS, EXPLAIN, SET, COPY, DO and CALL are no DDL.
        raise_on_violation: raise `SQLNotAllowedError`; False logs each rejected template once and lets it run (canary).
        using: aliases it is for; None for all.
    Returns: `uninstall`.
    Raises:
        TypeError: one text instead of a list, or an element that is none.
        ValueError: a template that cannot be read.
        ImproperlyConfigured: sqlglot is not installed, or *using* names no database.
    """
    given = _checked(templates)
    if not given and raise_on_violation:
        _log.warning("the allow-list is empty: every statement is refused")
    aliases = frozenset([using] if isinstance(using, str) else using) if using is not None else None
    if aliases is not None and settings.is_configured:
        for alias in aliases:
            connections[alias]
    with _state.lock:
        _state.policy = _Policy(given, allow_ddl, raise_on_violation, aliases)
        if _state.uninstall is None:
            _state.uninstall = hooks.install_gate(_gate)
    return uninstall


def _checked(given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"templates takes a list of texts, not a {type(given).__name__}")
    found = tuple(given)
    normalize("SELECT 1")
    vendors = _vendors()
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"templates[{number}] is a {type(text).__name__}, not a text")
        if all(_is_unparsable(text, vendor) for vendor in vendors):
            raise ValueError(f"templates[{number}] cannot be read as SQL: {text[:_SHOWN]}")
    return found


def _is_unparsable(text: str, vendor: str) -> bool:
    return text.startswith(UNPARSABLE) or any(each.startswith(UNPARSABLE) for each in read_templates(text, vendor))


def _vendors() -> list[str]:
    """Return the engines of the configured databases, the default one first; PostgreSQL when there is none."""
    if not settings.is_configured:
        return ["postgresql"]
    aliases = sorted(settings.DATABASES, key=lambda alias: alias != "default")
    return list(dict.fromkeys(connections[alias].vendor for alias in aliases)) or ["postgresql"]


def uninstall() -> None:
    """Take the list out of force and forget what was rejected; without a list it does nothing."""
    with _state.lock:
        remove, _state.uninstall, _state.policy = _state.uninstall, None, None
    if remove is not None:
        remove()


def is_installed() -> bool:
    """True while a list is in force in this process."""
    return _state.policy is not None


def allows_ddl() -> bool:
    """True while a list is in force that lets DDL pass."""
    policy = _state.policy
    return policy is not None and policy.allow_ddl


def allowed_templates() -> list[str]:
    """Return the templates in force, sorted, in the form of the default database's engine."""
    policy = _state.policy
    return sorted(policy.allowed(_vendors()[0])) if policy is not None else []


def rejected_templates() -> list[str]:
    """Return the distinct templates that were not on the list, in the order they were first seen."""
    policy = _state.policy
    if policy is None:
        return []
    with policy.lock:
        return list(policy.rejected)


def rejections() -> dict[str, dict[str, Any]]:
    """Return the rejected templates with ``count``, ``first_seen`` and ``last_seen``."""
    policy = _state.policy
    if policy is None:
        return {}
    with policy.lock:
        return {template: dict(stats) for template, stats in policy.rejected.items()}


# -- the gate ----------------------------------------------------------------------------------------------------


def _gate(request: StatementRequest[Any]) -> None:
    policy = _state.policy
    source = request.source
    if policy is None or (policy.aliases is not None and source.alias not in policy.aliases):
        return
    allowed = policy.allowed(source.vendor)
    for template in templates_of(request.statement, source.vendor):
        if template in allowed or _passes(template, allowed, policy.allow_ddl, source.vendor):
            continue
        is_new = policy.reject(template)
        if policy.raises:
            raise SQLNotAllowedError(template, source.alias)
        if is_new:
            _log.warning("rejected template on %s (it was let through): %s", source.alias, template[:_SHOWN])


def _passes(template: str, allowed: frozenset[str], allow_ddl: bool, vendor: str) -> bool:
    """Judge a template that is not on the list itself."""
    if template.startswith(UNPARSABLE):
        return False
    word = first_word(template)
    if word == "EXPLAIN":
        inner = _EXPLAIN.sub("", template, count=1)
        return inner != template and bool(inner) and (inner in allowed)
    return allow_ddl and word in _DDL and is_ddl(template, vendor)


def is_ddl(template: str, vendor: str = "postgresql") -> bool:
    """True for a template of DDL that copies no rows and runs no other statement."""
    word = first_word(template)
    if word not in _DDL or _NOT_DDL.match(template) or _EXECUTABLE.search(template):
        return False
    if word == "CREATE":
        return not _fills(template, vendor)
    return word != "COMMENT" or template.startswith("COMMENT ON ")


def _fills(template: str, vendor: str) -> bool:
    """True for a CREATE of a table or materialised view that takes its rows from somewhere, in any spelling.

    ``AS (SELECT``, ``AS TABLE``, MySQL's ``CREATE TABLE t SELECT``, DuckDB's ``AS FROM``. Generated columns have their
    AS inside the parentheses of the columns, partitions their VALUES after FOR.
    """
    try:
        found = lexemes(template, vendor)
    except Unlexable:
        return True
    words = [each.text.upper() if each.kind == "word" else each.text for each in found]
    at = next((at for at, word in enumerate(words) if word not in _BEFORE_TABLE), len(words))
    if words[at : at + 1] != ["TABLE"]:
        return "MATERIALIZED" in words[:at]
    depth = 0
    for place in range(at + 1, len(words)):
        word = words[place]
        depth += (word == "(") - (word == ")")
        if word in _FILLING_INSIDE and found[place].kind == "word":
            return True
        of_partition = (words[place - 1], word) in (("FOR", "VALUES"), ("VALUES", "FROM"))
        if not depth and found[place].kind == "word" and word in _FILLING and not of_partition:
            return True
    return False


# -- files -------------------------------------------------------------------------------------------------------


def dump_captured(path: str | PathLike[str], *, include_allowed: bool = True) -> str:
    """Write ``allowed`` and ``rejected`` templates as JSON, in one step, readable for the owner alone; return the path.

    Dump before `uninstall`, which forgets what was captured. No values of parameters are ever in it.
    """
    found: dict[str, Any] = {
        "version": FILE_VERSION,
        "normalizer": NORMALIZER_VERSION,
        "dialect": _vendors()[0],
        "rejected": rejected_templates(),
        "stats": rejections(),
    }
    if include_allowed:
        found["allowed"] = allowed_templates()
    write_object(Path(path), found)
    return str(path)


def load_from_file(
    path: str | PathLike[str],
    *,
    allow_ddl: bool = False,
    raise_on_violation: bool = True,
    field: str = "allowed",
    allow_empty: bool = False,
    using: Iterable[str] | None = None,
) -> int:
    """Put the list of a curated file in force; return the number of templates. DDL is not let through by default.

    The file is read and checked completely first: after an error the list in force is the one there was.

    Args:
        field: which list of the file. allow_empty: accept an empty list although it refuses every statement.
    Raises:
        FileNotFoundError: no such file.
        ValueError: no JSON object, *field* is missing, empty, or made with another form of templates.
        TypeError: something else than texts in the list.
    """
    templates = _read(Path(path), field)
    if not templates and raise_on_violation and not allow_empty:
        raise ValueError(
            f"{path}: {field!r} is empty and would refuse every statement: move templates from 'rejected' to "
            f"{field!r}, or give allow_empty=True"
        )
    install(templates, allow_ddl=allow_ddl, raise_on_violation=raise_on_violation, using=using)
    return len(templates)


def _read(path: Path, field: str) -> list[str]:
    found = read_object(path)
    if field not in found:
        raise ValueError(f"{path} has no {field!r}; it has {', '.join(map(repr, sorted(found))) or 'nothing'}")
    if found.get("normalizer", NORMALIZER_VERSION) != NORMALIZER_VERSION or found.get("version", 1) != FILE_VERSION:
        raise ValueError(f"{path} was written by another version of the templates: capture the list again")
    dialect = found.get("dialect", "")
    if dialect and dialect not in _vendors():
        _log.warning("%s was captured on %s, and no database here is: its templates may not fit", path, dialect)
    templates = found[field]
    if not isinstance(templates, list):
        raise TypeError(f"{path}: {field!r} is a {type(templates).__name__}, not a list")
    for number, each in enumerate(templates):
        if not isinstance(each, str):
            raise TypeError(f"{path}: {field}[{number}] is a {type(each).__name__}, not a text")
    return templates


def merge(paths: Iterable[str | PathLike[str]], out: str | PathLike[str]) -> str:
    """Write the union of several dumps, one of each worker, to *out*; return its path."""
    allowed: set[str] = set()
    rejected: dict[str, dict[str, Any]] = {}
    dialects: set[str] = set()
    for each in paths:
        found = read_object(Path(each))
        allowed.update(_read(Path(each), "allowed") if "allowed" in found else [])
        dialects.add(str(found.get("dialect", "")))
        stats = found.get("stats", {})
        for template in _read(Path(each), "rejected"):
            _add(rejected, template, stats.get(template, {}))
    if len(dialects) > 1:
        raise ValueError(f"dumps of different engines cannot be merged: {', '.join(sorted(dialects))}")
    write_object(
        Path(out),
        {
            "version": FILE_VERSION,
            "normalizer": NORMALIZER_VERSION,
            "dialect": next(iter(dialects), ""),
            "allowed": sorted(allowed),
            "rejected": [each for each in rejected if each not in allowed],
            "stats": rejected,
        },
    )
    return str(out)


def _add(rejected: dict[str, dict[str, Any]], template: str, stats: Mapping[str, Any]) -> None:
    known = rejected.setdefault(template, {"count": 0})
    known["count"] += stats.get("count", 1)
    for key, pick in (("first_seen", min), ("last_seen", max)):
        times = [each for each in (known.get(key), stats.get(key)) if each]
        if times:
            known[key] = pick(times)
