"""Models for asyncio code only: a call that would block the event loop is an error where it stands, loop or not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import dorm
from dorm.exceptions import SynchronousOnlyOperation


class AsyncOnlyError(SynchronousOnlyOperation):
    """A blocking method of an `AsyncModel` or its manager was called; nothing was sent."""


_LAZY = frozenset({"dates", "datetimes", "values", "values_list"})
"""They send nothing, although they have a twin."""


def _refusing(base: Any) -> Callable[..., Any]:
    """Return a method that stands in place of *base* and raises."""

    @functools.wraps(base)
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise AsyncOnlyError(
            f"{type(self).__name__}.{base.__name__}() would block: this model is for asyncio only, "
            f"await a{base.__name__}()"
        )

    return refuse


def _as_usual(base: Any) -> Callable[..., Any]:
    """Return *base* as a method of another class: whoever overrides a method overrides its twin."""

    @functools.wraps(base)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await base(self, *args, **kwargs)

    return call


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


for _name in dir(dorm.QuerySet):
    if not _name.startswith("_") and hasattr(dorm.QuerySet, f"a{_name}") and _name not in _LAZY:
        setattr(AsyncOnlyQuerySet, _name, _refusing(getattr(dorm.QuerySet, _name)))
for _name in ("acreate", "aupdate", "adelete"):
    setattr(AsyncOnlyQuerySet, _name, _as_usual(getattr(dorm.QuerySet, _name)))


class AsyncOnlyManager(dorm.Manager.from_queryset(AsyncOnlyQuerySet)):  # type: ignore[misc]  # a class made at run time
    """The manager of an `AsyncModel`."""


for _name in dir(dorm.Manager):
    if not _name.startswith("_") and hasattr(dorm.Manager, f"a{_name}") and _name not in _LAZY:
        setattr(AsyncOnlyManager, _name, _refusing(getattr(dorm.Manager, _name)))
        setattr(AsyncOnlyManager, f"a{_name}", getattr(dorm.Manager, f"a{_name}"))


class AsyncModel(dorm.Model):
    """Abstract: ``save``, ``delete`` and everything else that would block raise `AsyncOnlyError`."""

    objects = AsyncOnlyManager()

    class Meta:
        abstract = True


for _name in ("save", "delete", "refresh_from_db", "full_clean", "validate_unique", "validate_constraints"):
    setattr(AsyncModel, _name, _refusing(getattr(dorm.Model, _name)))
    setattr(AsyncModel, f"a{_name}", _as_usual(getattr(dorm.Model, f"a{_name}")))
