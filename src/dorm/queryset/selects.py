"""From the description of a query to SELECT, and from SELECT to something that can be sent: compiled once a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dorm.db.dialect import Dialect
from dorm.db.statement import Statement, Template
from dorm.exceptions import FieldError, NotSupportedError
from dorm.expressions.filtered import Filtered
from dorm.lookups.core import InSelect
from dorm.models.paths import leading_up, steps_of, without_join
from dorm.models.resolve import Resolver, constant, slot_node
from dorm.models.rows import Giving, Hydrate, ObjectShape, RowShape, hydrator
from dorm.queryset.combine import TABLE, Combined, label
from dorm.queryset.loading import Loading
from dorm.queryset.locking import locked
from dorm.queryset.query import Asked, Query
from dorm.queryset.to_load import single_relation
from dorm.record import Record, replace
from dorm.sql.boolean import Condition, Nothing, conjunction
from dorm.sql.compiler import Bind, Compiler
from dorm.sql.literal import InliningCompiler
from dorm.sql.node import INTEGER_OUTPUT, Column, Node, Output
from dorm.sql.plan import Plan
from dorm.sql.row import Row, flat
from dorm.sql.select import Compound, ExistsSelect, Order, Select, SubSelect

_NONE_FILTERED: Mapping[str, Filtered] = {}

SUB, QUALIFIED = "sub", "qualified"

MOST_NAMED_ROWS = 20
"""`get` counts no further than this when it says how many rows it found."""


class Compiled:
    """A statement without its values.

    Attributes:
        template: text and what the driver wants to know of it.
        bind: from the values of a queryset to parameters; None where they are the same tuple.
        hydrate: from rows to results; None where they are the same.
        source: text of the row function, for debugging.
        is_plain: making results of rows runs no code of the user.
        empty: no row can match, so nothing is sent.
        late: something can be loaded late from the instances.
        paths: attributes that lead from an instance to those joined to it.
    """

    __slots__ = ("bind", "empty", "hydrate", "is_plain", "late", "paths", "source", "template")

    def __init__(
        self,
        template: Template,
        bind: Bind | None,
        hydrate: Hydrate | None = None,
        source: str = "",
        empty: bool = False,
    ) -> None:
        self.template = template
        self.bind = bind
        self.hydrate = hydrate
        self.source = source
        self.is_plain = False
        self.empty = empty
        self.late = False
        self.paths: tuple[tuple[str, ...], ...] = ()

    def parameters(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the parameters for these values."""
        return values if self.bind is None else self.bind(values)

    def statement(self, values: tuple[Any, ...]) -> Statement:
        """Return the statement for these values."""
        return Statement(self.template, values if self.bind is None else self.bind(values))


class Shown:
    """The SELECT of a queryset, to look at: as text its values stand in it as literals."""

    def __init__(self, plan: Plan[Query], values: tuple[Any, ...], dialect: Dialect) -> None:
        self.plan = plan
        self.values = values
        self.dialect = dialect

    def sql_with_params(self) -> tuple[str, tuple[Any, ...]]:
        """Return the text with placeholders and the parameters."""
        compiled = rows(self.plan, self.dialect)
        return compiled.template.sql, compiled.parameters(self.values)

    def __str__(self) -> str:
        select, _ = rows_select(self.plan.query)
        return InliningCompiler(self.dialect, self.values).select(select)

    def __reduce__(self) -> Any:
        from dorm.queryset.pickling import pickled_query, restored_query

        return restored_query, (pickled_query(self.plan.query.model, self.plan.query, self.values),)

    def __repr__(self) -> str:
        return f"<SELECT of {self.plan.query.model.__name__}>"


# -- what is kept on a plan --------------------------------------------------------------------------------------


def rows(plan: Plan[Query], dialect: Dialect) -> Compiled:
    """Return the compiled SELECT of the rows of *plan*."""
    key = ("rows", dialect.fingerprint)
    found: Compiled | None = plan.derived.get(key)
    if found is not None:
        return found
    made: Compiled = plan.derive(key, lambda: sized(_rows(plan, plan.query, dialect)))
    return made


