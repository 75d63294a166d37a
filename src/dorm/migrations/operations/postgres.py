"""Operations on what only PostgreSQL has: materialized views, partitions, enum types, row-level security."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.db.operation import Operation as Doing
from dorm.db.schema import Ddl
from dorm.exceptions import NotSupportedError
from dorm.migrations.operations.base import Operation, OperationCategory

if TYPE_CHECKING:
    from dorm.migrations.editor import Editor
    from dorm.migrations.state import ProjectState

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?\Z")
_METHODS = ("RANGE", "LIST", "HASH")
_ALONE = "ACCESS EXCLUSIVE"
_COMMANDS = ("ALL", "SELECT", "INSERT", "UPDATE", "DELETE")


def checked(name: Any, argument: str = "name") -> str:
    """Return a name of a table, view or type (``schema.name`` too); ValueError for what is none."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise ValueError(f"{argument} takes an identifier, not {name!r}.")
    return name


class PostgresOperation(Operation):
    """An operation that only PostgreSQL can do.

    Attributes:
        refuses_others: other backends are an error; else it does nothing there.
        rewrites: it writes the relation anew. scans: it reads the table from end to end.
    """

    category = OperationCategory.SQL
    refuses_others: ClassVar[bool] = True
    rewrites: ClassVar[bool] = False
    scans: ClassVar[bool] = False

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        """Return the statements; *quote* quotes names, *literal* texts."""
        raise NotImplementedError

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        """Return the statements that undo it."""
        raise NotImplementedError

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        """Return the tables that it locks, each with the lock; the one that it is about first."""
        return ()

    def forwards(self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState) -> Doing[None]:
        yield from self._send(editor, forwards=True)

    def backwards(
        self, app_label: str, editor: Editor, from_state: ProjectState, to_state: ProjectState
    ) -> Doing[None]:
        if not self.reversible:
            raise self.irreversible(app_label)
        yield from self._send(editor, forwards=False)

    def _send(self, editor: Editor, forwards: bool) -> Doing[None]:
        if not editor.dialect.has_online_ddl:
            if self.refuses_others:
                raise NotSupportedError(
                    f"{type(self).__name__} is PostgreSQL-only; {editor.database.alias!r} is {editor.database.vendor}"
                )
            return
        dialect = editor.dialect

        def quote(name: str) -> str:
            return ".".join(map(dialect.quote, name.split(".")))

        texts = (self.sql_forwards if forwards else self.sql_backwards)(quote, dialect.quote_literal)
        (table, lock), *others = self.locks(forwards) or [("", "")]
        for text in texts:
            yield from editor.send(
                Ddl(
                    text,
                    table=table,
                    lock=lock,
                    rewrites=forwards and self.rewrites,
                    scans=forwards and self.scans,
                    concurrent=self.runs_outside,
                    others=tuple(others),
                )
            )

    def describe(self) -> str:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self).__name__)
        return f"{words} {getattr(self, 'name', getattr(self, 'table', ''))}".strip()


# -- materialized views ------------------------------------------------------------------------------------------


class CreateMaterializedView(PostgresOperation):
    """Make a materialized view of the SELECT *sql*."""

    def __init__(self, name: str, sql: str, *, with_data: bool = True, if_not_exists: bool = False) -> None:
        self.name = checked(name)
        if not isinstance(sql, str) or not sql.strip():
            raise ValueError("sql takes the text of a SELECT.")
        self.sql = sql
        self.with_data = with_data
        self.if_not_exists = if_not_exists

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        absent = "IF NOT EXISTS " if self.if_not_exists else ""
        data = "" if self.with_data else " WITH NO DATA"
        return [f"CREATE MATERIALIZED VIEW {absent}{quote(self.name)} AS {self.sql.strip().rstrip(';')}{data}"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"DROP MATERIALIZED VIEW IF EXISTS {quote(self.name)}"]

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        return () if forwards else [(self.name, _ALONE)]


