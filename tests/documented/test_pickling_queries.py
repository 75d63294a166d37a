"""Pickling QuerySets: ``qs.query`` keeps the question without its rows, and is assigned to a queryset again."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm import Case, Count, Exists, F, Max, OuterRef, Q, Subquery, Value, When, Window
from dorm.functions import Cast, Coalesce, TruncMonth, Upper
from tests.support.faces import Face


class Author(dorm.Model):
    name = dorm.CharField(max_length=9)
    n = dorm.IntegerField(default=0)
    born = dorm.DateTimeField(default=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    data = dorm.JSONField(default=dict)

    class Meta:
        app_label = "doc_pickle"
        ordering = ["id"]


class Tag(dorm.Model):
    text = dorm.CharField(max_length=9)

    class Meta:
        app_label = "doc_pickle"


class Book(dorm.Model):
    author = dorm.ForeignKey(Author, on_delete=dorm.CASCADE, related_name="books")
    tags = dorm.ManyToManyField(Tag)

    class Meta:
        app_label = "doc_pickle"
        ordering = ["id"]


class Poet(Author):
    verses = dorm.IntegerField(default=1)

    class Meta:
        app_label = "doc_pickle"


MODELS = (Author, Tag, Book, Poet)

QUERIES: dict[str, Callable[[], Any]] = {
    "all": lambda: Author.objects.all(),
    "filter": lambda: Author.objects.filter(n__gt=1),
    "exclude across relations": lambda: Author.objects.exclude(books__tags__text="x"),
    "select_related": lambda: Book.objects.filter(tags__text="x", author__n=1).select_related("author"),
    "values": lambda: Author.objects.values("name"),
    "flat": lambda: Author.objects.values_list("n", flat=True),
    "aggregation": lambda: Author.objects.annotate(c=Count("books")).filter(c=1).order_by("id").values_list("id", "c"),
    "Q, order, slice": lambda: Author.objects.filter(Q(n=1) | ~Q(name="a2")).order_by("-n")[1:3],
    "Case": lambda: Author.objects.annotate(x=Case(When(n__gt=1, then=Value("b")), default=Value("s"))).values("x"),
    "Exists": lambda: Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk")))),
    "in queryset": lambda: Author.objects.filter(pk__in=Book.objects.values("author")),
    "in list": lambda: Author.objects.filter(name__in=["a1", "a2", "a3"]),
    "inherited": lambda: Poet.objects.filter(name="poet"),
    "dates": lambda: Author.objects.filter(born__year=2020, born__date=datetime.date(2020, 1, 1)),
    "functions": lambda: Author.objects.annotate(u=Upper("name"), m=TruncMonth("born")).values("u", "m")[:1],
    "JSON": lambda: Author.objects.filter(data__k=2),
    "only": lambda: Author.objects.only("name"),
    "none": lambda: Author.objects.none(),
    "union": lambda: Author.objects.order_by().filter(n=1).union(Author.objects.order_by().filter(n=2)).order_by("n"),
    "Subquery": lambda: Author.objects.annotate(
        b=Subquery(Book.objects.filter(author=OuterRef("pk")).values("id")[:1])
    ).values_list("b"),
    "Window": lambda: Author.objects.annotate(r=Window(Max("n"))).values_list("r")[:1],
    "Cast": lambda: Author.objects.annotate(w=Cast("n", dorm.CharField())).filter(w="2"),
    "nulls": lambda: Author.objects.order_by(F("name").desc(nulls_last=True)),
    "alias": lambda: Author.objects.alias(k=F("n") + 1).filter(k=Coalesce("n", 5) + 1, n=2),
    "through": lambda: Book.tags.through.objects.filter(book__author__n=1).values_list("tag__text"),
}


@pytest.fixture(autouse=True)
def rows(tables: None) -> None:
    authors = Author.objects.bulk_create([Author(name=f"a{n}", n=n, data={"k": n}) for n in range(4)])
    tag = Tag.objects.create(text="x")
    for author in authors[:3]:
        Book.objects.create(author=author).tags.add(tag)
    Poet.objects.create(name="poet")


@pytest.mark.parametrize("name", QUERIES)
async def test_a_pickled_query_asks_the_same(face: Face, name: str) -> None:
    given = QUERIES[name]()
    wanted = await face.rows(given.all())
    made = given.model.objects.all()
    made.query = pickle.loads(pickle.dumps(given.query))
    assert await face.rows(made) == wanted
    assert wanted or name == "none"


async def test_further_conditions_may_follow(face: Face) -> None:
    made = Author.objects.all()
    made.query = pickle.loads(pickle.dumps(Author.objects.filter(n__gt=0).query))
    assert await face(made.exclude(n=2).count)() == 3 - 1
    await face(Author.objects.create)(n=7)
    assert [author.n for author in await face.rows(made.order_by("-n"))] == [7, 3, 2, 1]


def test_query_takes_nothing_else() -> None:
    made = Author.objects.all()
    with pytest.raises(TypeError, match="query takes the query of a queryset, not str"):
        made.query = "SELECT 1"  # type: ignore[assignment]  # that is the mistake


class Own(dorm.Func):
    """A function with something that cannot be pickled."""

    function = "UPPER"
    output_field = dorm.CharField()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.hook = lambda: None


def test_what_cannot_be_pickled_says_so() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError), match="pickle"):
        pickle.dumps(Author.objects.annotate(x=Own("name")).query)
