"""From rows of the driver to what a queryset gives: functions generated for each plan and dialect.

The generated source holds positions and names that were checked or made here; classes, converters and attribute names
that come from outside enter by the namespace or as `repr`. `source_of` prints it.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from dorm.db.dialect import Converter, Dialect
from dorm.fields.overrides import takes_null
from dorm.models.layout import MOST_KEYS, bare_class, goes_in_line
from dorm.models.state import ORIGIN, alias_of
from dorm.record import Record
from dorm.signals import post_init, pre_init
from dorm.sql.node import Output

Rows: TypeAlias = "list[tuple[Any, ...]]"
Hydrate: TypeAlias = "Callable[..., list[Any]]"
"""A row function: takes rows, their `Origin`, the `Owners.places` where it gives rows to these, and ``told=None`` where
receivers of init signals may not run."""

Giving: TypeAlias = "tuple[str, str | None]"
"""The column with the key of a row's owner, and the key under which the row keeps it, as of `Owners`."""


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return *names* as those of a named tuple: one that came before gets a number behind it."""
    found: list[str] = []
    for name in names:
        wanted, number = name, 0
        while wanted in found:
            number += 1
            wanted = f"{name}{number}"
        found.append(wanted)
    return found


class ObjectShape(Record):
    """An instance in a row: its class, the columns it takes, the objects joined to it.

    Args:
        start: position of its first column.
        attnames: attribute of each of its columns, in order.
        key: position of a column that is NULL when a joined object is missing; None for the row's own object.
        attribute: key under which the parent keeps this joined object.
        reverse: key under which this object keeps its parent (reverse one-to-one), or None.
    """

    model: Any
    start: int
    attnames: tuple[str, ...]
    key: int | None = None
    attribute: str = ""
    joined: tuple[ObjectShape, ...] = ()
    reverse: str | None = None

    def loads_late(self, given: str | None = None) -> bool:
        """Return whether these instances have deferred columns or relations to one object that are not joined.

        Args:
            given: key of an object that they get otherwise.
        """
        meta = self.model._meta
        fields = [field for field in meta.fields if field.column is not None]
        singles = [field.object_key for field in fields if field.is_relation]
        relations = meta.relations.values()
        singles += [each.object_key for each in relations if not each.multi and each.accessor is not None]
        there = {self.reverse, given, *[child.attribute for child in self.joined]}
        return (
            len(self.attnames) < len(fields)
            or bool(meta.private_fields)
            or any(name not in there for name in singles)
            or any(child.loads_late() for child in self.joined)
        )

    def refers(self) -> bool:
        """Return whether these instances refer to other rows, or to what their fetch shares."""
        return bool(self.joined) or self.reverse is not None or self.loads_late()

    def paths(self) -> Iterator[tuple[str, ...]]:
        """Yield the attributes that lead to each joined instance."""
        for child in self.joined:
            yield (child.attribute,)
            for path in child.paths():
                yield (child.attribute, *path)


class RowShape(Record):
    """What one row becomes: *kind* is ``object``, ``dict``, ``tuple``, ``named`` or ``flat``.

    Args:
        names: names of the columns in order (of the annotations behind the object, for ``object``).
        model: the shape of the object.
        hidden: columns at the end of the row that are there for the database only.
    """

    kind: str
    names: tuple[str, ...]
    object: ObjectShape | None = None
    widths: tuple[int, ...] = ()
    hidden: int = 0


class RowFunction(NamedTuple):
    """What turns rows into results, None where rows are the results.

    It takes over the list it is given: an instance stands where its row stood. A row that goes as its instance comes
    is one object less that the garbage collector counts, which works a third less often for it.

    Attributes:
        is_plain: it runs no code of the user, nor any converter.
    """

    hydrate: Hydrate | None
    source: str
    is_plain: bool


def hydrator(
    shape: RowShape, outputs: Sequence[Output | None], dialect: Dialect, giving: Giving | None = None
) -> RowFunction:
    """Return the function for rows of these columns."""
    shown = outputs[: len(outputs) - shape.hidden]
    loads = [output.load(dialect) if output is not None else None for output in shown]
    writer = _Writer(loads, shape.hidden)
    if shape.kind == "object":
        writer.names |= {"pre": pre_init, "post": post_init, "told": _Told(shape, loads, giving)}
        writer.objects(shape, True, giving)
    elif shape.kind == "tuple" and not any(loads) and not shape.widths and not shape.hidden:
        return RowFunction(None, "", is_plain=False)
    else:
        writer.plain(shape)
    source = writer.source()
    exec(compile(source, "<dorm row function>", "exec"), writer.names)
    return RowFunction(writer.names["hydrate"], source, is_plain=not any(loads) and not writer.asks_classes)


class _Told:
    """The row function that calls `from_db` for every object, for receivers of init signals; made on first use."""

    def __init__(self, shape: RowShape, loads: Sequence[Converter | None], giving: Giving | None) -> None:
        self._shape = shape
        self._loads = loads
        self._giving = giving
        self._made: Hydrate | None = None

    def __call__(self, *given: Any) -> list[Any]:
        made = self._made
        if made is None:
            writer = _Writer(self._loads, self._shape.hidden)
            writer.objects(self._shape, False, self._giving)
            exec(compile(writer.source(), "<dorm row function>", "exec"), writer.names)
            made = self._made = writer.names["hydrate"]
        assert made is not None, "a row function"
        return made(*given)


class _Writer:
    """Writes the source of one row function."""

    def __init__(self, loads: Sequence[Converter | None], hidden: int = 0) -> None:
        self.hidden = hidden
        self.names: dict[str, Any] = {}
        self.loads = list(loads)
        self.direct = True
        self.asks_classes = False
        self.lines: list[str] = []

    def source(self) -> str:
        return "\n".join(self.lines) + "\n"

    def value(self, position: int) -> str:
        """Return the source of one column's value, converted where its type needs it."""
        load = self.loads[position]
        if load is None:
            return f"c{position}"
        if load is bool:
            # Written out it takes a third of the call's time.
            return f"None if c{position} is None else True if c{position} else False"
        name = f"load{position}"
        self.names[name] = load
        if takes_null(load):
            return f"{name}(c{position})"
        return f"None if c{position} is None else {name}(c{position})"

    def row(self) -> str:
        columns = ", ".join(f"c{number}" for number in range(len(self.loads)))
        return f"({columns}, *_)" if self.hidden else f"({columns},)"

    def values(self, first: int, widths: tuple[int, ...]) -> list[str]:
        """Return the sources of the values from column *first* on, tuples where several columns are one value.

        Args:
            widths: how many columns each value has; empty: one each.
        """
        values = [self.value(number) for number in range(first, len(self.loads))]
        if not widths:
            return values
        left = iter(values)
        return [next(left) if width == 1 else f"({', '.join(next(left) for _ in range(width))})" for width in widths]

    # -- dicts and tuples ----------------------------------------------------------------------------------------
    def plain(self, shape: RowShape) -> None:
        values = self.values(0, shape.widths)
        if shape.kind == "dict":
            result = (
                "{" + ", ".join(f"{name!r}: {value}" for name, value in zip(shape.names, values, strict=True)) + "}"
            )
        elif shape.kind == "flat":
            result = values[0]
        elif shape.kind == "named":
            self.names["Row"] = namedtuple("Row", distinct_names(shape.names))
            result = f"Row({', '.join(values)})"
        else:
            result = f"({', '.join(values)},)"
        self.lines.append("def hydrate(rows, origin, told=None):")
        if shape.kind == "tuple":
            # Each takes the memory of the row before: nothing that the garbage collector would have to count.
            self.lines.append(f"    for place, {self.row()} in enumerate(rows):")
            self.lines += [f"        rows[place] = {result}", "    return rows"]
        else:
            self.lines.append(f"    return [{result} for {self.row()} in rows]")

    # -- objects -------------------------------------------------------------------------------------------------
    def objects(self, shape: RowShape, direct: bool, giving: Giving | None) -> None:
        """Write the function for instances; *direct* where no code of their classes need be called."""
        assert shape.object is not None, "an object shape without its object"
        self.direct = direct
        self.names |= {"new": object.__new__, "alias_of": alias_of}
        given = "rows, origin" if giving is None else "rows, origin, places"
        if direct:
            self.lines.append(f"def hydrate({given}, told=told):")
            self.lines.append("    if told is not None and (pre.is_connected or post.is_connected):")
            self.lines.append(f"        return told({given})")
        else:
            self.lines.append(f"def hydrate({given}):")
        self.lines.append(f"    for place, {self.row()} in enumerate(rows):")
        if giving is not None:
            self._place(shape, giving[0])
        annotated = self.values(self._annotated(shape), shape.widths)
        more = dict(zip(shape.names, annotated, strict=True))
        if giving is not None:
            column, kept = giving
            more.pop(column, None)
            if kept is not None and all(child.attribute != kept for child in shape.object.joined):
                more[kept] = "owner"
        self._object(shape.object, "o", 2, tuple(more.items()))
        if giving is not None:
            self.lines.append("        given.append(o)")
        self.lines += ["        rows[place] = o", "    return rows"]

    def _annotated(self, shape: RowShape) -> int:
        """Return the position of the first annotation."""
        return len(self.loads) - (sum(shape.widths) or len(shape.names))

    def _place(self, shape: RowShape, column: str) -> None:
        """Write the finding of a row's owner and of its list, by the key in *column*."""
        assert shape.object is not None, "an object shape without its object"
        if column in shape.names:
            before = shape.names.index(column)
            position = self._annotated(shape) + (sum(shape.widths[:before]) if shape.widths else before)
        else:
            position = shape.object.start + shape.object.attnames.index(column)
        if self.loads[position] is not None:
            self.lines.append(f"        c{position} = {self.value(position)}")
            self.loads[position] = None
        self.lines.append(f"        owner, given = places[c{position}]")

    def _object(self, shape: ObjectShape, name: str, depth: int, more: tuple[tuple[str, str], ...]) -> None:
        """Write the making of one instance; *more*: further attributes and the sources of their values."""
        pad = "    " * depth
        positions = range(shape.start, shape.start + len(shape.attnames))
        cls = f"cls_{name}"
        self.names[cls] = shape.model
        further = (*(child.attribute for child in shape.joined), *(attribute for attribute, _ in more))
        names = (*shape.attnames, *further)
        in_line = self.direct and goes_in_line(shape.model, names, shape.refers())
        bare = bare_class(shape.model, names) if self.direct and not in_line else None
        into = "{}.{} = {}" if in_line or bare is not None else "d_{}[{!r}] = {}"
        if in_line or bare is not None:
            self.names[f"row_{name}"] = partial(object.__new__, shape.model) if in_line else bare
            self.lines.append(f"{pad}{name} = row_{name}()")
            if len(names) > MOST_KEYS:
                # A dict of its own that grew with its keys would be twice as large and take half as long again.
                self.names[f"blank_{name}"] = dict.fromkeys((ORIGIN, *names))
                self.lines.append(f"{pad}{name}.__dict__ = blank_{name}.copy()")
            self.lines.append(f"{pad}{name}.{ORIGIN} = origin")
            for position, attname in zip(positions, shape.attnames, strict=True):
                self.lines.append(f"{pad}{name}.{attname} = {self.value(position)}")
        elif self.direct and shape.model._meta.hydrates_directly:
            self.lines.append(f"{pad}{name} = new({cls})")
            self.lines.append(f"{pad}d_{name} = {name}.__dict__")
            self.lines.append(f"{pad}d_{name}[{ORIGIN!r}] = origin")
            for position, attname in zip(positions, shape.attnames, strict=True):
                self.lines.append(f"{pad}d_{name}[{attname!r}] = {self.value(position)}")
        else:
            self.asks_classes = True
            values = ", ".join(self.value(position) for position in positions)
            self.names[f"names_{name}"] = shape.attnames
            self.lines.append(f"{pad}{name} = {cls}.from_db(alias_of(origin), names_{name}, ({values},))")
            self.lines += [f"{pad}d_{name} = {name}.__dict__", f"{pad}d_{name}[{ORIGIN!r}] = origin"]
        for number, child in enumerate(shape.joined):
            below = f"{name}_{number}"
            self.lines.append(f"{pad}if c{child.key} is None:")
            self.lines.append(f"{pad}    {into.format(name, child.attribute, None)}")
            self.lines.append(f"{pad}else:")
            self._object(child, below, depth + 1, () if child.reverse is None else ((child.reverse, name),))
            self.lines.append(f"{pad}    {into.format(name, child.attribute, below)}")
        self.lines += [f"{pad}{into.format(name, attribute, value)}" for attribute, value in more]
        if bare is not None:
            self.lines.append(f"{pad}{name}.__class__ = {cls}")
