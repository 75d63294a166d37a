"""The options that every field takes, as one type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict


class FieldOptions(TypedDict, total=False):
    """Keyword options of all fields; ``null`` is declared by each field, since it changes its type."""

    verbose_name: str | None
    name: str | None
    primary_key: bool
    unique: bool
    blank: bool
    db_index: bool
    default: Any
    db_default: Any
    editable: bool
    choices: Any
    help_text: str
    db_column: str | None
    db_comment: str | None
    validators: Sequence[Callable[[Any], None]]
    error_messages: Mapping[str, str] | None
    pii: bool
    auto_created: bool
