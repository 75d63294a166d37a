"""UPDATE and DELETE of the rows of a queryset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dorm.db.connection import Database, connections
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Execute
from dorm.db.router import router
from dorm.db.statement import Template
from dorm.queryset import selects, totals
from dorm.queryset.assigning import assigned
from dorm.queryset.known import Parent
from dorm.queryset.ops import announce, fetch
from dorm.queryset.parts import key_select
from dorm.sql.boolean import conjunction
from dorm.sql.compiler import Compiler
from dorm.sql.select import SubSelect
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.db.dialect import Dialect
    from dorm.queryset.query import Query
    from dorm.queryset.queryset import QuerySet
    from dorm.sql.plan import Plan


_MOST_ROW_VALUES = 512
"""Composite keys in one statement: each stands in its text."""


def alias_of(qs: QuerySet[Any, Any]) -> str:
    """Return the alias that *qs* writes to: its own, else the routers' answer."""
    alias = qs._alias
    if alias is None:
        alias = "default" if router.is_idle and not qs._hints else router.db_for_write(qs._plan.query.model, qs._hints)
    return alias


def writing(qs: QuerySet[Any, Any]) -> Database:
    """Return the database that *qs* writes to, and tell the routers."""
    router.wrote(qs.model)
    return connections[alias_of(qs)]


@operation
def update(qs: QuerySet[Any, Any], new: dict[str, Any]) -> Operation[int]:
    """Set columns of all rows; return the number of rows that matched."""
    announce.refuse_read_only(qs.model._meta, "update()")
    if not new:
        return 0
    database = writing(qs)
    if isinstance(qs._hints, Parent):
        qs._hints.forget()
    if qs.model._meta.parents:
        return (yield from _update_tables(qs, new, database))
    return (yield from update_table(qs, new, database))


@operation
def _update_tables(qs: QuerySet[Any, Any], new: dict[str, Any], database: Database) -> Operation[int]:
    """Set columns that may stand in the tables of parents; the rows are those of *qs* before anything is set."""
    meta = qs.model._meta
    tables: dict[Any, dict[str, Any]] = {}
    for name, value in new.items():
        field = meta.pk if name == "pk" else meta.get_field(name, where="update()")
        tables.setdefault(field.model, {})[name] = value
    own = tables.pop(meta.concrete_model, None)
    if not tables:
        return (yield from update_table(qs, new, database))
    return (yield from in_transaction(_update_each(qs, own, tables, database), database.alias))


@operation
def _update_each(
    qs: QuerySet[Any, Any], own: dict[str, Any] | None, tables: dict[Any, dict[str, Any]], database: Database
) -> Operation[int]:
    meta = qs.model._meta
    links = {model: meta.link_to(model)[-1].field for model in tables}
    # The link's column is a field of the model, inherited where the model is no direct child.
    paths = [links[model].attname for model in tables]
    found = qs.using(database.alias).order_by().values_list("pk", *paths)
    rows = yield from fetch.fetch(found)
    qs._rows = None
    number = len(rows)
    if own and rows:
        keys = [row[0] for row in rows]
        start = meta.base_manager.get_queryset().using(database.alias)
        number = 0
        for part in parts(keys, database):
            number += yield from update_table(start.filter(pk__in=part), own, database)
    for position, (model, values) in enumerate(tables.items(), 1):
        target = links[model].target_field
        start = model._base_manager.using(database.alias)
        for part in parts([row[position] for row in rows], database):
            yield from update_table(start.filter(**{f"{target.name}__in": part}), values, database)
    return number


def parts(keys: list[Any], database: Database, width: int = 1) -> list[list[Any]]:
    """Return *keys* in lists that fit into one statement; *width* is the number of columns of a key."""
    size = max(1, database.dialect.max_parameters // (2 * width))
    if width > 1:
        size = min(size, _MOST_ROW_VALUES)
    return [keys[start : start + size] for start in range(0, len(keys), size)]


@operation
def update_table(qs: QuerySet[Any, Any], new: dict[str, Any], database: Database) -> Operation[int]:
    """Set columns of the model's own table."""
    plan, values = assigned(qs._plan, qs._values, new)
    compiled = plan.derive(
        ("update", database.dialect.fingerprint), lambda: selects.sized(_update(plan, database.dialect))
    )
    qs._rows = None
    if compiled.empty:
        return 0
    return (yield from perform(Execute(database, compiled.statement(values))))


@operation
def delete_rows(qs: QuerySet[Any, Any]) -> Operation[int]:
    """Delete all rows by one statement, nothing cascaded; return their number."""
    database = writing(qs)
    plan = qs._plan
    compiled = plan.derive(
        ("delete", database.dialect.fingerprint), lambda: selects.sized(_delete(plan, database.dialect))
    )
    qs._rows = None
    if compiled.empty:
        return 0
    return (yield from perform(Execute(database, compiled.statement(qs._values))))


def _update(plan: Plan[Query], dialect: Dialect) -> selects.Compiled:
    compiler = Compiler(dialect, (plan.query.alias,))
    pairs = [f"{compiler.quote(column)} = {node.sql(compiler)}" for column, node in plan.query.assigned]
    sql = (
        f"UPDATE {compiler.quote(plan.query.model._meta.db_table)} SET {', '.join(pairs)}{_where(plan.query, compiler)}"
    )
    return _compiled(plan, compiler, sql)


def _delete(plan: Plan[Query], dialect: Dialect) -> selects.Compiled:
    compiler = Compiler(dialect, (plan.query.alias,))
    sql = f"DELETE FROM {compiler.quote(plan.query.model._meta.db_table)}{_where(plan.query, compiler)}"
    return _compiled(plan, compiler, sql)


def _compiled(plan: Plan[Query], compiler: Compiler, sql: str) -> selects.Compiled:
    template = Template(sql, prepare=compiler.worth_preparing(sql), model=plan.query.model._meta.label)
    return selects.Compiled(template, compiler.binder(plan.slots), empty=selects.is_empty(plan.query))


def _where(query: Query, compiler: Compiler) -> str:
    """Return WHERE; through a subquery on the key where the rows are not those of the table alone."""
    query = totals.as_set(query)
    if query.joins or query.ctes or query.is_derived:
        columns = [compiler.column(query.alias, field.column) for field in query.model._meta.pk_fields]
        pk = columns[0] if len(columns) == 1 else f"({', '.join(columns)})"
        return f" WHERE {pk} IN {SubSelect(key_select(query)).sql(compiler)}"
    where = conjunction(query.where)
    return f" WHERE {where.sql(compiler)}" if where is not None else ""
