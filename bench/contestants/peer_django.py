"""Django 5.2, blocking."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings

from bench.tables import GROUP, ITEM_COLUMNS, WIDE_COLUMNS, item, keys

M: Any = None


def open(url: str) -> None:
    global M
    if url.startswith("postgresql:"):
        parts = urlsplit(url)
        database: dict[str, Any] = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.path[1:],
            "USER": parts.username,
            "HOST": parts.hostname,
            "PORT": parts.port,
            "OPTIONS": {"server_side_binding": True},
        }
    else:
        database = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": url,
            "OPTIONS": {"init_command": "PRAGMA synchronous = NORMAL"},
        }
    settings.configure(
        DATABASES={"default": database},
        USE_TZ=False,
        INSTALLED_APPS=["bench"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    M = _models()


def _models() -> Any:
    from django.db import models

    class Space:
        pass

    class Columns(models.Model):
        code = models.CharField(max_length=100)
        grp = models.IntegerField()
        bucket = models.IntegerField()
        name = models.CharField(max_length=100)
        price = models.FloatField()
        stock = models.IntegerField()
        active = models.BooleanField()

        class Meta:
            abstract = True
            app_label = "bench"

    class Item(Columns):
        class Meta:
            app_label = "bench"
            db_table = "item"

    class Scratch(Columns):
        class Meta:
            app_label = "bench"
            db_table = "scratch"

    class Owner(models.Model):
        name = models.CharField(max_length=100)
        city = models.CharField(max_length=100)

        class Meta:
            app_label = "bench"
            db_table = "owner"

    class Tag(models.Model):
        name = models.CharField(max_length=100)

        class Meta:
            app_label = "bench"
            db_table = "tag"

    class Pet(models.Model):
        owner = models.ForeignKey(Owner, models.CASCADE, related_name="pets")
        name = models.CharField(max_length=100)
        weight = models.FloatField()
        tags = models.ManyToManyField(Tag, db_table="pet_tags")

        class Meta:
            app_label = "bench"
            db_table = "pet"

    kinds: dict[str, Any] = {
        "i": models.IntegerField,
        "t": lambda: models.CharField(max_length=100),
        "f": models.FloatField,
        "b": models.BooleanField,
        "d": models.DateField,
        "m": models.DateTimeField,
    }
    meta = type("Meta", (), {"app_label": "bench", "db_table": "wide"})
    columns = {name: kinds[name[0]]() for name in WIDE_COLUMNS[1:]}
    wide = type("Wide", (models.Model,), {**columns, "Meta": meta, "__module__": __name__})
    for model in (Item, Scratch, Owner, Tag, Pet, wide):
        setattr(Space, model.__name__, model)
    return Space


def close() -> None:
    from django.db import connections

    connections.close_all()


def values(number: int) -> dict[str, Any]:
    return dict(zip(ITEM_COLUMNS[1:], item(number)[1:], strict=True))


def get_pk(n: int) -> Any:
    return [M.Item.objects.get(pk=key) for key in keys(n)]


def get_unique(n: int) -> Any:
    return [M.Item.objects.get(code=f"code-{key:06}") for key in keys(n)]


def rows20(n: int) -> Any:
    found = []
    for key in keys(n):
        found = list(M.Item.objects.filter(grp=key // GROUP).order_by("id"))
    return found


def objects10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(M.Item.objects.filter(bucket=3))
    return found


def tuples10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(M.Item.objects.filter(bucket=3).values_list(*ITEM_COLUMNS))
    return found


def dicts10k(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(M.Item.objects.filter(bucket=3).values(*ITEM_COLUMNS))
    return found


def insert_one(n: int) -> Any:
    return len([M.Scratch.objects.create(**values(number)).pk for number in range(1, n + 1)])


def insert_in_tx(n: int) -> Any:
    from django.db import transaction

    for _ in range(n):
        with transaction.atomic():
            for number in range(1, 1001):
                M.Scratch.objects.create(**values(number))


def bulk_insert(n: int) -> Any:
    rows = [values(number) for number in range(1, 10_001)]
    made: list[Any] = []
    for _ in range(n):
        made += M.Scratch.objects.bulk_create([M.Scratch(**each) for each in rows])
    return len([each for each in made if each.pk])


def count(n: int) -> Any:
    return [M.Item.objects.filter(bucket=3).count() for _ in range(n)]


def group_by(n: int) -> Any:
    from django.db.models import Count, Sum

    found = []
    for _ in range(n):
        found = list(M.Item.objects.values("bucket").annotate(number=Count("id"), total=Sum("stock")))
    return found


def update_filter(n: int) -> Any:
    for _ in range(n):
        M.Item.objects.filter(bucket=3).update(stock=5000)


def exists(n: int) -> Any:
    return [M.Item.objects.filter(code=f"code-{key:06}").exists() for key in keys(n)]


def joined(n: int) -> Any:
    found = []
    for _ in range(n):
        found = list(M.Pet.objects.select_related("owner").order_by("id")[:1000])
    return found


def filter_join(n: int) -> Any:
    found = []
    for key in keys(n):
        found = list(M.Pet.objects.filter(owner__city=f"city {key % 500}"))
    return found


def prefetch(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        owners = list(M.Owner.objects.prefetch_related("pets").order_by("id")[:100])
        found = [(owner, list(owner.pets.all())) for owner in owners]
    return found


def prefetch_m2m(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        pets = list(M.Pet.objects.prefetch_related("tags").order_by("id")[:100])
        found = [(pet, list(pet.tags.all())) for pet in pets]
    return found


_loaded: list[Any] = []


def before_update_one(n: int) -> None:
    _loaded[:] = M.Item.objects.filter(pk__lte=n).order_by("pk")


def update_one(n: int) -> Any:
    for one in _loaded:
        one.name = "changed"
        one.stock = 7
        one.save()


def before_delete_one(n: int) -> None:
    _loaded[:] = M.Scratch.objects.filter(pk__lte=n).order_by("pk")


def delete_one(n: int) -> Any:
    for one in _loaded:
        one.delete()


def before_bulk_update(n: int) -> None:
    _loaded[:] = M.Item.objects.filter(pk__lte=1000)


def bulk_update(n: int) -> Any:
    for _ in range(n):
        for one in _loaded:
            one.stock = 100_000 + one.pk
        M.Item.objects.bulk_update(_loaded, ["stock"])


def stream(n: int) -> Any:
    total = 0
    for _ in range(n):
        for one in M.Item.objects.iterator():
            total += one.pk
    return total


def wide(n: int) -> Any:
    found: list[Any] = []
    for _ in range(n):
        found = list(M.Wide.objects.all())
    return found
