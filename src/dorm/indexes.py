"""Indexes over fields."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_LONGEST_NAME = 63


class Index:
    """An index over fields; a field name that starts with ``-`` is descending.

    Args:
        fields: names of fields of the model.
        name: at most 63 characters; made from table and columns when not given, the same each time.
        unique: refuse equal rows.
    """

    def __init__(self, fields: Iterable[str] = (), name: str | None = None, unique: bool = False) -> None:
        self.fields = [fields] if isinstance(fields, str) else list(fields)
        if not self.fields:
            raise ValueError("At least one field is required to define an index.")
        if name is not None and len(name) > _LONGEST_NAME:
            raise ValueError(f"Index names cannot be longer than {_LONGEST_NAME} characters: {name!r}")
        self.name = name
        self.unique = unique

    def name_for(self, table: str, columns: Iterable[str]) -> str:
        """Return the name of this index on *table*."""
        return self.name or automatic_name(table, columns, "uniq" if self.unique else "idx")

    def __repr__(self) -> str:
        return f"Index(fields={self.fields!r}, name={self.name!r})"


def automatic_name(table: str, columns: Iterable[str], suffix: str) -> str:
    """Return a name that is stable, at most 63 characters, and unique for these columns of this table."""
    names = list(columns)
    digest = hashlib.blake2b("\0".join([table, *names, suffix]).encode(), digest_size=4).hexdigest()
    plain = "_".join([table, *[name.removeprefix("-") for name in names]])
    tail = f"_{digest}_{suffix}"
    return plain[: _LONGEST_NAME - len(tail)] + tail
