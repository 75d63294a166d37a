"""Which columns have values that no log may show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

SECRET_NAMES: Final = (
    "password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "auth_token", "access_key",
    "private_key",
)  # fmt: skip
"""A column whose name contains one of these has its values masked in logs."""

MASK: Final = "***"

more_secrets: set[str] = set()
"""Names beside those, in small letters; there are more and more of them."""


@cache
def _secret() -> re.Pattern[str]:
    return re.compile("|".join(SECRET_NAMES), re.IGNORECASE)


def add_secret_names(names: Iterable[str]) -> None:
    """Have values of columns of exactly these names masked in logs and plans too (encrypted ones, personal data)."""
    more_secrets.update(name.lower() for name in names)


def is_secret(name: str) -> bool:
    """True when values of a column of this name must not be logged."""
    return _secret().search(name) is not None or name.strip('"`[]').lower() in more_secrets


def mentions_secrets(sql: str) -> bool:
    """True when a name of such a column stands in a statement, or what looks like one."""
    if _secret().search(sql):
        return True
    return bool(more_secrets) and not more_secrets.isdisjoint(re.findall(r"\w+", sql.lower()))
