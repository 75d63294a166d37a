"""Validators: functions that raise ValidationError for a value they do not accept."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from dorm.exceptions import ValidationError


class RegexValidator:
    """Accept text in which *regex* is found."""

    def __init__(
        self, regex: str, message: str = "Enter a valid value.", code: str = "invalid", flags: int = 0
    ) -> None:
        self.regex = re.compile(regex, flags)
        self.message = message
        self.code = code

    def __call__(self, value: Any) -> None:
        if not self.regex.search(str(value)):
            raise ValidationError(self.message, code=self.code)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), self.regex, self.code))


class _LimitValidator:
    """Compare a value (or something of it) with a limit."""

    message = ""
    code = ""

    def __init__(self, limit_value: Any, message: str | None = None) -> None:
        self.limit_value = limit_value
        self.message = message or self.message

    def is_wrong(self, value: Any) -> bool:
        """Return whether *value* breaks the limit."""
        raise NotImplementedError

    def __call__(self, value: Any) -> None:
        if self.is_wrong(value):
            raise ValidationError(self.message, code=self.code, params={"limit_value": self.limit_value})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), self.limit_value, self.message))


class MinValueValidator(_LimitValidator):
    """Accept values of at least the limit."""

    message = "Ensure this value is greater than or equal to %(limit_value)s."
    code = "min_value"

    def is_wrong(self, value: Any) -> bool:
        return bool(value < self.limit_value)


class MaxValueValidator(_LimitValidator):
    """Accept values of at most the limit."""

    message = "Ensure this value is less than or equal to %(limit_value)s."
    code = "max_value"

    def is_wrong(self, value: Any) -> bool:
        return bool(value > self.limit_value)


class MinLengthValidator(_LimitValidator):
    """Accept values of at least this many characters."""

    message = "Ensure this value has at least %(limit_value)d characters."
    code = "min_length"

    def is_wrong(self, value: Any) -> bool:
        return len(value) < int(self.limit_value)


class MaxLengthValidator(_LimitValidator):
    """Accept values of at most this many characters."""

    message = "Ensure this value has at most %(limit_value)d characters."
    code = "max_length"

    def is_wrong(self, value: Any) -> bool:
        return len(value) > int(self.limit_value)


class EmailValidator:
    """Accept e-mail addresses: a local part, an at sign, and a host name with a dot or ``localhost``."""

    _local = re.compile(r"[-!#$%&'*+/=?^_`{}|~0-9A-Za-z]+(\.[-!#$%&'*+/=?^_`{}|~0-9A-Za-z]+)*\Z")
    _domain = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}\Z")

    def __call__(self, value: Any) -> None:
        local, _, domain = str(value).rpartition("@")
        if not self._local.match(local) or not (domain == "localhost" or self._domain.match(domain)):
            raise ValidationError("Enter a valid email address.", code="invalid")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class URLValidator:
    """Accept absolute URLs of some schemes."""

    def __init__(self, schemes: tuple[str, ...] = ("http", "https", "ftp", "ftps")) -> None:
        self.schemes = schemes

    def __call__(self, value: Any) -> None:
        try:
            parts = urlsplit(str(value))
            good = parts.scheme in self.schemes and bool(parts.hostname) and not re.search(r"\s", str(value))
        except ValueError:
            good = False
        if not good:
            raise ValidationError("Enter a valid URL.", code="invalid")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), self.schemes))


validate_email = EmailValidator()
validate_slug = RegexValidator(
    r"^[-a-zA-Z0-9_]+\Z",
    "Enter a valid slug consisting of letters, numbers, underscores or hyphens.",
)
