"""The standard library's sqlite3: the measure of all figures on SQLite."""

from __future__ import annotations

import datetime
import sqlite3
from typing import Any

from bench.tables import GROUP, ITEM_COLUMNS, WIDE_COLUMNS, item, keys

db: sqlite3.Connection
COLUMNS = ", ".join(ITEM_COLUMNS)
NEW = ", ".join(ITEM_COLUMNS[1:])


def open(url: str) -> None:
    global db
    db = sqlite3.connect(url, isolation_level=None)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA foreign_keys = ON")


def close() -> None:
    db.close()


def get_pk(n: int) -> Any:
    sql = f"SELECT {COLUMNS} FROM item WHERE id = ?"
    return [db.execute(sql, (key,)).fetchone() for key in keys(n)]


def get_unique(n: int) -> Any:
    sql = f"SELECT {COLUMNS} FROM item WHERE code = ?"
    return [db.execute(sql, (f"code-{key:06}",)).fetchone() for key in keys(n)]


def rows20(n: int) -> Any:
    found = []
    for key in keys(n):
        found = db.execute(f"SELECT {COLUMNS} FROM item WHERE grp = ? ORDER BY id", (key // GROUP,)).fetchall()
    return found


def objects10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = db.execute(f"SELECT {COLUMNS} FROM item WHERE bucket = ?", (3,)).fetchall()
    return found


tuples10k = objects10k


def dicts10k(n: int) -> Any:
    found = []
    for _ in range(n):
        rows = db.execute(f"SELECT {COLUMNS} FROM item WHERE bucket = ?", (3,)).fetchall()
        found = [dict(zip(ITEM_COLUMNS, row, strict=True)) for row in rows]
    return found


INSERT = f"INSERT INTO scratch ({NEW}) VALUES (?, ?, ?, ?, ?, ?, ?)"


def insert_one(n: int) -> Any:
    return len([db.execute(INSERT, item(number)[1:]).lastrowid for number in range(1, n + 1)])


def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        db.execute("BEGIN")
        for number in range(1, 1001):
            db.execute(INSERT, item(number)[1:])
        db.execute("COMMIT")


def bulk_insert(n: int) -> Any:
    rows = [item(number)[1:] for number in range(1, 10_001)]
    got: list[Any] = []
    for _ in range(n):
        db.execute("BEGIN")
        for start in range(0, len(rows), 1000):
            part = rows[start : start + 1000]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(part))
            flat = [value for row in part for value in row]
            got += db.execute(f"INSERT INTO scratch ({NEW}) VALUES {marks} RETURNING id", flat).fetchall()
        db.execute("COMMIT")
    return len(got)


def count(n: int) -> Any:
    return [db.execute("SELECT count(*) FROM item WHERE bucket = ?", (3,)).fetchone()[0] for _ in range(n)]


def group_by(n: int) -> Any:
    found = []
    for _ in range(n):
        found = db.execute("SELECT bucket, count(id), sum(stock) FROM item GROUP BY bucket").fetchall()
    return found


def update_filter(n: int) -> Any:
    for _ in range(n):
        db.execute("UPDATE item SET stock = ? WHERE bucket = ?", (5000, 3))


def exists(n: int) -> Any:
    sql = "SELECT 1 FROM item WHERE code = ? LIMIT 1"
    return [db.execute(sql, (f"code-{key:06}",)).fetchone() is not None for key in keys(n)]


PETS = "pet.id, pet.owner_id, pet.name, pet.weight"


def joined(n: int) -> Any:
    found = []
    for _ in range(n):
        found = db.execute(
            f"SELECT {PETS}, owner.id, owner.name, owner.city FROM pet JOIN owner ON owner.id = pet.owner_id "
            "ORDER BY pet.id LIMIT 1000"
        ).fetchall()
    return found


def filter_join(n: int) -> Any:
    found = []
    for key in keys(n):
        found = db.execute(
            f"SELECT {PETS} FROM pet JOIN owner ON owner.id = pet.owner_id WHERE owner.city = ?", (f"city {key % 500}",)
        ).fetchall()
    return found


def prefetch(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        owners = db.execute("SELECT id, name, city FROM owner ORDER BY id LIMIT 100").fetchall()
        marks = ", ".join("?" * len(owners))
        by_owner: dict[int, list[Any]] = {owner[0]: [] for owner in owners}
        for pet in db.execute(f"SELECT {PETS} FROM pet WHERE owner_id IN ({marks})", list(by_owner)):
            by_owner[pet[1]].append(pet)
        found = [(owner, by_owner[owner[0]]) for owner in owners]
    return found


def prefetch_m2m(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        pets = db.execute(f"SELECT {PETS} FROM pet ORDER BY id LIMIT 100").fetchall()
        marks = ", ".join("?" * len(pets))
        by_pet: dict[int, list[Any]] = {pet[0]: [] for pet in pets}
        for pet, *tag in db.execute(
            "SELECT pet_tags.pet_id, tag.id, tag.name FROM tag JOIN pet_tags ON pet_tags.tag_id = tag.id "
            f"WHERE pet_tags.pet_id IN ({marks})",
            list(by_pet),
        ):
            by_pet[pet].append(tuple(tag))
        found = [(pet, by_pet[pet[0]]) for pet in pets]
    return found


_SET = ", ".join(f"{name} = ?" for name in ITEM_COLUMNS[1:])


def update_one(n: int) -> Any:
    for number in range(1, n + 1):
        _, code, grp, bucket, _, price, _, active = item(number)
        db.execute(f"UPDATE item SET {_SET} WHERE id = ?", (code, grp, bucket, "changed", price, 7, active, number))


def delete_one(n: int) -> Any:
    for number in range(1, n + 1):
        db.execute("DELETE FROM scratch WHERE id = ?", (number,))


def bulk_update(n: int) -> Any:
    for _ in range(n):
        db.execute("BEGIN")
        db.executemany("UPDATE item SET stock = ? WHERE id = ?", [(100_000 + key, key) for key in range(1, 1001)])
        db.execute("COMMIT")


def stream(n: int) -> Any:
    total = 0
    for _ in range(n):
        cursor = db.execute(f"SELECT {COLUMNS} FROM item")
        while rows := cursor.fetchmany(2000):
            for row in rows:
                total += row[0]
    return total


_WIDE_READS = {
    "b": bool,
    "d": datetime.date.fromisoformat,
    "m": datetime.datetime.fromisoformat,
}
_LOADS = [(number, _WIDE_READS[name[0]]) for number, name in enumerate(WIDE_COLUMNS) if name[0] in _WIDE_READS]


def wide(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        found = []
        for row in db.execute(f"SELECT {', '.join(WIDE_COLUMNS)} FROM wide").fetchall():
            values = list(row)
            for number, load in _LOADS:
                values[number] = load(values[number])
            found.append(tuple(values))
    return found
