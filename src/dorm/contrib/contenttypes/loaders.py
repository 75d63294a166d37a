"""Loading behind generic foreign keys, both ways, for many instances at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dorm.contrib.contenttypes.models import content_types
from dorm.db.operation import Operation, operation
from dorm.queryset.loaders import Missing, Querysets, also_loading, is_listed, listed, matching, put_lists

if TYPE_CHECKING:
    from dorm.contrib.contenttypes.fields import GenericForeignKey, GenericRelation


class GenericKeyLoader:
    """The objects that a generic foreign key points at: one statement a model."""

    def __init__(self, field: GenericForeignKey) -> None:
        self.field = field

    def is_loaded(self, instance: Any, to_attr: str | None) -> bool:
        return self.field.is_cached(instance) if to_attr is None else to_attr in instance.__dict__

    def loaded(self, instance: Any, to_attr: str | None) -> Iterable[Any]:
        found = self.field.cached(instance) if to_attr is None else instance.__dict__[to_attr]
        return () if found is None else (found,)

    @operation
    def load(
        self, instances: list[Any], querysets: Querysets, to_attr: str | None, alias: str | None
    ) -> Operation[list[Any]]:
        field = self.field
        chosen = {queryset.model: queryset for queryset in querysets}
        by_type: dict[Any, list[Any]] = {}
        for each in instances:
            by_type.setdefault(getattr(each, field.ct_attname), []).append(each)
        found: list[Any] = []
        for type_id, same in by_type.items():
            rows: list[Any] = []
            model: Any = None
            if type_id is not None:
                content_type = yield from content_types.of_id(type_id, alias)
                model = content_type.model_class()
            if model is not None:
                start = chosen.get(model)
                start = model._base_manager.get_queryset() if start is None else start
                to_python = model._meta.pk.to_python
                keys = dict.fromkeys(to_python(getattr(each, field.fk_field)) for each in same)
                keys.pop(None, None)
                rows = yield from matching(also_loading(start, model._meta.pk), "pk", list(keys), alias)
                found.extend(rows)
            self._put(same, type_id, {row.pk: row for row in rows}, model, to_attr)
        return found

    def _put(self, instances: list[Any], type_id: Any, by_key: dict[Any, Any], model: Any, to_attr: str | None) -> None:
        field = self.field
        for each in instances:
            key = getattr(each, field.fk_field)
            row = by_key.get(model._meta.pk.to_python(key)) if model is not None else None
            if to_attr is not None:
                each.__dict__[to_attr] = row
            else:
                each.__dict__[field.name] = Missing((type_id, key)) if row is None else row


class GenericRowsLoader:
    """The rows whose generic foreign keys point at the instances: a list each."""

    def __init__(self, field: GenericRelation) -> None:
        self.field = field

    @property
    def accessor(self) -> str:
        return self.field.name

    def is_loaded(self, instance: Any, to_attr: str | None) -> bool:
        return is_listed(instance, self.field.name, to_attr)

    def loaded(self, instance: Any, to_attr: str | None) -> Iterable[Any]:
        return listed(instance, self.field.name, to_attr)

    @operation
    def load(
        self, instances: list[Any], querysets: Querysets, to_attr: str | None, alias: str | None
    ) -> Operation[list[Any]]:
        field = self.field
        target: Any = field.target
        object_id = target._meta.get_field(field.object_id_field)
        start = querysets[0] if querysets else target._default_manager.get_queryset()
        keys = [field.key_of(each) for each in instances if each.pk is not None]
        rows = yield from matching(
            field.rows(None, also_loading(start, object_id)), object_id.name, list(dict.fromkeys(keys)), alias
        )
        to_python = instances[0]._meta.pk.to_python
        grouped: dict[Any, list[Any]] = {}
        for row in rows:
            grouped.setdefault(to_python(getattr(row, object_id.attname)), []).append(row)
        put_lists(instances, instances[0]._meta.pk.attname, grouped, field.name, to_attr, querysets)
        return rows
