"""OneToOneField: a foreign key that is unique, so that the reverse is one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm.db.operation import run
from dorm.exceptions import InvalidValue, ObjectDoesNotExist
from dorm.models.base import Model
from dorm.queryset import late
from dorm.relations.foreign_key import CASCADE, ForeignKey, OnDelete
from dorm.relations.naming import related_does_not_exist
from dorm.relations.reverse import ManyToOneRel, OneToOneRel

if TYPE_CHECKING:
    from dorm.fields.options import FieldOptions

T = TypeVar("T")
R = TypeVar("R", bound=Model)


class OneToOneField(ForeignKey[T]):
    """One row of this model points at one row of *to*, which knows it as an attribute of its own.

    Takes the arguments of `ForeignKey`; *parent_link* makes it the link of a child model to its parent. The reverse
    attribute is called by *related_name*, else like this model in lower case; where no row points at the instance, it
    raises ``RelatedObjectDoesNotExist``, a subclass of this model's ``DoesNotExist`` and of AttributeError.
    """

    many_to_one: ClassVar[bool | None] = False
    one_to_one: ClassVar[bool | None] = True
    rel_class: ClassVar[type[ManyToOneRel]] = OneToOneRel

    if TYPE_CHECKING:
        # What ForeignKey takes, said again: checkers take the type of *self* from a class's own overloads.
        @overload
        def __init__(
            self: OneToOneField[R],
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
            self: OneToOneField[R | None],
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
        def __init__(self, to: Any, on_delete: Any = None, **options: Any) -> None: ...
    else:

        def __init__(self, to, on_delete=CASCADE, **options):
            options["unique"] = True
            super().__init__(to, on_delete, **options)

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("unique", None)
        return name, path, args, kwargs

    def _reverse_accessor(self) -> Any:
        return ReverseOneAccessor(self.remote_field)


class ReverseOneAccessor:
    """Attribute of the target of a one-to-one field: the object that points at the instance.

    Attributes:
        related: the relation. RelatedObjectDoesNotExist: raised where there is no such object.
    """

    def __init__(self, related: ManyToOneRel) -> None:
        self.related = related
        self._missing: type[ObjectDoesNotExist] | None = None

    @property
    def field(self) -> ForeignKey[Any]:
        """The field that makes the relation."""
        return self.related.field

    @property
    def RelatedObjectDoesNotExist(self) -> type[ObjectDoesNotExist]:  # noqa: N802  # Django's name
        """Raised where no object points at the instance."""
        if self._missing is None:
            related = self.related
            self._missing = related_does_not_exist(related.target, related.model, str(related.accessor))
        return self._missing

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        field, name, kept = self.related.field, self.related.accessor, self.related.object_key
        values = instance.__dict__
        key = getattr(instance, field.target_field.attname)
        if kept in values:
            found = values[kept]
            if found is None or found.__dict__.get(field.attname) == key:
                return self._present(instance, found)
        if key is None:
            return self._present(instance, None)
        late.check(instance, str(name), f"select_related({self.related.name!r})")
        run(late.relation(instance, self.related.loader))
        return self._present(instance, values[kept])

    def _present(self, instance: Any, found: Any) -> Any:
        if found is None:
            raise self.RelatedObjectDoesNotExist(f"{type(instance).__name__} has no {self.related.accessor}.")
        return found

    def __set__(self, instance: Any, value: Any) -> None:
        field, kept = self.related.field, self.related.object_key
        values = instance.__dict__
        if value is None:
            # What is cached loses its parent; the row itself is left as it is, as nothing was saved.
            before = values.pop(kept, None)
            if before is not None:
                field.__set__(before, None)
                values[kept] = None
            return
        if not isinstance(value, self.related.target):
            raise InvalidValue(
                f'Cannot assign {type(value).__name__}: "{type(instance).__name__}.{self.related.accessor}" must be a '
                f'"{self.related.target.__name__}" instance.'
            )
        field.__set__(value, instance)
        values[kept] = value
