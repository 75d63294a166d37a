"""Generated functions that take the attributes of instances to the parameters of a statement that writes their rows.

What makes a row unlike the others of its model (an expression, a column the database fills, an attribute that is not
there) is found on the way and raised as `Unusual`: such rows are written by the road that looks at each value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from dorm.fields.base import Field
from dorm.fields.overrides import takes_null
from dorm.sql.exact import exact_of
from dorm.sql.node import Node

Binder: TypeAlias = "Callable[[Iterable[Any]], list[tuple[Any, ...]]]"
OneBinder: TypeAlias = "Callable[[dict[str, Any]], tuple[Any, ...]]"

_MOST_FIELDS = 200
"""Columns of a row that a function is generated for; wider tables go the other road."""


class Unusual(Exception):
    """A row that the generated function does not know how to bind."""


def row_binder(
    fields: Sequence[Any], absent: Sequence[Any], binders: Sequence[Any], nulls: Sequence[Any], dialect: Any
) -> Binder | None:
    """Return the function from instances to rows of parameters; None for fields that have a `pre_save` of their own.

    Args:
        fields: those whose values are bound, in order.
        absent: fields that must be None or missing (the database counts them).
        binders, nulls: what each value goes through, and what is bound for None, as of `RowWrite`.
    """
    if not _may_be_bound(fields):
        return None
    lines, names = _lines(fields, absent, binders, nulls, dialect)
    head = ["def bound(objects):", "    found = []", "    add = found.append", "    for o in objects:"]
    head.append("        d = o.__dict__")
    made: Binder = _compiled(head, "        ", [*lines, f"add({_row(fields)})"], ["    return found"], names)
    return made


def one_binder(
    fields: Sequence[Any],
    absent: Sequence[Any],
    present: Sequence[Any],
    binders: Sequence[Any],
    nulls: Sequence[Any],
    dialect: Any,
) -> OneBinder | None:
    """Return the function from one instance's ``__dict__`` to its row: a third less time than for a list of one.

    Args:
        present: fields that must not be None (keys that a default makes).
    """
    if not _may_be_bound(fields):
        return None
    lines, names = _lines(fields, absent, binders, nulls, dialect)
    keyed = [f"if d[{field.attname!r}] is None: raise Unusual" for field in present]
    made: OneBinder = _compiled(["def bound(d):"], "    ", [*keyed, *lines, f"return {_row(fields)}"], [], names)
    return made


def _may_be_bound(fields: Sequence[Any]) -> bool:
    return 0 < len(fields) <= _MOST_FIELDS and all(type(field).pre_save is Field.pre_save for field in fields)


def _lines(
    fields: Sequence[Any], absent: Sequence[Any], binders: Sequence[Any], nulls: Sequence[Any], dialect: Any
) -> tuple[list[str], dict[str, Any]]:
    """Return the lines that take the attributes in ``d`` to the values of `_row`, and what they refer to."""
    names: dict[str, Any] = {"Unusual": Unusual}
    lines = [f"if d.get({field.attname!r}) is not None: raise Unusual" for field in absent]
    for number, (field, bind, null) in enumerate(zip(fields, binders, nulls, strict=True)):
        value, given = f"v{number}", f"d[{field.attname!r}]"
        names[f"other{number}"] = _other(bind, null)
        exact = exact_of(field) if not field.is_customised else None
        if exact is None:
            lines.append(f"{value} = other{number}({given})")
            continue
        names[f"c{number}"] = exact.cls
        meets = f"({value} := {given}).__class__ is c{number}"
        if exact.low is not None:
            meets += f" and {exact.low} <= {value} <= {exact.high}"
        last = field.bind(dialect)
        if last is None:
            lines.append(f"if not ({meets}): {value} = other{number}({value})")
            continue
        names[f"bind{number}"] = last
        # What int() makes of True and False, without a call.
        bound = f"+{value}" if last is int and exact.cls is bool else f"bind{number}({value})"
        lines.append(f"{value} = {bound} if {meets} else other{number}({value})")
    return lines, names


def _row(fields: Sequence[Any]) -> str:
    return f"({', '.join(f'v{number}' for number in range(len(fields)))},)"


def _compiled(head: list[str], pad: str, lines: list[str], end: list[str], names: dict[str, Any]) -> Any:
    source = "\n".join([*head, *[pad + line for line in lines], *end]) + "\n"
    exec(compile(source, "<dorm row binder>", "exec"), names)
    return names["bound"]


def _other(bind: Any, null: Any) -> Callable[[Any], Any]:
    """Return what binds every value but those of the exact class."""
    sees_null = takes_null(bind)

    def other(value: Any) -> Any:
        if isinstance(value, Node):
            raise Unusual
        if value is None and not sees_null:
            return null
        return value if bind is None else bind(value)

    return other
