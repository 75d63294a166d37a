"""Peewee 3, blocking."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import peewee as pw

from bench.tables import GROUP, ITEM_COLUMNS, WIDE_COLUMNS, item, keys

db = pw.DatabaseProxy()


class Base(pw.Model):
    class Meta:
        database = db
        legacy_table_names = False


class Columns(Base):
    id = pw.AutoField()
    code = pw.CharField()
    grp = pw.IntegerField()
    bucket = pw.IntegerField()
    name = pw.CharField()
    price = pw.DoubleField()
    stock = pw.IntegerField()
    active = pw.BooleanField()


class Item(Columns):
    class Meta:
        table_name = "item"


class Scratch(Columns):
    class Meta:
        table_name = "scratch"


class Owner(Base):
    name = pw.CharField()
    city = pw.CharField()

    class Meta:
        table_name = "owner"


class Tag(Base):
    name = pw.CharField()

    class Meta:
        table_name = "tag"


class Pet(Base):
    owner = pw.ForeignKeyField(Owner, backref="pets")
    name = pw.CharField()
    weight = pw.DoubleField()

    class Meta:
        table_name = "pet"


_KINDS: dict[str, Any] = {
    "i": pw.IntegerField,
    "t": pw.CharField,
    "f": pw.DoubleField,
    "b": pw.BooleanField,
    "d": pw.DateField,
    "m": pw.DateTimeField,
}
Wide: Any = type(
    "Wide",
    (Base,),
    {
        **{name: _KINDS[name[0]]() for name in WIDE_COLUMNS[1:]},
        "Meta": type("Meta", (), {"table_name": "wide"}),
        "__module__": __name__,
    },
)


def open(url: str) -> None:
    if url.startswith("postgresql:"):
        parts = urlsplit(url)
        made: Any = pw.PostgresqlDatabase(parts.path[1:], user=parts.username, host=parts.hostname, port=parts.port)
    else:
        made = pw.SqliteDatabase(url, pragmas={"synchronous": "normal", "foreign_keys": 1})
    db.initialize(made)
    db.connect()


def close() -> None:
    db.close()


def values(number: int) -> dict[str, Any]:
    return dict(zip(ITEM_COLUMNS[1:], item(number)[1:], strict=True))


def get_pk(n: int) -> Any:
    return [Item.get_by_id(key) for key in keys(n)]


def get_unique(n: int) -> Any:
    return [Item.get(Item.code == f"code-{key:06}") for key in keys(n)]


def rows20(n: int) -> Any:
    found = []
    for key in keys(n):
        found = list(Item.select().where(Item.grp == key // GROUP).order_by(Item.id))
    return found


def objects10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Item.select().where(Item.bucket == 3))
    return found


def tuples10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Item.select().where(Item.bucket == 3).tuples())
    return found


def dicts10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Item.select().where(Item.bucket == 3).dicts())
    return found


def insert_one(n: int) -> Any:
    return len([Scratch.create(**values(number)).id for number in range(1, n + 1)])


def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        with db.atomic():
            for number in range(1, 1001):
                Scratch.create(**values(number))


def count(n: int) -> Any:
    return [Item.select().where(Item.bucket == 3).count() for _ in range(n)]


def group_by(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(
            Item.select(Item.bucket, pw.fn.COUNT(Item.id).alias("number"), pw.fn.SUM(Item.stock).alias("total"))
            .group_by(Item.bucket)
            .dicts()
        )
    return found


def update_filter(n: int) -> Any:
    for _ in range(n):
        Item.update(stock=5000).where(Item.bucket == 3).execute()


def exists(n: int) -> Any:
    return [Item.select().where(Item.code == f"code-{key:06}").exists() for key in keys(n)]


def joined(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Pet.select(Pet, Owner).join(Owner).order_by(Pet.id).limit(1000))
    return found


def filter_join(n: int) -> Any:
    found = []
    for key in keys(n):
        found = list(Pet.select().join(Owner).where(Owner.city == f"city {key % 500}"))
    return found


def prefetch(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        owners = pw.prefetch(Owner.select().order_by(Owner.id).limit(100), Pet.select())
        found = [(owner, list(owner.pets)) for owner in owners]
    return found


_loaded: list[Any] = []


def before_update_one(n: int) -> None:
    _loaded[:] = Item.select().where(Item.id <= n).order_by(Item.id)


def update_one(n: int) -> Any:
    for one in _loaded:
        one.name = "changed"
        one.stock = 7
        one.save()


def before_delete_one(n: int) -> None:
    _loaded[:] = Scratch.select().where(Scratch.id <= n).order_by(Scratch.id)


def delete_one(n: int) -> Any:
    for one in _loaded:
        one.delete_instance()


def before_bulk_update(n: int) -> None:
    _loaded[:] = Item.select().where(Item.id <= 1000)


def bulk_update(n: int) -> Any:
    for _ in range(n):
        for one in _loaded:
            one.stock = 100_000 + one.id
        with db.atomic():
            Item.bulk_update(_loaded, [Item.stock], batch_size=200)


def stream(n: int) -> Any:
    total = 0
    for _ in range(n):
        for one in Item.select().iterator():
            total += one.id
    return total


def wide(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        found = list(Wide.select())
    return found
