"""The pages "Related objects reference", "Many-to-many", "Many-to-one" and "One-to-one relationships", on_delete."""

from __future__ import annotations

import datetime

import pytest

import dorm
from tests.support.faces import Face


class Publication(dorm.Model):
    title = dorm.CharField(max_length=30)

    class Meta:
        app_label = "doc_rel"
        ordering = ["title"]

    def __str__(self) -> str:
        return self.title


class Reporter(dorm.Model):
    first_name = dorm.CharField(max_length=30)
    last_name = dorm.CharField(max_length=30)
    email = dorm.EmailField(default="")

    class Meta:
        app_label = "doc_rel"

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"


class Article(dorm.Model):
    headline = dorm.CharField(max_length=100)
    pub_date = dorm.DateField(default=datetime.date(2005, 7, 27))
    reporter = dorm.ForeignKey(Reporter, on_delete=dorm.CASCADE, null=True)
    publications = dorm.ManyToManyField(Publication)

    class Meta:
        app_label = "doc_rel"
        ordering = ["headline"]

    def __str__(self) -> str:
        return self.headline


class Place(dorm.Model):
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "doc_rel"


class Restaurant(dorm.Model):
    place = dorm.OneToOneField(Place, on_delete=dorm.CASCADE, primary_key=True)
    serves_pizza = dorm.BooleanField(default=False)

    class Meta:
        app_label = "doc_rel"


class Waiter(dorm.Model):
    restaurant = dorm.ForeignKey(Restaurant, on_delete=dorm.CASCADE)
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "doc_rel"


class Artist(dorm.Model):
    name = dorm.CharField(max_length=10)

    class Meta:
        app_label = "doc_rel"


class Album(dorm.Model):
    artist = dorm.ForeignKey(Artist, on_delete=dorm.CASCADE)

    class Meta:
        app_label = "doc_rel"


class Song(dorm.Model):
    artist = dorm.ForeignKey(Artist, on_delete=dorm.CASCADE)
    album = dorm.ForeignKey(Album, on_delete=dorm.RESTRICT)

    class Meta:
        app_label = "doc_rel"


class Owner(dorm.Model):
    name = dorm.CharField(max_length=10, unique=True)

    class Meta:
        app_label = "doc_rel"


def fallback() -> Owner:
    """Return the owner that orphans get."""
    return Owner.objects.get(name="nobody")


class Car(dorm.Model):
    owner = dorm.ForeignKey(Owner, on_delete=dorm.PROTECT, null=True, related_name="cars")
    spare = dorm.ForeignKey(Owner, on_delete=dorm.SET_NULL, null=True, related_name="+")
    garage = dorm.ForeignKey(Owner, on_delete=dorm.SET_DEFAULT, default=1, null=True, related_name="garages")
    former = dorm.ForeignKey(Owner, on_delete=dorm.SET(None), null=True, related_name="formers")
    label = dorm.ForeignKey(
        Owner, on_delete=dorm.CASCADE, to_field="name", null=True, related_name="labels", related_query_name="tag"
    )

    class Meta:
        app_label = "doc_rel"


class Node(dorm.Model):
    parent = dorm.ForeignKey("self", on_delete=dorm.CASCADE, null=True, related_name="children")
    follows = dorm.ManyToManyField("self", symmetrical=False, related_name="followers")

    class Meta:
        app_label = "doc_rel"


MODELS = (
    Publication,
    Reporter,
    Article,
    Place,
    Restaurant,
    Waiter,
    Artist,
    Album,
    Song,
    Owner,
    Car,
    Node,
)


# -- many to many --------------------------------------------------------------------------------------------------


async def publications(face: Face) -> tuple[Article, Article, Publication, Publication, Publication]:
    p1 = await face(Publication.objects.create)(title="The Python Journal")
    p2 = await face(Publication.objects.create)(title="Science News")
    p3 = await face(Publication.objects.create)(title="Science Weekly")
    a1 = await face(Article.objects.create)(headline="Build apps easily")
    await face(a1.publications.add)(p1)
    a2 = await face(Article.objects.create)(headline="NASA uses Python")
    await face(a2.publications.add)(p1, p2)
    await face(a2.publications.add)(p3)
    return a1, a2, p1, p2, p3


