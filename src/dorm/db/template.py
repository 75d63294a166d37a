"""The template of a statement: its text with identifiers kept and everything that varies from call to call folded.

Statistics, the N+1 detector, plan baselines, the query log and the allow-list all use this one form:

- literals and placeholders become ``?``, ``NULL`` stays; a minus before a literal belongs to it;
- the list after ``IN`` and repeated rows after ``VALUES`` become one;
- comments go, those that the engine reads (``/*+ */``, ``/*! */``) stay;
- keywords are in capitals, unquoted identifiers as the engine folds them, quoted ones as written, spaces canonical.

It is idempotent. A text is normalised once and then found by a dict look-up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from dorm.db.lexer import Lexeme, Unlexable, lexemes, lexis_of
from dorm.db.lexis import Lexis
from dorm.db.splitting import statements
from dorm.db.statement import Statement
from dorm.exceptions import ImproperlyConfigured

NORMALIZER_VERSION: Final = 1
"""Raised when the form changes, so that lists of templates that were kept can be told apart."""

UNPARSABLE: Final = "<unparsable>"
RAW: Final = "(raw SQL)"
"""What stands for raw SQL where sqlglot is not installed."""

MOST_TEMPLATES: Final = 4096
_LONGEST_KEPT = 32_768

_KEYWORDS = frozenset(
    """
    ABORT ADD AFTER ALL ALTER ANALYZE AND ANY AS ASC ATTACH AUTOINCREMENT BEFORE BEGIN BETWEEN BY CALL CASCADE
    CASE CAST CHECK COLLATE COLUMN COMMENT COMMIT CONCURRENTLY CONFLICT CONSTRAINT COPY CREATE CROSS
    CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEALLOCATE DECLARE DEFAULT DEFERRABLE DELETE DESC
    DETACH DISTINCT DO DROP DUPLICATE EACH ELSE END ESCAPE EXCEPT EXECUTE EXISTS EXPLAIN FETCH FILTER FIRST
    FOLLOWING FOR FOREIGN FROM FULL FUNCTION GLOB GRANT GROUP HAVING IF IGNORE ILIKE IMMEDIATE IN INDEX
    INITIALLY INNER INSERT INTERSECT INTERVAL INTO IS ISNULL JOIN KEY KILL LATERAL LEFT LIKE LIMIT LISTEN LOAD
    LOCK LOCKED MATCH MATERIALIZED MERGE NATURAL NEXT NOT NOTHING NOTIFY NOTNULL NOWAIT NULL NULLS OF OFFSET ON
    ONLY OR ORDER OUTER OVER PARTITION PRAGMA PRECEDING PREPARE PRIMARY PROCEDURE RANGE RECURSIVE REFERENCES
    REFRESH REGEXP REINDEX RELEASE RENAME REPLACE RESET RESTRICT RETURNING REVOKE RIGHT ROLLBACK ROW ROWS
    SAVEPOINT SCHEMA SELECT SEQUENCE SET SHARE SHOW SIMILAR SKIP START TABLE TEMP TEMPORARY THEN TO TRANSACTION
    TRIGGER TRUNCATE UNBOUNDED UNION UNIQUE UNLISTEN UPDATE USING VACUUM VALUES VIEW WHEN WHERE WINDOW WITH
    WITHIN WITHOUT
    """.split()  # noqa: SIM905  # a list of 170 words reads better so
)
_BEFORE_OPERANDS = _KEYWORDS - {"NULL", "END", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "DEFAULT", "KEY"}
_NO_SPACE_BEFORE = frozenset({",", ")", "(", ".", ";", "::"})
_NO_SPACE_AFTER = frozenset({"(", ".", "::"})
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "REPLACE"})
_BEFORE_NAMES = frozenset({"FROM", "INTO", "JOIN", "TABLE", "UPDATE"})
MARK = Lexeme("mark", "?", False)


# -- public ------------------------------------------------------------------------------------------------------


def normalize(sql: str, vendor: str | None = None) -> str:
    """Return the template of *sql*; of several statements, theirs joined by ``; ``.

    Args:
        vendor: engine whose lexical rules apply; None is PostgreSQL.
    Returns: the template; text that cannot be read gives ``<unparsable> `` and a digest, never its values.
    Raises: ImproperlyConfigured: sqlglot is not installed.
    """
    return _joined(templates(sql, vendor or "postgresql"))


def templates(sql: str, vendor: str) -> tuple[str, ...]:
    """Return the template of each statement of *sql*; one ``<unparsable> ...`` when it cannot be read."""
    return _kept_templates(sql, vendor) if len(sql) <= _LONGEST_KEPT else _templates(sql, vendor)


def template_of(statement: Statement, vendor: str) -> str:
    """Return the template of a statement, for whoever counts or compares statements; never raises.

    Without sqlglot a statement that dorm compiled is its own template, and all raw SQL is one.
    """
    kept = statement.template.forms
    if kept is not None and kept[0] == vendor:
        return kept[2]
    try:
        return _joined(templates_of(statement, vendor))
    except ImproperlyConfigured:
        found = statement.template.sql if statement.template.model else RAW
        statement.template.forms = (vendor, (), found)
        return found


def templates_of(statement: Statement, vendor: str) -> tuple[str, ...]:
    """Return the template of each statement in the text of *statement*, for whoever judges them.

    Raises: ImproperlyConfigured: sqlglot is not installed.
    """
    kept = statement.template.forms
    if kept is not None and kept[0] == vendor and kept[1]:
        return kept[1]
    found = templates(statement.template.sql, vendor)
    statement.template.forms = (vendor, found, _joined(found))
    return found


def _joined(found: tuple[str, ...]) -> str:
    return found[0] if len(found) == 1 else "; ".join(found)


def first_word(template: str) -> str:
    """Return the leading keyword of a template (``SELECT``), in capitals; empty when it has none."""
    word = template.partition(" ")[0]
    if word.isalpha() and word.isascii():
        return word.upper()
    found = re.match(r"\w+", template.lstrip("( "))
    return found.group().upper() if found else ""


@lru_cache(1024)
def is_read(sql: str, vendor: str) -> bool:
    """True when *sql* is one SELECT or WITH without a part that changes rows; False whenever that is not certain.

    What the functions do that it calls is not seen.
    """
    try:
        found = lexemes(sql, vendor)
    except (Unlexable, ImproperlyConfigured):
        return False
    while found and found[-1].text == ";":
        found.pop()
    words = [each.text.upper() if each.kind == "word" else "" for each in found]
    if not words or words[0] not in ("SELECT", "WITH") or any(each.text == ";" for each in found):
        return False
    locks = ("FOR", "KEY")
    return all(
        word not in _CHANGES or (word == "UPDATE" and at and words[at - 1] in locks) for at, word in enumerate(words)
    )


# -- making them -------------------------------------------------------------------------------------------------


def _templates(sql: str, vendor: str) -> tuple[str, ...]:
    try:
        found = _made(sql, vendor)
        # What doesn't come out the same a second time was read in a way that the engine may not share.
        if all(_made(each, vendor) == (each,) for each in found):
            return found
    except Unlexable:
        pass
    import hashlib

    digest = hashlib.blake2b(sql.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return (f"{UNPARSABLE} {first_word(sql)} #{digest}",)


def _made(sql: str, vendor: str) -> tuple[str, ...]:
    lexis = lexis_of(vendor)
    found = lexemes(sql, vendor)
    folded = [each if _is_named(found, at, lexis) else _folded(each, lexis.keeps_case) for at, each in enumerate(found)]
    parts = statements(folded, lexis)
    return tuple(_rendered(_collapsed(_without_signs(part))) for part in parts)


_kept_templates = lru_cache(MOST_TEMPLATES)(_templates)


def _is_named(found: list[Lexeme], at: int, lexis: Lexis) -> bool:
    """True for what has the form of a value and says which table or column is meant.

    ``t.true`` and MySQL's ``archive.2024``, SQLite's ``t.'a'`` and ``FROM 'a'``, the character after UESCAPE.
    """
    kind, text, _ = found[at]
    if not at or not (kind == "literal" or (kind == "word" and text.upper() in ("TRUE", "FALSE"))):
        return False
    before = found[at - 1]
    if before.kind == "sign":
        return before.text == "."
    word = before.text.upper() if before.kind == "word" else ""
    if word == "UESCAPE":
        return True
    compared = word == "FROM" and at > 1 and found[at - 2].text.upper() == "DISTINCT"
    return lexis.quoted_names and word in _BEFORE_NAMES and not compared and text.startswith("'")


def _folded(lexeme: Lexeme, keeps_case: bool) -> Lexeme:
    kind, text, glued = lexeme
    if kind in ("literal", "mark"):
        return MARK
    if kind == "word":
        if not text.isascii():
            # No engine folds more than ASCII, and Python's capital of "\u017f" is an S.
            return lexeme if keeps_case else Lexeme("word", _ascii_lower(text), glued)
        upper = text.upper()
        if upper in ("TRUE", "FALSE"):
            return MARK
        if upper in _KEYWORDS:
            return Lexeme("word", upper, glued)
        return Lexeme("word", text if keeps_case else text.lower(), glued)
    return Lexeme(kind, "%", glued) if text == "%%" else lexeme


def _ascii_lower(text: str) -> str:
    return "".join(each.lower() if each.isascii() else each for each in text)


def _without_signs(part: list[Lexeme]) -> list[Lexeme]:
    """Take the minus away that belongs to a literal."""
    out: list[Lexeme] = []
    for lexeme in part:
        if lexeme.kind == "mark":
            while out and out[-1].text == "-" and _wants_operand(out[:-1]):
                out.pop()
        out.append(lexeme)
    return out


def _wants_operand(before: list[Lexeme]) -> bool:
    last = next((each for each in reversed(before) if each.kind != "hint"), None)
    if last is None:
        return True
    if last.kind == "word":
        return last.text in _BEFORE_OPERANDS
    return last.kind == "sign" and last.text not in (")", "]")


def _collapsed(part: list[Lexeme]) -> list[Lexeme]:
    """Fold the list after IN, and equal rows in a row after VALUES."""
    out: list[Lexeme] = []
    at = 0
    while at < len(part):
        lexeme = part[at]
        out.append(lexeme)
        at += 1
        if lexeme.kind != "word" or at >= len(part) or part[at].text != "(":
            continue
        if lexeme.text == "IN":
            end = _closing(part, at)
            items = _items(part[at + 1 : end])
            if items and items[0] and items[0][0].text in ("?", "(") and all(each == items[0] for each in items):
                out += [part[at], *_collapsed(items[0]), *part[end : end + 1]]
                at = end + 1
        elif lexeme.text == "VALUES":
            rows, at = _rows(part, at)
            out += rows
    return out


def _rows(part: list[Lexeme], at: int) -> tuple[list[Lexeme], int]:
    """Return the rows that begin at *at* without those equal to the one before, and where they end."""
    out: list[Lexeme] = []
    latest: list[Lexeme] = []
    comma: Lexeme | None = None
    while at < len(part) and part[at].text == "(" and part[at].kind == "sign":
        end = _closing(part, at)
        row = [_unglued(each) for each in part[at : end + 1]]
        if row != latest:
            out += [comma, *row] if comma is not None else row
            latest = row
        at = end + 1
        if at + 1 >= len(part) or part[at].text != "," or part[at + 1].text != "(":
            break
        comma, at = part[at], at + 1
    return out, at


def _closing(part: list[Lexeme], at: int) -> int:
    """Return the index of the parenthesis that closes the one at *at*; of the last lexeme when none does."""
    depth = 0
    for here in range(at, len(part)):
        if part[here].kind == "sign":
            depth += {"(": 1, ")": -1}.get(part[here].text, 0)
            if not depth:
                return here
    return len(part) - 1


def _items(inside: list[Lexeme]) -> list[list[Lexeme]]:
    """Split what stands between parentheses at its commas."""
    items: list[list[Lexeme]] = [[]]
    depth = 0
    for lexeme in inside:
        if lexeme.kind == "sign":
            depth += {"(": 1, ")": -1}.get(lexeme.text, 0)
            if lexeme.text == "," and not depth:
                items.append([])
                continue
        items[-1].append(_unglued(lexeme))
    return items


def _unglued(lexeme: Lexeme) -> Lexeme:
    return lexeme if not lexeme.glued else Lexeme(lexeme.kind, lexeme.text, False)


def _rendered(part: Sequence[Lexeme]) -> str:
    out: list[str] = []
    before = ""
    for kind, text, _glued in part:
        is_sign = kind == "sign"
        if out and not (is_sign and text in _NO_SPACE_BEFORE) and before not in _NO_SPACE_AFTER:
            out.append(" ")
        out.append(text)
        before = text if is_sign else ""
    return "".join(out)
