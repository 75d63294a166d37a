"""Expressions of the query language (public names; see the modules beside this one)."""

from dorm.expressions.core import Cast, CombinedExpression, Expression, ExpressionWrapper, F, Func, OrderBy, Value
from dorm.expressions.predicate import Q

__all__ = ["Cast", "CombinedExpression", "Expression", "ExpressionWrapper", "F", "Func", "OrderBy", "Q", "Value"]