class DropMaterializedView(PostgresOperation):
    """Drop a materialized view; *reverse_sql* (the SELECT, or a whole CREATE) makes it again."""

    def __init__(self, name: str, *, reverse_sql: str = "", if_exists: bool = True) -> None:
        self.name = checked(name)
        self.reverse_sql = reverse_sql
        self.if_exists = if_exists
        self.reversible = bool(reverse_sql)

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"DROP MATERIALIZED VIEW {'IF EXISTS ' if self.if_exists else ''}{quote(self.name)}"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        text = self.reverse_sql.strip().rstrip(";")
        return [text if text.lower().startswith("create") else f"CREATE MATERIALIZED VIEW {quote(self.name)} AS {text}"]

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        return [(self.name, _ALONE)] if forwards else ()


class RefreshMaterializedView(PostgresOperation):
    """Fill a materialized view anew; *concurrently* lets it be read meanwhile (it needs a unique index)."""

    is_data = True
    rewrites = True

    def __init__(self, name: str, *, concurrently: bool = False) -> None:
        self.name = checked(name)
        self.concurrently = concurrently

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"REFRESH MATERIALIZED VIEW {'CONCURRENTLY ' if self.concurrently else ''}{quote(self.name)}"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return []

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        return [(self.name, "EXCLUSIVE" if self.concurrently else _ALONE)]


# -- partitions --------------------------------------------------------------------------------------------------


class CreatePartitionedTable(PostgresOperation):
    """Make a partitioned table.

    Args:
        columns_sql: columns and constraints, as in CREATE TABLE. method: RANGE, LIST or HASH. key: columns or
            expressions that rows are parted by.
    """

    def __init__(self, name: str, *, columns_sql: str, method: str, key: str, if_not_exists: bool = False) -> None:
        self.name = checked(name)
        if method.upper() not in _METHODS:
            raise ValueError(f"method takes one of {', '.join(_METHODS)}, not {method!r}.")
        if not columns_sql.strip() or not key.strip():
            raise ValueError("columns_sql and key take SQL text.")
        self.columns_sql = columns_sql
        self.method = method
        self.key = key
        self.if_not_exists = if_not_exists

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        absent = "IF NOT EXISTS " if self.if_not_exists else ""
        return [
            f"CREATE TABLE {absent}{quote(self.name)} ({self.columns_sql.strip()}) "
            f"PARTITION BY {self.method.upper()} ({self.key})"
        ]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"DROP TABLE IF EXISTS {quote(self.name)}"]

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        return () if forwards else [(self.name, _ALONE)]


class _Partition(PostgresOperation):
    def __init__(self, parent: str, name: str, *, for_values: str) -> None:
        self.parent = checked(parent, "parent")
        self.name = checked(name)
        if not for_values.strip():
            raise ValueError("for_values takes SQL such as \"FROM ('2026-01-01') TO ('2026-02-01')\", or DEFAULT.")
        self.for_values = for_values

    @property
    def bound(self) -> str:
        """The clause that says which rows the partition takes."""
        text = self.for_values.strip()
        return text if text.upper() == "DEFAULT" or text.upper().startswith("FOR VALUES") else f"FOR VALUES {text}"

    def _attach(self, quote: Any) -> str:
        return f"ALTER TABLE {quote(self.parent)} ATTACH PARTITION {quote(self.name)} {self.bound}"

    def _attaching(self, attaches: bool) -> Sequence[tuple[str, str]]:
        return [(self.parent, "SHARE UPDATE EXCLUSIVE" if attaches else _ALONE), (self.name, _ALONE)]

    def _detach(self, quote: Any) -> str:
        return f"ALTER TABLE {quote(self.parent)} DETACH PARTITION {quote(self.name)}"


class CreatePartition(_Partition):
    """Make a partition of *parent*."""

    def __init__(self, parent: str, name: str, *, for_values: str, if_not_exists: bool = False) -> None:
        super().__init__(parent, name, for_values=for_values)
        self.if_not_exists = if_not_exists

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        absent = "IF NOT EXISTS " if self.if_not_exists else ""
        return [f"CREATE TABLE {absent}{quote(self.name)} PARTITION OF {quote(self.parent)} {self.bound}"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"DROP TABLE IF EXISTS {quote(self.name)}"]

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        return [(self.parent, _ALONE)] if forwards else [(self.parent, _ALONE), (self.name, _ALONE)]


class AttachPartition(_Partition):
    """Make a table a partition of *parent*; its rows are read, unless a CHECK says what the partition does."""

    scans = True

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [self._attach(quote)]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [self._detach(quote)]

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        return self._attaching(forwards)


