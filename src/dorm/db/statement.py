"""The statement: text that is the same each time, and the parameters of this time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

Row: TypeAlias = "tuple[Any, ...]"


class Many(NamedTuple):
    """An INSERT of several rows at once, whose first column that comes back is a key that the database counts.

    Attributes:
        number: of rows.
        silent: the same text without RETURNING, where the key is all that comes back; None where it is not.
        table: name of the table, unquoted.
    """

    sql: str
    number: int
    silent: str | None
    table: str


class Template:
    """The text of a statement and all that is the same each time it is sent.

    Args:
        sql: text with the dialect's own placeholders.
        reads: dorm compiled it as a SELECT without locks and volatile functions, so it may be run twice.
        binary: every column of the result has a binary loader (read by drivers that know two formats).
        prepare: False for texts too long or too many-valued to be worth a prepared statement.
        model: label of the model it was compiled for, for messages; empty for raw SQL.
        tells_key: an INSERT of one row without RETURNING, whose answer is the key that the database counted (only
            with the dialect's `tells_counted_key`).
        many: the text for a number of rows at once (only with the dialect's `rows_at_once`).
        one_row: it writes the one row whose values or key it names, and nothing else of dorm's.
        natural: the user wrote it: a parameter has the type that its value suggests, nobody knows its column.
    Attributes:
        forms: engine, template of each statement in the text, those joined; once somebody asked (`dorm.db.template`).
        large: its last answer had so many rows that the driver will read the next one in pieces, while it comes.
    """

    __slots__ = (
        "binary",
        "forms",
        "large",
        "many",
        "model",
        "natural",
        "one_row",
        "prepare",
        "reads",
        "sql",
        "tells_key",
    )

    def __init__(
        self,
        sql: str,
        *,
        reads: bool = False,
        binary: bool = False,
        prepare: bool = True,
        model: str = "",
        natural: bool = False,
        tells_key: bool = False,
        many: Many | None = None,
        one_row: bool = False,
    ) -> None:
        self.sql = sql
        self.reads = reads
        self.binary = binary
        self.prepare = prepare
        self.model = model
        self.natural = natural
        self.tells_key = tells_key
        self.many = many
        self.one_row = one_row
        self.forms: tuple[str, tuple[str, ...], str] | None = None
        self.large = False

    def __repr__(self) -> str:
        return f"Template({self.sql!r})"


class Statement:
    """A template, the parameters in the order of its placeholders, and whether dorm sends it for itself."""

    __slots__ = ("internal", "params", "template")

    def __init__(self, template: Template, params: Sequence[Any] = (), internal: bool = False) -> None:
        self.template = template
        self.params = params
        self.internal = internal

    @property
    def sql(self) -> str:
        """Text with placeholders."""
        return self.template.sql

    def __repr__(self) -> str:
        return f"Statement({self.template.sql!r}, {len(self.params)} parameters)"


class Table(NamedTuple):
    """Rows with the names of their columns: the answer to raw SQL."""

    columns: tuple[str, ...]
    rows: list[Row]
