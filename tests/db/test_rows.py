"""Saving, reading and deleting rows."""

from __future__ import annotations

import datetime
import decimal
import gc
import pickle

import pytest

import dorm
from dorm import Count, F, Q
from tests.support.faces import Face, names
from tests.support.models import Author, Book, Keyed, Publisher, Review

pytestmark = pytest.mark.usefixtures("database")


async def library(face: Face) -> tuple[Author, Author]:
    """Two authors, three and two books."""
    ann = await face(Author.objects.create)(name="Ann", age=40)
    bob = await face(Author.objects.create)(name="bob", age=None)
    house = await face(Publisher.objects.create)(name="House")
    await face(Book.objects.bulk_create)(
        [
            Book(title="A1", author=ann, pages=100, price="10.00", publisher=house),
            Book(title="A2", author=ann, pages=200, price="20.50"),
            Book(title="A3", author=ann, pages=300),
            Book(title="B1", author=bob, pages=50, price="1.25", publisher=house),
            Book(title="B2", author=bob, pages=150, published=datetime.date(2020, 2, 29)),
        ]
    )
    return ann, bob


async def test_create_sets_the_key_and_get_finds_it(face: Face) -> None:
    made = await face(Author.objects.create)(name="Ann", age=3)
    found = await face(Author.objects.get)(pk=made.pk)
    assert found == made
    assert (found.name, found.age, found.email) == ("Ann", 3, "")
    assert not found._state.adding
    assert found._state.db == "default"


async def test_get_says_how_many_rows_it_found(face: Face) -> None:
    await library(face)
    with pytest.raises(Author.DoesNotExist, match="Author matching query does not exist"):
        await face(Author.objects.get)(name="Zoe")
    with pytest.raises(Book.MultipleObjectsReturned, match="it returned 5"):
        await face(Book.objects.get)()
    assert issubclass(Author.DoesNotExist, dorm.ObjectDoesNotExist)


async def test_save_updates_a_loaded_row_and_inserts_a_new_one(face: Face) -> None:
    author = Author(name="Ann")
    await face(author.save)()
    author.name = "Anna"
    await face(author.save)()
    assert await face(Author.objects.count)() == 1
    assert (await face(Author.objects.get)()).name == "Anna"


async def test_save_of_a_new_instance_with_a_known_key_updates(face: Face) -> None:
    first = await face(Author.objects.create)(name="Ann")
    await face(Author(pk=first.pk, name="Other").save)()
    assert names(await face.rows(Author.objects.all())) == ["Other"]
    await face(Author(pk=first.pk + 100, name="Far").save)()
    assert await face(Author.objects.count)() == 2


async def test_force_insert_and_force_update(face: Face) -> None:
    first = await face(Author.objects.create)(name="Ann")
    with pytest.raises(dorm.IntegrityError):
        await face(Author(pk=first.pk, name="x").save)(force_insert=True)
    with pytest.raises(dorm.DatabaseError, match="did not affect any rows"):
        await face(Author(pk=first.pk + 1, name="x").save)(force_update=True)
    with pytest.raises(ValueError, match="Cannot force both"):
        await face(first.save)(force_insert=True, force_update=True)


async def test_update_fields_writes_only_these(face: Face) -> None:
    author = await face(Author.objects.create)(name="Ann", age=1)
    author.name, author.age = "Changed", 2
    await face(author.save)(update_fields=["age"])
    found = await face(Author.objects.get)(pk=author.pk)
    assert (found.name, found.age) == ("Ann", 2)
    with pytest.raises(ValueError, match=r"do not exist in this model.*nmae.*Did you mean 'name'"):
        await face(author.save)(update_fields=["nmae"])


async def test_an_expression_may_be_saved(face: Face) -> None:
    author = await face(Author.objects.create)(name="Ann", age=1)
    author.age = F("age") + 4
    await face(author.save)()
    await face(author.refresh_from_db)()
    assert author.age == 5