class DetachPartition(_Partition):
    """Make a partition of *parent* a table of its own."""

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [self._detach(quote)]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [self._attach(quote)]

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        return self._attaching(not forwards)


# -- enum types --------------------------------------------------------------------------------------------------


def _labels(values: Iterable[str], argument: str) -> list[str]:
    found = [values] if isinstance(values, str) else list(values)
    if not found or not all(isinstance(value, str) and value for value in found):
        raise ValueError(f"{argument} takes texts, at least one, none of them empty.")
    if len(set(found)) != len(found):
        raise ValueError(f"{argument} holds a value twice.")
    return found


class CreatePGEnum(PostgresOperation):
    """Make an enum type; nothing on other backends."""

    refuses_others = False

    def __init__(self, name: str, values: Sequence[str]) -> None:
        self.name = checked(name)
        self.values = _labels(values, "values")

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"CREATE TYPE {quote(self.name)} AS ENUM ({', '.join(map(literal, self.values))})"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"DROP TYPE IF EXISTS {quote(self.name)}"]


class DropPGEnum(PostgresOperation):
    """Drop an enum type; *reverse_values* make it again. Nothing on other backends."""

    refuses_others = False

    def __init__(self, name: str, *, reverse_values: Sequence[str] | None = None) -> None:
        self.name = checked(name)
        self.reverse_values = None if reverse_values is None else _labels(reverse_values, "reverse_values")
        self.reversible = reverse_values is not None

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"DROP TYPE IF EXISTS {quote(self.name)}"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"CREATE TYPE {quote(self.name)} AS ENUM ({', '.join(map(literal, self.reverse_values or ()))})"]


class AddPGEnumValue(PostgresOperation):
    """Add a value to an enum type. PostgreSQL cannot take one away again: undoing it does nothing.

    It runs outside transactions: set ``atomic = False``. Nothing on other backends.
    """

    refuses_others = False
    runs_outside = True

    def __init__(self, type_name: str, value: str, *, before: str | None = None) -> None:
        self.type_name = self.name = checked(type_name, "type_name")
        (self.value,) = _labels(value, "value")
        self.before = before

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        place = f" BEFORE {literal(self.before)}" if self.before is not None else ""
        return [f"ALTER TYPE {quote(self.type_name)} ADD VALUE IF NOT EXISTS {literal(self.value)}{place}"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return []


# -- row-level security ------------------------------------------------------------------------------------------


class _TableSecurity(PostgresOperation):
    refuses_others = False
    table: str

    def locks(self, forwards: bool) -> Sequence[tuple[str, str]]:
        return [(self.table, _ALONE)]


class _Security(_TableSecurity):
    on: ClassVar[str] = ""
    off: ClassVar[str] = ""

    def __init__(self, table: str) -> None:
        self.table = self.name = checked(table, "table")

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"ALTER TABLE {quote(self.table)} {self.on} ROW LEVEL SECURITY"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"ALTER TABLE {quote(self.table)} {self.off} ROW LEVEL SECURITY"]


class EnableRowLevelSecurity(_Security):
    """Let policies decide which rows are seen and changed; nothing on other backends."""

    on, off = "ENABLE", "DISABLE"


class DisableRowLevelSecurity(_Security):
    """Let policies decide nothing any more."""

    on, off = "DISABLE", "ENABLE"


class ForceRowLevelSecurity(_Security):
    """Let policies decide for the table's owner too."""

    on, off = "FORCE", "NO FORCE"


def _policy(
    quote: Any,
    name: str,
    table: str,
    command: str,
    roles: Sequence[str] | None,
    using: str | None,
    check: str | None,
    permissive: bool,
) -> str:
    parts = [f"CREATE POLICY {quote(name)} ON {quote(table)}", f"AS {'PERMISSIVE' if permissive else 'RESTRICTIVE'}"]
    parts.append(f"FOR {command}")
    parts += _clauses(quote, roles, using, check)
    return " ".join(parts)


def _clauses(quote: Any, roles: Sequence[str] | None, using: str | None, check: str | None) -> list[str]:
    words = ("public", "current_user", "session_user", "current_role")
    found = []
    if roles:
        found.append(f"TO {', '.join(role if role.lower() in words else quote(role) for role in roles)}")
    if using:
        found.append(f"USING ({using})")
    if check:
        found.append(f"WITH CHECK ({check})")
    return found


