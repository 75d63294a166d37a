"""Fields of PostgreSQL's ranges."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm import timezone
from dorm.conf.settings import settings
from dorm.db.types import Kind, Range, SqlType
from dorm.exceptions import ValidationError
from dorm.expressions.core import Expression
from dorm.fields.base import Field
from dorm.fields.numbers import BigIntegerField, DecimalField, IntegerField
from dorm.fields.options import ContinuousRangeOptions, TextOptions
from dorm.fields.temporal import DateField, DateTimeField
from dorm.sql.node import TEXT_OUTPUT

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.compiler import Compiler

T = TypeVar("T")

__all__ = [
    "BigIntegerRangeField",
    "DateRangeField",
    "DateTimeRangeField",
    "DecimalRangeField",
    "IntegerRangeField",
    "Range",
    "RangeBoundary",
    "RangeField",
    "RangeOperators",
]


class RangeOperators:
    """PostgreSQL's operators of ranges, for `ExclusionConstraint`.

    Source: https://www.postgresql.org/docs/current/functions-range.html
    """

    EQUAL = "="
    NOT_EQUAL = "<>"
    CONTAINS = "@>"
    CONTAINED_BY = "<@"
    OVERLAPS = "&&"
    FULLY_LT = "<<"
    FULLY_GT = ">>"
    NOT_LT = "&>"
    NOT_GT = "&<"
    ADJACENT_TO = "-|-"


class RangeBoundary(Expression):
    """Which bounds a range takes in, as the last argument of PostgreSQL's functions that make ranges.

    Args:
        inclusive_lower, inclusive_upper: whether the bound belongs to the range.
    """

    output = TEXT_OUTPUT

    def __init__(self, inclusive_lower: bool = True, inclusive_upper: bool = False) -> None:
        self.bounds = f"{'[' if inclusive_lower else '('}{']' if inclusive_upper else ')'}"

    def options(self) -> tuple[Hashable, ...]:
        return (self.bounds,)

    def sql(self, compiler: Compiler) -> str:
        return f"'{self.bounds}'"


class RangeField(Field[T]):
    """A range of values of one field, on PostgreSQL; a pair of bounds will do for a `Range`.

    Ranges of whole numbers and dates come back in the server's canonical form: ``[lower, upper)``.
    """

    empty_strings_allowed = False
    description = "a Range, or a list or tuple of two bounds"
    default_error_messages: ClassVar[dict[str, str]] = {"invalid": "Enter a valid range."}
    kind: ClassVar[Kind]
    base_field: ClassVar[type[Field[Any]]]
    is_continuous: ClassVar[bool] = False
    default_bounds: str = "[)"

    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        if "default_bounds" in options:
            self.default_bounds = _checked_bounds(type(self), options.pop("default_bounds"))
        super().__init__(verbose_name, name, null=null, **options)
        self.bound: Field[Any] = self.make_bound()

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.default_bounds != "[)":
            kwargs["default_bounds"] = self.default_bounds
        return name, path, args, kwargs

    def make_bound(self) -> Field[Any]:
        """Return the field of the bounds."""
        return self.base_field()

    def contribute_to_class(self, cls: Any, name: str) -> None:
        super().contribute_to_class(cls, name)
        self.bound = self.bound._part_of(cls, name)

    @property
    def sql_type(self) -> SqlType:
        return SqlType(self.kind, element=self.bound.sql_type)

    def prepare(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(value) == 2:
            value = Range(value[0], value[1], self.default_bounds)
        if not isinstance(value, Range):
            self.refuse(value)
        if value.empty:
            return value
        return Range(self.prepare_bound(value.lower), self.prepare_bound(value.upper), value.bounds)

    def prepare_bound(self, value: Any) -> Any:
        """Return one bound as it is bound."""
        return self.bound.get_prep_value(value)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as exc:
                raise self.invalid(value) from exc
            if isinstance(value, dict):
                value = Range(value.get("lower"), value.get("upper"), value.get("bounds", "[)"))
        if isinstance(value, (list, tuple)) and len(value) == 2:
            value = Range(value[0], value[1], self.default_bounds)
        if value is None:
            return None
        if not isinstance(value, Range):
            raise self.invalid(value)
        return Range(self.bound.to_python(value.lower), self.bound.to_python(value.upper), value.bounds, value.empty)

    def validate(self, value: Any, instance: Any) -> None:
        super().validate(value, instance)
        if value is not None and None not in (value.lower, value.upper) and value.lower > value.upper:
            raise ValidationError("The start of the range must not exceed the end of the range.", code="bound_ordering")

    def value_to_string(self, obj: Any) -> str:
        value = self.value_from_object(obj)
        if value is None or value.empty:
            return json.dumps(None if value is None else {"empty": True})
        return json.dumps({"lower": value.lower, "upper": value.upper, "bounds": value.bounds}, default=str)


def _checked_bounds(field: type[RangeField[Any]], given: Any) -> str:
    if not field.is_continuous:
        raise TypeError(f"Cannot use 'default_bounds' with {field.__name__}.")
    if given not in ("[)", "(]", "()", "[]"):
        raise ValueError("default_bounds must be one of '[)', '(]', '()', or '[]'.")
    return str(given)


class IntegerRangeField(RangeField[T]):
    """A range of whole numbers of 32 bits."""

    kind = "int4range"
    base_field = IntegerField

    @overload
    def __init__(
        self: IntegerRangeField[Range],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: IntegerRangeField[Range | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)


class BigIntegerRangeField(RangeField[T]):
    """A range of whole numbers of 64 bits."""

    kind = "int8range"
    base_field = BigIntegerField

    @overload
    def __init__(
        self: BigIntegerRangeField[Range],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BigIntegerRangeField[Range | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)


class DecimalRangeField(RangeField[T]):
    """A range of decimal numbers, of any number of digits.

    Args:
        default_bounds: which bounds a list or tuple of two takes in, ``"[)"`` unless said.
    """

    kind = "numrange"
    is_continuous = True
    base_field = DecimalField

    def prepare_bound(self, value: Any) -> Any:
        return value if value is None or isinstance(value, decimal.Decimal) else decimal.Decimal(str(value))

    @overload
    def __init__(
        self: DecimalRangeField[Range],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[ContinuousRangeOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DecimalRangeField[Range | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[ContinuousRangeOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)


class DateRangeField(RangeField[T]):
    """A range of dates."""

    kind = "daterange"
    base_field = DateField

    @overload
    def __init__(
        self: DateRangeField[Range],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DateRangeField[Range | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)


class DateTimeRangeField(RangeField[T]):
    """A range of moments; without ``USE_TZ`` naive ones of the default time zone.

    Args:
        default_bounds: which bounds a list or tuple of two takes in, ``"[)"`` unless said.
    """

    kind = "tstzrange"
    is_continuous = True
    base_field = DateTimeField

    def prepare_bound(self, value: Any) -> Any:
        found = self.bound.get_prep_value(value)
        if found is None or timezone.is_aware(found):
            return found
        return timezone.make_aware(found, timezone.get_default_timezone())

    def load(self, dialect: Dialect) -> Converter | None:
        load = super().load(dialect)
        if settings.USE_TZ or load is None:
            return load
        zone = timezone.get_default_timezone()

        def naive(moment: datetime.datetime | None) -> datetime.datetime | None:
            return None if moment is None else timezone.make_naive(moment, zone)

        def loaded(value: Any) -> Range:
            found: Range = load(value)
            return found if found.empty else Range(naive(found.lower), naive(found.upper), found.bounds)

        return loaded

    @overload
    def __init__(
        self: DateTimeRangeField[Range],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[ContinuousRangeOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DateTimeRangeField[Range | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[ContinuousRangeOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)
