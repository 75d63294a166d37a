"""Fields of numbers and booleans, and the keys that the database counts."""

from __future__ import annotations

import decimal
import math
from typing import Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm.db.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, INTEGER_RANGES, SMALLINT, SqlType
from dorm.exceptions import ImproperlyConfigured, InvalidValue, OutOfRange
from dorm.fields.base import Field
from dorm.fields.options import TextOptions
from dorm.sql.exact import passes
from dorm.validators import DecimalValidator, MaxValueValidator, MinValueValidator

T = TypeVar("T")


class IntegerField(Field[T]):
    """A whole number of 32 bits."""

    empty_strings_allowed = False
    description = "a whole number"
    default_error_messages: ClassVar[dict[str, str]] = {"invalid": "“%(value)s” value must be an integer."}
    kind: ClassVar[SqlType] = INTEGER

    @overload
    def __init__(
        self: IntegerField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: IntegerField[int | None],
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
        lowest, self._highest = INTEGER_RANGES[self.kind.kind]
        self._lowest = 0 if self.kind.unsigned else lowest
        self._add_range_validators()

    def _add_range_validators(self) -> None:
        """Validate the range of the column, unless a validator given is at least as strict."""
        limits = [
            (validator, validator.limit)
            for validator in self.validators
            if isinstance(validator, (MinValueValidator, MaxValueValidator))
        ]
        if not any(isinstance(each, MinValueValidator) and limit >= self._lowest for each, limit in limits):
            self.validators.append(MinValueValidator(self._lowest))
        if not any(isinstance(each, MaxValueValidator) and limit <= self._highest for each, limit in limits):
            self.validators.append(MaxValueValidator(self._highest))

    @property
    def sql_type(self) -> SqlType:
        return self.kind

    @classmethod
    def type_for(cls, field: Field[Any]) -> SqlType:
        return cls.kind

    def to_python(self, value: Any) -> Any:
        if value is None:
            return None
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError) as exc:
            raise self.invalid(value) from exc

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest number of the column."""
        return self._lowest, self._highest

    @passes(int)
    def prepare(self, value: Any) -> Any:
        number = value if type(value) is int else self._number(value)
        if self._lowest <= number <= self._highest:
            return number
        raise OutOfRange(
            f"{self} ({type(self).__name__}) takes whole numbers from {self._lowest} to {self._highest}: "
            "the value is out of range."
        )

    def _number(self, value: Any) -> int:
        value = self.unwrapped(value)
        if isinstance(value, float) and not value.is_integer() and math.isfinite(value):
            raise OutOfRange(f"{self} ({type(self).__name__}) takes {self.description}: the value has a fraction.")
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError):
            self.refuse(value)


class SmallIntegerField(IntegerField[T]):
    """A whole number of 16 bits."""

    kind = SMALLINT

    @overload
    def __init__(
        self: SmallIntegerField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: SmallIntegerField[int | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class BigIntegerField(IntegerField[T]):
    """A whole number of 64 bits."""

    kind = BIGINT

    @overload
    def __init__(
        self: BigIntegerField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BigIntegerField[int | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class PositiveIntegerField(IntegerField[T]):
    """A whole number from 0 to 2**31 - 1; the database checks that it is not negative."""

    kind = SqlType("integer", unsigned=True)
    plain: ClassVar[SqlType] = INTEGER

    @property
    def rel_sql_type(self) -> SqlType:
        return self.plain

    @overload
    def __init__(
        self: PositiveIntegerField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: PositiveIntegerField[int | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class PositiveSmallIntegerField(PositiveIntegerField[T]):
    """A whole number from 0 to 2**15 - 1."""

    kind = SqlType("smallint", unsigned=True)
    plain = SMALLINT

    @overload
    def __init__(
        self: PositiveSmallIntegerField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: PositiveSmallIntegerField[int | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class PositiveBigIntegerField(PositiveIntegerField[T]):
    """A whole number from 0 to 2**63 - 1."""

    kind = SqlType("bigint", unsigned=True)
    plain = BIGINT

    @overload
    def __init__(
        self: PositiveBigIntegerField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: PositiveBigIntegerField[int | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class AutoField(IntegerField[T]):
    """A key of 32 bits that the database counts."""

    kind = SqlType("integer", auto=True)
    plain: ClassVar[SqlType] = INTEGER

    @overload
    def __init__(
        self: AutoField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: AutoField[int | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        options["blank"] = True
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals

    def contribute_to_class(self, cls: Any, name: str) -> None:
        # Only here: without it the field is a type still, as in Cast("text", AutoField()).
        if not self.primary_key:
            raise ImproperlyConfigured(f"{cls.__name__}.{name}: {type(self).__name__} must set primary_key=True.")
        super().contribute_to_class(cls, name)

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["blank"]
        kwargs["primary_key"] = True
        return name, path, args, kwargs

    @property
    def rel_sql_type(self) -> SqlType:
        return self.plain

    def validate(self, value: Any, instance: Any) -> None:
        # The database gives the value.
        return

    def _add_range_validators(self) -> None:
        return


class BigAutoField(AutoField[T]):
    """A key of 64 bits that the database counts."""

    kind = SqlType("bigint", auto=True)
    plain = BIGINT

    @overload
    def __init__(
        self: BigAutoField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BigAutoField[int | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class SmallAutoField(AutoField[T]):
    """A key of 16 bits that the database counts."""

    kind = SqlType("smallint", auto=True)
    plain = SMALLINT

    @overload
    def __init__(
        self: SmallAutoField[int],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: SmallAutoField[int | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


_TRUE = ("t", "True", "true", "1")
_FALSE = ("f", "False", "false", "0")


class BooleanField(Field[T]):
    """True or False."""

    empty_strings_allowed = False
    description = "True or False"
    default_error_messages: ClassVar[dict[str, str]] = {
        "invalid": "“%(value)s” value must be either True or False.",
        "invalid_nullable": "“%(value)s” value must be either True, False, or None.",
    }

    @overload
    def __init__(
        self: BooleanField[bool],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BooleanField[bool | None],
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

    @property
    def sql_type(self) -> SqlType:
        return BOOLEAN

    def to_python(self, value: Any) -> Any:
        if self.null and value in self.empty_values:
            return None
        try:
            return self.own_prepare(value)
        except InvalidValue as exc:
            raise self.invalid(value, "invalid_nullable" if self.null else "invalid") from exc

    @passes(bool)
    def prepare(self, value: Any) -> Any:
        if value is True or value is False:
            return value
        if isinstance(value, str):
            if value in _TRUE:
                return True
            if value in _FALSE:
                return False
        elif value in (0, 1):
            return bool(value)
        self.refuse(value)


class NullBooleanField(BooleanField[bool | None]):
    """A `BooleanField` that may be NULL."""

    internal_type = "BooleanField"

    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, **options: Unpack[TextOptions]
    ) -> None:
        super().__init__(verbose_name, name, null=True, **options)

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["null"]
        return name, path, args, kwargs


class FloatField(Field[T]):
    """A floating-point number of 64 bits."""

    empty_strings_allowed = False
    description = "a number"
    default_error_messages: ClassVar[dict[str, str]] = {"invalid": "“%(value)s” value must be a float."}

    @overload
    def __init__(
        self: FloatField[float],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FloatField[float | None],
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

    @property
    def sql_type(self) -> SqlType:
        return DOUBLE

    @passes(float)
    def prepare(self, value: Any) -> Any:
        if type(value) is float:
            return value
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            self.refuse(value)


class DecimalField(Field[T]):
    """An exact decimal number.

    Args:
        max_digits: digits in all. decimal_places: digits behind the point.
    """

    empty_strings_allowed = False
    description = "a decimal number"
    default_error_messages: ClassVar[dict[str, str]] = {"invalid": "“%(value)s” value must be a decimal number."}

    @overload
    def __init__(
        self: DecimalField[decimal.Decimal],
        verbose_name: str | None = ...,
        name: str | None = ...,
        max_digits: int = ...,
        decimal_places: int = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DecimalField[decimal.Decimal | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        max_digits: int = ...,
        decimal_places: int = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        max_digits: int = 10,
        decimal_places: int = 2,
        *,
        null: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)
        if not 0 <= decimal_places <= max_digits or max_digits < 1:
            raise ImproperlyConfigured("DecimalField needs 0 <= decimal_places <= max_digits and max_digits >= 1.")
        self.max_digits = max_digits
        self.decimal_places = decimal_places
        self.validators.append(DecimalValidator(max_digits, decimal_places))
        self._step = decimal.Decimal(1).scaleb(-decimal_places)
        self._context = decimal.Context(prec=max_digits, traps=[decimal.InvalidOperation])

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs["max_digits"] = self.max_digits
        kwargs["decimal_places"] = self.decimal_places
        return name, path, args, kwargs

    @property
    def sql_type(self) -> SqlType:
        return SqlType("numeric", precision=self.max_digits, scale=self.decimal_places)

    def to_python(self, value: Any) -> Any:
        if value is None:
            return None
        try:
            # As Django: a float is read with the digits the column can hold, not with its binary expansion.
            exact = self._context.create_decimal_from_float if isinstance(value, float) else decimal.Decimal
            number = exact(value)
        except (decimal.InvalidOperation, TypeError, ValueError) as exc:
            raise self.invalid(value) from exc
        if not number.is_finite():
            raise self.invalid(value)
        return number

    def prepare(self, value: Any) -> Any:
        number = self._number(value)
        try:
            return number.quantize(self._step, context=self._context)
        except decimal.InvalidOperation:
            self.refuse(value, f"at most {self.max_digits} digits, {self.decimal_places} behind the point")

    def prepare_compared(self, value: Any) -> Any:
        """Return the number that a condition compares the column with: all its digits, also those no row can have."""
        return self.prepare(value) if self.is_customised else self._number(value)

    def _number(self, value: Any) -> decimal.Decimal:
        """Return *value* as a finite decimal with all its digits."""
        try:
            if isinstance(value, float):
                value = self._context.create_decimal_from_float(value)
            number = value if isinstance(value, decimal.Decimal) else decimal.Decimal(value)
        except (decimal.InvalidOperation, TypeError, ValueError):
            self.refuse(value)
        if not number.is_finite():
            self.refuse(value, "it is not finite")
        return number
