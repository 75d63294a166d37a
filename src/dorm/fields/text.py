"""Fields of text."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, Unpack, overload

from dorm.db.types import TEXT, SqlType
from dorm.exceptions import ImproperlyConfigured
from dorm.fields.base import Field
from dorm.fields.options import FieldOptions
from dorm.validators import MaxLengthValidator, URLValidator, validate_email, validate_slug

T = TypeVar("T")


class TextField(Field[T]):
    """Text of any length."""

    description = "text"

    @overload
    def __init__(self: TextField[str], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]) -> None: ...
    @overload
    def __init__(self: TextField[str | None], *, null: Literal[True], **options: Unpack[FieldOptions]) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return TEXT

    def prepare(self, value: Any) -> Any:
        if type(value) is str:
            return value
        value = self.unwrapped(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            self.refuse(value, "decode it first")
        return str(value)


class CharField(TextField[T]):
    """Text of at most *max_length* characters (checked by validation, and by databases that check lengths)."""

    default_max_length = 255

    @overload
    def __init__(
        self: CharField[str],
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CharField[str | None],
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(self, *, max_length: int | None = None, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals
        length = self.default_max_length if max_length is None else max_length
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ImproperlyConfigured(f"{type(self).__name__} takes a positive max_length")
        self.max_length = length
        self.validators.append(MaxLengthValidator(length))

    @property
    def sql_type(self) -> SqlType:
        return SqlType("varchar", length=self.max_length)


class EmailField(CharField[T]):
    """An e-mail address; validation lower-cases its domain."""

    default_max_length = 254

    @overload
    def __init__(
        self: EmailField[str],
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: EmailField[str | None],
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals
        self.validators.append(validate_email)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not isinstance(text, str) or "@" not in text:
            return text
        user, _, domain = text.rpartition("@")
        return f"{user}@{domain.lower()}"


class URLField(CharField[T]):
    """A URL."""

    default_max_length = 200

    @overload
    def __init__(
        self: URLField[str],
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: URLField[str | None],
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals
        self.validators.append(URLValidator())


class SlugField(CharField[T]):
    """Letters, digits, underscores and hyphens; indexed."""

    default_max_length = 50

    @overload
    def __init__(
        self: SlugField[str],
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: SlugField[str | None],
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        options.setdefault("db_index", True)
        super().__init__(null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals
        self.validators.append(validate_slug)
