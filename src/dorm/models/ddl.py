"""Conditions and expressions over a model's own columns: as nodes to filter by, and as text for DDL."""

from __future__ import annotations

from typing import Any

from dorm.db.dialect import Dialect
from dorm.exceptions import FieldError
from dorm.expressions.predicate import Q
from dorm.models.resolve import Resolver
from dorm.sql.boolean import conjunction
from dorm.sql.literal import compile_literal
from dorm.sql.node import Literals, Node


def expression_text(expression: Node, model: Any, dialect: Dialect) -> str:
    """Return *expression* over columns of *model*'s table as text with literals.

    Raises: FieldError: it names a field of another table.
    """
    written = expression.normalised() if isinstance(expression, Q) else expression
    values = Literals()
    written.key(values)
    resolver = Resolver(model._meta.plan.query, 0, "Meta", filtering=False)
    if isinstance(written, Q):
        node = conjunction([part for parts in resolver.conditions(written) for part in parts])
        if node is None:
            raise FieldError("an empty condition demands nothing.")
    else:
        node = written.resolve(resolver)
    if resolver.joins:
        raise FieldError(
            f"{model._meta.label}: a constraint, an index or the expression of a column is about one table; "
            f"it names fields of {resolver.joins[0].table}."
        )
    prepared = [
        value if prepare is None else prepare(value) for prepare, value in zip(resolver.prepares, values, strict=True)
    ]
    return compile_literal(node, dialect, prepared)
