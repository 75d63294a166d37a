"""Models for asyncio code only: a call that would block the event loop is an error where it stands, loop or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dorm
from dorm.exceptions import SynchronousOnlyOperation


class AsyncOnlyError(SynchronousOnlyOperation):
    """A blocking method of an `AsyncModel` or its manager was called; nothing was sent."""


_LAZY = frozenset({"dates", "datetimes", "values", "values_list"})
"""They send nothing, although they have a twin."""


def _refusing(name: str, instead: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise AsyncOnlyError(f"{type(self).__name__}.{name}() would block: this model is for asyncio only, {instead}")

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


def _twin(name: str) -> Callable[..., Any]:
    return _refusing(name, f"await a{name}()")


class AsyncOnlyQuerySet(dorm.QuerySet[Any]):
    """A queryset whose blocking methods raise `AsyncOnlyError`; rows that were awaited may be looped over."""

    def _awaited(self, how: str) -> AsyncOnlyQuerySet:
        if self._rows is None:
            raise AsyncOnlyError(f"{how} of a queryset would block: this model is for asyncio only, use 'async for'")
        return self

    def __iter__(self) -> Iterator[Any]:
        return super(AsyncOnlyQuerySet, self._awaited("a loop over the rows")).__iter__()

    def __len__(self) -> int:
        return super(AsyncOnlyQuerySet, self._awaited("the length")).__len__()

    def __bool__(self) -> bool:
        return super(AsyncOnlyQuerySet, self._awaited("the truth")).__bool__()

    def __contains__(self, item: object) -> bool:
        return super(AsyncOnlyQuerySet, self._awaited("a membership test")).__contains__(item)

    def __getitem__(self, key: Any) -> Any:
        return (
            super().__getitem__(key)
            if isinstance(key, slice)
            else super(AsyncOnlyQuerySet, self._awaited("one row")).__getitem__(key)
        )

    def __repr__(self) -> str:
        return super().__repr__() if self._rows is not None else f"<{type(self).__name__} (not awaited)>"

    async def acreate(self, **values: Any) -> Any:
        """As usual."""
        return await super().acreate(**values)

    async def aupdate(self, **values: Any) -> int:
        """As usual."""
        return await super().aupdate(**values)

    async def adelete(self) -> tuple[int, dict[str, int]]:
        """As usual."""
        return await super().adelete()


for _name in dir(dorm.QuerySet):
    if not _name.startswith("_") and hasattr(dorm.QuerySet, f"a{_name}") and _name not in _LAZY:
        setattr(AsyncOnlyQuerySet, _name, _twin(_name))


class AsyncOnlyManager(dorm.Manager.from_queryset(AsyncOnlyQuerySet)):  # type: ignore[misc]  # a class made at run time
    """The manager of an `AsyncModel`."""


class AsyncModel(dorm.Model):
    """Abstract: ``save``, ``delete`` and everything else that would block raise `AsyncOnlyError`."""

    objects = AsyncOnlyManager()

    save = _twin("save")
    delete = _twin("delete")
    refresh_from_db = _twin("refresh_from_db")
    full_clean = _twin("full_clean")
    validate_unique = _twin("validate_unique")
    validate_constraints = _twin("validate_constraints")

    class Meta:
        abstract = True

    async def asave(self, *args: Any, **kwargs: Any) -> None:
        """As usual."""
        await super().asave(*args, **kwargs)

    async def adelete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """As usual."""
        return await super().adelete(*args, **kwargs)

    async def arefresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """As usual."""
        await super().arefresh_from_db(*args, **kwargs)

    async def afull_clean(self, *args: Any, **kwargs: Any) -> None:
        """As usual."""
        await super().afull_clean(*args, **kwargs)

    async def avalidate_unique(self, *args: Any, **kwargs: Any) -> None:
        """As usual."""
        await super().avalidate_unique(*args, **kwargs)

    async def avalidate_constraints(self, *args: Any, **kwargs: Any) -> None:
        """As usual."""
        await super().avalidate_constraints(*args, **kwargs)
