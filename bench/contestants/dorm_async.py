"""dorm, awaited."""

from __future__ import annotations

import asyncio
from typing import Any

import dorm
from bench.contestants.dorm_models import Item, Owner, Pet, Scratch, Wide, settings, values
from bench.tables import GROUP, ITEM_COLUMNS, keys
from dorm import transaction
from dorm.db.connection import close_all_async


async def open(url: str) -> None:
    dorm.configure(DATABASES={"default": settings(url)})


async def close() -> None:
    await close_all_async()


async def get_pk(n: int) -> Any:
    return [await Item.objects.aget(pk=key) for key in keys(n)]


async def get_unique(n: int) -> Any:
    return [await Item.objects.aget(code=f"code-{key:06}") for key in keys(n)]


async def rows20(n: int) -> Any:
    found = []
    for key in keys(n):
        found = [row async for row in Item.objects.filter(grp=key // GROUP).order_by("id")]
    return found


async def objects10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = [row async for row in Item.objects.filter(bucket=3)]
    return found


async def tuples10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = [row async for row in Item.objects.filter(bucket=3).values_list(*ITEM_COLUMNS)]
    return found


async def dicts10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = [row async for row in Item.objects.filter(bucket=3).values(*ITEM_COLUMNS)]
    return found


async def insert_one(n: int) -> Any:
    return len([(await Scratch.objects.acreate(**values(number))).pk for number in range(1, n + 1)])


async def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        async with transaction.atomic():
            for number in range(1, 1001):
                await Scratch.objects.acreate(**values(number))


async def bulk_insert(n: int) -> Any:
    rows = [values(number) for number in range(1, 10_001)]
    made: list[Any] = []
    for _ in range(n):
        made += await Scratch.objects.abulk_create([Scratch(**each) for each in rows])
    return len([each for each in made if each.pk])


async def count(n: int) -> Any:
    return [await Item.objects.filter(bucket=3).acount() for _ in range(n)]


async def group_by(n: int) -> Any:
    found = []
    for _ in range(n):
        found = [
            row
            async for row in Item.objects.values("bucket").annotate(number=dorm.Count("id"), total=dorm.Sum("stock"))
        ]
    return found


async def update_filter(n: int) -> Any:
    for _ in range(n):
        await Item.objects.filter(bucket=3).aupdate(stock=5000)


async def exists(n: int) -> Any:
    return [await Item.objects.filter(code=f"code-{key:06}").aexists() for key in keys(n)]


async def joined(n: int) -> Any:
    found = []
    for _ in range(n):
        found = [row async for row in Pet.objects.select_related("owner").order_by("id")[:1000]]
    return found


async def filter_join(n: int) -> Any:
    found = []
    for key in keys(n):
        found = [row async for row in Pet.objects.filter(owner__city=f"city {key % 500}")]
    return found


async def prefetch(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        owners = [row async for row in Owner.objects.prefetch_related("pets").order_by("id")[:100]]
        found = [(owner, [pet async for pet in owner.pets.all()]) for owner in owners]
    return found


if hasattr(dorm, "ManyToManyField"):

    async def prefetch_m2m(n: int) -> Any:
        found: list[Any] = []
        for _ in range(n):
            pets = [row async for row in Pet.objects.prefetch_related("tags").order_by("id")[:100]]
            found = [(pet, [tag async for tag in pet.tags.all()]) for pet in pets]
        return found


async def update_one(n: int) -> Any:
    for one in _loaded:
        one.name = "changed"
        one.stock = 7
        await one.asave()


_loaded: list[Any] = []


async def before_update_one(n: int) -> None:
    _loaded[:] = [row async for row in Item.objects.filter(pk__lte=n).order_by("pk")]


async def delete_one(n: int) -> Any:
    for one in _doomed:
        await one.adelete()


_doomed: list[Any] = []


async def before_delete_one(n: int) -> None:
    _doomed[:] = [row async for row in Scratch.objects.filter(pk__lte=n).order_by("pk")]


if hasattr(dorm.QuerySet, "bulk_update"):

    async def bulk_update(n: int) -> Any:
        for _ in range(n):
            for one in _loaded:
                one.stock = 100_000 + one.pk
            await Item.objects.abulk_update(_loaded, ["stock"])

    async def before_bulk_update(n: int) -> None:
        _loaded[:] = [row async for row in Item.objects.filter(pk__lte=1000)]


async def stream(n: int) -> Any:
    total = 0
    for _ in range(n):
        async for one in Item.objects.aiterator():
            total += one.pk
    return total


async def wide(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        found = [row async for row in Wide.objects.all()]
    return found


async def tasks(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        found = await asyncio.gather(*[Item.objects.aget(pk=key) for key in keys(200)])
    return found
