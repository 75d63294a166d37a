"""Functions and collations that dorm registers on every connection, because SQLite lacks them."""

from __future__ import annotations

import datetime
import decimal
import functools
import json
import math
import re
from collections.abc import Callable
from typing import Any

import apsw

from dorm.db.backends.sqlite.fragments import canonical

# -- text --------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _regexp(*args: Any) -> bool | None:
    """``text REGEXP pattern``."""
    pattern, text = args
    if pattern is None or text is None:
        return None
    return _compiled(pattern).search(str(text)) is not None


def _textual(change: Callable[[str], str]) -> Callable[..., str | None]:
    """Return *change* for SQL: NULL stays NULL, other types are turned to text."""

    def function(*args: Any) -> str | None:
        (value,) = args
        return None if value is None else change(value if isinstance(value, str) else str(value))

    return function


def _pad(at_start: bool) -> Callable[..., str | None]:
    def function(*args: Any) -> str | None:
        if None in args:
            return None
        text, length, fill = str(args[0]), int(args[1]), str(args[2])
        missing = length - len(text)
        if missing <= 0 or not fill:
            return text[: max(length, 0)]
        filling = (fill * missing)[:missing]
        return filling + text if at_start else text + filling

    return function


def _repeat(*args: Any) -> str | None:
    text, number = args
    return None if text is None or number is None else str(text) * int(number)


def _digest(*args: Any) -> str | None:
    name, value = args
    if value is None:
        return None
    import hashlib

    data = value if isinstance(value, bytes) else str(value).encode()
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


# -- numbers -----------------------------------------------------------------------------------------------------


def _cot(*args: Any) -> float | None:
    (angle,) = args
    if angle is None:
        return None
    tangent = math.tan(angle)
    return math.inf if tangent == 0 else 1 / tangent


def _scaled(*args: Any) -> int | None:
    """Return a number, or text that is one, as a whole number of its last of *scale* digits."""
    value, scale = args
    if value is None:
        return None
    try:
        exact = decimal.Decimal(str(value).strip())
        return int(exact.scaleb(scale).to_integral_value(decimal.ROUND_HALF_UP))
    except (decimal.InvalidOperation, ValueError, OverflowError):
        return None


def _unscaled(*args: Any) -> str | None:
    value, scale = args
    return None if value is None else str(decimal.Decimal(value).scaleb(-scale))


def _decimal_op(*args: Any) -> str | None:
    """``dorm_decimal_op(operator, a, b)`` over decimals as text: exact, a quotient to 50 digits.

    Functions of one number are given any second one; ``round`` the digits behind the point.
    """
    operation, one, other = args
    if one is None or other is None:
        return None
    left, right = decimal.Decimal(str(one)), decimal.Decimal(str(other))
    if operation in ("/", "%") and not right:
        # As SQLite has it for its own numbers.
        return None
    return format(_DECIMAL_OPERATIONS[operation](left, right), "f")


def _decimal_fit(*args: Any) -> str | None:
    """``dorm_decimal_fit(value, scale)``: the decimal with *scale* digits behind the point, rounded half up."""
    value, scale = args
    if value is None:
        return None
    places = decimal.Decimal(1).scaleb(-scale)
    try:
        return format(decimal.Decimal(str(value).strip()).quantize(places, decimal.ROUND_HALF_UP, EXACT), "f")
    except decimal.InvalidOperation:
        # A text that is no number, as `_scaled` has it.
        return None


