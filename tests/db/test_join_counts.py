"""How many tables a query joins, and how: no more than Django's for the same queryset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dorm
from dorm import Count, F, Q
from tests.support.models import Author, Book, Review

Make = Callable[[], Any]


def _either() -> Any:
    return Review.objects.filter(Q(book__publisher__name="x") | Q(book__title="y"))


QUERIES: list[tuple[str, Make, int, int]] = [
    # name, queryset, INNER JOINs, LEFT JOINs
    ("a column of a required key", lambda: Book.objects.filter(author__name="x"), 1, 0),
    ("the key of the target stands here", lambda: Book.objects.filter(author__id=1, author__pk=1), 0, 0),
    ("one join for two columns", lambda: Book.objects.filter(author__name="x", author__age=3), 1, 0),
    ("two calls, one partner", lambda: Book.objects.filter(author__name="x").filter(author__age=3), 1, 0),
    ("several partners, one call", lambda: Author.objects.filter(books__pages=1, books__title="x"), 1, 0),
    ("several partners, two calls", lambda: Author.objects.filter(books__pages=1).filter(books__title="x"), 2, 0),
    ("an optional key, demanded", lambda: Book.objects.filter(publisher__name="x"), 1, 0),
    ("an optional key under OR", lambda: Book.objects.filter(Q(publisher__name="x") | Q(pages=1)), 0, 1),
    ("both sides of OR demand it", lambda: Book.objects.filter(Q(publisher__name="x") | Q(publisher__name="y")), 1, 0),
    ("an optional key under NOT", lambda: Book.objects.exclude(publisher__name="x"), 0, 1),
    ("a partner that is missing", lambda: Author.objects.filter(books__isnull=True), 0, 1),
    ("a key that is missing", lambda: Book.objects.filter(publisher__isnull=True), 0, 0),
    ("several partners under NOT", lambda: Author.objects.exclude(books__pages=1), 0, 0),
    ("a partner that is demanded by NOT", lambda: Author.objects.exclude(books__isnull=True), 0, 0),
    ("an optional key that is demanded by NOT", lambda: Book.objects.exclude(publisher__name__isnull=True), 1, 0),
    ("NOT of a NOT demands", lambda: Book.objects.exclude(~Q(publisher__name="x")), 1, 0),
    ("NOT of all demands nothing", lambda: Book.objects.exclude(publisher__name=None, pages=1), 0, 1),
    ("both sides of OR demand the table between", _either, 1, 1),
    ("several partners of a key under NOT", lambda: Book.objects.exclude(author__books__pages=1), 0, 0),
    ("several partners of a row under NOT", lambda: Review.objects.exclude(book__publisher__books__pages=1), 1, 0),
    ("an order over a key", lambda: Book.objects.order_by("author__name"), 1, 0),
    ("an order that was replaced", lambda: Book.objects.order_by("author__name").order_by("pk"), 0, 0),
    ("columns of the other side", lambda: Book.objects.values("author__name", "publisher__name"), 1, 1),
    ("a chain of keys", lambda: Review.objects.filter(book__author__name="x"), 2, 0),
    ("a chain that ends at a key", lambda: Review.objects.filter(book__author=1), 1, 0),
    ("an aggregate shares a join", lambda: Author.objects.filter(books__pages=1).annotate(Count("books")), 1, 0),
    ("an aggregate of its own", lambda: Author.objects.annotate(n=Count("books")), 0, 1),
    ("select_related shares joins", lambda: Book.objects.filter(author__name="x").select_related("author"), 1, 0),
    ("a comparison of two columns", lambda: Book.objects.filter(author__name=F("title"), author__age=F("pages")), 1, 0),
]  # fmt: skip


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("name", "make", "inner", "outer"), QUERIES, ids=[each[0] for each in QUERIES])
def test_joins(name: str, make: Make, inner: int, outer: int) -> None:
    text = make().order_by("pk").sql()[0] if not make().ordered or "order" not in name else make().sql()[0]
    outermost = text.partition("EXISTS")[0]
    assert (outermost.count("INNER JOIN"), outermost.count("LEFT OUTER JOIN")) == (inner, outer), text


@pytest.mark.usefixtures("database")
def test_counting_joins_only_what_decides() -> None:
    sent: list[str] = []

    def note(sender: Any, sql: str, **kwargs: Any) -> None:
        sent.append(sql)

    dorm.pre_query.connect(note)
    try:
        Book.objects.select_related("author").order_by("author__name").annotate(who=F("publisher__name")).count()
        Book.objects.order_by("author__name").exists()
    finally:
        dorm.pre_query.disconnect(note)
    assert len(sent) == 2
    assert not any("JOIN" in sql or "ORDER" in sql for sql in sent), sent
