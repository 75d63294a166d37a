"""The options that every field takes, as one type, and how an option is written back (`Field.deconstruct`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict


class NotProvided:
    """Stands for "no default was given", which None is not."""

    def __repr__(self) -> str:
        return "NOT_PROVIDED"

    def __reduce__(self) -> str:
        return "NOT_PROVIDED"


NOT_PROVIDED = NotProvided()


class PlainOptions(TypedDict, total=False):
    """Keyword options of all fields; ``null`` is declared by each field, since it changes its type."""

    primary_key: bool
    unique: bool
    blank: bool
    db_index: bool
    default: Any
    db_default: Any
    editable: bool
    serialize: bool
    unique_for_date: str | None
    unique_for_month: str | None
    unique_for_year: str | None
    choices: Any
    help_text: str
    db_column: str | None
    db_tablespace: str | None
    db_comment: str | None
    validators: Sequence[Callable[[Any], None]]
    error_messages: Mapping[str, str] | None
    pii: bool
    auto_created: bool


class FieldOptions(PlainOptions, total=False):
    """The same with the two options that most fields also take by position."""

    verbose_name: str | None
    name: str | None


class TextOptions(PlainOptions, total=False):
    """Options of fields that have no use for a length of their own, but accept one."""

    max_length: int | None


class ContinuousRangeOptions(TextOptions, total=False):
    """Options of ranges whose bounds stay as they are given."""

    default_bounds: str


class CharOptions(PlainOptions, total=False):
    """Options of fields of text with a length."""

    db_collation: str | None


class TextFieldOptions(TextOptions, total=False):
    """Options of fields of text without one."""

    db_collation: str | None


DECONSTRUCTED: tuple[tuple[str, Any, str], ...] = (
    ("verbose_name", None, "_verbose_name"),
    ("name", None, "_given_name"),
    ("primary_key", False, "primary_key"),
    ("max_length", None, "max_length"),
    ("unique", False, "_unique"),
    ("blank", False, "blank"),
    ("null", False, "null"),
    ("db_index", False, "db_index"),
    ("default", NOT_PROVIDED, "default"),
    ("db_default", NOT_PROVIDED, "db_default"),
    ("editable", True, "editable"),
    ("serialize", True, "serialize"),
    ("unique_for_date", None, "unique_for_date"),
    ("unique_for_month", None, "unique_for_month"),
    ("unique_for_year", None, "unique_for_year"),
    ("choices", None, "_choices"),
    ("help_text", "", "help_text"),
    ("db_column", None, "db_column"),
    ("db_tablespace", None, "db_tablespace"),
    ("db_comment", None, "db_comment"),
    ("auto_created", False, "auto_created"),
    ("validators", [], "_given_validators"),
    ("error_messages", None, "_given_messages"),
    ("pii", False, "pii"),
)
"""Name of each common option, its default, and the attribute that holds what was given."""
