"""Validators: functions that raise ValidationError for a value they do not accept.

A class of them has `deconstruct`, so that migrations can write an instance down, and equality by what it was made of.
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from dorm.exceptions import ValidationError


class Validator:
    """Base of validators with arguments: remembers those it was made of, for equality and `deconstruct`."""

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made._arguments = (args, kwargs)
        return made

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return import path, arguments and keywords from which an equal validator can be made."""
        args, kwargs = self._arguments
        return f"{type(self).__module__}.{type(self).__qualname__}", list(args), dict(kwargs)

    def _state(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_arguments"}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Validator) and type(other) is type(self) and other._state() == self._state()

    def __hash__(self) -> int:
        return hash((type(self), *sorted((name, str(value)) for name, value in self._state().items())))

    def __reduce__(self) -> Any:
        args, kwargs = self._arguments
        return _rebuilt, (type(self), args, kwargs)


def _rebuilt(cls: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return cls(*args, **kwargs)


class RegexValidator(Validator):
    """Accept text in which *regex* is found; with *inverse_match* text in which it is not."""

    regex: Any = ""
    message: str = "Enter a valid value."
    code: str = "invalid"
    inverse_match: bool = False
    flags: int = 0

    def __init__(
        self,
        regex: str | re.Pattern[str] | None = None,
        message: str | None = None,
        code: str | None = None,
        inverse_match: bool | None = None,
        flags: int | None = None,
    ) -> None:
        pattern = self.regex if regex is None else regex
        self.message = self.message if message is None else message
        self.code = self.code if code is None else code
        self.inverse_match = self.inverse_match if inverse_match is None else inverse_match
        self.flags = self.flags if flags is None else flags
        if self.flags and isinstance(pattern, re.Pattern):
            raise TypeError("If the flags are set, regex must be a regular expression string.")
        self.regex = re.compile(pattern, self.flags)

    def __call__(self, value: Any) -> None:
        if bool(self.regex.search(str(value))) is bool(self.inverse_match):
            raise ValidationError(self.message, code=self.code, params={"value": value})


# -- limits ------------------------------------------------------------------------------------------------------


class BaseValidator(Validator):
    """Compare a value, or something of it, with a limit.

    Args:
        limit_value: the limit, or a function without arguments that returns it.
        message: text with ``%(limit_value)s``, ``%(show_value)s`` and ``%(value)s``.
    """

    message: str = "Ensure this value is %(limit_value)s (it is %(show_value)s)."
    one_message: str = ""
    """The usual message where the limit is 1."""
    code: str = "limit_value"

    def __init__(self, limit_value: Any, message: str | None = None) -> None:
        self.limit_value = limit_value
        if message:
            self.message = message

    def __call__(self, value: Any) -> None:
        cleaned = self.clean(value)
        limit = self.limit
        if self.compare(cleaned, limit):
            params = {"limit_value": limit, "show_value": cleaned, "value": value}
            usual = limit == 1 and self.one_message and self.message == type(self).message
            raise ValidationError(self.one_message if usual else self.message, code=self.code, params=params)

    @property
    def limit(self) -> Any:
        """The limit in force."""
        return self.limit_value() if callable(self.limit_value) else self.limit_value

    def compare(self, a: Any, b: Any) -> bool:
        """Return whether *a*, what is compared, breaks the limit *b*."""
        return a is not b

    def clean(self, x: Any) -> Any:
        """Return what is compared of a value."""
        return x


class MinValueValidator(BaseValidator):
    """Accept values of at least the limit."""

    message = "Ensure this value is greater than or equal to %(limit_value)s."
    code = "min_value"

    def compare(self, a: Any, b: Any) -> bool:
        return bool(a < b)


class MaxValueValidator(BaseValidator):
    """Accept values of at most the limit."""

    message = "Ensure this value is less than or equal to %(limit_value)s."
    code = "max_value"

    def compare(self, a: Any, b: Any) -> bool:
        return bool(a > b)


class StepValueValidator(BaseValidator):
    """Accept whole multiples of *limit_value*, counted from *offset*."""

    message = "Ensure this value is a multiple of step size %(limit_value)s."
    code = "step_size"

    def __init__(self, limit_value: Any, message: str | None = None, offset: Any = None) -> None:
        super().__init__(limit_value, message)
        if offset is not None:
            self.message = message or (
                "Ensure this value is a multiple of step size %(limit_value)s, starting from %(offset)s, e.g. "
                "%(offset)s, %(valid_value1)s, %(valid_value2)s, and so on."
            )
        self.offset = offset

    def __call__(self, value: Any) -> None:
        if self.offset is None:
            super().__call__(value)
            return
        limit = self.limit
        if self.compare(value, limit):
            params = {
                "limit_value": limit,
                "offset": self.offset,
                "valid_value1": self.offset + limit,
                "valid_value2": self.offset + 2 * limit,
            }
            raise ValidationError(self.message, code=self.code, params=params)

    def compare(self, a: Any, b: Any) -> bool:
        offset = 0 if self.offset is None else self.offset
        return not math.isclose(math.remainder(a - offset, b), 0, abs_tol=1e-9)


class MinLengthValidator(BaseValidator):
    """Accept values of at least this many characters."""

    message = "Ensure this value has at least %(limit_value)d characters (it has %(show_value)d)."
    one_message = "Ensure this value has at least %(limit_value)d character (it has %(show_value)d)."
    code = "min_length"

    def compare(self, a: Any, b: Any) -> bool:
        return bool(a < b)

    def clean(self, x: Any) -> int:
        return len(x)


class MaxLengthValidator(BaseValidator):
    """Accept values of at most this many characters."""

    message = "Ensure this value has at most %(limit_value)d characters (it has %(show_value)d)."
    one_message = "Ensure this value has at most %(limit_value)d character (it has %(show_value)d)."
    code = "max_length"

    def compare(self, a: Any, b: Any) -> bool:
        return bool(a > b)

    def clean(self, x: Any) -> int:
        return len(x)


class RangeMaxValueValidator(MaxValueValidator):
    """Accept ranges whose upper bound is at most the limit; one without an end, or an empty one, has no such bound."""

    message = "Ensure that the upper bound of the range is not greater than %(limit_value)s."

    def compare(self, a: Any, b: Any) -> bool:
        return a.upper is None or bool(a.upper > b)


class RangeMinValueValidator(MinValueValidator):
    """Accept ranges whose lower bound is at least the limit; one without a beginning, or an empty one, has none."""

    message = "Ensure that the lower bound of the range is not less than %(limit_value)s."

    def compare(self, a: Any, b: Any) -> bool:
        return a.lower is None or bool(a.lower < b)


class KeysValidator(Validator):
    """Accept dicts that have all of *keys*, as those of an `HStoreField`.

    Args:
        strict: refuse further keys too.
        messages: texts in place of the usual ones, by their codes ``missing_keys`` and ``extra_keys``.
    """

    messages: Mapping[str, str] = {
        "missing_keys": "Some keys were missing: %(keys)s",
        "extra_keys": "Some unknown keys were provided: %(keys)s",
    }

    def __init__(self, keys: Iterable[str], strict: bool = False, messages: Mapping[str, str] | None = None) -> None:
        self.keys = tuple(sorted(set(keys)))
        self.strict = strict
        self.messages = {**self.messages, **(messages or {})}

    def __call__(self, value: Any) -> None:
        given = set(value)
        self._refuse("missing_keys", set(self.keys) - given)
        if self.strict:
            self._refuse("extra_keys", given.difference(self.keys))

    def _refuse(self, code: str, keys: set[str]) -> None:
        if keys:
            raise ValidationError(self.messages[code], code=code, params={"keys": ", ".join(sorted(keys))})


class DecimalValidator(Validator):
    """Accept decimals of at most *max_digits* digits in all and *decimal_places* behind the point (None: any)."""

    messages: ClassVar[dict[str, str]] = {
        "invalid": "Enter a number.",
        "max_digits": "Ensure that there are no more than %(max)s digits in total.",
        "max_decimal_places": "Ensure that there are no more than %(max)s decimal places.",
        "max_whole_digits": "Ensure that there are no more than %(max)s digits before the decimal point.",
    }

    def __init__(self, max_digits: int | None, decimal_places: int | None) -> None:
        self.max_digits = max_digits
        self.decimal_places = decimal_places

    def __call__(self, value: decimal.Decimal) -> None:
        _, digits, exponent = value.as_tuple()
        if isinstance(exponent, str):
            raise ValidationError(self.messages["invalid"], code="invalid", params={"value": value})
        if exponent >= 0:
            places = 0
            total = len(digits) + exponent if digits != (0,) else len(digits)
        else:
            places = -exponent
            total = max(len(digits), places)
        whole = total - places
        if self.max_digits is not None and total > self.max_digits:
            self._refuse("max_digits", self.max_digits, value)
        if self.decimal_places is not None and places > self.decimal_places:
            self._refuse("max_decimal_places", self.decimal_places, value)
        if self.max_digits is not None and self.decimal_places is not None:
            most = self.max_digits - self.decimal_places
            if whole > most:
                self._refuse("max_whole_digits", most, value)

    def _refuse(self, code: str, most: int, value: decimal.Decimal) -> None:
        message = self.messages[code]
        if most == 1:
            message = message.replace("digits", "digit").replace("places", "place")
        raise ValidationError(message, code=code, params={"max": most, "value": value})


# -- addresses ---------------------------------------------------------------------------------------------------

_LABEL = r"[a-z0-9\u00a1-\uffff](?:[a-z0-9\u00a1-\uffff-]{0,61}[a-z0-9\u00a1-\uffff])?"
_LAST_LABEL = r"(?:[a-z\u00a1-\uffff][a-z0-9\u00a1-\uffff-]{0,61}[a-z0-9\u00a1-\uffff]|xn--[a-z0-9-]{1,59})"
# Text that `re` compiles when it is first needed, and keeps: this one takes longer than the rest of dorm to load.
_DOMAIN = rf"(?:{_LABEL}\.)+(?:{_LAST_LABEL})\.?\Z"
_LONGEST_HOST = 253
"""Characters of a host name (RFC 1034, section 3.1)."""


def _is_domain(text: str) -> bool:
    return re.match(_DOMAIN, text, re.IGNORECASE) is not None


class EmailValidator(Validator):
    """Accept e-mail addresses: a local part, an at sign, and a domain, an address in brackets, or an allowed name.

    Args:
        allowlist: domains that need no dot.
    """

    message: str = "Enter a valid email address."
    code: str = "invalid"
    _local = (
        r"""(?:[-!#$%&'*+/=?^_`{}|~0-9A-Z]+(?:\.[-!#$%&'*+/=?^_`{}|~0-9A-Z]+)*"""
        r"""|"(?:[\001-\010\013\014\016-\037!#-\[\]-\177]|\\[\001-\011\013\014\016-\177])*")\Z"""
    )
    _domain = r"(?:[A-Z0-9](?:[A-Z0-9-]{0,61}[A-Z0-9])?\.)+[A-Z0-9-]{2,63}(?<!-)\Z"
    _longest = 320

    def __init__(
        self, message: str | None = None, code: str | None = None, allowlist: Iterable[str] | None = None
    ) -> None:
        if message is not None:
            self.message = message
        if code is not None:
            self.code = code
        self.allowlist = ["localhost"] if allowlist is None else list(allowlist)

    def __call__(self, value: Any) -> None:
        text = str(value) if value else ""
        local, at, domain = text.rpartition("@")
        if (
            not at
            or len(text) > self._longest
            or not re.match(self._local, local, re.IGNORECASE)
            or not self._good_domain(domain)
        ):
            raise ValidationError(self.message, code=self.code, params={"value": value})

    def _good_domain(self, domain: str) -> bool:
        if domain in self.allowlist or re.match(self._domain, domain, re.IGNORECASE):
            return True
        if domain.startswith("[") and domain.endswith("]"):
            return _is_ip(domain[1:-1])
        try:
            return bool(re.match(self._domain, domain.encode("idna").decode("ascii"), re.IGNORECASE))
        except UnicodeError:
            return False


class URLValidator(Validator):
    """Accept absolute URLs of some schemes whose host is a name with a dot, ``localhost`` or an IP address."""

    message: str = "Enter a valid URL."
    code: str = "invalid"
    schemes: Iterable[str] = ("http", "https", "ftp", "ftps")
    max_length: ClassVar[int] = 2048

    def __init__(
        self, schemes: Iterable[str] | None = None, message: str | None = None, code: str | None = None
    ) -> None:
        if schemes is not None:
            self.schemes = list(schemes)
        if message is not None:
            self.message = message
        if code is not None:
            self.code = code

    def __call__(self, value: Any) -> None:
        if not isinstance(value, str) or len(value) > self.max_length or not self._is_good(value):
            raise ValidationError(self.message, code=self.code, params={"value": value})

    def _is_good(self, value: str) -> bool:
        from urllib.parse import urlsplit

        if re.search(r"[\s\x00-\x1f\x7f]", value):
            return False
        scheme, separator, rest = value.partition("://")
        if not separator or scheme.lower() not in self.schemes or not rest:
            return False
        try:
            parts = urlsplit(value)
            host = parts.hostname or ""
            port = parts.port
        except ValueError:
            return False
        user, at, _ = parts.netloc.rpartition("@")
        if at and (not user or re.search(r"[/@]", user) or user.count(":") > 1):
            return False
        digits = re.search(r":(\d*)\Z", parts.netloc)
        if (digits is not None and not 1 <= len(digits[1]) <= 5) or (port is not None and port > 65535):
            return False
        if "[" in parts.netloc:
            return _is_ip(host, 6)
        if re.fullmatch(r"[\d.]+", host):
            return _is_ip(host, 4)
        return len(host) <= _LONGEST_HOST and (host == "localhost" or _is_domain(host))


class DomainNameValidator(Validator):
    """Accept host names with a dot; *accept_idna* lets letters beyond ASCII pass."""

    message: str = "Enter a valid domain name."
    code: str = "invalid"

    def __init__(self, message: str | None = None, code: str | None = None, accept_idna: bool = True) -> None:
        if message is not None:
            self.message = message
        if code is not None:
            self.code = code
        self.accept_idna = accept_idna

    def __call__(self, value: Any) -> None:
        good = isinstance(value, str) and len(value) <= _LONGEST_HOST and _is_domain(value)
        if not good or not (self.accept_idna or value.isascii()):
            raise ValidationError(self.message, code=self.code, params={"value": value})


def _is_ip(text: str, version: int | None = None) -> bool:
    import ipaddress

    try:
        return version in (None, ipaddress.ip_address(text).version)
    except ValueError:
        return False


def validate_ipv4_address(value: Any) -> None:
    """Accept IPv4 addresses."""
    if not _is_ip(str(value), 4):
        raise ValidationError(
            "Enter a valid %(protocol)s address.", code="invalid", params={"protocol": "IPv4", "value": value}
        )


def validate_ipv6_address(value: Any) -> None:
    """Accept IPv6 addresses."""
    if not _is_ip(str(value), 6):
        raise ValidationError(
            "Enter a valid %(protocol)s address.", code="invalid", params={"protocol": "IPv6", "value": value}
        )


def validate_ipv46_address(value: Any) -> None:
    """Accept addresses of both kinds."""
    if not _is_ip(str(value)):
        raise ValidationError(
            "Enter a valid %(protocol)s address.", code="invalid", params={"protocol": "IPv4 or IPv6", "value": value}
        )


_PROTOCOLS: dict[str, Callable[[Any], None]] = {
    "both": validate_ipv46_address,
    "ipv4": validate_ipv4_address,
    "ipv6": validate_ipv6_address,
}


def ip_address_validators(protocol: str, unpack_ipv4: bool = False) -> list[Callable[[Any], None]]:
    """Return the validators of addresses of *protocol*: ``"both"``, ``"IPv4"`` or ``"IPv6"``, in any case."""
    if protocol != "both" and unpack_ipv4:
        raise ValueError("You can only use `unpack_ipv4` if `protocol` is set to 'both'")
    try:
        return [_PROTOCOLS[protocol.lower()]]
    except KeyError:
        raise ValueError(f"The protocol {protocol!r} is unknown. Supported: {list(_PROTOCOLS)}") from None


def clean_ipv6(text: str, unpack_ipv4: bool = False) -> str:
    """Return an IPv6 address in its shortest form; with *unpack_ipv4* a mapped IPv4 address as one."""
    import ipaddress

    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValidationError("This is not a valid IPv6 address.", code="invalid", params={"value": text}) from None
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped) if unpack_ipv4 else f"::ffff:{address.ipv4_mapped}"
    return str(address)


# -- text --------------------------------------------------------------------------------------------------------


class ProhibitNullCharactersValidator(Validator):
    """Refuse text with NUL characters."""

    message: str = "Null characters are not allowed."
    code: str = "null_characters_not_allowed"

    def __init__(self, message: str | None = None, code: str | None = None) -> None:
        if message is not None:
            self.message = message
        if code is not None:
            self.code = code

    def __call__(self, value: Any) -> None:
        if "\x00" in str(value):
            raise ValidationError(self.message, code=self.code, params={"value": value})


class FileExtensionValidator(Validator):
    """Accept files whose name ends in one of *allowed_extensions* (without the dot; None: any)."""

    message: str = "File extension “%(extension)s” is not allowed. Allowed extensions are: %(allowed_extensions)s."
    code: str = "invalid_extension"

    def __init__(
        self,
        allowed_extensions: Iterable[str] | None = None,
        message: str | None = None,
        code: str | None = None,
    ) -> None:
        self.allowed_extensions = None if allowed_extensions is None else [each.lower() for each in allowed_extensions]
        if message is not None:
            self.message = message
        if code is not None:
            self.code = code

    def __call__(self, value: Any) -> None:
        from pathlib import PurePath

        extension = PurePath(value.name).suffix[1:].lower()
        if self.allowed_extensions is not None and extension not in self.allowed_extensions:
            params = {
                "extension": extension,
                "allowed_extensions": ", ".join(self.allowed_extensions),
                "value": value,
            }
            raise ValidationError(self.message, code=self.code, params=params)


IMAGE_EXTENSIONS = ("bmp", "gif", "ico", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp")
"""Ends of names that `validate_image_file_extension` accepts where Pillow is not there to say."""


def validate_image_file_extension(value: Any) -> None:
    """Accept files whose name ends like an image's."""
    FileExtensionValidator(allowed_extensions=IMAGE_EXTENSIONS)(value)


def int_list_validator(
    sep: str = ",", message: str | None = None, code: str = "invalid", allow_negative: bool = False
) -> RegexValidator:
    """Return a validator of whole numbers separated by *sep*."""
    number = "-?[0-9]+" if allow_negative else "[0-9]+"
    return RegexValidator(rf"^{number}(?:{re.escape(sep)}{number})*\Z", message=message, code=code)


validate_email = EmailValidator()
validate_domain_name = DomainNameValidator()
validate_slug = RegexValidator(
    r"^[-a-zA-Z0-9_]+\Z",
    "Enter a valid “slug” consisting of letters, numbers, underscores or hyphens.",
    "invalid",
)
validate_unicode_slug = RegexValidator(
    r"^[-\w]+\Z",
    "Enter a valid “slug” consisting of Unicode letters, numbers, underscores, or hyphens.",
    "invalid",
)
validate_comma_separated_integer_list = int_list_validator(message="Enter only digits separated by commas.")
validate_integer = RegexValidator(r"^-?\d+\Z", "Enter a valid integer.", "invalid")
