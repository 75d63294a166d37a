"""The methods by which a subclass changes how its values travel, under Django's names.

dorm takes a value to the driver in two steps, each once a value: `Field.prepare` (a Python value of the field's type)
and what `Field.bind` returns (the driver's form); `Field.load` brings it back. A subclass may override
``get_prep_value``, ``get_db_prep_value``, ``get_db_prep_save``, ``from_db_value`` and ``db_type`` instead: what is here
lets those take part wherever dorm writes, reads or compares, at no cost to fields that override none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.record import Record

if TYPE_CHECKING:
    from dorm.db.dialect import Converter, Dialect


class Connection(Record):
    """What a field's method learns of the database it works for: ``vendor`` and ``dialect``."""

    dialect: Dialect

    @property
    def vendor(self) -> str:
        """Name of the engine's family."""
        return self.dialect.vendor


class NullAware:
    """A converter that is also called for None; row functions and binders hand it NULL like any other value."""

    __slots__ = ("convert",)

    def __init__(self, convert: Converter) -> None:
        self.convert = convert

    def __call__(self, value: Any) -> Any:
        return self.convert(value)


def takes_null(converter: Converter | None) -> bool:
    """True when *converter* wants to see NULL too."""
    return isinstance(converter, NullAware)


def loader(field: Any, load: Converter | None, dialect: Dialect) -> Converter:
    """Return *load* followed by the field's ``from_db_value``, which also sees NULL."""
    own = field.from_db_value
    connection = Connection(dialect)
    if load is None:
        return NullAware(lambda value: own(value, None, connection))
    return NullAware(lambda value: own(None if value is None else load(value), None, connection))


def binder(field: Any, dialect: Dialect) -> Converter:
    """Return the field's ``get_db_prep_value`` for prepared values; None, which a preparation may give, stays None."""
    connection = Connection(dialect)
    null = dialect.null(field.sql_type)

    def bind(value: Any) -> Any:
        bound = field.get_db_prep_value(value, connection, prepared=True)
        return null if bound is None else bound

    return bind


def save_binder(field: Any, dialect: Dialect) -> Converter:
    """Return the way of a value into a row where the class has methods of its own: ``get_db_prep_save``."""
    connection = Connection(dialect)
    null = dialect.null(field.sql_type)

    def bind(value: Any) -> Any:
        bound = field.get_db_prep_save(value, connection)
        return null if bound is None else bound

    return NullAware(bind)


# -- what each class does --------------------------------------------------------------------------------------------


def settle(cls: Any, base: Any) -> None:
    """Give a new field class the methods that lead to those it overrides; called once a class.

    ``own_prepare``, ``own_bind`` and ``own_load`` keep what the class would do by itself: that is what the overridden
    methods reach through ``super()``.
    """
    for name, through in _THROUGH.items():
        found = getattr(cls, name)
        if found is not through:
            setattr(cls, f"own_{name}", found)
    preparing = cls.get_prep_value is not base.get_prep_value
    binding = (
        preparing
        or cls.get_db_prep_value is not base.get_db_prep_value
        or cls.get_db_prep_save is not base.get_db_prep_save
    )
    cls.is_customised = binding
    wanted = {"prepare": preparing, "bind": binding, "load": hasattr(cls, "from_db_value")}
    for name, is_wanted in wanted.items():
        if is_wanted:
            setattr(cls, name, _THROUGH[name])
    if preparing:
        cls.prepares = True
    if _rank(cls, "get_internal_type") < _rank(cls, "sql_type"):
        cls.sql_type = base.__dict__["sql_type"]


def _rank(cls: type, name: str) -> int:
    """Return how far up the bases of *cls* the definition of *name* stands."""
    return next(number for number, each in enumerate(cls.__mro__) if name in vars(each))


def _prepare(self: Any, value: Any) -> Any:
    return self.get_prep_value(value)


def _bind(self: Any, dialect: Dialect) -> Converter | None:
    return binder(self, dialect)


def _load(self: Any, dialect: Dialect) -> Converter | None:
    return loader(self, self.own_load(dialect), dialect)


_THROUGH: dict[str, Any] = {"prepare": _prepare, "bind": _bind, "load": _load}
