"""The statements that both psycopg contestants send."""

from __future__ import annotations

from typing import Any

from bench.tables import ITEM_COLUMNS, WIDE_COLUMNS, item

COLUMNS = ", ".join(ITEM_COLUMNS)
NEW = ", ".join(ITEM_COLUMNS[1:])
PETS = "pet.id, pet.owner_id, pet.name, pet.weight"

BY_ID = f"SELECT {COLUMNS} FROM item WHERE id = %s"
BY_CODE = f"SELECT {COLUMNS} FROM item WHERE code = %s"
BY_GROUP = f"SELECT {COLUMNS} FROM item WHERE grp = %s ORDER BY id"
BY_BUCKET = f"SELECT {COLUMNS} FROM item WHERE bucket = %s"
INSERT = f"INSERT INTO scratch ({NEW}) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id"
COPY = f"COPY scratch ({NEW}) FROM STDIN (FORMAT BINARY)"
COPY_TYPES = ("varchar", "int4", "int4", "varchar", "float8", "int4", "bool")
COUNT = "SELECT count(*) FROM item WHERE bucket = %s"
GROUPS = "SELECT bucket, count(id), sum(stock) FROM item GROUP BY bucket"
UPDATE_FILTER = "UPDATE item SET stock = %s WHERE bucket = %s"
EXISTS = "SELECT 1 FROM item WHERE code = %s LIMIT 1"
JOINED = (
    f"SELECT {PETS}, owner.id, owner.name, owner.city FROM pet JOIN owner ON owner.id = pet.owner_id "
    "ORDER BY pet.id LIMIT 1000"
)
FILTER_JOIN = f"SELECT {PETS} FROM pet JOIN owner ON owner.id = pet.owner_id WHERE owner.city = %s"
OWNERS = "SELECT id, name, city FROM owner ORDER BY id LIMIT 100"
THEIR_PETS = f"SELECT {PETS} FROM pet WHERE owner_id = ANY(%s)"
SOME_PETS = f"SELECT {PETS} FROM pet ORDER BY id LIMIT 100"
THEIR_TAGS = (
    "SELECT pet_tags.pet_id, tag.id, tag.name FROM tag JOIN pet_tags ON pet_tags.tag_id = tag.id "
    "WHERE pet_tags.pet_id = ANY(%s)"
)
UPDATE_ONE = f"UPDATE item SET {', '.join(f'{name} = %s' for name in ITEM_COLUMNS[1:])} WHERE id = %s"
DELETE_ONE = "DELETE FROM scratch WHERE id = %s"
BULK_UPDATE = (
    "UPDATE item SET stock = new.stock FROM unnest(%s::int[], %s::bigint[]) AS new(stock, id) WHERE item.id = new.id"
)
ALL = f"SELECT {COLUMNS} FROM item"
WIDE = f"SELECT {', '.join(WIDE_COLUMNS)} FROM wide"


def changed(number: int) -> tuple[Any, ...]:
    """Return the parameters of `UPDATE_ONE`."""
    _, code, grp, bucket, _, price, _, active = item(number)
    return (code, grp, bucket, "changed", price, 7, active, number)


def families(owners: list[Any], pets: list[Any]) -> list[Any]:
    """Return each owner with its pets."""
    by_owner: dict[int, list[Any]] = {owner[0]: [] for owner in owners}
    for pet in pets:
        by_owner[pet[1]].append(pet)
    return [(owner, by_owner[owner[0]]) for owner in owners]


def tagged(pets: list[Any], tags: list[Any]) -> list[Any]:
    """Return each pet with its tags."""
    by_pet: dict[int, list[Any]] = {pet[0]: [] for pet in pets}
    for pet, *tag in tags:
        by_pet[pet].append(tuple(tag))
    return [(pet, by_pet[pet[0]]) for pet in pets]
