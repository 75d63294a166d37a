"""psycopg 3 with binary results: the measure of the blocking figures on PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from bench.contestants import pg_sql as sql
from bench.tables import GROUP, item, keys

db: psycopg.Connection[Any]
cursor: psycopg.Cursor[Any]


def open(url: str) -> None:
    global db, cursor
    db = psycopg.connect(url, autocommit=True)
    cursor = db.cursor(binary=True)


def close() -> None:
    db.close()


def get_pk(n: int) -> Any:
    return [cursor.execute(sql.BY_ID, (key,)).fetchone() for key in keys(n)]


def get_unique(n: int) -> Any:
    return [cursor.execute(sql.BY_CODE, (f"code-{key:06}",)).fetchone() for key in keys(n)]


def rows20(n: int) -> Any:
    found = []
    for key in keys(n):
        found = cursor.execute(sql.BY_GROUP, (key // GROUP,)).fetchall()
    return found


def objects10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = cursor.execute(sql.BY_BUCKET, (3,)).fetchall()
    return found


tuples10k = objects10k


def dicts10k(n: int) -> Any:
    found = []
    with db.cursor(binary=True, row_factory=dict_row) as dicts:
        for _ in range(n):
            found = dicts.execute(sql.BY_BUCKET, (3,)).fetchall()
    return found


def insert_one(n: int) -> Any:
    return len([cursor.execute(sql.INSERT, item(number)[1:]).fetchone() for number in range(1, n + 1)])


def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        with db.transaction():
            for number in range(1, 1001):
                cursor.execute(sql.INSERT, item(number)[1:]).fetchone()


def bulk_insert(n: int) -> Any:
    rows = [item(number)[1:] for number in range(1, 10_001)]
    for _ in range(n):
        with cursor.copy(sql.COPY) as copy:
            copy.set_types(sql.COPY_TYPES)
            for row in rows:
                copy.write_row(row)
    return len(rows) * n


def count(n: int) -> Any:
    return [cursor.execute(sql.COUNT, (3,)).fetchone()[0] for _ in range(n)]


def group_by(n: int) -> Any:
    found = []
    for _ in range(n):
        found = cursor.execute(sql.GROUPS).fetchall()
    return found


def update_filter(n: int) -> Any:
    for _ in range(n):
        cursor.execute(sql.UPDATE_FILTER, (5000, 3))


def exists(n: int) -> Any:
    return [cursor.execute(sql.EXISTS, (f"code-{key:06}",)).fetchone() is not None for key in keys(n)]


def joined(n: int) -> Any:
    found = []
    for _ in range(n):
        found = cursor.execute(sql.JOINED).fetchall()
    return found


def filter_join(n: int) -> Any:
    found = []
    for key in keys(n):
        found = cursor.execute(sql.FILTER_JOIN, (f"city {key % 500}",)).fetchall()
    return found


def prefetch(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        owners = cursor.execute(sql.OWNERS).fetchall()
        pets = cursor.execute(sql.THEIR_PETS, ([owner[0] for owner in owners],)).fetchall()
        found = sql.families(owners, pets)
    return found


def prefetch_m2m(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        pets = cursor.execute(sql.SOME_PETS).fetchall()
        tags = cursor.execute(sql.THEIR_TAGS, ([pet[0] for pet in pets],)).fetchall()
        found = sql.tagged(pets, tags)
    return found


def update_one(n: int) -> Any:
    for number in range(1, n + 1):
        cursor.execute(sql.UPDATE_ONE, sql.changed(number))


def delete_one(n: int) -> Any:
    for number in range(1, n + 1):
        cursor.execute(sql.DELETE_ONE, (number,))


def bulk_update(n: int) -> Any:
    for _ in range(n):
        cursor.execute(sql.BULK_UPDATE, ([100_000 + key for key in range(1, 1001)], list(range(1, 1001))))


def stream(n: int) -> Any:
    total = 0
    for _ in range(n):
        with db.transaction(), db.cursor("stream", binary=True) as rows:  # type: ignore[call-overload]
            rows.execute(sql.ALL)
            while found := rows.fetchmany(2000):
                for row in found:
                    total += row[0]
    return total


def wide(n: int) -> Any:
    found = []
    for _ in range(n):
        found = cursor.execute(sql.WIDE).fetchall()
    return found
