"""SearchVectorField: the words of texts, kept in a column (PostgreSQL)."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, Unpack, overload

from dorm.db.types import SqlType
from dorm.exceptions import NotSupportedError
from dorm.fields.base import Field
from dorm.fields.options import TextOptions

T = TypeVar("T")


class SearchVectorField(Field[T]):
    """A tsvector: what `dorm.search.SearchVector` makes of texts, kept up to date by an update, a trigger or a
    `GeneratedField`; read as the server's text of it.
    """

    description = "a text search vector"

    @overload
    def __init__(
        self: SearchVectorField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: SearchVectorField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return SqlType("custom", name="tsvector")

    def db_type(self, connection: Any) -> str | None:
        if not connection.dialect.supports_server_types:
            raise NotSupportedError(f"{connection.dialect.display_name} has no text search vectors, which {self} is.")
        return "tsvector"