def single(plan: Plan[Query], dialect: Dialect) -> Compiled:
    """Return the compiled SELECT of the rows of *plan* for `get`: without order, and enough to tell one from many.

    A slice keeps its own limit and its order, and DISTINCT ON its order, which chooses the rows.
    """
    key = ("single", dialect.fingerprint)
    found: Compiled | None = plan.derived.get(key)
    if found is not None:
        return found
    query = plan.query
    if not query.is_sliced:
        query = replace(query, ceiling=MOST_NAMED_ROWS + 1, order=query.order if query.distinct_on else ())
    made: Compiled = plan.derive(key, lambda: sized(_rows(plan, query, dialect)))
    return made


def sized(made: Compiled) -> tuple[Compiled, int]:
    """Return *made* with its estimated size in bytes."""
    return made, 4 * len(made.template.sql) + 2 * len(made.source)


def given(plan: Plan[Query], dialect: Dialect, giving: Giving) -> Compiled:
    """Return the compiled SELECT of the rows of *plan*, whose row function gives them to their owners."""
    key = ("given", dialect.fingerprint, giving)
    found: Compiled | None = plan.derived.get(key)
    if found is not None:
        return found
    made: Compiled = plan.derive(key, lambda: sized(_rows(plan, plan.query, dialect, giving)))
    return made


def _rows(plan: Plan[Query], query: Query, dialect: Dialect, giving: Giving | None = None) -> Compiled:
    select, shape = rows_select(query)
    outputs = [node.output for node in select.columns]
    made = compiled(plan, dialect, select, outputs)
    made.hydrate, made.source, made.is_plain = hydrator(shape, outputs, dialect, giving)
    if shape.object is not None:
        made.late = shape.object.loads_late(None if giving is None else giving[1])
        made.paths = tuple(shape.object.paths())
    return made


def compiled(
    plan: Plan[Query], dialect: Dialect, select: Select, outputs: list[Output | None] | None = None
) -> Compiled:
    """Return *select* compiled for *dialect*."""
    compiler = Compiler(dialect)
    sql = compiler.select(select)
    known = outputs if outputs is not None else [node.output for node in select.columns]
    template = Template(
        sql,
        reads=select.lock is None and not compiler.may_write,
        binary=all(output is not None and dialect.has_binary_loader(output.sql_type) for output in known),
        prepare=compiler.worth_preparing(sql),
        model=plan.query.model._meta.label,
    )
    return Compiled(template, compiler.binder(plan.slots), empty=is_empty(plan.query))


def is_empty(query: Query) -> bool:
    """True when no row can match."""
    if query.combined is not None and not query.empty:
        first, *others = [is_empty(branch) for branch, _ in query.combined.branches]
        if query.combined.operator == "union":
            return first and all(others)
        return first or (query.combined.operator == "intersection" and any(others))
    return query.empty or any(isinstance(part, Nothing) for part in query.where)


# -- SELECTs -----------------------------------------------------------------------------------------------------


def rows_select(query: Query, extra: tuple[Node, ...] = ()) -> tuple[Select, RowShape]:
    """Return the SELECT of the rows of *query*, and what each becomes.

    Args:
        extra: further nodes that whoever changes the select list will put into it; groups are made by them too. With
            conditions on windows they are its last columns.
    """
    if query.combined is not None:
        return _combined_select(query, query.combined)
    if query.group is not None and query.distinct_on:
        raise NotSupportedError("annotate() + distinct(fields) is not implemented.")
    resolver = Resolver(query, 0, "order_by")
    order = order_of(query, resolver)
    distinct_on = tuple([resolver.reference(name) for name in query.distinct_on])
    if query.kind == "object":
        nodes, shape = _object_columns(query, resolver)
    else:
        nodes, shape = _plain_columns(query)
    if query.distinct and not query.distinct_on:
        # DISTINCT can be ordered by what it selects only.
        order = tuple(each for each in order if not each.node.is_constant)
        seen = {_identity(node) for node in nodes}
        hidden = tuple(each.node for each in order if _identity(each.node) not in seen)
        nodes, shape = (*nodes, *hidden), replace(shape, hidden=len(hidden))
    select = Select(
        query.model._meta.db_table,
        query.alias,
        nodes,
        joins=tuple(resolver.joins),
        where=where_of(query),
        group_by=_group(query, (*nodes, *extra), order),
        having=conjunction(query.having),
        order_by=order,
        distinct=query.distinct,
        distinct_on=flat(distinct_on),
        limit=_limit(query),
        offset=slot_node(query.offset, INTEGER_OUTPUT),
        lock=locked(query, resolver) if query.lock is not None else None,
        ctes=query.ctes,
    )
    if query.qualify:
        select = _qualified(replace(select, columns=(*nodes, *extra)), query)
    return select, shape


