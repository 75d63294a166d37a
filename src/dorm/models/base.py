"""Model and its metaclass."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from dorm.conf.settings import settings
from dorm.db.operation import arun, run
from dorm.exceptions import (
    ImproperlyConfigured,
    MultipleObjectsReturned,
    ObjectDoesNotExist,
    UnexpectedKeyword,
    ValidationError,
    choices_text,
    nearest,
)
from dorm.fields.numbers import AutoField, BigAutoField
from dorm.models import inheritance, validation
from dorm.models.options import Options
from dorm.models.order import add_order
from dorm.models.perfield import add_methods
from dorm.models.state import DEFERRED, ORIGIN, PREFETCHED, InstanceState, fetch_of, is_adding
from dorm.queryset import late, ops
from dorm.queryset.manager import Manager
from dorm.queryset.query import root_plan
from dorm.signals import class_prepared, post_init, pre_init

if TYPE_CHECKING:
    from dorm.db.operation import Operation
    from dorm.fields.base import Field
    from dorm.queryset.queryset import QuerySet

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
        own = {key: value for key, value in namespace.items() if _contributes(value)}
        plain = {key: value for key, value in namespace.items() if key not in own and key != "Meta"}
        cls = super().__new__(mcs, name, bases, plain, **kwargs)
        given = inheritance.meta_in_force(cls, namespace)
        base = getattr(super(cls, cls), "_meta", None)
        meta = cls._meta = Options(cls, given, base)  # type: ignore[arg-type]  # Model's own class
        if meta.abstract:
            inheritance.leave_meta(cls, namespace.get("Meta"))
        try:
            cls._build(parents, own, set(plain))
        except BaseException:
            # What is refused half-way leaves nothing behind on the models it refers to.
            inheritance.undo(cls)
            raise
        return cls

    def _build(cls, parents: list[Any], own: dict[str, Any], plain: set[str]) -> None:
        """Add what the class body and the parents give."""
        meta = cls._meta
        if meta.proxy:
            inheritance.refuse_fields(cls, own)
            inheritance.become_proxy(cls, parents)
        for key, value in own.items():
            value.contribute_to_class(cls, key)
        if not meta.proxy:
            inheritance.inherit_fields(cls, parents, own, plain)
        inheritance.settle_managers(cls)
        if not meta.abstract:
            cls._finish(parents)

    def _finish(cls, parents: list[Any]) -> None:
        """Add what every concrete model has: key, exceptions, methods by field, plan; announce the class."""
        meta = cls._meta
        if not inheritance.take_key(cls):
            key = _key_class()(primary_key=True, auto_created=True, verbose_name="ID")
            key.creation_counter = -1
            key.contribute_to_class(cls, "id")
        if meta.pk.is_composite and not meta.proxy:
            meta.pk.check_fields()
        add_order(cls)
        _add_exceptions(cls, parents)
        if cls.__doc__ is None:
            cls.__doc__ = f"{cls.__name__}({', '.join(field.name for field in meta.fields)})"
        add_methods(cls)
        meta.plan = root_plan(cls)
        meta.finish()
        meta.apps.register(meta.app_label, cls.__name__, cls)
        class_prepared.send(cls)

    def add_to_class(cls, name: str, value: Any) -> None:
        """Add a field, a manager or any attribute to a class that exists already."""
        if _contributes(value):
            value.contribute_to_class(cls, name)
            if isinstance(value, Manager):
                inheritance.settle_managers(cls)
        else:
            setattr(cls, name, value)


def _contributes(value: Any) -> bool:
    return not isinstance(value, type) and hasattr(value, "contribute_to_class")


def _key_class() -> Any:
    """Return the field class of implicit keys: the setting's, BigAutoField while nothing is configured."""
    path = settings.DEFAULT_AUTO_FIELD if settings.is_configured else ""
    if path in ("", "dorm.fields.BigAutoField"):
        return BigAutoField
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ImproperlyConfigured(
            f"DEFAULT_AUTO_FIELD refers to the module {path!r} that could not be imported."
        ) from exc
    if not (isinstance(found, type) and issubclass(found, AutoField)):
        raise ImproperlyConfigured(f"Primary key {path!r} referred by DEFAULT_AUTO_FIELD must subclass AutoField.")
    return found


