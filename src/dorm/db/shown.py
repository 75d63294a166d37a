"""Statements as logs, spans and plans show them: values of columns with secret names masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from dorm.db.lexer import Lexeme, Unlexable, lexemes
from dorm.db.secret_names import MASK, is_secret, mentions_secrets, more_secrets
from dorm.db.statement import Statement
from dorm.db.template import _KEYWORDS, _closing, template_of
from dorm.exceptions import ImproperlyConfigured

_LONGEST_SHOWN = 200


def shown_sql(statement: Statement, vendor: str) -> str:
    """Return the text of a statement for logs and spans: its template where values stand in the text itself."""
    template = statement.template
    folded = has_values(template.sql, vendor, bool(template.model))
    return template_of(statement, vendor) if folded else template.sql


@lru_cache(1024)
def has_values(sql: str, vendor: str, compiled: bool) -> bool:
    """True when literals stand in a text, or that can't be told.

    Args:
        compiled: dorm wrote the text: its numbers (``LIMIT 1``) are no values.
    """
    try:
        found = lexemes(sql, vendor)
    except Unlexable:
        return True
    except ImproperlyConfigured:
        return not compiled
    return any(each.kind == "literal" and not (compiled and each.text[:1].isdigit()) for each in found)


def shown_params(sql: str, params: Sequence[Any], vendor: str) -> str:
    """Return *params* as text for a log: those bound to columns with secret names as ``***``, long ones cut.

    Where it cannot be told which column a value belongs to, it is masked if any secret name stands in the statement.
    """
    if not params:
        return "()"
    if isinstance(params[0], tuple):
        return f"<{len(params)} rows>"
    hidden = secret_positions(sql, vendor, len(params), len(more_secrets)) if mentions_secrets(sql) else frozenset()
    shown = [MASK if number in hidden else _cut(repr(value)) for number, value in enumerate(params)]
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


@lru_cache(1024)
def secret_positions(sql: str, vendor: str, count: int, known: int) -> frozenset[int]:
    """Return which of *count* parameters belong, or may belong, to columns with secret names.

    Args:
        known: how many names were added; what was found out with fewer of them no longer holds.
    """
    everything = frozenset(range(count))
    try:
        found = lexemes(sql, vendor)
    except (Unlexable, ImproperlyConfigured):
        return everything
    words = [each.text.upper() for each in found if each.kind == "word"]
    if "CASE" in words or "WITH" in words or words.count("SELECT") > 1:
        return everything
    owners = _insert_owners(found) if words[:1] in (["INSERT"], ["REPLACE"]) else _owners(found)
    if owners is None or len(owners) != count:
        return everything
    return frozenset(number for number, names in owners.items() if any(map(is_secret, names)))


def _numbers(found: list[Lexeme]) -> Iterator[tuple[int, int]]:
    """Yield the place of each placeholder among the lexemes and the number of its parameter, from 0."""
    count = 0
    for at, each in enumerate(found):
        if each.kind == "mark":
            digits = each.text.lstrip("$?")
            yield at, int(digits) - 1 if digits.isdigit() else count
            count += 1


def _owners(found: list[Lexeme]) -> dict[int, set[str]]:
    """Return for each parameter the identifiers nearest to it on both sides."""
    names = [at for at, each in enumerate(found) if _is_name(each)]
    owners: dict[int, set[str]] = {}
    for at, number in _numbers(found):
        before = [each for each in names if each < at][-1:]
        compared = found[at + 1].kind == "sign" and found[at + 1].text not in ",;)(" if at + 1 < len(found) else False
        after = [each for each in names if compared and each == at + 2]
        owners.setdefault(number, set()).update(found[each].text for each in (*before, *after))
    return owners


def _insert_owners(found: list[Lexeme]) -> dict[int, set[str]] | None:
    """Return for each parameter of INSERT ... VALUES its column by position; None for other forms of INSERT."""
    opening = next((at for at, each in enumerate(found) if each.text == "("), len(found) - 1)
    columns = [each.text for each in found[opening : _closing(found, opening)] if _is_name(each)]
    if not columns or not any(each.text.upper() == "VALUES" for each in found):
        return None
    marks = list(_numbers(found))
    if len(marks) % len(columns):
        return None
    return {number: {columns[place % len(columns)]} for place, (_, number) in enumerate(marks)}


def _is_name(lexeme: Lexeme) -> bool:
    return lexeme.kind == "name" or (lexeme.kind == "word" and lexeme.text.upper() not in _KEYWORDS)
