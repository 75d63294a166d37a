"""`&`, `|` and `^` between querysets of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from dorm.expressions.predicate import Q
from dorm.queryset.query import Asked, Query
from dorm.record import replace
from dorm.sql.boolean import Everything, conjunction, disjunction, odd
from dorm.sql.node import Literals, Node
from dorm.sql.relabel import moved, moved_join
from dorm.sql.select import Join

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet
    from dorm.sql.plan import Prepares

_SYMBOLS = {"AND": "&", "OR": "|", "XOR": "^"}


def merged(left: QuerySet[Any, Any], right: QuerySet[Any, Any], connector: str) -> QuerySet[Any, Any]:
    """Return the rows that meet both, either or one of the conditions of two querysets."""
    if not hasattr(right, "_plan"):
        return cast("QuerySet[Any, Any]", NotImplemented)
    mine, theirs = left._plan.query, right._plan.query
    _check(mine, theirs, connector)
    if connector == "AND" and (mine.empty or theirs.empty):
        return left if mine.empty else right
    if mine.empty:
        return right
    if theirs.empty:
        return left
    if connector != "AND":
        left, right = _filterable(left), _filterable(right)
        mine, theirs = left._plan.query, right._plan.query
        if mine.having or theirs.having or mine.qualify or theirs.qualify:
            # Groups and rows cannot be chosen by one condition: the keys of both decide.
            rows: QuerySet[Any, Any] = left.model._base_manager.using(left._alias)
            one, other = Q(pk__in=left), Q(pk__in=right)
            return rows.filter(one | other if connector == "OR" else one ^ other)
    if theirs.ctes and mine.ctes:
        from dorm.queryset.cte import check_merged

        check_merged(left, right)
    collected = Literals()
    key = (_SYMBOLS[connector], right.query_key(collected))
    base = left._plan.slots

    def build() -> tuple[Query, Prepares]:
        return _merged(mine, theirs, base, connector), (None,) * len(collected)

    return left._with(left._plan.step(key, build), (*left._values, *collected))


def _filterable(qs: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    if not qs._plan.query.is_sliced:
        return qs
    rows: QuerySet[Any, Any] = qs.model._base_manager.using(qs._alias).filter(pk__in=qs.values("pk"))
    return rows


def _check(mine: Query, theirs: Query, connector: str) -> None:
    if mine.combined is not None or theirs.combined is not None:
        raise TypeError(f"Cannot use {_SYMBOLS[connector]} operator with combined queryset.")
    if mine.model is not theirs.model:
        raise TypeError("Cannot combine queries on two different base models.")
    if mine.kind != theirs.kind or [name for name, _ in mine.columns] != [name for name, _ in theirs.columns]:
        raise TypeError("Merging 'QuerySet' classes must involve the same values in each case.")
    if connector == "AND" and (mine.is_sliced or theirs.is_sliced):
        raise TypeError("Cannot combine queries once a slice has been taken.")
    if mine.distinct != theirs.distinct:
        raise TypeError("Cannot combine a unique query with a non-unique query.")
    if len(mine.distinct_on) != len(theirs.distinct_on):
        raise TypeError("Cannot combine queries with different distinct fields.")


def _merged(mine: Query, theirs: Query, base: int, connector: str) -> Query:
    names = {theirs.alias: mine.alias}
    joins = list(mine.joins)
    for join in theirs.joins:
        found = _same(joins, join, names, reuse_multi=connector != "AND")
        names[join.alias] = found.alias if found is not None else f"T{len(joins) + 1}"
        if found is None:
            joins.append(moved_join(join, names, base))
    where = [moved(part, names, base) for part in theirs.where]
    changed = replace(
        mine,
        joins=tuple(joins),
        where=_combined(list(mine.where), where, connector),
        having=mine.having + tuple(moved(part, names, base) for part in theirs.having),
        qualify=mine.qualify + tuple(moved(part, names, base) for part in theirs.qualify),
        calls=max(mine.calls, theirs.calls) + 1,
        order=_order(theirs, names, base) if theirs.order else mine.order,
        backwards=theirs.backwards if theirs.order else mine.backwards,
        related={**theirs.related, **mine.related},
        outers=tuple(dict.fromkeys((*mine.outers, *theirs.outers))),
        aliases=mine.aliases | theirs.aliases,
        ctes=_named(mine, theirs, base),
    )
    extra = {
        name: moved(node, names, base) for name, node in theirs.annotations.items() if name not in mine.annotations
    }
    group = mine.group
    if group is None and theirs.group is not None:
        group = theirs.group if theirs.group == "key" else tuple(moved(node, names, base) for node in theirs.group)
    return replace(
        changed,
        annotations={**mine.annotations, **extra},
        hidden=mine.hidden | (theirs.hidden & extra.keys()),
        group=group,
    )


def _named(mine: Query, theirs: Query, base: int) -> tuple[Any, ...]:
    if not theirs.ctes:
        return mine.ctes
    # Few queries have any, so what knows of them is loaded with the first.
    from dorm.queryset.cte import merged as merged_ctes

    return merged_ctes(mine.ctes, theirs.ctes, base)


def _order(theirs: Query, names: dict[str, str], base: int) -> tuple[Any, ...]:
    return tuple(
        replace(key, base=key.base + base)
        if isinstance(key, Asked)
        else replace(key, node=moved(key.node, names, base))
        for key in theirs.order or ()
    )


def _same(joins: list[Join], join: Join, names: dict[str, str], reuse_multi: bool) -> Join | None:
    """Return the join among *joins* that may serve as *join*."""
    if join.multi and not reuse_multi:
        return None
    for known in joins:
        same = known.relation is join.relation and known.parent == names[join.parent]
        if same and known.condition is None and join.condition is None:
            return known
    return None


def _combined(mine: list[Node], theirs: list[Node], connector: str) -> tuple[Node, ...]:
    if connector == "AND":
        return (*mine, *theirs)
    one, other = conjunction(mine) or Everything(), conjunction(theirs) or Everything()
    found = odd([one, other]) if connector == "XOR" else disjunction([one, other])
    return () if found is None or isinstance(found, Everything) else (found,)
