"""A user's SQL text: ``%s`` as the dialect's placeholders, with quotes and comments left alone."""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*'              # string
    | "(?:[^"]|"")*"              # quoted identifier
    | --[^\n]*                    # comment to the end of the line
    | /\*.*?\*/                   # comment
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$   # dollar-quoted string
    | %%
    | %s
    """,
    re.VERBOSE | re.DOTALL,
)


def placeholders(sql: str, placeholder: Callable[[int], str]) -> str:
    """Return *sql* with each ``%s`` as ``placeholder(n)``, counted from 1, and each ``%%`` as a percent sign."""
    count = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        text = match.group()
        if text == "%s":
            count += 1
            return placeholder(count)
        return "%" if text == "%%" else text

    return _TOKEN.sub(replaced, sql)


def count_placeholders(sql: str) -> int:
    """Return how many ``%s`` of *sql* are places of parameters."""
    return sum(match.group() == "%s" for match in _TOKEN.finditer(sql))
