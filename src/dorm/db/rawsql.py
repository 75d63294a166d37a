"""A user's SQL text: ``%s`` as the dialect's placeholders, but in quotes and comments.

A percent sign is ``%%`` in quotes as well, which is what drivers make of it that search and replace:
``LIKE '30%%'`` looks for a text that begins with 30.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from dorm.exceptions import ProgrammingError

_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*'              # string
    | "(?:[^"]|"")*"              # quoted identifier
    | --[^\n]*                    # comment to the end of the line
    | /\*.*?\*/                   # comment
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$   # dollar-quoted string
    | %%
    | %s
    | %\((?P<name>\w+)\)s
    """,
    re.VERBOSE | re.DOTALL,
)


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

    return _TOKEN.sub(replaced, sql), tuple(names)


def count_placeholders(sql: str) -> int:
    """Return how many ``%s`` of *sql* are places of parameters."""
    return sum(match.group() == "%s" for match in _TOKEN.finditer(sql))


@lru_cache(maxsize=512)
def _parsed(sql: str, placeholder: Callable[[int], str]) -> tuple[str, tuple[str | None, ...]]:
    return _replaced(sql, placeholder)


def bound(sql: str, params: Any, placeholder: Callable[[int], str]) -> tuple[str, tuple[Any, ...]]:
    """Return a user's text with the dialect's placeholders, and the parameters in their order.

    Args:
        params: a sequence for ``%s``, a mapping for ``%(name)s``; None leaves the text as it is, percent signs too.
    Raises: ProgrammingError: their number or names are not those of the text.
    """
    if params is None:
        return sql, ()
    if isinstance(params, (str, bytes)) or not isinstance(params, (Mapping, Iterable)):
        raise ProgrammingError(
            f"params takes a list, a tuple or a mapping, not {type(params).__name__}: one value is given as [value]."
        )
    text, names = _parsed(sql, placeholder)
    if isinstance(params, Mapping):
        missing = [name for name in names if name not in params]
        if missing:
            what = "a %s, which takes a sequence" if missing[0] is None else f"%({missing[0]})s, which is not in params"
            raise ProgrammingError(f"the statement has {what}.")
        return text, tuple(params[name] for name in names)
    values = tuple(params)
    if any(names):
        raise ProgrammingError("the statement has %(name)s placeholders: give params as a mapping.")
    if len(values) != len(names):
        raise ProgrammingError(
            f"the statement has {len(names)} placeholders (%s) and {len(values)} parameters were given."
        )
    return text, values
