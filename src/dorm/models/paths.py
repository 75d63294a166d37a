"""Paths like ``author__books__title``: walked over fields and relations to single joins, nothing joined yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dorm.record import Record

if TYPE_CHECKING:
    from dorm.fields.base import Field


class Step(Record):
    """One join: a relation is made of one or more of them (see `steps_of`).

    Args:
        table: the joined table.
        pairs: equal columns, each (ours, theirs).
        nullable: a row of ours may have no partner.
        multi: a row of ours may have several partners.
        key: identity of the join, for reuse.
        extra: further equalities on the joined table, (column, constant).
        given: equalities on our table, (column, constant), without which there is no partner.
    """

    table: str
    pairs: tuple[tuple[str, str], ...]
    nullable: bool
    multi: bool
    key: object
    extra: tuple[tuple[str, Any], ...] = ()
    given: tuple[tuple[str, Any], ...] = ()


class Route(Record):
    """Where a path leads.

    Args:
        steps: the joins, in order.
        column: the column reached, in the table of the last join; of a composite key none.
        output: the field whose values it holds.
        null: the column itself may hold NULL.
        rest: the names that are no fields: transforms and a lookup.
        relation: the relation that the path ends at, None when it ends at a plain field.
        meta: options of the model reached.
    """

    steps: tuple[Any, ...]
    column: str
    output: Any
    null: bool
    rest: tuple[str, ...]
    relation: Any
    meta: Any

    @property
    def optional(self) -> bool:
        """True when the column may be NULL, because it is or because there may be no row."""
        return self.null or any(step.nullable for step in self.steps)


class NoSuchName(Exception):
    """The first name of a path is neither field nor relation of *meta*."""

    def __init__(self, meta: Any, name: str) -> None:
        super().__init__(name)
        self.meta = meta
        self.name = name


def steps_of(relation: Any) -> tuple[Any, ...]:
    """Return the single joins a relation is made of; a relation over one join is its own step."""
    found: tuple[Any, ...] | None = getattr(relation, "steps", None)
    return (relation,) if found is None else found


def relation_of(meta: Any, name: str) -> Any | None:
    """Return the relation that *name* is on a model: a relation field by its name, or a reverse relation."""
    field = meta.pk if name == "pk" else meta.find(name)
    if field is not None:
        return getattr(field, "relation", None) if field.is_relation and _names_relation(field, name) else None
    return meta.relations.get(name)


def _names_relation(field: Any, name: str) -> bool:
    return bool(name == field.name or name != field.attname)


def leading_up(meta: Any, model: Any) -> tuple[Any, ...]:
    """Return the joins from the table of *meta* to that of its ancestor *model*."""
    if model is None or model._meta.db_table == meta.db_table:
        return ()
    steps: list[Any] = []
    for link in meta.link_to(model):
        steps.extend(steps_of(link))
    return tuple(steps)


def walk(meta: Any, names: Iterable[str]) -> Route:
    """Follow *names* from the model of *meta* as far as they are fields and relations.

    Raises: NoSuchName: the first name is neither.
    """
    left = list(names)
    steps: list[Any] = []
    reached: tuple[Any, Any, int] | None = None  # the relation, its forward field, number of steps before it
    while left:
        name = left[0]
        field = meta.pk if name == "pk" else meta.find(name)
        relation = relation_of(meta, name)
        if relation is None and (field is None or field.column is None):
            if getattr(field, "is_composite", False):
                steps.extend(leading_up(meta, field.model))  # pyright: ignore[reportOptionalMemberAccess]
                return Route(tuple(steps), "", field, False, tuple(left[1:]), None, meta)
            if reached is None:
                raise NoSuchName(meta, name)
            break
        left.pop(0)
        if relation is None:
            steps.extend(leading_up(meta, field.model))
            return _route(steps, field, left, None, meta)
        owner = field.model if field is not None else getattr(relation, "model", None)
        steps.extend(leading_up(meta, owner))
        reached = (relation, field, len(steps))
        steps.extend(steps_of(relation))
        meta = relation.target._meta
    assert reached is not None, "a path of no names"
    relation, field, before = reached
    if field is not None and field.column is not None:
        # The foreign key's own column says it all: no join.
        return _route(steps[:before], field, left, relation, meta)
    return _route(steps, meta.pk, left, relation, meta)


def _conditional(step: Any) -> bool:
    """True when a partner may be missing although the columns before it are there: reverse and generic relations."""
    return not getattr(step, "forward", False) or bool(getattr(step, "extra", ()) or getattr(step, "given", ()))


def without_join(step: Any, columns: Iterable[str]) -> tuple[str, ...] | None:
    """Return our columns that hold what *columns* of the joined table hold, so that no join is needed; None for none.

    There may be no row at the other side of a one-to-one field.
    """
    if step.multi or _conditional(step):
        return None
    ours = {theirs: mine for mine, theirs in step.pairs}
    return tuple(ours[column] for column in columns) if ours.keys() >= set(columns) else None


def _route(steps: list[Any], field: Field[Any], rest: list[str], relation: Any, meta: Any) -> Route:
    """Return the route to *field*, without the last joins where the column before them holds the same."""
    column, null = field.column, field.null
    trimmed = list(steps)
    while trimmed and (ours := without_join(trimmed[-1], (column,))) is not None:
        column, null = ours[0], null or trimmed.pop().nullable
    return Route(tuple(trimmed), column, field, null, tuple(rest), relation, meta)
