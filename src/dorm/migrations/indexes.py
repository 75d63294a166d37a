"""Indexes and constraints of a model as parts of its table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from dorm.constraints import CheckConstraint, Deferrable, ExclusionConstraint, UniqueConstraint
from dorm.db.connection import Database
from dorm.db.tables import CheckDef, ExclusionDef, IndexDef, UniqueDef
from dorm.exceptions import NotSupportedError
from dorm.expressions.core import F, OrderBy
from dorm.indexes import OpClass
from dorm.models.ddl import expression_text
from dorm.sql.node import Node

_CALL = re.compile(r"(-?)(\w+)\(\s*(\w+)\s*\)\Z")


def column_of(meta: Any, name: str) -> str:
    """Return the column of the field *name*, with the minus sign that a descending one has in front."""
    call = _CALL.match(name)
    if call is not None:
        return f"{call[1]}{call[2]}({meta.get_field(call[3]).column})"
    descending = "-" if name.startswith("-") else ""
    return f"{descending}{meta.get_field(name.removeprefix('-')).column}"


def index_of(model: Any, index: Any, database: Database) -> IndexDef:
    """Return an index of a model."""
    meta, dialect = model._meta, database.dialect
    columns = tuple(column_of(meta, name) for name in index.fields)
    if index.expressions:
        parts = tuple(_expression(expression, model, database) for expression in index.expressions)
    else:
        parts = tuple(_columns(columns, index.opclasses, database))
    extras = dialect.supports_index_extras
    return IndexDef(
        index.name_for(meta.db_table, columns),
        parts,
        index.unique,
        method=index.method if extras and index.method != "btree" else "",
        where=_condition(index.condition, model, database),
        include=_include(index.include, meta, database),
        options=index.options() if extras else "",
        tablespace=(index.db_tablespace or "") if dialect.supports_tablespaces else "",
        columns=tuple(column.removeprefix("-") for column in columns if "(" not in column),
    )


def _columns(columns: Iterable[str], opclasses: Sequence[str], database: Database) -> Iterable[str]:
    quote = database.dialect.quote
    for number, column in enumerate(columns):
        name = column.removeprefix("-")
        call = _CALL.match(name)
        text = f"{call[2]}({quote(call[3])})" if call is not None else quote(name)
        if opclasses and database.dialect.supports_index_extras:
            text += f" {opclasses[number]}"
        yield f"{text} DESC" if column.startswith("-") else text


def _expression(expression: Any, model: Any, database: Database) -> str:
    """Return one expression of an index, in parentheses, with its direction."""
    ordered = isinstance(expression, OrderBy)
    text = _with_opclass(expression.args[0] if ordered else expression, model, database)
    if not ordered:
        return text
    nulls = f" NULLS {expression.nulls.upper()}" if expression.nulls and database.dialect.supports_index_extras else ""
    return f"{text}{' DESC' if expression.descending else ''}{nulls}"


def _with_opclass(expression: Any, model: Any, database: Database) -> str:
    """Return one expression in parentheses, with its operator class."""
    text = f"({_text(expression, model, database)})"
    has_class = isinstance(expression, OpClass) and database.dialect.supports_index_extras
    return f"{text} {expression.name}" if has_class else text


def _text(expression: Node, model: Any, database: Database) -> str:
    return expression_text(expression, model, database.dialect)


def _condition(condition: Any, model: Any, database: Database) -> str:
    return "" if condition is None else _text(condition, model, database)


def _include(names: Iterable[str], meta: Any, database: Database) -> tuple[str, ...]:
    if not database.dialect.supports_index_extras:
        return ()
    return tuple(meta.get_field(name).column for name in names)


def constraint_of(model: Any, constraint: Any, database: Database) -> UniqueDef | CheckDef | IndexDef | ExclusionDef:
    """Return a constraint of a model."""
    if isinstance(constraint, CheckConstraint):
        return CheckDef(constraint.name, _text(constraint.condition, model, database))
    if isinstance(constraint, UniqueConstraint):
        return _unique(model, constraint, database)
    if isinstance(constraint, ExclusionConstraint):
        return _exclusion(model, constraint, database)
    raise NotSupportedError(
        f"{type(constraint).__name__} cannot be written into tables: derive it from one of dorm's constraints."
    )


def _unique(model: Any, constraint: UniqueConstraint, database: Database) -> UniqueDef | IndexDef:
    meta, dialect = model._meta, database.dialect
    where = f"{meta.label}.Meta.constraints: {constraint.name}"
    if constraint.deferrable is not None and not dialect.supports_deferrable_unique:
        raise NotSupportedError(f"{where}: {dialect.vendor} has no deferrable UNIQUE.")
    if constraint.nulls_distinct is False and not dialect.supports_nulls_not_distinct:
        raise NotSupportedError(
            f"{where}: {dialect.vendor} has no UNIQUE in which NULL equals NULL (nulls_distinct=False)."
        )
    nulls = constraint.nulls_distinct if dialect.supports_nulls_not_distinct else None
    columns = tuple(column_of(meta, name) for name in constraint.fields)
    if not (constraint.expressions or constraint.condition or constraint.include or constraint.opclasses):
        deferrable = constraint.deferrable.value if constraint.deferrable is not None else ""
        return UniqueDef(constraint.name, columns, deferrable=deferrable, nulls_distinct=nulls)
    if constraint.expressions:
        parts = tuple(_expression(expression, model, database) for expression in constraint.expressions)
    else:
        parts = tuple(_columns(columns, constraint.opclasses, database))
    return IndexDef(
        constraint.name,
        parts,
        unique=True,
        where=_condition(constraint.condition, model, database),
        include=_include(constraint.include, meta, database),
        nulls_distinct=nulls,
        columns=columns,
    )


def _exclusion(model: Any, constraint: ExclusionConstraint, database: Database) -> ExclusionDef:
    meta, dialect = model._meta, database.dialect
    if not dialect.supports_exclusion:
        raise NotSupportedError(
            f"{meta.label}.Meta.constraints: {constraint.name}: {dialect.vendor} has no exclusion constraints."
        )
    parts = []
    for expression, operator in constraint.expressions:
        node = F(expression) if isinstance(expression, str) else expression
        text = _text(node, model, database) if isinstance(node, F) else _with_opclass(node, model, database)
        parts.append(f"{text} WITH {operator}")
    body = f"USING {constraint.index_type} ({', '.join(parts)})"
    if constraint.include:
        body += f" INCLUDE ({', '.join(map(dialect.quote, _include(constraint.include, meta, database)))})"
    if constraint.condition is not None:
        body += f" WHERE ({_condition(constraint.condition, model, database)})"
    if constraint.deferrable is not None:
        kind = "DEFERRED" if constraint.deferrable is Deferrable.DEFERRED else "IMMEDIATE"
        body += f" DEFERRABLE INITIALLY {kind}"
    return ExclusionDef(constraint.name, body)
