"""What a relation field is given: the model it names, and the names its reverse gets."""

from __future__ import annotations

from typing import Any

from dorm.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from dorm.models.base import ModelBase


def check_reference(field: str, to: Any) -> None:
    """Refuse what can't be the model a relation points at."""
    if isinstance(to, str) and to:
        return
    if not isinstance(to, ModelBase):
        raise TypeError(f"{field}({to!r}) is invalid: the first argument is a model, 'self', 'Model' or 'app.Model'.")
    if to._meta.abstract:
        raise TypeError(f"{field}() can't point at {to.__name__}: an abstract model has no rows.")


def named_for(cls: Any, given: tuple[str | None, str | None]) -> tuple[str | None, str | None]:
    """Return ``related_name`` and ``related_query_name`` for the model *cls*, with their placeholders filled in.

    ``%(class)s``, ``%(model_name)s`` and ``%(app_label)s`` let children of an abstract model have names of their own.
    """
    meta = cls._meta
    values = {
        "class": cls.__name__.lower(),
        "model_name": meta.model_name,
        "app_label": meta.app_label.lower().replace(".", "_"),
    }
    related_name, query_name = given
    if related_name is None:
        related_name = getattr(meta, "default_related_name", None)
    filled = [name % values if name is not None else None for name in (related_name, query_name)]
    for option, name in zip(("related_name", "related_query_name"), filled, strict=True):
        if name is not None:
            _check_name(cls, option, name)
    return filled[0], filled[1]


def _check_name(cls: Any, option: str, name: str) -> None:
    if option == "related_name" and name.endswith("+"):
        return
    if not name.isidentifier():
        raise ImproperlyConfigured(f"{cls.__name__}: {option} {name!r} is no Python identifier, nor ends with '+'.")
    if "__" in name or name.endswith("_"):
        raise ImproperlyConfigured(
            f"{cls.__name__}: {option} {name!r} must not end with an underscore or contain two in a row, "
            "which separate the parts of a lookup."
        )


def check_accessor(target: Any, relation: Any) -> None:
    """Refuse a reverse accessor that is a field of the target, or the accessor of another relation."""
    name = relation.accessor
    if name is None:
        return
    meta = target._meta
    clash = meta.find(name)
    what = f"the field {clash}" if clash is not None else None
    for other in meta.relations.values():
        same = other.field.name == relation.field.name and other.target._meta.label == relation.target._meta.label
        if other.accessor == name and not same:
            what = f"the reverse accessor of {other.field}"
    if what is not None:
        raise ImproperlyConfigured(
            f"the reverse accessor {target.__name__}.{name} of {relation.field} clashes with {what}. "
            "Give the relation a related_name of its own ('+' for none)."
        )


def related_does_not_exist(sought: Any, owner: Any, attribute: str) -> type[ObjectDoesNotExist]:
    """Return the exception for a missing object of *sought* behind an attribute of *owner*; also an AttributeError."""
    qualname = f"{owner.__qualname__}.{attribute}.RelatedObjectDoesNotExist"
    return type(
        "RelatedObjectDoesNotExist",
        (sought.DoesNotExist, AttributeError),
        {"__module__": owner.__module__, "__qualname__": qualname},
    )


def reference_text(to: Any, target: Any) -> str:
    """Return the model that a relation points at as text: "self", or "app.model" with the name in lower case."""
    if to == "self":
        return "self"
    if target is not None:
        label: str = target._meta.label_lower
        return label
    if not isinstance(to, str):
        label = to._meta.label_lower
        return label
    app, dot, name = to.rpartition(".")
    return f"{app}{dot}{name.lower()}" if dot else to
