"""SQL as lexemes, by each engine's own lexical rules: sqlglot's tokeniser, and a check of everything it passes over.

What sqlglot takes for white space, a comment or something in quotes is read a second time here by the rules of the
engine (nested comments, ``--`` of MySQL, Unicode spaces, backslashes): where the two disagree the text is refused,
never guessed at.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from dorm.db.backends.lexes import BY_VENDOR
from dorm.db.lexis import STANDARD, Lexis, given
from dorm.exceptions import ImproperlyConfigured

_DOLLAR_TAG = re.compile(r"\$([^\W\d]\w*)?\$")
_NUMBERED = re.compile(r"\$(?=[0-9])")
_EXECUTABLE = ("/*!", "/*+", "/*M!")
_SPACES = " \t\n\r\f\v"
_WORD = re.compile(r"[^\W\d][\w$]*\Z")
_REST_OF_NUMBER = re.compile(r"[0-9_]*[0-9]|[oO][0-7_]+|_[0-9][0-9_]*")
_CLOSING = ("'", '"', "`", "]")
_QUOTED = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*'|(?:[nNbBxX]|[uU]&)?'(?:[^']|'')*'|(?:[uU]&)?"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]""",
    re.DOTALL,
)
_BACKSLASHED = re.compile(r"""[nNbBxX]?'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`""", re.DOTALL)
_STRING_TYPES = frozenset({
    "STRING", "NATIONAL_STRING", "RAW_STRING", "HEREDOC_STRING", "UNICODE_STRING", "BYTE_STRING", "HEX_STRING",
    "BIT_STRING",
})  # fmt: skip


class Unlexable(ValueError):
    """The text is no SQL by the engine's lexical rules, or not certainly so; the message says why, without values."""


class Lexeme(NamedTuple):
    """One unit of SQL.

    Attributes:
        kind: ``word`` (unquoted), ``name`` (quoted identifier), ``literal``, ``mark`` (placeholder), ``sign``,
            ``hint`` (comment that the engine reads).
        text: as written.
        glued: nothing stands between it and the one before.
    """

    kind: str
    text: str
    glued: bool


def lexis_of(vendor: str) -> Lexis:
    """Return the rules of an engine by its name; needs neither its driver nor its dialect."""
    return given.get(vendor) or BY_VENDOR.get(vendor, STANDARD)


@cache
def _tokenizer(name: str) -> Any:
    """Return sqlglot's tokeniser of an engine, without the commands whose rest it would not look at."""
    try:
        from sqlglot.dialects.dialect import Dialect  # an optional dependency
    except ImportError as exc:
        raise ImproperlyConfigured(
            "templates of SQL text need sqlglot, which is not installed: pip install 'dormdb[sql]'"
        ) from exc
    dialect = Dialect.get_or_raise(name)
    base: Any = dialect.tokenizer_class
    return type("Tokenizer", (base,), {"COMMANDS": set()})(dialect=dialect)


def lexemes(sql: str, vendor: str) -> list[Lexeme]:
    """Return the lexemes of *sql* for the engine *vendor*.

    Raises:
        Unlexable: an unterminated quote or comment, or characters that engines read differently.
        ImproperlyConfigured: sqlglot is not installed.
    """
    lexis = lexis_of(vendor)
    return _joined(_tokens(sql, lexis), lexis)


