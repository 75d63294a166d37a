"""Database functions (`dorm.functions`)."""

from typing import TYPE_CHECKING

from dorm.lazy import lazily

if TYPE_CHECKING:
    from dorm.functions.conversion import (
        Cast as Cast,
        Coalesce as Coalesce,
        Greatest as Greatest,
        Least as Least,
        NullIf as NullIf,
    )
    from dorm.functions.dates import (
        Extract as Extract,
        ExtractDay as ExtractDay,
        ExtractHour as ExtractHour,
        ExtractIsoWeekDay as ExtractIsoWeekDay,
        ExtractIsoYear as ExtractIsoYear,
        ExtractMinute as ExtractMinute,
        ExtractMonth as ExtractMonth,
        ExtractQuarter as ExtractQuarter,
        ExtractSecond as ExtractSecond,
        ExtractWeek as ExtractWeek,
        ExtractWeekDay as ExtractWeekDay,
        ExtractYear as ExtractYear,
        Now as Now,
        Trunc as Trunc,
        TruncDate as TruncDate,
        TruncDay as TruncDay,
        TruncHour as TruncHour,
        TruncMinute as TruncMinute,
        TruncMonth as TruncMonth,
        TruncQuarter as TruncQuarter,
        TruncSecond as TruncSecond,
        TruncTime as TruncTime,
        TruncWeek as TruncWeek,
        TruncYear as TruncYear,
    )
    from dorm.functions.json import (
        JSONArray as JSONArray,
        JSONObject as JSONObject,
    )
    from dorm.functions.numbers import (
        Abs as Abs,
        ACos as ACos,
        ASin as ASin,
        ATan as ATan,
        ATan2 as ATan2,
        Ceil as Ceil,
        Cos as Cos,
        Cot as Cot,
        Degrees as Degrees,
        Exp as Exp,
        Floor as Floor,
        Ln as Ln,
        Log as Log,
        Mod as Mod,
        Pi as Pi,
        Power as Power,
        Radians as Radians,
        Random as Random,
        Round as Round,
        Sign as Sign,
        Sin as Sin,
        Sqrt as Sqrt,
        Tan as Tan,
    )
    from dorm.functions.server import (
        RandomUUID as RandomUUID,
        TransactionNow as TransactionNow,
    )
    from dorm.functions.text import (
        MD5 as MD5,
        SHA1 as SHA1,
        SHA224 as SHA224,
        SHA256 as SHA256,
        SHA384 as SHA384,
        SHA512 as SHA512,
        Chr as Chr,
        Collate as Collate,
        Concat as Concat,
        Left as Left,
        Length as Length,
        Lower as Lower,
        LPad as LPad,
        LTrim as LTrim,
        Ord as Ord,
        Repeat as Repeat,
        Replace as Replace,
        Reverse as Reverse,
        Right as Right,
        RPad as RPad,
        RTrim as RTrim,
        StrIndex as StrIndex,
        Substr as Substr,
        Trim as Trim,
        Upper as Upper,
    )
    from dorm.functions.window import (
        CumeDist as CumeDist,
        DenseRank as DenseRank,
        FirstValue as FirstValue,
        Lag as Lag,
        LastValue as LastValue,
        Lead as Lead,
        NthValue as NthValue,
        NTile as NTile,
        Ntile as Ntile,
        PercentRank as PercentRank,
        Rank as Rank,
        RowNumber as RowNumber,
    )
    from dorm.lookups.json import (
        KT as KT,
        KeyTextTransform as KeyTextTransform,
        KeyTransform as KeyTransform,
    )

__getattr__, __dir__ = lazily(
    __name__,
    {
        "dorm.functions.conversion": (
            "Cast", "Coalesce", "Greatest", "Least", "NullIf",
        ),
        "dorm.functions.dates": (
            "Extract", "ExtractDay", "ExtractHour", "ExtractIsoWeekDay", "ExtractIsoYear", "ExtractMinute",
            "ExtractMonth", "ExtractQuarter", "ExtractSecond", "ExtractWeek", "ExtractWeekDay", "ExtractYear", "Now",
            "Trunc", "TruncDate", "TruncDay", "TruncHour", "TruncMinute", "TruncMonth", "TruncQuarter", "TruncSecond",
            "TruncTime", "TruncWeek", "TruncYear",
        ),
        "dorm.functions.json": (
            "JSONArray", "JSONObject",
        ),
        "dorm.functions.numbers": (
            "Abs", "ACos", "ASin", "ATan", "ATan2", "Ceil", "Cos", "Cot", "Degrees", "Exp", "Floor", "Ln", "Log",
            "Mod", "Pi", "Power", "Radians", "Random", "Round", "Sign", "Sin", "Sqrt", "Tan",
        ),
        "dorm.functions.server": (
            "RandomUUID", "TransactionNow",
        ),
        "dorm.functions.text": (
            "MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "Chr", "Collate", "Concat", "Left", "Length",
            "Lower", "LPad", "LTrim", "Ord", "Repeat", "Replace", "Reverse", "Right", "RPad", "RTrim", "StrIndex",
            "Substr", "Trim", "Upper",
        ),
        "dorm.functions.window": (
            "CumeDist", "DenseRank", "FirstValue", "Lag", "LastValue", "Lead", "NthValue", "NTile", "Ntile",
            "PercentRank", "Rank", "RowNumber",
        ),
        "dorm.lookups.json": (
            "KT", "KeyTextTransform", "KeyTransform",
        ),
    },
)  # fmt: skip
