"""Model and its metaclass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dorm.conf.registry import registry
from dorm.db.operation import arun, run
from dorm.exceptions import (
    ImproperlyConfigured,
    MultipleObjectsReturned,
    ObjectDoesNotExist,
    SynchronousOnlyOperation,
    choices_text,
    nearest,
)
from dorm.fields.numbers import BigAutoField
from dorm.manager import Manager
from dorm.models.options import Options
from dorm.models.state import ORIGIN, InstanceState, Origin, origin_of
from dorm.queryset.ops import delete as delete_ops, save as save_ops
from dorm.queryset.query import root_plan
from dorm.signals import class_prepared

if TYPE_CHECKING:
    from dorm.db.operation import Operation
    from dorm.fields.base import Field

M = TypeVar("M", bound="Model")


class ModelBase(type):
    """Collects fields, managers and ``Meta`` of a model class."""

    _meta: Options

    if TYPE_CHECKING:
        # Type checkers bind `cls` to the model class, which is what a metaclass's property sees.
        @property
        def objects(cls: type[M]) -> Manager[M]:  # type: ignore[misc]  # M is narrower than "any instance of me"
            """The default manager."""
            ...

        @property
        def _default_manager(cls: type[M]) -> Manager[M]: ...  # type: ignore[misc]  # as above

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> ModelBase:
        parents = [base for base in bases if isinstance(base, ModelBase)]
        if not parents:
            return super().__new__(mcs, name, bases, namespace, **kwargs)
        contributions = {key: value for key, value in namespace.items() if hasattr(value, "contribute_to_class")}
        plain = {key: value for key, value in namespace.items() if key not in contributions and key != "Meta"}
        cls = super().__new__(mcs, name, bases, plain, **kwargs)
        cls._meta = Options(cls, _meta_of(namespace.get("Meta"), parents))  # type: ignore[arg-type]  # Model's own class
        for key, value in {**_inherited(parents, namespace), **contributions}.items():
            value.contribute_to_class(cls, key)
        if not cls._meta.abstract:
            cls._finish()
        return cls

    def _finish(cls) -> None:
        """Add what every concrete model has: key, manager, exceptions, plan; announce the class."""
        meta = cls._meta
        if getattr(meta, "pk", None) is None:
            key: BigAutoField[int] = BigAutoField(primary_key=True, auto_created=True)
            key.creation_counter = -1
            key.contribute_to_class(cls, "id")
        if not any(isinstance(value, Manager) for value in vars(cls).values()):
            manager: Manager[Any] = Manager()
            manager.contribute_to_class(cls, "objects")
        for exception in (ObjectDoesNotExist, MultipleObjectsReturned):
            short = "DoesNotExist" if exception is ObjectDoesNotExist else exception.__name__
            made = type(
                short, (exception,), {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.{short}"}
            )
            setattr(cls, short, made)
        meta.plan = root_plan(cls)
        registry.register(meta.app_label, cls.__name__, cls)
        meta.finish()
        class_prepared.send(cls)


def _meta_of(own: type | None, parents: list[ModelBase]) -> type | None:
    """Return the Meta in force: the class's own, else an abstract parent's without ``abstract``."""
    if own is not None:
        return own
    for parent in parents:
        inherited = getattr(parent, "Meta", None)
        if inherited is not None:
            return type("Meta", (inherited,), {"abstract": False})
    return None


def _inherited(parents: list[ModelBase], namespace: dict[str, Any]) -> dict[str, Any]:
    """Return copies of the fields of abstract parents that *namespace* does not replace."""
    found: dict[str, Any] = {}
    for parent in parents:
        meta = vars(parent).get("_meta")
        if meta is None:
            continue
        if not meta.abstract:
            raise ImproperlyConfigured(
                f"{parent.__name__} is a concrete model: only abstract models (Meta.abstract = True) can be inherited."
            )
        for field in meta.fields:
            if field.name not in namespace:
                found[field.name] = field.clone()
    return found


class Model(metaclass=ModelBase):
    """A row of a table.

    Positional arguments are values in the order of the fields, keywords values by field name; a foreign key takes an
    instance under its name or a raw key under ``<name>_id``, and ``pk`` stands for the primary key.
    """

    _meta: ClassVar[Options]
    _base_save: ClassVar[tuple[Any, Any]]
    DoesNotExist: ClassVar[type[ObjectDoesNotExist]]
    MultipleObjectsReturned: ClassVar[type[MultipleObjectsReturned]]
    if TYPE_CHECKING:
        id: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        meta = self._meta
        if meta.abstract:
            raise TypeError("Abstract models cannot be instantiated.")
        values = vars(self)
        fields = meta.fields
        if args:
            if len(args) > len(fields):
                raise TypeError(f"{meta.object_name}() takes {len(fields)} values by position, {len(args)} were given")
            for field, value in zip(fields, args, strict=False):
                if field.name in kwargs:
                    raise TypeError(
                        f"{meta.object_name}() got both positional and keyword arguments for {field.name!r}"
                    )
                values[field.attname] = value
            fields = fields[len(args) :]
        for field in fields:
            attname = field.attname
            if attname in kwargs:
                values[attname] = kwargs.pop(attname)
            elif field.name not in kwargs:
                values[attname] = field.get_default()
        for name, value in kwargs.items():
            self._set_named(name, value)

    def _set_named(self, name: str, value: Any) -> None:
        """Set a keyword that is no attribute name of a field: ``pk``, a relation, or a property of the class."""
        if name == "pk" or self._meta.find(name) is not None or isinstance(getattr(type(self), name, None), property):
            setattr(self, name, value)
            return
        names = [field.name for field in self._meta.fields]
        raise TypeError(
            f"{self._meta.object_name}() got an unexpected keyword argument {name!r}.{nearest(name, names)} "
            f"Fields: {choices_text(names)}."
        )

    @classmethod
    def from_db(cls: type[M], db: str, field_names: Iterable[str], values: Iterable[Any]) -> M:
        """Return an instance of a row; override it to take part in loading.

        Args:
            db: alias the row comes from.
            field_names: attribute names of the columns that were loaded.
            values: their values, in the same order.
        """
        instance = cls.__new__(cls)
        loaded = dict(zip(field_names, values, strict=True))
        if cls.__init__ is not Model.__init__:
            instance.__init__(**loaded)  # type: ignore[misc]  # the user's own constructor, as Django calls it
            for field in cls._meta.fields:
                if field.attname not in loaded:
                    vars(instance).pop(field.attname, None)
        else:
            vars(instance).update(loaded)
        vars(instance)[ORIGIN] = origin_of(db)
        return instance

    # -- state ---------------------------------------------------------------------------------------------------
    @property
    def _state(self) -> InstanceState:
        return InstanceState(vars(self))

    @property
    def pk(self) -> Any:
        """Value of the primary key."""
        return getattr(self, self._meta.pk.attname)

    @pk.setter
    def pk(self, value: Any) -> None:
        setattr(self, self._meta.pk.attname, value)

    def get_deferred_fields(self) -> set[str]:
        """Return the attribute names of the columns that were not loaded."""
        return {field.attname for field in self._meta.fields if field.attname not in self.__dict__}

    def _load_deferred(self, field: Field[Any]) -> Any:
        """Load a deferred column and return its value; called by the field's descriptor."""
        origin: Origin | None = self.__dict__.get(ORIGIN)
        if origin is None:
            return None
        _refuse_implicit(f"{self._meta.object_name}.{field.name} was deferred", "arefresh_from_db")
        run(save_ops.refresh(self, [field.name]))
        return self.__dict__[field.attname]

    # -- writing -------------------------------------------------------------------------------------------------
    def save(
        self,
        *,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Insert or update this row.

        A new instance whose key is set is updated first, and inserted when no row matched.

        Args:
            force_insert, force_update: insist on one of the two.
            using: alias; else the one the instance came from, else the routers' answer.
            update_fields: names of the fields to write; an empty list writes nothing.
        Raises:
            ValueError: unknown names, contradicting options, or a related instance that is not saved.
            DatabaseError: *force_update* or *update_fields* matched no row.
        """
        run(self._save_operation(force_insert, force_update, using, update_fields))

    async def asave(
        self,
        *,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Async twin of `save`."""
        await arun(self._save_operation(force_insert, force_update, using, update_fields))

    def _save_operation(
        self, force_insert: bool, force_update: bool, using: str | None, update_fields: Iterable[str] | None
    ) -> Operation[None]:
        """Save as an operation: override this to extend `save` and `asave` at once."""
        return save_ops.save(self, force_insert, force_update, using, update_fields)

    def delete(self, using: str | None = None) -> tuple[int, dict[str, int]]:
        """Delete this row; return the number of rows deleted, in all and by model label."""
        return run(delete_ops.delete_instance(self, using))

    async def adelete(self, using: str | None = None) -> tuple[int, dict[str, int]]:
        """Async twin of `delete`."""
        return await arun(delete_ops.delete_instance(self, using))

    def refresh_from_db(self, using: str | None = None, fields: Iterable[str] | None = None) -> None:
        """Load the row again: all columns, or those of *fields*. Cached relations are dropped."""
        run(save_ops.refresh(self, fields, using))

    async def arefresh_from_db(self, using: str | None = None, fields: Iterable[str] | None = None) -> None:
        """Async twin of `refresh_from_db`."""
        await arun(save_ops.refresh(self, fields, using))

    # -- identity ------------------------------------------------------------------------------------------------
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model) or other._meta.concrete_model is not self._meta.concrete_model:
            return NotImplemented
        return self is other if self.pk is None else bool(self.pk == other.pk)

    def __hash__(self) -> int:
        if self.pk is None:
            raise TypeError("Model instances without primary key value are unhashable")
        return hash(self.pk)

    def __str__(self) -> str:
        return f"{self._meta.object_name} object ({self.pk})"

    def __repr__(self) -> str:
        return f"<{self._meta.object_name}: {self}>"


def _refuse_implicit(what: str, twin: str) -> None:
    """Raise when blocking I/O would happen behind an attribute in a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SynchronousOnlyOperation(
        f"{what} and would be loaded by a blocking query inside a running event loop. "
        f"Load it with the query (select_related, prefetch_related, only) or await {twin}()."
    )


Model._base_save = (Model.save, Model.asave)