async def test_refresh_drops_what_changed(face: Face) -> None:
    _ann, bob = await library(face)
    book = await face(Book.objects.select_related("author").get)(title="A1")
    await face(Book.objects.filter(pk=book.pk).update)(author=bob, pages=7)
    await face(book.refresh_from_db)()
    assert (book.pages, book.author_id) == (7, bob.pk)
    await face(Book.objects.filter(pk=book.pk).delete)()
    with pytest.raises(Book.DoesNotExist, match="Book matching query does not exist"):
        await face(book.refresh_from_db)()


async def test_a_key_of_the_users_own(face: Face) -> None:
    await face(Keyed(code="x", label="one").save)()
    await face(Keyed(code="x", label="two").save)()
    row = await face(Keyed.objects.get)(pk="x")
    assert row.label == "two"
    assert await face(row.delete)() == (1, {"library.Keyed": 1})


async def test_filter_lookups(face: Face) -> None:
    await library(face)

    async def titles(*args: Q, **kwargs: object) -> list[str]:
        rows = await face.rows(Book.objects.filter(*args, **kwargs).order_by("title"))
        return [row.title for row in rows]

    assert await titles(pages=100) == ["A1"]
    assert await titles(pages__gt=150) == ["A2", "A3"]
    assert await titles(pages__gte=150) == ["A2", "A3", "B2"]
    assert await titles(pages__lt=100) == ["B1"]
    assert await titles(pages__range=(100, 200)) == ["A1", "A2", "B2"]
    assert await titles(pages__in=[100, 300, 999]) == ["A1", "A3"]
    assert await titles(pages__in=[]) == []
    assert await titles(title__in=(title for title in ("A1", "B1"))) == ["A1", "B1"]
    assert await titles(price__isnull=True) == ["A3", "B2"]
    assert await titles(price=None) == ["A3", "B2"]
    assert await titles(price="20.50") == ["A2"]
    assert await titles(published=datetime.date(2020, 2, 29)) == ["B2"]
    assert await titles(title__startswith="a") == []
    assert await titles(title__istartswith="a") == ["A1", "A2", "A3"]
    assert await titles(title__endswith="1") == ["A1", "B1"]
    assert await titles(title__contains="B") == ["B1", "B2"]
    assert await titles(title__icontains="b") == ["B1", "B2"]
    assert await titles(title__iexact="b1") == ["B1"]
    assert await titles(title__regex="^[AB]1$") == ["A1", "B1"]
    assert await titles(title__iregex="^[ab]1$") == ["A1", "B1"]
    assert await titles(author__name="Ann", pages__lt=250) == ["A1", "A2"]
    assert await titles(author__age__isnull=True) == ["B1", "B2"]
    assert await titles(publisher__name="House") == ["A1", "B1"]
    assert await titles(Q(pages=50) | Q(author__name="Ann", pages=300)) == ["A3", "B1"]
    assert await titles(~Q(author__name="Ann")) == ["B1", "B2"]
    assert await titles(Q(pages=50) ^ Q(author__name="bob")) == ["B2"]
    assert await titles(pages__gt=F("author__age") * 4) == ["A2", "A3"]
    assert await titles(Q()) == ["A1", "A2", "A3", "B1", "B2"]


@pytest.mark.parametrize("text", ["100%", "a_b", r"back\slash", "star*", "q?", "[x]", "'quote\"", "Ünï"])
async def test_patterns_take_every_character_literally(face: Face, text: str) -> None:
    await face(Author.objects.create)(name=f"<{text}>")
    await face(Author.objects.create)(name="<something else>")
    for lookup, value in {
        "contains": text,
        "icontains": text,
        "startswith": f"<{text}",
        "iendswith": f"{text}>",
        "iexact": f"<{text}>",
    }.items():
        assert await face(Author.objects.filter(**{f"name__{lookup}": value}).count)() == 1, lookup


