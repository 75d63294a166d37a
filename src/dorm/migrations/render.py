"""Dry runs as text that a client can be fed: statements, everything else as comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dorm.db.dialect import Dialect
from dorm.db.schema import Ddl
from dorm.migrations.editor import Comment
from dorm.migrations.run import StepNotes

_PLACEHOLDER = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | --[^\n]* | /\*.*?\*/
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$ | \$(?P<number>\d+) | (?P<mark>\?) | (?P<percent>%s)""",
    re.VERBOSE | re.DOTALL,
)


def inlined(ddl: Ddl, dialect: Dialect) -> str:
    """Return the text of a statement with its parameters as literals."""
    if not ddl.params:
        return ddl.sql
    taken = iter(ddl.params)

    def replaced(match: re.Match[str]) -> str:
        number = match.group("number")
        if number is not None:
            return literal(ddl.params[int(number) - 1], dialect)
        if match.group("mark") or match.group("percent"):
            return literal(next(taken), dialect)
        return match.group()

    return _PLACEHOLDER.sub(replaced, ddl.sql)


def literal(value: Any, dialect: Dialect) -> str:
    """Return a parameter as a literal."""
    return dialect.literal(value)


def statement(ddl: Ddl, dialect: Dialect) -> Iterator[str]:
    """Yield the lines of one statement, ended by a semicolon."""
    text = inlined(ddl, dialect).rstrip().rstrip(";").rstrip()
    # A comment at the end of the last line would swallow the semicolon.
    yield f"{text}\n;" if "--" in text.rpartition("\n")[2] else f"{text};"
    if ddl.params:
        yield f"-- params: {list(ddl.params)!r}".replace("\n", " ")


def commented(text: str) -> str:
    """Return *text* as comment lines."""
    return "\n".join(f"-- {line}" for line in text.splitlines())


def step_lines(
    notes: StepNotes, dialect: Dialect, heading: str, sizes: Mapping[str, int] | None = None
) -> Iterator[str]:
    """Yield the lines of one migration.

    Args:
        sizes: bytes of tables by name; given, each statement has its locks in front.
    """
    yield commented(heading)
    # A switch of the enforcement of foreign keys does nothing inside a transaction when a client sends it.
    wrapped = bool(notes.before) or any(part.before for part in notes.parts)
    switched = wrapped and any(ddl.enforce is not None for ddl in notes.statements)
    if switched:
        yield "PRAGMA foreign_keys = OFF;"
    for ddl in notes.before:
        yield from statement(ddl, dialect)
    for part in notes.parts:
        yield commented(f"{type(part.operation).__name__}: {part.operation.describe()}")
        if sizes is not None and not part.operation.tells_locks and dialect.schema.lock_alter:
            yield "-- lock: what these statements take; dorm does not read SQL of yours"
        for note in (*part.before, *part.notes, *part.after):
            if isinstance(note, Comment):
                yield commented(note.text)
                continue
            if switched and note.enforce is not None:
                continue
            if sizes is not None:
                yield from (commented(line) for line in lock_lines(note, sizes))
            yield from statement(note, dialect)
    for ddl in notes.after:
        yield from statement(ddl, dialect)
    if switched:
        yield "PRAGMA foreign_keys = ON;"


def lock_lines(ddl: Ddl, sizes: Mapping[str, int]) -> Iterable[str]:
    """Yield what a statement does to others while it runs, and how large the tables are that are there."""

    def held(table: str) -> str:
        return f" ({sizes[table]:,} bytes)" if table in sizes else ""

    if ddl.lock and ddl.table:
        extra = ", writes the table anew" if ddl.rewrites else ", reads the whole table" if ddl.scans else ""
        yield f"lock: {ddl.lock} on {ddl.table}{held(ddl.table)}{extra}"
    for table, lock in ddl.others:
        yield f"lock: {lock} on {table}{held(table)}"


def locks_of(ddl: Ddl) -> dict[str, str]:
    """Return the locks that a statement takes, by table."""
    return {table: lock for table, lock in [(ddl.table, ddl.lock), *ddl.others] if table and lock}


def pairs(notes: Sequence[StepNotes]) -> list[tuple[str, list[Any]]]:
    """Return the statements of a dry run as (text, parameters)."""
    return [(ddl.sql, list(ddl.params)) for each in notes for ddl in each.statements]


def plan_lines(notes: Sequence[StepNotes], dialect: Dialect, sizes: Mapping[str, int]) -> Iterator[str]:
    """Yield the lines of a plan: each statement with its locks, and the sizes of the tables that are there."""
    for each in notes:
        verb = "Unapply" if each.step.backwards else "Apply"
        yield from step_lines(each, dialect, f"{verb} {each.step.migration}", sizes)


def json_steps(notes: Sequence[StepNotes], dialect: Dialect) -> list[dict[str, Any]]:
    """Return dry runs as plain values; the locks, by table, stand in the order of the statements."""
    return [
        {
            "migration": str(each.step.migration),
            "backwards": each.step.backwards,
            "operations": [
                {
                    "operation": type(part.operation).__name__,
                    "description": part.operation.describe(),
                    "statements": [inlined(note, dialect) for note in part.notes if isinstance(note, Ddl)],
                    "locks": [locks_of(note) for note in part.notes if isinstance(note, Ddl)],
                    "comments": [note.text for note in part.notes if isinstance(note, Comment)],
                }
                for part in each.parts
            ],
        }
        for each in notes
    ]
