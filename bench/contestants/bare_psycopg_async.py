"""psycopg 3 in asyncio with binary results: the measure of the awaited figures on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from bench.contestants import pg_sql as sql
from bench.tables import GROUP, item, keys

db: psycopg.AsyncConnection[Any]
cursor: psycopg.AsyncCursor[Any]
pool: AsyncConnectionPool[Any]


async def open(url: str) -> None:
    global db, cursor, pool
    db = await psycopg.AsyncConnection.connect(url, autocommit=True)
    cursor = db.cursor(binary=True)
    pool = AsyncConnectionPool(url, min_size=10, max_size=10, open=False, kwargs={"autocommit": True})
    await pool.open(wait=True)


async def close() -> None:
    await pool.close()
    await db.close()


async def get_pk(n: int) -> Any:
    return [await (await cursor.execute(sql.BY_ID, (key,))).fetchone() for key in keys(n)]


async def get_unique(n: int) -> Any:
    return [await (await cursor.execute(sql.BY_CODE, (f"code-{key:06}",))).fetchone() for key in keys(n)]


async def rows20(n: int) -> Any:
    found = []
    for key in keys(n):
        found = await (await cursor.execute(sql.BY_GROUP, (key // GROUP,))).fetchall()
    return found


async def objects10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = await (await cursor.execute(sql.BY_BUCKET, (3,))).fetchall()
    return found


tuples10k = objects10k


async def dicts10k(n: int) -> Any:
    found = []
    async with db.cursor(binary=True, row_factory=dict_row) as dicts:
        for _ in range(n):
            found = await (await dicts.execute(sql.BY_BUCKET, (3,))).fetchall()
    return found


async def insert_one(n: int) -> Any:
    return len([await (await cursor.execute(sql.INSERT, item(number)[1:])).fetchone() for number in range(1, n + 1)])


async def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        async with db.transaction():
            for number in range(1, 1001):
                await (await cursor.execute(sql.INSERT, item(number)[1:])).fetchone()


async def bulk_insert(n: int) -> Any:
    rows = [item(number)[1:] for number in range(1, 10_001)]
    for _ in range(n):
        async with cursor.copy(sql.COPY) as copy:
            copy.set_types(sql.COPY_TYPES)
            for row in rows:
                await copy.write_row(row)
    return len(rows) * n


async def count(n: int) -> Any:
    return [(await (await cursor.execute(sql.COUNT, (3,))).fetchone())[0] for _ in range(n)]


async def group_by(n: int) -> Any:
    found = []
    for _ in range(n):
        found = await (await cursor.execute(sql.GROUPS)).fetchall()
    return found


async def update_filter(n: int) -> Any:
    for _ in range(n):
        await cursor.execute(sql.UPDATE_FILTER, (5000, 3))


async def exists(n: int) -> Any:
    return [await (await cursor.execute(sql.EXISTS, (f"code-{key:06}",))).fetchone() is not None for key in keys(n)]


async def joined(n: int) -> Any:
    found = []
    for _ in range(n):
        found = await (await cursor.execute(sql.JOINED)).fetchall()
    return found


async def filter_join(n: int) -> Any:
    found = []
    for key in keys(n):
        found = await (await cursor.execute(sql.FILTER_JOIN, (f"city {key % 500}",))).fetchall()
    return found


async def prefetch(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        owners = await (await cursor.execute(sql.OWNERS)).fetchall()
        pets = await (await cursor.execute(sql.THEIR_PETS, ([owner[0] for owner in owners],))).fetchall()
        found = sql.families(owners, pets)
    return found


async def prefetch_m2m(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        pets = await (await cursor.execute(sql.SOME_PETS)).fetchall()
        tags = await (await cursor.execute(sql.THEIR_TAGS, ([pet[0] for pet in pets],))).fetchall()
        found = sql.tagged(pets, tags)
    return found


async def update_one(n: int) -> Any:
    for number in range(1, n + 1):
        await cursor.execute(sql.UPDATE_ONE, sql.changed(number))


async def delete_one(n: int) -> Any:
    for number in range(1, n + 1):
        await cursor.execute(sql.DELETE_ONE, (number,))


async def bulk_update(n: int) -> Any:
    for _ in range(n):
        await cursor.execute(sql.BULK_UPDATE, ([100_000 + key for key in range(1, 1001)], list(range(1, 1001))))


async def stream(n: int) -> Any:
    total = 0
    for _ in range(n):
        async with db.transaction(), db.cursor("stream", binary=True) as rows:  # type: ignore[call-overload]
            await rows.execute(sql.ALL)
            while found := await rows.fetchmany(2000):
                for row in found:
                    total += row[0]
    return total


async def wide(n: int) -> Any:
    found = []
    for _ in range(n):
        found = await (await cursor.execute(sql.WIDE)).fetchall()
    return found


async def tasks(n: int) -> Any:
    found: list[Any] = []

    async def one(key: int) -> Any:
        async with pool.connection() as one:
            return await (await one.cursor(binary=True).execute(sql.BY_ID, (key,))).fetchone()

    for _ in range(n):
        found = await asyncio.gather(*[one(key) for key in keys(200)])
    return found