async def test_exclude_keeps_rows_with_null(face: Face) -> None:
    await library(face)
    rows = await face.rows(Book.objects.exclude(publisher__name="House").order_by("title"))
    assert names(rows, "title") == ["A2", "A3", "B2"]
    rows = await face.rows(Book.objects.exclude(price="10.00").order_by("title"))
    assert names(rows, "title") == ["A2", "A3", "B1", "B2"]
    assert names(await face.rows(Author.objects.exclude(age=40))) == ["bob"]
    assert await face(Book.objects.exclude(price=None).count)() == 3


async def test_conditions_across_many_partners(face: Face) -> None:
    _ann, _bob = await library(face)
    zoe = await face(Author.objects.create)(name="zoe")
    one_call = Author.objects.filter(books__pages__gt=250, books__price__isnull=False)
    assert await face(one_call.count)() == 0
    chained = Author.objects.filter(books__pages__gt=250).filter(books__price__isnull=False)
    assert set(names(await face.rows(chained))) == {"Ann"}
    assert names(await face.rows(Author.objects.exclude(books__title="A1"))) == ["bob", "zoe"]
    assert names(await face.rows(Author.objects.filter(books__isnull=True))) == ["zoe"]
    assert names(await face.rows(Author.objects.exclude(books__isnull=True).distinct())) == ["Ann", "bob"]
    assert names(await face.rows(Author.objects.exclude(books__price__isnull=True))) == []
    assert names(await face.rows(Author.objects.filter(books=None))) == ["zoe"]
    some = await face(Book.objects.get)(title="B1")
    assert names(await face.rows(Author.objects.filter(books=some))) == ["bob"]
    assert zoe.pk


async def test_a_queryset_as_value(face: Face) -> None:
    await library(face)
    cheap = Book.objects.filter(price__lt=5)
    assert names(await face.rows(Author.objects.filter(books__in=cheap))) == ["bob"]
    ids = Book.objects.filter(pages__gte=200).values("author_id")
    assert names(await face.rows(Author.objects.filter(pk__in=ids))) == ["Ann"]
    assert names(await face.rows(Author.objects.filter(name="bob").exclude(pk__in=ids))) == ["bob"]


async def test_order_slices_first_and_last(face: Face) -> None:
    await library(face)
    books = Book.objects.order_by("-pages")
    assert names(await face.rows(books.all()), "title") == ["A3", "A2", "B2", "A1", "B1"]
    assert names(await face.rows(books[1:3]), "title") == ["A2", "B2"]
    assert names(await face.rows(books[1:][1:3]), "title") == ["B2", "A1"]
    assert names(await face.rows(books[:2][1:]), "title") == ["A2"]
    assert await face.rows(books[2:2]) == []
    assert await face.rows(books[1:3][5:]) == []
    assert (await face(books.first)()).title == "A3"
    assert (await face(books.last)()).title == "B1"
    assert (await face(Book.objects.first)()).title == "A1"
    assert (await face(Book.objects.last)()).title == "B2"
    assert await face(Book.objects.none().first)() is None
    assert names(await face.rows(books.reverse()), "title") == ["B1", "A1", "B2", "A2", "A3"]
    assert names(await face.rows(Book.objects.order_by("author", "-title")), "title") == ["A3", "A2", "A1", "B2", "B1"]
    by_price = Book.objects.order_by(F("price").desc(nulls_last=True), "title")
    assert names(await face.rows(by_price), "title") == ["A2", "A1", "B1", "A3", "B2"]
    with pytest.raises(TypeError, match="once a slice has been taken"):
        Book.objects.all()[:2].filter(pages=1)
    with pytest.raises(ValueError, match="Negative indexing"):
        Book.objects.all()[-1]


async def test_count_exists_and_contains(face: Face) -> None:
    await library(face)
    assert await face(Book.objects.count)() == 5
    assert await face(Book.objects.filter(author__name="Ann").count)() == 3
    assert await face(Book.objects.all()[1:3].count)() == 2
    assert await face(Book.objects.all()[4:9].count)() == 1
    assert await face(Book.objects.values("author").distinct().count)() == 2
    assert await face(Book.objects.filter(pages=50).exists)()
    assert not await face(Book.objects.filter(pages=51).exists)()
    assert not await face(Book.objects.none().exists)()