def _check_policy(command: str, using: str | None, check: str | None) -> str:
    word = command.upper()
    if word not in _COMMANDS:
        raise ValueError(f"command takes one of {', '.join(_COMMANDS)}, not {command!r}.")
    if word == "INSERT" and (not check or using):
        raise ValueError("a policy for INSERT takes check, and no using.")
    if word != "INSERT" and not using:
        raise ValueError(f"a policy for {word} takes using.")
    if word in ("SELECT", "DELETE") and check:
        raise ValueError(f"a policy for {word} takes no check.")
    return word


class CreatePolicy(_TableSecurity):
    """Make a policy of row-level security; nothing on other backends.

    Args:
        command: ALL, SELECT, INSERT, UPDATE or DELETE. roles: whom it is for (None: everybody).
        using: condition on rows that are there. check: condition on rows that are written.
    """

    def __init__(
        self,
        name: str,
        table: str,
        *,
        command: str = "ALL",
        roles: Sequence[str] | None = None,
        using: str | None = None,
        check: str | None = None,
        permissive: bool = True,
    ) -> None:
        self.name = checked(name)
        self.table = checked(table, "table")
        self.command = _check_policy(command, using, check)
        self.roles = roles
        self.using = using
        self.check = check
        self.permissive = permissive

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [
            _policy(quote, self.name, self.table, self.command, self.roles, self.using, self.check, self.permissive)
        ]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"DROP POLICY IF EXISTS {quote(self.name)} ON {quote(self.table)}"]


class DropPolicy(_TableSecurity):
    """Drop a policy; the ``reverse_`` arguments are those of `CreatePolicy` that make it again."""

    def __init__(
        self,
        name: str,
        table: str,
        *,
        reverse_command: str = "ALL",
        reverse_roles: Sequence[str] | None = None,
        reverse_using: str | None = None,
        reverse_check: str | None = None,
        reverse_permissive: bool = True,
    ) -> None:
        self.name = checked(name)
        self.table = checked(table, "table")
        self.reverse_command = reverse_command
        self.reverse_roles = reverse_roles
        self.reverse_using = reverse_using
        self.reverse_check = reverse_check
        self.reverse_permissive = reverse_permissive
        self.reversible = bool(reverse_using or reverse_check)
        if self.reversible:
            _check_policy(reverse_command, reverse_using, reverse_check)

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return [f"DROP POLICY IF EXISTS {quote(self.name)} ON {quote(self.table)}"]

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return [
            _policy(
                quote,
                self.name,
                self.table,
                self.reverse_command.upper(),
                self.reverse_roles,
                self.reverse_using,
                self.reverse_check,
                self.reverse_permissive,
            )
        ]


class AlterPolicy(_TableSecurity):
    """Change a policy; the ``previous_`` arguments are what it had, for the way back."""

    def __init__(
        self,
        name: str,
        table: str,
        *,
        roles: Sequence[str] | None = None,
        using: str | None = None,
        check: str | None = None,
        previous_roles: Sequence[str] | None = None,
        previous_using: str | None = None,
        previous_check: str | None = None,
    ) -> None:
        if not (roles or using or check):
            raise ValueError("AlterPolicy takes roles, using or check: something to change.")
        self.name = checked(name)
        self.table = checked(table, "table")
        self.roles = roles
        self.using = using
        self.check = check
        self.previous_roles = previous_roles
        self.previous_using = previous_using
        self.previous_check = previous_check
        self.reversible = bool(previous_roles or previous_using or previous_check)

    def _text(self, quote: Any, roles: Any, using: str | None, check: str | None) -> list[str]:
        head = f"ALTER POLICY {quote(self.name)} ON {quote(self.table)}"
        return [" ".join([head, *_clauses(quote, roles, using, check)])]

    def sql_forwards(self, quote: Any, literal: Any) -> list[str]:
        return self._text(quote, self.roles, self.using, self.check)

    def sql_backwards(self, quote: Any, literal: Any) -> list[str]:
        return self._text(quote, self.previous_roles, self.previous_using, self.previous_check)
