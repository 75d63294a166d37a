"""The description of a query over a model: what a plan holds. Immutable; values stand apart, in slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from dorm.conf.fetch_modes import FetchMode
from dorm.queryset.combine import Combined
from dorm.queryset.loading import Loading
from dorm.queryset.outputs import output_column, output_width
from dorm.record import Record, field
from dorm.sql.node import Node
from dorm.sql.plan import Plan
from dorm.sql.select import Join, Lock, Order

Kind: TypeAlias = Literal["object", "dict", "tuple", "named", "flat"]

Tree: TypeAlias = "Mapping[str, Tree]"
"""Names of foreign keys and, under each, those of the model it leads to."""

_NOTHING: Mapping[str, Node] = MappingProxyType({})
_NO_TREE: Tree = MappingProxyType({})


class Asked(Record):
    """An order as `order_by` was given it: its joins are made where rows are fetched, and only the last one's.

    Args:
        keys: names and expressions.
        base: first slot of their values.
    """

    keys: tuple[Any, ...]
    base: int


class Query(Record):
    """What a queryset asks for.

    Args:
        model: whose rows.
        alias: name of the model's table in the query.
        where, having: conditions that must all hold, on rows and on groups.
        annotations: computed columns by name; those in *hidden* are not selected (``alias()``).
        order: keys of ORDER BY; None is the model's own ordering, () is none.
        backwards: every order is turned round.
        group: columns to group by; "key" is the model's primary key; None is no grouping.
        kind, columns: what a row becomes, and for ``values`` and its like the columns by name.
        related: foreign keys whose objects are joined.
        loaded: which columns are loaded, None for all.
        limit, offset: slots of their values.
        ceiling: most rows, as a number in the text (``first``, ``get``).
        calls: number of ``filter`` calls so far.
        assigned: new values by column (``update``).
        mode: what late loads from these rows do, None for the setting.
        aggregates: what `aggregate` asks for over the rows.
        combined: what UNION, INTERSECT or EXCEPT put together; the rows are its rows then.
        qualify: conditions on window functions, which hold for the rows of everything else.
        lock: how the rows are locked (`select_for_update`), with the paths of relations in place of aliases.
        ctes: named queries in front.
        filtered: relations with a condition of their own, by the name that `FilteredRelation` gave them.
        aliases: databases that the subqueries insist on.
        outers: names of the surrounding query that this one refers to (`OuterRef`).
    """

    model: Any
    alias: str
    joins: tuple[Join, ...] = ()
    where: tuple[Node, ...] = ()
    having: tuple[Node, ...] = ()
    annotations: Mapping[str, Node] = field(default_factory=lambda: _NOTHING)
    hidden: frozenset[str] = frozenset()
    order: tuple[Order | Asked, ...] | None = None
    backwards: bool = False
    group: tuple[Node, ...] | Literal["key"] | None = None
    kind: Kind = "object"
    columns: tuple[tuple[str, Node], ...] = ()
    related: Tree = field(default_factory=lambda: _NO_TREE)
    loaded: Loading | None = None
    mode: FetchMode | None = None
    distinct: bool = False
    distinct_on: tuple[str, ...] = ()
    limit: int | None = None
    offset: int | None = None
    ceiling: int | None = None
    empty: bool = False
    calls: int = 0
    assigned: tuple[tuple[str, Node], ...] = ()
    outers: tuple[Any, ...] = ()
    aliases: frozenset[str] = frozenset()
    aggregates: tuple[tuple[str, Node], ...] = ()
    combined: Combined | None = None
    qualify: tuple[Node, ...] = ()
    lock: Lock | None = None
    ctes: tuple[Any, ...] = ()
    filtered: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @property
    def is_sliced(self) -> bool:
        """True when a limit or an offset was taken."""
        return self.limit is not None or self.offset is not None

    def output_column(self, name: str) -> Node:
        """Return a column of a combined query's rows by its name."""
        return output_column(self, name)

    def output_width(self, names: Sequence[str]) -> int:
        """Return how many of *names* make up the name of a column of a combined query's rows."""
        return output_width(self, names)

    @property
    def is_derived(self) -> bool:
        """True when the rows are not those of the joined tables, so that counting them needs a subquery."""
        return bool(
            self.is_sliced
            or self.ceiling is not None
            or self.distinct
            or self.distinct_on
            or self.group is not None
            or self.combined is not None
            or self.qualify
        )

    @property
    def is_ordered(self) -> bool:
        """True when rows come in an order that somebody asked for."""
        return bool(self.order) or (self.order is None and self.group is None and bool(self.model._meta.ordering))


def root_plan(model: Any) -> Plan[Query]:
    """Return the root of the plans of *model*."""
    return Plan.rooted(Query(model, model._meta.db_table))
