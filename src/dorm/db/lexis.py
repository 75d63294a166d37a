"""By which rules an engine takes SQL text apart: a value that each dialect has (`Dialect.lexis`)."""

from __future__ import annotations

from typing import Final, Literal

from dorm.record import Record


class Lexis(Record):
    """What engines differ in below the level of statements.

    Attributes:
        tokenizer: sqlglot's name of the engine.
        nested_comments: ``/* /* */ */`` is one comment.
        dollar_quotes: ``$tag$ ... $tag$`` is a string.
        hash_comments: ``#`` begins a comment.
        spaced_dashes: ``--`` begins a comment only before white space.
        named_marks: ``@name`` and ``$name`` are placeholders.
        keeps_case: unquoted identifiers are not folded to lower case.
        backslashes: they escape in every string, and double quotes hold strings.
        quoted_names: a text in single quotes is a name where only a name may stand (``FROM 'users'``).
        bodies: which statements have semicolons of their own: ``"trigger"`` (CREATE TRIGGER ... BEGIN ... END),
            ``"atomic"`` (CREATE FUNCTION ... BEGIN ATOMIC ... END), or none.
    """

    tokenizer: str
    nested_comments: bool = False
    dollar_quotes: bool = False
    hash_comments: bool = False
    spaced_dashes: bool = False
    named_marks: bool = False
    keeps_case: bool = False
    backslashes: bool = False
    quoted_names: bool = False
    bodies: Literal["", "trigger", "atomic"] = ""


STANDARD: Final = Lexis("postgres", nested_comments=True, dollar_quotes=True, bodies="atomic")
"""What is taken for an engine that says nothing else."""

given: dict[str, Lexis] = {}
"""Rules by engine, of dialects that are defined elsewhere; `Dialect` adds those of its subclasses."""
