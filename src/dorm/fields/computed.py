"""GeneratedField: a column that the database computes from others of the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from dorm.db.types import SqlType
from dorm.exceptions import FieldError, ImproperlyConfigured, InvalidOption
from dorm.fields.base import Field
from dorm.sql.node import Node

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect

T = TypeVar("T")


class GeneratedFieldError(FieldError, AttributeError):
    """A generated column was assigned to, or read from a row that is not saved yet."""


class GeneratedField(Field[T]):
    """A column whose value the database computes; it is never written, and is read back when the row is saved.

    Args:
        expression: SQL text, or an expression over fields of the same table.
        output_field: field that says the column's type.
        stored: the value is kept in the row; else it is computed when it is read, where the backend can.
    """

    generated = True
    description = "nothing: the database computes it"

    def __init__(
        self,
        *,
        expression: Any,
        output_field: Field[T],
        stored: bool = True,
        db_persist: bool | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(output_field, Field):
            raise ImproperlyConfigured("GeneratedField needs an output_field: the field that says the column's type.")
        if not isinstance(expression, (str, Node)):
            raise ImproperlyConfigured("the expression of a GeneratedField is SQL text or an expression.")
        for name in ("default", "db_default", "editable", "auto_created"):
            if options.get(name):
                raise InvalidOption(f"GeneratedField cannot have {name}: the database computes its value.")
        if options.get("blank", True) is not True:
            raise InvalidOption("GeneratedField must be blank: nobody gives its value.")
        options.update(editable=False, blank=True)
        options["null"] = True
        super().__init__(**options)
        self.expression = expression
        self.output_field: Field[Any] = output_field
        self.stored = stored if db_persist is None else db_persist

    @property
    def db_persist(self) -> bool:
        """Django's name for `stored`."""
        return self.stored

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        for implied in ("editable", "blank", "null"):
            del kwargs[implied]
        kwargs["expression"] = self.expression
        kwargs["output_field"] = self.output_field
        if not self.stored:
            kwargs["stored"] = False
        return name, path, args, kwargs

    def contribute_to_class(self, cls: Any, name: str) -> None:
        super().contribute_to_class(cls, name)
        self.output_field = self.output_field._part_of(cls, name)

    # -- attribute -----------------------------------------------------------------------------------------------
    if not TYPE_CHECKING:

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            values = instance.__dict__
            if self.attname in values:
                return values[self.attname]
            if instance._state.adding:
                raise GeneratedFieldError(
                    f"Cannot read a generated field from an unsaved model: {self} is computed by the database."
                )
            return instance._load_deferred(self)

        def __set__(self, instance, value):
            self._refuse_value()

    def _refuse_value(self) -> NoReturn:
        raise GeneratedFieldError(f"{self} is generated: the database computes it, and it cannot be assigned.")

    def pre_save(self, instance: Any, add: bool) -> NoReturn:
        self._refuse_value()

    # -- types and values, all as the output field says ------------------------------------------------------------
    @property
    def sql_type(self) -> SqlType:
        return self.output_field.sql_type

    def get_internal_type(self) -> str:
        return self.output_field.get_internal_type()

    def db_type(self, connection: Any) -> str | None:
        return self.output_field.db_type(connection)

    def prepare(self, value: Any) -> Any:
        return self.output_field.prepare(value)

    def prepare_compared(self, value: Any) -> Any:
        """Return *value* as conditions on the output field take it."""
        return getattr(self.output_field, "prepare_compared", self.output_field.prepare)(value)

    def bind(self, dialect: Dialect) -> Converter | None:
        return self.output_field.bind(dialect)

    def load(self, dialect: Dialect) -> Converter | None:
        return self.output_field.load(dialect)

    def to_python(self, value: Any) -> Any:
        return self.output_field.to_python(value)

    def validate(self, value: Any, instance: Any) -> None:
        return
