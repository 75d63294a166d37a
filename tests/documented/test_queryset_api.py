"""The page "QuerySet API reference"."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import pytest

import dorm
from dorm import Count, F, FieldError, Max, Prefetch, Q, Value
from dorm.functions import Lower
from tests.documented.blog import MODELS, Author, Blog, Entry, EntryDetail
from tests.support.faces import Face

__all__ = ["MODELS"]  # the fixture reads it


async def fill(face: Face) -> list[Entry]:
    """Blogs a (entries 1, 2, 3) and b (entry 4); authors Ann (1, 2) and Bob (2)."""
    a = await face(Blog.objects.create)(name="a", tagline="ta")
    b = await face(Blog.objects.create)(name="b", tagline="tb")
    ann = await face(Author.objects.create)(name="Ann", email="ann@x.org")
    bob = await face(Author.objects.create)(name="Bob")
    made = []
    for number, blog in ((1, a), (2, a), (3, a), (4, b)):
        made.append(
            await face(Entry.objects.create)(
                blog=blog,
                headline=f"e{number}",
                pub_date=datetime.date(2020, number, 10),
                mod_date=datetime.date(2021, 1, number),
                rating=number,
            )
        )
    await face(made[0].authors.add)(ann)
    await face(made[1].authors.add)(ann, bob)
    return made


async def heads(face: Face, qs: Any) -> list[str]:
    return [entry.headline for entry in await face.rows(qs)]


# -- methods that return new querysets -----------------------------------------------------------------------------


async def test_order_by(face: Face) -> None:
    await fill(face)
    assert await heads(face, Entry.objects.order_by("-pub_date", "headline")) == ["e4", "e3", "e2", "e1"]
    assert await heads(face, Entry.objects.order_by("blog__name", "-rating")) == ["e3", "e2", "e1", "e4"]
    assert sorted(await heads(face, Entry.objects.order_by("?"))) == ["e1", "e2", "e3", "e4"]
    assert await heads(face, Entry.objects.order_by("headline").order_by("-rating")) == ["e4", "e3", "e2", "e1"]
    assert await heads(face, Entry.objects.order_by(F("rating").desc())) == ["e4", "e3", "e2", "e1"]
    assert Entry.objects.order_by("pk").ordered is True
    assert Entry.objects.order_by().ordered is False
    assert Entry.objects.all().ordered is False
    assert await heads(face, Entry.objects.order_by("rating").reverse()[:2]) == ["e4", "e3"]
    with pytest.raises(FieldError):
        Entry.objects.order_by("nonsense")


async def test_distinct(face: Face, backend: str) -> None:
    await fill(face)
    assert await face(Blog.objects.filter(entry__rating__gt=0).count)() == 4
    assert await face(Blog.objects.filter(entry__rating__gt=0).distinct().count)() == 2
    on = Entry.objects.order_by("blog", "-rating").distinct("blog")
    if backend == "postgresql":
        assert await heads(face, on) == ["e3", "e4"]
    else:
        with pytest.raises(dorm.NotSupportedError):
            await face.rows(on)


async def test_values(face: Face) -> None:
    entries = await fill(face)
    blog = entries[0].blog
    assert await face.rows(Blog.objects.filter(name="a").values()) == [{"id": blog.pk, "name": "a", "tagline": "ta"}]
    assert await face.rows(Blog.objects.order_by("id").values(lower_name=Lower("name"))) == [
        {"lower_name": "a"},
        {"lower_name": "b"},
    ]
    first = Entry.objects.filter(headline="e1")
    assert await face.rows(first.values("blog_id")) == [{"blog_id": blog.pk}]
    assert await face.rows(first.values("blog")) == [{"blog": blog.pk}]
    assert await face.rows(first.values("blog__name", "pk")) == [{"blog__name": "a", "pk": entries[0].pk}]
    assert await face.rows(Blog.objects.order_by("id").values("entry__authors__name").distinct()[:9])
    many = Blog.objects.filter(name="a").order_by("entry__headline", "entry__authors__name")
    assert await face.rows(many.values_list("entry__headline", "entry__authors__name")) == [
        ("e1", "Ann"),
        ("e2", "Ann"),
        ("e2", "Bob"),
        ("e3", None),
    ]
    assert await face.rows(Blog.objects.values("name").order_by("name").filter(name="b")) == [{"name": "b"}]
    with pytest.raises(FieldError):
        Blog.objects.values("nope")
    counted = Blog.objects.annotate(n=Count("entry")).values("name", "n").order_by("name")
    assert await face.rows(counted) == [{"name": "a", "n": 3}, {"name": "b", "n": 1}]
    with pytest.raises(TypeError):
        Blog.objects.values().select_related("x")


async def test_values_list(face: Face) -> None:
    entries = await fill(face)
    qs = Entry.objects.order_by("id")
    assert await face.rows(qs.values_list("id", "headline")) == [(e.pk, e.headline) for e in entries]
    assert await face.rows(qs.values_list("id", Lower("headline"))) == [(e.pk, e.headline) for e in entries]
    assert await face.rows(qs.values_list("id", flat=True)) == [e.pk for e in entries]
    named = await face.rows(qs.values_list("id", "headline", named=True))
    assert (named[0].headline, named[0]._fields, type(named[0]).__name__) == ("e1", ("id", "headline"), "Row")
    with pytest.raises(TypeError, match="flat"):
        qs.values_list("id", "headline", flat=True)
    with pytest.raises(TypeError, match="together"):
        qs.values_list("id", flat=True, named=True)
    assert await face(qs.values_list("headline", flat=True).get)(pk=entries[0].pk) == "e1"
    assert await face(qs.values_list("headline", flat=True).first)() == "e1"
    assert len((await face.rows(qs.values_list()))[0]) == len(Entry._meta.fields)


async def test_dates_and_datetimes(face: Face) -> None:
    await fill(face)
    assert await face.rows(Entry.objects.dates("pub_date", "year")) == [datetime.date(2020, 1, 1)]
    assert await face.rows(Entry.objects.dates("pub_date", "month", order="DESC")) == [
        datetime.date(2020, month, 1) for month in (4, 3, 2, 1)
    ]
    assert await face.rows(Entry.objects.filter(rating=1).dates("pub_date", "day")) == [datetime.date(2020, 1, 10)]
    assert await face.rows(Entry.objects.filter(rating=1).dates("pub_date", "week")) == [datetime.date(2020, 1, 6)]
    with pytest.raises(ValueError):
        Entry.objects.dates("pub_date", "hour")
    with pytest.raises(ValueError):
        Entry.objects.dates("pub_date", "year", order="up")
    with pytest.raises((TypeError, ValueError)):
        Entry.objects.dates("headline", "year")


async def test_none(face: Face) -> None:
    await fill(face)
    assert await face.rows(Entry.objects.none()) == []
    assert await face(Entry.objects.none().count)() == 0
    assert await face.rows(Entry.objects.none().filter(rating=1)) == []
    assert await face(Entry.objects.none().update)(rating=1) == 0
    assert await face(Entry.objects.none().delete)() == (0, {})
    assert await heads(face, (Entry.objects.none() | Entry.objects.filter(rating=1))) == ["e1"]
    assert await face.rows(Entry.objects.none() & Entry.objects.all()) == []


async def test_combinations(face: Face) -> None:
    await fill(face)
    low, high = Entry.objects.filter(rating__lte=2), Entry.objects.filter(rating__gte=2)
    assert await heads(face, low.union(high).order_by("headline")) == ["e1", "e2", "e3", "e4"]
    assert await face(low.union(high, all=True).count)() == 5
    assert await heads(face, low.intersection(high)) == ["e2"]
    assert await heads(face, low.difference(high)) == ["e1"]
    assert await heads(face, low.union(high).order_by("-rating")[:2]) == ["e4", "e3"]
    assert await face(low.union(high).exists)() is True
    names = Author.objects.values_list("name").union(Blog.objects.values_list("name")).order_by("name")
    assert await face.rows(names) == [("Ann",), ("Bob",), ("a",), ("b",)] or await face.rows(names) == [
        ("a",),
        ("Ann",),
        ("b",),
        ("Bob",),
    ]
    assert await face.rows(low.union(high).values_list("headline", flat=True).order_by("headline")) == [
        "e1",
        "e2",
        "e3",
        "e4",
    ]
    for refused in ("filter", "exclude", "annotate", "update", "delete", "distinct", "select_related", "defer"):
        with pytest.raises(dorm.NotSupportedError, match="union"):
            method = getattr(low.union(high), refused)
            if refused in ("update", "delete"):
                await face(method)(**({"rating": 1} if refused == "update" else {}))
            elif refused in ("filter", "exclude"):
                method(rating=1)
            elif refused == "annotate":
                method(n=Count("pk"))
            else:
                method(*(["blog"] if refused in ("select_related", "defer") else []))


async def test_or_and_xor_of_querysets(face: Face) -> None:
    await fill(face)
    low, high = Entry.objects.filter(rating__lte=2), Entry.objects.filter(rating__gte=2)
    assert await heads(face, (low | high).order_by("headline")) == ["e1", "e2", "e3", "e4"]
    assert await heads(face, low & high) == ["e2"]
    assert await heads(face, (low ^ high).order_by("headline")) == ["e1", "e3", "e4"]
    with pytest.raises(TypeError):
        low & Blog.objects.all()
    with pytest.raises(TypeError):
        low & high[:1]
    assert await heads(face, (low | high.order_by("-rating")[:1]).order_by("headline")) == ["e1", "e2", "e4"]
    assert await heads(
        face, (Entry.objects.filter(authors__name="Bob") | Entry.objects.filter(rating=4)).order_by("id")
    ) == ["e2", "e4"]


async def test_select_related(face: Face) -> None:
    entries = await fill(face)
    await face(EntryDetail.objects.create)(entry=entries[0])
    detail = await face(EntryDetail.objects.select_related("entry__blog").get)()
    assert detail.entry.blog.name == "a"
    with pytest.raises(FieldError):
        await face.rows(Entry.objects.select_related("authors"))
    with pytest.raises(FieldError):
        await face.rows(Entry.objects.select_related("headline"))
    every = await face(EntryDetail.objects.select_related().get)()
    assert every.entry.blog.name == "a"


async def test_prefetch_related(face: Face) -> None:
    await fill(face)
    blogs = await face.rows(Blog.objects.order_by("id").prefetch_related("entry_set__authors"))
    assert [[sorted(x.name for x in e.authors.all()) for e in b.entry_set.all()] for b in blogs] == [
        [["Ann"], ["Ann", "Bob"], []],
        [[]],
    ]
    rated = Prefetch("entry_set", queryset=Entry.objects.filter(rating__gte=2).order_by("-rating"), to_attr="rated")
    blogs = await face.rows(Blog.objects.order_by("id").prefetch_related(rated))
    assert [[e.headline for e in b.rated] for b in blogs] == [["e3", "e2"], ["e4"]]
    top = Prefetch("entry_set", queryset=Entry.objects.order_by("-rating")[:1], to_attr="top")
    blogs = await face.rows(Blog.objects.order_by("id").prefetch_related(top))
    assert [[e.headline for e in b.top] for b in blogs] == [["e3"], ["e4"]]
    with pytest.raises(AttributeError):
        await face.rows(Blog.objects.prefetch_related("nothing"))
    with pytest.raises(ValueError):
        await face.rows(Blog.objects.prefetch_related("name"))
    with pytest.raises(ValueError, match="lookup was already seen"):
        await face.rows(
            Blog.objects.prefetch_related("entry_set__authors", Prefetch("entry_set", queryset=Entry.objects.all()))
        )
    entries = await face.rows(Entry.objects.prefetch_related("blog"))
    assert {e.blog.name for e in entries} == {"a", "b"}


async def test_defer_and_only(face: Face) -> None:
    await fill(face)
    entry = await face(Entry.objects.defer("headline", "body_text").get)(rating=1)
    assert entry.get_deferred_fields() == {"headline", "body_text"}
    entry = await face(Entry.objects.defer("body_text").filter(rating=1).defer("headline").get)()
    assert entry.get_deferred_fields() == {"headline", "body_text"}
    entry = await face(Entry.objects.defer("headline").defer(None).get)(rating=1)
    assert entry.get_deferred_fields() == set()
    for whole in (Entry.objects.only(), Entry.objects.defer("rating").only(), Entry.objects.only("rating").only()):
        assert (await face(whole.get)(rating=1)).get_deferred_fields() == set()
    entry = await face(Entry.objects.only("headline").get)(rating=1)
    assert "rating" in entry.get_deferred_fields()
    assert "headline" not in entry.get_deferred_fields()
    entry = await face(Entry.objects.only("body_text", "rating").only("headline").get)(rating=1)
    assert "body_text" in entry.get_deferred_fields()
    entry = await face(Entry.objects.only("headline", "body_text").defer("body_text").get)(rating=1)
    assert "body_text" in entry.get_deferred_fields()
    entry = await face(Entry.objects.defer("body_text").only("headline", "body_text").get)(rating=1)
    assert "headline" not in entry.get_deferred_fields()
    joined = await face(Entry.objects.select_related("blog").only("headline", "blog__name").get)(rating=1)
    assert joined.blog.get_deferred_fields() == {"tagline"}
    joined = await face(Entry.objects.select_related("blog").defer("blog__tagline").get)(rating=1)
    assert joined.blog.get_deferred_fields() == {"tagline"}
    with pytest.raises(FieldError):
        await face.rows(Entry.objects.select_related("blog").defer("blog"))
    with pytest.raises(TypeError):
        Entry.objects.only(None)
    with pytest.raises(dorm.FieldDoesNotExist):
        await face.rows(Entry.objects.only("nope"))


async def test_raw(face: Face) -> None:
    await fill(face)
    rows = await face.rows(Blog.objects.raw("SELECT * FROM doc_blog_blog ORDER BY id"))
    assert [b.name for b in rows] == ["a", "b"]
    rows = await face.rows(Blog.objects.raw("SELECT id, name, 1 + 1 AS two FROM doc_blog_blog WHERE name = %s", ["b"]))
    assert [(b.name, b.two, b.get_deferred_fields()) for b in rows] == [("b", 2, {"tagline"})]
    rows = await face.rows(
        Blog.objects.raw(
            "SELECT id AS pk1, name AS n FROM doc_blog_blog WHERE name = %(name)s",
            {"name": "a"},
            translations={"pk1": "id", "n": "name"},
        )
    )
    assert [b.name for b in rows] == ["a"]
    with pytest.raises(dorm.FieldDoesNotExist):
        await face.rows(Blog.objects.raw("SELECT name FROM doc_blog_blog"))


# -- methods that do not return querysets --------------------------------------------------------------------------


async def test_get(face: Face) -> None:
    await fill(face)
    with pytest.raises(Entry.DoesNotExist):
        await face(Entry.objects.get)(rating=99)
    with pytest.raises(Entry.MultipleObjectsReturned):
        await face(Entry.objects.get)(rating__lt=3)
    assert (await face(Entry.objects.filter(rating=1).get)()).headline == "e1"
    with pytest.raises(dorm.ObjectDoesNotExist):
        await face(Blog.objects.get)(name="zzz")


async def test_get_or_create(face: Face) -> None:
    ann, created = await face(Author.objects.get_or_create)(name="Ann", defaults={"email": "x@x.org"})
    assert created
    assert ann.email == "x@x.org"
    again, created = await face(Author.objects.get_or_create)(name="Ann", defaults={"email": "y@x.org"})
    assert (again, created, again.email) == (ann, False, "x@x.org")
    made, created = await face(Author.objects.get_or_create)(
        name__iexact="ZED", defaults={"name": lambda: "Zed", "email": "z@x.org"}
    )
    assert created
    assert made.name == "Zed"
    _found, created = await face(Author.objects.filter(Q(name="Zed") | Q(email="nobody")).get_or_create)(
        email="z@x.org", defaults={"name": "x"}
    )
    assert not created
    with pytest.raises(FieldError):
        await face(Author.objects.get_or_create)(nope=1)
    with pytest.raises(FieldError):
        await face(Author.objects.get_or_create)(name="q", defaults={"nope": 1})


async def test_update_or_create(face: Face) -> None:
    one, created = await face(Author.objects.update_or_create)(name="Ann", defaults={"email": "a@x.org"})
    assert created
    two, created = await face(Author.objects.update_or_create)(name="Ann", defaults={"email": lambda: "b@x.org"})
    assert (two, created, two.email) == (one, False, "b@x.org")
    three, created = await face(Author.objects.update_or_create)(
        name="New", defaults={"email": "u@x.org"}, create_defaults={"email": "c@x.org"}
    )
    assert (created, three.email) == (True, "c@x.org")
    three, created = await face(Author.objects.update_or_create)(
        name="New", defaults={"email": "u@x.org"}, create_defaults={"email": "c@x.org"}
    )
    assert (created, three.email) == (False, "u@x.org")


async def test_bulk_create(face: Face) -> None:
    blog = await face(Blog.objects.create)(name="b")
    made = await face(Entry.objects.bulk_create)([Entry(blog=blog, headline=f"h{i}") for i in range(7)], batch_size=3)
    assert [e.pk is not None for e in made] == [True] * 7
    assert await face(Entry.objects.count)() == 7
    assert await face(Blog.objects.bulk_create)([]) == []
    same = [Blog(pk=blog.pk, name="changed"), Blog(pk=blog.pk + 1, name="new")]
    await face(Blog.objects.bulk_create)(same, ignore_conflicts=True)
    assert sorted(await face.rows(Blog.objects.values_list("name", flat=True))) == ["b", "new"]
    await face(Blog.objects.bulk_create)(
        [Blog(pk=blog.pk, name="changed")], update_conflicts=True, unique_fields=["id"], update_fields=["name"]
    )
    assert (await face(Blog.objects.get)(pk=blog.pk)).name == "changed"
    with pytest.raises(ValueError):
        await face(Blog.objects.bulk_create)([Blog(name="x")], batch_size=-1)
    with pytest.raises(ValueError, match="mutually exclusive"):
        await face(Blog.objects.bulk_create)([Blog(name="x")], ignore_conflicts=True, update_conflicts=True)
    with pytest.raises(ValueError):
        await face(Blog.objects.bulk_create)([Blog(name="x")], update_conflicts=True)


async def test_bulk_update(face: Face) -> None:
    entries = await fill(face)
    entries[0].headline = "This is entry 1"
    entries[1].headline = "This is entry 2"
    assert await face(Entry.objects.bulk_update)(entries, ["headline"]) == 4
    assert await face(Entry.objects.filter(headline__startswith="This").count)() == 2
    entries[2].rating = F("rating") * 10
    await face(Entry.objects.bulk_update)(entries, ["rating"], batch_size=2)
    assert (await face(Entry.objects.get)(pk=entries[2].pk)).rating == 30
    with pytest.raises(ValueError):
        await face(Entry.objects.bulk_update)(entries, [])
    with pytest.raises(ValueError):
        await face(Entry.objects.bulk_update)(entries, ["id"])
    with pytest.raises(ValueError):
        await face(Entry.objects.bulk_update)([Entry(headline="x")], ["headline"])
    with pytest.raises(ValueError):
        await face(Entry.objects.bulk_update)(entries, ["authors"])
    assert await face(Entry.objects.bulk_update)([], ["headline"]) == 0


async def test_in_bulk(face: Face) -> None:
    entries = await fill(face)
    first, second = entries[0], entries[1]
    assert await face(Entry.objects.in_bulk)([first.pk]) == {first.pk: first}
    assert await face(Entry.objects.in_bulk)([first.pk, second.pk]) == {first.pk: first, second.pk: second}
    assert await face(Entry.objects.in_bulk)([]) == {}
    assert len(await face(Entry.objects.in_bulk)()) == 4
    with pytest.raises(ValueError, match="unique"):
        await face(Entry.objects.in_bulk)(["e1"], field_name="headline")
    with pytest.raises(TypeError):
        await face(Entry.objects.all()[:2].in_bulk)([1])


async def test_iterator(face: Face) -> None:
    await fill(face)
    qs = Entry.objects.order_by("id")
    assert [e.headline for e in await face.stream(qs)] == ["e1", "e2", "e3", "e4"]
    assert [e.headline for e in await face.stream(qs, chunk_size=3)] == ["e1", "e2", "e3", "e4"]
    prefetched = await face.stream(qs.prefetch_related("authors"), chunk_size=2)
    assert [len(e.authors.all()) for e in prefetched] == [1, 2, 0, 0]
    with pytest.raises(ValueError):
        await face.stream(qs, chunk_size=0)


async def test_latest_and_earliest(face: Face) -> None:
    await fill(face)
    assert (await face(Entry.objects.latest)("pub_date")).headline == "e4"
    assert (await face(Entry.objects.latest)("mod_date", "-pub_date")).headline == "e4"
    assert (await face(Entry.objects.earliest)("pub_date")).headline == "e1"
    with pytest.raises(ValueError, match="get_latest_by"):
        await face(Entry.objects.latest)()
    with pytest.raises(Entry.DoesNotExist):
        await face(Entry.objects.none().earliest)("pub_date")
    with pytest.raises(TypeError):
        await face(Entry.objects.all()[:2].latest)("pub_date")


async def test_first_last_exists_contains(face: Face) -> None:
    entries = await fill(face)
    assert await face(Entry.objects.first)() == entries[0]
    assert await face(Entry.objects.last)() == entries[-1]
    assert await face(Entry.objects.order_by("-rating").first)() == entries[-1]
    assert await face(Entry.objects.none().first)() is None
    assert await face(Entry.objects.filter(rating=9).last)() is None
    assert await face(Entry.objects.filter(rating=1).contains)(entries[0]) is True
    assert await face(Entry.objects.filter(rating=1).contains)(entries[1]) is False
    with pytest.raises(TypeError):
        await face(Entry.objects.values("id").contains)(entries[0])
    with pytest.raises(ValueError):
        await face(Entry.objects.contains)(Entry(headline="unsaved"))
    assert await face(Entry.objects.contains)(entries[0].blog) is False


async def test_update(face: Face) -> None:
    await fill(face)
    assert await face(Entry.objects.filter(pub_date__month=1).update)(rating=9, headline="old") == 1
    assert await face(Entry.objects.filter(blog__name="a").update)(number_of_comments=F("rating") + 1) == 3
    with pytest.raises(dorm.FieldDoesNotExist):
        await face(Entry.objects.update)(blog__name="foo")
    with pytest.raises(dorm.FieldDoesNotExist):
        await face(Entry.objects.update)(nothing=1)
    top = Entry.objects.filter(blog=dorm.OuterRef("pk")).values("blog").annotate(m=Max("rating")).values("m")
    await face(Blog.objects.update)(tagline=dorm.functions.Cast(dorm.Subquery(top), dorm.TextField()))
    assert sorted(await face.rows(Blog.objects.values_list("tagline", flat=True))) == ["4", "9"]
    first = Entry.objects.order_by("rating")[:1]
    assert await face(first.update)(body_text="sliced") == 1


async def test_delete(face: Face) -> None:
    await fill(face)
    blogs = Blog.objects.all()
    total, counts = await face(blogs.delete)()
    assert counts == {"doc_blog.Entry": 4, "doc_blog.Entry_authors": 3, "doc_blog.Blog": 2}
    assert total == 9
    with pytest.raises(TypeError):
        await face(Author.objects.values("name").delete)()
    assert await face(Author.objects.distinct().delete)() == (2, {"doc_blog.Author": 2})
    with pytest.raises(TypeError):
        await face(Author.objects.distinct("name").delete)()


async def test_explain(face: Face, backend: str) -> None:
    await fill(face)
    assert "doc_blog" in await face(Entry.objects.filter(blog__name="a").explain)()
    if backend == "postgresql":
        text = await face(Entry.objects.explain)(format="json", analyze=True)
        assert "Plan" in text
        with pytest.raises(ValueError):
            await face(Entry.objects.explain)(format="nope")


async def test_pickling_and_repr(empty_database: Any) -> None:
    blog = Blog.objects.create(name="b")
    Blog.objects.create(name="c")
    qs = pickle.loads(pickle.dumps(Blog.objects.filter(name="b")))
    assert list(qs) == [blog]
    assert repr(Blog.objects.order_by("name")) == "<QuerySet [<Blog: b>, <Blog: c>]>"
    for number in range(30):
        Blog.objects.create(name=str(number))
    assert repr(Blog.objects.all()).endswith("'...(remaining elements truncated)...']>")
    assert bool(Blog.objects.filter(name="b"))
    assert not Blog.objects.filter(name="zzz")
    assert len(Blog.objects.all()) == 32


async def test_select_for_update(face: Face, backend: str) -> None:
    await fill(face)
    if backend == "postgresql":
        with pytest.raises(dorm.TransactionManagementError):
            await face.rows(Entry.objects.select_for_update())
    async with face.atomic():
        assert len(await face.rows(Entry.objects.select_for_update().filter(rating=1))) == 1
        if backend == "postgresql":
            assert len(await face.rows(Entry.objects.select_for_update(skip_locked=True))) == 4
            assert len(await face.rows(Entry.objects.select_related("blog").select_for_update(of=("self",)))) == 4
            with pytest.raises(ValueError):
                Entry.objects.select_for_update(nowait=True, skip_locked=True)
        else:
            with pytest.raises(dorm.NotSupportedError):
                await face.rows(Entry.objects.select_for_update(nowait=True))


async def test_value_in_annotations_and_order(face: Face) -> None:
    await fill(face)
    rows = await face.rows(Entry.objects.annotate(one=Value(1)).filter(one=1).order_by("one", "-rating"))
    assert [e.one for e in rows] == [1, 1, 1, 1]
    assert await face(Entry.objects.annotate(m=Max("authors__name")).filter(m="Bob").count)() == 1


# -- lookups -------------------------------------------------------------------------------------------------------


async def test_field_lookups(face: Face) -> None:
    await fill(face)

    async def found(**lookups: Any) -> list[str]:
        return await heads(face, Entry.objects.filter(**lookups).order_by("id"))

    assert await found(rating__in=[1, 3]) == ["e1", "e3"]
    assert await found(headline__in="e1") == []
    assert await found(rating__in=(x for x in (1, 2))) == ["e1", "e2"]
    assert await found(rating__in=[]) == []
    assert await found(blog__in=Blog.objects.filter(name="b")) == ["e4"]
    assert await found(blog__in=Blog.objects.filter(name="b").values("pk")) == ["e4"]
    assert await found(blog__name__in=Blog.objects.filter(name="b").values("name")) == ["e4"]
    with pytest.raises((TypeError, ValueError)):
        await found(blog__name__in=Blog.objects.values("name", "tagline"))
    assert await found(rating__range=(2, 3)) == ["e2", "e3"]
    assert await found(pub_date__range=(datetime.date(2020, 1, 1), datetime.date(2020, 2, 20))) == ["e1", "e2"]
    assert await found(pub_date__quarter=2) == ["e4"]
    assert await found(pub_date__week_day=6) == ["e1", "e4"]
    assert await found(pub_date__iso_week_day=5) == ["e1", "e4"]
    assert await found(pub_date__week=2) == ["e1"]
    assert await found(pub_date__iso_year=2020) == ["e1", "e2", "e3", "e4"]
    assert await found(pub_date__month__gte=3) == ["e3", "e4"]
    assert await found(headline__regex=r"^e[12]$") == ["e1", "e2"]
    assert await found(headline__iregex=r"^E[12]$") == ["e1", "e2"]
    assert await found(body_text__isnull=True) == []
    assert await found(authors__isnull=True) == ["e3", "e4"]
    assert await found(authors__name="Ann") == ["e1", "e2"]
    with pytest.raises(ValueError):
        await found(headline=None, rating__gt=None)
    with pytest.raises(ValueError):
        await found(authors__isnull="x")
