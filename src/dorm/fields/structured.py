"""Fields of structured values: JSON, UUID, bytes."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from dorm.db.types import BYTES, JSON, UUID, SqlType
from dorm.fields.base import Field
from dorm.fields.options import FieldOptions

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect

T = TypeVar("T")


class UUIDField(Field[T]):
    """A UUID."""

    empty_strings_allowed = False
    description = "a UUID, or text or a number that is one"

    @overload
    def __init__(
        self: UUIDField[uuid.UUID], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: UUIDField[uuid.UUID | None], *, null: Literal[True], **options: Unpack[FieldOptions]
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)

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
    """A JSON document: dicts, lists, text, numbers, booleans. None is SQL NULL.

    Args:
        encoder: subclass of json.JSONEncoder. decoder: subclass of json.JSONDecoder.
    """

    empty_strings_allowed = False
    description = "a value that JSON can hold"

    def __init__(
        self,
        *,
        encoder: type[json.JSONEncoder] | None = None,
        decoder: type[json.JSONDecoder] | None = None,
        null: bool = False,
        **options: Unpack[FieldOptions],
    ) -> None:
        super().__init__(null=null, **options)
        self.encoder = encoder
        self.decoder = decoder

    @property
    def sql_type(self) -> SqlType:
        return JSON

    def prepare(self, value: Any) -> Any:
        """Return the document as text: what every driver can bind, fixed at the time of the call."""
        try:
            return json.dumps(value, cls=self.encoder)
        except (TypeError, ValueError) as exc:
            self.refuse(value, str(exc) if isinstance(exc, TypeError) else "it refers to itself")

    def bind(self, dialect: Dialect) -> Converter | None:
        # prepare() made text of it already.
        return None

    def load(self, dialect: Dialect) -> Converter | None:
        load = super().load(dialect)
        if self.decoder is None:
            return load
        # The driver's own reader has run: its result is written once more for the user's decoder to read.
        return lambda value: json.loads(json.dumps(value if load is None else load(value)), cls=self.decoder)


class BinaryField(Field[T]):
    """Bytes."""

    empty_strings_allowed = False
    description = "bytes"

    @overload
    def __init__(self: BinaryField[bytes], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]) -> None: ...
    @overload
    def __init__(self: BinaryField[bytes | None], *, null: Literal[True], **options: Unpack[FieldOptions]) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return BYTES

    def prepare(self, value: Any) -> Any:
        if type(value) is bytes:
            return value
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        self.refuse(value)
