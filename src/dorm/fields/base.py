"""Field: one column of a model, the descriptor of its attribute, and the way of its values to the driver and back."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self, TypeVar, overload

from dorm import choices as choice_forms
from dorm.db.secret_names import add_secret_names
from dorm.db.types import CUSTOM, SqlType
from dorm.exceptions import ImproperlyConfigured, InvalidValue, UnsavedInstance, ValidationError
from dorm.fields import overrides
from dorm.fields.defaults import DatabaseDefault
from dorm.fields.options import DECONSTRUCTED, NOT_PROVIDED, NotProvided
from dorm.lookups.registry import RegisterLookupMixin
from dorm.sql.node import Node

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect

__all__ = ["EMPTY_VALUES", "NOT_PROVIDED", "DatabaseDefault", "Field", "NotProvided"]

T = TypeVar("T")

_counter = itertools.count()

EMPTY_VALUES: tuple[Any, ...] = (None, "", [], (), {})

_INTERNAL: dict[str, type[Field[Any]]] = {}
"""Classes of dorm by the name that ``get_internal_type`` gives."""


class Field(RegisterLookupMixin, Generic[T]):
    """One column.

    Reading the attribute of an instance gives a value of type `T`; reading it on the class gives the field. It is a
    non-data descriptor: a loaded value stands in the instance's ``__dict__`` and is found there first, and a column
    that was not loaded is absent from it.

    Args (of every field):
        verbose_name: what people call it (default: the attribute's name with spaces).
        null: the column may hold NULL. blank: validation accepts an empty value.
        primary_key, unique, db_index: keys and indexes. unique_for_date, _month, _year: unique among the rows of the
            same date in the field named (validation only).
        default: value, or function without arguments, of a new instance. db_default: literal or expression of which
            the database makes the value of rows that give none.
        max_length: characters, for fields of text. editable: False leaves the field out of validation.
        choices: (value, label) pairs, groups, a mapping, a `Choices` class, or a function that returns one of these.
        validators: functions that raise ValidationError. error_messages: texts in place of the usual ones, by code.
        db_column, db_comment, db_tablespace: name, comment and tablespace of the column.
        serialize: False leaves the field out of dumps. pii: personal data, masked where something is exported.
    """

    is_relation: ClassVar[bool] = False
    is_composite: ClassVar[bool] = False
    many_to_one: ClassVar[bool | None] = None
    generated: ClassVar[bool] = False
    """True when the database computes every value of the column."""
    keeps_files: ClassVar[bool] = False
    """True when values are files, which are kept in a storage before the row is written."""
    assigned_by_descriptor: bool = False
    """True when the attribute of the model has a ``__set__`` that assignment must go through."""
    one_to_one: ClassVar[bool | None] = None
    one_to_many: ClassVar[bool | None] = None
    many_to_many: ClassVar[bool | None] = None
    hidden: ClassVar[bool] = False
    related_model: Any = None
    remote_field: Any = None
    """The model and the relation at the other end of a relation."""

    empty_strings_allowed: ClassVar[bool] = True
    empty_values: ClassVar[Iterable[Any]] = EMPTY_VALUES
    description: ClassVar[str] = "a value"
    """What the field takes, for messages."""
    internal_type: ClassVar[str] = ""
    default_validators: ClassVar[Iterable[Callable[[Any], None]]] = ()
    default_error_messages: ClassVar[dict[str, str]] = {
        "null": "This field cannot be null.",
        "blank": "This field cannot be blank.",
        "invalid_choice": "Value %(value)r is not a valid choice.",
        "unique": "%(model_name)s with this %(field_label)s already exists.",
        "unique_for_date": "%(field_label)s must be unique for %(date_field_label)s %(lookup_type)s.",
    }

    name: str
    attname: str
    column: str
    model: Any

    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        primary_key: bool = False,
        max_length: int | None = None,
        unique: bool = False,
        blank: bool = False,
        null: bool = False,
        db_index: bool = False,
        default: Any = NOT_PROVIDED,
        editable: bool = True,
        serialize: bool = True,
        unique_for_date: str | None = None,
        unique_for_month: str | None = None,
        unique_for_year: str | None = None,
        choices: Any = None,
        help_text: str = "",
        db_column: str | None = None,
        db_tablespace: str | None = None,
        auto_created: bool = False,
        validators: Iterable[Callable[[Any], None]] = (),
        error_messages: Any = None,
        db_comment: str | None = None,
        db_default: Any = NOT_PROVIDED,
        pii: bool = False,
    ) -> None:
        if primary_key and null:
            raise ImproperlyConfigured("a primary key cannot be null")
        self.verbose_name = self._verbose_name = verbose_name
        self._given_name = name
        self.primary_key = primary_key
        self.max_length = max_length
        self._unique = unique
        self.unique = unique or primary_key
        self.blank = blank
        self.null = null
        self.db_index = db_index
        self.default = default
        self.db_default = db_default
        self.editable = editable
        self.serialize = serialize
        self.unique_for_date = unique_for_date
        self.unique_for_month = unique_for_month
        self.unique_for_year = unique_for_year
        self._choices = choice_forms.normalised(choices)
        self.help_text = help_text
        self.db_column = db_column
        self.db_tablespace = db_tablespace
        self.db_comment = db_comment
        self._given_validators = list(validators)
        self.validators = [*self.default_validators, *self._given_validators]
        self._given_messages = dict(error_messages) if error_messages else None
        self.error_messages = {**self._default_messages(), **(error_messages or {})}
        self.pii = pii
        self.auto_created = auto_created
        self.creation_counter: float = next(_counter)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("dorm.fields"):
            if "internal_type" not in vars(cls):
                cls.internal_type = cls.__name__
            _INTERNAL.setdefault(cls.internal_type, cls)
        overrides.settle(cls, Field)

    @classmethod
    def _default_messages(cls) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in reversed(cls.__mro__):
            found.update(vars(each).get("default_error_messages", {}))
        return found

    # -- declaration ---------------------------------------------------------------------------------------------
    def check_fields(self) -> None:
        """Refuse what a field over other fields is made of, once the class is complete."""

    def set_attributes_from_name(self, name: str) -> None:
        """Take *name*, the attribute of the model, and what follows from it."""
        self.name = self._given_name or name
        self.attname, self.column = self.get_attname_column()
        if self.verbose_name is None:
            self.verbose_name = self.name.replace("_", " ")

    def get_attname(self) -> str:
        """Return the attribute of instances that holds the value."""
        return self.name

    def get_attname_column(self) -> tuple[str, str]:
        """Return the attribute's name and the column's."""
        attname = self.get_attname()
        return attname, self.db_column or attname

    def contribute_to_class(self, cls: Any, name: str) -> None:
        """Become the field *name* of a model class."""
        if name.endswith("_") or "__" in name:
            raise ImproperlyConfigured(
                f"{cls.__name__}.{name}: field names must not end with an underscore or contain two in a row, "
                "which separate the parts of a lookup."
            )
        self.set_attributes_from_name(name)
        self.model = cls
        if self.pii:
            add_secret_names([self.column])
        cls._meta.add_field(self)
        setattr(cls, self.name, self)

    def clone(self) -> Self:
        """Return a copy that belongs to no model yet."""
        made = copy.copy(self)
        made.validators = list(self.validators)
        made.verbose_name = self._verbose_name
        for name in ("model", "name", "attname", "column"):
            vars(made).pop(name, None)
        return made

    def _part_of(self, cls: Any, name: str) -> Self:
        """Return a copy that says of what type the values in the field *name* of a class are.

        A copy, since the field that was given is shared: by the copies that each child of an abstract model has, and by
        the historical classes of migrations, which would live on in it.
        """
        made = self.clone()
        made.set_attributes_from_name(name)
        made.model = cls
        return made

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        """Return name, import path, arguments and keywords from which an equal field can be made.

        A subclass with options of its own extends it: ``name, path, args, kwargs = super().deconstruct()``.
        """
        kwargs: dict[str, Any] = {}
        for option, default, attribute in DECONSTRUCTED:
            value = getattr(self, attribute)
            if value is default or (isinstance(default, list) and value == default):
                continue
            kwargs[option] = value
        return getattr(self, "name", None), _path(type(self)), [], kwargs

    def __str__(self) -> str:
        model = getattr(self, "model", None)
        return f"{model._meta.label}.{self.name}" if model is not None else type(self).__name__

    def __repr__(self) -> str:
        name = getattr(self, "name", None)
        cls = type(self)
        return f"<{cls.__module__}.{cls.__qualname__}{'' if name is None else f': {name}'}>"

    @property
    def concrete(self) -> bool:
        """True when the field has a column of its own."""
        return getattr(self, "column", None) is not None

    def __lt__(self, other: object) -> bool:
        if isinstance(other, Field):
            return self.creation_counter < other.creation_counter
        return NotImplemented

    # -- attribute -----------------------------------------------------------------------------------------------
    @overload
    def __get__(self, instance: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, instance: Any, owner: Any = None) -> T: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        # The value would have been found in the instance's __dict__: this column was not loaded.
        load = getattr(instance, "_load_deferred", None)
        # A field may also be the attribute of something that is no model: `output_field` of a function's class.
        return self if load is None else load(self)

    if TYPE_CHECKING:
        # At run time there is no __set__: assignment goes to the instance's __dict__ at full speed.
        def __set__(self, instance: Any, value: T | Node) -> None: ...

    # -- types ---------------------------------------------------------------------------------------------------
    @property
    def sql_type(self) -> SqlType:
        """The type of the column: that of the field class which `get_internal_type` names."""
        home = _INTERNAL.get(self.get_internal_type())
        if home is not None:
            return home.type_for(self)
        if type(self).db_type is not Field.db_type:
            return CUSTOM
        raise NotImplementedError(
            f"{type(self).__name__} has no column type: override db_type(connection), or get_internal_type() with the "
            "name of one of dorm's fields."
        )

    @classmethod
    def type_for(cls, field: Field[Any]) -> SqlType:
        """Return the column type of *field*, which calls itself one of this class (``get_internal_type``)."""
        found: SqlType = cls.sql_type.fget(field)  # type: ignore[attr-defined]  # a property, seen as its value
        return found

    @property
    def rel_sql_type(self) -> SqlType:
        """The type of a column that refers to this one."""
        return self.sql_type

    def db_type(self, connection: Any) -> str | None:
        """Return the column's type as *connection* spells it; None for a field without a column."""
        spelled: str = connection.dialect.column_type(self.sql_type)
        return spelled

    def rel_db_type(self, connection: Any) -> str | None:
        """Return the type of a column that refers to this one."""
        if self.rel_sql_type == self.sql_type:
            return self.db_type(connection)
        spelled: str = connection.dialect.column_type(self.rel_sql_type)
        return spelled

    def cast_db_type(self, connection: Any) -> str | None:
        """Return the type that a cast to this field names."""
        return self.db_type(connection)

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        """Return the column's type as a mapping, as Django's introspection wants it."""
        return {"type": self.db_type(connection)}

    def get_internal_type(self) -> str:
        """Return the name of dorm's field class that this one is stored like."""
        return self.internal_type or type(self).__name__

    @property
    def db_returning(self) -> bool:
        """True when the database makes the value of a row that gives none, so that it must be read back."""
        return self.has_db_default or self.generated or self.sql_type.auto

    # -- values --------------------------------------------------------------------------------------------------
    @property
    def prepares(self) -> bool:
        """False when every value passes `prepare` unchanged, so that it need not be called."""
        return True

    def prepare(self, value: Any) -> Any:
        """Return the value that is bound for *value* (never None, never an expression).

        Raises: InvalidValue: a value this field cannot take.
        """
        return value

    own_prepare = prepare
    """The conversion below an overridden ``get_prep_value`` (see `dorm.fields.overrides`)."""

    def prepared_or_none(self, value: Any) -> Any:
        """Return what `prepare` makes of *value*, None for what the field cannot take and for None."""
        try:
            return None if value is None else self.prepare(value)
        except InvalidValue:
            return None

    def get_prep_value(self, value: Any) -> Any:
        """Return *value* (None included) as Python's value for the column. Override it to store another form."""
        return None if value is None else self.own_prepare(value)

    def bind(self, dialect: Dialect) -> Converter | None:
        """Return what turns a prepared value into the driver's; None when nothing must be done."""
        return dialect.named_binder(self.sql_type, f"{self}")

    own_bind = bind

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Return *value* in the form that the driver of *connection* takes. Override it for a form per backend."""
        if not prepared:
            value = self.get_prep_value(value)
        bind = self.own_bind(connection.dialect)
        return value if value is None or bind is None else bind(value)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Return *value* as it is written to a row; as `get_db_prep_value` unless overridden."""
        return self.get_db_prep_value(value, connection, prepared=False)

    def load(self, dialect: Dialect) -> Converter | None:
        """Return what turns the driver's value (not None) into Python's; None when it already is.

        A subclass may define ``from_db_value(self, value, expression, connection)``, which is called after it.
        """
        return dialect.loader(self.sql_type)

    own_load = load
    is_customised: ClassVar[bool] = False
    """True when a subclass overrides how values are written."""

    def to_python(self, value: Any) -> Any:
        """Return *value* as this field's Python type; raise ValidationError."""
        if value is None:
            return None
        try:
            return self.own_prepare(value)
        except InvalidValue as exc:
            raise self.invalid(value) from exc

    def invalid(self, value: Any, code: str = "invalid") -> ValidationError:
        """Return the error for a value of the wrong form."""
        message = self.error_messages.get(code, "Enter a valid value.")
        # As Django has it: that None would do as well is a matter of the message, not of the code.
        return ValidationError(message, code="invalid" if code == "invalid_nullable" else code, params={"value": value})

    def pre_save(self, instance: Any, add: bool) -> Any:
        """Return the value to write for *instance*; *add* tells an INSERT."""
        return instance.__dict__.get(self.attname)

    def value_from_object(self, instance: Any) -> Any:
        """Return this field's value of *instance*."""
        return getattr(instance, self.attname)

    def save_form_data(self, instance: Any, data: Any) -> None:
        """Put *data* on *instance*."""
        setattr(instance, self.name, data)

    def value_to_string(self, obj: Any) -> str:
        """Return this field's value of *obj* as text, for dumps."""
        return str(self.value_from_object(obj))

    def unwrapped(self, value: Any) -> Any:
        """Return the key of *value* when it is an instance of the very model whose key this field is; else *value*."""
        if not self.primary_key or not hasattr(type(value), "_meta"):
            return value
        if not isinstance(value, self.model):
            self.refuse(value, f"an instance of {self.model.__name__} would do")
        key = getattr(value, self.attname)
        if key is None:
            raise UnsavedInstance(
                f"{self} needs a saved {self.model.__name__}: this instance has no key. Save it first."
            )
        return key

    def refuse(self, value: Any, why: str = "") -> NoReturn:
        """Raise InvalidValue for *value*; its type is named, never itself.

        What failed before is left out of the traceback: the words of ``int()`` and its like quote the value.
        """
        raise InvalidValue(
            f"{self} ({type(self).__name__}) takes {self.description}, got {type(value).__name__}{why and ': '}{why}."
        ) from None

    # -- defaults ------------------------------------------------------------------------------------------------
    def has_default(self) -> bool:
        """True when a default was given."""
        return self.default is not NOT_PROVIDED

    @property
    def has_db_default(self) -> bool:
        """True when the database makes a default."""
        return self.db_default is not NOT_PROVIDED

    def get_default(self) -> Any:
        """Return the value of a new instance: the default, the database's, "" for text that cannot be NULL, or None."""
        if self.default is not NOT_PROVIDED:
            return self.default() if callable(self.default) else self.default
        if self.db_default is not NOT_PROVIDED:
            return DatabaseDefault(self)
        if self.empty_strings_allowed and not self.null:
            return ""
        return None

    # -- choices -------------------------------------------------------------------------------------------------
    @property
    def choices(self) -> list[tuple[Any, Any]] | None:
        """(value, label) pairs; a group is (name, pairs). None without choices."""
        found: list[tuple[Any, Any]] | None = (
            choice_forms.normalised(self._choices()) if callable(self._choices) else self._choices
        )
        return found

    @choices.setter
    def choices(self, value: Any) -> None:
        self._choices = choice_forms.normalised(value)

    @property
    def flatchoices(self) -> list[tuple[Any, Any]]:
        """(value, label) pairs, those of groups among them."""
        return list(choice_forms.flattened(self._choices)) if self._choices is not None else []

    def get_choices(
        self, include_blank: bool = True, blank_choice: Iterable[tuple[Any, Any]] = (("", "---------"),)
    ) -> list[tuple[Any, Any]]:
        """Return the choices to offer, led by *blank_choice* unless there is an empty one already."""
        choices = list(self.choices or ())
        if include_blank and not any(value in ("", None) for value, _ in self.flatchoices):
            return [*blank_choice, *choices]
        return choices

    # -- validation ----------------------------------------------------------------------------------------------
    def validate(self, value: Any, instance: Any) -> None:
        """Raise ValidationError for a value that options forbid."""
        if not self.editable:
            return
        if self._choices is not None and value not in self.empty_values:
            if any(value == choice for choice, _ in self.flatchoices):
                return
            raise self.invalid(value, "invalid_choice")
        if value is None and not self.null:
            raise ValidationError(self.error_messages["null"], code="null")
        if not self.blank and value in self.empty_values:
            raise ValidationError(self.error_messages["blank"], code="blank")

    def run_validators(self, value: Any) -> None:
        """Run the validators; raise one ValidationError with all their messages."""
        if value in self.empty_values:
            return
        errors: list[ValidationError] = []
        for validator in self.validators:
            try:
                validator(value)
            except ValidationError as exc:
                if exc.code in self.error_messages:
                    exc.message = self.error_messages[exc.code]
                errors.extend(exc.error_list)
        if errors:
            raise ValidationError(errors)

    @property
    def hides_values(self) -> bool:
        """True when errors must not carry values of this field: they are personal data."""
        return self.pii

    def clean(self, value: Any, instance: Any) -> Any:
        """Return *value* converted and validated; errors of a field that hides its values carry none."""
        failed: ValidationError
        try:
            value = self.to_python(value)
            self.validate(value, instance)
            self.run_validators(value)
        except ValidationError as exc:
            if not self.hides_values:
                raise
            failed = ValidationError([_without_values(each, value) for each in exc.error_list])
        else:
            return value
        raise failed


def _without_values(error: ValidationError, value: Any) -> ValidationError:
    params = error.params
    if params:
        params = {key: "***" if key == "value" or given == value else given for key, given in params.items()}
    return ValidationError(error.message, error.code, params)


def _path(cls: type) -> str:
    """Return the path users import *cls* from."""
    module = cls.__module__
    for public in ("dorm.fields", "dorm.relations"):
        if module.startswith(f"{public}."):
            module = public
    return f"{module}.{cls.__qualname__}"