def _plain_columns(query: Query) -> tuple[tuple[Node, ...], RowShape]:
    """Return the columns of ``values`` and its like, composite keys laid flat, and what they become."""
    widths = tuple(len(node.args) if isinstance(node, Row) else 1 for _, node in query.columns)
    nodes = [each for _, node in query.columns for each in (node.args if isinstance(node, Row) else (node,))]
    names = tuple(name for name, _ in query.columns)
    return tuple(nodes), RowShape(query.kind, names, widths=widths if max(widths, default=1) > 1 else ())


def _combined_select(query: Query, combined: Combined) -> tuple[Select, RowShape]:
    branches = tuple((rows_select(branch)[0], base) for branch, base in combined.branches)
    if query.kind == "object":
        nodes = tuple(node for _, node in combined.attributes)
        shape = rows_select(combined.branches[0][0])[1]
    else:
        nodes, shape = _plain_columns(query)
    select = Select(
        Compound(combined.word, branches),
        TABLE,
        nodes,
        order_by=order_of(query, Resolver(query, 0, "order_by")),
        limit=_limit(query),
        offset=slot_node(query.offset, INTEGER_OUTPUT),
        ctes=query.ctes,
    )
    return select, shape


def _qualified(select: Select, query: Query) -> Select:
    """Return *select* as a table whose rows the conditions on window functions choose from."""
    wanted: dict[Any, tuple[str, Node]] = {}
    where = conjunction(tuple(lifted(part, wanted, QUALIFIED) for part in query.qualify))
    order = tuple(Order(lifted(each.node, wanted, QUALIFIED), each.descending, each.nulls) for each in select.order_by)
    width = len(select.columns)
    inner = replace(
        select,
        columns=(*select.columns, *[node for _, node in wanted.values()]),
        labels=(*[label(number) for number in range(width)], *[name for name, _ in wanted.values()]),
        order_by=(),
        limit=None,
        offset=None,
        lock=None,
        ctes=(),
    )
    columns = tuple(Column(QUALIFIED, label(number), node.output, True) for number, node in enumerate(select.columns))
    return Select(
        inner,
        QUALIFIED,
        columns,
        where=where,
        order_by=order,
        limit=select.limit,
        offset=select.offset,
        ctes=select.ctes,
    )


def unordered(query: Query) -> Query:
    """Return *query* without an order that decides nothing."""
    decides = query.is_sliced or query.ceiling is not None or query.distinct_on
    return query if decides or query.order == () else replace(query, order=(), backwards=False)


def lifted(node: Node, wanted: dict[Any, tuple[str, Node]], table: str = SUB) -> Node:
    """Return *node* with what belongs to the subquery *table* replaced by columns of it."""
    if isinstance(node, (Column, SubSelect, InSelect)) or node.is_window or node.contains_aggregate:
        key: Any = (node.alias, node.column) if isinstance(node, Column) else id(node)
        name, _ = wanted.setdefault(key, (f"w{len(wanted)}", node))
        return Column(table, name, node.output, True)
    return node.rebuilt(tuple(lifted(arg, wanted, table) for arg in node.args)) if node.args else node


def labelled(select: Select) -> Select:
    return replace(select, labels=tuple(f"c{number}" for number in range(len(select.columns))))


def where_of(query: Query) -> Node | None:
    return Nothing() if query.empty else conjunction(query.where)


def _limit(query: Query) -> Node | None:
    if query.limit is not None:
        return slot_node(query.limit, INTEGER_OUTPUT)
    return constant(query.ceiling) if query.ceiling is not None else None


