"""Rows as JSON and back, in the format of Django's fixtures."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from dorm.conf.registry import registry
from dorm.db.connection import Database, connections
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.perform import perform
from dorm.db.request import Execute
from dorm.db.statement import Statement, Template
from dorm.exceptions import DormError, choices_text, nearest
from dorm.natural_keys import UnknownNaturalKey, find, is_natural_key, settle
from dorm.transaction import in_savepoint

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many records of how many are written."""


class DeserializationError(DormError, ValueError):
    """A record of a fixture cannot be read; the message names it."""


# -- out ---------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"__bytes__": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, datetime.timedelta):
        return _duration(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    if hasattr(value, "lower") and hasattr(value, "upper") and hasattr(value, "bounds"):
        return {
            "__range__": True,
            "lower": _plain(value.lower),
            "upper": _plain(value.upper),
            "bounds": value.bounds,
        }
    return str(value)


def _duration(value: datetime.timedelta) -> str:
    """Return ``[D ]HH:MM:SS[.ffffff]``, as Django writes durations."""
    sign = "-" if value < datetime.timedelta(0) else ""
    value = abs(value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    days = f"{value.days} " if value.days else ""
    micro = f".{value.microseconds:06}" if value.microseconds else ""
    return f"{sign}{days}{hours:02}:{minutes:02}:{seconds:02}{micro}"


def _value(each: Any, instance: Any) -> Any:
    """Return one field's value of an instance; a field of the user may write its own form (``value_to_string``)."""
    value = getattr(instance, each.attname)
    own = type(each).value_to_string
    if own.__module__.partition(".")[0] == "dorm" or value is None or isinstance(value, _AS_THEY_ARE):
        return _plain(value)
    return own(each, instance)


_AS_THEY_ARE = (int, float, decimal.Decimal, datetime.date, datetime.time)
"""Values that no field writes in a form of its own, as in Django."""


def record(instance: Any, many: dict[str, list[Any]] | None = None) -> dict[str, Any]:
    """Return one row as a record; *many* are the keys of its many-to-many fields."""
    meta = instance._meta.concrete_model._meta
    fields = {
        each.name: _value(each, instance)
        for each in meta.local_fields
        if not each.primary_key and getattr(each, "serialize", True) and not getattr(each, "generated", False)
    }
    fields.update(many or {})
    return {"model": meta.label_lower, "pk": _plain(instance.pk), "fields": fields}


def _rows(source: Any, using: str | None) -> Operation[list[Any]]:
    """Return the rows of what is to be written: a queryset, a manager, a model, or an iterable of instances."""
    from dorm.queryset.ops.fetch import fetch

    if isinstance(source, type):
        source = getattr(source, "_base_manager").order_by("pk")  # noqa: B009  # a model, which type checkers cannot know
    elif hasattr(source, "get_queryset"):
        source = source.all()
    if hasattr(source, "_meta"):
        return [source]
    if hasattr(source, "using") and hasattr(source, "filter"):
        return list((yield from fetch(source.using(using) if using else source)))
    return list(source)


def _many(rows: Sequence[Any], using: str | None) -> Operation[dict[tuple[Any, Any], dict[str, list[Any]]]]:
    """Return the keys behind the many-to-many fields of *rows*, by (model, key); one statement a model and field."""
    from dorm.queryset.ops.fetch import fetch

    found: dict[tuple[Any, Any], dict[str, list[Any]]] = {}
    by_model: dict[Any, list[Any]] = {}
    for row in rows:
        by_model.setdefault(type(row)._meta.concrete_model, []).append(row)
    for model, same in by_model.items():
        for each in model._meta.local_many_to_many:
            if not each.has_own_table:
                continue
            ours, theirs = each.through_keys
            keys = {row.pk for row in same}
            for row in same:
                found.setdefault((model, row.pk), {})[each.name] = []
            links = each.through._base_manager.all() if using is None else each.through._base_manager.using(using)
            links = links.filter(**{f"{ours.name}__in": list(keys)}).order_by("pk")
            for link in (yield from fetch(links)):
                key = getattr(link, ours.attname)
                found[(model, key)][each.name].append(_plain(getattr(link, theirs.attname)))
    return found


@operation
def _serialize(sources: Any, using: str | None) -> Operation[list[dict[str, Any]]]:
    single = isinstance(sources, type) or hasattr(sources, "filter") or hasattr(sources, "_meta")
    groups: list[Any] = [sources] if single else [*_as_any(sources)]
    found: list[dict[str, Any]] = []
    for source in [groups] if groups and all(_is_instance(each) for each in groups) else groups:
        rows = yield from _rows(source, using)
        many = yield from _many(rows, using)
        found.extend(record(row, many.get((type(row)._meta.concrete_model, row.pk))) for row in rows)
    return found


def _as_any(value: Any) -> Any:
    return value


def _is_instance(value: Any) -> bool:
    return not isinstance(value, type) and hasattr(value, "_meta")


def serialize(sources: Any, *, using: str | None = None) -> list[dict[str, Any]]:
    """Return rows as records ``{"model", "pk", "fields"}``.

    Args:
        sources: a model, a manager, a queryset, an instance, or an iterable of these.
    """
    return run(_serialize(sources, using))


async def aserialize(sources: Any, *, using: str | None = None) -> list[dict[str, Any]]:
    """Async twin of `serialize`."""
    return await arun(_serialize(sources, using))


def dumps(sources: Any, *, indent: int | None = None, using: str | None = None) -> str:
    """Return rows as JSON text."""
    return json.dumps(serialize(sources, using=using), indent=indent, ensure_ascii=False)


async def adumps(sources: Any, *, indent: int | None = None, using: str | None = None) -> str:
    """Async twin of `dumps`."""
    return json.dumps(await aserialize(sources, using=using), indent=indent, ensure_ascii=False)


# -- in ----------------------------------------------------------------------------------------------------------


@dataclass
class DeserializedObject:
    """One record that was read: an instance that is not saved, and the keys of its many-to-many fields.

    Attributes:
        natural_keys: of rows that its foreign keys name so; `load` looks them up.
        keyed: it has a primary key; else its natural key tells which row it is.
        where: its place, for errors.
    """

    object: Any
    m2m_data: dict[str, list[Any]] = field(default_factory=dict)
    natural_keys: dict[str, Sequence[Any]] = field(default_factory=dict)
    keyed: bool = True
    where: str = ""

    def __repr__(self) -> str:
        return f"<DeserializedObject: {self.object._meta.label}(pk={self.object.pk})>"


def _model_of(label: Any, number: int) -> Any:
    """Return the model that a record names; the names' case does not matter."""
    known = {model._meta.label_lower: model for model in registry.all()}
    found = known.get(str(label).lower())
    if found is None:
        short = [model for name, model in known.items() if name.endswith(f".{str(label).lower()}")]
        if len(short) == 1:
            return short[0]
        raise DeserializationError(
            f"record {number}: there is no model {label!r}.{nearest(str(label), known)} Models: {choices_text(known)}."
        )
    return found


def _loaded(value: Any, each: Any) -> Any:
    """Return a field's value from its form in JSON."""
    if isinstance(value, dict) and set(value) == {"__bytes__"}:
        return base64.b64decode(value["__bytes__"])
    if isinstance(value, dict) and value.get("__range__") is True:
        from psycopg.types.range import Range

        inner = getattr(each, "base_field", None) or getattr(each, "element", None)
        ends = [inner.to_python(value[end]) if inner is not None else value[end] for end in ("lower", "upper")]
        return Range(ends[0], ends[1], value.get("bounds", "[)"))
    return each.to_python(value) if value is not None and not isinstance(value, (dict, list)) else value


def _read(found: Any, number: int, ignore: bool) -> DeserializedObject | None:
    if not isinstance(found, dict) or "model" not in found or not isinstance(found.get("fields", {}), dict):
        raise DeserializationError(f"record {number}: a record is an object with 'model', 'pk' and 'fields'.")
    try:
        model = _model_of(found["model"], number)
    except DeserializationError:
        if ignore:
            return None
        raise
    meta = model._meta
    where = f"record {number} ({found['model']}, pk {found.get('pk')!r})"
    values: dict[str, Any] = {}
    many: dict[str, list[Any]] = {}
    natural: dict[str, Sequence[Any]] = {}
    keyed = found.get("pk") is not None
    if keyed:
        values[meta.pk.attname] = _key(meta.pk, found["pk"], where)
    for name, value in found.get("fields", {}).items():
        each = meta.find(name)
        if each is None:
            if ignore:
                continue
            names = [one.name for one in (*meta.fields, *meta.many_to_many)]
            raise DeserializationError(f"{where}: {meta.object_name} has no field {name!r}.{nearest(name, names)}")
        if getattr(each, "many_to_many", False):
            many[each.name] = list(value or [])
        elif each.is_relation and is_natural_key(value, each.related_model):
            natural[each.name] = value
        elif not getattr(each, "generated", False):
            values[each.attname] = _key(each, value, where)
    return DeserializedObject(model(**values), many, natural, keyed, where)


def _key(each: Any, value: Any, where: str) -> Any:
    if each.is_relation and isinstance(value, list):
        label = each.related_model._meta.label
        raise DeserializationError(
            f"{where}, field {each.name}: a list is a natural key, and the manager of {label} has no "
            "get_by_natural_key()."
        )
    try:
        target = each.target_field if getattr(each, "is_relation", False) else each
        return _loaded(value, target)
    except DormError as exc:
        raise DeserializationError(f"{where}, field {each.name}: {exc}") from exc


def deserialize(text: str | bytes | Iterable[Any], *, ignorenonexistent: bool = False) -> Iterator[DeserializedObject]:
    """Yield the records of JSON text (or of a list of records) as instances that are not saved.

    Args:
        ignorenonexistent: leave out models and fields that do not exist.
    Raises: DeserializationError: naming the record.
    """
    try:
        records = json.loads(text) if isinstance(text, (str, bytes)) else list(text)
    except ValueError as exc:
        raise DeserializationError(f"the fixture is no JSON: {exc}") from exc
    if not isinstance(records, list):
        raise DeserializationError("a fixture is a list of records.")
    for number, each in enumerate(records, 1):
        made = _read(each, number, ignorenonexistent)
        if made is not None:
            yield made


@operation
def _load(records: Sequence[DeserializedObject], using: str, progress: Progress | None) -> Operation[int]:
    database = connections[using]
    schema = database.dialect.schema
    yield from in_savepoint(_write(records, database, progress), using)
    for model in {type(each.object): None for each in records}:
        for text in schema.advance_counter(model._meta.db_table, _counted(model)):
            yield from perform(Execute(database, Statement(Template(text, prepare=False), (), internal=True)))
    return len(records)


def _counted(model: Any) -> str | None:
    """Return the column that the database counts, or None."""
    key = model._meta.auto_field
    return None if key is None else key.column


def _write(records: Sequence[DeserializedObject], database: Database, progress: Progress | None) -> Operation[None]:
    for text in database.dialect.schema.defer_constraints():
        yield from perform(Execute(database, Statement(Template(text, prepare=False), (), internal=True)))
    done = 0
    waiting, cut = list(records), []
    while waiting:
        left = []
        for each in waiting:
            if (yield from _settled(each, database.alias)):
                yield from _replace(each.object, database.alias)
                done += 1
                if progress is not None:
                    progress(done, len(records))
            else:
                left.append(each)
        if len(left) == len(waiting):
            # What is left names each other, or rows that do not exist: that is told at the end.
            cut.append(_without_references(left))
            yield from _replace(cut[-1].object, database.alias)
            done += 1
        waiting = left
    for each in cut:
        if not (yield from _settled(each, database.alias)):
            raise _names_nothing(each)
        yield from _replace(each.object, database.alias)
    for each in records:
        yield from _link(each, database.alias)


def _settled(each: DeserializedObject, using: str) -> Operation[bool]:
    try:
        return (yield from settle(each.object, each.natural_keys, each.keyed, using))
    except UnknownNaturalKey as exc:
        raise DeserializationError(f"{each.where}: {exc}") from exc


def _without_references(left: list[DeserializedObject]) -> DeserializedObject:
    """Take out and return a record that can be written before the rows are there that it names."""
    for each in left:
        if all(each.object._meta.get_field(name).null for name in each.natural_keys):
            left.remove(each)
            return each
    raise _names_nothing(left[0])


def _names_nothing(each: DeserializedObject) -> DeserializationError:
    names = ", ".join(each.natural_keys)
    return DeserializationError(f"{each.where}, field {names}: no row has this natural key.")


def _replace(instance: Any, using: str) -> Operation[None]:
    """Write a row as it is: update it where its key exists, else insert it; no signals, no overridden save."""
    from dorm.queryset.ops.save import save_raw

    yield from save_raw(instance, using)


def _link(each: DeserializedObject, using: str) -> Operation[None]:
    """Set the many-to-many rows of a record to what it says."""
    from dorm.queryset.ops.bulk import Options, bulk_create
    from dorm.queryset.ops.write import delete_rows

    for name, keys in each.m2m_data.items():
        relation = each.object._meta.get_field(name)
        ours, theirs = relation.through_keys
        links = relation.through._base_manager.using(using)
        yield from delete_rows(links.filter(**{ours.name: each.object.pk}))
        rows = []
        for key in keys:
            value = yield from _linked(each, name, key, theirs, using)
            rows.append(relation.through(**{ours.attname: each.object.pk, theirs.attname: value}))
        if rows:
            yield from bulk_create(links.all(), rows, Options())


def _linked(each: DeserializedObject, name: str, key: Any, theirs: Any, using: str) -> Operation[Any]:
    """Return the value that a link stores for a key of a many-to-many field, natural or not."""
    if not is_natural_key(key, theirs.related_model):
        return _loaded(key, theirs.target_field)
    try:
        row = yield from find(theirs.related_model, key, using)
    except UnknownNaturalKey as exc:
        raise DeserializationError(f"{each.where}, field {name}: {exc}") from exc
    if row is None:
        raise DeserializationError(f"{each.where}, field {name}: no row has this natural key.")
    return getattr(row, theirs.target_field.attname)


def load(
    text: str | bytes,
    *,
    using: str = "default",
    ignorenonexistent: bool = False,
    progress: Progress | None = None,
) -> int:
    """Load JSON text into the database in one transaction; return the number of records.

    Rows whose keys exist are replaced, natural keys are looked up, signals are not sent, references are checked at
    the end, and counters go on behind the highest key.

    Args:
        progress: is told how many records of how many are written.
    Raises: DeserializationError, IntegrityError: nothing of the text was kept.
    """
    return run(_load(list(deserialize(text, ignorenonexistent=ignorenonexistent)), using, progress))


async def aload(
    text: str | bytes,
    *,
    using: str = "default",
    ignorenonexistent: bool = False,
    progress: Progress | None = None,
) -> int:
    """Async twin of `load`."""
    return await arun(_load(list(deserialize(text, ignorenonexistent=ignorenonexistent)), using, progress))


def read_fixture(path: Path) -> str:
    """Return the text of a fixture; ``.gz``, ``.bz2`` and ``.xz`` files are unpacked."""
    import bz2
    import gzip
    import lzma

    raw = path.read_bytes()
    unpack = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}.get(path.suffix)
    return (unpack(raw) if unpack else raw).decode("utf-8")
