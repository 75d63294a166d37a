"""Reading SQLite's catalogue."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from dorm.db.introspect import FoundColumn, FoundIndex, FoundReference, FoundTable
from dorm.db.operation import Operation
from dorm.db.schema import Editor

_CHECK = re.compile(r'(?:\bCONSTRAINT\s+(?:"((?:[^"]|"")*)"|(\w+))\s+)?\bCHECK\s*\(', re.IGNORECASE)


def read_tables(editor: Editor) -> Operation[list[FoundTable]]:
    """Return the tables and views of the database."""
    rows = yield from editor.read(
        "SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    found = []
    for name, kind, sql in rows:
        found.append((yield from _table(editor, name, kind == "view", sql or "")))
    keys = {table.name.lower(): table.primary_key for table in found}
    return [replace(table, references=tuple(_complete(each, keys) for each in table.references)) for table in found]


def _complete(reference: FoundReference, keys: dict[str, tuple[str, ...]]) -> FoundReference:
    """Name the columns of a reference that names only its table: those of the table's key."""
    if all(reference.targets):
        return reference
    return replace(reference, targets=keys.get(reference.table.lower(), reference.targets))


def _table(editor: Editor, name: str, is_view: bool, sql: str) -> Operation[FoundTable]:
    info = yield from editor.read(
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1', (name,)
    )
    keys = sorted((row[4], row[0]) for row in info if row[4])
    # The only integer key counts by itself, as the row's number; AUTOINCREMENT keeps it from using numbers again.
    auto = len(keys) == 1 and "WITHOUT ROWID" not in sql.upper()
    columns = tuple(_column(row, auto, sql) for row in info)
    triggers = yield from editor.read(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? ORDER BY name", (name,)
    )
    references = yield from _references(editor, name, sql)
    indexes = yield from _indexes(editor, name)
    return FoundTable(
        name,
        columns,
        primary_key=tuple(column for _, column in keys),
        references=references,
        indexes=indexes,
        checks=tuple(_checks(sql)),
        triggers=tuple(row[0] for row in triggers),
        is_view=is_view,
    )


def _column(row: Any, auto: bool, sql: str) -> FoundColumn:
    name, kind, required, default, key, hidden = row
    generated = None
    if hidden in (2, 3):
        before = rf'"?{re.escape(name)}"?\s(?:[^,()]|\([^()]*\))*?(?:GENERATED\s+ALWAYS\s+)?\bAS\s*\('
        place = re.search(before, sql, re.IGNORECASE)
        generated = _inner(sql, place.end() - 1) if place else ""
    kind = re.sub(r"\s*GENERATED ALWAYS\Z", "", kind, flags=re.IGNORECASE)
    counted = bool(auto and key == 1 and kind.upper() == "INTEGER")
    null = not required and not counted
    return FoundColumn(name, kind.lower(), null, default, counted, generated, stored=hidden != 2)


def _references(editor: Editor, name: str, sql: str) -> Operation[tuple[FoundReference, ...]]:
    rows = yield from editor.read(
        'SELECT id, seq, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq', (name,)
    )
    groups: dict[int, list[Any]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)
    return tuple(
        FoundReference("", tuple(each[3] for each in group), group[0][2], tuple(each[4] or "" for each in group))
        for group in groups.values()
    )


def _indexes(editor: Editor, name: str) -> Operation[tuple[FoundIndex, ...]]:
    rows = yield from editor.read(
        'SELECT l.name, l."unique", l.origin, l.partial, m.sql FROM pragma_index_list(?) AS l '
        "LEFT JOIN sqlite_master AS m ON m.type = 'index' AND m.name = l.name ORDER BY l.name",
        (name,),
    )
    found = []
    for index, unique, origin, partial, sql in rows:
        if origin == "pk":
            continue
        columns = yield from editor.read("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,))
        where = sql.upper().rpartition(" WHERE ")[0] if partial and sql else None
        condition = sql[len(where) + 7 :] if where else None
        found.append(
            FoundIndex(index, tuple(row[0] for row in columns), bool(unique), origin == "u", condition, sql or "")
        )
    return tuple(found)


def _checks(sql: str) -> list[tuple[str, str]]:
    return [
        ((match.group(1) or match.group(2) or "").replace('""', '"'), f"CHECK ({_inner(sql, match.end() - 1)})")
        for match in _CHECK.finditer(sql)
    ]


def _inner(sql: str, start: int) -> str:
    """Return what stands between the parenthesis at *start* and the one that closes it."""
    depth = 0
    quoted = False
    for place in range(start, len(sql)):
        char = sql[place]
        if char == "'":
            quoted = not quoted
        elif not quoted and char == "(":
            depth += 1
        elif not quoted and char == ")":
            depth -= 1
            if not depth:
                return sql[start + 1 : place]
    return sql[start + 1 :]
