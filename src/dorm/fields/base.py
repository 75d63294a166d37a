"""Field: one column of a model, the descriptor of its attribute, and the way of its values to the driver and back."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self, TypeVar, overload

from dorm.db.types import SqlType
from dorm.exceptions import ImproperlyConfigured, InvalidValue, ValidationError

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect
    from dorm.sql.node import Node

T = TypeVar("T")

_counter = itertools.count()


class NotProvided:
    """Stands for "no default was given", which None is not."""

    def __repr__(self) -> str:
        return "NOT_PROVIDED"


NOT_PROVIDED = NotProvided()

EMPTY_VALUES: tuple[Any, ...] = (None, "", [], (), {})


class Field(Generic[T]):
    """One column.

    Reading the attribute of an instance gives a value of type `T`; reading it on the class gives the field. It is a
    non-data descriptor: a loaded value stands in the instance's ``__dict__`` and is found there first, and a column
    that was not loaded is absent from it.

    Args (of every field):
        null: the column may hold NULL. blank: validation accepts an empty value.
        primary_key, unique, db_index: keys and indexes.
        default: value, or function without arguments, of a new instance. db_default: default made by the database.
        choices: (value, label) pairs. validators: functions that raise ValidationError. db_column: name of the column.
        pii: personal data, masked where something is exported.
    """

    is_relation: ClassVar[bool] = False
    many_to_one: ClassVar[bool] = False
    empty_strings_allowed: ClassVar[bool] = True
    description: ClassVar[str] = "a value"
    """What the field takes, for messages."""
    default_error_messages: ClassVar[dict[str, str]] = {
        "null": "This field cannot be null.",
        "blank": "This field cannot be blank.",
        "invalid_choice": "Value is not a valid choice.",
    }

    name: str
    attname: str
    column: str
    model: Any

    def __init__(
        self,
        *,
        verbose_name: str | None = None,
        name: str | None = None,
        primary_key: bool = False,
        unique: bool = False,
        blank: bool = False,
        null: bool = False,
        db_index: bool = False,
        default: Any = NOT_PROVIDED,
        db_default: Any = NOT_PROVIDED,
        editable: bool = True,
        choices: Any = None,
        help_text: str = "",
        db_column: str | None = None,
        db_comment: str | None = None,
        validators: Iterable[Callable[[Any], None]] = (),
        error_messages: Any = None,
        pii: bool = False,
        auto_created: bool = False,
    ) -> None:
        if primary_key and null:
            raise ImproperlyConfigured("a primary key cannot be null")
        self.verbose_name = verbose_name
        self._given_name = name
        self.primary_key = primary_key
        self.unique = unique or primary_key
        self.blank = blank
        self.null = null
        self.db_index = db_index
        self.default = default
        self.db_default = db_default
        self.editable = editable
        self.choices = list(choices) if choices is not None else None
        self.help_text = help_text
        self.db_column = db_column
        self.db_comment = db_comment
        self.validators = list(validators)
        self.error_messages = {**self._default_messages(), **(error_messages or {})}
        self.pii = pii
        self.auto_created = auto_created
        self.creation_counter: float = next(_counter)

    @classmethod
    def _default_messages(cls) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in reversed(cls.__mro__):
            found.update(vars(each).get("default_error_messages", {}))
        return found

    # -- declaration ---------------------------------------------------------------------------------------------
    def set_attributes_from_name(self, name: str) -> None:
        """Take *name*, the attribute of the model, and what follows from it."""
        self.name = self._given_name or name
        self.attname = self.name
        self.column = self.db_column or self.attname
        self.verbose_name = self.verbose_name or self.name.replace("_", " ")

    def contribute_to_class(self, cls: Any, name: str) -> None:
        """Become the field *name* of a model class."""
        if name.endswith("_") or "__" in name:
            raise ImproperlyConfigured(
                f"{cls.__name__}.{name}: field names must not end with an underscore or contain two in a row, "
                "which separate the parts of a lookup."
            )
        self.set_attributes_from_name(name)
        self.model = cls
        cls._meta.add_field(self)
        setattr(cls, self.name, self)

    def clone(self) -> Self:
        """Return a copy that belongs to no model yet."""
        made = copy.copy(self)
        made.validators = list(self.validators)
        return made

    def __str__(self) -> str:
        model = getattr(self, "model", None)
        return f"{model.__name__}.{self.name}" if model is not None else type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    # -- attribute -----------------------------------------------------------------------------------------------
    @overload
    def __get__(self, instance: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, instance: Any, owner: Any = None) -> T: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        # The value would have been found in the instance's __dict__: this column was not loaded.
        return instance._load_deferred(self)

    if TYPE_CHECKING:
        # At run time there is no __set__: assignment goes to the instance's __dict__ at full speed.
        def __set__(self, instance: Any, value: T | Node) -> None: ...

    # -- types ---------------------------------------------------------------------------------------------------
    @property
    def sql_type(self) -> SqlType:
        """The type of the column."""
        raise NotImplementedError(f"{type(self).__name__} has no SQL type")

    @property
    def rel_sql_type(self) -> SqlType:
        """The type of a column that refers to this one."""
        return self.sql_type

    def db_type(self, connection: Any) -> str | None:
        """Return the column's type as the dialect of *connection* spells it."""
        spelled: str = connection.dialect.column_type(self.sql_type)
        return spelled

    def get_internal_type(self) -> str:
        """Return the name of the field class."""
        return type(self).__name__

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

    def get_prep_value(self, value: Any) -> Any:
        """Return the value that is bound for *value*, None included; Django's name for `prepare`."""
        return None if value is None else self.prepare(value)

    def bind(self, dialect: Dialect) -> Converter | None:
        """Return what turns a prepared value into the driver's; None when nothing must be done."""
        return dialect.binder(self.sql_type)

    def load(self, dialect: Dialect) -> Converter | None:
        """Return what turns the driver's value (not None) into Python's; None when it already is."""
        load = dialect.loader(self.sql_type)
        own = getattr(self, "from_db_value", None)
        if own is None:
            return load
        if load is None:
            return lambda value: own(value, None, None)
        return lambda value: own(load(value), None, None)

    def to_python(self, value: Any) -> Any:
        """Return *value* as this field's Python type; raise ValidationError."""
        if value is None:
            return None
        try:
            return self.prepare(value)
        except InvalidValue as exc:
            raise ValidationError(str(exc), code="invalid") from exc

    def pre_save(self, instance: Any, add: bool) -> Any:
        """Return the value to write for *instance*; *add* tells an INSERT."""
        return instance.__dict__.get(self.attname)

    def value_from_object(self, instance: Any) -> Any:
        """Return this field's value of *instance*."""
        return getattr(instance, self.attname)

    def unwrapped(self, value: Any) -> Any:
        """Return the key of *value* when it is an instance of the very model whose key this field is; else *value*."""
        if not self.primary_key or not hasattr(type(value), "_meta"):
            return value
        if not isinstance(value, self.model):
            self.refuse(value, f"an instance of {self.model.__name__} would do")
        key = getattr(value, self.attname)
        if key is None:
            raise ValueError(f"{self} needs a saved {self.model.__name__}: this instance has no key. Save it first.")
        return key

    def refuse(self, value: Any, why: str = "") -> NoReturn:
        """Raise InvalidValue for *value*; its type is named, never itself."""
        raise InvalidValue(
            f"{self} ({type(self).__name__}) takes {self.description}, got {type(value).__name__}{why and ': '}{why}."
        )

    # -- defaults and validation ---------------------------------------------------------------------------------
    def has_default(self) -> bool:
        """True when a default was given."""
        return self.default is not NOT_PROVIDED

    @property
    def has_db_default(self) -> bool:
        """True when the database makes a default."""
        return self.db_default is not NOT_PROVIDED

    def get_default(self) -> Any:
        """Return the value of a new instance: the default, else "" for texts that cannot be NULL, else None."""
        if self.default is not NOT_PROVIDED:
            return self.default() if callable(self.default) else self.default
        if self.empty_strings_allowed and not self.null and not self.primary_key:
            return ""
        return None

    def validate(self, value: Any, instance: Any) -> None:
        """Raise ValidationError for a value that options forbid."""
        if self.choices is not None and value not in EMPTY_VALUES:
            if value not in [choice for choice, _ in self.choices]:
                raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")
            return
        if value is None and not self.null:
            raise ValidationError(self.error_messages["null"], code="null")
        if not self.blank and value in EMPTY_VALUES:
            raise ValidationError(self.error_messages["blank"], code="blank")

    def run_validators(self, value: Any) -> None:
        """Run the validators; raise one ValidationError with all their messages."""
        if value in EMPTY_VALUES:
            return
        errors = []
        for validator in self.validators:
            try:
                validator(value)
            except ValidationError as exc:
                errors.extend(exc.error_list)
        if errors:
            raise ValidationError(errors)

    def clean(self, value: Any, instance: Any) -> Any:
        """Return *value* converted and validated."""
        value = self.to_python(value)
        self.validate(value, instance)
        self.run_validators(value)
        return value