def order_of(query: Query, resolver: Resolver) -> tuple[Order, ...]:
    """Return the order of the rows of *query*."""
    order: tuple[Order, ...]
    if query.order is not None:
        order = tuple(
            each
            for key in query.order
            for each in (resolver.order_at(key.base, key.keys) if isinstance(key, Asked) else (key,))
        )
    elif query.group is not None:
        # As Django since 3.1: Meta.ordering would add columns to GROUP BY behind the user's back.
        order = ()
    else:
        order = resolver.declared_order(query.model._meta.ordering)
    if len(order) > 1:
        # A key that stands there twice decides once.
        firsts: dict[Any, Order] = {}
        for each in order:
            firsts.setdefault(_identity(each.node), each)
        order = tuple(firsts.values())
    return tuple(each.reversed() for each in order) if query.backwards else order


def _group(query: Query, nodes: tuple[Node, ...], order: tuple[Order, ...]) -> tuple[Node, ...] | None:
    """Return GROUP BY: the columns asked for, and what SELECT, HAVING and ORDER BY need beside them."""
    if query.group is None:
        return None
    own = [Column(query.alias, field.column, field, False) for field in query.model._meta.pk_fields]
    found: list[Node] = list(own if query.group == "key" else flat(query.group))
    seen = {_identity(node) for node in found}
    for whole in (*nodes, *[each.node for each in order], *query.having, *query.qualify):
        for node in _grouped_parts(whole, seen):
            # What depends on the columns of a row alone follows from its key.
            if query.group == "key" and _is_own(node, query.alias):
                continue
            if _identity(node) not in seen:
                seen.add(_identity(node))
                found.append(node)
    return tuple(found)


def _is_own(node: Node, alias: str) -> bool:
    return all(not part.is_opaque and (not isinstance(part, Column) or part.alias == alias) for part in node.walk())


def _grouped_parts(node: Node, seen: Collection[Any]) -> Iterator[Node]:
    """Yield the parts of *node* that must stand in GROUP BY: the largest that hold no aggregate, constants left out.

    Args:
        seen: the identities of what stands there already, whose own parts must not: they would make smaller groups.
    """
    if node.is_aggregate or _identity(node) in seen:
        return
    if isinstance(node, Row):
        for arg in node.args:
            yield from _grouped_parts(arg, seen)
        return
    if isinstance(node, ExistsSelect) and node.is_one_part:
        yield node
        return
    if isinstance(node, SubSelect):
        yield from node.free()
    if node.is_window:
        # The function is computed over groups; what it reads of them must be of the group.
        for arg in (*node.args[0].args, *node.args[1:]):
            yield from _grouped_parts(arg, seen)
        return
    if node.contains_aggregate or node.contains_window or node.is_part or isinstance(node, (Condition, SubSelect)):
        for arg in node.args:
            yield from _grouped_parts(arg, seen)
    elif any(isinstance(part, Column) or part.is_opaque for part in node.walk()):
        yield node


def _identity(node: Node) -> Any:
    return (node.alias, node.column) if isinstance(node, Column) else id(node)


# -- columns of objects ------------------------------------------------------------------------------------------


def _object_columns(query: Query, resolver: Resolver) -> tuple[tuple[Node, ...], RowShape]:
    nodes: list[Node] = []
    root = _object(query.model, query.alias, query.loaded, query.related, resolver, nodes, filtered=query.filtered)
    names = tuple(name for name in query.annotations if name not in query.hidden)
    added = [query.annotations[name] for name in names]
    # An annotated composite key is several columns.
    widths = tuple(len(node.args) if isinstance(node, Row) else 1 for node in added)
    nodes.extend(part for node in added for part in (node.args if isinstance(node, Row) else (node,)))
    return tuple(nodes), RowShape("object", names, root, widths if any(width > 1 for width in widths) else ())


