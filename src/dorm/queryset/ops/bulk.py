"""Inserting many instances by few statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dorm.db.connection import Database
from dorm.db.copying import CopyIn
from dorm.db.operation import Operation, operation
from dorm.db.perform import perform
from dorm.db.request import Execute, ExecuteMany, Query as Fetch, QueryMany
from dorm.db.statement import Statement, Template
from dorm.exceptions import InvalidValue, NotSupportedError
from dorm.models.state import ORIGIN
from dorm.queryset.ops import announce, arrays, files, ordering, rowbind, rowwrite, tables
from dorm.queryset.ops.write import writing
from dorm.record import Record
from dorm.sql.node import Node
from dorm.transaction import in_transaction

if TYPE_CHECKING:
    from dorm.queryset.queryset import QuerySet

_ROWS_A_BATCH = 5_000
"""Rows bound and sent together where the caller names no number: bounds the memory of one statement."""


_ROWS_WORTH_COPY = 500
"""From so many rows on COPY is the faster road, where nothing is read back."""


class Options(Record):
    """What `bulk_create` was asked for."""

    batch_size: int | None = None
    ignore_conflicts: bool = False
    update_conflicts: bool = False
    update_fields: Iterable[str] | None = None
    unique_fields: Iterable[str] | None = None
    returning: Iterable[str] | None = None


class Insertion(Record):
    """How the rows of one call are inserted.

    Args:
        back: fields to read back beside those the database makes; None for nothing at all.
    """

    database: Database
    conflict: rowwrite.Conflict | None
    back: tuple[Any, ...] | None

    def brought_back(self, meta: Any, fields: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the fields that an INSERT of *fields* brings back."""
        if self.back is None or (self.conflict is not None and not self.conflict.updates):
            return ()
        made = rowwrite.left_to_database(meta, fields)
        return (*made, *[field for field in self.back if field not in made])


@operation
def bulk_create(qs: QuerySet[Any, Any], objs: Iterable[Any], options: Options) -> Operation[list[Any]]:
    """Insert *objs*; return them, keys filled in."""
    meta = qs.model._meta
    announce.refuse_read_only(meta, "bulk_create()")
    check_batch_size(options.batch_size)
    if meta.parents:
        raise ValueError(f"Can't bulk create a multi-table inherited model: {meta.label} has several tables.")
    database = writing(qs)
    insertion = Insertion(database, _conflict(meta, options, database), _returning(meta, options, database))
    found = list(objs)
    if not found:
        return found
    model, concrete = qs.model, meta.concrete_model
    for obj in found:
        if obj.__class__ is not model and not isinstance(obj, concrete):
            raise InvalidValue(f"bulk_create() of {qs.model.__name__} got an instance of {type(obj).__name__}.")
    for field in meta.private_fields:
        if hasattr(field, "before_save"):
            for obj in found:
                yield from field.before_save(obj, database.alias, "bulk_create")
    work = _batches(insertion, meta.concrete_model._meta, found, options.batch_size)
    yield from in_transaction(work, database.alias)
    alias = database.alias
    for obj in [each for each in found if each.pk is not None] if options.ignore_conflicts else found:
        obj.__dict__[ORIGIN] = alias
    return found


# -- options -----------------------------------------------------------------------------------------------------


def check_batch_size(batch_size: int | None) -> None:
    """Refuse sizes that are no positive number."""
    if batch_size is not None and batch_size <= 0:
        raise ValueError("Batch size must be a positive integer.")


def _conflict(meta: Any, options: Options, database: Database) -> rowwrite.Conflict | None:
    dialect = database.dialect
    if options.ignore_conflicts and options.update_conflicts:
        raise ValueError("ignore_conflicts and update_conflicts are mutually exclusive.")
    if options.ignore_conflicts:
        if not dialect.supports_ignore_conflicts:
            raise NotSupportedError("This database backend does not support ignoring conflicts.")
        return rowwrite.Conflict()
    if not options.update_conflicts:
        return None
    if not dialect.supports_update_conflicts:
        raise NotSupportedError("This database backend does not support updating conflicts.")
    updates = _fields(meta, options.update_fields, "update_fields")
    targets = _fields(meta, options.unique_fields, "unique_fields")
    if not updates:
        raise ValueError("Fields that will be updated when a row insertion fails on conflicts must be provided.")
    if targets and not dialect.supports_conflict_targets:
        raise NotSupportedError(
            "This database backend does not support updating conflicts with specifying unique fields that can "
            "trigger the upsert."
        )
    if not targets and dialect.supports_conflict_targets:
        raise ValueError("Unique fields that can trigger the upsert must be provided.")
    if any(field.primary_key or field in meta.pk_fields for field in updates):
        raise ValueError("bulk_create() cannot be used with primary keys in update_fields.")
    return rowwrite.Conflict(updates, targets)


