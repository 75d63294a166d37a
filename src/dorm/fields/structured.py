"""Fields of structured values: JSON, UUID, bytes."""

from __future__ import annotations

import binascii
import json
import uuid
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm.db.types import BYTES, JSON, UUID, SqlType
from dorm.exceptions import InvalidOption, InvalidValue
from dorm.expressions.core import Value
from dorm.fields.base import Field
from dorm.fields.options import PlainOptions, TextOptions
from dorm.lookups.registry import fields_for_kind
from dorm.validators import MaxLengthValidator

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect

T = TypeVar("T")

_JSON_NULL = object()
"""JSON's null on its way into a row, where None is SQL's."""


class UUIDField(Field[T]):
    """A UUID."""

    empty_strings_allowed = False
    description = "a UUID, or text or a number that is one"
    default_error_messages: ClassVar[dict[str, str]] = {"invalid": "“%(value)s” is not a valid UUID."}

    @overload
    def __init__(
        self: UUIDField[uuid.UUID],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: UUIDField[uuid.UUID | None],
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
        return UUID

    def prepare(self, value: Any) -> Any:
        if isinstance(value, uuid.UUID):
            return value
        value = self.unwrapped(value)
        if isinstance(value, uuid.UUID):
            return value
        try:
            return uuid.UUID(int=value) if type(value) is int else uuid.UUID(value)
        except (AttributeError, TypeError, ValueError):
            self.refuse(value)


class JSONField(Field[Any]):
    """A JSON document: dicts, lists, text, numbers, booleans.

    None as a value of an instance is SQL NULL; ``Value(None, JSONField())`` is JSON's null.

    Args:
        encoder: subclass of json.JSONEncoder. decoder: subclass of json.JSONDecoder.
    """

    empty_strings_allowed = False
    description = "a value that JSON can hold"
    default_error_messages: ClassVar[dict[str, str]] = {"invalid": "Value must be valid JSON."}

    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        encoder: type[json.JSONEncoder] | None = None,
        decoder: type[json.JSONDecoder] | None = None,
        *,
        null: bool = False,
        **options: Unpack[TextOptions],
    ) -> None:
        for coder in (encoder, decoder):
            if coder is not None and not callable(coder):
                raise InvalidOption(
                    "the encoder and decoder of a JSONField are classes: each must be a callable object."
                )
        super().__init__(verbose_name, name, null=null, **options)
        self.encoder = encoder
        self.decoder = decoder

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.encoder is not None:
            kwargs["encoder"] = self.encoder
        if self.decoder is not None:
            kwargs["decoder"] = self.decoder
        return name, path, args, kwargs

    @property
    def sql_type(self) -> SqlType:
        return JSON

    def to_python(self, value: Any) -> Any:
        return value

    def validate(self, value: Any, instance: Any) -> None:
        super().validate(value, instance)
        try:
            self.prepare(value)
        except InvalidValue as exc:
            raise self.invalid(value) from exc

    def pre_save(self, instance: Any, add: bool) -> Any:
        value = super().pre_save(instance, add)
        return _JSON_NULL if isinstance(value, Value) and value.value is None else value

    def prepare(self, value: Any) -> Any:
        """Return the document as text: what every driver can bind, fixed at the time of the call."""
        if value is _JSON_NULL:
            return "null"
        try:
            return json.dumps(value, cls=self.encoder, allow_nan=False)
        except TypeError as exc:
            self.refuse(value, str(exc))
        except ValueError:
            self.refuse(value, "it refers to itself, or holds a number that is not finite")

    def bind(self, dialect: Dialect) -> Converter | None:
        # prepare() made text of it already.
        return dialect.json_text_binder(f"{self}")

    def load(self, dialect: Dialect) -> Converter | None:
        load = super().load(dialect)
        if self.decoder is None:
            return load
        # The driver's own reader has run: its result is written once more for the user's decoder to read.
        return lambda value: json.loads(json.dumps(value if load is None else load(value)), cls=self.decoder)

    def value_to_string(self, obj: Any) -> Any:
        return self.value_from_object(obj)


class BinaryField(Field[T]):
    """Bytes.

    Args:
        max_length: number of bytes, checked by validation.
    """

    empty_values = (None, b"")
    description = "bytes"
    default_error_messages: ClassVar[dict[str, str]] = {"invalid": "Enter a valid value."}

    @overload
    def __init__(
        self: BinaryField[bytes],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[PlainOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: BinaryField[bytes | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[PlainOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        *,
        max_length: int | None = None,
        null: bool = False,
        **options: Any,
    ) -> None:
        options.setdefault("editable", False)
        super().__init__(verbose_name, name, null=null, max_length=max_length, **options)
        if max_length is not None:
            self.validators.append(MaxLengthValidator(max_length))

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if kwargs.pop("editable", True) is not False:
            kwargs["editable"] = True
        return name, path, args, kwargs

    @property
    def sql_type(self) -> SqlType:
        return BYTES

    def get_default(self) -> Any:
        default = super().get_default()
        return b"" if isinstance(default, str) and default == "" and not self.has_default() else default

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str):
            # As dumps write it.
            try:
                return b64decode(value.encode("ascii"), validate=True)
            except (ValueError, binascii.Error) as exc:
                raise self.invalid(value) from exc
        return super().to_python(value)

    def prepare(self, value: Any) -> Any:
        if type(value) is bytes:
            return value
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        self.refuse(value)

    def value_to_string(self, obj: Any) -> str:
        return b64encode(self.value_from_object(obj)).decode("ascii")


fields_for_kind("uuid", UUIDField)
fields_for_kind("json", JSONField)
fields_for_kind("bytes", BinaryField)
