"""What a backend's SQL looks like: flags, names, types, fragments of text. No I/O, no nodes, no models.

Flags default to the poorer answer, so a new backend starts out correct. Whoever compiles asks the dialect for a flag or
a piece of text; nobody outside `dorm.db.backends` asks for its vendor.
"""

from __future__ import annotations

import datetime
import decimal
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from dorm.classes import is_uuid
from dorm.db.fragments import Fragments
from dorm.db.lexis import STANDARD, Lexis, given
from dorm.db.statement import Template
from dorm.db.types import SqlType
from dorm.exceptions import NotSupportedError

if TYPE_CHECKING:
    from dorm.db.plans import PlanNode
    from dorm.db.schema import Schema

Converter: TypeAlias = Callable[[Any], Any]
IsolationLevel: TypeAlias = Literal["read uncommitted", "read committed", "repeatable read", "serializable"]


class Dialect(Fragments, ABC):
    """Text of one backend, for one configuration."""

    vendor: ClassVar[str]
    """Public name of the engine's family (`connection.vendor`)."""

    lexis: ClassVar[Lexis] = STANDARD
    """By which rules texts are taken apart, for templates."""

    name: ClassVar[str] = ""
    """Public name of the dialect where it is not the vendor's (a relative of another engine)."""

    fingerprint: ClassVar[Hashable]
    """What compiled SQL depends on: dialects with equal fingerprints share plans. The class, where it says no other."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "fingerprint" not in cls.__dict__:
            cls.fingerprint = cls
        if "lexis" in cls.__dict__:
            given[cls.vendor] = cls.lexis

    # -- what it can do ------------------------------------------------------------------------------------------
    supports_returning: bool = False
    """INSERT, UPDATE and DELETE can give rows back."""
    sends_together: bool = False
    """Several queries can go to the server in one trip."""
    tells_counted_key: bool = False
    """The driver tells the key that an INSERT of one row counted, for less than RETURNING costs."""
    rows_at_once: int = 0
    """Rows that one INSERT of many rows with RETURNING takes best; 0 where sending them one by one is as good."""
    numbers_placeholders: bool = False
    """A placeholder says which parameter it means, so one parameter may stand in several places."""
    supports_array_parameters: bool = False
    """``IN`` over a list takes one array parameter (`in_array`)."""
    supports_filter_clause: bool = False
    """Aggregates take FILTER (WHERE ...)."""
    adds_up_moments: bool = True
    """SUM, AVG and their like know dates and times, or refuse them themselves."""
    supports_distinct_on: bool = False
    supports_row_locks: bool = False
    """SELECT ... FOR UPDATE."""
    supports_deferrable_constraints: bool = False
    supports_deferrable_unique: bool = False
    """UNIQUE can be checked at COMMIT."""
    supports_nulls_not_distinct: bool = False
    """UNIQUE can take NULL as equal to NULL."""
    supports_exclusion: bool = False
    """EXCLUDE constraints."""
    supports_index_extras: bool = False
    """Indexes have methods, operator classes and INCLUDE; elsewhere these, which change no result, are left out."""
    supports_tablespaces: bool = False
    """Tables and indexes can be told where they are kept; elsewhere that is left out."""
    supports_update_conflicts: bool = False
    supports_conflict_targets: bool = False
    """An upsert names the unique constraint that is meant."""
    supports_transactional_ddl: bool = False
    supports_nulls_ordering: bool = False
    """ORDER BY ... NULLS FIRST / LAST."""
    supports_default_keyword_in_insert: bool = False
    """DEFAULT may stand in a row of VALUES."""
    supports_ignore_conflicts: bool = False
    """ON CONFLICT DO NOTHING or its like."""
    supports_unnest_insert: bool = False
    """Many rows of scalars are inserted from arrays (`insert_from_arrays`), one text for every size."""
    has_transactions: bool = True
    """Several statements can be one transaction."""
    supports_copy: bool = False
    """COPY, past INSERT and SELECT."""
    has_sessions: bool = True
    """A connection that is held goes on being the same one: locks, temporary tables, LISTEN."""
    streams_in_transactions: bool = False
    """A cursor that is read in chunks lives in a transaction only."""
    supports_advisory_locks: bool = False
    """Sessions can hold locks on numbers (pg_advisory_lock)."""
    supports_search_path: bool = False
    """Names of tables are looked for in schemas that a session or a transaction chooses (`search_path`)."""
    supports_listen: bool = False
    """Sessions can wait for notifications (LISTEN)."""
    requires_limit_with_offset: str = ""
    """What stands for "no limit" where OFFSET needs a LIMIT; empty where it does not."""
    max_parameters: int = 999
    """Parameters that one statement may have."""
    max_identifier_length: int = 63
    """Characters (bytes on PostgreSQL) of an identifier."""

    # -- names and placeholders ----------------------------------------------------------------------------------
    def quote(self, name: str) -> str:
        """Return *name* as a quoted identifier."""
        return '"' + name.replace('"', '""') + '"'

    def quote_literal(self, text: str) -> str:
        """Return *text* as a string literal, for DDL, where parameters cannot stand."""
        return "'" + text.replace("'", "''") + "'"

    @abstractmethod
    def placeholder(self, number: int, sql_type: SqlType | None) -> str:
        """Return the placeholder of parameter *number* (from 1), with a cast where its type needs saying."""

    def raw_sql(self, sql: str, has_params: bool) -> str:
        """Return a user's SQL with its ``%s`` as the dialect's placeholders and ``%%`` as a percent sign.

        Both only when *has_params*; quotes hold no placeholders, and comments stay as they are.
        """
        raise NotSupportedError(f"{self.vendor} takes no raw SQL")

    def raw_placeholder(self, number: int) -> str:
        """Return the placeholder of parameter *number* of a user's SQL."""
        return "?"

    takes_anything: frozenset[str] = frozenset()
    """Functions whose arguments may be of any type, where a parameter without one cannot stand; small letters."""

    def as_text(self, sql: str) -> str:
        """Return *sql*, a parameter without a type, as a text; asked for where `takes_anything` names functions."""
        return sql

    def list_binder(self) -> Converter | None:
        """Return what turns a list among the parameters of a user's SQL into what the driver takes."""
        return json.dumps

    def raw_binder(self, cls: type) -> Converter | None:
        """Return what turns a parameter of a user's SQL of class *cls* into the driver's; None when it passes."""
        return None

    # -- types and values ----------------------------------------------------------------------------------------
    @abstractmethod
    def column_type(self, sql_type: SqlType) -> str:
        """Return the spelling of a type in DDL and casts."""

    def binder(self, sql_type: SqlType) -> Converter | None:
        """Return what turns a Python value (never None) into the driver's; None when nothing must be done."""
        return None

    def named_binder(self, sql_type: SqlType, name: str) -> Converter | None:
        """Return `binder`'s answer for a column; *name* (``Model.field``) stands in the message of what it refuses."""
        return self.binder(sql_type)

    def compared_binder(self, lookup: str, sql_type: SqlType) -> Converter | None:
        """Return what binds a value that a column of *sql_type* is compared with, though it cannot hold it.

        Args:
            lookup: ``exact``, ``gt``, ``gte``, ``lt`` or ``lte``, or another one, of which nothing is asked.
        Returns: None where such values are bound like any other.
        """
        return None

    def null(self, sql_type: SqlType | None) -> Any:
        """Return what is bound for NULL in a place of *sql_type* (a driver may want it typed)."""
        return None

    def loader(self, sql_type: SqlType) -> Converter | None:
        """Return what turns the driver's value (never None) into Python's; None when it already is."""
        return None

    def json_text_binder(self, name: str) -> Converter | None:
        """Return what a JSON document of the column *name* that is text already goes through; None for nothing."""
        return None

    def array_binder(self, sql_type: SqlType) -> Converter | None:
        """Return what turns a list of bound values of *sql_type* into one array parameter."""
        return None

    def has_binary_loader(self, sql_type: SqlType) -> bool:
        """True when a column of this type can be asked for in the driver's binary format."""
        return False

    # -- fragments -----------------------------------------------------------------------------------------------
    lookups: ClassVar[dict[str, str]] = {}
    """Text of each standard lookup with ``{lhs}`` and ``{rhs}``; pattern lookups bind what `pattern` made."""

    def pattern(self, lookup: str) -> Converter:
        """Return what turns the user's text into the pattern of ``contains``, ``istartswith`` and their like."""
        raise NotSupportedError(f"{self.vendor} has no lookup {lookup!r}")

    def pattern_of(self, lookup: str, lhs: str, rhs: str) -> str:
        """Return the pattern lookup between two expressions: wildcards in *rhs* are literal."""
        raise NotSupportedError(f"{self.vendor} has no lookup {lookup!r} between expressions")

    def lookup_left(self, lookup: str, lhs: str, sql_type: SqlType | None) -> str:
        """Return the left side of *lookup*, cast where the lookup wants text and the column is something else."""
        return lhs

    def in_array(self, lhs: str, placeholder: str) -> str:
        """Return membership of *lhs* in one array parameter (only with `supports_array_parameters`)."""
        raise NotSupportedError(f"{self.vendor} has no array parameters")

    def insert_from_arrays(
        self, table: str, columns: Sequence[str], types: Sequence[SqlType], returning: str, ending: str
    ) -> str:
        """Return INSERT of many rows from one array parameter a column (only with `supports_unnest_insert`).

        Names are quoted; *ending* stands before RETURNING (ON CONFLICT ...), *returning* may be empty.
        """
        raise NotSupportedError(f"{self.vendor} cannot insert from arrays")

    def copies(self, sql_type: SqlType) -> bool:
        """True when values of this type can be sent by COPY as they are bound (only with `supports_copy`)."""
        return False

    def row_security(self, table: str) -> tuple[str, tuple[Any, ...]] | None:
        """Return a query whether row-level security is in force for a table, which COPY refuses; None: never."""
        return None

    def update_from_arrays(self, table: str, columns: Sequence[str], types: Sequence[SqlType]) -> str:
        """Return UPDATE of many rows from one array parameter a column, the key's last; names are quoted."""
        raise NotSupportedError(f"{self.vendor} cannot update from arrays")

    def unnests(self, sql_type: SqlType) -> bool:
        """True when values of this type can stand in the arrays of `insert_from_arrays`."""
        return True

    def insert_defaults(self, table: str) -> str:
        """Return INSERT of one row of defaults only, without RETURNING."""
        return f"INSERT INTO {table} DEFAULT VALUES"

    def on_conflict_ignore(self, insert: str) -> str:
        """Return *insert* (up to the end of VALUES) skipping rows that clash."""
        return f"{insert} ON CONFLICT DO NOTHING"

    def on_conflict_update(self, insert: str, targets: Sequence[str], updates: Sequence[str]) -> str:
        """Return *insert* (up to the end of VALUES) setting *updates* where a row clashes; names are quoted.

        Args:
            targets: columns of the unique constraint that is meant, where the dialect takes them.
        """
        pairs = ", ".join(f"{name} = EXCLUDED.{name}" for name in updates)
        return f"{insert} ON CONFLICT ({', '.join(targets)}) DO UPDATE SET {pairs}"

    def limit(self, limit: str | None, offset: str | None) -> str:
        """Return the clause for limit and offset, each a placeholder, a number or None; leads with a space."""
        if limit is None and offset is not None:
            limit = self.requires_limit_with_offset or None
        return (f" LIMIT {limit}" if limit is not None else "") + (f" OFFSET {offset}" if offset is not None else "")

    def row_lock(self, *, nowait: bool, skip_locked: bool, of: tuple[str, ...], weak: bool) -> str:
        """Return the clause that locks the rows of a SELECT, with a leading space; "" where there are no row locks.

        Args:
            of: quoted aliases of the tables whose rows are locked.
            weak: FOR NO KEY UPDATE.
        Raises: NotSupportedError: an option that the backend has not.
        """
        options = [
            name
            for name, wanted in (("nowait", nowait), ("skip_locked", skip_locked), ("of", of), ("no_key", weak))
            if wanted
        ]
        if options:
            raise NotSupportedError(f"{', '.join(options)} of select_for_update() is not supported on {self.vendor}.")
        return ""

    def explain(self, fmt: str | None, options: dict[str, Any]) -> str:
        """Return what stands in front of a statement to have its plan explained, with a space behind.

        Raises: ValueError: a format or an option that the backend has not.
        """
        self.check_explain(fmt, options, (), ())
        return "EXPLAIN "

    def check_explain(
        self, fmt: str | None, options: dict[str, Any], formats: Sequence[str], known: Sequence[str]
    ) -> None:
        """Refuse a format or options that are not among those the backend knows."""
        if fmt is not None and fmt.upper() not in formats:
            if not formats:
                raise ValueError(f"{self.vendor} does not support any formats: leave format out.")
            raise ValueError(f"{fmt} is not a recognized format. Allowed formats: {', '.join(sorted(formats))}.")
        unknown = sorted(name for name in options if name.lower() not in known)
        if unknown:
            raise ValueError(
                f"Unknown options: {', '.join(unknown)}. {self.vendor} knows: {', '.join(known) or 'none'}."
            )

    def exact_sum(self, sql_type: SqlType) -> str:
        """Return the function that adds up decimals of *sql_type* exactly where SUM does not; empty where it does."""
        return ""

    def in_place_of_column(self, sql: str, sql_type: SqlType) -> str:
        """Return the parameter *sql* such that it compares as a column of *sql_type* would."""
        return sql

    def typed_literal(self, sql: str, sql_type: SqlType) -> str:
        """Return the parameter *sql* such that it has type *sql_type* also where nothing beside it says so."""
        return sql

    def literal_beside(self, sql: str, own: SqlType, other: SqlType) -> str:
        """Return the parameter *sql* of type *own* as an operand of an operation with something of type *other*."""
        return sql

    def converted(self, sql: str, have: SqlType, want: SqlType) -> str:
        """Return the number *sql*, in the form of type *have*, in the form of *want*.

        For backends that store decimals otherwise than they compute with them; a decimal without precision is one as
        arithmetic gives it.
        """
        return sql

    def stores_as_text(self, sql_type: SqlType) -> bool:
        """Return whether decimals of *sql_type* are stored and computed with as text."""
        return False

    def combined(self, operator: str, lhs: str, rhs: str, left: SqlType | None, right: SqlType | None) -> str:
        """Return ``lhs operator rhs``; operators are ``+ - * / % ^`` (power) and ``& | # << >>`` on bits."""
        return f"POWER({lhs}, {rhs})" if operator == "^" else f"({lhs} {operator} {rhs})"

    def numeric_result(self, function: str, sql_type: SqlType | None) -> SqlType | None:
        """Return the type in which SUM or AVG (*function*) of *sql_type* is sent by this backend."""
        return None

    # -- transactions --------------------------------------------------------------------------------------------
    def begin(self, isolation: IsolationLevel | None = None, read_only: bool = False) -> Template:
        """Return BEGIN with its options; raise NotSupportedError for those the backend has not."""
        return Template("BEGIN")

    def statement_timeout(self, milliseconds: int | None) -> Template | None:
        """Return what limits the statements of the open transaction, None as *milliseconds* undoes it.

        None where the server keeps no time: the client cancels then.
        """
        return None

    def search_path(self, schemas: Sequence[str] | None, local: bool) -> Template:
        """Return what makes a session, or with *local* its open transaction, search *schemas*; None: its own path.

        Raises: NotSupportedError: a session of this backend has no such path (``supports_search_path``).
        """
        raise NotSupportedError(f"{self.vendor} has no schemas that a session searches.")

    def savepoint(self, name: str) -> Template:
        return Template(f"SAVEPOINT {self.quote(name)}")

    def release_savepoint(self, name: str) -> Template:
        return Template(f"RELEASE SAVEPOINT {self.quote(name)}")

    def rollback_to_savepoint(self, name: str) -> Template:
        return Template(f"ROLLBACK TO SAVEPOINT {self.quote(name)}")

    # -- plans ---------------------------------------------------------------------------------------------------
    def plan_sql(self, sql: str, *, execute: bool = False, structured: bool = False) -> str:
        """Return the text that asks for the plan of *sql*, whose parameters it takes.

        Args:
            execute: run the statement and show what really happened, where the backend can.
            structured: one JSON document instead of lines, where the backend can.
        """
        raise NotSupportedError(f"{self.vendor} shows no query plans")

    def replication_sql(self) -> str:
        """Return a query for the state of a replica: in recovery, lag in seconds, position; empty where there are none.

        One row: is it a replica (bool); seconds it is behind (None when that can't be told); whether everything
        received is replayed over a live stream (bool or None); position replayed so far (text); whether the role may
        not see the stream's state (bool).
        """
        return ""

    def position_sql(self) -> str:
        """Return a query for the position in the log after what was committed so far; empty where there is none."""
        return ""

    def server_version_sql(self) -> str:
        """Return a query for the server's version as text; empty for a library of the process."""
        return ""

    def plan_tree(self, rows: Sequence[Sequence[Any]]) -> PlanNode:
        """Return the structure of a plan from the rows that ``plan_sql(..., structured=True)`` gave."""
        raise NotSupportedError(f"{self.vendor} shows no query plans")

    def plan_lines(self, rows: Sequence[Sequence[Any]]) -> list[str]:
        """Return a plan as lines, children further in, from the rows that ``plan_sql(...)`` gave."""
        return [str(row[-1]) for row in rows]

    def probe_limits(self, timeout_ms: int) -> tuple[str, ...]:
        """Return what is sent before a look at something: limits of time, of waiting for locks, of writing."""
        return ()

    # -- DDL (the statements themselves are put together in `dorm.db.schema`) ------------------------------------
    @property
    def schema(self) -> Schema:
        """What writes the statements that change tables."""
        raise NotSupportedError(f"{self.vendor} cannot change tables")

    has_online_ddl: bool = False
    """Constraints can be added NOT VALID and validated later, indexes built concurrently."""
    index_progress: ClassVar[str] = ""
    """SELECT that tells how far another session is with the CREATE INDEX whose text is the parameter: the phase, and
    done and total of what it waits for, of rows, and of pages."""
    lock_timeout: ClassVar[str] = ""
    """Statement that limits how long DDL of this transaction waits for locks, with ``{}`` for a duration like '5s'."""

    def migration_lock(self, key: int) -> tuple[str, str] | None:
        """Return the SELECT that tries to take a session's lock *key* (true: taken), and the one that gives it back."""
        return None

    def table_size(self, table: str) -> tuple[str, tuple[Any, ...]] | None:
        """Return a query (text, parameters) for the bytes of a table with its indexes; None where nobody tells."""
        return None

    def lock_file(self, config: Any) -> str | None:
        """Return the path of the file whose lock keeps other runners of migrations out, where that is a file's."""
        return None

    def literal(self, value: Any, sql_type: SqlType | None = None) -> str:
        """Return a driver's value (what a binder gave) as text, for DDL, where parameters cannot stand."""
        if value is None:
            return "NULL"
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, (int, decimal.Decimal)):
            return str(value)
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"X'{bytes(value).hex()}'"
        if isinstance(value, (str, datetime.date, datetime.time)) or is_uuid(type(value)):
            return self.quote_literal(str(value))
        raise NotSupportedError(f"a {type(value).__name__} cannot be written as a literal of {self.vendor}")

    def notify_sql(self) -> str:
        """Return a query with two parameters, channel and payload, that notifies those who listen."""
        raise NotSupportedError(f"{self.vendor} has no LISTEN and NOTIFY.")

    def table_columns(self, name: str) -> tuple[str, tuple[Any, ...]]:
        """Return a query (text, parameters) for the columns of a table: name, type, nullable, default, in the key."""
        raise NotSupportedError(f"{self.vendor} cannot be introspected")

    def table_exists(self, name: str) -> tuple[str, tuple[Any, ...]]:
        """Return a query (text, parameters) that gives one row when a table of that name can be seen."""
        raise NotSupportedError(f"{self.vendor} cannot be introspected")