def _object(
    model: Any,
    alias: str,
    loaded: Loading | None,
    related: Any,
    resolver: Resolver,
    nodes: list[Node],
    relation: Any = None,
    optional: bool = False,
    parent: _Table | None = None,
    filtered: Mapping[str, Filtered] = _NONE_FILTERED,
) -> ObjectShape:
    """Add the columns of one object and of those joined to it to *nodes*; return its shape.

    Args:
        relation: the relation that leads to it, None for the row's own object. optional: it may be missing.
        parent: the table of the object that it is a child of, where it is joined to that.
        filtered: the relations of the row's own object that were given names and conditions.
    """
    table = _Table(model, alias, loaded, parent)
    link = relation.field if relation is not None and relation.field.model is model else None
    fields = [field for field in model._meta.fields if table.loads(field) or field is link]
    start = len(nodes)
    for field in fields:
        own, column = table.place(resolver, field.model, field.column)
        nodes.append(Column(own, column, field, field.null or optional))
    joined = []
    for name, inner in related.items():
        if name in filtered:
            joined.append(_filtered_object(filtered[name], name, alias, inner, resolver, nodes))
            continue
        further = single_relation(model, name, name)
        _refuse_deferred(model, further, loaded, name)
        below = start_of = table.place(resolver, further.model)[0]
        for step in steps_of(further):
            below = resolver.join(below, step)
        is_child = not further.forward and further.field.parent_link
        above = _Table(further.model, start_of, loaded, table) if is_child else None
        narrowed = None if loaded is None else loaded.below(name)
        missing = optional or further.nullable
        joined.append(_object(further.target, below, narrowed, inner, resolver, nodes, further, missing, above))
    attnames = tuple(field.attname for field in fields)
    if relation is None:
        return ObjectShape(model, start, attnames, None, "", tuple(joined))
    keys = model._meta.pk_fields
    key = next((start + number for number, field in enumerate(fields) if field in keys), None)
    return ObjectShape(model, start, attnames, key, relation.object_key, tuple(joined), _way_back(relation))


def _filtered_object(
    filtered: Filtered, name: str, alias: str, related: Any, resolver: Resolver, nodes: list[Node]
) -> ObjectShape:
    """Do as `_object` for the partner that a `FilteredRelation` leads to, which is kept under its *name*."""
    for step in filtered.steps:
        alias = resolver.join(alias, step)
    shape = _object(filtered.meta.model, alias, None, related, resolver, nodes, filtered.relation, optional=True)
    return replace(shape, attribute=name, reverse=None)


class _Table(Record):
    """The table that the columns of an object come from, and where those of its model's parents are.

    Args:
        parent: the same of the object that this one is a child of: they share its row.
    """

    model: Any
    alias: str
    loaded: Loading | None
    parent: _Table | None

    def loads(self, field: Any) -> bool:
        """Return whether the column of *field* is read: what a parent reads is there for its child."""
        if self.loaded is None or self.loaded.loads(field):
            return True
        return self.parent is not None and issubclass(self.parent.model, field.model) and self.parent.loads(field)

    def place(self, resolver: Resolver, model: Any, column: str = "") -> tuple[str, str]:
        """Return the alias of the table of *model* (this one or a parent), and the name of *column* there.

        The key of a parent is that of the child: no join is needed for it.
        """
        if self.parent is not None and model is not None and issubclass(self.parent.model, model):
            return self.parent.place(resolver, model, column)
        steps = list(leading_up(self.model._meta, model))
        while steps and (ours := without_join(steps[-1], (column,))) is not None:
            column = ours[0]
            steps.pop()
        alias = self.alias
        for step in steps:
            alias = resolver.join(alias, step)
        return alias, column


def _way_back(relation: Any) -> str | None:
    """Return the key under which a joined object keeps the one it is joined to: one-to-one relations have one."""
    if relation.one_to_one and relation.opposite.accessor is not None:
        back: str = relation.opposite.object_key
        return back
    return None


def _refuse_deferred(model: Any, relation: Any, loaded: Loading | None, name: str) -> None:
    """Refuse to join what `only` or `defer` leaves out."""
    if loaded is None:
        return
    if relation.forward:
        left_out, name = not loaded.loads(relation.field), relation.field.name
    else:
        named = any(names[0] == name for names in loaded.names)
        left_out = not named if loaded.only else (name,) in loaded.names
    if left_out:
        raise FieldError(
            f"Field {model.__name__}.{name} cannot be both deferred and traversed using select_related at the "
            "same time: name it in only(), or leave it out of defer()."
        )
