"""Pony, blocking. Its identity map would answer a second read without the database, so each call has a session."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlsplit

from pony import orm

from bench.tables import GROUP, ITEM_COLUMNS, WIDE_COLUMNS, item, keys

db = orm.Database()


class Item(db.Entity):  # type: ignore[misc,name-defined]  # made by the database object
    _table_ = "item"
    id = orm.PrimaryKey(int, auto=True)
    code = orm.Required(str, unique=True)
    grp = orm.Required(int)
    bucket = orm.Required(int)
    name = orm.Required(str)
    price = orm.Required(float)
    stock = orm.Required(int)
    active = orm.Required(bool)


class Scratch(db.Entity):  # type: ignore[misc,name-defined]  # made by the database object
    _table_ = "scratch"
    id = orm.PrimaryKey(int, auto=True)
    code = orm.Required(str)
    grp = orm.Required(int)
    bucket = orm.Required(int)
    name = orm.Required(str)
    price = orm.Required(float)
    stock = orm.Required(int)
    active = orm.Required(bool)


class Owner(db.Entity):  # type: ignore[misc,name-defined]  # made by the database object
    _table_ = "owner"
    id = orm.PrimaryKey(int, auto=True)
    name = orm.Required(str)
    city = orm.Required(str)
    pets = orm.Set("Pet")


class Pet(db.Entity):  # type: ignore[misc,name-defined]  # made by the database object
    _table_ = "pet"
    id = orm.PrimaryKey(int, auto=True)
    owner = orm.Required(Owner, column="owner_id")
    name = orm.Required(str)
    weight = orm.Required(float)


_KINDS: dict[str, type] = {
    "i": int,
    "t": str,
    "f": float,
    "b": bool,
    "d": datetime.date,
    "m": datetime.datetime,
}
Wide: Any = type(
    "Wide",
    (db.Entity,),
    {
        "_table_": "wide",
        "id": orm.PrimaryKey(int, auto=True),
        **{name: orm.Required(_KINDS[name[0]]) for name in WIDE_COLUMNS[1:]},
        "__module__": __name__,
    },
)


def open(url: str) -> None:
    if url.startswith("postgresql:"):
        parts = urlsplit(url)
        db.bind(provider="postgres", database=parts.path[1:], user=parts.username, host=parts.hostname, port=parts.port)
    else:
        db.on_connect(provider="sqlite")(_settle)
        db.bind(provider="sqlite", filename=url)
    db.generate_mapping(check_tables=False)


def _settle(_: Any, connection: Any) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


def close() -> None:
    db.disconnect()


def values(number: int) -> dict[str, Any]:
    return dict(zip(ITEM_COLUMNS[1:], item(number)[1:], strict=True))


def get_pk(n: int) -> Any:
    found = []
    for key in keys(n):
        with orm.db_session:
            found.append(Item[key])
    return found


def get_unique(n: int) -> Any:
    found = []
    for key in keys(n):
        with orm.db_session:
            found.append(Item.get(code=f"code-{key:06}"))
    return found


def rows20(n: int) -> Any:
    found: Any = []
    for key in keys(n):
        with orm.db_session:
            found = list(Item.select(grp=key // GROUP).order_by(Item.id))
    return found


def objects10k(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        with orm.db_session:
            found = list(Item.select(bucket=3))
    return found


def tuples10k(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        with orm.db_session:
            found = list(
                orm.select(
                    (i.id, i.code, i.grp, i.bucket, i.name, i.price, i.stock, i.active) for i in Item if i.bucket == 3
                )
            )
    return found


def insert_one(n: int) -> Any:
    made = []
    for number in range(1, n + 1):
        with orm.db_session:
            made.append(Scratch(**values(number)))
    return len([one for one in made if one.id])


def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        with orm.db_session:
            for number in range(1, 1001):
                Scratch(**values(number))


def count(n: int) -> Any:
    found = []
    for _ in range(n):
        with orm.db_session:
            found.append(Item.select(bucket=3).count())
    return found


def group_by(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        with orm.db_session:
            found = list(orm.select((i.bucket, orm.count(i.id), orm.sum(i.stock)) for i in Item))
    return found


def exists(n: int) -> Any:
    found = []
    for key in keys(n):
        with orm.db_session:
            found.append(Item.exists(code=f"code-{key:06}"))
    return found


def prefetch(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        with orm.db_session:
            owners = list(Owner.select().order_by(Owner.id).prefetch(Owner.pets).limit(100))
            found = [
                ((owner.id, owner.name, owner.city), [(pet.id, owner.id, pet.name, pet.weight) for pet in owner.pets])
                for owner in owners
            ]
    return found


def update_one(n: int) -> Any:
    for number in range(1, n + 1):
        with orm.db_session:
            one = Item[number]
            one.name = "changed"
            one.stock = 7


def delete_one(n: int) -> Any:
    for number in range(1, n + 1):
        with orm.db_session:
            Scratch[number].delete()


def wide(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        with orm.db_session:
            found = list(Wide.select())
    return found
