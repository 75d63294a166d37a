"""Reading PostgreSQL's catalogue."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from dorm.db.introspect import FoundColumn, FoundIndex, FoundReference, FoundTable
from dorm.db.operation import Operation
from dorm.db.schema import Editor

_RELATIONS = """
SELECT c.oid::bigint, c.relname::text, c.relkind::text, obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
ORDER BY c.relname
"""
_COLUMNS = """
SELECT a.attrelid::bigint, a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, a.attidentity <> '',
       CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END, col_description(a.attrelid, a.attnum),
       CASE WHEN a.attcollation <> t.typcollation THEN co.collname::text END, a.attgenerated <> 'v',
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid IN (a.atttypid, t.typelem)
             ORDER BY e.enumsortorder)
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation co ON co.oid = a.attcollation
WHERE n.nspname = current_schema() AND a.attnum > 0 AND NOT a.attisdropped
  AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
ORDER BY a.attrelid, a.attnum
"""
_CONSTRAINTS = """
SELECT k.conrelid::bigint, k.conname::text, k.contype::text, pg_get_constraintdef(k.oid),
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(num, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.place),
       f.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(num, place)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.place)
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
LEFT JOIN pg_class f ON f.oid = k.confrelid
WHERE n.nspname = current_schema() AND k.conrelid <> 0
ORDER BY k.conname
"""
_INDEXES = """
SELECT x.indrelid::bigint, i.relname::text, x.indisunique, x.indisprimary,
       EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x')),
       pg_get_expr(x.indpred, x.indrelid), pg_get_indexdef(x.indexrelid),
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS u(num, place)
             LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.num AND u.num > 0
             WHERE u.place <= x.indnkeyatts ORDER BY u.place),
       COALESCE((SELECT CASE WHEN k.condeferred THEN 'deferred' ELSE 'immediate' END FROM pg_constraint k
                 WHERE k.conindid = x.indexrelid AND k.contype = 'u' AND k.condeferrable), '')
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE n.nspname = current_schema()
ORDER BY i.relname
"""
_TRIGGERS = """
SELECT t.tgrelid::bigint, t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND NOT t.tgisinternal
ORDER BY t.tgname
"""


def read_tables(editor: Editor) -> Operation[list[FoundTable]]:
    """Return the tables and views of the current schema; partitions belong to their tables."""
    relations = yield from editor.read(_RELATIONS)
    columns = _grouped((yield from editor.read(_COLUMNS)))
    constraints = _grouped((yield from editor.read(_CONSTRAINTS)))
    indexes = _grouped((yield from editor.read(_INDEXES)))
    triggers = _grouped((yield from editor.read(_TRIGGERS)))
    return [
        FoundTable(
            name,
            tuple(_column(row) for row in columns[oid]),
            primary_key=next((tuple(row[3]) for row in constraints[oid] if row[1] == "p"), ()),
            references=tuple(
                FoundReference(row[0], tuple(row[3]), row[4], tuple(row[5]))
                for row in constraints[oid]
                if row[1] == "f"
            ),
            indexes=tuple(
                FoundIndex(row[0], tuple(row[6]), row[1], row[3], row[4], row[5], row[7])
                for row in indexes[oid]
                if not row[2]
            ),
            checks=tuple((row[0], row[2]) for row in constraints[oid] if row[1] == "c"),
            triggers=tuple(row[0] for row in triggers[oid]),
            is_view=kind in ("v", "m"),
            comment=comment,
            exclusions=tuple((row[0], row[2]) for row in constraints[oid] if row[1] == "x"),
        )
        for oid, name, kind, comment in relations
    ]


def _column(row: tuple[Any, ...]) -> FoundColumn:
    name, kind, null, default, identity, generated, comment, collation, stored, values = row
    serial = default is not None and default.startswith("nextval(")
    return FoundColumn(
        name,
        kind,
        null,
        None if serial else default,
        bool(identity) or serial,
        generated,
        comment,
        collation,
        stored,
        tuple(values),
    )


def _grouped(rows: list[Any]) -> defaultdict[int, list[tuple[Any, ...]]]:
    found: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(tuple(row[1:]))
    return found
