"""SELECT as a value: sources, joins, clauses."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dorm.record import Record
from dorm.sql.boolean import with_parents
from dorm.sql.node import BOOLEAN_OUTPUT, Column, Node, Output, Scope

if TYPE_CHECKING:
    from dorm.sql.compiler import Compiler

Nulls: TypeAlias = Literal["first", "last"]


class Join(Record):
    """One joined table.

    Args:
        alias: name of this use of the table.
        parent: alias of the table it is joined to.
        pairs: equal columns, each (parent's, joined table's).
        nullable: a row of the parent may have no partner.
        multi: a row of the parent may have several partners.
        relation: identity of the relation, for reuse.
        scope: number of the ``filter()`` call that made it; a join over several partners serves that call only.
            0 for joins that no filter made.
        extra: further equalities on the joined table, (column, constant).
        given: equalities on the parent's table, (column, constant).
        condition: a further condition of the join (`FilteredRelation`).
    """

    alias: str
    table: str
    parent: str
    pairs: tuple[tuple[str, str], ...]
    nullable: bool
    multi: bool
    relation: object
    scope: int
    extra: tuple[tuple[str, Any], ...] = ()
    condition: Node | None = None
    given: tuple[tuple[str, Any], ...] = ()


class Order(Record):
    """One key of ORDER BY."""

    node: Node
    descending: bool = False
    nulls: Nulls | None = None

    def reversed(self) -> Order:
        """Return the opposite order; NULLs change ends too."""
        nulls: dict[Nulls | None, Nulls | None] = {None: None, "first": "last", "last": "first"}
        return Order(self.node, not self.descending, nulls[self.nulls])


class Lock(Record):
    """FOR UPDATE.

    Args:
        of: aliases of the tables whose rows are locked; all of them when there is none.
        weak: FOR NO KEY UPDATE.
    """

    nowait: bool = False
    skip_locked: bool = False
    of: tuple[str, ...] = ()
    weak: bool = False


class Compound(Record):
    """SELECTs whose rows are put together; *branches* are each a SELECT and where its slots start."""

    word: str
    branches: tuple[tuple[Select, int], ...]


class Select(Record):
    """One SELECT.

    Args:
        source: table name, or what stands as a table: another SELECT, or several put together.
        alias: name of the source in this SELECT.
        columns: the select list; *labels* names them where something outside refers to them.
        limit, offset: slots or numbers as nodes.
        lock: how the rows are locked.
        ctes: named queries of a WITH in front, nodes that render themselves.
    """

    source: str | Select | Compound
    alias: str
    columns: tuple[Node, ...]
    joins: tuple[Join, ...] = ()
    where: Node | None = None
    group_by: tuple[Node, ...] | None = None
    having: Node | None = None
    order_by: tuple[Order, ...] = ()
    distinct: bool = False
    distinct_on: tuple[Node, ...] = ()
    limit: Node | None = None
    offset: Node | None = None
    labels: tuple[str | None, ...] = ()
    lock: Lock | None = None
    ctes: tuple[Any, ...] = ()


class _Around:
    """The query that a subquery is put into."""

    __slots__ = ("nodes",)

    def __init__(self, nodes: Mapping[Any, Node]) -> None:
        self.nodes = nodes

    def meant(self, name: Any, /) -> Output | None:
        node = self.nodes.get(name)
        return node.output if node is not None else None


class SubSelect(Node):
    """A SELECT in parentheses; its slots start at *base* in the values of the outer query.

    Args:
        outer: nodes of the outer query by the reference that stands for each in the SELECT.
        aliases: databases that the SELECT insists on.
        empty: it is known to give no row.
    """

    template = "({})"

    def __init__(
        self,
        select: Select,
        base: int = 0,
        outer: Mapping[Any, Node] | None = None,
        aliases: frozenset[str] = frozenset(),
        empty: bool = False,
    ) -> None:
        self.select = select
        self.base = base
        self.references = tuple(outer or ())
        self.args = tuple((outer or {}).values())
        self.aliases = aliases
        self.empty = empty
        self.output = self.infer_output()

    def infer_output(self) -> Output | None:
        first = self.select.columns[0]
        if self.args:
            return first.known(_Around(dict(zip(self.references, self.args, strict=True)))).output
        return first.output

    def replaced(self, select: Select) -> SubSelect:
        """Return the same place with another SELECT."""
        outer = dict(zip(self.references, self.args, strict=True))
        return type(self)(select, self.base, outer, self.aliases, self.empty)

    def walk(self) -> Iterator[Node]:
        yield from super().walk()
        yield from self.free()

    def free(self) -> Iterator[Column]:
        """Yield the columns of the outer query that the SELECT names without a reference."""
        own = {self.select.alias, *[join.alias for join in self.select.joins]}
        conditions = [join.condition for join in self.select.joins]
        for root in (self.select.where, self.select.having, *conditions, *self.select.columns):
            for node in root.walk() if root is not None else ():
                if isinstance(node, Column) and node.alias not in own:
                    yield node

    def options(self) -> tuple[Hashable, ...]:
        return (id(self.select), self.base, self.references)

    def resolve(self, scope: Scope) -> Node:
        return self

    def sql(self, compiler: Compiler) -> str:
        # Without references of its own it sees those of the query around: a negated condition over several partners.
        outer = dict(zip(self.references, self.args, strict=True)) or None
        return self.template.format(compiler.nested(self.select, self.base, outer))


class ExistsSelect(SubSelect):
    """EXISTS over a SELECT.

    Attributes:
        is_one_part: groups are made by what it says, not by the columns around it that it names.
    """

    is_one_part = False
    template = "EXISTS ({})"
    is_condition = True

    def infer_output(self) -> Output | None:
        return BOOLEAN_OUTPUT

    @property
    def nullable(self) -> bool:
        return False


def inner_aliases(select: Select) -> frozenset[str]:
    """Return the aliases that may be joined by INNER JOIN without losing a row the WHERE would keep."""
    parents = {join.alias: join.parent for join in select.joins}
    rejected = select.where.null_rejecting(parents) if select.where is not None else ()
    inner = {select.alias, *with_parents(rejected, parents)}
    # A server locks no row that an outer join may lack; a foreign key that is there has its row.
    present = select.where.present() if select.where is not None and select.lock is not None else frozenset()
    for join in select.joins:
        led = present and not join.extra and {(join.parent, column) for column, _ in join.pairs} <= present
        if (not join.nullable or led) and join.parent in inner:
            inner.add(join.alias)
    return frozenset(inner)
