"""Values and expressions as SQL text, for DDL, where parameters cannot stand."""

from __future__ import annotations

from typing import Any

from dorm.db.connection import Database
from dorm.models.ddl import expression_text
from dorm.sql.node import Node


def literal_value(value: Any, field: Any, database: Database) -> str:
    """Return a value of *field* as the text of a literal."""
    prepared = field.get_prep_value(value)
    bind = field.bind(database.dialect)
    if prepared is not None and bind is not None:
        prepared = bind(prepared)
    return database.dialect.literal(prepared, field.sql_type)


def literal_expression(value: Any, field: Any, database: Database) -> str:
    """Return a default made by the database as text."""
    if isinstance(value, Node):
        return f"({expression_text(value, field.model, database.dialect)})"
    return literal_value(value, field, database)


def generated_expression(field: Any, database: Database) -> str:
    """Return the expression of a generated column, which may have been given as SQL text."""
    given = field.expression
    return given if isinstance(given, str) else expression_text(given, field.model, database.dialect)
