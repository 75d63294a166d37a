"""apsw by itself: what dorm stands on."""

from __future__ import annotations

from typing import Any

import apsw

from bench.tables import GROUP, ITEM_COLUMNS, keys

db: apsw.Connection
COLUMNS = ", ".join(ITEM_COLUMNS)


def open(url: str) -> None:
    global db
    db = apsw.Connection(url)
    db.execute("PRAGMA synchronous = NORMAL").fetchall()


def close() -> None:
    db.close()


def get_pk(n: int) -> Any:
    cursor = db.cursor()
    sql = f"SELECT {COLUMNS} FROM item WHERE id = ?"
    return [cursor.execute(sql, (key,)).fetchone() for key in keys(n)]


def rows20(n: int) -> Any:
    cursor = db.cursor()
    found = []
    for key in keys(n):
        found = cursor.execute(f"SELECT {COLUMNS} FROM item WHERE grp = ? ORDER BY id", (key // GROUP,)).fetchall()
    return found


def objects10k(n: int) -> Any:
    cursor = db.cursor()
    found = []
    for _ in range(n):
        found = cursor.execute(f"SELECT {COLUMNS} FROM item WHERE bucket = ?", (3,)).fetchall()
    return found


tuples10k = objects10k


def exists(n: int) -> Any:
    cursor = db.cursor()
    sql = "SELECT 1 FROM item WHERE code = ? LIMIT 1"
    return [cursor.execute(sql, (f"code-{key:06}",)).fetchone() is not None for key in keys(n)]
