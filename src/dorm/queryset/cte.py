"""Common table expressions: named queries in front of a query (WITH)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dorm.db.rawsql import count_placeholders
from dorm.expressions.raw import written, written_values
from dorm.models.resolve import Resolver
from dorm.queryset import build, parts
from dorm.sql.node import Literals, Node, Part, QueryLike, Scope
from dorm.sql.relabel import moved

if TYPE_CHECKING:
    from dorm.queryset.query import Query
    from dorm.queryset.queryset import QuerySet
    from dorm.sql.compiler import Compiler
    from dorm.sql.plan import Plan, Prepares


class CTE:
    """A named query by its SQL, for ``with_cte``.

    Args:
        sql: a SELECT (of UNION ALL, when *recursive*); ``%s`` are places of *params*.
        recursive: the query refers to itself by its name.
    """

    def __init__(self, sql: str, params: Sequence[Any] | None = None, *, recursive: bool = False) -> None:
        if not isinstance(sql, str) or not sql.strip():
            raise TypeError("CTE() takes the SQL of a query as a text.")
        self.sql = sql
        self.params = tuple(params or ())
        self.recursive = recursive
        expected = count_placeholders(sql)
        if expected != len(self.params):
            raise ValueError(f"CTE has {expected} placeholders (%s) and {len(self.params)} parameters.")

    def __repr__(self) -> str:
        return f"CTE({self.sql!r}, {len(self.params)} parameters{', recursive' if self.recursive else ''})"


class NamedText(Node):
    """A named query by its SQL; its children are the parameters."""

    def __init__(self, name: str, text: str, args: tuple[Node, ...], recursive: bool) -> None:
        self.name = name
        self.text = text
        self.args = args
        self.recursive = recursive

    def options(self) -> tuple[Hashable, ...]:
        return (self.name, self.text, self.recursive)

    def resolve(self, scope: Scope) -> Node:
        return self.rebuilt(tuple(arg.resolve(scope) for arg in self.args))

    def sql(self, compiler: Compiler) -> str:
        return f"{compiler.quote(self.name)} AS ({written(self.text, self.args, compiler)})"

    def moved(self, offset: int) -> NamedText:
        """Return it with its values *offset* further on."""
        return self.rebuilt(tuple(moved(arg, {}, offset) for arg in self.args))

    def told(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what it is, with its values among those of its query."""
        own = [values[slot] for arg in self.args for slot in _slots(arg)]
        return (*self.options(), *[(type(value), value) for value in own])


class NamedSelect(Node):
    """A named query that a queryset gives."""

    recursive = False

    def __init__(self, name: str, part: Part, base: int) -> None:
        self.name = name
        self.part = part
        self.base = base

    def sql(self, compiler: Compiler) -> str:
        return f"{compiler.quote(self.name)} AS ({compiler.nested(self.part.select, self.base)})"

    def moved(self, offset: int) -> NamedSelect:
        """Return it with its values *offset* further on."""
        return NamedSelect(self.name, self.part, self.base + offset)

    def told(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what it is, with its values among those of its query."""
        own = values[self.base : self.base + self.part.slots]
        return (self.name, id(self.part.select), *[(type(value), value) for value in own])


def with_cte(
    plan: Plan[Query], values: tuple[Any, ...], queries: Mapping[str, Any]
) -> tuple[Plan[Query], tuple[Any, ...]]:
    """`with_cte`."""
    collected = Literals()
    keys: list[Hashable] = ["with_cte"]
    for name, query in queries.items():
        build.check_alias(name)
        if isinstance(query, CTE):
            keys.append(
                (name, query.sql, query.recursive, *[value.key(collected) for value in written_values(query.params)])
            )
        elif isinstance(query, QueryLike):
            keys.append((name, query.query_key(collected)))
        else:
            raise TypeError(f"with_cte() takes querysets and CTE objects, not {type(query).__name__} (for {name!r}).")
        if name in {cte.name for cte in plan.query.ctes}:
            raise ValueError(f"with_cte() was given {name!r} already.")
    return build.step(plan, values, tuple(keys), collected, lambda: _named(plan, queries))


def _named(plan: Plan[Query], queries: Mapping[str, Any]) -> tuple[Query, Prepares]:
    resolver = Resolver(plan.query, plan.slots, "with_cte")
    made: list[Any] = []
    for name, query in queries.items():
        if isinstance(query, CTE):
            args = tuple(value.resolve(resolver) for value in written_values(query.params))
            made.append(NamedText(name, query.sql, args, query.recursive))
            continue
        part = parts.named_part(query._plan, query._alias)
        base = plan.slots + len(resolver.prepares)
        resolver.prepares.extend([None] * part.slots)
        resolver.aliases |= part.aliases
        made.append(NamedSelect(name, part, base))
    changed = resolver.applied(ctes=(*plan.query.ctes, *made))
    return changed, resolver.taken


def _slots(node: Node) -> Iterator[int]:
    slot = getattr(node, "slot", None)
    if isinstance(slot, int):
        yield slot
    for arg in node.args:
        yield from _slots(arg)


def check_merged(left: QuerySet[Any, Any], right: QuerySet[Any, Any]) -> None:
    """Refuse two queries that give one name to different queries; the text that names it could mean either."""
    mine = {cte.name: cte for cte in left._plan.query.ctes}
    for cte in right._plan.query.ctes:
        known = mine.get(cte.name)
        if known is not None and known.told(left._values) != cte.told(right._values):
            raise ValueError(
                f"with_cte() gave {cte.name!r} to different queries in the two querysets that are combined: give one "
                "of them another name."
            )


def merged(mine: tuple[Any, ...], theirs: tuple[Any, ...], offset: int) -> tuple[Any, ...]:
    """Return the named queries of two querysets; the values of *theirs* are *offset* further on."""
    names = {cte.name for cte in mine}
    return (*mine, *[cte.moved(offset) for cte in theirs if cte.name not in names])


def cte_of(qs: QuerySet[Any, Any], queries: Mapping[str, Any]) -> QuerySet[Any, Any]:
    """Return *qs* with these named queries in front."""
    plain = {name: getattr(query, "_queryset", lambda query=query: query)() for name, query in queries.items()}
    return qs._with(*with_cte(qs._plan, qs._values, plain)) if plain else qs._clone()
