"""Fields of PostgreSQL's container types: arrays, hstore, and text that ignores case."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm.db.types import CITEXT, HSTORE, SqlType
from dorm.exceptions import ImproperlyConfigured, ValidationError
from dorm.fields.base import Field
from dorm.fields.options import TextOptions
from dorm.fields.text import TextField
from dorm.validators import MaxLengthValidator

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect

T = TypeVar("T")
B = TypeVar("B")


class ArrayMaxLengthValidator(MaxLengthValidator):
    """Accept lists of at most this many items."""

    message = "List contains %(show_value)d items, it should contain no more than %(limit_value)d."
    one_message = "List contains %(show_value)d item, it should contain no more than %(limit_value)d."


class ArrayField(Field[T]):
    """A list of values of one field, on PostgreSQL.

    Args:
        base_field: a field instance: what each item is. Another ArrayField makes an array of arrays.
        size: most items, checked by validation.
    """

    empty_strings_allowed = False
    description = "a list"
    default_error_messages: ClassVar[dict[str, str]] = {
        "item_invalid": "Item %(nth)s in the array did not validate:",
        "nested_array_mismatch": "Nested arrays must have the same length.",
        "invalid": "Enter a list of values.",
    }

    @overload
    def __init__(
        self: ArrayField[list[B]],
        base_field: Field[B],
        size: int | None = ...,
        *,
        verbose_name: str | None = ...,
        name: str | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: ArrayField[list[B] | None],
        base_field: Field[B],
        size: int | None = ...,
        *,
        verbose_name: str | None = ...,
        name: str | None = ...,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self,
        base_field: Any,
        size: int | None = None,
        *,
        verbose_name: str | None = None,
        name: str | None = None,
        null: bool = False,
        **options: Any,
    ) -> None:
        if not isinstance(base_field, Field) or base_field.is_relation:
            raise ImproperlyConfigured("the base_field of an ArrayField is a field instance, and no relation.")
        super().__init__(verbose_name, name, null=null, **options)
        self.base_field: Field[Any] = base_field
        self.size = size
        if size is not None:
            self.validators.append(ArrayMaxLengthValidator(size))

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs["base_field"] = self.base_field
        if self.size is not None:
            kwargs["size"] = self.size
        return name, path, args, kwargs

    def contribute_to_class(self, cls: Any, name: str) -> None:
        super().contribute_to_class(cls, name)
        self.base_field = self.base_field._part_of(cls, name)

    @property
    def sql_type(self) -> SqlType:
        return SqlType("array", element=self.base_field.sql_type)

    def db_type(self, connection: Any) -> str | None:
        # Asks the dialect first, which refuses arrays where it has none.
        connection.dialect.column_type(self.sql_type)
        return f"{self.base_field.db_type(connection)}[{self.size or ''}]"

    # -- values --------------------------------------------------------------------------------------------------
    def prepare(self, value: Any) -> Any:
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            self.refuse(value)
        return [self.base_field.get_prep_value(item) for item in value]

    def bind(self, dialect: Dialect) -> Converter | None:
        return _each(self.base_field.bind(dialect))

    def load(self, dialect: Dialect) -> Converter | None:
        unpack, each = dialect.loader(self.sql_type), _each(self.base_field.load(dialect))
        if unpack is None or each is None:
            return unpack or each
        whole, items = unpack, each
        return lambda value: items(whole(value))

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as exc:
                raise self.invalid(value) from exc
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            raise self.invalid(value)
        return [self.base_field.to_python(item) for item in value]

    def value_to_string(self, obj: Any) -> str:
        return json.dumps(self.value_from_object(obj), default=str)

    # -- validation ----------------------------------------------------------------------------------------------
    def validate(self, value: Any, instance: Any) -> None:
        super().validate(value, instance)
        for index, item in enumerate(value or ()):
            self._item(index, item, lambda part: self.base_field.validate(part, instance))
        if isinstance(self.base_field, ArrayField) and len({len(item) for item in value or () if item is not None}) > 1:
            raise ValidationError(self.error_messages["nested_array_mismatch"], code="nested_array_mismatch")

    def run_validators(self, value: Any) -> None:
        super().run_validators(value)
        for index, item in enumerate(value or ()):
            self._item(index, item, self.base_field.run_validators)

    def _item(self, index: int, item: Any, check: Callable[[Any], None]) -> None:
        try:
            check(item)
        except ValidationError as exc:
            errors = [
                ValidationError(
                    f"{self.error_messages['item_invalid']} {error.message}",
                    code="item_invalid",
                    params={"nth": index + 1, **(error.params or {})},
                )
                for error in exc.error_list
            ]
            raise ValidationError(errors) from exc


def _each(convert: Converter | None) -> Converter | None:
    """Return *convert* for every item of a list but NULL; None when nothing must be done."""
    if convert is None:
        return None
    return lambda items: [None if item is None else convert(item) for item in items]


class HStoreField(Field[T]):
    """A dict of texts to texts or None: hstore on PostgreSQL, JSON elsewhere."""

    empty_strings_allowed = False
    description = "a dict of texts"
    default_error_messages: ClassVar[dict[str, str]] = {
        "not_a_string": "The value of “%(key)s” is not a string or null.",
        "invalid_json": "Could not load JSON data.",
        "invalid_format": "Input must be a JSON dictionary.",
    }

    @overload
    def __init__(
        self: HStoreField[dict[str, str | None]],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: HStoreField[dict[str, str | None] | None],
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
        return HSTORE

    def prepare(self, value: Any) -> Any:
        if not isinstance(value, dict):
            self.refuse(value)
        return {str(key): None if item is None else str(item) for key, item in value.items()}

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as exc:
                raise self.invalid(value, "invalid_json") from exc
        if value is not None and not isinstance(value, dict):
            raise self.invalid(value, "invalid_format")
        return value

    def validate(self, value: Any, instance: Any) -> None:
        super().validate(value, instance)
        for key, item in (value or {}).items():
            if item is not None and not isinstance(item, str):
                raise ValidationError(self.error_messages["not_a_string"], code="not_a_string", params={"key": key})

    def value_to_string(self, obj: Any) -> str:
        return json.dumps(self.value_from_object(obj))


class CITextField(TextField[T]):
    """Text that compares without regard to case: citext on PostgreSQL, the collation NOCASE on SQLite (ASCII only)."""

    @overload
    def __init__(
        self: CITextField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CITextField[str | None],
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

    @property
    def sql_type(self) -> SqlType:
        return CITEXT
