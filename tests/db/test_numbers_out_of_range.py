"""Conditions inside expressions that compare with numbers which their column cannot hold."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import Case, Count, Exists, F, OuterRef, Q, Sum, Value, When, Window
from tests.db.test_rows import library
from tests.support.faces import Face, names
from tests.support.models import Author, Book

pytestmark = pytest.mark.usefixtures("database")

LONG = Case(When(pages__gt=150.5, then=Value("long")), When(pages__lt=2**80, then=Value("short")))


async def test_in_annotations_and_orders(face: Face) -> None:
    await library(face)
    rows = Book.objects.annotate(size=LONG).order_by("title")
    for _ in range(2):
        assert await face.rows(rows.values_list("size", flat=True)) == ["short", "long", "long", "short", "short"]
    assert sorted(names(await face.rows(rows.filter(size="long")), "title")) == ["A2", "A3"]
    first = Book.objects.order_by(Case(When(pages__gt=150.5, then=0), default=1), "title")
    assert names(await face.rows(first), "title") == ["A2", "A3", "A1", "B1", "B2"]
    windows = Book.objects.annotate(n=Window(Count("pk", filter=Q(pages__gte=99.5)), partition_by="author"))
    assert await face.rows(windows.order_by("title").values_list("n", flat=True)) == [3, 3, 3, 1, 1]


async def test_in_aggregates(face: Face) -> None:
    await library(face)
    counts: dict[str, Any] = {
        "above": Count("pk", filter=Q(pages__gt=99.5)),
        "not_above": Count("pk", filter=~Q(pages__gt=99.5)),
        "below": Count("pk", filter=Q(pages__lt=2**80)),
        "listed": Sum("pages", filter=Q(pages__in=[0.5, 50, 2**80])),
        "none": Count("pk", filter=Q(pages=2**80) | Q(pages=0.5)),
        "between": Count("pk", filter=Q(pages__range=(99.5, 2**80))),
    }
    wanted = {"above": 4, "not_above": 1, "below": 5, "listed": 50, "none": 0, "between": 4}
    assert await face(Book.objects.aggregate)(**counts) == wanted
    rows = Author.objects.annotate(n=Count("books", filter=Q(books__pages__gt=150.5))).order_by("name")
    assert await face.rows(rows.values_list("n", flat=True)) == [2, 0]


async def test_in_conditions_and_updates(face: Face) -> None:
    await library(face)
    deep = Book.objects.filter(Case(When(pages__gt=150.5, then=True), default=False) | Q(pages=2**80))
    assert sorted(names(await face.rows(deep), "title")) == ["A2", "A3"]
    some = Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk"), pages__gt=299.5)))
    assert names(await face.rows(some)) == ["Ann"]
    assert await face(Book.objects.update)(pages=Case(When(pages__gt=150.5, then=1), default=F("pages") + 1)) == 5
    assert sorted(await face.rows(Book.objects.values_list("pages", flat=True))) == [1, 1, 51, 101, 151]
    with pytest.raises(dorm.ValidationError, match="takes whole numbers from"):
        await face(Book.objects.update)(pages=2**80)
