"""EnumField: members of an enumeration in, members out."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from dorm.db.types import BIGINT, INTEGER, INTEGER_RANGES, SqlType
from dorm.exceptions import ImproperlyConfigured
from dorm.fields.base import Field
from dorm.fields.options import PlainOptions

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect

T = TypeVar("T")
E = TypeVar("E", bound=enum.Enum)


class EnumField(Field[T]):
    """A member of an enumeration whose values are all texts or all whole numbers; its value is what is stored.

    Args:
        enum_cls: the enumeration.
        max_length: characters of the column, for texts (default: the longest value, at least 20).
        native: store it as a type of its own (CREATE TYPE) where the backend has such; elsewhere as text.
        type_name: name of that type (default: the enumeration's name in lower case).
    """

    empty_strings_allowed = False
    description = "a member of its enumeration, or a member's value"

    @overload
    def __init__(
        self: EnumField[E],
        enum_cls: type[E],
        max_length: int | None = ...,
        native: bool = ...,
        type_name: str | None = ...,
        *,
        verbose_name: str | None = ...,
        name: str | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[PlainOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: EnumField[E | None],
        enum_cls: type[E],
        max_length: int | None = ...,
        native: bool = ...,
        type_name: str | None = ...,
        *,
        verbose_name: str | None = ...,
        name: str | None = ...,
        null: Literal[True],
        **options: Unpack[PlainOptions],
    ) -> None: ...
    def __init__(
        self,
        enum_cls: Any,
        max_length: int | None = None,
        native: bool = False,
        type_name: str | None = None,
        *,
        verbose_name: str | None = None,
        name: str | None = None,
        null: bool = False,
        **options: Any,
    ) -> None:
        if not (isinstance(enum_cls, type) and issubclass(enum_cls, enum.Enum)) or not enum_cls.__members__:
            raise ImproperlyConfigured("EnumField takes an enumeration (a subclass of enum.Enum with members).")
        self.enum_cls = enum_cls
        values = [member.value for member in enum_cls]
        self.is_text = all(isinstance(value, str) for value in values)
        if not self.is_text and not all(type(value) is int for value in values):
            raise ImproperlyConfigured(
                f"the values of {enum_cls.__name__} are neither all texts nor all whole numbers."
            )
        if native and not self.is_text:
            raise ImproperlyConfigured(f"a native EnumField needs texts as values, which {enum_cls.__name__} has not.")
        longest = max(map(len, values)) if self.is_text else 0
        if max_length is not None and max_length < longest:
            raise ImproperlyConfigured(f"max_length={max_length} is too short for a value of {enum_cls.__name__}.")
        self._given_choices = options.get("choices")
        if self._given_choices is None:
            options["choices"] = [(member.value, _label(member)) for member in enum_cls]
        self._given_length = max_length
        length = (max_length or max(longest, 20)) if self.is_text else None
        super().__init__(verbose_name, name, null=null, max_length=length, **options)
        self.native = native
        self.type_name = type_name

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("max_length", None)
        if self._given_choices is None:
            kwargs.pop("choices", None)
        kwargs["enum_cls"] = self.enum_cls
        if self._given_length is not None:
            kwargs["max_length"] = self._given_length
        if self.native:
            kwargs["native"] = True
        if self.type_name is not None:
            kwargs["type_name"] = self.type_name
        return name, path, args, kwargs

    @property
    def sql_type(self) -> SqlType:
        values = [member.value for member in self.enum_cls]
        if self.native:
            return SqlType("enum", name=self.type_name or self.enum_cls.__name__.lower(), values=tuple(values))
        if self.is_text:
            return SqlType("varchar", length=self.max_length)
        lowest, highest = INTEGER_RANGES["integer"]
        return INTEGER if all(lowest <= value <= highest for value in values) else BIGINT

    def prepare(self, value: Any) -> Any:
        if isinstance(value, self.enum_cls):
            return value.value
        try:
            return self.enum_cls(value).value
        except ValueError:
            self.refuse(value)

    def load(self, dialect: Dialect) -> Converter | None:
        load = super().load(dialect)
        member = self.enum_cls
        return member if load is None else lambda value: member(load(value))

    def to_python(self, value: Any) -> Any:
        if value is None or isinstance(value, self.enum_cls):
            return value
        if value == "" and self.blank:
            return None
        try:
            return self.enum_cls(value)
        except ValueError as exc:
            raise self.invalid(value, "invalid_choice") from exc

    def validate(self, value: Any, instance: Any) -> None:
        super().validate(value.value if isinstance(value, enum.Enum) else value, instance)

    @property
    def flatchoices(self) -> list[tuple[Any, Any]]:
        """(member, label) pairs: what an instance's attribute holds, whose value equals the member's."""
        members = [(self.enum_cls(value), label) for value, label in super().flatchoices if value in _values(self)]
        return [*members, *super().flatchoices]

    def value_to_string(self, obj: Any) -> Any:
        value = self.value_from_object(obj)
        return value.value if isinstance(value, enum.Enum) else value


def _values(field: EnumField[Any]) -> list[Any]:
    return [member.value for member in field.enum_cls]


def _label(member: Any) -> str:
    """Return the member's own label, else one made of its name."""
    label = getattr(member, "label", None)
    return label if isinstance(label, str) else str(member.name).replace("_", " ").title()