async def test_values_and_values_list(face: Face) -> None:
    await library(face)
    books = Book.objects.order_by("title")
    assert (await face.rows(books.values("title", "author__name")))[0] == {"title": "A1", "author__name": "Ann"}
    assert (await face.rows(books.values_list("title", "price")))[1] == ("A2", decimal.Decimal("20.50"))
    assert await face.rows(books.values_list("title", flat=True)) == ["A1", "A2", "A3", "B1", "B2"]
    named = (await face.rows(books.values_list("title", "pages", named=True)))[0]
    assert (named.title, named.pages) == ("A1", 100)
    assert set((await face.rows(books.values()))[0]) == {
        "id", "title", "author_id", "publisher_id", "pages", "price", "published",
    }  # fmt: skip
    doubled = await face.rows(books.values_list("title", F("pages") * 2))
    assert doubled[0] == ("A1", 200)
    with pytest.raises(TypeError, match="'flat' is not valid"):
        books.values_list("title", "pages", flat=True)


async def test_aggregates(face: Face) -> None:
    await library(face)
    result = await face(Book.objects.aggregate)(
        Count("*"), dorm.Sum("pages"), dorm.Avg("pages"), low=dorm.Min("price"), high=dorm.Max("published")
    )
    assert result == {
        "count": 5,
        "pages__sum": 800,
        "pages__avg": 160.0,
        "low": decimal.Decimal("1.25"),
        "high": datetime.date(2020, 2, 29),
    }
    assert isinstance(result["pages__sum"], int)
    assert isinstance(result["pages__avg"], float)
    total = await face(Book.objects.aggregate)(total=dorm.Sum("price"))
    assert total == {"total": decimal.Decimal("31.75")}
    assert await face(Book.objects.filter(pages=0).aggregate)(n=Count("pk"), s=dorm.Sum("pages")) == {"n": 0, "s": None}
    assert await face(Book.objects.none().aggregate)(n=Count("pk"), s=dorm.Sum("pages")) == {"n": 0, "s": None}
    assert await face(Book.objects.order_by("pages")[:2].aggregate)(s=dorm.Sum("pages")) == {"s": 150}
    of_some = Count("pk", filter=Q(pages__gt=100))
    assert await face(Book.objects.aggregate)(n=of_some, d=Count("author", distinct=True)) == {"n": 3, "d": 2}


async def test_annotations_group(face: Face) -> None:
    await library(face)
    await face(Author.objects.create)(name="zoe")
    authors = Author.objects.annotate(n=Count("books"), pages=dorm.Sum("books__pages"))
    ordered = await face.rows(authors.order_by("name"))
    assert [(a.name, a.n, a.pages) for a in ordered] == [("Ann", 3, 600), ("bob", 2, 200), ("zoe", 0, None)]
    assert names(await face.rows(authors.filter(n__gt=2))) == ["Ann"]
    assert names(await face.rows(authors.filter(n__gt=1, name__startswith="b"))) == ["bob"]
    assert names(await face.rows(authors.order_by("-n")[:1])) == ["Ann"]
    per_author = Book.objects.values("author__name").annotate(n=Count("pk")).order_by("author__name")
    assert sorted((row["author__name"], row["n"]) for row in await face.rows(per_author)) == [("Ann", 3), ("bob", 2)]
    assert await face(authors.filter(n__gt=0).count)() == 2
    assert await face(authors.aggregate)(most=dorm.Max("n"), mean=dorm.Avg("n")) == {"most": 3, "mean": 5 / 3}
    dear = Book.objects.annotate(double=F("price") * 2).filter(double__gt=20)
    assert names(await face.rows(dear), "title") == ["A2"]
    with pytest.raises(ValueError, match="conflicts with a field"):
        Author.objects.annotate(name=Count("books"))


