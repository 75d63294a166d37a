"""The text of indexes and constraints, taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PART = re.compile(
    r'(?P<column>"(?:[^"]|"")+"|`[^`]+`|\[[^\]]+\]|[^\W\d]\w*)'
    r"(?:\s+(?P<opclass>(?!(?:asc|desc|nulls|collate)\b)\w+))?"
    r"(?P<order>\s+(?:asc|desc))?(?P<nulls>\s+nulls\s+(?:first|last))?\Z",
    re.IGNORECASE,
)
_ORDER = re.compile(r"(?P<order>\s+(?:asc|desc))?(?P<nulls>\s+nulls\s+(?:first|last))?\Z", re.IGNORECASE)
_METHOD = re.compile(r"\s*(?:using\s+(\w+)\s*)?\(", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One part of an index: a column or an expression, with its operator class and direction."""

    column: str = ""
    expression: str = ""
    opclass: str = ""
    descending: bool = False
    nulls: str = ""


@dataclass(frozen=True)
class Definition:
    """An index: its method and parts, and the columns that are kept beside them."""

    method: str
    parts: tuple[Part, ...]
    include: tuple[str, ...] = ()
    nulls_distinct: bool = True


def split(text: str, separator: str = ",") -> Iterator[str]:
    """Yield the pieces of *text* between separators that stand in no parentheses and no quotes."""
    depth, start, quote = 0, 0, ""
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == separator and not depth:
            yield text[start:place].strip()
            start = place + 1
    yield text[start:].strip()


def inner(text: str, start: int) -> tuple[str, int]:
    """Return what stands between the parenthesis at *start* and the one that closes it, and where that one is."""
    depth, quote = 0, ""
    for place in range(start, len(text)):
        char = text[place]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if not depth:
                return text[start + 1 : place], place
    return text[start + 1 :], len(text)


def unquoted(name: str) -> str:
    """Return an identifier without its quotes."""
    name = name.strip()
    if name[:1] in '"`[':
        return name[1:-1].replace('""', '"')
    return name


def index_parts(definition: str) -> Definition | None:
    """Return what a CREATE INDEX says; None when it is not understood."""
    on = re.search(r'\sON\s+(?:ONLY\s+)?(?:(?:"(?:[^"]|"")+"|\w+)\.)?(?:"(?:[^"]|"")+"|`[^`]+`|\w+)', definition, re.I)
    if on is None:
        return None
    method = _METHOD.match(definition, on.end())
    if method is None:
        return None
    body, end = inner(definition, method.end() - 1)
    rest = definition[end + 1 :]
    included = re.match(r"\s*INCLUDE\s*\(", rest, re.IGNORECASE)
    names = inner(rest, included.end() - 1)[0] if included else ""
    return Definition(
        (method[1] or "btree").lower(),
        tuple(_part(text) for text in split(body)),
        tuple(unquoted(name) for name in split(names)) if names else (),
        re.search(r"NULLS NOT DISTINCT", rest, re.IGNORECASE) is None,
    )


def _part(text: str) -> Part:
    found = _PART.match(text)
    if found is not None:
        return Part(unquoted(found["column"]), "", found["opclass"] or "", *_direction(found))
    order = _ORDER.search(text)
    assert order is not None, text  # it matches nothing at the end, if nothing else
    return Part("", text[: order.start()].strip(), "", *_direction(order))


def _direction(found: re.Match[str]) -> tuple[bool, str]:
    order = (found["order"] or "").strip().lower()
    return order == "desc", (found["nulls"] or "").strip().lower().removeprefix("nulls").strip()
