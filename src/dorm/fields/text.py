"""Fields of text."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm.db.types import INET, TEXT, SqlType
from dorm.exceptions import ImproperlyConfigured, ValidationError
from dorm.fields.base import Field
from dorm.fields.options import CharOptions, TextFieldOptions, TextOptions
from dorm.sql.exact import passes
from dorm.validators import (
    MaxLengthValidator,
    URLValidator,
    clean_ipv6,
    ip_address_validators,
    validate_email,
    validate_slug,
    validate_unicode_slug,
)

T = TypeVar("T")


class TextField(Field[T]):
    """Text of any length.

    Args:
        db_collation: collation of the column, by its name in the database.
    """

    description = "text"

    @overload
    def __init__(
        self: TextField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextFieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TextField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextFieldOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        *,
        db_collation: str | None = None,
        null: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)
        self.db_collation = db_collation

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.db_collation is not None:
            kwargs["db_collation"] = self.db_collation
        return name, path, args, kwargs

    @property
    def sql_type(self) -> SqlType:
        return TEXT

    def to_python(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else str(value)

    @passes(str)
    def prepare(self, value: Any) -> Any:
        if type(value) is str:
            return value
        value = self.unwrapped(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            self.refuse(value, "decode it first")
        return str(value)


class CharField(TextField[T]):
    """Text of at most *max_length* characters (checked by validation, and by databases that check lengths)."""

    default_max_length: ClassVar[int] = 255

    @overload
    def __init__(
        self: CharField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[CharOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: CharField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[CharOptions],
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
        length = self.default_max_length if max_length is None else max_length
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ImproperlyConfigured(f"{type(self).__name__} takes a positive max_length")
        super().__init__(verbose_name, name, null=null, max_length=length, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals
        self.validators.append(MaxLengthValidator(length))

    @property
    def sql_type(self) -> SqlType:
        return SqlType("varchar", length=self.max_length)


class EmailField(CharField[T]):
    """An e-mail address; validation lower-cases its domain."""

    default_max_length = 254
    internal_type = "CharField"
    default_validators = (validate_email,)

    @overload
    def __init__(
        self: EmailField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[CharOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: EmailField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[CharOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not isinstance(text, str) or "@" not in text:
            return text
        user, _, domain = text.rpartition("@")
        return f"{user}@{domain.lower()}"


class URLField(CharField[T]):
    """A URL."""

    default_max_length = 200
    internal_type = "CharField"
    default_validators = (URLValidator(),)

    @overload
    def __init__(
        self: URLField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[CharOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: URLField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[CharOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.max_length == self.default_max_length:
            del kwargs["max_length"]
        return name, path, args, kwargs


class SlugField(CharField[T]):
    """Letters, digits, underscores and hyphens; indexed.

    Args:
        allow_unicode: letters of all alphabets will do.
    """

    default_max_length = 50

    @overload
    def __init__(
        self: SlugField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        allow_unicode: bool = ...,
        null: Literal[False] = ...,
        **options: Unpack[CharOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: SlugField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        max_length: int | None = ...,
        allow_unicode: bool = ...,
        null: Literal[True],
        **options: Unpack[CharOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        *,
        allow_unicode: bool = False,
        null: bool = False,
        **options: Any,
    ) -> None:
        options.setdefault("db_index", True)
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals
        self.allow_unicode = allow_unicode
        self.validators.insert(0, validate_unicode_slug if allow_unicode else validate_slug)

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if kwargs.pop("db_index", False) is False:
            kwargs["db_index"] = False
        if self.max_length == self.default_max_length:
            del kwargs["max_length"]
        if self.allow_unicode:
            kwargs["allow_unicode"] = True
        return name, path, args, kwargs


class GenericIPAddressField(Field[T]):
    """An IPv4 or IPv6 address as text, in its shortest form.

    Args:
        protocol: ``"both"``, ``"IPv4"`` or ``"IPv6"``.
        unpack_ipv4: give ``::ffff:192.0.2.1`` as ``192.0.2.1``; only with ``"both"``.
    """

    empty_strings_allowed = False
    description = "an IP address"

    @overload
    def __init__(
        self: GenericIPAddressField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        protocol: str = ...,
        unpack_ipv4: bool = ...,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: GenericIPAddressField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        protocol: str = ...,
        unpack_ipv4: bool = ...,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        *,
        protocol: str = "both",
        unpack_ipv4: bool = False,
        null: bool = False,
        **options: Any,
    ) -> None:
        self.protocol = protocol
        self.unpack_ipv4 = unpack_ipv4
        options["max_length"] = 39
        super().__init__(verbose_name, name, null=null, **options)
        self.validators = [*ip_address_validators(protocol, unpack_ipv4), *self.validators]

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_length"]
        if self.unpack_ipv4:
            kwargs["unpack_ipv4"] = True
        if self.protocol != "both":
            kwargs["protocol"] = self.protocol
        return name, path, args, kwargs

    @property
    def sql_type(self) -> SqlType:
        return INET

    def to_python(self, value: Any) -> Any:
        if value is None:
            return None
        text = str(value).strip()
        return clean_ipv6(text, self.unpack_ipv4) if ":" in text else text

    def prepare(self, value: Any) -> Any:
        if isinstance(value, (bool, int, float, bytes)):
            self.refuse(value)
        text = str(value).strip()
        if ":" not in text:
            # Blank addresses are stored as NULL, as Django documents.
            return text or None
        try:
            return clean_ipv6(text, self.unpack_ipv4)
        except ValidationError:
            self.refuse(value, "it is no IPv6 address")


class IPAddressField(GenericIPAddressField[T]):
    """An IPv4 address; kept for models that have it."""

    internal_type = "GenericIPAddressField"

    @overload
    def __init__(
        self: IPAddressField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: IPAddressField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        options["protocol"] = "IPv4"
        super().__init__(verbose_name, name, null=null, **options)  # type: ignore[call-overload, misc]  # the bases' overloads take literals

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["protocol"]
        return name, path, args, kwargs