async def test_many_to_many_needs_saved_ends(face: Face) -> None:
    article = Article(headline="x")
    publication = await face(Publication.objects.create)(title="p")
    with pytest.raises(ValueError, match="needs to have a value for field"):
        await face(article.publications.add)(publication)
    await face(article.save)()
    with pytest.raises(ValueError):
        await face(article.publications.add)(Publication(title="unsaved"))
    with pytest.raises(TypeError):
        await face(article.publications.add)(article)
    with pytest.raises(TypeError, match="set"):
        article.publications = [publication]


async def test_many_to_many_queries_both_ways(face: Face) -> None:
    a1, a2, p1, p2, p3 = await publications(face)
    await face(a2.publications.add)(p3)
    assert await face.rows(a2.publications.all()) == [p2, p3, p1]
    made = await face(a2.publications.create)(title="Highlights for Adults")
    assert await face.rows(made.article_set.all()) == [a2]
    assert await face.rows(p1.article_set.all()) == [a1, a2]
    assert await face.rows(Article.objects.filter(publications__id=p1.pk)) == [a1, a2]
    assert await face.rows(Article.objects.filter(publications=p1.pk)) == [a1, a2]
    assert await face.rows(Article.objects.filter(publications__title__startswith="Science")) == [a2, a2]
    assert await face.rows(Article.objects.filter(publications__title__startswith="Science").distinct()) == [a2]
    assert await face(Article.objects.filter(publications__title__startswith="Science").count)() == 2
    assert await face(Article.objects.filter(publications__title__startswith="Science").distinct().count)() == 1
    assert await face.rows(Article.objects.filter(publications__in=[p1, p2]).distinct()) == [a1, a2]
    assert await face.rows(Publication.objects.filter(article__headline__startswith="NASA").order_by("id")) == [
        p1,
        p2,
        p3,
        made,
    ]
    assert await face.rows(Publication.objects.filter(article=a1)) == [p1]
    assert await face.rows(Publication.objects.filter(article__in=[a1, a2]).distinct().order_by("id")) == [
        p1,
        p2,
        p3,
        made,
    ]
    assert await face.rows(Article.objects.exclude(publications=p2)) == [a1]
    assert await face.rows(Article.objects.exclude(publications__title__contains="zzz")) == [a1, a2]


async def test_deleting_an_end_removes_its_links(face: Face) -> None:
    a1, a2, p1, _, _ = await publications(face)
    await face(p1.delete)()
    assert await face.rows(a1.publications.all()) == []
    await face(a2.delete)()
    assert await face(Publication.objects.filter(article__isnull=False).count)() == 0


async def test_set_and_clear(face: Face) -> None:
    _, a2, p1, p2, p3 = await publications(face)
    await face(a2.publications.set)([p3])
    assert await face.rows(a2.publications.all()) == [p3]
    await face(a2.publications.set)([p1.pk, p2.pk], clear=True)
    assert await face.rows(a2.publications.all()) == [p2, p1]
    await face(p1.article_set.clear)()
    assert await face.rows(a2.publications.all()) == [p2]
    await face(a2.publications.remove)(p2.pk)
    assert await face(a2.publications.count)() == 0
    await face(a2.publications.add)(p1.pk, p1)
    assert await face(a2.publications.count)() == 1


async def test_get_or_create_through_a_relation(face: Face) -> None:
    a1, _, _, _, _ = await publications(face)
    _, created = await face(a1.publications.get_or_create)(title="New")
    assert created
    _, created = await face(a1.publications.get_or_create)(title="New")
    assert not created
    made, created = await face(a1.publications.update_or_create)(title="New", defaults={"title": "Newer"})
    assert (made.title, created) == ("Newer", False)


async def test_unsymmetrical_self_relation(face: Face) -> None:
    one, two = await face(Node.objects.create)(), await face(Node.objects.create)()
    await face(one.follows.add)(two)
    assert await face.rows(two.follows.all()) == []
    assert await face.rows(two.followers.all()) == [one]
    assert await face.rows(Node.objects.filter(followers=one)) == [two]


