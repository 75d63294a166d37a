"""Piccolo, awaited."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from piccolo.columns import Boolean, DoublePrecision, ForeignKey, Integer, Serial, Varchar
from piccolo.query.functions import Count, Sum
from piccolo.table import Table

from bench.tables import GROUP, ITEM_COLUMNS, item, keys

engine: Any = None
Item: Any = None
Scratch: Any = None
Owner: Any = None
Pet: Any = None


async def open(url: str) -> None:
    global engine, Item, Scratch, Owner, Pet
    if url.startswith("postgresql:"):
        from piccolo.engine.postgres import PostgresEngine

        parts = urlsplit(url)
        engine = PostgresEngine(
            {"database": parts.path[1:], "user": parts.username, "host": parts.hostname, "port": parts.port}
        )
        await engine.start_connection_pool()
    else:
        from piccolo.engine.sqlite import SQLiteEngine

        engine = SQLiteEngine(path=url)
    Item, Scratch = (_columns(name) for name in ("item", "scratch"))

    class Owners(Table, tablename="owner", db=engine):  # type: ignore[call-arg]  # options of Piccolo's tables
        id = Serial(primary_key=True)
        name = Varchar()
        city = Varchar()

    class Pets(Table, tablename="pet", db=engine):  # type: ignore[call-arg]  # options of Piccolo's tables
        id = Serial(primary_key=True)
        owner = ForeignKey(Owners, db_column_name="owner_id")
        name = Varchar()
        weight = DoublePrecision()

    Owner, Pet = Owners, Pets


def _columns(table: str) -> Any:
    class Columns(Table, tablename=table, db=engine):  # type: ignore[call-arg]  # options of Piccolo's tables
        id = Serial(primary_key=True)
        code = Varchar()
        grp = Integer()
        bucket = Integer()
        name = Varchar()
        price = DoublePrecision()
        stock = Integer()
        active = Boolean()

    return Columns


async def close() -> None:
    if hasattr(engine, "close_connection_pool"):
        await engine.close_connection_pool()


def values(number: int) -> dict[str, Any]:
    return dict(zip(ITEM_COLUMNS[1:], item(number)[1:], strict=True))


async def get_pk(n: int) -> Any:
    return [await Item.objects().get(Item.id == key) for key in keys(n)]


async def get_unique(n: int) -> Any:
    return [await Item.objects().get(Item.code == f"code-{key:06}") for key in keys(n)]


async def rows20(n: int) -> Any:
    found: Any = []
    for key in keys(n):
        found = await Item.objects().where(Item.grp == key // GROUP).order_by(Item.id)
    return found


async def objects10k(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Item.objects().where(Item.bucket == 3)
    return found


async def dicts10k(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Item.select().where(Item.bucket == 3)
    return found


async def insert_one(n: int) -> Any:
    made = 0
    for number in range(1, n + 1):
        one = Scratch(**values(number))
        await one.save()
        made += bool(one.id)
    return made


async def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        async with engine.transaction():
            for number in range(1, 1001):
                await Scratch(**values(number)).save()


async def count(n: int) -> Any:
    return [await Item.count().where(Item.bucket == 3) for _ in range(n)]


async def group_by(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Item.select(
            Item.bucket, Count(Item.id).as_alias("number"), Sum(Item.stock).as_alias("total")
        ).group_by(Item.bucket)
    return found


async def update_filter(n: int) -> Any:
    for _ in range(n):
        await Item.update({Item.stock: 5000}).where(Item.bucket == 3)


async def exists(n: int) -> Any:
    return [await Item.exists().where(Item.code == f"code-{key:06}") for key in keys(n)]


async def joined(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Pet.objects(Pet.owner).order_by(Pet.id).limit(1000)
    return [(pet.id, pet.owner.id, pet.name, pet.weight, pet.owner.id, pet.owner.name, pet.owner.city) for pet in found]


async def filter_join(n: int) -> Any:
    found: Any = []
    for key in keys(n):
        found = await Pet.objects().where(Pet.owner.city == f"city {key % 500}")
    return [(pet.id, pet.owner, pet.name, pet.weight) for pet in found]


_loaded: list[Any] = []


async def before_update_one(n: int) -> None:
    _loaded[:] = await Item.objects().where(Item.id <= n).order_by(Item.id)


async def update_one(n: int) -> Any:
    for one in _loaded:
        one.name = "changed"
        one.stock = 7
        await one.save()


async def before_delete_one(n: int) -> None:
    _loaded[:] = await Scratch.objects().where(Scratch.id <= n).order_by(Scratch.id)


async def delete_one(n: int) -> Any:
    for one in _loaded:
        await one.remove()