def _fields(meta: Any, names: Iterable[str] | None, option: str) -> tuple[Any, ...]:
    """Return the columns that an option names; ``pk`` is the primary key."""
    found: list[Any] = []
    for name in names or ():
        if name == "pk":
            found.extend(meta.pk_fields)
            continue
        field = meta.get_field(name, where=f"{option} of bulk_create()")
        if field not in meta.concrete_fields or field.generated:
            raise ValueError(f"bulk_create() can only be used with concrete fields in {option}.")
        found.append(field)
    return tuple(found)


def _returning(meta: Any, options: Options, database: Database) -> tuple[Any, ...] | None:
    if options.returning is None:
        return ()
    if options.ignore_conflicts or options.update_conflicts:
        raise ValueError("returning cannot be combined with ignore_conflicts or update_conflicts.")
    names = [options.returning] if isinstance(options.returning, str) else list(options.returning)
    if not names:
        return None
    if not database.dialect.supports_returning:
        raise NotSupportedError(f"bulk_create(returning=...) is not supported on {database.dialect.vendor}.")
    found: list[Any] = []
    for name in names:
        if name == "pk":
            found.extend(meta.pk_fields)
        else:
            field = meta.get_field(name, where="returning of bulk_create()")
            if field not in meta.concrete_fields:
                raise ValueError("bulk_create() can only be used with concrete fields in returning.")
            found.append(field)
    return tuple(dict.fromkeys(found))


# -- batches -----------------------------------------------------------------------------------------------------


@operation
def _batches(insertion: Insertion, meta: Any, objs: list[Any], size: int | None) -> Operation[None]:
    _prepare(meta, objs)
    if meta.file_fields:
        for obj in objs:
            yield from files.keep(obj, insertion.database.alias)
    if meta.row_order is not None:
        yield from ordering.place_all_last(objs, meta, insertion.database)
    objs = _keyed_first(meta, objs)
    if insertion.conflict is None and insertion.back == ():
        objs = yield from _insert_usual(insertion, meta, objs, size)
    step = size or _ROWS_A_BATCH
    for fields, same in _by_columns(meta, objs):
        for start in range(0, len(same), step):
            yield from _insert(insertion, meta, fields, same[start : start + step])


def _keyed_first(meta: Any, objs: list[Any]) -> list[Any]:
    """Return *objs*, those with a key of their own first: the database would count up to it for another row."""
    attname = meta.pk.attname
    if not meta.counted_fields:
        return objs
    keyed = [obj for obj in objs if obj.__dict__.get(attname) is not None]
    if not keyed or len(keyed) == len(objs):
        return objs
    return [*keyed, *[obj for obj in objs if obj.__dict__.get(attname) is None]]


@operation
def _insert_usual(insertion: Insertion, meta: Any, objs: list[Any], size: int | None) -> Operation[list[Any]]:
    """Insert the usual rows (`rowwrite.UsualInsert`) at the head of *objs*; return the others."""
    database = insertion.database
    dialect = database.dialect
    usual = rowwrite.usual_insert(meta, dialect)
    wanted, fields = usual.write, usual.fields
    if not wanted.back:
        return objs
    bind = usual.bind
    if bind is None:
        return objs
    if usual.unnests:
        step = size or len(objs)
        wanted = arrays.inserting(meta, dialect, fields, None, wanted)
        whole = [dialect.array_binder(field.sql_type) for field in fields]
    else:
        step, whole = size or _ROWS_A_BATCH, None
    for start in range(0, len(objs), step):
        part = objs[start : start + step]
        if whole is not None:
            pieces = arrays.Pieces(bind, whole, part)
            back = yield from perform(QueryMany(database, Statement(wanted.template, pieces)))
            part = part[: pieces.rows]
        else:
            try:
                rows = bind(part)
            except (KeyError, rowbind.Unusual):
                return objs[start:]
            back = yield from perform(QueryMany(database, Statement(wanted.template, rows)))
        if usual.key is None:
            _take_back(wanted, meta, part, back)
        else:
            _check_number(meta, part, back)
            key = usual.key
            for obj, row in zip(part, back, strict=True):
                obj.__dict__[key] = row[0]
        if len(part) < step:
            return objs[start + len(part) :]
    return []


def _prepare(meta: Any, objs: list[Any]) -> None:
    """Let relations take over the keys of their objects, and give keys with a default their value."""
    pk = meta.pk
    for field in meta.checked_fields:
        for obj in objs:
            field.check_saved(obj, "bulk_create")
    if pk.has_default():
        for obj in objs:
            if obj.__dict__.get(pk.attname) is None:
                obj.__dict__[pk.attname] = pk.get_default()
    elif pk.is_relation and not meta.parents:
        for obj in objs:
            tables.check_key(meta, obj)


