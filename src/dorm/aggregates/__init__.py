"""Aggregates (`dorm.aggregates`)."""

from typing import TYPE_CHECKING

from dorm.lazy import lazily

if TYPE_CHECKING:
    from dorm.aggregates.base import (
        Aggregate as Aggregate,
    )
    from dorm.aggregates.lists import (
        ArrayAgg as ArrayAgg,
        BitAnd as BitAnd,
        BitOr as BitOr,
        BitXor as BitXor,
        BoolAnd as BoolAnd,
        BoolOr as BoolOr,
        Corr as Corr,
        CovarPop as CovarPop,
        JSONBAgg as JSONBAgg,
        Mode as Mode,
        PercentileCont as PercentileCont,
        PercentileDisc as PercentileDisc,
        RegrAvgX as RegrAvgX,
        RegrAvgY as RegrAvgY,
        RegrCount as RegrCount,
        RegrIntercept as RegrIntercept,
        RegrR2 as RegrR2,
        RegrSlope as RegrSlope,
        RegrSXX as RegrSXX,
        RegrSXY as RegrSXY,
        RegrSYY as RegrSYY,
        StringAgg as StringAgg,
    )
    from dorm.aggregates.standard import (
        Avg as Avg,
        Count as Count,
        Max as Max,
        Min as Min,
        StdDev as StdDev,
        Sum as Sum,
        Variance as Variance,
    )

__getattr__, __dir__ = lazily(
    __name__,
    {
        "dorm.aggregates.base": (
            "Aggregate",
        ),
        "dorm.aggregates.lists": (
            "ArrayAgg", "BitAnd", "BitOr", "BitXor", "BoolAnd", "BoolOr", "Corr", "CovarPop", "JSONBAgg", "Mode",
            "PercentileCont", "PercentileDisc", "RegrAvgX", "RegrAvgY", "RegrCount", "RegrIntercept", "RegrR2",
            "RegrSlope", "RegrSXX", "RegrSXY", "RegrSYY", "StringAgg",
        ),
        "dorm.aggregates.standard": (
            "Avg", "Count", "Max", "Min", "StdDev", "Sum", "Variance",
        ),
    },
)  # fmt: skip
