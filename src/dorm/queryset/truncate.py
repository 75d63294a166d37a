"""`dates` and `datetimes`: the different moments of a field, cut to a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

DATE_KINDS = ("year", "quarter", "month", "week", "day")
MOMENT_KINDS = (*DATE_KINDS, "hour", "minute", "second")
_NAME, _PLAIN = "datefield", "plain_field"


def dates(qs: QuerySet[Any, Any], name: str, kind: str, order: str) -> QuerySet[Any, Any]:
    """Return the different dates of a field."""
    from dorm.fields import DateField
    from dorm.functions import Trunc

    _check(kind, order, DATE_KINDS)
    _check_field(qs, name)
    return _distinct(qs, name, Trunc(name, kind, output_field=DateField()), order)


def datetimes(qs: QuerySet[Any, Any], name: str, kind: str, order: str, tzinfo: Any) -> QuerySet[Any, Any]:
    """Return the different moments of a field."""
    from dorm.fields import DateTimeField
    from dorm.functions import Trunc

    _check(kind, order, MOMENT_KINDS)
    _check_field(qs, name)
    return _distinct(qs, name, Trunc(name, kind, output_field=DateTimeField(), tzinfo=tzinfo), order)


def _distinct(qs: QuerySet[Any, Any], name: str, expression: Any, order: str) -> QuerySet[Any, Any]:
    found = qs.filter(**{f"{name}__isnull": False}).annotate(**{_NAME: expression}).values_list(_NAME, flat=True)
    return found.distinct().order_by(_NAME if order == "ASC" else f"-{_NAME}")


def _check(kind: str, order: str, kinds: tuple[str, ...]) -> None:
    if kind not in kinds:
        raise ValueError(f"'kind' must be one of {', '.join(map(repr, kinds[:-1]))}, or {kinds[-1]!r}.")
    if order not in ("ASC", "DESC"):
        raise ValueError("'order' must be either 'ASC' or 'DESC'.")


def _check_field(qs: QuerySet[Any, Any], name: str) -> None:
    from dorm.models.resolve import Resolver

    output = Resolver(qs._plan.query, 0, "dates").reference(name).output
    if output is None or output.sql_type.kind not in ("date", "timestamp", "timestamptz"):
        raise TypeError(f"{name!r} isn't a DateField or DateTimeField.")