def _tokens(sql: str, lexis: Lexis) -> list[Lexeme]:
    tokenizer = _tokenizer(lexis.tokenizer)
    if "\0" in sql:
        raise Unlexable("a NUL character")
    try:
        # The tokeniser takes "$1,$" for the tag of a dollar quote, which cannot begin with a digit. Same length, so
        # that texts are taken from the original.
        tokens = tokenizer.tokenize(_NUMBERED.sub("?", sql) if lexis.dollar_quotes else sql)
    except Exception as exc:  # whatever the library stumbles over is no SQL for us
        raise Unlexable("an unterminated quote, comment or dollar quote") from exc
    found: list[Lexeme] = []
    end = 0
    for token in tokens:
        gap = sql[end : token.start]
        found.extend(_hints(gap, lexis, is_last=False))
        text = sql[token.start : token.end + 1]
        _check_quotes(text, token.token_type.name, "" if gap else sql[:end][-1:], lexis)
        if text == "?::":
            found += (Lexeme("mark", "?", not gap and end > 0), Lexeme("sign", "::", True))
            end = token.end + 1
            continue
        found.append(Lexeme(_kind(token.token_type.name, text), text, not gap and end > 0))
        end = token.end + 1
    found.extend(_hints(sql[end:], lexis, is_last=True))
    return found


def _check_quotes(text: str, name: str, before: str, lexis: Lexis) -> None:
    """Refuse what stands in quotes unless the engine's quotes begin and end there too.

    Args:
        name: type of the token. before: character that stands right before it.
    """
    if name == "HEREDOC_STRING":
        tag = _DOLLAR_TAG.match(text)
        if tag is None or text.find(tag.group(), tag.end()) != len(text) - len(tag.group()):
            raise Unlexable("a '$' that begins no dollar quote")
    elif text[-1:] in _CLOSING and (name in _STRING_TYPES or name == "IDENTIFIER"):
        pattern = _BACKSLASHED if lexis.backslashes else _QUOTED
        if not pattern.fullmatch(text) or (text[0] == before and before != "["):
            raise Unlexable("quotes that the engine reads differently")


def _kind(name: str, text: str) -> str:
    if name in _STRING_TYPES or name == "NUMBER":
        if name == "NUMBER" and not text.isascii():
            raise Unlexable("digits that are not ASCII")
        return "literal"
    if name == "IDENTIFIER":
        return "name"
    if text == "?":
        return "mark"
    return "word" if _WORD.match(text) else "sign"


def _hints(gap: str, lexis: Lexis, is_last: bool) -> list[Lexeme]:
    """Return the comments of *gap* that the engine reads; raise Unlexable unless the rest is space and comments."""
    found: list[Lexeme] = []
    at = 0
    while at < len(gap):
        if gap[at] in _SPACES:
            at += 1
            continue
        end = _comment_end(gap, at, lexis)
        text = gap[at:end]
        if not is_last and end == len(gap) and not text.endswith(("*/", *_line_ends(lexis))):
            raise Unlexable("a comment that the engine reads on")
        if text.startswith(_EXECUTABLE):
            found.append(Lexeme("hint", text, False))
        at = end
    return found


def _comment_end(gap: str, at: int, lexis: Lexis) -> int:
    if gap.startswith("--", at):
        if lexis.spaced_dashes and gap[at + 2 : at + 3].strip(_SPACES):
            raise Unlexable("'--' that the engine does not read as a comment")
        return _line_end(gap, at, lexis)
    if lexis.hash_comments and gap.startswith("#", at):
        return _line_end(gap, at, lexis)
    if not gap.startswith("/*", at):
        raise Unlexable(f"the character U+{ord(gap[at]):04X} outside quotes")
    depth, here = 1, at + 2
    while depth:
        close = gap.find("*/", here)
        if close < 0:
            raise Unlexable("an unterminated comment")
        opening = gap.find("/*", here, close + 1) if lexis.nested_comments else -1
        depth += 1 if opening >= 0 else -1
        here = (opening if opening >= 0 else close) + 2
    return here


def _line_end(gap: str, at: int, lexis: Lexis) -> int:
    """Return the place behind the line that begins at *at*."""
    ends = [end + 1 for end in (gap.find(each, at) for each in _line_ends(lexis)) if end >= 0]
    return min(ends, default=len(gap))


