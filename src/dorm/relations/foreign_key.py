"""ForeignKey: a column that holds the key of another model's row, and the object behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, Unpack, overload

from dorm.db.operation import run
from dorm.db.router import router
from dorm.exceptions import ImproperlyConfigured, InvalidValue, ObjectDoesNotExist, UnsavedInstance
from dorm.fields.base import NOT_PROVIDED, Field
from dorm.fields.options import FieldOptions
from dorm.models.base import Model
from dorm.models.deletion import parent_of
from dorm.models.routing import relate
from dorm.models.state import AWAITED, ORIGIN, object_key
from dorm.queryset import late
from dorm.queryset.loaders import Missing
from dorm.relations.field import RelationField
from dorm.relations.managers import ReverseAccessor
from dorm.relations.naming import check_accessor, check_reference, named_for, reference_text, related_does_not_exist
from dorm.relations.reverse import ForwardRelation, ManyToOneRel
from dorm.sql.exact import passes_as_target

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.db.types import SqlType

T = TypeVar("T")
R = TypeVar("R", bound=Model)


class OnDelete:
    """What happens to the rows with the key when the row they point at is deleted."""

    def __init__(self, name: str, value: Any = None) -> None:
        self.name = name
        self.value = value

    def __repr__(self) -> str:
        return self.name if self.name != "SET" else f"SET({self.value!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnDelete) and (self.name, self.value) == (other.name, other.value)

    def __hash__(self) -> int:
        return hash(self.name)


CASCADE = OnDelete("CASCADE")
PROTECT = OnDelete("PROTECT")
RESTRICT = OnDelete("RESTRICT")
SET_NULL = OnDelete("SET_NULL")
SET_DEFAULT = OnDelete("SET_DEFAULT")
DO_NOTHING = OnDelete("DO_NOTHING")


def SET(value: Any) -> OnDelete:  # noqa: N802  # Django's name
    """Return the rule that sets the key to *value*, or to what *value* returns when it is callable."""
    return OnDelete("SET", value)


class KeyAttribute:
    """``<name>_id``: the raw key; absent from the instance while it is deferred."""

    def __init__(self, field: ForeignKey[Any]) -> None:
        self.field = field

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        return instance._load_deferred(self.field)


class ForeignKey(RelationField[T]):
    """Many rows of this model point at one row of *to*.

    Args:
        to: the model: a class, ``"self"``, ``"Model"`` of the same app, or ``"app.Model"``.
        on_delete: CASCADE, PROTECT, RESTRICT, SET_NULL, SET_DEFAULT, SET(value) or DO_NOTHING.
        related_name: attribute of the target for the rows pointing at it (default ``<model>_set``); ``"+"`` for none.
            ``%(class)s``, ``%(model_name)s`` and ``%(app_label)s`` stand for those of each child of an abstract model.
        related_query_name: its name in queries (default: *related_name*, else the model's name).
        to_field: unique field of the target that the key refers to (default: its primary key).
        db_constraint: False leaves the reference out of the database.
        limit_choices_to: condition (dict, Q, or function giving one) that validation holds the object to.
        parent_link: this key is the link of a child model to its parent (one-to-one only).

    Attributes:
        object_key: key of an instance's ``__dict__`` for the object.
    """

    empty_strings_allowed = False
    many_to_one: ClassVar[bool | None] = True
    one_to_one: ClassVar[bool | None] = False
    one_to_many: ClassVar[bool | None] = False
    many_to_many: ClassVar[bool | None] = False
    rel_class: ClassVar[type[ManyToOneRel]] = ManyToOneRel
    relation: ForwardRelation
    remote_field: ManyToOneRel
    object_key: str

    @overload
    def __init__(
        self: ForeignKey[R],
        to: type[R],
        on_delete: OnDelete = ...,
        *,
        related_name: str | None = ...,
        related_query_name: str | None = ...,
        to_field: str | None = ...,
        db_constraint: bool = ...,
        limit_choices_to: Any = ...,
        parent_link: bool = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: ForeignKey[R | None],
        to: type[R],
        on_delete: OnDelete = ...,
        *,
        related_name: str | None = ...,
        related_query_name: str | None = ...,
        to_field: str | None = ...,
        db_constraint: bool = ...,
        limit_choices_to: Any = ...,
        parent_link: bool = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        to: str,
        on_delete: OnDelete = ...,
        *,
        related_name: str | None = ...,
        related_query_name: str | None = ...,
        to_field: str | None = ...,
        db_constraint: bool = ...,
        limit_choices_to: Any = ...,
        parent_link: bool = ...,
        null: bool = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(
        self,
        to: Any,
        on_delete: OnDelete = CASCADE,
        *,
        related_name: str | None = None,
        related_query_name: str | None = None,
        to_field: str | None = None,
        db_constraint: bool = True,
        limit_choices_to: Any = None,
        parent_link: bool = False,
        null: bool = False,
        **options: Any,
    ) -> None:
        check_reference(type(self).__name__, to)
        if not isinstance(on_delete, OnDelete):
            raise TypeError(
                "on_delete takes CASCADE, PROTECT, RESTRICT, SET_NULL, SET_DEFAULT, SET(...) or DO_NOTHING, "
                f"not {on_delete!r}"
            )
        if on_delete is SET_NULL and not null:
            raise ImproperlyConfigured("on_delete=SET_NULL needs null=True")
        if on_delete is SET_DEFAULT and options.get("default", NOT_PROVIDED) is NOT_PROVIDED and not null:
            raise ImproperlyConfigured("on_delete=SET_DEFAULT needs a default")
        options.setdefault("db_index", True)
        super().__init__(null=null, **options)
        self.to = to
        self.on_delete = on_delete
        self.to_field = to_field
        self.db_constraint = db_constraint
        self.parent_link = parent_link
        self._given = (related_name, related_query_name)
        self.limit_choices_to = limit_choices_to
        self._target: type[Model] | None = None
        self._target_field: Any = None
        self._absence: type[ObjectDoesNotExist] | None = None
        self._relate(related_name, related_query_name)

    def _relate(self, related_name: str | None, related_query_name: str | None) -> None:
        """Make the two directions of the relation."""
        self.relation = ForwardRelation(self)
        self.remote_field = self.rel_class(self, related_name, related_query_name, self.limit_choices_to)

    # -- declaration ---------------------------------------------------------------------------------------------
    def get_attname(self) -> str:
        return f"{self.name}_id"

    def set_attributes_from_name(self, name: str) -> None:
        super().set_attributes_from_name(name)
        self.object_key = object_key(self.name)

    def contribute_to_class(self, cls: Any, name: str) -> None:
        super().contribute_to_class(cls, name)
        setattr(cls, self.attname, KeyAttribute(self))
        if cls._meta.abstract:
            return
        self._relate(*named_for(cls, self._given))
        if self.to == "self":
            self._bind(cls)
        elif isinstance(self.to, str):
            cls._meta.apps.when_ready(cls._meta.app_label, self.to, self._bind)
        else:
            self._bind(self.to)

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.db_index:
            kwargs.pop("db_index", None)
        else:
            kwargs["db_index"] = False
        kwargs["to"] = reference_text(self.to, self._target)
        kwargs["on_delete"] = self.on_delete
        for option, value, default in (
            ("related_name", self._given[0], None),
            ("related_query_name", self._given[1], None),
            ("to_field", self.to_field, None),
            ("db_constraint", self.db_constraint, True),
            ("parent_link", self.parent_link, False),
        ):
            if value != default:
                kwargs[option] = value
        if self.limit_choices_to:
            kwargs["limit_choices_to"] = self.limit_choices_to
        return name, path, args, kwargs

    def _bind(self, target: type[Model]) -> None:
        """Take *target* as the other end and tell it about the reverse."""
        if hasattr(target._meta, "pk"):
            self._refuse_composite(target)
        self._target = target
        self._target_field = None
        relation = self.remote_field
        check_accessor(target, relation)
        target._meta.add_relation(relation)
        if relation.accessor is not None:
            setattr(target._meta.concrete_model, relation.accessor, self._reverse_accessor())

    def _refuse_composite(self, target: type[Model]) -> None:
        if self.to_field is None and target._meta.pk.is_composite:
            raise ImproperlyConfigured(
                f"{self} defines a relation involving {target.__name__}, which has a CompositePrimaryKey: such "
                "relations are not supported. Refer to a unique field of it by to_field."
            )

    def _reverse_accessor(self) -> Any:
        return ReverseAccessor(self.remote_field)

    def clone(self) -> Self:
        made = super().clone()
        made._target = made._target_field = made._absence = None
        made._relate(*self._given)
        return made

    @property
    def target_field(self) -> Field[Any]:
        """The field of the target that the key refers to."""
        if self._target_field is None:
            meta = self.target._meta
            # A class that points at itself is bound before its own key is known.
            self._refuse_composite(self.target)
            self._target_field = meta.get_field(self.to_field) if self.to_field is not None else meta.pk
        found: Field[Any] = self._target_field
        return found

    # -- values --------------------------------------------------------------------------------------------------
    @property
    def sql_type(self) -> SqlType:
        found: SqlType = self.target_field.rel_sql_type
        return found

    def db_type(self, connection: Any) -> str | None:
        found: str | None = self.target_field.rel_db_type(connection)
        return found

    @property
    def prepares(self) -> bool:
        return True

    @passes_as_target
    def prepare(self, value: Any) -> Any:
        """Return the key that *value* (an instance or a raw key) stands for."""
        if isinstance(value, Model):
            value = self.key_of(value)
        return self.target_field.prepare(value)

    def to_python(self, value: Any) -> Any:
        return super().to_python(value) if isinstance(value, Model) else self.target_field.to_python(value)

    def key_of(self, instance: Model) -> Any:
        """Return the key of an instance of the target; refuse other models and instances without a key."""
        if not self.takes(instance):
            raise InvalidValue(
                f'Cannot query "{type(instance).__name__} object": Must be "{self.target.__name__}" instance ({self}).'
            )
        field: Any = self.target_field
        while field.is_relation and not isinstance(instance, field.model):
            # An instance of a parent's table: its key is what the child's link holds.
            field = field.target_field
        key = getattr(instance, field.attname)
        if key is None or instance.pk is None:
            raise UnsavedInstance(
                f"{self} needs a saved {self.target.__name__}: this instance has no key. Save it first."
            )
        return key

    def takes(self, instance: Any) -> bool:
        """Return whether *instance* is one of the target's table, of a table it extends, or of one that extends it."""
        own = self.target._meta.concrete_model
        return isinstance(instance, own) or (isinstance(instance, Model) and issubclass(own, type(instance)))

    def bind(self, dialect: Dialect) -> Converter | None:
        found: Converter | None = self.target_field.bind(dialect)
        return found

    def load(self, dialect: Dialect) -> Converter | None:
        found: Converter | None = self.target_field.load(dialect)
        return found

    # -- the object ----------------------------------------------------------------------------------------------
    if not TYPE_CHECKING:
        # Type checkers see the overloads of Field.__get__: the class gives the field, an instance the object.
        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            values = instance.__dict__
            key = values[self.attname] if self.attname in values else getattr(instance, self.attname)
            cached = values.get(self.object_key)
            if cached is not None:
                if cached.__class__ is Missing:
                    if cached.key == key:
                        return self._absent(instance)
                elif self._belongs(getattr(cached, self.target_field.attname), key):
                    return cached
                elif key is None and self.name in values.get(AWAITED, ()):
                    # It was saved since it was assigned; its key is taken over when this instance is.
                    return cached
                values.pop(self.object_key, None)
            if key is None:
                return self._absent(instance)
            if self.parent_link and self.target._meta.attnames <= values.keys():
                # What the parent's row holds stands in the child already.
                values[self.object_key] = parent = parent_of(instance, self.target, self)
                if self.remote_field.accessor is not None:
                    parent.__dict__[self.remote_field.object_key] = instance
                return parent
            late.check(instance, self.name, f"select_related({self.name!r})")
            run(late.relation(instance, self.loader))
            found = values[self.object_key]
            if found.__class__ is Missing:
                del values[self.object_key]
                raise self.target.DoesNotExist(f"{self.target.__name__} matching query does not exist ({self}).")
            return found

        def _carry_keys(self, values, value):
            """Give a child the keys that it has in the tables of the parent *value* and of those above it."""
            pk = self.target._meta.pk
            while pk is not None:
                values[pk.attname] = getattr(value, pk.attname, None)
                pk = pk.target._meta.pk if pk.is_relation and pk.parent_link else None

        def _absent(self, instance):
            if self.null:
                return
            raise self.RelatedObjectDoesNotExist(f"{type(instance).__name__} has no {self.name}.")

        def __set__(self, instance, value):
            values = instance.__dict__
            if self.parent_link:
                self._carry_keys(values, value)
            if value is None:
                values[self.attname] = None
                before = values.pop(self.object_key, None)
                if self.one_to_one and self.remote_field.accessor is not None and isinstance(before, Model):
                    before.__dict__[self.remote_field.object_key] = None
                return
            if not isinstance(value, self.target._meta.concrete_model):
                raise InvalidValue(
                    f'Cannot assign {type(value).__name__}: "{type(instance).__name__}.{self.name}" must be a '
                    f'"{self.target.__name__}" instance. For a raw key assign to {self.attname}.'
                )
            if value.__dict__.get(ORIGIN) is not values.get(ORIGIN) or router.has_any_yet:
                relate(instance, value)
            key = values[self.attname] = getattr(value, self.target_field.attname)
            values[self.object_key] = value
            if key is None:
                values[AWAITED] = {*values.get(AWAITED, ()), self.name}
            if self.one_to_one and self.remote_field.accessor is not None:
                value.__dict__[self.remote_field.object_key] = instance

    @property
    def RelatedObjectDoesNotExist(self) -> type[ObjectDoesNotExist]:  # noqa: N802  # Django's name
        """Raised where an object is asked for and the key is not set; also an AttributeError."""
        if self._absence is None:
            self._absence = related_does_not_exist(self.target, self.model, self.name)
        return self._absence

    def _belongs(self, held: Any, key: Any) -> bool:
        """Return whether the key *held* by an object is the raw *key*, also where that is the text of it."""
        if held == key:
            return True
        return key.__class__ is not held.__class__ and bool(self.target_field.prepared_or_none(key) == held)

    def is_cached(self, instance: Any) -> bool:
        """True when the object stands on *instance* and belongs to its key."""
        cached = instance.__dict__.get(self.object_key)
        if cached is None:
            return False
        key = cached.key if cached.__class__ is Missing else getattr(cached, self.target_field.attname)
        return self._belongs(key, instance.__dict__.get(self.attname))

    def check_saved(self, instance: Any, operation: str = "save") -> None:
        """Take over the key of an object that was saved after it was assigned; refuse one that was not saved."""
        cached = instance.__dict__.get(self.object_key)
        if cached is None or cached.__class__ is Missing:
            return
        values = instance.__dict__
        key = getattr(cached, self.target_field.attname)
        current = values.get(self.attname)
        if cached.pk is None and key == current:
            raise UnsavedInstance(
                f"{operation}() prohibited to prevent data loss due to unsaved related object '{self.name}': "
                f"save {self.target.__name__} first."
            )
        if current is None and self.name in values.get(AWAITED, ()):
            values[self.attname] = key
            values[AWAITED] = values[AWAITED] - {self.name}
