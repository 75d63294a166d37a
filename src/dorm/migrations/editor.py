"""What schema changes go out through: sent to the database, or noted down for a dry run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dorm.db.connection import Database, connections
from dorm.db.dialect import Dialect
from dorm.db.operation import Operation, run
from dorm.db.perform import perform
from dorm.db.request import Query
from dorm.db.router import router
from dorm.db.schema import Ddl, Rehearsal
from dorm.db.statement import Row, Statement, Template
from dorm.db.tables import TableDef
from dorm.migrations.tables import table_of
from dorm.migrations.watch import watched
from dorm.transaction import in_savepoint, reading


@dataclass(frozen=True, slots=True)
class Comment:
    """Something that a dry run has to say where no statement can stand; *failed* makes it a failure of the run."""

    text: str
    failed: bool = False


def _silent(text: str) -> None:
    """Nobody wants to hear how far an operation is."""


class Editor:
    """Sends the statements of schema changes.

    Attributes:
        notes: None, or where statements and comments are noted down instead of being sent. Reads are done all the same.
        inside: a transaction of the runner's is open around the operation (in a dry run: would be open).
        append_only: in a dry run, the tables that take new rows only by then, and whether they refuse TRUNCATE.
        rehearsal: in a dry run, what the catalogue is read from, and on which the statements are done.
        tell: called with a few words by operations that take long, to say how far they are.
        lock_timeout: how long the transactions that an operation opens by itself wait for locks; None: for ever.
        completed: notes that the operation is done, for one that does it in the transaction of its change; or None.
    """

    def __init__(
        self,
        database: Database,
        notes: list[Ddl | Comment] | None = None,
        inside: bool = True,
        tell: Callable[[str], None] | None = None,
        rehearsal: Rehearsal | None = None,
        append_only: Mapping[str, bool] | None = None,
        lock_timeout: str | None = None,
        completed: Callable[[], Operation[None]] | None = None,
    ) -> None:
        self.append_only = append_only
        self.database = database
        self.notes = notes
        self.inside = inside
        self.tell = tell or _silent
        self.rehearsal = rehearsal
        self.lock_timeout = lock_timeout
        self.completed = completed

    @property
    def dialect(self) -> Dialect:
        return self.database.dialect

    @property
    def is_dry(self) -> bool:
        """True when nothing is sent."""
        return self.notes is not None

    @property
    def connection(self) -> MigrationConnection:
        """What the user's blocking code gets."""
        return MigrationConnection(self)

    def send(self, ddl: Ddl, /) -> Operation[None]:
        """Send one statement, or note it down."""
        if self.notes is not None:
            self.notes.append(ddl)
            if self.rehearsal is not None:
                self.rehearsal.do(ddl.sql, ddl.params)
            return
        sending = perform(self.dialect.schema.request(self.database, ddl))
        if ddl.progress and self.tell is not _silent:
            sending = watched(sending, self.database, ddl.sql, ddl.progress, self.tell)
        yield from sending

    def send_shortly(
        self, ddls: Sequence[Ddl], lock_timeout: str | None = None, completes: bool = False
    ) -> Operation[None]:
        """Send statements in a transaction of their own, which gives up when it waits too long for a lock.

        Inside a transaction of the runner's they go into that one, and its limit is theirs.

        Args:
            lock_timeout: another limit than that of this editor.
            completes: with them the operation is done, which is noted in the same transaction.
        """
        if self.inside and (self.is_dry or self.database.in_block):
            yield from self._send_all(ddls)
            return
        limit = lock_timeout or self.lock_timeout
        if limit is not None:
            ddls = [Ddl(self.dialect.lock_timeout.format(limit), internal=True), *ddls]
        if self.is_dry:
            yield from self._send_all([Ddl("BEGIN"), *ddls, Ddl("COMMIT")] if len(ddls) > 1 else ddls)
        else:
            yield from in_savepoint(self._send_all(ddls, completes), self.database.alias)

    def _send_all(self, ddls: Sequence[Ddl], completes: bool = False) -> Operation[None]:
        for ddl in ddls:
            yield from self.send(ddl)
        if completes and self.completed is not None:
            yield from self.completed()

    def read(self, sql: str, params: Sequence[Any] = (), /) -> Operation[list[Row]]:
        """Read from the catalogue: in a dry run as it is after the statements so far."""
        if self.rehearsal is not None:
            return [tuple(row) for row in self.rehearsal.read(sql, params)]
        return (yield from self.query(sql, params))

    def query(self, sql: str, params: Sequence[Any] = (), /) -> Operation[list[Row]]:
        """Read from the database as it is."""
        statement = Statement(Template(sql, prepare=False), params, internal=True)
        return (yield from perform(Query(self.database, statement)))

    def comment(self, text: str, failed: bool = False) -> None:
        """Note a remark down; does nothing when statements are sent."""
        if self.notes is not None:
            self.notes.append(Comment(text, failed))

    def table(self, model: Any) -> TableDef:
        """Return the table of a model."""
        return table_of(model, self.database)

    def allows(self, app_label: str, model: Any | None = None, **hints: Any) -> bool:
        """Tell whether the routers, and the model itself, want it in this database."""
        if model is not None:
            if not model._meta.can_migrate(self.database):
                return False
            hints = {"model_name": model._meta.model_name, **hints}
        return router.allow_migrate(self.database.alias, app_label, **hints)


