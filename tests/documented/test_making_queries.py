"""The page "Making queries"."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import Count, Exists, F, FieldError, OuterRef, Q, Value
from dorm.functions import Lower
from tests.documented.blog import MODELS, Author, Blog, Dog, Entry, EntryDetail
from tests.support.faces import Face

__all__ = ["MODELS"]  # the fixture reads it


async def heads(face: Face, qs: Any) -> list[str]:
    """Return the headlines of entries, sorted."""
    return sorted([entry.headline for entry in await face.rows(qs)])


async def two_blogs(face: Face) -> tuple[Blog, Blog]:
    """Two blogs; "Pop" has one entry with both words apart from another with the year."""
    beatles = await face(Blog.objects.create)(name="Beatles Blog", tagline="All the latest")
    pop = await face(Blog.objects.create)(name="Pop Music Blog", tagline="")
    await face(Entry.objects.bulk_create)(
        [
            Entry(blog=beatles, headline="New Lennon Biography", pub_date=datetime.date(2008, 6, 1)),
            Entry(blog=beatles, headline="New Lennon Biography in Paperback", pub_date=datetime.date(2009, 6, 1)),
            Entry(blog=pop, headline="Best Albums of 2008", pub_date=datetime.date(2008, 12, 15)),
            Entry(blog=pop, headline="Lennon Would Have Loved Hip Hop", pub_date=datetime.date(2020, 4, 1)),
        ]
    )
    return beatles, pop


# -- creating and saving -------------------------------------------------------------------------------------------


async def test_saving_foreign_key_and_many_to_many(face: Face) -> None:
    blog = await face(Blog.objects.create)(name="Cheddar Talk")
    entry = await face(Entry.objects.create)(blog=blog, headline="x")
    other = await face(Blog.objects.create)(name="Other")
    entry.blog = other
    await face(entry.save)()
    joe = await face(Author.objects.create)(name="Joe")
    john = await face(Author.objects.create)(name="John")
    paul = await face(Author.objects.create)(name="Paul")
    await face(entry.authors.add)(joe)
    await face(entry.authors.add)(john, paul, joe)
    assert await face(entry.authors.count)() == 3
    found = await face(Entry.objects.select_related("blog").get)(pk=entry.pk)
    assert found.blog == other
    with pytest.raises(TypeError):
        await face(entry.authors.add)(blog)


# -- retrieving ----------------------------------------------------------------------------------------------------


async def test_manager_is_not_reachable_from_an_instance(face: Face) -> None:
    blog = Blog(name="Foo", tagline="Bar")
    with pytest.raises(AttributeError, match="Manager"):
        blog.objects


async def test_filters_chain_and_leave_their_source_alone(face: Face) -> None:
    await two_blogs(face)
    every = Entry.objects.filter(headline__startswith="New")
    without = every.exclude(pub_date__gte=datetime.date(2009, 1, 1))
    late = every.filter(pub_date__gte=datetime.date(2009, 1, 1))
    assert await heads(face, every) == ["New Lennon Biography", "New Lennon Biography in Paperback"]
    assert await heads(face, without) == ["New Lennon Biography"]
    assert await heads(face, late) == ["New Lennon Biography in Paperback"]


async def test_year_lookup_on_a_date(face: Face) -> None:
    await two_blogs(face)
    assert len(await face.rows(Entry.objects.filter(pub_date__year=2008))) == 2
    assert len(await face.rows(Entry.objects.exclude(pub_date__year=2008))) == 2
    assert len(await face.rows(Entry.objects.filter(pub_date__year__gte=2009))) == 2
    assert len(await face.rows(Entry.objects.filter(pub_date__month=6, pub_date__day=1))) == 2


async def test_slices(face: Face) -> None:
    await two_blogs(face)
    ordered = Entry.objects.order_by("pub_date")
    assert [e.pub_date.year for e in await face.rows(ordered[:2])] == [2008, 2008]
    assert [e.pub_date.year for e in await face.rows(ordered[2:4])] == [2009, 2020]
    assert [e.pub_date.year for e in await face.rows(ordered[1:4][1:])] == [2009, 2020]
    with pytest.raises(ValueError, match="Negative indexing"):
        ordered[-1]
    with pytest.raises(TypeError, match="slice"):
        ordered[:2].filter(rating=1)
    with pytest.raises(TypeError, match="slice"):
        ordered[:2].order_by("id")


async def test_step_slices_and_indexes_evaluate(empty_database: Any) -> None:
    blog = Blog.objects.create(name="b")
    for number in range(5):
        Entry.objects.create(blog=blog, headline=str(number))
    assert [e.headline for e in Entry.objects.order_by("headline")[:5:2]] == ["0", "2", "4"]
    assert Entry.objects.order_by("headline")[0].headline == "0"
    with pytest.raises(IndexError):
        Entry.objects.order_by("headline")[10]


# -- lookups -------------------------------------------------------------------------------------------------------


async def test_foreign_key_by_id_and_unknown_names(face: Face) -> None:
    beatles, _ = await two_blogs(face)
    assert len(await face.rows(Entry.objects.filter(blog_id=beatles.pk))) == 2
    assert len(await face.rows(Entry.objects.filter(blog=beatles.pk))) == 2
    assert len(await face.rows(Entry.objects.filter(blog=beatles))) == 2
    assert len(await face.rows(Entry.objects.filter(blog__id=beatles.pk))) == 2
    assert len(await face.rows(Entry.objects.filter(blog__id__exact=beatles.pk))) == 2
    assert len(await face.rows(Entry.objects.filter(blog__pk=beatles.pk))) == 2
    assert len(await face.rows(Entry.objects.filter(blog__pk__in=[beatles.pk]))) == 2
    with pytest.raises(FieldError):
        Entry.objects.filter(nonsense=1)
    with pytest.raises(FieldError):
        Entry.objects.filter(headline__nonsense=1)
    with pytest.raises(FieldError):
        Entry.objects.filter(blog__nonsense="x")


async def test_exact_iexact_contains_and_wildcards_are_literal(face: Face) -> None:
    blog = await face(Blog.objects.create)(name="BeAtlES blOG")
    await face(Entry.objects.create)(blog=blog, headline="100% under_score \\ back")
    await face(Entry.objects.create)(blog=blog, headline="100 percent")
    assert await face(Blog.objects.filter(name__iexact="beatles blog").count)() == 1
    assert await face(Blog.objects.filter(name__exact="beatles blog").count)() == 0
    assert await face(Entry.objects.filter(headline__contains="%").count)() == 1
    assert await face(Entry.objects.filter(headline__contains="r_s").count)() == 1
    assert await face(Entry.objects.filter(headline__contains="\\").count)() == 1
    assert await face(Entry.objects.filter(headline__contains="UNDER").count)() == 0
    assert await face(Entry.objects.filter(headline__icontains="UNDER").count)() == 1
    assert await face(Entry.objects.filter(headline__startswith="100%").count)() == 1
    assert await face(Entry.objects.filter(headline__iendswith="BACK").count)() == 1


async def test_lookups_that_span_relations(face: Face) -> None:
    beatles, pop = await two_blogs(face)
    lennon = await face.rows(Blog.objects.filter(entry__headline__contains="Lennon").order_by("id").distinct())
    assert lennon == [beatles, pop]
    assert await heads(face, Entry.objects.filter(blog__name="Beatles Blog")) == [
        "New Lennon Biography",
        "New Lennon Biography in Paperback",
    ]


async def test_null_along_a_path(face: Face) -> None:
    await two_blogs(face)
    ann = await face(Author.objects.create)(name="")
    entry = await face(Entry.objects.get)(headline="Best Albums of 2008")
    await face(entry.authors.add)(ann)
    # A blog without entries or authors counts as one whose author's name is NULL.
    assert await face(Blog.objects.filter(entry__authors__name__isnull=True).distinct().count)() == 2
    assert (
        await face(
            Blog.objects.filter(entry__authors__isnull=False, entry__authors__name__isnull=True).distinct().count
        )()
        == 0
    )


async def test_one_filter_call_means_one_partner_two_calls_two(face: Face) -> None:
    beatles, pop = await two_blogs(face)
    one = Blog.objects.filter(entry__headline__contains="Lennon", entry__pub_date__year=2008)
    two = Blog.objects.filter(entry__headline__contains="Lennon").filter(entry__pub_date__year=2008)
    assert await face.rows(one) == [beatles]
    # A row per pair of partners, as Django documents: two of Beatles', one of Pop's.
    assert [blog.name for blog in await face.rows(two.order_by("id"))] == [
        "Beatles Blog",
        "Beatles Blog",
        "Pop Music Blog",
    ]
    assert await face.rows(two.distinct().order_by("id")) == [beatles, pop]


async def test_exclude_over_several_partners(face: Face) -> None:
    _, pop = await two_blogs(face)
    # Conditions of exclude() need not be met by the same partner.
    without = Blog.objects.exclude(entry__headline__contains="Lennon", entry__pub_date__year=2008)
    assert await face.rows(without) == []
    nested = Blog.objects.exclude(
        entry__in=Entry.objects.filter(headline__contains="Lennon", pub_date__year=2008),
    )
    assert await face.rows(nested) == [pop]


# -- F -------------------------------------------------------------------------------------------------------------


async def test_filters_that_refer_to_fields(face: Face) -> None:
    blog = await face(Blog.objects.create)(name="Pat")
    author = await face(Author.objects.create)(name="Pat")
    await face(Entry.objects.bulk_create)(
        [
            Entry(blog=blog, headline="a", number_of_comments=4, number_of_pingbacks=1, rating=3),
            Entry(blog=blog, headline="b", number_of_comments=3, number_of_pingbacks=2, rating=5),
            Entry(blog=blog, headline="c", number_of_comments=1, number_of_pingbacks=2, rating=4),
        ]
    )
    first = await face(Entry.objects.get)(headline="a")
    await face(first.authors.add)(author)
    assert await heads(face, Entry.objects.filter(number_of_comments__gt=F("number_of_pingbacks"))) == ["a", "b"]
    assert await heads(face, Entry.objects.filter(number_of_comments__gt=F("number_of_pingbacks") * 2)) == ["a"]
    assert await heads(face, Entry.objects.filter(rating__lt=F("number_of_comments") + F("number_of_pingbacks"))) == [
        "a"
    ]
    assert await heads(face, Entry.objects.filter(authors__name=F("blog__name"))) == ["a"]
    assert (
        await heads(
            face,
            Entry.objects.filter(mod_date__gt=F("pub_date") + datetime.timedelta(days=3)),
        )
        == []
    )
    await face(Entry.objects.filter(headline="a").update)(mod_date=datetime.date(2020, 1, 5))
    assert await heads(face, Entry.objects.filter(mod_date__gt=F("pub_date") + datetime.timedelta(days=3))) == ["a"]


async def test_bit_operators(face: Face) -> None:
    blog = await face(Blog.objects.create)(name="b")
    await face(Entry.objects.create)(blog=blog, headline="x", rating=6)
    row = await face(
        Entry.objects.annotate(
            a=F("rating").bitand(3),
            o=F("rating").bitor(1),
            x=F("rating").bitxor(2),
            left=F("rating").bitleftshift(1),
            right=F("rating").bitrightshift(1),
        ).get
    )()
    assert (row.a, row.o, row.x, row.left, row.right) == (2, 7, 4, 12, 3)
    assert await face(Entry.objects.filter(rating__gt=F("rating").bitand(4)).count)() == 1


async def test_expressions_refer_to_transforms(face: Face) -> None:
    blog = await face(Blog.objects.create)(name="b")
    await face(Entry.objects.bulk_create)(
        [
            Entry(blog=blog, headline="same", pub_date="2020-05-01", mod_date="2020-07-01"),
            Entry(blog=blog, headline="other", pub_date="2019-05-01", mod_date="2020-07-01"),
            Entry(blog=blog, headline="other", pub_date="2018-05-01", mod_date="2020-07-01"),
        ]
    )
    assert await heads(face, Entry.objects.filter(pub_date__year=F("mod_date__year"))) == ["same"]
    first = await face(Entry.objects.aggregate)(first=dorm.Min("pub_date__year"))
    assert first == {"first": 2018}
    per_year = Entry.objects.values("pub_date__year").annotate(n=Count("*")).order_by("pub_date__year")
    assert await face.rows(per_year) == [
        {"pub_date__year": 2018, "n": 1},
        {"pub_date__year": 2019, "n": 1},
        {"pub_date__year": 2020, "n": 1},
    ]
    top = Entry.objects.values("pub_date__year").annotate(
        top=dorm.Subquery(
            Entry.objects.filter(pub_date__year=OuterRef("pub_date__year")).order_by("-rating").values("rating")[:1]
        )
    )
    assert {row["top"] for row in await face.rows(top)} == {5}


# -- JSON ----------------------------------------------------------------------------------------------------------


async def dogs(face: Face) -> None:
    await face(Dog.objects.create)(
        name="Rufus",
        data={
            "breed": "labrador",
            "owner": {
                "name": "Bob",
                "other_pets": [{"name": "Fishy"}],
            },
        },
    )
    await face(Dog.objects.create)(name="Meg", data={"breed": "collie", "owner": None})
    await face(Dog.objects.create)(name="Fred", data={})
    await face(Dog.objects.create)(name="Nil", data=None)
    await face(Dog.objects.create)(name="JSON null", data=Value(None, dorm.JSONField()))


async def names_of(face: Face, qs: Any) -> list[str]:
    return sorted([dog.name for dog in await face.rows(qs)])


async def test_storing_and_querying_none(face: Face) -> None:
    await dogs(face)
    assert await names_of(face, Dog.objects.filter(data__isnull=True)) == ["Nil"]
    assert await names_of(face, Dog.objects.filter(data=Value(None, dorm.JSONField()))) == ["JSON null"]
    assert await names_of(face, Dog.objects.filter(data=None)) == ["JSON null"]
    assert await names_of(face, Dog.objects.filter(data__isnull=False)) == ["Fred", "JSON null", "Meg", "Rufus"]
    assert (await face(Dog.objects.get)(name="JSON null")).data is None


async def test_key_index_and_path_transforms(face: Face) -> None:
    await dogs(face)
    assert await names_of(face, Dog.objects.filter(data__breed="collie")) == ["Meg"]
    assert await names_of(face, Dog.objects.filter(data__owner__name="Bob")) == ["Rufus"]
    assert await names_of(face, Dog.objects.filter(data__owner__other_pets__0__name="Fishy")) == ["Rufus"]
    assert await names_of(face, Dog.objects.filter(data__owner__isnull=True)) == ["Fred", "JSON null", "Nil"]
    assert await names_of(face, Dog.objects.filter(data__owner=None)) == ["Meg"]
    assert await names_of(face, Dog.objects.filter(data__breed__startswith="lab")) == ["Rufus"]
    assert await names_of(face, Dog.objects.filter(data__breed__iexact="COLLIE")) == ["Meg"]
    assert await names_of(face, Dog.objects.filter(data__breed__in=["collie", "poodle"])) == ["Meg"]
    # As Django documents: documents without the path are in neither filter() nor exclude().
    assert await names_of(face, Dog.objects.exclude(data__breed="collie")) == ["Nil", "Rufus"]


async def test_key_text_transform(face: Face) -> None:
    from dorm import KT

    await dogs(face)
    found = Dog.objects.annotate(breed=KT("data__breed"), pet=KT("data__owner__other_pets__0__name"))
    assert await names_of(face, found.filter(breed__startswith="lab", pet="Fishy")) == ["Rufus"]


async def test_keys_of_documents(face: Face) -> None:
    await dogs(face)
    assert await names_of(face, Dog.objects.filter(data__has_key="owner")) == ["Meg", "Rufus"]
    assert await names_of(face, Dog.objects.filter(data__has_keys=["breed", "owner"])) == ["Meg", "Rufus"]
    assert await names_of(face, Dog.objects.filter(data__has_any_keys=["owner", "x"])) == ["Meg", "Rufus"]
    assert await names_of(face, Dog.objects.filter(data__owner__has_key="name")) == ["Rufus"]


async def test_containment_of_documents(face: Face, backend: str) -> None:
    await dogs(face)
    if backend == "sqlite":
        with pytest.raises(dorm.NotSupportedError):
            await face.rows(Dog.objects.filter(data__contains={"breed": "collie"}))
        return
    assert await names_of(face, Dog.objects.filter(data__contains={"breed": "collie"})) == ["Meg"]
    assert await names_of(face, Dog.objects.filter(data__contained_by={"breed": "collie", "owner": None})) == [
        "Fred",
        "Meg",
    ]


# -- Q -------------------------------------------------------------------------------------------------------------


async def test_complex_lookups_with_q(face: Face) -> None:
    await two_blogs(face)
    who = Q(headline__startswith="New") | Q(headline__startswith="Best")
    assert len(await face.rows(Entry.objects.filter(who))) == 3
    assert len(await face.rows(Entry.objects.filter(Q(headline__startswith="New") & ~Q(pub_date__year=2009)))) == 1
    assert len(await face.rows(Entry.objects.filter(Q(headline__startswith="New") ^ Q(pub_date__year=2008)))) == 2
    assert len(await face.rows(Entry.objects.filter(who, headline__contains="Lennon"))) == 2
    assert len(await face.rows(Entry.objects.exclude(who))) == 1
    assert len(await face.rows(Entry.objects.filter(Q()))) == 4
    assert len(await face.rows(Entry.objects.filter(~Q(pk__in=[])))) == 4
    assert len(await face.rows(Entry.objects.filter(Q(pk__in=[])))) == 0


async def test_conditional_expressions_as_filters(face: Face) -> None:
    await two_blogs(face)
    of_2020 = Entry.objects.filter(blog=OuterRef("pk"), pub_date__year=2020)
    assert [b.name for b in await face.rows(Blog.objects.filter(Exists(of_2020)))] == ["Pop Music Blog"]
    assert [b.name for b in await face.rows(Blog.objects.filter(~Exists(of_2020)))] == ["Beatles Blog"]
    both = Blog.objects.filter(Q(name__startswith="B") | Exists(of_2020))
    assert await face(both.count)() == 2
    assert await face(Blog.objects.filter(Exists(of_2020) & Q(name__startswith="B")).count)() == 0


# -- objects -------------------------------------------------------------------------------------------------------


async def test_comparing_deleting_and_copying(face: Face) -> None:
    beatles, pop = await two_blogs(face)
    assert beatles == await face(Blog.objects.get)(pk=beatles.pk)
    assert beatles != pop
    entry = await face(Entry.objects.get)(headline="Best Albums of 2008")
    assert await face(entry.delete)() == (1, {"doc_blog.Entry": 1})
    assert await face(Entry.objects.filter(pub_date__year=2020).delete)() == (1, {"doc_blog.Entry": 1})
    beatles.pk = None
    beatles._state.adding = True
    await face(beatles.save)()
    assert await face(Blog.objects.count)() == 3


async def test_delete_follows_foreign_keys(face: Face) -> None:
    beatles, _ = await two_blogs(face)
    ann = await face(Author.objects.create)(name="Ann")
    entry = await face(Entry.objects.filter(blog=beatles).first)()
    await face(entry.authors.add)(ann)
    total, counts = await face(beatles.delete)()
    assert counts == {"doc_blog.Entry": 2, "doc_blog.Entry_authors": 1, "doc_blog.Blog": 1}
    assert total == 4
    assert await face(Author.objects.count)() == 1


async def test_updating_several_objects(face: Face) -> None:
    beatles, pop = await two_blogs(face)
    assert await face(Entry.objects.filter(pub_date__year=2008).update)(headline="Everything is the same") == 2
    assert await face(Entry.objects.update)(blog=pop) == 4
    assert await face(Entry.objects.filter(blog=beatles).count)() == 0
    assert await face(Entry.objects.update)(number_of_pingbacks=F("number_of_pingbacks") + 1) == 4
    with pytest.raises(FieldError):
        await face(Entry.objects.update)(headline=F("blog__name"))
    assert await face(Entry.objects.filter(blog__name="Pop Music Blog").update)(rating=1) == 4


# -- related objects -----------------------------------------------------------------------------------------------


async def test_related_objects_one_to_many(face: Face) -> None:
    beatles, pop = await two_blogs(face)
    assert await face(beatles.entry_set.count)() == 2
    assert await heads(face, beatles.entry_set.filter(headline__contains="Paperback")) == [
        "New Lennon Biography in Paperback"
    ]
    moved = await face(pop.entry_set.first)()
    await face(beatles.entry_set.add)(moved)
    assert await face(beatles.entry_set.count)() == 3
    made = await face(beatles.entry_set.create)(headline="made")
    assert made.blog_id == beatles.pk
    with pytest.raises(AttributeError):
        await face(beatles.entry_set.remove)(made)  # the key is not nullable


async def test_related_objects_many_to_many(face: Face) -> None:
    beatles, _ = await two_blogs(face)
    ann = await face(Author.objects.create)(name="Ann")
    entry = await face(beatles.entry_set.first)()
    await face(entry.authors.set)([ann])
    assert await face.rows(entry.authors.all()) == [ann]
    assert await face.rows(entry.authors.filter(name__contains="n")) == [ann]
    assert await face.rows(ann.entry_set.all()) == [entry]
    await face(entry.authors.set)([])
    assert await face(ann.entry_set.count)() == 0
    bob = await face(entry.authors.create)(name="Bob")
    assert await face.rows(entry.authors.all()) == [bob]
    await face(entry.authors.remove)(bob)
    await face(entry.authors.add)(ann, bob)
    await face(entry.authors.clear)()
    assert await face(entry.authors.exists)() is False


async def test_one_to_one(face: Face) -> None:
    beatles, _ = await two_blogs(face)
    entry = await face(beatles.entry_set.first)()
    detail = await face(EntryDetail.objects.create)(entry=entry, details="d")
    found = await face(Entry.objects.select_related("entrydetail").get)(pk=entry.pk)
    assert found.entrydetail == detail
    assert await face.rows(Entry.objects.filter(entrydetail=detail)) == [entry]
    assert await face.rows(Entry.objects.filter(entrydetail__details="d")) == [entry]
    other = await face(Entry.objects.select_related("entrydetail").exclude(pk=entry.pk).first)()
    with pytest.raises(EntryDetail.DoesNotExist):
        other.entrydetail
    assert not hasattr(other, "entrydetail")


async def test_ordering_by_expressions_and_relations(face: Face) -> None:
    await two_blogs(face)
    qs = Entry.objects.order_by(F("blog__name").desc(), Lower("headline").asc())
    assert [e.headline[:4] for e in await face.rows(qs)] == ["Best", "Lenn", "New ", "New "]
    assert [b.name for b in await face.rows(Blog.objects.order_by("-name"))] == ["Pop Music Blog", "Beatles Blog"]
