"""Hierarchies: the descendants or ancestors of a row of a model that points at itself, by one recursive query.

`descendants_cte` and `ancestors_cte` give the query as a `CTE` for ``with_cte``; `descendants` and `ancestors` run it.
Rows carry ``depth``: 0 for the row it starts from. A row that would close a cycle is left out, so the query ends
whatever the data is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dorm.db.connection import connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Query as Fetch
from dorm.db.router import router
from dorm.db.statement import Statement, Template
from dorm.exceptions import FieldError
from dorm.queryset.build import check_alias
from dorm.queryset.cte import CTE

__all__ = ["aancestors", "adescendants", "ancestors", "ancestors_cte", "descendants", "descendants_cte"]


def descendants_cte(
    model: Any,
    *,
    parent_field: str,
    root_pk: Any,
    fields: Sequence[str] | None = None,
    pk_column: str = "id",
    cte_name: str = "descendants",
    cycle_field: str | None = None,
) -> CTE:
    """Return the query of a row and everything below it.

    Args:
        parent_field: the foreign key to the parent.
        root_pk: key of the row to start from.
        fields: names of the columns to give; all by default.
        pk_column: column of the key.
        cte_name: the name under which the query will stand in ``with_cte``.
        cycle_field: name of a further column that is true for a row that closes a cycle; such rows are given then.
    Raises: FieldDoesNotExist: the model has no such field. FieldError: it stands in a parent's table.
        ValueError: *parent_field* leads to another model; a column is called ``depth`` as the result's own.
    """
    return _walk(model, parent_field, root_pk, fields, pk_column, cte_name, cycle_field, up=False)


def ancestors_cte(
    model: Any,
    *,
    parent_field: str,
    leaf_pk: Any,
    fields: Sequence[str] | None = None,
    pk_column: str = "id",
    cte_name: str = "ancestors",
    cycle_field: str | None = None,
) -> CTE:
    """Return the query of a row and everything above it; arguments as those of `descendants_cte`."""
    return _walk(model, parent_field, leaf_pk, fields, pk_column, cte_name, cycle_field, up=True)


def _walk(
    model: Any,
    parent_field: str,
    start: Any,
    fields: Sequence[str] | None,
    pk_column: str,
    name: str,
    cycle: str | None,
    up: bool,
) -> CTE:
    meta = model._meta
    dialect = connections[router.db_for_read(model, {})].dialect
    quote = dialect.quote
    source = _parent(model, parent_field)
    pk = _key(meta, pk_column)
    parent, key = quote(source.column), quote(pk.column)
    target = quote(source.target_field.column) if source.is_relation else key
    wanted = _fields(model, fields)
    for made in (name, *([cycle] if cycle is not None else [])):
        check_alias(made)
    for made in ("depth", *([cycle] if cycle is not None else [])):
        if made in {each for field in wanted for each in (field.column, field.attname)} or made in (parent, key):
            raise ValueError(
                f"{model.__name__} has a column {made!r} itself, which is the name of a column of the result: give the "
                "names of the columns wanted as fields=[...] without it."
            )
    columns = [quote(field.column) for field in wanted]
    extra = [] if parent in columns else [parent]
    extra += [column for column in (key, target) if column not in columns]
    table, walk = quote(meta.db_table), quote(name)
    path, depth = quote("dorm_path"), quote("depth")
    own = ", ".join(f"t.{column}" for column in dict.fromkeys((*columns, *extra)))
    # Keys stand between slashes, so that one inside a key has to be written otherwise.
    mark = f"'/' || REPLACE(REPLACE(CAST(t.{key} AS TEXT), '~', '~0'), '/', '~1') || '/'"
    closes = f"{dialect.functions.get('StrIndex', 'INSTR')}(w.{path}, {mark}) > 0"
    link = f"t.{target} = w.{parent}" if up else f"t.{parent} = w.{target}"
    flag, first = (f", CASE WHEN {closes} THEN 1 ELSE 0 END", f", 0 AS {quote(cycle)}") if cycle else ("", "")
    ends = f"w.{quote(cycle)} = 0" if cycle else f"NOT ({closes})"
    sql = (
        f"SELECT {own}, 0 AS {depth}, {mark} AS {path}{first} FROM {table} t WHERE t.{key} = %s UNION ALL "
        f"SELECT {own}, w.{depth} + 1, w.{path} || {mark}{flag} FROM {table} t "
        f"INNER JOIN {walk} w ON {link} WHERE {ends}"
    )
    return CTE(sql, [pk.prepare(start)], recursive=True)


def _parent(model: Any, name: str) -> Any:
    """Return the field that says which row is above; a relation must lead to the model itself."""
    field = _local(model, name)
    target = field.related_model if field.is_relation else model
    if field.is_relation and target._meta.concrete_model is not model._meta.concrete_model:
        raise ValueError(
            f"{model.__name__}.{name} leads to {target.__name__}: parent_field is a foreign key of {model.__name__} to "
            "itself."
        )
    return field


def _key(meta: Any, name: str) -> Any:
    if meta.pk.is_composite:
        raise ValueError(f"{meta.object_name} has a key of several columns: trees are walked by one column.")
    return meta.pk if name in ("id", "pk") else meta.get_field(name)


def _fields(model: Any, names: Sequence[str] | None) -> list[Any]:
    meta = model._meta
    if names is None:
        return list(meta.table_columns)
    return [meta.pk if name == "pk" else _local(model, name) for name in names]


def _local(model: Any, name: str) -> Any:
    """Return a field of *model* whose column stands in the model's own table."""
    meta = model._meta
    field = meta.get_field(name)
    if field not in meta.table_columns:
        raise FieldError(
            f"{model.__name__}.{name} is no column of the table {meta.db_table}: a tree is walked in one table. "
            "Join the other columns to the rows by their keys."
        )
    return field


