"""What schema changes go out through: sent to the database, or noted down for a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dorm.db.connection import Database
from dorm.db.dialect import Dialect
from dorm.db.operation import Operation
from dorm.db.perform import perform
from dorm.db.request import Query
from dorm.db.schema import Ddl
from dorm.db.statement import Row, Statement, Template


@dataclass(frozen=True, slots=True)
class Comment:
    """Something that a dry run has to say where no statement can stand; *failed* makes it a failure of the run."""

    text: str
    failed: bool = False


class Editor:
    """Sends the statements of schema changes.

    Attributes:
        notes: None, or where statements and comments are noted down instead of being sent. Reads are done all the same.
    """

    def __init__(self, database: Database, notes: list[Ddl | Comment] | None = None) -> None:
        self.database = database
        self.notes = notes

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    @property
    def is_dry(self) -> bool:
        """True when nothing is sent."""
        return self.notes is not None

    def send(self, ddl: Ddl, /) -> Operation[None]:
        """Send one statement, or note it down."""
        if self.notes is not None:
            self.notes.append(ddl)
            return
        yield from perform(self.dialect.schema.request(self.database, ddl))

    def read(self, sql: str, params: Sequence[Any] = (), /) -> Operation[list[Row]]:
        """Read from the catalogue."""
        statement = Statement(Template(sql, prepare=False), params, internal=True)
        return (yield from perform(Query(self.database, statement)))


def text_statement(dialect: Dialect, sql: str, params: Sequence[Any] | None = None) -> Ddl:
    """Return a user's SQL as a statement; ``%s`` stand for *params*, and mean nothing where there are none."""
    return Ddl(dialect.raw_sql(sql, bool(params)), tuple(params or ()))
