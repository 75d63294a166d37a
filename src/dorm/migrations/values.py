"""Comparing and rebuilding what stands in migrations: fields, constraints, expressions, plain values."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from dorm.expressions.core import F, OrderBy
from dorm.expressions.func import Func
from dorm.expressions.predicate import Q


def path_of(thing: Any) -> str:
    """Return the import path of a class or function."""
    return f"{thing.__module__}.{thing.__qualname__}"


def imported(path: str) -> Any:
    """Return what an import path names."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def deconstructed(value: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
    """Return path, arguments and keywords of what can be made again from them; None for anything else."""
    if isinstance(value, type):
        return None
    if isinstance(value, Q):
        options = {"_connector": value.connector, "_negated": value.negated}
        defaults = {"_connector": "AND", "_negated": False}
        return "dorm.Q", tuple(value.children), {k: v for k, v in options.items() if v != defaults[k]}
    if type(value) is F:
        return "dorm.F", (value.name,), {}
    method = getattr(value, "deconstruct", None)
    if method is None:
        return None
    found = method()
    path, args, kwargs = found if len(found) == 3 else found[1:]
    return path, tuple(args), dict(kwargs)


def comparable(value: Any) -> Any:
    """Return *value* in a form that is equal for equal content."""
    if isinstance(value, (list, tuple)):
        return [comparable(each) for each in value]
    if isinstance(value, dict):
        return {key: comparable(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    if isinstance(value, functools.partial):
        return ("partial", comparable(value.func), comparable(value.args), comparable(value.keywords))
    if isinstance(value, re.Pattern):
        return ("pattern", value.pattern, value.flags)
    if isinstance(value, enum.Enum):
        return comparable(value.value)
    if isinstance(value, type) and issubclass(value, enum.Enum):
        # By content: a file holds the members as they were, the models those of today.
        return ("enum", value.__name__, [[name, comparable(each)] for name, each in value.__members__.items()])
    if isinstance(value, type):
        return path_of(value)
    parts = deconstructed(value)
    if parts is not None:
        path, args, kwargs = parts
        return (path, comparable(args), comparable(kwargs))
    return (type(value), value) if isinstance(value, (bool, int, float)) else value


def rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return *value* with every part replaced by what *change* returns for it; unchanged parts stay the same objects.

    *change* gets each expression and lookup pair from the outside in; returning its argument goes on inside it.
    """
    changed = change(value)
    if changed is not value:
        return changed
    if isinstance(value, (list, tuple)):
        parts = [rebuilt(each, change) for each in value]
        return value if all(a is b for a, b in zip(parts, value, strict=True)) else type(value)(parts)
    if isinstance(value, Q):
        children = [rebuilt(child, change) for child in value.children]
        return Q.of(children, value.connector, value.negated)
    parts3 = deconstructed(value)
    if parts3 is None or hasattr(value, "contribute_to_class"):
        return value
    path, args, kwargs = parts3
    named = isinstance(value, (Func, OrderBy))
    new_args = tuple(_name(each, change) if named and isinstance(each, str) else rebuilt(each, change) for each in args)
    new_kwargs = {key: rebuilt(each, change) for key, each in kwargs.items()}
    if all(a is b for a, b in zip(new_args, args, strict=True)) and all(new_kwargs[k] is kwargs[k] for k in kwargs):
        return value
    return imported(path)(*new_args, **new_kwargs)


def _name(name: str, change: Callable[[Any], Any]) -> str:
    """Return a text that stands for a field's name, as *change* leaves it."""
    found = change(F(name))
    return str(found.name) if found.name != name else name


def renamed_in(value: Any, old: str, new: str) -> Any:
    """Return an index, constraint or expression in which the field *old* is called *new*."""

    def change(part: Any) -> Any:
        if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], str) and _leads(part[0], old):
            return (new + part[0][len(old) :], rebuilt(part[1], change))
        if type(part) is F and _leads(part.name, old):
            return F(new + part.name[len(old) :])
        return part

    made = rebuilt(value, change)
    for option in ("fields", "include"):
        names = getattr(made, option, None)
        if names and any(name.removeprefix("-") == old for name in names):
            path, args, kwargs = deconstructed(made) or ("", (), {})
            kwargs[option] = [
                f"{'-' if name.startswith('-') else ''}{new}" if name.removeprefix("-") == old else name
                for name in names
            ]
            made = imported(path)(*args, **kwargs)
    return made


def _leads(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}__")
