"""``Meta``: what a model says about itself, and what is known about its fields and relations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dorm.conf.registry import registry
from dorm.exceptions import FieldDoesNotExist, FieldError, ImproperlyConfigured, choices_text, nearest
from dorm.sql.plan import Plan

if TYPE_CHECKING:
    from dorm.fields.base import Field
    from dorm.indexes import Index
    from dorm.models.base import Model
    from dorm.queryset.query import Query
    from dorm.relations.reverse import ReverseRelation

_OPTIONS = frozenset(
    {
        "abstract",
        "app_label",
        "db_table",
        "indexes",
        "managed",
        "ordering",
        "unique_together",
        "verbose_name",
        "verbose_name_plural",
    }
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LONGEST_NAME = 63


def app_label_of(module: str) -> str:
    """Return the app label of a module: a trailing ``.models`` removed, else the first component."""
    return module.removesuffix(".models") if module.endswith(".models") else module.partition(".")[0]


class Options:
    """The ``_meta`` of a model.

    Attributes:
        app_label, model_name, label: ``app``, ``author`` and ``app.Author``.
        fields: concrete fields in the order of their declaration.
        pk: the primary key's field.
        relations: reverse relations by the name they have in queries.
        plan: root of the plans of this model.
        hydrates_directly: rows become instances without calling any code of the class.
    """

    hydrates_directly: bool

    pk: Field[Any]
    db_table: str
    plan: Plan[Query]

    def __init__(self, model: type[Model], meta: type | None) -> None:
        given = {name: value for name, value in vars(meta).items() if not name.startswith("_")} if meta else {}
        unknown = set(given) - _OPTIONS
        if unknown:
            name = sorted(unknown)[0]
            raise ImproperlyConfigured(
                f"{model.__name__}.Meta has no option {name!r}.{nearest(name, _OPTIONS)} "
                f"Options: {choices_text(sorted(_OPTIONS))}."
            )
        self.model = model
        self.object_name = model.__name__
        self.model_name = model.__name__.lower()
        self.app_label: str = given.get("app_label") or app_label_of(model.__module__)
        self.abstract: bool = given.get("abstract", False)
        self.managed: bool = given.get("managed", True)
        self.ordering: tuple[Any, ...] = tuple(given.get("ordering", ()))
        self.indexes: list[Index] = list(given.get("indexes", ()))
        self.unique_together: tuple[tuple[str, ...], ...] = _together(given.get("unique_together", ()))
        self.db_table = given.get("db_table") or f"{self.app_label.rpartition('.')[2]}_{self.model_name}"
        self.verbose_name: str = given.get("verbose_name") or _spaced(model.__name__)
        self.verbose_name_plural: str = given.get("verbose_name_plural") or f"{self.verbose_name}s"
        self.fields: tuple[Field[Any], ...] = ()
        self.relations: dict[str, ReverseRelation] = {}
        self._by_name: dict[str, Field[Any]] = {}
        self._by_attname: dict[str, Field[Any]] = {}
        if not self.abstract:
            _check_table(model.__name__, self.db_table)

    @property
    def label(self) -> str:
        """``app_label.ModelName``."""
        return f"{self.app_label}.{self.object_name}"

    @property
    def label_lower(self) -> str:
        """``app_label.modelname``."""
        return f"{self.app_label}.{self.model_name}"

    @property
    def concrete_model(self) -> type[Model]:
        """The model whose table this is."""
        return self.model

    @property
    def concrete_fields(self) -> tuple[Field[Any], ...]:
        """The fields that have a column."""
        return self.fields

    # -- fields --------------------------------------------------------------------------------------------------
    def add_field(self, field: Field[Any]) -> None:
        """Add a field (called by its ``contribute_to_class``); fields stay sorted by their declaration."""
        known = self._by_name.get(field.name)
        self._by_name[field.name] = field
        self._by_attname[field.attname] = field
        rest = [other for other in self.fields if other is not known]
        self.fields = tuple(sorted([*rest, field], key=lambda each: each.creation_counter))
        if field.primary_key:
            current = getattr(self, "pk", None)
            if current is not None and current.name != field.name:
                raise ImproperlyConfigured(
                    f"{self.object_name} has two primary keys, {current.name!r} and {field.name!r}: keep one."
                )
            self.pk = field

    def get_field(self, name: str) -> Field[Any]:
        """Return the field of that name or attribute name (``author`` and ``author_id`` give the same)."""
        field = self.find(name)
        if field is None:
            raise FieldDoesNotExist(
                f"{self.object_name} has no field {name!r}.{nearest(name, self.names())} "
                f"Fields: {choices_text(self.names())}."
            )
        return field

    def find(self, name: str) -> Field[Any] | None:
        """Return the field of that name or attribute name, or None."""
        return self._by_name.get(name) or self._by_attname.get(name)

    def get_fields(self) -> tuple[Field[Any] | ReverseRelation, ...]:
        """Return fields and reverse relations."""
        return (*self.fields, *self.relations.values())

    def names(self) -> list[str]:
        """Return the names that a query may start with."""
        return [*[field.name for field in self.fields], *self.relations]

    def add_relation(self, relation: ReverseRelation) -> None:
        """Make a reverse relation known; clashes with a field or another relation are refused."""
        name = relation.name
        clash = self._by_name.get(name) or self._by_attname.get(name)
        other = self.relations.get(name)
        same_field = other is not None and other.field.model._meta.label == relation.field.model._meta.label
        if clash is not None or (other is not None and not (same_field and other.field.name == relation.field.name)):
            what = f"field {name!r}" if clash is not None else f"the reverse of {other.field}" if other else ""
            raise ImproperlyConfigured(
                f"the reverse of {relation.field} is called {name!r} on {self.object_name}, which clashes with {what}. "
                "Give the foreign key a related_name of its own ('+' for none)."
            )
        self.relations[name] = relation

    def finish(self) -> None:
        """Settle what depends on the finished class, and refuse options that name fields which do not exist."""
        base: Any = self.model.__mro__[-2]
        own: Any = self.model
        self.hydrates_directly = own.from_db.__func__ is base.from_db.__func__ and all(
            getattr(own, name) is getattr(base, name) for name in ("__init__", "__setattr__", "__new__")
        )
        for group in self.unique_together:
            for name in group:
                self._require(name, "unique_together")
        for index in self.indexes:
            for name in index.fields:
                self._require(name.removeprefix("-"), "indexes")
        for name in self.ordering:
            if isinstance(name, str):
                first = name.removeprefix("-").partition("__")[0]
                if first not in ("?", "pk"):
                    self._require(first, "ordering")

    def _require(self, name: str, option: str) -> None:
        if self.find(name) is None and name not in self.relations:
            raise FieldError(
                f"{self.object_name}.Meta.{option} names {name!r}, which is no field.{nearest(name, self.names())} "
                f"Fields: {choices_text(self.names())}."
            )

    def __repr__(self) -> str:
        return f"<Options of {self.label}>"


def _together(given: Iterable[Any]) -> tuple[tuple[str, ...], ...]:
    """Return ``unique_together`` as a tuple of tuples; one flat tuple of names is one group."""
    groups = list(given)
    if groups and all(isinstance(name, str) for name in groups):
        return (tuple(groups),)
    return tuple(tuple(group) for group in groups)


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def _check_table(model: str, table: str) -> None:
    if not _IDENTIFIER.match(table) or len(table) > _LONGEST_NAME:
        raise ImproperlyConfigured(
            f"{model}.Meta.db_table {table!r} is no identifier: letters, digits and underscores, "
            f"at most {_LONGEST_NAME} characters, not starting with a digit."
        )


def models_of(label: str | None = None) -> list[type[Model]]:
    """Return the declared models, of one app or of all."""
    return registry.all(label)