EXACT = decimal.Context(prec=1_000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
"""More digits than a column can have."""
_QUOTIENT = decimal.Context(prec=50, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)

_DECIMAL_OPERATIONS: dict[str, Callable[[decimal.Decimal, decimal.Decimal], decimal.Decimal]] = {
    "+": EXACT.add,
    "-": EXACT.subtract,
    "*": EXACT.multiply,
    "/": _QUOTIENT.divide,
    "%": EXACT.remainder,
    "abs": lambda value, _: abs(value),
    "sign": lambda value, _: decimal.Decimal((value > 0) - (value < 0)),
    "ceil": lambda value, _: value.to_integral_value(decimal.ROUND_CEILING),
    "floor": lambda value, _: value.to_integral_value(decimal.ROUND_FLOOR),
    "round": lambda value, places: value.quantize(
        decimal.Decimal(1).scaleb(-int(places)), decimal.ROUND_HALF_UP, EXACT
    ),
}


def _compare_decimals(one: str, other: str) -> int:
    """Order texts that are decimals by their value; texts that are none come after all decimals."""
    try:
        left, right = decimal.Decimal(one), decimal.Decimal(other)
    except decimal.InvalidOperation:
        return (one > other) - (one < other)
    return (left > right) - (left < right)


# -- dates -------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def _zone(name: str) -> datetime.tzinfo:
    """Return the zone of a name, or of an offset such as ``+05:30``."""
    if name[:1] in ("+", "-"):
        offset = datetime.timedelta(hours=int(name[1:3]), minutes=int(name[4:6]))
        return datetime.timezone(-offset if name[0] == "-" else offset)
    if name == "UTC":
        return datetime.UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def _local(text: str, zone: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).astimezone(_zone(zone))


def _at_zone(*args: Any) -> str | None:
    """Return the clock of a zone at a datetime that is stored in UTC."""
    text, zone = args
    return None if text is None or zone is None else _local(text, zone).replace(tzinfo=None).isoformat(" ")


_CUTS: dict[str, Callable[[datetime.datetime], datetime.datetime]] = {
    "second": lambda moment: moment.replace(microsecond=0),
    "minute": lambda moment: moment.replace(second=0, microsecond=0),
    "hour": lambda moment: moment.replace(minute=0, second=0, microsecond=0),
    "day": lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0),
    "week": lambda moment: _CUTS["day"](moment) - datetime.timedelta(days=moment.weekday()),
    "month": lambda moment: _CUTS["day"](moment).replace(day=1),
    "quarter": lambda moment: _CUTS["day"](moment).replace(day=1, month=(moment.month - 1) // 3 * 3 + 1),
    "year": lambda moment: _CUTS["day"](moment).replace(day=1, month=1),
}


def _trunc_zone(*args: Any) -> str | None:
    """Cut a datetime that is stored in UTC on the clock of a zone; the result is in UTC again."""
    text, unit, zone = args
    if text is None or zone is None:
        return None
    moment = _local(text, zone)
    cut = _CUTS[unit](moment.replace(tzinfo=None))
    # Units within the hour keep the side of a clock change on which the moment lies.
    aware = cut.replace(tzinfo=moment.tzinfo, fold=moment.fold if unit in ("hour", "minute", "second") else 0)
    return aware.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(" ")


def _iso(*args: Any) -> str | None:
    """Return text that is a date, time or datetime in the form in which dorm stores it; NULL for other text."""
    value, kind = args
    if value is None:
        return None
    try:
        if kind == "time":
            return datetime.time.fromisoformat(str(value)).replace(tzinfo=None).isoformat()
        moment = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return moment.date().isoformat() if kind == "date" else moment.isoformat(" ")


# -- JSON --------------------------------------------------------------------------------------------------------


def _json(*args: Any) -> str | None:
    """Return a document in the form in which equal ones are equal texts."""
    (text,) = args
    return None if text is None else canonical(str(text))


def _join(*args: Any) -> str | None:
    """Return the texts of a JSON list with a separator between them, NULLs left out; NULL when none is left."""
    listed, separator = args
    texts = [str(value) for value in json.loads(listed) if value is not None]
    return str(separator).join(texts) if texts else None


def _moment(text: str) -> datetime.datetime:
    """Return a stored date, time or datetime as a moment; times are on the first of January 1970."""
    if len(text) <= 15 and text[2:3] == ":":
        return datetime.datetime.combine(datetime.date(1970, 1, 1), datetime.time.fromisoformat(text))
    return datetime.datetime.fromisoformat(text)


def _moment_add(*args: Any) -> str | None:
    """``dorm_moment_add(kind, moment, microseconds)``: a date becomes a datetime, a time goes round the clock."""
    kind, text, microseconds = args
    if text is None or microseconds is None:
        return None
    moved = _moment(text) + datetime.timedelta(microseconds=int(microseconds))
    return moved.time().isoformat() if kind == "time" else moved.isoformat(" ")


def _moment_difference(*args: Any) -> int | None:
    """``dorm_moment_difference(later, earlier)`` in microseconds."""
    later, earlier = args
    if later is None or earlier is None:
        return None
    return (_moment(later) - _moment(earlier)) // datetime.timedelta(microseconds=1)


_EPOCH: datetime.datetime = datetime.datetime(1970, 1, 1)


def _seconds(moment: datetime.datetime) -> int:
    """Return the whole seconds since 1970; a fraction is cut off, also before it."""
    micro = (moment - _EPOCH) // datetime.timedelta(microseconds=1)
    return micro // 1_000_000 if micro >= 0 else -(-micro // 1_000_000)


_DATE_PARTS: dict[str, Callable[[datetime.datetime], int]] = {
    "century": lambda moment: (moment.year + 99) // 100,
    "decade": lambda moment: moment.year // 10,
    "epoch": _seconds,
    "julian": lambda moment: moment.toordinal() + 1_721_425,
    "microseconds": lambda moment: moment.second * 1_000_000 + moment.microsecond,
    "millennium": lambda moment: (moment.year + 999) // 1000,
    "milliseconds": lambda moment: moment.second * 1_000 + moment.microsecond // 1_000,
}


def _date_part(*args: Any) -> int | None:
    """``dorm_date_part(part, moment)``: the rarer parts of a date, time or datetime."""
    part, text = args
    return None if text is None else _DATE_PARTS[part](_moment(text))


def _bitxor(*args: Any) -> int | None:
    """``dorm_bitxor(a, b)``."""
    one, other = args
    return None if one is None or other is None else one ^ other


_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "regexp": (_regexp, 2),
    # SQLite's own know the case of ASCII letters alone; its ICU extension replaces them by the same names.
    "lower": (_textual(str.lower), 1),
    "upper": (_textual(str.upper), 1),
    "dorm_fold": (_textual(str.casefold), 1),
    "dorm_reverse": (_textual(lambda text: text[::-1]), 1),
    "dorm_lpad": (_pad(True), 3),
    "dorm_rpad": (_pad(False), 3),
    "dorm_repeat": (_repeat, 2),
    "dorm_digest": (_digest, 2),
    "dorm_cot": (_cot, 1),
    "dorm_scaled": (_scaled, 2),
    "dorm_unscaled": (_unscaled, 2),
    "dorm_decimal_op": (_decimal_op, 3),
    "dorm_decimal_fit": (_decimal_fit, 2),
    "dorm_at_zone": (_at_zone, 2),
    "dorm_date_part": (_date_part, 2),
    "dorm_trunc_zone": (_trunc_zone, 3),
    "dorm_json": (_json, 1),
    "dorm_join": (_join, 2),
    "dorm_iso": (_iso, 2),
    "dorm_bitxor": (_bitxor, 2),
    "dorm_moment_add": (_moment_add, 3),
    "dorm_moment_difference": (_moment_difference, 2),
}


_AGGREGATES = (
    "dorm_avg_decimal", "dorm_avg_scaled", "dorm_bit_and", "dorm_bit_or", "dorm_bit_xor", "dorm_mode",
    "dorm_stddev_pop", "dorm_stddev_samp", "dorm_sum_decimal", "dorm_var_pop", "dorm_var_samp",
)  # fmt: skip


def _aggregate(name: str) -> Any:
    """Return what an aggregate keeps for one group."""
    from dorm.db.backends.sqlite.aggregates import AGGREGATES

    return AGGREGATES[name]()


def register(db: apsw.Connection) -> None:
    """Register everything on a new connection."""
    for name, (function, arguments) in _FUNCTIONS.items():
        db.create_scalar_function(name, function, arguments, deterministic=True)
    db.create_collation("dorm_decimal", _compare_decimals)
    for name in _AGGREGATES:
        db.create_window_function(name, functools.partial(_aggregate, name), -1)