async def test_update_and_delete_by_condition(face: Face) -> None:
    _ann, bob = await library(face)
    assert await face(Book.objects.filter(author__name="Ann").update)(pages=F("pages") + 1, price=None) == 3
    assert await face(Book.objects.filter(pages=101, price=None).count)() == 1
    assert await face(Book.objects.order_by("-pages")[:1].update)(title="longest") == 1
    assert (await face(Book.objects.get)(title="longest")).pages == 301
    assert await face(Review.objects.filter(stars=1).delete)() == (0, {})
    assert await face(Book.objects.filter(author=bob).delete)() == (2, {"library.Book": 2})
    assert await face(Book.objects.none().update)(pages=1) == 0
    with pytest.raises(dorm.FieldDoesNotExist, match="Did you mean 'pages'"):
        await face(Book.objects.update)(page=1)


async def test_delete_cascades_and_protects(face: Face) -> None:
    ann, _bob = await library(face)
    book = await face(Book.objects.get)(title="A1")
    await face(Review.objects.create)(book=book, stars=5)
    assert await face(ann.delete)() == (5, {"library.Review": 1, "library.Book": 3, "library.Author": 1})
    assert ann.pk is None
    house = await face(Publisher.objects.get)(name="House")
    await face(house.delete)()
    assert (await face(Book.objects.get)(title="B1")).publisher_id is None
    with pytest.raises(ValueError, match="can't be deleted"):
        await face(ann.delete)()


async def test_select_related_loads_with_one_statement(face: Face) -> None:
    await library(face)
    seen: list[str] = []

    def listen(sql: str, **told: object) -> None:
        seen.append(sql)

    dorm.pre_query.connect(listen)
    try:
        books = await face.rows(Book.objects.select_related("author", "publisher").order_by("title"))
        assert [(b.author.name, b.publisher and b.publisher.name) for b in books[:2]] == [
            ("Ann", "House"),
            ("Ann", None),
        ]
        assert len(seen) == 1
    finally:
        dorm.pre_query.disconnect(listen)
    with pytest.raises(dorm.FieldError, match=r"Non-relational field given.*Choices are: author, publisher"):
        Book.objects.select_related("title")


async def test_prefetch_related_both_ways(face: Face) -> None:
    await library(face)
    seen: list[str] = []

    def listen(sql: str, **told: object) -> None:
        seen.append(sql)

    dorm.pre_query.connect(listen)
    try:
        authors = await face.rows(Author.objects.prefetch_related("books__publisher"))
        found = {a.name: [(b.title, b.publisher and b.publisher.name) for b in a.books.all()] for a in authors}
        assert len(seen) == 3
    finally:
        dorm.pre_query.disconnect(listen)
    assert sorted(found["Ann"]) == [("A1", "House"), ("A2", None), ("A3", None)]
    assert sorted(found["bob"]) == [("B1", "House"), ("B2", None)]
    books = await face.rows(Book.objects.prefetch_related("author").order_by("title"))
    assert books[0].author is books[1].author
    long = dorm.Prefetch("books", Book.objects.filter(pages__gt=150).order_by("-pages"), to_attr="long_books")
    (ann,) = await face.rows(Author.objects.filter(name="Ann").prefetch_related(long))
    assert names(ann.long_books, "title") == ["A3", "A2"]
    with pytest.raises(AttributeError, match="Cannot find 'bokes' on Author"):
        await face.rows(Author.objects.prefetch_related("bokes"))


async def test_related_manager_narrows_to_the_instance(face: Face) -> None:
    ann, bob = await library(face)
    assert await face(ann.books.count)() == 3
    made = await face(bob.books.create)(title="B3")
    assert made.author_id == bob.pk
    assert names(await face.rows(bob.books.filter(pages__lt=100).order_by("title")), "title") == ["B1", "B3"]


