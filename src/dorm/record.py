"""Classes of named values whose functions are compiled at the first instance, not at import.

`dataclasses` compiles five functions a class as soon as the class is made, half a millisecond in all, and loads
`inspect` (with `ast`, `dis` and `tokenize`) to do it: together that was a quarter of the time between ``import dorm``
and the first row. What a process loads that reads and writes is therefore a `Record`; elsewhere a dataclass is as good.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

R = TypeVar("R", bound="Record")

_MISSING: Any = object()


class _Field:
    """What `field` says of one name."""

    __slots__ = ("default", "default_factory", "repr")

    def __init__(self, default: Any, default_factory: Callable[[], Any] | None, repr: bool) -> None:
        self.default = default
        self.default_factory = default_factory
        self.repr = repr


def field(*, default: Any = _MISSING, default_factory: Callable[[], Any] | None = None, repr: bool = True) -> Any:
    """Describe a name of a `Record`: its default, what makes one for each instance, and whether `repr` shows it."""
    return _Field(default, default_factory, repr)


class RecordType(type):
    """Makes slots of a class's annotated names.

    Args:
        frozen: instances can't be changed; they can be hashed when *eq*.
        eq: instances of one class with equal values are equal; without it each equals itself alone.
    """

    _fields: dict[str, _Field]
    _frozen: bool
    _values: Any  # what `_tuple_of` returns

    def __new__(
        cls, name: str, bases: tuple[type, ...], space: dict[str, Any], *, frozen: bool = True, eq: bool = True
    ) -> Any:
        own = {each: _taken(space, each) for each in space.get("__annotations__", ())}
        space["__slots__"] = tuple(own)
        space["__init__"] = _first
        if not frozen:
            space["__setattr__"] = object.__setattr__
            space["__delattr__"] = object.__delattr__
        if not eq:
            space.setdefault("__eq__", object.__eq__)
            space.setdefault("__hash__", object.__hash__)
        elif not frozen:
            space.setdefault("__hash__", None)
        made: Any = super().__new__(cls, name, bases, space)
        made._fields = {**getattr(made, "_fields", {}), **own}
        made._frozen = frozen
        made._values = _tuple_of(*made._fields)
        return made


def _taken(space: dict[str, Any], name: str) -> _Field:
    """Take the default of *name* out of a class's namespace, where it would stand in the slot's way."""
    default = space.pop(name, _MISSING)
    return default if isinstance(default, _Field) else _Field(default, None, True)


def _tuple_of(*names: str) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gets the values of *names*."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _first(self: Record, /, *args: Any, **named: Any) -> None:
    """Compile the constructor of the class of *self*, and go on with it."""
    cls = type(self)
    constructor = _constructor(cls)
    cls.__init__ = constructor  # type: ignore[method-assign]
    constructor(self, *args, **named)


def _refuse(self: Record, name: str, *value: object) -> None:
    raise AttributeError(f"{type(self).__name__}.{name} can't be changed: make another one with replace()")


def _constructor(cls: RecordType) -> Any:
    """Return the function that takes the names of *cls* as arguments, positional or by keyword."""
    frozen = cls._frozen
    # Two underscores keep what the source needs apart from the names of the class, which are its parameters.
    space: dict[str, Any] = {"__missing": _MISSING}
    parameters: list[str] = []
    lines: list[str] = []
    for name, each in cls._fields.items():
        value = name
        if each.default_factory is not None:
            space[f"__make_{name}"] = each.default_factory
            parameters.append(f"{name}=__missing")
            value = f"__make_{name}() if {name} is __missing else {name}"
        elif each.default is not _MISSING:
            space[f"__default_{name}"] = each.default
            parameters.append(f"{name}=__default_{name}")
        else:
            parameters.append(name)
        if frozen:
            space[f"__set_{name}"] = getattr(cls, name).__set__
        lines.append(f"    __set_{name}(self, {value})" if frozen else f"    self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    exec(f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(lines or ["    pass"]), space)
    made = space["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Record(metaclass=RecordType):
    """Base of the classes of named values.

    A subclass lists its names with their types and defaults, like a dataclass; its keywords are those of `RecordType`.
    It has slots, and can be copied, pickled and, unless ``frozen=False``, hashed; ``__post_init__`` is called last.
    """

    if not TYPE_CHECKING:  # type checkers know by themselves which names can be set
        __setattr__ = __delattr__ = _refuse

    def __eq__(self, other: object) -> bool:
        cls = type(self)
        if type(other) is not cls:
            return NotImplemented
        return bool(cls._values(self) == cls._values(other))

    def __hash__(self) -> int:
        return hash(type(self)._values(self))

    def __repr__(self) -> str:
        cls = type(self)
        shown = (f"{name}={getattr(self, name)!r}" for name, each in cls._fields.items() if each.repr)
        return f"{cls.__qualname__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return type(self), type(self)._values(self)


def as_dict(record: Record) -> dict[str, Any]:
    """Return the values of *record* by name."""
    cls = type(record)
    return dict(zip(cls._fields, cls._values(record), strict=True))


def replace(record: R, **changes: Any) -> R:
    """Return a copy of *record* with other values for the names in *changes*; `TypeError` for a name it has not."""
    return type(record)(**{**as_dict(record), **changes})
