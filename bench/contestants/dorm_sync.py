"""dorm, blocking."""

from __future__ import annotations

from typing import Any

import dorm
from bench.contestants.dorm_models import Item, Owner, Pet, Scratch, Wide, settings, values
from bench.tables import GROUP, ITEM_COLUMNS, keys
from dorm import transaction
from dorm.db.connection import close_all


def open(url: str) -> None:
    dorm.configure(DATABASES={"default": settings(url)})


def close() -> None:
    close_all()


def get_pk(n: int) -> Any:
    return [Item.objects.get(pk=key) for key in keys(n)]


def get_unique(n: int) -> Any:
    return [Item.objects.get(code=f"code-{key:06}") for key in keys(n)]


def rows20(n: int) -> Any:
    found = []
    for key in keys(n):
        found = list(Item.objects.filter(grp=key // GROUP).order_by("id"))
    return found


def objects10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Item.objects.filter(bucket=3))
    return found


def tuples10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Item.objects.filter(bucket=3).values_list(*ITEM_COLUMNS))
    return found


def dicts10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Item.objects.filter(bucket=3).values(*ITEM_COLUMNS))
    return found


def insert_one(n: int) -> Any:
    return len([Scratch.objects.create(**values(number)).pk for number in range(1, n + 1)])


def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        with transaction.atomic():
            for number in range(1, 1001):
                Scratch.objects.create(**values(number))


def bulk_insert(n: int) -> Any:
    rows = [values(number) for number in range(1, 10_001)]
    made: list[Any] = []
    for _ in range(n):
        made += Scratch.objects.bulk_create([Scratch(**each) for each in rows])
    return len([each for each in made if each.pk])


def count(n: int) -> Any:
    return [Item.objects.filter(bucket=3).count() for _ in range(n)]


def group_by(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Item.objects.values("bucket").annotate(number=dorm.Count("id"), total=dorm.Sum("stock")))
    return found


def update_filter(n: int) -> Any:
    for _ in range(n):
        Item.objects.filter(bucket=3).update(stock=5000)


def exists(n: int) -> Any:
    return [Item.objects.filter(code=f"code-{key:06}").exists() for key in keys(n)]


def joined(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(Pet.objects.select_related("owner").order_by("id")[:1000])
    return found


def filter_join(n: int) -> Any:
    found = []
    for key in keys(n):
        found = list(Pet.objects.filter(owner__city=f"city {key % 500}"))
    return found


def prefetch(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        owners = list(Owner.objects.prefetch_related("pets").order_by("id")[:100])
        found = [(owner, list(owner.pets.all())) for owner in owners]
    return found


if hasattr(dorm, "ManyToManyField"):

    def prefetch_m2m(n: int) -> Any:
        found: list[Any] = []
        for _ in range(n):
            pets = list(Pet.objects.prefetch_related("tags").order_by("id")[:100])
            found = [(pet, list(pet.tags.all())) for pet in pets]
        return found


def update_one(n: int) -> Any:
    for one in _loaded:
        one.name = "changed"
        one.stock = 7
        one.save()


_loaded: list[Any] = []


def before_update_one(n: int) -> None:
    _loaded[:] = Item.objects.filter(pk__lte=n).order_by("pk")


def delete_one(n: int) -> Any:
    for one in _doomed:
        one.delete()


_doomed: list[Any] = []


def before_delete_one(n: int) -> None:
    _doomed[:] = Scratch.objects.filter(pk__lte=n).order_by("pk")


if hasattr(dorm.QuerySet, "bulk_update"):

    def bulk_update(n: int) -> Any:
        for _ in range(n):
            for one in _loaded:
                one.stock = 100_000 + one.pk
            Item.objects.bulk_update(_loaded, ["stock"])

    def before_bulk_update(n: int) -> None:
        _loaded[:] = Item.objects.filter(pk__lte=1000)


def stream(n: int) -> Any:
    total = 0
    for _ in range(n):
        for one in Item.objects.iterator():
            total += one.pk
    return total


def wide(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        found = list(Wide.objects.all())
    return found
