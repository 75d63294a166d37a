"""CompositePrimaryKey: several columns that together are the primary key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dorm.db.types import SqlType
from dorm.exceptions import ImproperlyConfigured
from dorm.fields.base import Field


class CompositePrimaryKey(Field[tuple[Any, ...]]):
    """The primary key over several fields of the model; ``pk`` is the tuple of their values.

    Args:
        field_names: names of the fields, in order; they must exist in the model and cannot be NULL.

    The attribute must be called ``pk``. Foreign keys cannot refer to such a model.
    """

    is_composite = True
    description = "a tuple of the key's values"

    def __init__(self, *field_names: str, **options: Any) -> None:
        if not field_names or not all(isinstance(name, str) for name in field_names):
            raise ValueError("CompositePrimaryKey args must be unique strings.")
        if len(set(field_names)) != len(field_names):
            raise ValueError("CompositePrimaryKey args must be unique strings.")
        if len(field_names) == 1:
            raise ValueError("CompositePrimaryKey must include at least two fields.")
        for name, allowed in (("editable", False), ("primary_key", True), ("blank", True)):
            if options.pop(name, allowed) is not allowed:
                raise ValueError(f"CompositePrimaryKey {name} must be {allowed}.")
        for name in ("default", "db_default", "db_column", "null"):
            if options.pop(name, None):
                raise ValueError(f"CompositePrimaryKey cannot have {name}: set it on the fields of the key.")
        super().__init__(editable=False, blank=True, **options)
        self.primary_key = True
        self.field_names = tuple(field_names)

    # -- declaration ---------------------------------------------------------------------------------------------
    def contribute_to_class(self, cls: Any, name: str) -> None:
        if name != "pk":
            raise ImproperlyConfigured(f"{cls.__name__}.{name}: a CompositePrimaryKey must be named 'pk'.")
        self.name = self.attname = name
        self.column = None  # type: ignore[assignment]  # its columns are those of its fields
        self.verbose_name = self.verbose_name or "pk"
        self.model = cls
        current = getattr(cls._meta, "pk", None)
        if current is not None and current in cls._meta.local_fields:
            raise ImproperlyConfigured(f"{cls.__name__} has two primary keys, {current.name!r} and {name!r}: keep one.")
        cls._meta.add_field(self, private=True)
        cls._meta.pk = self
        cls.pk = self

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        return getattr(self, "name", None), "dorm.CompositePrimaryKey", list(self.field_names), {}

    @property
    def fields(self) -> tuple[Field[Any], ...]:
        """The fields of the key, in order."""
        meta = self.model._meta
        return tuple(meta.get_field(name) for name in self.field_names)

    @property
    def attnames(self) -> tuple[str, ...]:
        """Attribute names of the fields of the key."""
        return tuple(field.attname for field in self.fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the key."""
        return tuple(field.column for field in self.fields)

    def check_fields(self) -> None:
        """Refuse fields that cannot be part of a key."""
        for field in self.fields:
            if field.null or field.generated or field.column is None or field.model is not self.model:
                why = "it can be NULL" if field.null else "it is no plain column of the model's own table"
                raise ImproperlyConfigured(
                    f"{field.name!r} cannot be included in the composite primary key of {self.model.__name__}: {why}."
                )

    # -- values --------------------------------------------------------------------------------------------------
    @property
    def sql_type(self) -> SqlType:
        raise ImproperlyConfigured(
            f"{self.model.__name__} has a composite primary key, which is no column: relations to it and expressions "
            "over its pk are not supported. Use the fields of the key."
        )

    def db_type(self, connection: Any) -> None:
        return None

    def values_of(self, value: Any, what: str = "value", wanted: str = "a tuple or a list") -> tuple[Any, ...]:
        """Return the values of the key's fields: of a tuple, a list or an instance."""
        if hasattr(type(value), "_meta") and isinstance(value, self.model._meta.concrete_model):
            value = value.pk
        if not isinstance(value, (tuple, list)):
            raise ValueError(f"{what} of {self.name!r} must be {wanted}.")
        if len(value) != len(self.field_names):
            raise ValueError(f"{what} of {self.name!r} must have {len(self.field_names)} elements.")
        return tuple(value)

    if not TYPE_CHECKING:
        # A data descriptor, unlike plain fields: nothing stands in the instance's __dict__.
        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            return tuple([getattr(instance, attname) for attname in self.attnames])

        def __set__(self, instance, value):
            values = [None] * len(self.field_names) if value is None else self._assigned(value)
            for field, each in zip(self.fields, values, strict=True):
                setattr(instance, field.attname, each)

    def _assigned(self, value: Any) -> Sequence[Any]:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{self.name!r} must be a list or a tuple.")
        if len(value) != len(self.field_names):
            raise ValueError(f"{self.name!r} must have {len(self.field_names)} elements.")
        return value

    def pre_save(self, instance: Any, add: bool) -> Any:
        return getattr(instance, self.attname)

    def validate(self, value: Any, instance: Any) -> None:
        """Validated by its fields."""