# -- running it --------------------------------------------------------------------------------------------------


@operation
def _rows(model: Any, cte: CTE, fields: Sequence[str] | None, cycle: str | None, name: str) -> Operation[list[Any]]:
    meta = model._meta
    database = connections[router.db_for_read(model, {})]
    dialect = database.dialect
    wanted = _fields(model, fields)
    names = [dialect.quote(field.column) for field in wanted] + [dialect.quote("depth")]
    names += [dialect.quote(cycle)] if cycle else []
    text = (
        f"WITH RECURSIVE {dialect.quote(name)} AS ({cte.sql}) SELECT {', '.join(names)} FROM {dialect.quote(name)} "
        f"ORDER BY {dialect.quote('depth')}, {dialect.quote(meta.pk.column)}"
    )
    bind = meta.pk.bind(dialect)
    params = [param if bind is None else bind(param) for param in cte.params]
    statement = Statement(Template(dialect.raw_sql(text, True), model=meta.label), params)
    found = yield from perform(Fetch(database, statement))
    loads = [field.load(dialect) for field in wanted]
    rows = []
    for row in found:
        made = {
            field.attname: value if value is None or load is None else load(value)
            for field, value, load in zip(wanted, row, loads, strict=False)
        }
        made["depth"] = row[len(wanted)]
        if cycle:
            made[cycle] = bool(row[len(wanted) + 1])
        rows.append(made)
    return rows


def _below(model: Any, parent_field: str, root_pk: Any, fields: Any, pk_column: str, cycle: str | None) -> Any:
    cte = descendants_cte(
        model, parent_field=parent_field, root_pk=root_pk, fields=fields, pk_column=pk_column, cycle_field=cycle
    )
    return _rows(model, cte, fields, cycle, "descendants")


def _above(model: Any, parent_field: str, leaf_pk: Any, fields: Any, pk_column: str, cycle: str | None) -> Any:
    cte = ancestors_cte(
        model, parent_field=parent_field, leaf_pk=leaf_pk, fields=fields, pk_column=pk_column, cycle_field=cycle
    )
    return _rows(model, cte, fields, cycle, "ancestors")


def descendants(
    model: Any,
    *,
    parent_field: str,
    root_pk: Any,
    fields: Sequence[str] | None = None,
    pk_column: str = "id",
    cycle_field: str | None = None,
) -> list[dict[str, Any]]:
    """Return the row with *root_pk* and everything below it as dicts, nearest first."""
    rows: list[dict[str, Any]] = run(_below(model, parent_field, root_pk, fields, pk_column, cycle_field))
    return rows


async def adescendants(
    model: Any,
    *,
    parent_field: str,
    root_pk: Any,
    fields: Sequence[str] | None = None,
    pk_column: str = "id",
    cycle_field: str | None = None,
) -> list[dict[str, Any]]:
    """Async twin of `descendants`."""
    rows: list[dict[str, Any]] = await arun(_below(model, parent_field, root_pk, fields, pk_column, cycle_field))
    return rows


def ancestors(
    model: Any,
    *,
    parent_field: str,
    leaf_pk: Any,
    fields: Sequence[str] | None = None,
    pk_column: str = "id",
    cycle_field: str | None = None,
) -> list[dict[str, Any]]:
    """Return the row with *leaf_pk* and everything above it as dicts, nearest first."""
    rows: list[dict[str, Any]] = run(_above(model, parent_field, leaf_pk, fields, pk_column, cycle_field))
    return rows


async def aancestors(
    model: Any,
    *,
    parent_field: str,
    leaf_pk: Any,
    fields: Sequence[str] | None = None,
    pk_column: str = "id",
    cycle_field: str | None = None,
) -> list[dict[str, Any]]:
    """Async twin of `ancestors`."""
    rows: list[dict[str, Any]] = await arun(_above(model, parent_field, leaf_pk, fields, pk_column, cycle_field))
    return rows