def _line_ends(lexis: Lexis) -> tuple[str, ...]:
    """Return what ends a comment of one line: a carriage return does for PostgreSQL's lexer, and DuckDB's, alone."""
    return ("\n", "\r") if lexis.dollar_quotes else ("\n",)


# -- what is one lexeme to the engine and several tokens to the tokeniser ----------------------------------------


def _joined(tokens: list[Lexeme], lexis: Lexis) -> list[Lexeme]:
    found: list[Lexeme] = []
    at = 0
    while at < len(tokens):
        _refuse_dollars(tokens, at)
        _refuse_continued(tokens, at)
        length, kind = _run_at(tokens, at, lexis, found)
        text = "".join(each.text for each in tokens[at : at + length])
        found.append(Lexeme(kind, text, tokens[at].glued))
        at += length
    return found


def _refuse_dollars(tokens: list[Lexeme], at: int) -> None:
    """Refuse a dollar right behind a word: PostgreSQL reads on with the word, others begin a quote."""
    token = tokens[at]
    if token.text.startswith("$") and token.glued and tokens[at - 1].kind in ("word", "name"):
        raise Unlexable("a '$' inside an unquoted identifier: quote the identifier")


def _refuse_continued(tokens: list[Lexeme], at: int) -> None:
    """Refuse a string that goes on on the next line where backslashes escape in all of its parts.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html (4.1.2.1, 4.1.2.2)
    """
    if at and tokens[at].text.startswith("'") and tokens[at - 1].text.startswith(("e'", "E'")):
        raise Unlexable("an E'' string in two parts: write it as one")


def _run_at(tokens: list[Lexeme], at: int, lexis: Lexis, before: list[Lexeme]) -> tuple[int, str]:
    """Return how many tokens from *at* on are one lexeme, and its kind."""
    token = tokens[at]
    if lexis.named_marks and len(token.text) > 1 and token.text.startswith("$"):
        return 1, "mark"
    glued = [each for each in tokens[at + 1 : at + 5] if each.glued]
    follows = glued[0] if glued and tokens[at + 1].glued else None
    if follows is None:
        return 1, token.kind
    text = token.text
    if text == "%":
        return _percent(tokens, at)
    if text == "$" and follows.kind in ("literal", "word"):
        return 2, "mark"
    if text == "?" and follows.text.isdigit():
        return 2, "mark"
    # Behind a bracket it is a slice from the first element on: tags[:number].
    if text == ":" and follows.kind == "word" and not _is_operand(before) and not (before and before[-1].text == "["):
        return 2, "mark"
    if text == "@" and follows.kind == "word" and lexis.named_marks:
        return 2, "mark"
    if text == "." and follows.kind == "literal" and not (token.glued and _is_operand(before)):
        return 2, "literal"
    if token.kind == "literal" and text.isdigit() and _REST_OF_NUMBER.fullmatch(follows.text):
        return 2, "literal"
    if text in ("U", "u") and follows.text == "&" and at + 2 < len(tokens) and tokens[at + 2].glued:
        kind = tokens[at + 2].kind
        if kind in ("name", "literal"):
            return 3, kind
    return 1, token.kind


def _percent(tokens: list[Lexeme], at: int) -> tuple[int, str]:
    """Read ``%s``, ``%(name)s`` and ``%%``."""
    rest = [each.text for each in tokens[at + 1 : at + 5]]
    all_glued = [each.glued for each in tokens[at + 1 : at + 5]]
    if rest[0] == "s":
        return 2, "mark"
    if rest[0] == "%":
        return 2, "sign"
    if len(rest) == 4 and rest[0] == "(" and rest[2:] == [")", "s"] and all(all_glued):
        return 5, "mark"
    return 1, "sign"


def _is_operand(before: list[Lexeme]) -> bool:
    """True when the lexeme before ends a value, so that a sign behind it joins the two."""
    if not before:
        return False
    last = before[-1]
    return last.kind in ("literal", "mark", "name", "word") or last.text in (")", "]")
