"""A user's SQL text: ``%s`` as the dialect's placeholders, but in quotes and comments.

A percent sign is ``%%`` in quotes as well, which is what drivers make of it that search and replace:
``LIKE '30%%'`` looks for a text that begins with 30.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from dorm.exceptions import ProgrammingError

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect

_TOKEN = r"""
      '(?:[^']|'')*'              # string
    | "(?:[^"]|"")*"              # quoted identifier
    | --[^\n]*                    # comment to the end of the line
    | /\*.*?\*/                   # comment
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$   # dollar-quoted string
    | %%
    | %s
    | %\((?P<name>\w+)\)s
    """


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile *pattern* when raw SQL is first used: it takes a millisecond."""
    return re.compile(pattern, re.VERBOSE | re.DOTALL)


def placeholders(sql: str, placeholder: Callable[[int], str]) -> str:
    """Return *sql* with each ``%s`` as ``placeholder(n)``, counted from 1, and each ``%%`` as a percent sign.

    Quotes hold no placeholders, and comments stay as they are.
    """
    return _replaced(sql, placeholder)[0]


def _replaced(sql: str, placeholder: Callable[[int], str]) -> tuple[str, tuple[str | None, ...]]:
    """Return *sql* with placeholders of the dialect, and the name of each, None for ``%s``."""
    names: list[str | None] = []

    def replaced(match: re.Match[str]) -> str:
        text = match.group()
        if text == "%s" or match.group("name") is not None:
            names.append(match.group("name"))
            return placeholder(len(names))
        return text if text.startswith(("--", "/*")) else text.replace("%%", "%")

    return _compiled(_TOKEN).sub(replaced, sql), tuple(names)


def count_placeholders(sql: str) -> int:
    """Return how many ``%s`` of *sql* are places of parameters."""
    return sum(match.group() == "%s" for match in _compiled(_TOKEN).finditer(sql))


_PLACED = rf"{_TOKEN}|\w+|\S"
_BEFORE_A_VALUE = frozenset(("(", ",", "and", "or", "not", "where", "on", "when", "having", "select", "case"))
_NULL_TESTS = (("is", "null"), ("is", "not", "null"))


@lru_cache(maxsize=512)
def untyped_places(sql: str, functions: frozenset[str]) -> frozenset[int]:
    """Return the numbers of the placeholders, counted from 1, beside which nothing says what type they have.

    Such are the arguments of *functions*, which take anything, and what is asked whether it is NULL. A literal there is
    a text; a parameter without a type is an error.
    """
    tokens = [match for match in _compiled(_PLACED).finditer(sql) if not match.group().startswith(("--", "/*"))]
    words = ["%s" if _is_place(match) else match.group().lower() for match in tokens]
    found: set[int] = set()
    calls: list[str] = []
    number = 0
    for place, word in enumerate(words):
        if word == "(":
            calls.append(words[place - 1] if place else "")
        elif word == ")":
            del calls[-1:]
        if word != "%s":
            continue
        number += 1
        before, after = words[place - 1] if place else "(", words[place + 1 : place + 4]
        is_argument = before in "(," and after[:1] in ([")"], [","]) and calls[-1:] and calls[-1] in functions
        is_asked = before in _BEFORE_A_VALUE and any(tuple(after[: len(test)]) == test for test in _NULL_TESTS)
        if is_argument or is_asked:
            found.add(number)
    return frozenset(found)


def _is_place(match: re.Match[str]) -> bool:
    return match.group() == "%s" or match.group("name") is not None


@lru_cache(maxsize=512)
def _parsed(
    sql: str, placeholder: Callable[[int], str], texts: frozenset[int], as_text: Callable[[str], str]
) -> tuple[str, tuple[str | None, ...]]:
    return _replaced(sql, lambda number: as_text(placeholder(number)) if number in texts else placeholder(number))


def bound(sql: str, params: Any, dialect: Dialect) -> tuple[str, tuple[Any, ...]]:
    """Return a user's text with the dialect's placeholders, and the parameters in their order.

    Args:
        params: a sequence for ``%s``, a mapping for ``%(name)s``; None leaves the text as it is, percent signs too.
    Raises: ProgrammingError: their number or names are not those of the text.
    """
    if params is None:
        return sql, ()
    text, names = _parsed(sql, dialect.raw_placeholder, _NONE, dialect.as_text)
    values = _values(names, params)
    if dialect.takes_anything:
        places = untyped_places(sql, dialect.takes_anything)
        texts = frozenset(n for n in places if values[n - 1] is None or isinstance(values[n - 1], str))
        if texts:
            text, _ = _parsed(sql, dialect.raw_placeholder, texts, dialect.as_text)
    return text, values


_NONE: frozenset[int] = frozenset()


def _values(names: tuple[str | None, ...], params: Any) -> tuple[Any, ...]:
    """Return the parameters in the order of the placeholders."""
    if isinstance(params, (str, bytes)) or not isinstance(params, (Mapping, Iterable)):
        raise ProgrammingError(
            f"params takes a list, a tuple or a mapping, not {type(params).__name__}: one value is given as [value]."
        )
    if isinstance(params, Mapping):
        missing = [name for name in names if name not in params]
        if missing:
            what = "a %s, which takes a sequence" if missing[0] is None else f"%({missing[0]})s, which is not in params"
            raise ProgrammingError(f"the statement has {what}.")
        return tuple(params[name] for name in names)
    values = tuple(params)
    if any(names):
        raise ProgrammingError("the statement has %(name)s placeholders: give params as a mapping.")
    if len(values) != len(names):
        raise ProgrammingError(
            f"the statement has {len(names)} placeholders (%s) and {len(values)} parameters were given."
        )
    return values
