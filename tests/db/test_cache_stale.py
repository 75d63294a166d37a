"""Which writes make a cached result stale, by the models that its query touches; what the cache keeps apart."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm import CTE, Case, Count, Exists, F, Max, OuterRef, Q, RawSQL, Sum, Value, When, Window
from dorm.cache import get_cache
from dorm.contrib.encrypted import EncryptedCharField
from dorm.db.hooks import chain
from dorm.migrations.schema import create_tables
from tests.db.test_cache import Counter
from tests.support.faces import Face


class Loud(dorm.QuerySet[Any]):
    def loud(self) -> Any:
        return self.filter(name__startswith="L")


class LoudManager(dorm.Manager[Any]):
    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(name="Lhidden")


class Label(dorm.Model):
    name = dorm.CharField(max_length=20)

    objects: Any = LoudManager.from_queryset(Loud)()
    everything: Any = dorm.Manager()

    class Meta:
        app_label = "cache_stale"


class Place(dorm.Model):
    name = dorm.CharField(max_length=20)
    labels = dorm.ManyToManyField(Label, related_name="places")

    class Meta:
        app_label = "cache_stale"


class Cafe(Place):
    seats = dorm.IntegerField(default=1)

    class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]  # as every child declares it
        app_label = "cache_stale"


class Visit(dorm.Model):
    place = dorm.ForeignKey(Place, on_delete=dorm.CASCADE, related_name="visits")
    label = dorm.ForeignKey(Label, null=True, on_delete=dorm.SET_NULL)
    stars = dorm.IntegerField(default=3)
    guest = EncryptedCharField(max_length=30, default="")

    class Meta:
        app_label = "cache_stale"


MODELS: list[type[dorm.Model]] = [Label, Place, Cafe, Visit]


@pytest.fixture
def cached(empty_database: Any) -> Iterator[Counter]:
    dorm.configure(
        CACHES={"default": {"BACKEND": "dorm.cache.locmem.LocMemCache", "TTL": 60}},
        CACHE_SIGNING_KEY="secret",
        FIELD_ENCRYPTION_KEYS=[base64.b64encode(b"k" * 32).decode()],
    )
    create_tables(MODELS)
    counter = Counter()
    uninstall = chain.install_observer(counter.observe)
    yield counter
    uninstall()
    get_cache().delete_pattern("*")
    dorm.configure(CACHES={}, CACHE_SIGNING_KEY="")


async def fill(face: Face) -> tuple[Any, Any, Any]:
    label = await face(Label.objects.create)(name="Lx")
    cafe = await face(Cafe.objects.create)(name="cafe", seats=4)
    visit = await face(Visit.objects.create)(place=cafe, label=label, guest="Gustav")
    await face(cafe.labels.add)(label)
    return label, cafe, visit


class Stale:
    """Asks a query whether its kept result still serves."""

    def __init__(self, face: Face, cached: Counter, query: Callable[[], Any]) -> None:
        self.face, self.cached, self.query = face, cached, query

    async def __call__(self) -> bool:
        self.cached.taken()
        await self.face.rows(self.query())
        sent = self.cached.taken()
        if sent:
            await self.face.rows(self.query())
            assert self.cached.taken() == 0, "what was just read is kept"
        return sent > 0


QUERIES: dict[str, tuple[Callable[[], Any], set[str]]] = {
    # The query, and the models whose writes make it stale.
    "own": (lambda: Visit.objects.cached(), {"visit"}),
    "join": (lambda: Visit.objects.filter(place__name="cafe").cache(), {"visit", "place"}),
    "child": (lambda: Cafe.objects.cached(), {"cafe", "place"}),
    "child joined": (lambda: Visit.objects.filter(place__cafe__seats=4).cache(), {"visit", "place", "cafe"}),
    "many to many": (lambda: Place.objects.filter(labels__name="Lx").cache(), {"place", "label", "link"}),
    "excluded": (lambda: Place.objects.exclude(labels__name="no").cache(), {"place", "label", "link"}),
    "counted": (lambda: Place.objects.annotate(n=Count("visits")).cache(), {"place", "visit"}),
    "exists": (
        lambda: Place.objects.filter(Exists(Visit.objects.filter(place=OuterRef("pk"), stars=3))).cache(),
        {"place", "visit"},
    ),
    "subquery": (
        lambda: Label.objects.annotate(n=Visit.objects.filter(label=OuterRef("pk")).values("stars")[:1]).cache(),
        {"label", "visit"},
    ),
    "in": (lambda: Label.objects.filter(pk__in=Visit.objects.values("label")).cache(), {"label", "visit"}),
    "union": (
        lambda: Label.objects.values("name").union(Place.objects.values("name")).cache(),
        {"label", "place"},
    ),
    "union_with": (lambda: Label.objects.union_with((Place, {"name": "name"})).cache(), {"label", "place"}),
    "with_cte": (
        lambda: Label.objects.with_cte(v=Visit.objects.all()).filter(pk__in=RawSQL("SELECT label_id FROM v")).cache(),
        {"label", "visit"},
    ),
    # Tables that SQL of the user names.
    "raw": (
        lambda: Label.objects.filter(pk__in=RawSQL('SELECT label_id FROM "cache_stale_visit"')).cache(),
        {"label", "visit"},
    ),
    "raw cte": (
        lambda: (
            Label.objects.with_cte(v=CTE("SELECT label_id FROM cache_stale_visit JOIN cache_stale_place ON 1 = 1"))
            .filter(pk__in=RawSQL("SELECT label_id FROM v"))
            .cache()
        ),
        {"label", "visit", "place"},
    ),
    "order": (lambda: Visit.objects.order_by("label__name", "pk").cache(), {"visit", "label"}),
    "related": (lambda: Visit.objects.select_related("place__cafe").cache(), {"visit", "place", "cafe"}),
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
async def test_each_model_of_a_query(face: Face, cached: Counter, name: str) -> None:
    label, cafe, visit = await fill(face)
    query, models = QUERIES[name]
    stale = Stale(face, cached, query)
    assert await stale()
    assert not await stale()
    writes: dict[str, Callable[[], Any]] = {
        "label": lambda: face(Label.objects.filter(pk=label.pk).update)(name="Ly"),
        "place": lambda: face(Place.objects.filter(pk=cafe.pk).update)(name="other"),
        "cafe": lambda: face(Cafe.objects.filter(pk=cafe.pk).update)(seats=F("seats") + 1),
        "visit": lambda: face(Visit.objects.filter(pk=visit.pk).update)(stars=4),
        "link": lambda: face(cafe.labels.clear)(),
    }
    for model, write in writes.items():
        await write()
        assert await stale() == (model in models), f"after a write to {model}"


# What is asked of all rows together, in whatever way: the number that was written last.
STARS: dict[str, Callable[[Face], Any]] = {
    "aggregate over a join": lambda face: face(Place.objects.cached().aggregate)(it=Sum("visits__stars")),
    "aggregate over two": lambda face: face(Label.objects.cached().aggregate)(it=Max("places__visits__stars")),
    "aggregate of some": lambda face: face(Place.objects.cached().aggregate)(
        it=Sum(Case(When(visits__stars__gt=3, then="visits__stars"), default=0))
    ),
    "aggregate of a subquery": lambda face: face(Place.objects.cached().aggregate)(
        it=Max(Visit.objects.filter(place=OuterRef("pk")).lookup("stars"))
    ),
    "aggregate of written SQL": lambda face: face(Place.objects.cached().aggregate)(
        it=Max(RawSQL("(SELECT MAX(stars) FROM cache_stale_visit)", output_field=dorm.IntegerField()))
    ),
    "aggregate over a slice": lambda face: face(Place.objects.order_by("pk")[:5].cache().aggregate)(
        it=Sum("visits__stars")
    ),
    "earliest": lambda face: face(Place.objects.annotate(it=F("visits__stars")).cache().earliest)("it"),
    "last": lambda face: face(Place.objects.annotate(it=F("visits__stars")).cache().last)(),
    "values": lambda face: face(Place.objects.cached().values(it=F("visits__stars")).get)(),
    "window": lambda face: face(Place.objects.annotate(it=Window(Max("visits__stars"))).cache().first)(),
}


@pytest.mark.parametrize("name", STARS)
async def test_what_is_asked_of_all_rows(face: Face, cached: Counter, name: str) -> None:
    _, _, visit = await fill(face)
    for stars in (5, 6):
        await face(Visit.objects.filter(pk=visit.pk).update)(stars=stars)
        for statements in (1, 0):
            cached.taken()
            answer = await STARS[name](face)
            assert (answer["it"] if isinstance(answer, dict) else answer.it) == stars
            assert cached.taken() == statements


WRITES: dict[str, Callable[[Face, Any, Any, Any], Any]] = {
    "save": lambda face, label, cafe, visit: face(visit.save)(),
    "save of some": lambda face, label, cafe, visit: face(visit.save)(update_fields=["stars"]),
    "create": lambda face, label, cafe, visit: face(Visit.objects.create)(place=cafe),
    "create of a related": lambda face, label, cafe, visit: face(cafe.visits.create)(),
    "add of a related": lambda face, label, cafe, visit: face(cafe.visits.add)(visit, bulk=True),
    "bulk_create": lambda face, label, cafe, visit: face(Visit.objects.bulk_create)([Visit(place=cafe)]),
    "bulk_create of very many": lambda face, label, cafe, visit: face(Visit.objects.bulk_create)(
        [Visit(place=cafe) for _ in range(600)]
    ),
    "bulk_create over what is there": lambda face, label, cafe, visit: face(Visit.objects.bulk_create)(
        [Visit(pk=visit.pk, place=cafe, stars=9)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["stars"],
    ),
    "bulk_update_when": lambda face, label, cafe, visit: face(Visit.objects.bulk_update_when)(
        [(Q(pk=visit.pk), {"stars": 9})]
    ),
    "bulk_update": lambda face, label, cafe, visit: face(Visit.objects.bulk_update)([visit], ["stars"]),
    "get_or_create": lambda face, label, cafe, visit: face(Visit.objects.get_or_create)(place=cafe, stars=99),
    "update_or_create": lambda face, label, cafe, visit: face(Visit.objects.update_or_create)(
        place=cafe, defaults={"stars": 5}
    ),
    "update": lambda face, label, cafe, visit: face(Visit.objects.update)(stars=1),
    "update of a slice": lambda face, label, cafe, visit: face(Visit.objects.order_by("pk")[:1].update)(stars=1),
    "delete": lambda face, label, cafe, visit: face(visit.delete)(),
    "delete of many": lambda face, label, cafe, visit: face(Visit.objects.all().delete)(),
    "cascade": lambda face, label, cafe, visit: face(Place.objects.all().delete)(),
    "cascade of the child": lambda face, label, cafe, visit: face(cafe.delete)(),
    "set null": lambda face, label, cafe, visit: face(label.delete)(),
}


@pytest.mark.parametrize("name", WRITES)
async def test_every_kind_of_write(face: Face, cached: Counter, name: str) -> None:
    label, cafe, visit = await fill(face)
    stale = Stale(face, cached, QUERIES["own"][0])
    assert await stale()
    async with face.atomic():
        await WRITES[name](face, label, cafe, visit)
    assert await stale()


async def test_links_of_many_to_many(face: Face, cached: Counter) -> None:
    label, cafe, _ = await fill(face)
    stale = Stale(face, cached, QUERIES["many to many"][0])
    assert await stale()
    for write in (
        lambda: face(cafe.labels.remove)(label),
        lambda: face(cafe.labels.set)([label]),
        lambda: face(label.places.clear)(),
        lambda: face(label.places.add)(cafe),
        lambda: face(cafe.labels.create)(name="Lz"),
        lambda: face(Place.labels.through.objects.all().delete)(),
    ):
        await write()
        assert await stale()


async def test_an_error_of_a_callback_before_keeps_nothing_from_being_stale(face: Face, cached: Counter) -> None:
    label, _, _ = await fill(face)

    def broken() -> None:
        raise ZeroDivisionError

    stale = Stale(face, cached, lambda: Label.everything.filter(name="Lz").cache())
    assert await stale()
    with pytest.raises(ZeroDivisionError):
        async with face.atomic():
            await face(dorm.transaction.on_commit)(broken)
            label.name = "Lz"
            await face(label.save)()
    assert await stale()
    assert await face.rows(Label.everything.filter(name="Lz").cache()) == [label]


async def test_managers_querysets_and_parameters_are_kept_apart(face: Face, cached: Counter) -> None:
    await fill(face)
    await face(Label.objects.create)(name="Lhidden")
    for _ in range(2):
        start: Any = Label.objects.cached()
        assert [row.name for row in await face.rows(start)] == ["Lx"]
        assert [row.name for row in await face.rows(start.loud())] == ["Lx"]
        assert [row.name for row in await face.rows(Label.everything.all().order_by("pk").cache())] == [
            "Lx",
            "Lhidden",
        ]
        for number in (1, 2):
            rows = await face.rows(Label.objects.annotate(it=Value(number)).cache())
            assert [row.it for row in rows] == [number]
            rows = await face.rows(Label.objects.annotate(n=Count("visit", filter=Q(visit__stars=number + 2))).cache())
            assert [row.n for row in rows] == [2 - number]
            rows = await face.rows(
                Label.objects.annotate(it=RawSQL("%s", (number,))).values_list("it", flat=True).cache()
            )
            assert [int(it) for it in rows] == [number]
            cte = CTE("SELECT id FROM cache_stale_label WHERE id >= %s", [number])
            found = Label.objects.with_cte(c=cte).filter(pk__in=RawSQL("SELECT id FROM c")).cache()
            assert len(await face.rows(found)) == 2 - number
    manager = Label.objects
    assert manager.cached() is not manager.cached()
    assert Label.objects.all()._cache is None


async def test_personal_values_are_not_in_the_store(face: Face, cached: Counter) -> None:
    await fill(face)
    for _ in range(2):
        assert [row.guest for row in await face.rows(Visit.objects.cached())] == ["Gustav"]
    held = repr(vars(get_cache()))
    assert "Gustav" not in held


async def test_a_cache_that_fails_is_told_once_a_minute(
    face: Face, empty_database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    create_tables([Label])
    dorm.configure(CACHES={"default": {"BACKEND": "dorm.cache.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}})
    try:
        with caplog.at_level(logging.WARNING, logger="dorm.cache"):
            for number in range(3):
                assert await face.rows(Label.objects.filter(pk__gt=number).cache()) == []
        told = [
            record for record in caplog.records if record.name == "dorm.cache" and record.levelno == logging.WARNING
        ]
        assert len([record for record in told if "key" not in record.getMessage()]) <= 1
    finally:
        dorm.configure(CACHES={})


async def test_two_databases_are_two_entries(face: Face, cached: Counter, tmp_path: Path) -> None:
    dorm.configure(
        DATABASES={**dorm.settings.DATABASES, "second": {"ENGINE": "sqlite", "NAME": str(tmp_path / "second.db")}}
    )
    create_tables(MODELS, using="second")
    await fill(face)
    for _ in range(2):
        assert len(await face.rows(Label.objects.cached())) == 1
        assert len(await face.rows(Label.objects.cached().using("second"))) == 0
    cached.taken()
    await face(Label.objects.using("second").create)(name="Lz")
    cached.taken()
    assert len(await face.rows(Label.objects.cached().using("second"))) == 1
    assert cached.taken() == 1
