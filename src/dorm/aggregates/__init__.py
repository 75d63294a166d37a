"""Aggregates (`dorm.aggregates`)."""

from dorm.aggregates.base import Aggregate
from dorm.aggregates.lists import (
    ArrayAgg,
    BitAnd,
    BitOr,
    BitXor,
    BoolAnd,
    BoolOr,
    Corr,
    CovarPop,
    JSONBAgg,
    Mode,
    PercentileCont,
    PercentileDisc,
    RegrAvgX,
    RegrAvgY,
    RegrCount,
    RegrIntercept,
    RegrR2,
    RegrSlope,
    RegrSXX,
    RegrSXY,
    RegrSYY,
    StringAgg,
)
from dorm.aggregates.standard import Avg, Count, Max, Min, StdDev, Sum, Variance

__all__ = [
    "Aggregate", "ArrayAgg", "Avg", "BitAnd", "BitOr", "BitXor", "BoolAnd", "BoolOr", "Corr", "Count", "CovarPop",
    "JSONBAgg", "Max", "Min", "Mode", "PercentileCont", "PercentileDisc", "RegrAvgX", "RegrAvgY", "RegrCount",
    "RegrIntercept", "RegrR2", "RegrSXX", "RegrSXY", "RegrSYY", "RegrSlope", "StdDev", "StringAgg", "Sum", "Variance",
]  # fmt: skip