# -- many to one ---------------------------------------------------------------------------------------------------


async def test_many_to_one(face: Face) -> None:
    john = await face(Reporter.objects.create)(first_name="John", last_name="Smith")
    paul = await face(Reporter.objects.create)(first_name="Paul", last_name="Jones")
    article = await face(Article.objects.create)(headline="This is a test", reporter=john)
    assert article.reporter_id == john.pk
    made = await face(john.article_set.create)(headline="John's second story")
    assert made.reporter == john
    third = Article(headline="Paul's story")
    await face(john.article_set.add)(third, bulk=False)
    assert third.reporter == john
    await face(paul.article_set.add)(third)
    assert await face(john.article_set.count)() == 2
    assert await face.rows(paul.article_set.all()) == [third]
    with pytest.raises(TypeError):
        await face(john.article_set.add)(paul)
    with pytest.raises(ValueError, match=r"unsaved|isn't saved"):
        await face(john.article_set.add)(Article(headline="new"))
    assert await face(Article.objects.filter(reporter__first_name="John", reporter__last_name="Smith").count)() == 2
    assert await face(Article.objects.filter(reporter__in=[john.pk]).count)() == 2
    johns = Reporter.objects.filter(first_name="John")
    assert await face(Article.objects.filter(reporter__in=johns).count)() == 2
    assert await face(Reporter.objects.filter(article__pk=article.pk).count)() == 1
    assert await face(Reporter.objects.filter(article__headline__startswith="John").count)() == 1
    assert await face(Reporter.objects.filter(article__isnull=True).count)() == 0
    await face(john.article_set.remove)(made)
    assert (await face(Article.objects.get)(pk=made.pk)).reporter_id is None
    with pytest.raises(Reporter.DoesNotExist):
        await face(john.article_set.remove)(third)
    await face(john.article_set.set)([third])
    assert await face.rows(john.article_set.all()) == [third]
    await face(john.article_set.clear)()
    assert await face(john.article_set.count)() == 0


async def test_values_over_a_foreign_key(face: Face) -> None:
    john = await face(Reporter.objects.create)(first_name="John", last_name="Smith")
    await face(Article.objects.create)(headline="x", reporter=john)
    await face(Article.objects.create)(headline="y")
    rows = Article.objects.values_list("reporter__first_name", "headline").order_by("headline")
    assert await face.rows(rows) == [("John", "x"), (None, "y")]
    assert await face(Article.objects.filter(reporter=None).count)() == 1
    assert await face(Article.objects.exclude(reporter__first_name="John").count)() == 1
    assert await face(Article.objects.filter(reporter__first_name__isnull=True).count)() == 1


async def test_unsaved_instance_of_a_reverse_relation(face: Face) -> None:
    with pytest.raises(ValueError, match=r"primary key value|needs to have a primary key"):
        await face.rows(Reporter(first_name="x").article_set.all())


# -- one to one ----------------------------------------------------------------------------------------------------


async def test_one_to_one(face: Face) -> None:
    p1 = await face(Place.objects.create)(name="Demon Dogs")
    p2 = await face(Place.objects.create)(name="Ace Hardware")
    rest = await face(Restaurant.objects.create)(place=p1, serves_pizza=True)
    assert rest.pk == p1.pk
    assert rest.place == p1
    assert (await face(Place.objects.select_related("restaurant").get)(pk=p1.pk)).restaurant == rest
    loaded = await face(Place.objects.select_related("restaurant").get)(pk=p2.pk)
    assert not hasattr(loaded, "restaurant")
    with pytest.raises(Place.restaurant.RelatedObjectDoesNotExist):
        loaded.restaurant
    rest.place = p2
    await face(rest.save)()
    assert await face(Restaurant.objects.count)() == 2
    p1.restaurant = rest
    assert rest.place == p1
    assert await face(Place.objects.filter(restaurant__serves_pizza=True).count)() == 2
    assert await face(Restaurant.objects.filter(place__name__startswith="Demon").count)() == 1
    assert await face(Restaurant.objects.filter(place=p1).count)() == 1
    assert await face(Restaurant.objects.filter(pk=p1.pk).count)() == 1
    await face(Waiter.objects.create)(restaurant=rest, name="Joe")
    assert await face(Waiter.objects.filter(restaurant__place=p1).count)() == 1
    assert await face(Waiter.objects.filter(restaurant__place__name__startswith="Demon").count)() == 1
    with pytest.raises(ValueError):
        await face(Restaurant(place=Place(name="unsaved")).save)()


