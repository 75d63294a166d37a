"""Reading ``class Meta``: which options there are, their defaults, and what of them is inherited."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

from dorm.exceptions import ImproperlyConfigured, InvalidOption, choices_text, nearest

DEFAULTS: dict[str, Any] = {
    "abstract": False,
    "app_label": None,
    "apps": None,
    "base_manager_name": None,
    "constraints": (),
    "db_table": None,
    "db_table_comment": "",
    "db_tablespace": "",
    "default_manager_name": None,
    "default_permissions": ("add", "change", "delete", "view"),
    "default_related_name": None,
    "get_latest_by": None,
    "indexes": (),
    "managed": True,
    "order_with_respect_to": None,
    "ordering": [],
    "permissions": (),
    "proxy": False,
    "read_only": False,
    "required_db_features": (),
    "required_db_vendor": None,
    "select_on_save": False,
    "unique_together": (),
    "verbose_name": None,
    "verbose_name_plural": None,
}
"""Every option of ``Meta`` and what holds when it is not given."""

INHERITED_FROM_CONCRETE = ("ordering", "get_latest_by")
"""Options that a child of a concrete model takes over, as Django documents."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LONGEST_NAME = 63


def given_options(model: str, meta: type | None) -> dict[str, Any]:
    """Return the options that *meta* and the classes it derives from give; unknown names are refused."""
    if meta is not None and not isinstance(meta, type):
        raise ImproperlyConfigured(f"{model}.Meta is a class, not {type(meta).__name__}.")
    given: dict[str, Any] = {}
    for each in reversed(meta.__mro__[:-1] if meta is not None else ()):
        given.update({name: value for name, value in vars(each).items() if not name.startswith("_")})
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise InvalidOption(
            f"{model}.Meta has no option {unknown[0]!r}.{nearest(unknown[0], DEFAULTS)} "
            f"Options: {choices_text(sorted(DEFAULTS))}."
        )
    _check_kinds(model, given)
    return given


def _check_kinds(model: str, given: dict[str, Any]) -> None:
    """Refuse options of a shape that could only be a mistake."""
    for name in ("ordering", "indexes", "constraints", "permissions", "unique_together"):
        value = given.get(name, ())
        if not isinstance(value, Iterable) or isinstance(value, (str, bytes, dict)):
            raise ImproperlyConfigured(
                f"{model}.Meta.{name} takes a list or a tuple, not {type(value).__name__} (even for one entry)."
            )
    if given.get("ordering") and given.get("order_with_respect_to"):
        raise ImproperlyConfigured(f"{model}.Meta has 'ordering' and 'order_with_respect_to': keep one.")


def app_label_of(module: str) -> str:
    """Return the app label of a module: a trailing ``.models`` removed, else the first component."""
    return module.removesuffix(".models") if module.endswith(".models") else module.partition(".")[0]


def together(given: Iterable[Any]) -> tuple[tuple[str, ...], ...]:
    """Return ``unique_together`` as a tuple of tuples; one flat tuple of names is one group."""
    groups = list(given)
    if groups and all(isinstance(name, str) for name in groups):
        return (tuple(groups),)
    return tuple(tuple(group) for group in groups)


def spaced(name: str) -> str:
    """Return ``FooBar`` as ``foo bar``."""
    return re.sub(r"(((?<=[a-z0-9])[A-Z])|([A-Z](?![A-Z]|$)))", r" \1", name).strip().lower()


def named_for(objects: Iterable[Any], app_label: str, model: str) -> list[Any]:
    """Return *objects* (indexes, constraints) with ``%(class)s`` and ``%(app_label)s`` in their names filled in."""
    found = []
    for each in objects:
        if each.name and "%(" in each.name:
            each = copy.copy(each)
            each.name = each.name % {"app_label": app_label.lower(), "class": model.lower()}
        found.append(each)
    return found


def check_table(model: str, table: str) -> None:
    """Refuse names of tables that are no identifiers."""
    if not _IDENTIFIER.match(table) or len(table) > _LONGEST_NAME:
        raise ImproperlyConfigured(
            f"{model}.Meta.db_table {table!r} is no identifier: letters, digits and underscores, "
            f"at most {_LONGEST_NAME} characters, not starting with a digit."
        )
