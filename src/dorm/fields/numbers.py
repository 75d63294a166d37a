"""Fields of numbers and booleans, and the keys that the database counts."""

from __future__ import annotations

import decimal
from typing import Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm.db.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, INTEGER_RANGES, SMALLINT, SqlType
from dorm.exceptions import ImproperlyConfigured, InvalidValue
from dorm.fields.base import Field
from dorm.fields.options import FieldOptions

T = TypeVar("T")


class IntegerField(Field[T]):
    """A whole number of 32 bits."""

    empty_strings_allowed = False
    description = "a whole number"
    kind: ClassVar[SqlType] = INTEGER

    @overload
    def __init__(self: IntegerField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]) -> None: ...
    @overload
    def __init__(self: IntegerField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)
        lowest, self._highest = INTEGER_RANGES[self.kind.kind]
        self._lowest = 0 if self.kind.unsigned else lowest

    @property
    def sql_type(self) -> SqlType:
        return self.kind

    def prepare(self, value: Any) -> Any:
        number = value if type(value) is int else self._number(value)
        if self._lowest <= number <= self._highest:
            return number
        raise InvalidValue(
            f"{self} ({type(self).__name__}) takes whole numbers from {self._lowest} to {self._highest}: "
            "the value is out of range."
        )

    def _number(self, value: Any) -> int:
        value = self.unwrapped(value)
        if isinstance(value, float) and not value.is_integer():
            self.refuse(value, "it has a fractional part")
        try:
            return int(value)
        except (TypeError, ValueError, OverflowError):
            self.refuse(value)


class SmallIntegerField(IntegerField[T]):
    """A whole number of 16 bits."""

    kind = SMALLINT

    @overload
    def __init__(
        self: SmallIntegerField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: SmallIntegerField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class BigIntegerField(IntegerField[T]):
    """A whole number of 64 bits."""

    kind = BIGINT

    @overload
    def __init__(
        self: BigIntegerField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: BigIntegerField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class PositiveIntegerField(IntegerField[T]):
    """A whole number from 0 to 2**31 - 1."""

    kind = SqlType("integer", unsigned=True)

    @overload
    def __init__(
        self: PositiveIntegerField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: PositiveIntegerField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class PositiveSmallIntegerField(IntegerField[T]):
    """A whole number from 0 to 2**15 - 1."""

    kind = SqlType("smallint", unsigned=True)

    @overload
    def __init__(
        self: PositiveSmallIntegerField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: PositiveSmallIntegerField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class PositiveBigIntegerField(IntegerField[T]):
    """A whole number from 0 to 2**63 - 1."""

    kind = SqlType("bigint", unsigned=True)

    @overload
    def __init__(
        self: PositiveBigIntegerField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: PositiveBigIntegerField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class AutoField(IntegerField[T]):
    """A key of 32 bits that the database counts."""

    kind = SqlType("integer", auto=True)
    plain: ClassVar[SqlType] = INTEGER

    @overload
    def __init__(self: AutoField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]) -> None: ...
    @overload
    def __init__(self: AutoField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        if not options.get("primary_key"):
            raise ImproperlyConfigured(f"{type(self).__name__} must set primary_key=True.")
        options.setdefault("blank", True)
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals

    @property
    def rel_sql_type(self) -> SqlType:
        return self.plain


class BigAutoField(AutoField[T]):
    """A key of 64 bits that the database counts."""

    kind = SqlType("bigint", auto=True)
    plain = BIGINT

    @overload
    def __init__(self: BigAutoField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]) -> None: ...
    @overload
    def __init__(self: BigAutoField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class SmallAutoField(AutoField[T]):
    """A key of 16 bits that the database counts."""

    kind = SqlType("smallint", auto=True)
    plain = SMALLINT

    @overload
    def __init__(self: SmallAutoField[int], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]) -> None: ...
    @overload
    def __init__(self: SmallAutoField[int | None], *, null: Literal[True], **options: Unpack[FieldOptions]) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals


class BooleanField(Field[T]):
    """True or False."""

    empty_strings_allowed = False
    description = "True or False"

    @overload
    def __init__(self: BooleanField[bool], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]) -> None: ...
    @overload
    def __init__(self: BooleanField[bool | None], *, null: Literal[True], **options: Unpack[FieldOptions]) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return BOOLEAN

    def prepare(self, value: Any) -> Any:
        if value is True or value is False:
            return value
        if value in (0, 1):
            return bool(value)
        if value in ("t", "True", "true", "1"):
            return True
        if value in ("f", "False", "false", "0"):
            return False
        self.refuse(value)


class FloatField(Field[T]):
    """A floating-point number of 64 bits."""

    empty_strings_allowed = False
    description = "a number"

    @overload
    def __init__(self: FloatField[float], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]) -> None: ...
    @overload
    def __init__(self: FloatField[float | None], *, null: Literal[True], **options: Unpack[FieldOptions]) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return DOUBLE

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

    @overload
    def __init__(
        self: DecimalField[decimal.Decimal],
        *,
        max_digits: int = ...,
        decimal_places: int = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DecimalField[decimal.Decimal | None],
        *,
        max_digits: int = ...,
        decimal_places: int = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(self, *, max_digits: int = 10, decimal_places: int = 2, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)
        if not 0 <= decimal_places <= max_digits or max_digits < 1:
            raise ImproperlyConfigured("DecimalField needs 0 <= decimal_places <= max_digits and max_digits >= 1.")
        self.max_digits = max_digits
        self.decimal_places = decimal_places
        self._step = decimal.Decimal(1).scaleb(-decimal_places)
        self._context = decimal.Context(prec=max_digits, traps=[decimal.InvalidOperation])

    @property
    def sql_type(self) -> SqlType:
        return SqlType("numeric", precision=self.max_digits, scale=self.decimal_places)

    def prepare(self, value: Any) -> Any:
        if isinstance(value, float):
            # As Django: a float is read with the digits the column can hold, not with its binary expansion.
            value = self._context.create_decimal_from_float(value) if value == value else value
        try:
            number = value if isinstance(value, decimal.Decimal) else decimal.Decimal(value)
            return number.quantize(self._step, context=self._context)
        except decimal.InvalidOperation:
            self.refuse(value, f"at most {self.max_digits} digits, {self.decimal_places} behind the point")
        except (TypeError, ValueError):
            self.refuse(value)
