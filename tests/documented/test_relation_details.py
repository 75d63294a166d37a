"""Relations in detail: conditions on the other end, what is cached on both ends, unsaved objects, m2m_changed."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from tests.support.faces import Face, names
from tests.support.statements import statements


class Place(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_rel2"
        ordering = ["id"]


class Restaurant(dorm.Model):
    place = dorm.OneToOneField(Place, on_delete=dorm.CASCADE, primary_key=True)
    serves_pizza = dorm.BooleanField(default=False)

    class Meta:
        app_label = "doc_rel2"


class Bar(dorm.Model):
    place = dorm.OneToOneField(Place, on_delete=dorm.CASCADE, null=True)
    name = dorm.CharField(max_length=20, default="")

    class Meta:
        app_label = "doc_rel2"


class Currency(dorm.Model):
    code = dorm.CharField(max_length=3, unique=True)

    class Meta:
        app_label = "doc_rel2"


class Price(dorm.Model):
    currency = dorm.ForeignKey(Currency, on_delete=dorm.CASCADE, to_field="code", related_name="prices")

    class Meta:
        app_label = "doc_rel2"


class Desk(dorm.Model):
    label = dorm.CharField(max_length=20)
    number = dorm.IntegerField(unique=True, null=True)

    class Meta:
        app_label = "doc_rel2"


class Lamp(dorm.Model):
    desk = dorm.ForeignKey(Desk, on_delete=dorm.CASCADE, to_field="number", null=True, related_name="lamps")

    class Meta:
        app_label = "doc_rel2"


class Reporter(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_rel2"
        ordering = ["id"]


class Article(dorm.Model):
    headline = dorm.CharField(max_length=20)
    reporter = dorm.ForeignKey(Reporter, on_delete=dorm.CASCADE)
    reviewer = dorm.ForeignKey(Reporter, on_delete=dorm.SET_NULL, null=True, related_name="reviewed")
    limited = dorm.ForeignKey(
        Reporter, on_delete=dorm.CASCADE, null=True, related_name="+", limit_choices_to={"name": "Ann"}
    )

    class Meta:
        app_label = "doc_rel2"
        ordering = ["headline"]


class Toy(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_rel2"
        ordering = ["name"]


class Box(dorm.Model):
    name = dorm.CharField(max_length=20)
    toys = dorm.ManyToManyField(Toy, related_name="boxes")
    near = dorm.ManyToManyField("self")

    class Meta:
        app_label = "doc_rel2"
        ordering = ["name"]


class Group(dorm.Model):
    members = dorm.ManyToManyField(Reporter, through="Membership", related_name="groups")

    class Meta:
        app_label = "doc_rel2"


class Membership(dorm.Model):
    person = dorm.ForeignKey(Reporter, on_delete=dorm.CASCADE)
    group = dorm.ForeignKey(Group, on_delete=dorm.CASCADE)
    level = dorm.IntegerField(default=1)

    class Meta:
        app_label = "doc_rel2"


MODELS = (Place, Restaurant, Bar, Currency, Price, Desk, Lamp, Reporter, Article, Toy, Box, Group, Membership)


async def _newsroom(face: Face) -> tuple[Reporter, Reporter]:
    ann = await face(Reporter.objects.create)(name="Ann")
    bob = await face(Reporter.objects.create)(name="Bob")
    for headline, reporter in (("a1", ann), ("a2", ann), ("b1", bob)):
        await face(Article.objects.create)(headline=headline, reporter=reporter)
    return ann, bob


# -- conditions on the other end ---------------------------------------------------------------------------------
async def test_reverse_relations_take_objects_and_querysets_of_the_model_at_their_end(face: Face) -> None:
    _ann, bob = await _newsroom(face)
    first = await face(Article.objects.get)(headline="a1")
    assert names(await face.rows(Reporter.objects.filter(article=first))) == ["Ann"]
    assert names(await face.rows(Reporter.objects.filter(article__in=[first]))) == ["Ann"]
    of_bob = Article.objects.filter(reporter=bob)
    assert names(await face.rows(Reporter.objects.filter(article__in=of_bob))) == ["Bob"]
    assert names(await face.rows(Reporter.objects.exclude(article=first))) == ["Bob"]


async def test_reverse_one_to_one_that_is_the_key_takes_its_objects(face: Face) -> None:
    place = await face(Place.objects.create)(name="Demon Dogs")
    await face(Place.objects.create)(name="Ace Hardware")
    restaurant = await face(Restaurant.objects.create)(place=place)
    assert names(await face.rows(Place.objects.filter(restaurant=restaurant))) == ["Demon Dogs"]
    assert names(await face.rows(Place.objects.filter(restaurant__in=[restaurant]))) == ["Demon Dogs"]
    assert names(await face.rows(Place.objects.filter(restaurant__in=Restaurant.objects.all()))) == ["Demon Dogs"]
    assert names(await face.rows(Place.objects.filter(restaurant__place=place))) == ["Demon Dogs"]


async def test_objects_and_querysets_of_another_model_are_refused_in_every_direction(face: Face) -> None:
    ann, _ = await _newsroom(face)
    place = await face(Place.objects.create)(name="Demon Dogs")
    for wrong in (
        lambda: Article.objects.filter(reporter=place),
        lambda: Article.objects.filter(reporter__in=[place]),
        lambda: Article.objects.filter(reporter__in=Place.objects.all()),
        lambda: Article.objects.exclude(reporter__in=Place.objects.all()),
        lambda: Reporter.objects.filter(article=ann),
        lambda: Reporter.objects.filter(article__in=[ann]),
        lambda: Reporter.objects.filter(article__in=Reporter.objects.all()),
        lambda: Reporter.objects.exclude(article=ann),
        lambda: Place.objects.filter(restaurant=place),
        lambda: Place.objects.filter(restaurant__in=[place]),
        lambda: Box.objects.filter(toys=ann),
        lambda: Box.objects.filter(toys__in=Box.objects.all()),
        lambda: Toy.objects.filter(boxes__in=Toy.objects.all()),
    ):
        with pytest.raises(ValueError, match=r"Must be|Use a QuerySet"):
            await face.rows(wrong())


async def test_a_cached_plan_still_refuses_the_wrong_object(face: Face) -> None:
    _ann, bob = await _newsroom(face)
    article = await face(Article.objects.get)(headline="a1")
    for _ in range(2):
        assert names(await face.rows(Reporter.objects.filter(article=article))) == ["Ann"]
        with pytest.raises(ValueError, match='Must be "Article" instance'):
            await face.rows(Reporter.objects.filter(article=bob))


async def test_unsaved_objects_are_no_condition(face: Face) -> None:
    await face(Currency.objects.create)(code="EUR")
    for wrong in (
        lambda: Article.objects.filter(reporter=Reporter(name="new")),
        lambda: Reporter.objects.filter(article=Article()),
        lambda: Box.objects.filter(toys=Toy()),
        lambda: Price.objects.filter(currency=Currency(code="EUR")),
    ):
        with pytest.raises(ValueError, match="Save it first"):
            await face.rows(wrong())


async def test_exact_takes_a_queryset_of_one_row_only(face: Face) -> None:
    await _newsroom(face)
    one = Reporter.objects.filter(name="Ann")
    assert names(await face.rows(Article.objects.filter(reporter=one[:1])), "headline") == ["a1", "a2"]
    for several in (one, one[:2]):
        with pytest.raises(ValueError, match="limited to one result using slicing"):
            Article.objects.filter(reporter=several)


# -- one-to-one --------------------------------------------------------------------------------------------------
async def test_taking_the_object_away_is_known_at_both_ends(face: Face) -> None:
    place = await face(Place.objects.create)(name="Demon Dogs")
    bar = Bar(place=place)
    await face(bar.save)()
    with statements() as sent:
        assert place.bar is bar
        place.bar = None
        assert (bar.place, bar.place_id) == (None, None)
        with pytest.raises(Bar.DoesNotExist, match="Place has no bar"):
            place.bar
        bar.place = place
        assert place.bar is bar
        bar.place = None
        assert not hasattr(place, "bar")
    assert sent == []
    stored = await face(Bar.objects.get)(pk=bar.pk)
    assert stored.place_id == place.pk


async def test_an_assigned_object_that_is_saved_later_stays(face: Face) -> None:
    place = Place(name="new")
    bar = Bar(place=place)
    await face(place.save)()
    assert bar.place is place
    assert bar.place_id is None
    await face(bar.save)()
    assert bar.place_id == place.pk
    assert (await face(Bar.objects.get)(pk=bar.pk)).place_id == place.pk


async def test_a_key_that_is_taken_away_is_not_brought_back_by_the_cached_object(face: Face) -> None:
    _ann, bob = await _newsroom(face)
    article = await face(Article.objects.select_related("reporter").get)(headline="a1")
    article.reviewer = bob
    article.reviewer_id = None
    await face(article.save)()
    assert article.reviewer is None
    assert (await face(Article.objects.get)(headline="a1")).reviewer_id is None


async def test_unsaved_objects_are_refused_by_save_under_to_field_too(face: Face) -> None:
    for obj in (Price(currency=Currency(code="EUR")), Bar(place=Place(name="new"))):
        with pytest.raises(ValueError, match="prohibited to prevent data loss due to unsaved related object"):
            await face(obj.save)()
        with pytest.raises(ValueError, match="prohibited to prevent data loss due to unsaved related object"):
            await face(type(obj).objects.bulk_create)([obj])


async def test_a_row_without_the_object_that_is_its_key_is_refused(face: Face) -> None:
    with pytest.raises(dorm.IntegrityError):
        await face(Restaurant().save)()
    with pytest.raises(dorm.IntegrityError):
        await face(Restaurant.objects.bulk_create)([Restaurant()])
    assert await face(Restaurant.objects.count)() == 0


async def test_refresh_drops_the_reverse_object_it_names(face: Face) -> None:
    place = await face(Place.objects.create)(name="Demon Dogs")
    await face(Bar.objects.create)(place=place, name="old")
    place = await face(Place.objects.select_related("bar").get)()
    await face(Bar.objects.update)(name="new")
    assert place.bar.name == "old"
    await face(place.refresh_from_db)(fields=["bar"])
    await face(place.fetch)("bar")
    assert place.bar.name == "new"


def test_limit_choices_to_can_be_asked_for() -> None:
    field = Article._meta.get_field("limited")
    assert field.get_limit_choices_to() == {"name": "Ann"}
    assert Article._meta.get_field("reporter").get_limit_choices_to() == {}
    assert dorm.ForeignKey(Reporter, limit_choices_to=lambda: {"id": 3}).get_limit_choices_to() == {"id": 3}


# -- many-to-many ------------------------------------------------------------------------------------------------
async def test_through_defaults_do_not_change_the_ends(face: Face) -> None:
    ann, bob = await _newsroom(face)
    group = await face(Group.objects.create)()
    await face(group.members.add)(ann, through_defaults={"level": lambda: 5, "person": bob})
    rows = await face.rows(Membership.objects.values_list("person_id", "level"))
    assert rows == [(ann.pk, 5)]


async def _told(face: Face, do: Any) -> list[tuple[str, bool, str, list[Any] | None]]:
    log: list[tuple[str, bool, str, list[Any] | None]] = []

    def listen(action: str, reverse: bool, model: type[dorm.Model], pk_set: set[Any] | None, **told: object) -> None:
        log.append((action, reverse, model.__name__, None if pk_set is None else sorted(pk_set)))

    dorm.signals.m2m_changed.connect(listen)
    try:
        await do
    finally:
        dorm.signals.m2m_changed.disconnect(listen)
    return log


async def test_m2m_changed_in_order_with_the_keys_that_are_new(face: Face) -> None:
    car, doll, yoyo = [await face(Toy.objects.create)(name=name) for name in ("car", "doll", "yo-yo")]
    box = await face(Box.objects.create)(name="box")
    other = await face(Box.objects.create)(name="other")

    def both(action: str, model: str, keys: list[Any] | None, reverse: bool = False) -> list[Any]:
        return [(f"pre_{action}", reverse, model, keys), (f"post_{action}", reverse, model, keys)]

    assert await _told(face, face(box.toys.add)(car, doll)) == both("add", "Toy", [car.pk, doll.pk])
    assert await _told(face, face(box.toys.add)(car, yoyo)) == both("add", "Toy", [yoyo.pk])
    assert await _told(face, face(box.toys.add)(car)) == both("add", "Toy", [])
    assert await _told(face, face(box.toys.add)()) == []
    assert await _told(face, face(car.boxes.add)(other)) == both("add", "Box", [other.pk], True)
    assert await _told(face, face(box.toys.remove)(car, yoyo)) == both("remove", "Toy", [car.pk, yoyo.pk])
    assert await _told(face, face(box.toys.set)([car])) == [
        *both("remove", "Toy", [doll.pk]),
        *both("add", "Toy", [car.pk]),
    ]
    assert await _told(face, face(box.toys.set)([car])) == []
    assert await _told(face, face(box.toys.set)([doll], clear=True)) == [
        *both("clear", "Toy", None),
        *both("add", "Toy", [doll.pk]),
    ]
    assert await _told(face, face(box.toys.clear)()) == both("clear", "Toy", None)
    assert await _told(face, face(box.near.add)(other)) == both("add", "Box", [other.pk])


# -- what was prefetched -----------------------------------------------------------------------------------------
async def test_rows_written_through_the_manager_are_read_again(face: Face) -> None:
    await _newsroom(face)

    async def ann() -> Reporter:
        found: Reporter = await face(Reporter.objects.prefetch_related("article_set").get)(name="Ann")
        assert len(await face.rows(found.article_set.all())) == 2
        return found

    reporter = await ann()
    await face(reporter.article_set.update)(headline="new")
    assert names(await face.rows(reporter.article_set.all()), "headline") == ["new", "new"]
    reporter = await ann()
    await face(reporter.article_set.all().delete)()
    assert await face.rows(reporter.article_set.all()) == []


async def test_values_of_a_queryset_with_prefetch_give_the_rows(face: Face) -> None:
    await _newsroom(face)
    rows = Reporter.objects.prefetch_related("article_set")
    assert await face.rows(rows.values("name")) == [{"name": "Ann"}, {"name": "Bob"}]
    assert await face.rows(rows.values_list("name", flat=True)) == ["Ann", "Bob"]
    assert await face.rows(Reporter.objects.values("name").prefetch_related("article_set")) == [
        {"name": "Ann"},
        {"name": "Bob"},
    ]


async def test_rows_cannot_point_at_an_object_without_the_value_they_point_at(face: Face) -> None:
    ann = await face(Desk.objects.create)(label="left")
    assert await face.rows(ann.lamps.all()) == []
    with pytest.raises(ValueError, match='needs to have a value for field "number"'):
        await face(ann.lamps.create)()
    with pytest.raises(ValueError, match='needs to have a value for field "number"'):
        await face(ann.lamps.add)(await face(Lamp.objects.create)())
    assert await face(ann.delete)() == (1, {"doc_rel2.Desk": 1})


def test_a_many_to_many_field_tells_its_table_and_columns() -> None:
    toys, near = Box._meta.get_field("toys"), Box._meta.get_field("near")
    assert (toys.m2m_db_table(), toys.m2m_column_name(), toys.m2m_reverse_name()) == (
        "doc_rel2_box_toys",
        "box_id",
        "toy_id",
    )
    assert (toys.m2m_field_name(), toys.m2m_reverse_field_name()) == ("box", "toy")
    assert (near.m2m_column_name(), near.m2m_reverse_name()) == ("from_box_id", "to_box_id")