def text_statement(dialect: Dialect, sql: str, params: Sequence[Any] | None = None) -> Ddl:
    """Return a user's SQL as a statement; ``%s`` stand for *params*, and mean nothing where there are none."""
    return Ddl(dialect.raw_sql(sql, bool(params)), tuple(params or ()))


class MigrationConnection:
    """What blocking code in migrations (operations of one's own, RunPython) sends statements through.

    Only what is named here exists: a dry run notes writes down, and nothing slips past it.
    """

    def __init__(self, editor: Editor) -> None:
        self.editor = editor

    @property
    def connection(self) -> MigrationConnection:
        """Itself: code written for Django's schema editor asks for ``schema_editor.connection``."""
        return self

    @property
    def alias(self) -> str:
        return self.editor.database.alias

    @property
    def vendor(self) -> str:
        return self.editor.database.vendor

    @property
    def dialect(self) -> Dialect:
        return self.editor.dialect

    @property
    def collect_sql(self) -> bool:
        """True in a dry run."""
        return self.editor.is_dry

    def quote_name(self, name: str) -> str:
        """Return a name as a quoted identifier."""
        return self.dialect.quote(name)

    def execute(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        """Send a statement and return its rows; in a dry run anything but SELECT is noted down."""
        ddl = text_statement(self.dialect, sql, params)
        if is_read(sql):
            read = self.editor.query(ddl.sql, ddl.params)
            return run(reading(read, self.alias) if self.editor.is_dry else read)
        run(self.editor.send(ddl))
        return []

    def execute_write(self, sql: str, params: Sequence[Any] | None = None) -> int:
        """Send a statement that changes something; in a dry run it is noted down."""
        run(self.editor.send(text_statement(self.dialect, sql, params)))
        return 0

    def execute_script(self, sql: str) -> None:
        """Send SQL of several statements."""
        for each in split_sql(sql):
            run(self.editor.send(Ddl(each)))

    def table_exists(self, name: str) -> bool:
        """Tell whether a table of that name can be seen."""
        return run(self.dialect.schema.table_exists(self.editor, name))


def is_read(sql: str) -> bool:
    """True for text that begins like a SELECT; a dry run sends it in a read-only transaction, so it cannot write."""
    text = sql.lstrip().lower()
    return text.startswith(("select", "with")) or (text.startswith("pragma") and "=" not in text)


def split_sql(sql: str) -> list[str]:
    """Return the statements of a text; semicolons in quotes, comments and bodies of functions do not count."""
    found: list[str] = []
    start = depth = 0
    for match in _SPLIT.finditer(sql):
        word = match.group().lower()
        if match.lastgroup == "begin" and depth == 0:
            depth = 1 if _IN_TRIGGER.search(sql[start : match.start()]) else 0
        elif match.lastgroup == "begin" or (depth and word == "case"):
            depth += 1
        elif match.lastgroup == "end" and depth:
            depth -= 1
        elif word == ";" and not depth:
            found.append(sql[start : match.start()])
            start = match.end()
    found.append(sql[start:])
    return [text for each in found if (text := each.strip()) and _WITHOUT_COMMENTS.sub("", text).strip()]


_SPLIT = re.compile(
    r"""
      '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$
    | (?P<begin>\b(?:begin|case)\b) | (?P<end>\bend\b) | ;
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_IN_TRIGGER = re.compile(r"create\s+(?:or\s+replace\s+)?(?:temp\w*\s+)?(?:trigger|procedure|function)\b", re.IGNORECASE)
_WITHOUT_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def editor_of(connection: Any) -> Editor:
    """Return the editor of what a caller of `Operation.database_forwards` gives."""
    if isinstance(connection, Editor):
        return connection
    if isinstance(connection, str):
        return Editor(connections[connection])
    found = getattr(connection, "editor", None)
    if isinstance(found, Editor):
        return found
    return Editor(connection if isinstance(connection, Database) else connections[connection.alias])