async def test_one_to_one_is_unique(face: Face) -> None:
    place = await face(Place.objects.create)(name="x")
    await face(Restaurant.objects.create)(place=place)
    with pytest.raises(dorm.IntegrityError):
        await face(Restaurant.objects.create)(place=place)


# -- on_delete -----------------------------------------------------------------------------------------------------


async def test_restrict_gives_way_to_a_cascade_of_the_same_delete(face: Face) -> None:
    artist = await face(Artist.objects.create)(name="one")
    other = await face(Artist.objects.create)(name="two")
    album = await face(Album.objects.create)(artist=artist)
    foreign = await face(Album.objects.create)(artist=other)
    await face(Song.objects.create)(artist=artist, album=album)
    await face(Song.objects.create)(artist=artist, album=foreign)
    with pytest.raises(dorm.RestrictedError) as caught:
        await face(album.delete)()
    assert len(caught.value.restricted_objects) == 1
    with pytest.raises(dorm.RestrictedError):
        await face(other.delete)()
    _total, counts = await face(artist.delete)()
    assert counts == {"doc_rel.Song": 2, "doc_rel.Album": 1, "doc_rel.Artist": 1}


async def test_every_rule_of_deletion(face: Face) -> None:
    default = await face(Owner.objects.create)(pk=1, name="default")
    owner = await face(Owner.objects.create)(pk=2, name="owner")
    car = await face(Car.objects.create)(owner=owner, spare=owner, garage=owner, former=owner)
    with pytest.raises(dorm.ProtectedError) as caught:
        await face(owner.delete)()
    assert set(caught.value.protected_objects) == {car}
    car.owner = None
    await face(car.save)()
    await face(owner.delete)()
    car = await face(Car.objects.get)()
    assert (car.spare_id, car.garage_id, car.former_id) == (None, default.pk, None)


async def test_to_field_and_related_query_name(face: Face) -> None:
    owner = await face(Owner.objects.create)(name="tagged")
    car = await face(Car.objects.create)(label=owner)
    assert car.label_id == "tagged"
    assert await face.rows(owner.labels.all()) == [car]
    assert await face.rows(Owner.objects.filter(tag=car)) == [owner]
    assert await face.rows(Car.objects.filter(label__name="tagged")) == [car]
    assert await face.rows(Car.objects.filter(label="tagged")) == [car]
    assert await face.rows(Car.objects.filter(label=owner)) == [car]
    with pytest.raises(dorm.FieldError):
        Owner.objects.filter(labels=car)
    loaded = await face(Car.objects.select_related("label").get)()
    assert loaded.label == owner
    fetched = await face.rows(Car.objects.prefetch_related("label"))
    assert fetched[0].label == owner
    await face(owner.delete)()
    assert await face(Car.objects.count)() == 0


async def test_recursive_cascade_and_paths(face: Face) -> None:
    root = await face(Node.objects.create)()
    child = await face(Node.objects.create)(parent=root)
    leaf = await face(Node.objects.create)(parent=child)
    assert await face.rows(Node.objects.filter(parent__parent=root)) == [leaf]
    assert await face.rows(Node.objects.filter(children__children=leaf)) == [root]
    assert await face.rows(root.children.all()) == [child]
    assert await face.rows(Node.objects.filter(parent__isnull=True)) == [root]
    _total, counts = await face(root.delete)()
    assert counts == {"doc_rel.Node": 3}


async def test_a_missing_target_is_refused_at_the_end_of_the_transaction(face: Face) -> None:
    with pytest.raises(dorm.IntegrityError):
        async with face.atomic():
            await face(Waiter.objects.create)(restaurant_id=12345, name="x")
    assert await face(Waiter.objects.count)() == 0