async def test_bulk_create_fills_keys_in_order(face: Face) -> None:
    made = await face(Author.objects.bulk_create)([Author(name=f"n{number:04}") for number in range(1_234)], 500)
    keys = [author.pk for author in made]
    assert len(set(keys)) == 1_234
    stored = dict(await face.rows(Author.objects.values_list("pk", "name")))
    assert all(stored[author.pk] == author.name for author in made)
    preset = await face(Author.objects.bulk_create)([Author(pk=10_000, name="p"), Author(name="q")])
    assert preset[0].pk == 10_000
    assert preset[1].pk is not None
    with pytest.raises(dorm.IntegrityError):
        await face(Author.objects.bulk_create)([Author(name="fresh"), Author(pk=10_000, name="clash")])
    assert not await face(Author.objects.filter(name="fresh").exists)()
    with pytest.raises(TypeError, match="got an instance of Book"):
        await face(Author.objects.bulk_create)([Book(title="x")])


async def test_bulk_create_may_ignore_conflicts(face: Face) -> None:
    await face(Publisher.objects.create)(name="one")
    await face(Publisher.objects.bulk_create)([Publisher(name="one"), Publisher(name="two")], ignore_conflicts=True)
    assert await face(Publisher.objects.count)() == 2


async def test_iterator_streams(face: Face) -> None:
    await face(Author.objects.bulk_create)([Author(name=f"n{number:03}") for number in range(101)])
    rows = await face.stream(Author.objects.order_by("name"), chunk_size=10)
    assert names(rows) == [f"n{number:03}" for number in range(101)]
    assert await face.stream(Author.objects.none()) == []
    assert len(await face.stream(Author.objects.values_list("name", flat=True), chunk_size=1_000)) == 101
    with pytest.raises(ValueError, match="strictly positive"):
        Author.objects.iterator(chunk_size=0)


async def test_in_bulk(face: Face) -> None:
    ann, bob = await library(face)
    assert await face(Author.objects.in_bulk)([ann.pk, bob.pk, 0]) == {ann.pk: ann, bob.pk: bob}
    assert set(await face(Publisher.objects.in_bulk)(["House"], field_name="name")) == {"House"}
    with pytest.raises(ValueError, match="must be a unique field"):
        await face(Author.objects.in_bulk)([1], field_name="name")


async def test_deferred_columns_are_not_written(face: Face) -> None:
    ann, _ = await library(face)
    loaded = await face(Author.objects.only("name").get)(pk=ann.pk)
    assert loaded.get_deferred_fields() == {"age", "email"}
    loaded.name = "Anne"
    await face(loaded.save)()
    stored = await face(Author.objects.get)(pk=ann.pk)
    assert (stored.name, stored.age) == ("Anne", 40)
    if face.is_async:
        with pytest.raises(dorm.SynchronousOnlyOperation, match="afetch"):
            _ = loaded.age
        await loaded.arefresh_from_db(fields=["age"])
    assert loaded.age == 40


async def test_pickles_carry_values_and_origin(face: Face) -> None:
    ann, _ = await library(face)
    copy = pickle.loads(pickle.dumps(ann))
    assert copy == ann
    assert (copy.name, copy._state.db, copy._state.adding) == ("Ann", "default", False)


async def test_rows_of_plain_values_are_one_object_for_the_garbage_collector(face: Face) -> None:
    await library(face)
    authors = await face.rows(Author.objects.all())
    assert authors
    assert not any(gc.is_tracked(vars(author)) for author in authors)


async def test_rows_that_refer_to_others_are_one_object_for_the_garbage_collector(face: Face) -> None:
    await library(face)
    authors = await face.rows(Author.objects.prefetch_related("books"))
    theirs = [book for author in authors for book in author.books.all()]
    joined = await face.rows(Book.objects.select_related("author"))
    for book in (*theirs, *joined):
        held = gc.get_referents(book)
        assert any(isinstance(each, Author) for each in held)
        assert not any(isinstance(each, dict) for each in held)
    assert {book.author for book in theirs} == set(authors)


async def test_querysets_fetch_once(face: Face) -> None:
    await library(face)
    books = Book.objects.order_by("title")
    first = await face.rows(books)
    assert await face.rows(books) == first
    assert (await face.rows(books))[0] is first[0]
    assert await face(books.count)() == 5
    assert (await face.rows(books.all()))[0] is not first[0]
