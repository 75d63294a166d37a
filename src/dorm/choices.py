"""Choices: enumerations of a field's values with their labels, and the forms in which a field takes its choices."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Pairs: TypeAlias = "list[tuple[Any, Any]]"


class ChoicesType(enum.EnumType):
    """Metaclass of `Choices`: takes a label from the end of each member's tuple, else makes one of the name."""

    def __new__(metacls, classname: str, bases: tuple[type, ...], classdict: Any, **kwds: Any) -> ChoicesType:
        labels = []
        for name in classdict._member_names:
            value, label = _split(name, classdict[name])
            labels.append(label)
            # Past the enumeration's own dict, which would take a second setting for a second member.
            dict.__setitem__(classdict, name, value)
        cls: Any = super().__new__(metacls, classname, bases, classdict, **kwds)
        for member, label in zip(cls.__members__.values(), labels, strict=True):
            member._label_ = label
        made: ChoicesType = enum.unique(cls)
        return made

    def __contains__(cls, member: object) -> bool:
        if isinstance(member, enum.Enum):
            return super().__contains__(member)
        return member in cls._value2member_map_

    @property
    def names(cls) -> list[str]:
        """Names of the members; ``"__empty__"`` first where the class has a label for "nothing"."""
        return [*(["__empty__"] if hasattr(cls, "__empty__") else []), *cls.__members__]

    @property
    def choices(cls) -> Pairs:
        """(value, label) pairs; (None, label) first where the class has ``__empty__``."""
        empty = [(None, getattr(cls, "__empty__"))] if hasattr(cls, "__empty__") else []  # noqa: B009  # its own name
        members: list[Any] = list(cls.__members__.values())
        return [*empty, *[(member.value, member.label) for member in members]]

    @property
    def labels(cls) -> list[str]:
        """Labels, in the order of `choices`."""
        return [label for _, label in cls.choices]

    @property
    def values(cls) -> list[Any]:
        """Values, in the order of `choices`."""
        return [value for value, _ in cls.choices]


def _split(name: str, value: Any) -> tuple[Any, str]:
    """Return the value and the label of a member as it is written."""
    if isinstance(value, (list, tuple)) and len(value) > 1 and isinstance(value[-1], str):
        *parts, label = value
        return (parts[0] if len(parts) == 1 else tuple(parts)), label
    return value, name.replace("_", " ").title()


class Choices(enum.Enum, metaclass=ChoicesType):
    """Base of enumerations that a field takes as ``choices``; combine it with a type for values of that type.

    A member's value may be a tuple that ends in its label; else the label is made from the name. ``__empty__`` is the
    label of no choice.
    """

    _label_: str

    @enum.property
    def label(self) -> str:
        """What to show for this member."""
        return self._label_

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}.{self._name_}"


class IntegerChoices(int, Choices):
    """Choices whose values are whole numbers."""


class TextChoices(str, Choices):
    """Choices whose values are texts; ``enum.auto()`` gives a member's name."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[Any]) -> str:
        return name


# -- the forms a field takes -------------------------------------------------------------------------------------


def normalised(choices: Any) -> Any:
    """Return *choices* of a field as a list of pairs, a group being (name, list of pairs).

    Takes pairs, groups, mappings of both, and `Choices` classes; a function stays one, to be called when it is needed.
    """
    if choices is None:
        return None
    if isinstance(choices, ChoicesType):
        return choices.choices
    if callable(choices):
        return choices
    pairs = choices.items() if isinstance(choices, Mapping) else choices
    try:
        return [(value, _group(label)) for value, label in pairs]
    except (TypeError, ValueError):
        raise TypeError(
            "choices takes (value, label) pairs, groups (name, pairs), a mapping, a Choices class, "
            "or a function that returns one of these."
        ) from None


def _group(label: Any) -> Any:
    return normalised(label) if isinstance(label, (list, tuple, Mapping)) else label


def flattened(choices: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the (value, label) pairs of *choices*, those of groups too."""
    for value, label in normalised(choices() if callable(choices) else choices):
        if isinstance(label, list):
            yield from flattened(label)
        else:
            yield value, label
