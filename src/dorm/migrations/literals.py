"""Values and expressions as SQL text, for DDL, where parameters cannot stand."""

from __future__ import annotations

from typing import Any

from dorm.db.connection import Database
from dorm.exceptions import NotSupportedError


def literal_value(value: Any, field: Any, database: Database) -> str:
    """Return a value of *field* as the text of a literal."""
    prepared = field.get_prep_value(value)
    bind = field.bind(database.dialect)
    if prepared is not None and bind is not None:
        prepared = bind(prepared)
    return database.dialect.literal(prepared, field.sql_type)


def literal_expression(value: Any, field: Any, database: Database) -> str:
    """Return a default made by the database, or the expression of a generated column, as text."""
    if hasattr(value, "resolve"):
        raise NotSupportedError(f"{field}: expressions cannot be written into tables yet.")
    return literal_value(value, field, database)
