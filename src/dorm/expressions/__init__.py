"""Expressions of the query language (public names; see the modules beside this one)."""

from dorm.expressions.conditional import Case, When
from dorm.expressions.core import CombinedExpression, Expression, ExpressionWrapper, F, OrderBy, Value
from dorm.expressions.filtered import FilteredRelation
from dorm.expressions.func import Func
from dorm.expressions.predicate import Q
from dorm.expressions.raw import RawSQL
from dorm.expressions.subquery import ArraySubquery, Exists, OuterRef, Subquery
from dorm.expressions.window import RowRange, ValueRange, Window, WindowFrame, WindowFrameExclusion

__all__ = [
    "ArraySubquery",
    "Case",
    "CombinedExpression",
    "Exists",
    "Expression",
    "ExpressionWrapper",
    "F",
    "FilteredRelation",
    "Func",
    "OrderBy",
    "OuterRef",
    "Q",
    "RawSQL",
    "RowRange",
    "Subquery",
    "Value",
    "ValueRange",
    "When",
    "Window",
    "WindowFrame",
    "WindowFrameExclusion",
]
