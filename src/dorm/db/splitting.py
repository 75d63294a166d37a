"""Where one statement of a text ends and the next begins, as the engine sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dorm.db.lexer import Lexeme
from dorm.db.lexis import Lexis


def statements(found: list[Lexeme], lexis: Lexis) -> Iterator[list[Lexeme]]:
    """Split at semicolons; the body of a trigger or function belongs to its statement, where the engine has such."""
    part: list[Lexeme] = []
    body = _BODIES[lexis.bodies]()
    for lexeme in found:
        if lexeme.text == ";" and lexeme.kind == "sign" and not body.holds(part):
            if part:
                yield part
            part, body = [], _BODIES[lexis.bodies]()
            continue
        part.append(lexeme)
        body.follow(part)
    if part:
        yield part


class _NoBody:
    """Where a statement ends of an engine without bodies: at its semicolon.

    Bodies must never be seen where the engine sees none: what stands behind a semicolon would be judged as a part of
    the CREATE before it. So nothing is counted that could be a name (``begin`` is one in a list of columns), and a body
    ends at the first END that begins a statement: no engine has a statement in a body that begins so.
    """

    def holds(self, part: list[Lexeme]) -> bool:
        """Return whether a semicolon after *part* stands inside of its body."""
        return False

    def follow(self, part: list[Lexeme]) -> None:
        """Look at the lexeme that was added to *part*."""


class _TriggerBody(_NoBody):
    """``CREATE [TEMP] TRIGGER ... BEGIN ...; END``: a trigger has a body always, and no semicolon before it.

    https://www.sqlite.org/lang_createtrigger.html
    """

    def __init__(self) -> None:
        self._ended = False

    def holds(self, part: list[Lexeme]) -> bool:
        if self._ended:
            return False
        words = _words(part, 3)
        return words[:2] == ["CREATE", "TRIGGER"] or (
            words[1:2] in (["TEMP"], ["TEMPORARY"]) and words[2:] == ["TRIGGER"]
        )

    def follow(self, part: list[Lexeme]) -> None:
        self._ended = self._ended or (_words(part[-1:]) == ["END"] and len(part) > 1 and part[-2].text == ";")


class _AtomicBody(_NoBody):
    """``CREATE [OR REPLACE] FUNCTION ... BEGIN ATOMIC ...; END``.

    PostgreSQL reads a text whole before it runs any of it: only texts that are right matter.
    https://www.postgresql.org/docs/current/sql-createfunction.html
    """

    def __init__(self) -> None:
        self._depth = 0
        self._inside = False

    def holds(self, part: list[Lexeme]) -> bool:
        return self._inside

    def follow(self, part: list[Lexeme]) -> None:
        last = part[-1]
        self._depth += (last.text == "(") - (last.text == ")") if last.kind == "sign" else 0
        words = _words(part[-2:])
        if self._inside:
            self._inside = not (words[-1:] == ["END"] and (part[-2].text == ";" or words[:1] == ["ATOMIC"]))
        elif words == ["BEGIN", "ATOMIC"] and not self._depth:
            start = _words(part, 4)
            start = [start[0], *start[3:]] if start[1:3] == ["OR", "REPLACE"] else start
            self._inside = start[0] == "CREATE" and start[1] in ("FUNCTION", "PROCEDURE")


def _words(part: list[Lexeme], most: int | None = None) -> list[str]:
    """Return the texts of lexemes in capitals, those of anything but unquoted words as nothing."""
    return [each.text.upper() if each.kind == "word" else "" for each in part[:most]]


_BODIES: Final[dict[str, type[_NoBody]]] = {"": _NoBody, "trigger": _TriggerBody, "atomic": _AtomicBody}