def _by_columns(meta: Any, objs: list[Any]) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
    """Yield the instances that name the same columns together, order kept within each group."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    attname = meta.pk.attname
    varied = any(field.has_db_default for field in meta.fields)
    common: dict[bool, tuple[Any, ...]] = {}
    for obj in objs:
        values = obj.__dict__
        keyed = values.get(attname) is not None
        fields = common.get(keyed)
        if varied or fields is None or len(values) < len(fields):
            fields = common[keyed] = tables.insert_fields(meta, obj)
        groups.setdefault(fields, []).append(obj)
    yield from groups.items()


@operation
def _insert(insertion: Insertion, meta: Any, fields: tuple[Any, ...], objs: list[Any]) -> Operation[None]:
    """Insert one batch by the road that the dialect has; rows with expressions one by one."""
    rows = [[field.pre_save(obj, True) for field in fields] for obj in objs]
    computed = {number for number, row in enumerate(rows) if any(isinstance(value, Node) for value in row)}
    if not computed:
        yield from _insert_values(insertion, meta, fields, objs, rows)
        return
    if insertion.conflict is not None:
        name = next(f.name for f, v in zip(fields, rows[min(computed)], strict=True) if isinstance(v, Node))
        raise ValueError(
            f"{meta.object_name}.{name} holds an expression, which bulk_create() with conflict options refuses."
        )
    plain = [number for number in range(len(objs)) if number not in computed]
    if plain:
        chosen = [objs[number] for number in plain]
        yield from _insert_values(insertion, meta, fields, chosen, [rows[number] for number in plain])
    for number in sorted(computed):
        yield from tables.insert_row(objs[number], meta, insertion.database, fields, rows[number])


@operation
def _insert_values(
    insertion: Insertion, meta: Any, fields: tuple[Any, ...], objs: list[Any], rows: list[list[Any]]
) -> Operation[None]:
    database = insertion.database
    dialect = database.dialect
    wanted = rowwrite.insert(meta, dialect, fields, insertion.conflict, insertion.brought_back(meta, fields))
    if insertion.conflict is None and not wanted.back and (yield from _may_copy(database, meta, fields, len(objs))):
        yield from perform(_copy(database, meta, wanted, fields, rows))
        return
    if dialect.supports_unnest_insert and fields and all(dialect.unnests(field.sql_type) for field in fields):
        wanted = arrays.inserting(meta, dialect, fields, insertion.conflict, wanted)
        statement = Statement(wanted.template, arrays.from_values(wanted.binders, dialect, fields, rows))
        if wanted.back:
            _take_back(wanted, meta, objs, (yield from perform(Fetch(database, statement))))
        else:
            yield from perform(Execute(database, statement))
        return
    many = Statement(wanted.template, [wanted.bound(row) for row in rows])
    if wanted.back and dialect.supports_returning:
        _take_back(wanted, meta, objs, (yield from perform(QueryMany(database, many))))
    else:
        yield from perform(ExecuteMany(database, many))


@operation
def _may_copy(database: Database, meta: Any, fields: tuple[Any, ...], number: int) -> Operation[bool]:
    """Return whether COPY does the same as INSERT for these rows, and is worth its round trips."""
    dialect = database.dialect
    if number < _ROWS_WORTH_COPY or not dialect.supports_copy:
        return False
    if not all(dialect.copies(field.sql_type) for field in fields):
        return False
    asked = dialect.row_security(dialect.quote(meta.db_table))
    if asked is None:
        return True
    sql, params = asked
    rows = yield from perform(Fetch(database, Statement(Template(sql, reads=True), params, internal=True)))
    return not rows[0][0]


def _copy(
    database: Database, meta: Any, wanted: rowwrite.RowWrite, fields: tuple[Any, ...], rows: list[list[Any]]
) -> CopyIn:
    quote = database.dialect.quote
    columns = ", ".join(quote(field.column) for field in fields)
    template = Template(f"COPY {quote(meta.db_table)} ({columns}) FROM STDIN", natural=True, model=meta.label)
    bound = ([rowwrite.bound_value(*each, None) for each in zip(row, wanted.binders, strict=True)] for row in rows)
    return CopyIn(database, Statement(template), bound, ())


def _take_back(wanted: rowwrite.RowWrite, meta: Any, objs: list[Any], rows: list[Any]) -> None:
    """Put what the database made on the instances, matched by position."""
    _check_number(meta, objs, rows)
    for obj, row in zip(objs, rows, strict=True):
        wanted.take_back(obj, row)


def _check_number(meta: Any, objs: list[Any], rows: list[Any]) -> None:
    if len(rows) != len(objs):
        raise rowwrite.dropped(meta, len(objs), len(rows))
