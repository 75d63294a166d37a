"""Tortoise ORM, awaited."""

from __future__ import annotations

from typing import Any

from tortoise import Tortoise, fields
from tortoise.functions import Count, Sum
from tortoise.models import Model
from tortoise.transactions import in_transaction

from bench.tables import GROUP, ITEM_COLUMNS, WIDE_COLUMNS, item, keys


class Columns(Model):
    id = fields.IntField(primary_key=True)
    code = fields.CharField(max_length=100)
    grp = fields.IntField()
    bucket = fields.IntField()
    name = fields.CharField(max_length=100)
    price = fields.FloatField()
    stock = fields.IntField()
    active = fields.BooleanField()

    class Meta:
        abstract = True


class Item(Columns):
    class Meta:
        table = "item"


class Scratch(Columns):
    class Meta:
        table = "scratch"


class Owner(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=100)
    city = fields.CharField(max_length=100)

    class Meta:
        table = "owner"


class Tag(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=100)

    class Meta:
        table = "tag"


class Pet(Model):
    id = fields.IntField(primary_key=True)
    owner: Any = fields.ForeignKeyField("models.Owner", related_name="pets")
    name = fields.CharField(max_length=100)
    weight = fields.FloatField()
    tags: Any = fields.ManyToManyField("models.Tag", through="pet_tags", backward_key="pet_id", forward_key="tag_id")

    class Meta:
        table = "pet"


_KINDS: dict[str, Any] = {
    "i": fields.IntField,
    "t": lambda: fields.CharField(max_length=100),
    "f": fields.FloatField,
    "b": fields.BooleanField,
    "d": fields.DateField,
    "m": fields.DatetimeField,
}
Wide: Any = type(
    "Wide",
    (Model,),
    {
        "id": fields.IntField(primary_key=True),
        **{name: _KINDS[name[0]]() for name in WIDE_COLUMNS[1:]},
        "Meta": type("Meta", (), {"table": "wide"}),
        "__module__": __name__,
    },
)


async def open(url: str) -> None:
    address = url.replace("postgresql:", "asyncpg:") if url.startswith("postgresql:") else f"sqlite://{url}"
    await Tortoise.init(db_url=address, modules={"models": [__name__]}, use_tz=False)
    if not url.startswith("postgresql:"):
        await Tortoise.get_connection("default").execute_script("PRAGMA synchronous = NORMAL")


async def close() -> None:
    await Tortoise.close_connections()


def values(number: int) -> dict[str, Any]:
    return dict(zip(ITEM_COLUMNS[1:], item(number)[1:], strict=True))


async def get_pk(n: int) -> Any:
    return [await Item.get(id=key) for key in keys(n)]


async def get_unique(n: int) -> Any:
    return [await Item.get(code=f"code-{key:06}") for key in keys(n)]


async def rows20(n: int) -> Any:
    found: Any = []
    for key in keys(n):
        found = await Item.filter(grp=key // GROUP).order_by("id")
    return found


async def objects10k(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Item.filter(bucket=3)
    return found


async def tuples10k(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Item.filter(bucket=3).values_list(*ITEM_COLUMNS)
    return found


async def dicts10k(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Item.filter(bucket=3).values(*ITEM_COLUMNS)
    return found


async def insert_one(n: int) -> Any:
    return len([(await Scratch.create(**values(number))).pk for number in range(1, n + 1)])


async def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        async with in_transaction():
            for number in range(1, 1001):
                await Scratch.create(**values(number))


async def count(n: int) -> Any:
    return [await Item.filter(bucket=3).count() for _ in range(n)]


async def group_by(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = (
            await Item.annotate(number=Count("id"), total=Sum("stock"))
            .group_by("bucket")
            .values("bucket", "number", "total")
        )
    return found


async def update_filter(n: int) -> Any:
    for _ in range(n):
        await Item.filter(bucket=3).update(stock=5000)


async def exists(n: int) -> Any:
    return [await Item.filter(code=f"code-{key:06}").exists() for key in keys(n)]


async def joined(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Pet.all().select_related("owner").order_by("id").limit(1000)
    return found


async def filter_join(n: int) -> Any:
    found: Any = []
    for key in keys(n):
        found = await Pet.filter(owner__city=f"city {key % 500}")
    return found


async def prefetch(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        owners: Any = await Owner.all().prefetch_related("pets").order_by("id").limit(100)
        found = [(owner, list(owner.pets)) for owner in owners]
    return found


async def prefetch_m2m(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        pets: Any = await Pet.all().prefetch_related("tags").order_by("id").limit(100)
        found = [(pet, list(pet.tags)) for pet in pets]
    return found


_loaded: list[Any] = []


async def before_update_one(n: int) -> None:
    _loaded[:] = await Item.filter(id__lte=n).order_by("id")


async def update_one(n: int) -> Any:
    for one in _loaded:
        one.name = "changed"
        one.stock = 7
        await one.save()


async def before_delete_one(n: int) -> None:
    _loaded[:] = await Scratch.filter(id__lte=n).order_by("id")


async def delete_one(n: int) -> Any:
    for one in _loaded:
        await one.delete()


async def before_bulk_update(n: int) -> None:
    _loaded[:] = await Item.filter(id__lte=1000)


async def bulk_update(n: int) -> Any:
    for _ in range(n):
        for one in _loaded:
            one.stock = 100_000 + one.id
        await Item.bulk_update(_loaded, ["stock"])


async def wide(n: int) -> Any:
    found: Any = []
    for _ in range(n):
        found = await Wide.all()
    return found