def _add_exceptions(cls: Any, parents: list[Any]) -> None:
    """Give the class its own DoesNotExist and MultipleObjectsReturned, derived from those of its concrete parents."""
    for base in (ObjectDoesNotExist, MultipleObjectsReturned):
        short = "DoesNotExist" if base is ObjectDoesNotExist else base.__name__
        bases = [getattr(each, short) for each in parents if hasattr(each, short) and not each._meta.abstract]
        namespace = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.{short}"}
        setattr(cls, short, type(short, tuple(bases) or (base,), namespace))


class Model(metaclass=ModelBase):
    """A row of a table.

    Positional arguments are values in the order of the fields, keywords values by field name; a foreign key takes an
    instance under its name or a raw key under ``<name>_id`` (which decides where both are given), and ``pk`` stands for
    the primary key.
    """

    _meta: ClassVar[Options]
    _base_save: ClassVar[tuple[Any, Any]]
    _base_validation: ClassVar[dict[str, Any]]
    DoesNotExist: ClassVar[type[ObjectDoesNotExist]]
    MultipleObjectsReturned: ClassVar[type[MultipleObjectsReturned]]
    _prefetched: ClassVar[dict[Any, Any] | None] = None

    if TYPE_CHECKING:
        id: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        meta = self._meta
        blank = meta.blank
        told = pre_init.is_connected or post_init.is_connected
        values: Any = self.__dict__
        if blank is not None and not args and not told and blank.fill(values, kwargs):
            return
        if meta.abstract:
            raise TypeError("Abstract models cannot be instantiated.")
        if told:
            pre_init.send(type(self), args=args, kwargs=kwargs)
        fields = meta.fields
        if args:
            self._set_positional(args, kwargs)
            fields = fields[len(args) :]
        for field in fields:
            attname = field.attname
            if field.assigned_by_descriptor:
                if attname not in kwargs and not field.generated:
                    setattr(self, attname, field.get_default())
            elif attname in kwargs:
                if field.name != attname and field.name in kwargs:
                    setattr(self, field.name, kwargs.pop(field.name))
                # Where both are given, the key decides, as it does ever after.
                values[attname] = kwargs.pop(attname)
            elif field.name not in kwargs:
                values[attname] = field.get_default()
        for name, value in kwargs.items():
            self._set_named(name, value)
        if told:
            post_init.send(type(self), instance=self)

    def _set_positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        meta = self._meta
        if len(args) > len(meta.fields):
            raise IndexError(
                f"Number of args exceeds number of fields: {meta.object_name}() takes {len(meta.fields)} values by "
                f"position, {len(args)} were given."
            )
        values = vars(self)
        for field, value in zip(meta.fields, args, strict=False):
            if field.name in kwargs or field.attname in kwargs:
                raise TypeError(f"{meta.object_name}() got both positional and keyword arguments for {field.name!r}.")
            if value is not DEFERRED:
                values[field.attname] = value

    def _set_named(self, name: str, value: Any) -> None:
        """Set a keyword that is no attribute name of a field: ``pk``, a relation, or a property of the class."""
        own = name[0] != "_" and isinstance(getattr(type(self), name, None), property)
        if name == "pk" or self._meta.find(name) is not None or own:
            setattr(self, name, value)
            return
        names = [field.name for field in self._meta.fields]
        raise UnexpectedKeyword(
            f"{self._meta.object_name}() got an unexpected keyword argument {name!r}.{nearest(name, names)} "
            f"Fields: {choices_text(names)}."
        )

    @classmethod
    def from_db(cls: type[M], db: str, field_names: Iterable[str], values: Iterable[Any]) -> M:
        """Return an instance of a row; override it to take part in loading.

        Args:
            db: alias the row comes from.
            field_names: attribute names of the columns that were loaded.
            values: their values, in the same order; `DEFERRED` among them is passed over.
        """
        loaded = dict(zip(field_names, (value for value in values if value is not DEFERRED), strict=True))
        if cls.__init__ is not Model.__init__ or pre_init.is_connected or post_init.is_connected:
            # The user's own constructor, as Django calls it: a value for each field, in their order.
            instance = cls(*[loaded.get(field.attname, DEFERRED) for field in cls._meta.fields])
        else:
            instance = cls.__new__(cls)
            vars(instance).update(loaded)
        vars(instance)[ORIGIN] = db
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
        if is_adding(self.__dict__):
            return None
        late.check(self, field.name, "only, defer")
        overridden = type(self).refresh_from_db is not Model.refresh_from_db
        if overridden or not run(late.column(self, field)):
            self.refresh_from_db(fields=[field.attname])
        return self.__dict__[field.attname]

    def fetch(self, *lookups: Any) -> None:
        """Load deferred columns and relations now, unless they are there.

        Rows that came by the same fetch get them by the same statement, except with `FETCH_ONE` and `FETCH_RAISE`.

        Args:
            lookups: names of fields, as of ``prefetch_related``: relations, paths, `Prefetch`; or deferred columns.
        """
        run(late.named(self, lookups))

    async def afetch(self, *lookups: Any) -> None:
        """Async twin of `fetch`."""
        await arun(late.named(self, lookups))

    def serializable_value(self, field_name: str) -> Any:
        """Return the value a column holds: the raw key of a foreign key; an attribute of that name otherwise."""
        field = self._meta.find(field_name)
        return getattr(self, field_name if field is None or field.attname is None else field.attname)

    # -- writing -------------------------------------------------------------------------------------------------
    def save(
        self,
        *,
        force_insert: bool | tuple[type[Model], ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Insert or update this row.

        A new instance whose key is set is updated first, and inserted when no row matched.

        Args:
            force_insert, force_update: insist on one of the two; a tuple of classes names the parents to insert too.
            using: alias; else the one the instance came from, else the routers' answer.
            update_fields: names of the fields to write; an empty list writes nothing.
        Raises:
            ValueError: unknown names, contradicting options, or a related instance that is not saved.
            DatabaseError: *force_update* or *update_fields* matched no row.
        """
        if type(self).asave is not Model.asave:
            self._check_twin("save")
        run(self._save_operation(force_insert, force_update, using, update_fields))

    async def asave(
        self,
        *,
        force_insert: bool | tuple[type[Model], ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Async twin of `save`."""
        if type(self).save is not Model.save:
            self._check_twin("asave")
        await arun(self._save_operation(force_insert, force_update, using, update_fields))

    def _save_operation(
        self,
        force_insert: bool | tuple[type[Model], ...],
        force_update: bool,
        using: str | None,
        update_fields: Iterable[str] | None,
    ) -> Operation[None]:
        """Save as an operation: override this to extend `save` and `asave` at once."""
        return ops.save.save(self, force_insert, force_update, using, update_fields)

    def save_base(
        self,
        raw: bool = False,
        force_insert: bool | tuple[type[Model], ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Write the row without the checks of `save`.

        Args:
            raw: write the model's own table alone, values as they stand; receivers are told ``raw=True``.
        """
        run(ops.save.save_unchecked(self, raw, force_insert, force_update, using, update_fields))

    async def asave_base(
        self,
        raw: bool = False,
        force_insert: bool | tuple[type[Model], ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Async twin of `save_base`."""
        await arun(ops.save.save_unchecked(self, raw, force_insert, force_update, using, update_fields))

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Delete this row and what depends on it; return the number of rows deleted, in all and by model label.

        Args:
            using: alias; else the routers' answer, else the one the instance came from.
            keep_parents: leave the rows in the tables of parent models.
        Raises: ProtectedError, RestrictedError: rows that point at it forbid it.
        """
        if type(self).adelete is not Model.adelete:
            self._check_twin("delete")
        return run(ops.delete.delete_instance(self, using, keep_parents))

    async def adelete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Async twin of `delete`."""
        if type(self).delete is not Model.delete:
            self._check_twin("adelete")
        return await arun(ops.delete.delete_instance(self, using, keep_parents))

    def _check_twin(self, name: str) -> None:
        """Refuse a method whose twin is overridden while it is not: what the override does would be left out."""
        cls = type(self)
        if getattr(cls, name) is getattr(Model, name):
            ops.announce.missing_twin(cls, name)()

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: QuerySet[Any, Any] | None = None,
    ) -> None:
        """Load the row again: the columns that were loaded, or those of *fields*. Cached relations are dropped.

        Args:
            using: alias; else the one the instance came from.
            fields: names of fields to load, deferred ones too; names of prefetched relations drop what was prefetched.
            from_queryset: where to look for the row (locked rows, other managers); the base manager by default.
        Raises: Model.DoesNotExist: the row is gone.
        """
        run(ops.refresh.refresh(self, using, fields, from_queryset))

    async def arefresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: QuerySet[Any, Any] | None = None,
    ) -> None:
        """Async twin of `refresh_from_db`."""
        await arun(ops.refresh.refresh(self, using, fields, from_queryset))

    # -- validation ----------------------------------------------------------------------------------------------
    def full_clean(
        self, exclude: Iterable[str] | None = None, validate_unique: bool = True, validate_constraints: bool = True
    ) -> None:
        """Validate fields, `clean`, uniqueness and constraints; `save` does none of it.

        Args:
            exclude: names of fields that take no part.
            validate_unique, validate_constraints: False leaves out these parts, which ask the database.
        Raises: ValidationError: with ``message_dict``: the messages by field name, ``"__all__"`` for those of no field.
        """
        run(validation.full_clean(self, exclude, validate_unique, validate_constraints))

    async def afull_clean(
        self, exclude: Iterable[str] | None = None, validate_unique: bool = True, validate_constraints: bool = True
    ) -> None:
        """Async twin of `full_clean`."""
        await arun(validation.full_clean(self, exclude, validate_unique, validate_constraints))

    def clean_fields(self, exclude: Iterable[str] | None = None) -> None:
        """Convert and validate the value of every field but those of *exclude*; raise ValidationError by field."""
        run(validation.clean_fields(self, exclude))

    async def aclean_fields(self, exclude: Iterable[str] | None = None) -> None:
        """Async twin of `clean_fields`."""
        await arun(validation.clean_fields(self, exclude))

    def clean(self) -> None:
        """Validate what concerns several fields; yours to override. It may set attributes and raise ValidationError."""

    def validate_unique(self, exclude: Iterable[str] | None = None) -> None:
        """Check unique fields, ``unique_together`` and ``unique_for_date`` and its like; raise ValidationError."""
        run(validation.unique(self, exclude))

    async def avalidate_unique(self, exclude: Iterable[str] | None = None) -> None:
        """Async twin of `validate_unique`."""
        await arun(validation.unique(self, exclude))

    def validate_constraints(self, exclude: Iterable[str] | None = None) -> None:
        """Check the constraints of ``Meta.constraints``; raise ValidationError."""
        run(validation.constraints(self, exclude))

    async def avalidate_constraints(self, exclude: Iterable[str] | None = None) -> None:
        """Async twin of `validate_constraints`."""
        await arun(validation.constraints(self, exclude))

    def unique_error_message(self, model_class: type[Model], unique_check: Iterable[str]) -> ValidationError:
        """Return the error of another row with the same values in the fields *unique_check*; yours to override."""
        return validation.unique_message(self, model_class, tuple(unique_check))

    def get_constraints(self) -> list[tuple[type[Model], list[Any]]]:
        """Return the model and its concrete ancestors, each with its constraints."""
        return [(model, model._meta.constraints) for model in validation.tables(self)]

    # -- identity ------------------------------------------------------------------------------------------------
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return NotImplemented
        if other._meta.concrete_model is not self._meta.concrete_model:
            return False
        pk = self.pk
        return self is other if pk is None else bool(pk == other.pk)

    def __hash__(self) -> int:
        if not self._is_pk_set():
            raise TypeError("Model instances without primary key value are unhashable")
        return hash(self.pk)

    def _is_pk_set(self) -> bool:
        """True when every column of the key has a value."""
        pk = self.pk
        return pk is not None and not (type(pk) is tuple and None in pk)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if PREFETCHED in state:
            # A copy keeps its own list of what was prefetched.
            state[PREFETCHED] = dict(state[PREFETCHED])
        origin = fetch_of(state)
        if origin is not None and origin.has_peers:
            state[ORIGIN] = origin.alias
        return state

    def __str__(self) -> str:
        return f"{self._meta.object_name} object ({self.pk})"

    def __repr__(self) -> str:
        return f"<{self._meta.object_name}: {self}>"


Model._base_save = (Model.save, Model.asave)
Model._base_validation = {
    name: vars(Model)[name]
    for part in ("clean_fields", "validate_unique", "validate_constraints")
    for name in (part, f"a{part}")
}
