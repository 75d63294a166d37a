"""``_meta``: what a model says about itself, and what is known about its fields, relations and parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from dorm.classes import standing
from dorm.conf.registry import Registry, registry
from dorm.db.connection import connections
from dorm.exceptions import FieldDoesNotExist, FieldError, ImproperlyConfigured, choices_text, nearest
from dorm.models.blank import Blank, blank_of
from dorm.models.layout import lay_out
from dorm.models.meta import (
    DEFAULTS,
    INHERITED_FROM_CONCRETE,
    app_label_of,
    check_table,
    given_options,
    named_for,
    spaced,
    together,
)
from dorm.sql.plan import Plan

if TYPE_CHECKING:
    from dorm.fields.base import Field
    from dorm.models.base import Model
    from dorm.queryset.manager import Manager
    from dorm.queryset.query import Query
    from dorm.relations.foreign_key import ForeignKey
    from dorm.relations.reverse import ForeignObjectRel, ForwardRelation

__all__ = ["Options", "app_label_of", "models_of"]


class Options:
    """The ``_meta`` of a model.

    Attributes:
        app_label, model_name, object_name, label: ``app``, ``author``, ``Author`` and ``app.Author``.
        local_fields: columns that the class adds to the table of its own, in the order of their declaration; none for a
            proxy.
        table_fields: columns of the table its rows stand in: those of its own, or of the model that a proxy stands for.
        fields: columns of its parents' tables and its own.
        attnames: attribute names of all columns.
        inserted_fields, generated_fields: own columns that an INSERT may name, and those the database computes.
        checked_fields: relations that look at the objects assigned to them before a save.
        pk: the primary key's field.
        order_with_respect_to: the relation that ``Meta`` names; its name while the class is abstract, None for a proxy.
        proxy_for_model: the class that a proxy was derived from, None for any other model.
        swappable, swapped: None: no setting puts another model in the place of one.
        parents: the concrete models it extends, each with the one-to-one field that leads to its table.
        relations: reverse relations by the name they have in queries, inherited ones included.
        plan: root of the plans of this model.
        constructs_directly: calling the class runs no code of its own.
        hydrates_directly: rows become instances without calling any code of the class.
        in_line: attributes that code may assign to instances one by one, as of `dorm.models.layout`.
        apps: the registry the model is in; the process-wide one unless ``Meta.apps`` names another.
        given: the options that ``Meta`` gave, as they were written.
    """

    constructs_directly: bool
    hydrates_directly: bool
    in_line: frozenset[str] = frozenset()
    managers_map: Mapping[str, Manager[Any]]
    default_manager: Manager[Any] | None = None
    base_manager: Manager[Any] | None = None

    pk: Field[Any]
    db_table: str
    plan: Plan[Query]
    swappable: ClassVar[None] = None
    swapped: ClassVar[None] = None

    def __init__(self, model: type[Model], meta: type | None, base: Options | None = None) -> None:
        given = given_options(model.__name__, meta)
        if base is not None and not base.abstract:
            for name in INHERITED_FROM_CONCRETE:
                if name not in given and not (name == "ordering" and "order_with_respect_to" in given):
                    given[name] = getattr(base, name)
        self.given: Mapping[str, Any] = MappingProxyType(given)
        self.model = model
        self.object_name = model.__name__
        self.model_name = model.__name__.lower()
        option = {**DEFAULTS, **given}
        self.app_label: str = option["app_label"] or app_label_of(model.__module__)
        self.apps: Registry = option["apps"] or registry
        self.abstract: bool = option["abstract"]
        self.proxy: bool = option["proxy"]
        self.managed: bool = option["managed"]
        self.read_only: bool = option["read_only"]
        ordering = option["ordering"]
        self.ordering: Sequence[Any] = ordering if isinstance(ordering, tuple) else list(ordering)
        self.indexes: list[Any] = named_for(option["indexes"], self.app_label, self.object_name)
        self.constraints: list[Any] = named_for(option["constraints"], self.app_label, self.object_name)
        self.unique_together: tuple[tuple[str, ...], ...] = together(option["unique_together"])
        self.db_table = option["db_table"] or f"{self.app_label.rpartition('.')[2]}_{self.model_name}"
        self.db_table_comment: str = option["db_table_comment"]
        self.db_tablespace: str = option["db_tablespace"]
        self.verbose_name: str = option["verbose_name"] or spaced(model.__name__)
        self.verbose_name_plural: str = option["verbose_name_plural"] or f"{self.verbose_name}s"
        self.default_manager_name: str | None = option["default_manager_name"]
        self.base_manager_name: str | None = option["base_manager_name"]
        self.default_related_name: str | None = option["default_related_name"]
        self.default_permissions: tuple[str, ...] = tuple(option["default_permissions"])
        self.permissions: list[tuple[str, str]] = list(option["permissions"])
        self.get_latest_by: Any = option["get_latest_by"]
        self.order_with_respect_to: Any = option["order_with_respect_to"]
        self.select_on_save: bool = option["select_on_save"]
        self.required_db_vendor: str | None = option["required_db_vendor"]
        self.required_db_features: tuple[str, ...] = tuple(option["required_db_features"])
        self.auto_created: Any = getattr(meta, "auto_created", False)
        self.concrete_model: type[Model] = model
        self.proxy_for_model: type[Model] | None = None
        self.local_managers: list[Manager[Any]] = []
        self.parents: dict[type[Model], Any] = {}
        self.local_fields: tuple[Field[Any], ...] = ()
        self.local_many_to_many: tuple[Any, ...] = ()
        self.private_fields: tuple[Any, ...] = ()
        self.table_fields: tuple[Field[Any], ...] = ()
        self.fields: tuple[Field[Any], ...] = ()
        self.attnames: frozenset[str] = frozenset()
        self.checked_fields: tuple[Any, ...] = ()
        self.generated_fields: tuple[Field[Any], ...] = ()
        self.inserted_fields: tuple[Field[Any], ...] = ()
        self.many_to_many: tuple[Any, ...] = ()
        self.relations: dict[str, ForeignObjectRel] = {}
        self._heirs: list[Options] = []
        self._by_name: dict[str, Field[Any]] = {}
        self._links: dict[type[Model], tuple[ForwardRelation, ...]] = {}
        if not self.abstract and not self.proxy:
            check_table(model.__name__, self.db_table)

    # -- names ---------------------------------------------------------------------------------------------------
    @property
    def label(self) -> str:
        """``app_label.ModelName``."""
        return f"{self.app_label}.{self.object_name}"

    @property
    def label_lower(self) -> str:
        """``app_label.modelname``."""
        return f"{self.app_label}.{self.model_name}"

    @property
    def total_unique_constraints(self) -> list[Any]:
        """The unique constraints over fields that hold for every row: those without condition."""
        return [each for each in self.constraints if each.is_total_unique]

    @property
    def verbose_name_raw(self) -> str:
        """The verbose name, under Django's second name for it."""
        return self.verbose_name

    # -- fields --------------------------------------------------------------------------------------------------
    @property
    def concrete_fields(self) -> tuple[Field[Any], ...]:
        """The fields that have a column."""
        return tuple(field for field in self.fields if field.column is not None)

    @property
    def local_concrete_fields(self) -> tuple[Field[Any], ...]:
        """The local fields that have a column."""
        return tuple(field for field in self.local_fields if field.column is not None)

    @property
    def table_columns(self) -> tuple[Field[Any], ...]:
        """The fields of the table that have a column."""
        return tuple(field for field in self.table_fields if field.column is not None)

    @cached_property
    def pk_fields(self) -> tuple[Field[Any], ...]:
        """The columns of the primary key: one, or those of a composite one."""
        found: tuple[Field[Any], ...] = getattr(self.pk, "fields", None) or (self.pk,)
        return found

    @cached_property
    def counted_fields(self) -> tuple[Field[Any], ...]:
        """Own columns that the database counts when an INSERT leaves them out."""
        return tuple(field for field in self.inserted_fields if field.sql_type.auto)

    @cached_property
    def written_fields(self) -> tuple[Field[Any], ...]:
        """The columns of the model's own table that an UPDATE of a row sets."""
        return tuple(field for field in self.inserted_fields if field not in self.pk_fields)

    @cached_property
    def blank(self) -> Blank | None:
        """What new instances start with, where their attributes are plain."""
        return blank_of(self)

    @cached_property
    def inserts_plainly(self) -> bool:
        """True when nothing but the fields' values takes part in an INSERT of one instance: no parents, no files."""
        return not (
            self.read_only
            or self.proxy
            or self.parents
            or self.file_fields
            or self.auto_created
            or self.row_order is not None
            or any(hasattr(field, "before_save") for field in self.private_fields)
        )

    @property
    def row_order(self) -> Any:
        """The relation among whose rows the table keeps an order, None where it keeps none."""
        return self.concrete_model._meta.order_with_respect_to

    @property
    def auto_field(self) -> Field[Any] | None:
        """The key that the database counts, or None."""
        return self.pk if self.pk in self.table_fields and self.pk.sql_type.auto else None

    def add_field(self, field: Any, private: bool = False) -> None:
        """Add a field (called by its ``contribute_to_class``); fields stay sorted by their declaration.

        Args:
            private: a field that belongs to this very class and has no column: generic relations and keys.
        """
        if field.name == "pk" and not getattr(field, "is_composite", False):
            raise FieldError(
                f"{self.object_name}.pk: 'pk' is a reserved word that cannot be used as a field name "
                "(but for a CompositePrimaryKey)."
            )
        if private:
            self.private_fields = (*[one for one in self.private_fields if one.name != field.name], field)
        elif getattr(field, "many_to_many", False):
            self.local_many_to_many = _placed(self.local_many_to_many, field)
        else:
            self._check_clash(field)
            self.local_fields = _placed(self.local_fields, field)
            if field.primary_key:
                self._take_key(field)
        self.refresh()
        plan = getattr(self, "plan", None)
        if plan is not None:
            plan.forget()

    def _take_key(self, field: Field[Any]) -> None:
        current = getattr(self, "pk", None)
        if current is not None and current.name != field.name and current in self.local_fields:
            raise ImproperlyConfigured(
                f"{self.object_name} has two primary keys, {current.name!r} and {field.name!r}: keep one."
            )
        self.pk = field
        self.__dict__.pop("pk_fields", None)

    def _check_clash(self, field: Field[Any]) -> None:
        """Refuse a field that shares its attribute name or its column with another one."""
        for other in self.local_fields:
            if other.name == field.name:
                continue
            if field.attname in (other.name, other.attname) or field.name == other.attname:
                raise FieldError(
                    f"{self.object_name}.{field.name} clashes with the field {other.name!r}: both use the attribute "
                    f"{field.attname!r}. Rename one."
                )
            if field.column is not None and field.column == other.column:
                raise FieldError(
                    f"{self.object_name}.{field.name} has the column {field.column!r}, which {other.name!r} uses. "
                    "Give one of them another db_column."
                )

    def refresh(self) -> None:
        """Gather inherited and own fields anew, here and in the models that inherit from this one."""
        if self.proxy and self.concrete_model is not self.model:
            source = self.concrete_model._meta
            self.table_fields = source.table_fields
            self.fields, self.many_to_many = source.fields, source.many_to_many
            self.private_fields = source.private_fields
        else:
            above = [parent._meta for parent in self.parents]
            inherited = dict.fromkeys(field for meta in above for field in meta.fields)
            self.table_fields = self.local_fields
            self.fields = (*inherited, *self.local_fields)
            many = dict.fromkeys(field for meta in above for field in meta.many_to_many)
            self.many_to_many = (*many, *self.local_many_to_many)
        every = (*self.fields, *self.many_to_many, *self.private_fields)
        self.attnames = frozenset(field.attname for field in self.fields)
        self.checked_fields = tuple(field for field in every if hasattr(field, "check_saved"))
        self.generated_fields = tuple(field for field in self.table_columns if field.generated)
        self.inserted_fields = tuple(field for field in self.table_columns if not field.generated)
        self._by_name = {field.attname: field for field in every if getattr(field, "attname", None)}
        self._by_name.update({field.name: field for field in every})
        self.__dict__.pop("written_fields", None)
        self.__dict__.pop("counted_fields", None)
        self.__dict__.pop("inserts_plainly", None)
        self.__dict__.pop("blank", None)
        self.__dict__.pop("dependents", None)
        for heir in self._heirs:
            heir.refresh()

    def get_field(self, name: str, *, where: str = "") -> Any:
        """Return the field of that name or attribute name, or the reverse relation of that name in queries.

        Args:
            where: what was given the name, for the message: ``"update()"``.
        Raises: FieldDoesNotExist.
        """
        found = self._field_or_relation(name)
        if found is None and not self.apps.is_settled:
            self.apps.settle()
            found = self._field_or_relation(name)
        if found is None:
            place = f" (in {where})" if where else ""
            raise FieldDoesNotExist(
                f"{self.object_name} has no field named {name!r}{place}.{nearest(str(name), self.names())} "
                f"Fields: {choices_text(self.names())}."
            )
        return found

    def _field_or_relation(self, name: str) -> Any:
        field = self.find(name)
        return field if field is not None else self.relations.get(name)

    def find(self, name: str) -> Field[Any] | None:
        """Return the field of that name or attribute name (of this model or its parents), or None."""
        return self._by_name.get(name)

    def get_fields(self, include_parents: bool = True, include_hidden: bool = False) -> tuple[Any, ...]:
        """Return reverse relations, columns, many-to-many and private fields.

        Args:
            include_parents: also what is inherited from other tables.
            include_hidden: also reverse relations without an accessor (``related_name`` ending in ``+``).
        """
        parents = [parent._meta for parent in self.parents] if include_parents else []
        above = [found for meta in parents for found in meta.get_fields(include_hidden=include_hidden)]
        inherited = [found for found in above if not _is_parent_link(found)]
        own = [
            relation
            for relation in self.relations.values()
            if relation not in above and (include_hidden or not _is_hidden(relation)) and self._owns(relation)
        ]
        mine = (*own, *self.table_fields, *self.concrete_model._meta.local_many_to_many, *self.private_fields)
        return tuple(dict.fromkeys([*inherited, *mine]))

    def _owns(self, relation: Any) -> bool:
        return bool(relation.model._meta.concrete_model is self.concrete_model)

    @property
    def related_objects(self) -> tuple[Any, ...]:
        """Reverse relations that have an accessor."""
        return tuple(relation for relation in self.relations.values() if not _is_hidden(relation))

    @property
    def fields_map(self) -> dict[str, Any]:
        """Fields and reverse relations by name, foreign keys also by the name of their key attribute."""
        return {**self.relations, **self._by_name}

    def names(self) -> list[str]:
        """Return the names that a query may start with."""
        fields = (*self.fields, *self.many_to_many, *self.private_fields)
        return [*[field.name for field in fields], *[name for name in self.relations if not name.endswith("+")]]

    # -- parents -------------------------------------------------------------------------------------------------
    def inherit(self, parent: Options, link: Any) -> None:
        """Extend the concrete model of *parent*; *link* is the one-to-one field to its table, None for a proxy."""
        concrete = parent.concrete_model._meta
        if link is None:
            self.concrete_model = concrete.model
            self.parents = dict(concrete.parents)
            self.db_table = concrete.db_table
            self.pk = concrete.pk
            self.__dict__.pop("pk_fields", None)
        else:
            self.parents[concrete.model] = link
        concrete._heirs.append(self)
        for relation in concrete.relations.values():
            if link is None or not _is_parent_link(relation):
                self.relations.setdefault(relation.name, relation)
        self.refresh()

    def link_to(self, ancestor: type[Model]) -> tuple[ForwardRelation, ...]:
        """Return the forward relations that lead to the table of *ancestor*; none for the model itself and proxies.

        Raises: FieldError: no ancestor of this model.
        """
        target = ancestor._meta.concrete_model
        if target is self.concrete_model:
            return ()
        found = self._links.get(target)
        if found is None:
            found = self._links[target] = self._way_to(target)
        return found

    def _way_to(self, target: type[Model]) -> tuple[ForwardRelation, ...]:
        for parent, link in self.parents.items():
            if parent is target:
                return (link.relation,)
            if issubclass(parent, target):
                return (link.relation, *parent._meta.link_to(target))
        raise FieldError(f"{self.object_name} does not inherit from {target.__name__}.")

    def get_parent_list(self) -> list[type[Model]]:
        """Return every concrete ancestor, nearest first."""
        found = dict.fromkeys(self.parents)
        for parent in self.parents:
            found.update(dict.fromkeys(parent._meta.get_parent_list()))
        return list(found)

    @property
    def all_parents(self) -> tuple[type[Model], ...]:
        """Every concrete ancestor, nearest first."""
        return tuple(self.get_parent_list())

    def get_base_chain(self, model: type[Model]) -> list[type[Model]]:
        """Return the models from the parent up to *model*; an empty list when it is no ancestor."""
        if model is self.model or model not in self.get_parent_list():
            return []
        return [relation.target for relation in self.link_to(model)]

    def get_ancestor_link(self, ancestor: type[Model]) -> ForeignKey[Any] | None:
        """Return the parent link of this model on the way to *ancestor*, None when there is none."""
        if ancestor in self.parents:
            link: ForeignKey[Any] = self.parents[ancestor]
            return link
        return next((self.parents[p] for p in self.parents if p._meta.get_ancestor_link(ancestor)), None)

    @property
    def heirs(self) -> list[type[Model]]:
        """The proxies of this model and the models that extend its table."""
        return [heir.model for heir in self._heirs]

    # -- relations -----------------------------------------------------------------------------------------------
    def add_relation(self, relation: ForeignObjectRel) -> None:
        """Make a reverse relation known to the concrete model and its heirs; clashes are refused."""
        meta = self.concrete_model._meta
        meta._check_relation(relation)
        meta._put_relation(relation)

    def _put_relation(self, relation: ForeignObjectRel) -> None:
        self.relations[relation.name] = relation
        self.__dict__.pop("dependents", None)
        plan = getattr(self, "plan", None)
        if plan is not None:
            plan.forget()
        for heir in self._heirs:
            if heir.proxy or not _is_parent_link(relation):
                heir._put_relation(relation)

    def drop_relations(self, owner: type[Model]) -> list[ForeignObjectRel]:
        """Forget the reverse relations of the fields of *owner*; return them."""
        dropped = [relation for relation in self.relations.values() if relation.field.model is owner]
        for relation in dropped:
            del self.relations[relation.name]
        self.__dict__.pop("dependents", None)
        return dropped

    def _check_relation(self, relation: ForeignObjectRel) -> None:
        name = relation.name
        clash = self._by_name.get(name)
        other = self.relations.get(name)
        same_field = other is not None and other.field.model._meta.label == relation.field.model._meta.label
        if clash is not None or (other is not None and not (same_field and other.field.name == relation.field.name)):
            what = f"field {name!r}" if clash is not None else f"the reverse of {other.field}" if other else ""
            raise ImproperlyConfigured(
                f"the reverse of {relation.field} is called {name!r} on {self.object_name}, which clashes with {what}. "
                "Give the foreign key a related_name of its own ('+' for none)."
            )

    @cached_property
    def dependents(self) -> tuple[ForeignObjectRel, ...]:
        """The reverse relations of foreign keys that do something when a row goes."""
        return tuple(
            relation
            for relation in self.relations.values()
            if hasattr(relation.field, "on_delete") and relation.field.on_delete.name != "DO_NOTHING"
        )

    # -- managers ------------------------------------------------------------------------------------------------
    @property
    def managers(self) -> tuple[Manager[Any], ...]:
        """The managers of the model, its own before inherited ones."""
        return tuple(self.managers_map.values())

    # -- the finished class --------------------------------------------------------------------------------------
    def finish(self) -> None:
        """Settle what depends on the finished class, and refuse options that name fields which do not exist."""
        base: Any = self.model.__mro__[-2]
        own: Any = self.model
        bare = all(getattr(own, name) is getattr(base, name) for name in ("__init__", "__setattr__", "__new__"))
        self.constructs_directly = bare and type(own).__call__ is type.__call__
        self.hydrates_directly = bare and own.from_db.__func__ is base.from_db.__func__
        for field in self.table_fields:
            # A relation's own column is plain: its descriptor stands under the relation's name.
            field.assigned_by_descriptor = hasattr(type(standing(own, field.attname)), "__set__")
        lay_out(self)
        self.file_fields = tuple(field for field in self.fields if field.keeps_files)
        for group in self.unique_together:
            for name in group:
                self._require(name, "unique_together")
        for index in self.indexes:
            for name in index.fields:
                if "(" not in name:
                    self._require(name.removeprefix("-"), "indexes")
        for name in self.ordering:
            if isinstance(name, str):
                first = name.removeprefix("-").partition("__")[0]
                if first not in ("?", "pk"):
                    self._require(first, "ordering")

    def _require(self, name: str, option: str) -> None:
        if self.find(name) is None and name not in self.relations:
            raise FieldDoesNotExist(
                f"{self.object_name}.Meta.{option} names {name!r}, which is no field.{nearest(name, self.names())} "
                f"Fields: {choices_text(self.names())}."
            )

    def can_migrate(self, connection: Any) -> bool:
        """Return whether the table of this model belongs on a database.

        Args:
            connection: what `connection_for` returns, or an alias.
        """
        if self.proxy or not self.managed:
            return False
        dialect = connections[connection if isinstance(connection, str) else connection.alias].dialect
        if self.required_db_vendor:
            return self.required_db_vendor == dialect.vendor
        return all(getattr(dialect, name, False) for name in self.required_db_features)

    def __repr__(self) -> str:
        return f"<Options of {self.label}>"

    def __str__(self) -> str:
        return self.label_lower


def _placed(fields: tuple[Any, ...], field: Any) -> tuple[Any, ...]:
    """Return *fields* with *field* in the order of declaration, in place of one of the same name."""
    rest = [other for other in fields if other.name != field.name]
    return tuple(sorted([*rest, field], key=lambda each: each.creation_counter))


def _is_parent_link(found: Any) -> bool:
    """True for the reverse of a link from a child's table to its parent's."""
    return not hasattr(found, "attname") and bool(getattr(getattr(found, "field", None), "parent_link", False))


def _is_hidden(relation: Any) -> bool:
    return bool(relation.accessor is None or relation.name.endswith("+"))


def models_of(label: str | None = None) -> list[type[Model]]:
    """Return the declared models, of one app or of all."""
    return registry.all(label)
