"""Managers: where a model's queries start."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from dorm.cache.wanted import CacheSettings, checked_timeout
from dorm.classes import public_functions, standing
from dorm.db.operation import arun, run
from dorm.exceptions import ImproperlyConfigured
from dorm.queryset import ops
from dorm.queryset.queryset import Queryable, QuerySet

if TYPE_CHECKING:
    from typing import Self


M = TypeVar("M")

_counter = itertools.count()


class Manager(Queryable[M, M], Generic[M]):
    """Offers every query method of its model; override `get_queryset` to start from something else than all rows.

    Attributes:
        model, name: the class it belongs to and its attribute there.
        use_in_migrations: migrations keep it, for `RunPython`.
        creation_counter: order of creation; the first manager of a class is its default.
        auto_created: dorm made it, since the class declares none.
    """

    model: Any = None
    name: str = ""
    use_in_migrations = False
    auto_created = False
    creation_counter: int
    _queryset_class: ClassVar[type[QuerySet[Any, Any]]] = QuerySet
    _db: str | None = None
    _hints: Mapping[str, Any] | None = None
    _pristine: QuerySet[M] | None = None
    _built_with_asmanager = False
    _constructor_args: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        made._constructor_args = (args, kwargs)
        made.creation_counter = next(_counter)
        return made

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "get_queryset" in vars(cls) and "_initial" not in vars(cls):
            # It may return a queryset class that overrides any method, which is called then.
            for name, method in public_functions(Queryable):
                if standing(cls, name) is method:
                    setattr(cls, name, _forward(name, method))

    @classmethod
    def from_queryset(cls, queryset_class: type[QuerySet[Any, Any]], class_name: str | None = None) -> type[Self]:
        """Return a subclass whose querysets are of *queryset_class* and that has its own methods.

        Public methods are handed on, private ones are not; ``method.queryset_only = True`` or ``False`` decides
        otherwise. Methods that this manager class has are kept.

        Args:
            class_name: name of the class; ``ManagerFromMyQuerySet`` by default.
        """
        name = class_name or f"{cls.__name__}From{queryset_class.__name__}"
        namespace: dict[str, Any] = {"_queryset_class": queryset_class, "__module__": cls.__module__}
        for method_name, method in _handed_on(queryset_class):
            mine = standing(cls, method_name)
            if mine is None or mine is standing(Queryable, method_name):
                namespace[method_name] = _forward(method_name, method)
        made: Any = type(name, (cls,), namespace)
        return made  # type: ignore[no-any-return]  # a subclass of this class

    def contribute_to_class(self, cls: Any, name: str) -> None:
        """Attach this manager to a model class under *name*."""
        self.model = cls
        self.name = self.name or name
        self._pristine = None
        setattr(cls, name, self)
        cls._meta.local_managers.append(self)

    def copied_for(self, cls: Any) -> Self:
        """Return a copy that belongs to another model class, which inherits it."""
        made = copy.copy(self)
        made.model = cls
        made._pristine = None
        return made

    def __get__(self, instance: object, owner: Any = None) -> Self:
        if instance is not None:
            raise AttributeError(f"Manager isn't accessible via {type(instance).__name__} instances: use the class.")
        if owner is not None and owner._meta.abstract:
            raise AttributeError(f"Manager isn't available; {owner.__name__} is abstract: it has no rows of its own.")
        return self

    def get_queryset(self) -> QuerySet[M]:
        """Return the queryset all methods of this manager start from."""
        return self._queryset_class(self.model, using=self._db, hints=self._hints)

    @property
    def starts_with_all(self) -> bool:
        """True when the querysets of this manager start from every row of the model."""
        return type(self).get_queryset is Manager.get_queryset

    def all(self) -> QuerySet[M]:
        """Return a new queryset of every row."""
        return self.get_queryset()

    def cached(self, *, timeout: int | None = None, using: str = "default") -> QuerySet[M]:
        """Return ``get_queryset().cache(timeout, using=using)``: all rows, through the query cache.

        Args:
            timeout: seconds; None: the cache's ``TTL``, 0: no end. using: key of ``CACHES``.

        Raises: TypeError, ValueError: a *timeout* that is no whole number of seconds.
        """
        return self.get_queryset().cache(timeout, using=using)

    def cache_get(self, *, pk: Any, timeout: int | None = None, using: str = "default") -> M:
        """Return the row with that key, from the cache where it is fresh there.

        Args:
            timeout, using: as of `cached`.
        Raises: DoesNotExist: there is no such row.
        """
        found: M = run(ops.cached.get(self.get_queryset(), pk, CacheSettings(checked_timeout(timeout), using)))
        return found

    async def acache_get(self, *, pk: Any, timeout: int | None = None, using: str = "default") -> M:
        """Async twin of `cache_get`."""
        found: M = await arun(ops.cached.get(self.get_queryset(), pk, CacheSettings(checked_timeout(timeout), using)))
        return found

    def cache_get_many(self, *, pks: Iterable[Any], timeout: int | None = None, using: str = "default") -> dict[Any, M]:
        """Return the rows with these keys by key, in the order asked for; keys without a row are left out.

        Each row is kept under its key; one statement fetches all that are not fresh in the cache.

        Args:
            timeout, using: as of `cached`.
        """
        wanted = CacheSettings(checked_timeout(timeout), using)
        return run(ops.cached.get_many(self.get_queryset(), pks, wanted))

    async def acache_get_many(
        self, *, pks: Iterable[Any], timeout: int | None = None, using: str = "default"
    ) -> dict[Any, M]:
        """Async twin of `cache_get_many`."""
        wanted = CacheSettings(checked_timeout(timeout), using)
        return await arun(ops.cached.get_many(self.get_queryset(), pks, wanted))

    def db_manager(self, using: str | None = None, hints: Mapping[str, Any] | None = None) -> Self:
        """Return a copy of this manager that works on the database *using*.

        Args:
            hints: what routers are told beside the model.
        """
        made = copy.copy(self)
        made._db = using or self._db
        made._hints = hints or self._hints
        made._pristine = None
        return made

    @property
    def db(self) -> str:
        """Alias that this manager reads from."""
        return self.get_queryset().db

    def deconstruct(self) -> tuple[bool, str | None, str | None, tuple[Any, ...], dict[str, Any]]:
        """Return how a migration makes this manager again.

        Returns: whether it came from ``as_manager()``, the path of its class, the path of its queryset class, and the
            arguments of the constructor.
        """
        args, kwargs = self._constructor_args
        queryset_class = self._queryset_class
        if self._built_with_asmanager:
            return True, None, f"{queryset_class.__module__}.{queryset_class.__qualname__}", (), {}
        return False, f"{type(self).__module__}.{type(self).__qualname__}", None, args, kwargs

    def _queryset(self) -> QuerySet[M]:
        pristine = self._pristine
        if pristine is not None:
            return pristine
        if type(self).get_queryset is not Manager.get_queryset:
            return self.get_queryset()
        if self.model is None or self.model._meta.abstract:
            raise ImproperlyConfigured(
                "this manager belongs to no concrete model: abstract models have no rows of their own."
            )
        self.model._meta.apps.settle()
        self._pristine = self.get_queryset()
        return self._pristine

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manager):
            return NotImplemented
        return type(self) is type(other) and self._constructor_args == other._constructor_args

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return f"{self.model._meta.label}.{self.name}" if self.model is not None else type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {getattr(self.model, '__name__', None)}>"


def _handed_on(queryset_class: type) -> Iterator[tuple[str, Any]]:
    """Yield the methods of a queryset class that a manager made from it has."""
    seen: set[str] = set()
    for each in queryset_class.__mro__:
        if each in (QuerySet, Queryable):
            break
        for name, value in vars(each).items():
            if name in seen or not isinstance(value, FunctionType):
                continue
            seen.add(name)
            queryset_only = getattr(value, "queryset_only", None)
            if queryset_only is False or (queryset_only is None and not name.startswith("_")):
                yield name, value


def _forward(name: str, method: Any) -> Callable[..., Any]:
    """Return a method of a manager that calls the method *name* of its queryset."""

    def forward(self: Manager[Any], *args: Any, **kwargs: Any) -> Any:
        return getattr(self.get_queryset(), name)(*args, **kwargs)

    forward.__name__ = name
    forward.__qualname__ = f"Manager.{name}"
    forward.__doc__ = method.__doc__
    return forward
