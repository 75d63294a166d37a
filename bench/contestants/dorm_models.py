"""The tables as models of dorm."""

from __future__ import annotations

from typing import Any

import dorm
from bench.tables import WIDE_COLUMNS, item


class Columns(dorm.Model):
    code = dorm.CharField(max_length=100)
    grp = dorm.IntegerField()
    bucket = dorm.IntegerField()
    name = dorm.CharField(max_length=100)
    price = dorm.FloatField()
    stock = dorm.IntegerField()
    active = dorm.BooleanField()

    class Meta:
        abstract = True


class Item(Columns):
    class Meta:
        app_label = "bench"
        db_table = "item"


class Scratch(Columns):
    class Meta:
        app_label = "bench"
        db_table = "scratch"


class Owner(dorm.Model):
    name = dorm.CharField(max_length=100)
    city = dorm.CharField(max_length=100)

    class Meta:
        app_label = "bench"
        db_table = "owner"


class Tag(dorm.Model):
    name = dorm.CharField(max_length=100)

    class Meta:
        app_label = "bench"
        db_table = "tag"


class Pet(dorm.Model):
    owner = dorm.ForeignKey(Owner, dorm.CASCADE, related_name="pets")
    name = dorm.CharField(max_length=100)
    weight = dorm.FloatField()
    if hasattr(dorm, "ManyToManyField"):
        tags = dorm.ManyToManyField(Tag, db_table="pet_tags")

    class Meta:
        app_label = "bench"
        db_table = "pet"


_KINDS: dict[str, Any] = {
    "i": dorm.IntegerField,
    "t": lambda: dorm.CharField(max_length=100),
    "f": dorm.FloatField,
    "b": dorm.BooleanField,
    "d": dorm.DateField,
    "m": dorm.DateTimeField,
}

Wide: Any = type(
    "Wide",
    (dorm.Model,),
    {
        **{name: _KINDS[name[0]]() for name in WIDE_COLUMNS[1:]},
        "Meta": type("Meta", (), {"app_label": "bench", "db_table": "wide"}),
        "__module__": __name__,
    },
)


def settings(url: str) -> dict[str, Any]:
    """Return the DATABASES entry of a contestant's database."""
    if url.startswith("postgresql:"):
        return {"URL": url, "MIN_POOL_SIZE": 1, "MAX_POOL_SIZE": 10}
    return {"ENGINE": "sqlite", "NAME": url, "OPTIONS": {"synchronous": "NORMAL"}}


def values(number: int) -> dict[str, Any]:
    """Return an item's values without its key."""
    _, code, grp, bucket, name, price, stock, active = item(number)
    return {
        "code": code,
        "grp": grp,
        "bucket": bucket,
        "name": name,
        "price": price,
        "stock": stock,
        "active": active,
    }
