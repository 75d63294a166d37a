"""The page "QuerySet API reference": misuse of every method and its error, and answers at the edges."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import dorm
from dorm import F, Q, Value, functions as fn
from tests.support.faces import Face


class Author(dorm.Model):
    name = dorm.CharField(max_length=50)
    age = dorm.IntegerField(null=True)
    email = dorm.EmailField(unique=True, null=True)

    class Meta:
        app_label = "doc_misuse"


class Tag(dorm.Model):
    label = dorm.CharField(max_length=20, primary_key=True)

    class Meta:
        app_label = "doc_misuse"


class Book(dorm.Model):
    title = dorm.CharField(max_length=50)
    author = dorm.ForeignKey(Author, dorm.CASCADE, related_name="books", null=True)
    editor = dorm.ForeignKey(Author, dorm.SET_NULL, related_name="edited", null=True)
    tags = dorm.ManyToManyField(Tag, related_name="books")
    pages = dorm.IntegerField(default=0)
    price = dorm.DecimalField(max_digits=6, decimal_places=2, null=True)
    pub = dorm.DateField(null=True)
    made = dorm.DateTimeField(null=True)
    code = dorm.SlugField(unique=True, null=True)
    slug2 = dorm.CharField(max_length=5, null=True)

    class Meta:
        app_label = "doc_misuse"
        constraints = [dorm.UniqueConstraint(fields=["title", "pages"], name="doc_misuse_title_pages")]


MODELS = (Author, Tag, Book)


async def fill(face: Face) -> None:
    """One (100 pages, by Ann, tags a b), Two (200, Ann, b), Three (300, Bob), Four (100, by nobody, tags a b c)."""
    ann = await face(Author.objects.create)(name="Ann", age=40, email="a@x.de")
    bob = await face(Author.objects.create)(name="Bob", age=30, email="b@x.de")
    await face(Author.objects.create)(name="Cid")
    for label in "abc":
        await face(Tag.objects.create)(label=label)
    for title, author, editor, tags, pages, price, pub in (
        ("One", ann, bob, "ab", 100, "10.50", datetime.date(2020, 1, 5)),
        ("Two", ann, None, "b", 200, "20", datetime.date(2021, 1, 5)),
        ("Three", bob, ann, "", 300, None, None),
        ("Four", None, None, "abc", 100, "5", datetime.date(2020, 3, 1)),
    ):
        book = await face(Book.objects.create)(
            title=title, author=author, editor=editor, pages=pages, price=price, pub=pub, code=title.lower()
        )
        await face(book.tags.add)(*tags)


class Undone(Exception):
    """Takes back what a case wrote."""


ANSWERS: list[tuple[Callable[[Face], Awaitable[Any]], Any]] = [
    (lambda face: face(Book.objects.filter(Q(pages=1), title="x").count)(), 0),
    (lambda face: face(Book.objects.filter(author__pk="1").count)(), 2),
    (lambda face: face(Book.objects.filter(author=None).count)(), 1),
    (lambda face: face(Book.objects.filter(author__in=[1, 2]).count)(), 3),
    (lambda face: face(Book.objects.filter(author__in=Author.objects.all()).count)(), 3),
    (lambda face: face(Book.objects.filter(author__in="12").count)(), 3),
    (lambda face: face(Book.objects.filter(pages__in=[]).count)(), 0),
    (lambda face: face(Book.objects.filter(pages__in=[None]).count)(), 0),
    (lambda face: face(Book.objects.filter(pages__in=[100, None]).count)(), 2),
    (lambda face: face(Book.objects.exclude(pages__in=[]).count)(), 4),
    (lambda face: face(Book.objects.exclude(author__in=[1]).count)(), 2),
    (lambda face: face(Book.objects.exclude(author__in=[1, None]).count)(), 2),
    (lambda face: face(Book.objects.exclude(author=1).count)(), 2),
    (lambda face: face(Book.objects.exclude(author__name="Ann").count)(), 2),
    (lambda face: face(Book.objects.filter(pages__in={100, 200}).count)(), 3),
    (lambda face: face(Book.objects.filter(pages__in=(x for x in [100])).count)(), 2),
    (lambda face: face(Book.objects.filter(pages__in=range(100, 201)).count)(), 3),
    (lambda face: face(Book.objects.filter(pages__in=[F("pages")]).count)(), 4),
    (lambda face: face(Book.objects.filter(pages__in=["100"]).count)(), 2),
    (lambda face: face(Book.objects.filter(pages="100").count)(), 2),
    (lambda face: face(Book.objects.filter(pages=100.0).count)(), 2),
    (lambda face: face(Book.objects.filter(pages=None).count)(), 0),
    (lambda face: face(Book.objects.filter(title__iexact=None).count)(), 0),
    (lambda face: face(Book.objects.filter(price__iexact=None).count)(), 1),
    (lambda face: face(Book.objects.filter(price__exact=None).count)(), 1),
    (lambda face: face(Book.objects.filter(price__isnull=True).count)(), 1),
    (lambda face: face(Book.objects.filter(pages__range=(100, 200)).count)(), 3),
    (lambda face: face(Book.objects.filter(pages__range=(F("pages"), 500)).count)(), 4),
    (lambda face: face(Book.objects.filter(pages__range=(None, 5)).count)(), 0),
    (lambda face: face(Book.objects.filter(pub__range=("2020-01-01", "2020-12-31")).count)(), 2),
    (lambda face: face(Book.objects.filter(price__gt="7.5").count)(), 2),
    (lambda face: face(Book.objects.filter(price__gt=7.5).count)(), 2),
    (lambda face: face(Book.objects.filter(price__contains="0.5").count)(), 1),
    (lambda face: face(Book.objects.filter(pages__contains=0).count)(), 4),
    (lambda face: face(Book.objects.filter(pages__startswith="1").count)(), 2),
    (lambda face: face(Book.objects.filter(pages__regex="^1").count)(), 2),
    (lambda face: face(Book.objects.filter(title__regex="^T\\w+$").count)(), 2),
    (lambda face: face(Book.objects.filter(title__iregex="^t").count)(), 2),
    (lambda face: face(Book.objects.filter(title__startswith="T").count)(), 2),
    (lambda face: face(Book.objects.filter(title__istartswith="t").count)(), 2),
    (lambda face: face(Book.objects.filter(title__endswith="e").count)(), 2),
    (lambda face: face(Book.objects.filter(title__iendswith="E").count)(), 2),
    (lambda face: face(Book.objects.filter(title__contains="%").count)(), 0),
    (lambda face: face(Book.objects.filter(title__contains=F("slug2")).count)(), 0),
    (lambda face: face(Book.objects.filter(title__startswith=F("title")).count)(), 4),
    (lambda face: face(Book.objects.filter(title__iexact="ONE").count)(), 1),
    (lambda face: face(Book.objects.filter(title__gt="One").count)(), 2),
    (lambda face: face(Book.objects.filter(pk__exact=1).count)(), 1),
    (lambda face: face(Book.objects.filter(pk__in=Book.objects.filter(pages=100)).count)(), 2),
    (lambda face: face(Book.objects.filter(pk=Book.objects.filter(pages=300)[:1]).count)(), 1),
    (lambda face: face(Book.objects.filter(pages__gt=Book.objects.filter(pk=1).values("pages")).count)(), 2),
    (lambda face: face(Book.objects.filter(title__in=Book.objects.values_list("title", flat=True)).count)(), 4),
    (lambda face: face(Book.objects.filter(dorm.Exists(Book.objects.filter(pk=dorm.OuterRef("pk")))).count)(), 4),
    (lambda face: face(Book.objects.exclude(Q(pages=100)).count)(), 2),
    (lambda face: face(Book.objects.exclude(pages=100, title="One").count)(), 3),
    (lambda face: face(Book.objects.exclude().count)(), 4),
    (lambda face: face(Book.objects.filter(tags="a").count)(), 2),
    (lambda face: face(Book.objects.filter(tags__label="a").count)(), 2),
    (lambda face: face(Book.objects.filter(tags__in=["a", "b"]).count)(), 5),
    (lambda face: face(Book.objects.filter(tags__in=["a", "b"]).distinct().count)(), 3),
    (lambda face: face(Book.objects.filter(tags__isnull=True).count)(), 1),
    (lambda face: face(Book.objects.exclude(tags="b").count)(), 1),
    (lambda face: face(Book.objects.filter(tags=None).count)(), 1),
    (lambda face: face(Book.objects.values("pages").distinct().count)(), 3),
    (lambda face: face(Book.objects.values("title").update)(pages=F("pages")), 4),
    (lambda face: face(Book.objects.values("title").union(Book.objects.values("title")).count)(), 4),
    (
        lambda face: face(Book.objects.none().aggregate)(
            x=dorm.Count("pk"), y=dorm.Sum("pages"), z=fn.Coalesce(dorm.Sum("pages"), 0)
        ),
        {"x": 0, "y": None, "z": 0},
    ),
    (lambda face: face(Book.objects.none().union(Book.objects.filter(pk=1)).count)(), 1),
    (lambda face: face(Book.objects.filter(pk=1).intersection(Book.objects.none()).count)(), 0),
    (lambda face: face(Book.objects.filter(pk=1).difference(Book.objects.none()).count)(), 1),
    (lambda face: face(Book.objects.none().difference(Book.objects.filter(pk=1)).count)(), 0),
    (lambda face: face((Book.objects.all() & Book.objects.none()).count)(), 0),
    (lambda face: face((Book.objects.filter(pk=1) ^ Book.objects.none()).count)(), 1),
    (lambda face: face(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).exists)(), True),
    (lambda face: face(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).count)(), 2),
    (
        lambda face: face(
            Book.objects.filter(pk__in=Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).values("pk")).count
        )(),
        2,
    ),
    (lambda face: face(Book.objects.select_related(None).count)(), 4),
    (lambda face: face(Book.objects.prefetch_related(None).count)(), 4),
    (lambda face: face(Book.objects.bulk_update)([], ["pages"]), 0),
    (lambda face: face(Book.objects.bulk_update)([Book(pk=999, title="x")], ["pages"]), 0),
    (lambda face: face(Book.objects.distinct().count)(), 4),
    (lambda face: face(Book.objects.aggregate)(), {}),
    (lambda face: face(Book.objects.aggregate)(dorm.Count("pk")), {"pk__count": 4}),
    (lambda face: face(Book.objects.aggregate)(dorm.Max("author__age")), {"author__age__max": 40}),
    (lambda face: face(Book.objects.aggregate)(x=dorm.Sum(F("pages") + 1)), {"x": 704}),
    (
        lambda face: face(Book.objects.aggregate)(x=dorm.Sum("pages"), y=dorm.Sum("pages") * 2, z=F("x") + 1),
        {"x": 700, "y": 1400, "z": 701},
    ),
    (lambda face: face(Book.objects.aggregate)(x=dorm.Sum("pages"), y=F("x") * 2), {"x": 700, "y": 1400}),
    (lambda face: face(Book.objects.aggregate)(x=dorm.Max("title"), y=dorm.Min("title")), {"x": "Two", "y": "Four"}),
    (
        lambda face: face(Book.objects.aggregate)(
            x=dorm.Avg("pages", distinct=True), y=dorm.Sum("pages", distinct=True), z=dorm.Count("pages", distinct=True)
        ),
        {"x": 200.0, "y": 600, "z": 3},
    ),
    (
        lambda face: face(Book.objects.aggregate)(
            x=dorm.StdDev("pages"),
            y=dorm.Variance("pages"),
            z=dorm.StdDev("pages", sample=True),
            w=dorm.Variance("pages", sample=True),
        ),
        {"x": 82.9156198, "y": 6875.0, "z": 95.7427108, "w": 9166.66667},
    ),
    (
        lambda face: face(Book.objects.aggregate)(
            x=dorm.Count("pk", filter=Q(pages=100)), y=dorm.Sum("pages", filter=Q(author__name="Ann"))
        ),
        {"x": 2, "y": 300},
    ),
    (
        lambda face: face(Book.objects.aggregate)(
            x=dorm.Count("pk", filter=Q(pk__in=[])),
            y=dorm.Sum("pages", filter=Q(pk__in=[])),
            z=dorm.Sum("pages", filter=Q(pk__in=[]), default=5),
        ),
        {"x": 0, "y": None, "z": 5},
    ),
    (lambda face: face(Book.objects.aggregate)(x=dorm.Count("pk", filter=~Q(pk__in=[]))), {"x": 4}),
    (lambda face: face(Book.objects.aggregate)(x=dorm.Count("pk", filter=Q())), {"x": 4}),
    (
        lambda face: face(Book.objects.filter(pk=99).aggregate)(
            x=dorm.Sum("pages"),
            y=dorm.Sum("pages", default=3),
            z=dorm.Count("pk"),
            w=dorm.Max("pub", default=datetime.date(2000, 1, 1)),
        ),
        {"x": None, "y": 3, "z": 0, "w": datetime.date(2000, 1, 1)},
    ),
    (lambda face: face(Book.objects.filter(pk=99).aggregate)(x=dorm.Avg("pages", default=3)), {"x": 3.0}),
    (
        lambda face: face(Book.objects.filter(pk=99).aggregate)(x=dorm.Sum("pages") + 1, y=dorm.Count("pk") + 1),
        {"x": None, "y": 1},
    ),
    (
        lambda face: face(Book.objects.filter(pk__in=[]).aggregate)(
            x=dorm.Sum("pages") + 1,
            y=dorm.Count("pk") + 1,
            z=fn.Coalesce(dorm.Max("pages"), 4),
            w=fn.Coalesce(dorm.Max("pages"), dorm.Min("pages"), Value(3)),
        ),
        {"x": None, "y": 1, "z": 4, "w": 3},
    ),
    (
        lambda face: face(Book.objects.annotate(n=dorm.Count("tags")).aggregate)(x=dorm.Sum("n"), y=dorm.Max("n")),
        {"x": 6, "y": 3},
    ),
    (lambda face: face(Book.objects.annotate(n=dorm.Count("tags")).aggregate)(x=dorm.Sum("pages")), {"x": 700}),
    (
        lambda face: face(Book.objects.values("author").annotate(s=dorm.Sum("pages")).aggregate)(x=dorm.Max("s")),
        {"x": 300},
    ),
    (lambda face: face(Book.objects.annotate(n=dorm.Count("tags")).filter(n__gt=1).count)(), 2),
    (lambda face: face(Book.objects.alias(n=F("pages")).update)(pages=F("n") + 1), 4),
    (lambda face: face(Book.objects.alias(dorm.Count("tags")).filter(tags__count=2).count)(), 1),
    (lambda face: face(Book.objects.annotate(x=F("author__name")).filter(x="Ann").count)(), 2),
    (lambda face: face(Book.objects.update)(pages=1), 4),
    (lambda face: face(Book.objects.update)(), 0),
    (lambda face: face(Book.objects.update)(pages=Book.objects.filter(pk=dorm.OuterRef("pk")).values("pages")[:1]), 4),
    (lambda face: face(Book.objects.order_by("pages").update)(title=F("title")), 4),
    (lambda face: face(Book.objects.order_by("author__name").update)(pages=1), 4),
    (lambda face: face(Book.objects.distinct().update)(pages=1), 4),
    (lambda face: face(Book.objects.select_related("author").update)(pages=1), 4),
    (lambda face: face(Book.objects.filter(tags="a").update)(pages=1), 2),
    (lambda face: face(Book.objects.update)(pages="12"), 4),
    (lambda face: face(Book.objects.all()[:2].none().count)(), 0),
]

MISUSES: list[tuple[Callable[[Face], Awaitable[Any]], type[Exception]]] = [
    (lambda face: face.rows(Book.objects.filter(1)), TypeError),
    (lambda face: face.rows(Book.objects.filter(nosuch=1)), dorm.FieldError),
    (lambda face: face.rows(Book.objects.filter(title__nosuch=1)), dorm.FieldError),
    (lambda face: face.rows(Book.objects.filter(author__nosuch=1)), dorm.FieldError),
    (lambda face: face.rows(Book.objects.filter(author__name__nosuch=1)), dorm.FieldError),
    (lambda face: face.rows(Book.objects.filter(pages__title=1)), dorm.FieldError),
    (lambda face: face(Book.objects.filter(author__in=Author.objects.values("pk", "name")).count)(), ValueError),
    (lambda face: face(Book.objects.filter(pages__gt=None).count)(), ValueError),
    (lambda face: face(Book.objects.filter(title__contains=None).count)(), ValueError),
    (lambda face: face(Book.objects.filter(pk=Book.objects.filter(pages=300)).count)(), ValueError),
    (lambda face: face(Book.objects.filter(pk=Book.objects.filter(pages=100)[:2]).count)(), ValueError),
    (lambda face: face.rows(Book.objects.order_by("title__nosuch")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.order_by("")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.order_by(None)), dorm.FieldError),
    (lambda face: face.rows(Book.objects.order_by(3)), dorm.FieldError),
    (lambda face: face.rows(Book.objects.order_by("author__nosuch")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.order_by("-")), dorm.FieldError),
    (lambda face: face.rows(Book.objects[:2].distinct()), TypeError),
    (lambda face: face.rows(Book.objects[:2].distinct("pk")), TypeError),
    (lambda face: face.rows(Book.objects.values("nosuch")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.values("author__nosuch")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.values(title=fn.Lower("title"))), ValueError),
    (lambda face: face.rows(Book.objects.values(1)), TypeError),
    (lambda face: face.rows(Book.objects.values(None)), TypeError),
    (lambda face: face.rows(Book.objects.values_list("title", "pk", flat=True)), TypeError),
    (lambda face: face.rows(Book.objects.values_list("title", named=True, flat=True)), TypeError),
    (lambda face: face(Book.objects.values("title").delete)(), TypeError),
    (lambda face: face.rows(Book.objects.values_list("title").select_related("author")), TypeError),
    (lambda face: face.rows(Book.objects.values("title").only("title")), TypeError),
    (lambda face: face.rows(Book.objects.values("title").defer("title")), TypeError),
    (lambda face: face(Book.objects.none().get)(), dorm.ObjectDoesNotExist),
    (lambda face: face(Book.objects.none().earliest)("pk"), dorm.ObjectDoesNotExist),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).filter(pk=1)),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).exclude(pk=1)),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).annotate(x=Value(1))),
        dorm.NotSupportedError,
    ),
    (lambda face: face(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).get)(pk=1), dorm.NotSupportedError),
    (lambda face: face(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).get)(), dorm.MultipleObjectsReturned),
    (
        lambda face: face(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).update)(pages=1),
        dorm.NotSupportedError,
    ),
    (lambda face: face(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).delete)(), dorm.NotSupportedError),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).distinct()),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).select_related("author")),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).prefetch_related("tags")),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).defer("title")),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).only("title")),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).dates("pub", "year")),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).alias(x=Value(1))),
        dorm.NotSupportedError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)) & Book.objects.all()),
        TypeError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)) | Book.objects.all()),
        TypeError,
    ),
    (
        lambda face: face.rows(Book.objects.all() | Book.objects.filter(pk=1).union(Book.objects.filter(pk=2))),
        TypeError,
    ),
    (
        lambda face: face.rows(Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)).order_by("nosuch")),
        dorm.FieldError,
    ),
    (lambda face: face.rows(Book.objects.filter(pk=1).intersection(Book.objects.filter(pk=1), all=True)), TypeError),
    (lambda face: face.rows(Book.objects.filter(pk=1).union(5)), AttributeError),
    (lambda face: face.rows(Book.objects.all() | Author.objects.all()), TypeError),
    (lambda face: face.rows(Book.objects.all() & Author.objects.all()), TypeError),
    (lambda face: face.rows(Book.objects.all() ^ Author.objects.all()), TypeError),
    (lambda face: face.rows(Book.objects[:1] | Book.objects.all()), TypeError),
    (lambda face: face.rows(Book.objects.all() | Book.objects[:1]), TypeError),
    (lambda face: face.rows(Book.objects[:1] & Book.objects.all()), TypeError),
    (lambda face: face.rows(Book.objects.filter(pk=1) | Book.objects.filter(pk=2).distinct()), TypeError),
    (lambda face: face.rows(Book.objects.filter(pk=1).distinct() | Book.objects.filter(pk=2)), TypeError),
    (lambda face: face.rows(Book.objects.values("pk") | Book.objects.values("title")), TypeError),
    (lambda face: face.rows(Book.objects.select_related("nosuch")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.select_related("nosuch")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.select_related("title")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.select_related("tags")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.select_related("author__nosuch")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.prefetch_related("title")), ValueError),
    (
        lambda face: face.rows(Author.objects.prefetch_related(dorm.Prefetch("books", Book.objects.values("pk")))),
        ValueError,
    ),
    (
        lambda face: face.rows(Author.objects.prefetch_related("books", dorm.Prefetch("books", Book.objects.all()))),
        ValueError,
    ),
    (
        lambda face: face.rows(Author.objects.prefetch_related(dorm.Prefetch("books", Author.objects.all()))),
        dorm.FieldError,
    ),
    (lambda face: face.rows(Author.objects.prefetch_related(5)), AttributeError),
    (lambda face: face(Book.objects.defer("nosuch").count)(), dorm.FieldDoesNotExist),
    (lambda face: face.rows(Book.objects.defer("nosuch")), dorm.FieldDoesNotExist),
    (lambda face: face.rows(Book.objects.only("nosuch")), dorm.FieldDoesNotExist),
    (lambda face: face.rows(Book.objects.only("author__nosuch")), dorm.FieldDoesNotExist),
    (lambda face: face.rows(Book.objects.select_related("author").only("title")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.select_related("author").defer("author")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.only(None)), TypeError),
    (lambda face: face.rows(Book.objects.values("pk").defer(None)), TypeError),
    (lambda face: face(Book.objects.using("nosuch").count)(), dorm.ImproperlyConfigured),
    (lambda face: face(Book.objects.get)(pk=99), dorm.ObjectDoesNotExist),
    (lambda face: face(Book.objects.get)(pages=100), dorm.MultipleObjectsReturned),
    (lambda face: face(Book.objects.get)(), dorm.MultipleObjectsReturned),
    (lambda face: face(Book.objects.order_by("pk")[0:2].get)(), dorm.MultipleObjectsReturned),
    (lambda face: face(Book.objects.get)(nosuch=1), dorm.FieldError),
    (lambda face: face(Book.objects.create)(pk=1, title="dup"), dorm.IntegrityError),
    (lambda face: face(Book.objects.create)(title="One", pages=100), dorm.IntegrityError),
    (lambda face: face(Book.objects.get_or_create)(pages=100), dorm.MultipleObjectsReturned),
    (lambda face: face(Book.objects.get_or_create)(nosuch=1), dorm.FieldError),
    (lambda face: face(Book.objects.get_or_create)(title="q", defaults={"nosuch": 1}), dorm.FieldError),
    (lambda face: face(Book.objects.get_or_create)(title="n1", defaults={"pages": F("pages")}), ValueError),
    (
        lambda face: face(Book.objects.update_or_create)(pages=100, defaults={"title": "x"}),
        dorm.MultipleObjectsReturned,
    ),
    (lambda face: face(Book.objects.update_or_create)(title="Onx", defaults={"nosuch": 1}), dorm.FieldError),
    (lambda face: face(Book.objects.bulk_create)([Book(title="One", pages=100)]), dorm.IntegrityError),
    (lambda face: face(Book.objects.bulk_create)([Book(title="One", pages=100)], update_conflicts=True), ValueError),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)], update_conflicts=True, update_fields=["price"]
        ),
        ValueError,
    ),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)], update_conflicts=True, unique_fields=["title"]
        ),
        ValueError,
    ),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)],
            update_conflicts=True,
            ignore_conflicts=True,
            update_fields=["price"],
            unique_fields=["title", "pages"],
        ),
        ValueError,
    ),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)], update_conflicts=True, update_fields=["nosuch"], unique_fields=["title"]
        ),
        dorm.FieldDoesNotExist,
    ),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)], update_conflicts=True, update_fields=["price"], unique_fields=["nosuch"]
        ),
        dorm.FieldDoesNotExist,
    ),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)], update_conflicts=True, update_fields=["tags"], unique_fields=["title"]
        ),
        ValueError,
    ),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)],
            update_conflicts=True,
            update_fields=["id"],
            unique_fields=["title", "pages"],
        ),
        ValueError,
    ),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)], update_conflicts=True, update_fields=["price"], unique_fields=["tags"]
        ),
        ValueError,
    ),
    (
        lambda face: face(Book.objects.bulk_create)(
            [Book(title="One", pages=100)], update_conflicts=True, update_fields=["price"], unique_fields=["pk"]
        ),
        dorm.IntegrityError,
    ),
    (lambda face: face(Book.objects.bulk_create)([Book(title="a1")], batch_size=0), ValueError),
    (lambda face: face(Book.objects.bulk_create)([Book(title="a1")], batch_size=-1), ValueError),
    (lambda face: face(Book.objects.in_bulk)(field_name="title"), ValueError),
    (lambda face: face(Book.objects.in_bulk)(field_name="nosuch"), dorm.FieldDoesNotExist),
    (lambda face: face(Book.objects[:2].in_bulk)([1]), TypeError),
    (lambda face: face(Book.objects.in_bulk)(5), TypeError),
    (lambda face: face(Book.objects.latest)(), ValueError),
    (lambda face: face(Book.objects.earliest)(), ValueError),
    (lambda face: face(Book.objects.latest)("nosuch"), dorm.FieldError),
    (lambda face: face(Book.objects.filter(pk=99).latest)("pk"), dorm.ObjectDoesNotExist),
    (lambda face: face(Book.objects[:2].latest)("pk"), TypeError),
    (lambda face: face(Book.objects.order_by("pk")[:2].last)(), TypeError),
    (lambda face: face(Book.objects.values("pages").annotate(n=dorm.Count("pk")).first)(), TypeError),
    (lambda face: face(Book.objects.values("pages").annotate(n=dorm.Count("pk")).last)(), TypeError),
    (lambda face: face(Book.objects.aggregate)(F("pages")), TypeError),
    (lambda face: face(Book.objects.aggregate)(x=F("pages")), TypeError),
    (lambda face: face(Book.objects.aggregate)(x=fn.Lower("title")), TypeError),
    (lambda face: face(Book.objects.aggregate)(x=Value(1)), TypeError),
    (lambda face: face(Book.objects.aggregate)("x"), TypeError),
    (lambda face: face(Book.objects.aggregate)(x="pages"), TypeError),
    (lambda face: face(Book.objects.aggregate)(dorm.Sum(F("pages") + 1)), TypeError),
    (lambda face: face(Book.objects.aggregate)(pages=dorm.Sum("pages"), x=dorm.Max("pages")), dorm.FieldError),
    (lambda face: face(Book.objects.aggregate)(x=dorm.Count("nosuch")), dorm.FieldError),
    (lambda face: face(Book.objects.aggregate)(x=dorm.Max("pages", distinct=True)), TypeError),
    (lambda face: face(Book.objects.aggregate)(x=dorm.Count("pk", default=1)), TypeError),
    (lambda face: face.rows(Book.objects.alias(n=dorm.Count("tags")).values("n")), dorm.FieldError),
    (lambda face: face(Book.objects.alias(n=F("pages")).aggregate)(x=dorm.Sum("n")), dorm.FieldError),
    (lambda face: face.rows(Book.objects.alias(n=F("pages")).only("n")), dorm.FieldDoesNotExist),
    (lambda face: face.rows(Book.objects.alias(F("pages"))), TypeError),
    (lambda face: face.rows(Book.objects.alias(title=F("pages"))), ValueError),
    (lambda face: face.rows(Book.objects.alias(x="pages")), TypeError),
    (lambda face: face.rows(Book.objects.annotate(title=F("pages"))), ValueError),
    (lambda face: face.rows(Book.objects.annotate(author_id=F("pages"))), ValueError),
    (lambda face: face.rows(Book.objects.annotate(tags=F("pages"))), ValueError),
    (lambda face: face.rows(Book.objects.annotate(fn.Lower("title"))), TypeError),
    (lambda face: face.rows(Book.objects.annotate(dorm.Count("tags"), tags__count=dorm.Count("tags"))), ValueError),
    (lambda face: face.rows(Book.objects.annotate(x=5)), TypeError),
    (lambda face: face.rows(Book.objects.annotate(x="pages")), TypeError),
    (lambda face: face.rows(Book.objects.annotate(**{"a b": F("pages")})), ValueError),
    (lambda face: face.rows(Book.objects.annotate(x=F("nosuch"))), dorm.FieldError),
    (lambda face: face.rows(Book.objects.annotate(x=dorm.Sum(dorm.Sum("pages")))), dorm.FieldError),
    (lambda face: face.rows(Book.objects.annotate(x=dorm.Count("tags")).annotate(y=dorm.Sum("x"))), dorm.FieldError),
    (lambda face: face(Book.objects.contains)(5), TypeError),
    (lambda face: face(Book.objects.update)(nosuch=1), dorm.FieldDoesNotExist),
    (lambda face: face(Book.objects.update)(tags=1), dorm.FieldError),
    (lambda face: face(Book.objects.update)(author__name="x"), dorm.FieldDoesNotExist),
    (lambda face: face(Book.objects.update)(pages=F("author__age")), dorm.FieldError),
    (lambda face: face(Book.objects.update)(pages=dorm.Count("tags")), dorm.FieldError),
    (lambda face: face(Book.objects.update)(pages=dorm.Sum("pages")), dorm.FieldError),
    (lambda face: face(Book.objects.update)(pages=F("nosuch")), dorm.FieldError),
    (lambda face: face(Book.objects.update)(pages=None), dorm.IntegrityError),
    (lambda face: face(Book.objects.delete)(), AttributeError),
    (lambda face: face(Book.objects.distinct("pages").delete)(), TypeError),
    (lambda face: face.rows(Book.objects.all()[:2].filter(pk=1)), TypeError),
    (lambda face: face.rows(Book.objects.all()[:2].exclude(pk=1)), TypeError),
    (lambda face: face.rows(Book.objects.all()[:2].order_by("pk")), TypeError),
    (lambda face: face(Book.objects.all()[:2].get)(pk=1), TypeError),
    (lambda face: face.rows(Book.objects.all()[:2].dates("pub", "year")), TypeError),
    (lambda face: face(Book.objects.all()[:2].latest)("pk"), TypeError),
    (lambda face: face.rows(Book.objects.all()[:2].reverse()), TypeError),
    (lambda face: face.rows(Book.objects(1)), TypeError),
]


async def test_answers(face: Face) -> None:
    await fill(face)
    for number, (ask, expected) in enumerate(ANSWERS):
        with pytest.raises(Undone):
            async with face.atomic():
                found = await ask(face)
                raise Undone
        assert found == (pytest.approx(expected) if isinstance(expected, (dict, float)) else expected), f"case {number}"


async def test_misuses(face: Face) -> None:
    await fill(face)
    for number, (misuse, error) in enumerate(MISUSES):
        with pytest.raises((error, Undone)) as caught:
            async with face.atomic():
                await misuse(face)
                raise Undone
        assert caught.type is not Undone, f"case {number} was taken"
    assert await face(Book.objects.count)() == 4
