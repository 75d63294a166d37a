"""Window functions, partitions, orders and frames."""

from __future__ import annotations

import decimal
from typing import Any

import pytest

from dorm import Avg, Count, F, ImproperlyConfigured, Max, NotSupportedError, Q, RowRange, Sum, ValueRange, Window
from dorm.expressions import OrderBy, WindowFrameExclusion
from dorm.functions import (
    CumeDist,
    DenseRank,
    FirstValue,
    Lag,
    LastValue,
    Lead,
    Lower,
    NthValue,
    NTile,
    PercentRank,
    Rank,
    RowNumber,
)
from tests.support.faces import Face
from tests.support.models import Author, Book

pytestmark = pytest.mark.usefixtures("database")

#        title, author, pages, price
ROWS = [
    ("A", "ann", 100, "10.00"),
    ("B", "ann", 200, "20.50"),
    ("C", "ann", 200, None),
    ("D", "bob", 50, "1.25"),
    ("E", "bob", 150, "3.75"),
]


@pytest.fixture
def books(database: Any) -> None:
    authors = {name: Author.objects.create(name=name) for name in ("ann", "bob")}
    Book.objects.bulk_create(
        [Book(title=title, author=authors[name], pages=pages, price=price) for title, name, pages, price in ROWS]
    )


async def column(face: Face, window: Window) -> list[Any]:
    qs = Book.objects.annotate(x=window).order_by("title").values_list("x", flat=True)
    return await face.rows(qs)


BY_AUTHOR = {"partition_by": "author__name", "order_by": "pages"}

CASES: list[tuple[Window, list[Any]]] = [
    (Window(RowNumber(), order_by="title"), [1, 2, 3, 4, 5]),
    (Window(RowNumber(), partition_by="author", order_by=["-pages", "title"]), [3, 1, 2, 2, 1]),
    (Window(Rank(), order_by="-pages"), [4, 1, 1, 5, 3]),
    (Window(DenseRank(), order_by=F("pages").desc()), [3, 1, 1, 4, 2]),
    (Window(PercentRank(), order_by="pages"), [0.25, 0.75, 0.75, 0.0, 0.5]),
    (Window(CumeDist(), order_by="pages"), [0.4, 1.0, 1.0, 0.2, 0.6]),
    (Window(NTile(2), order_by="title"), [1, 1, 1, 2, 2]),
    (Window(Lag("pages"), order_by="title"), [None, 100, 200, 200, 50]),
    (Window(Lag("pages", offset=2, default=-1), order_by="title"), [-1, -1, 100, 200, 200]),
    (Window(Lead("pages", default=0), **BY_AUTHOR), [200, 200, 0, 150, 0]),
    (Window(Lead("price", default=decimal.Decimal("9.50")), order_by="title"),
     [decimal.Decimal("20.50"), None, decimal.Decimal("1.25"), decimal.Decimal("3.75"), decimal.Decimal("9.50")]),
    (Window(FirstValue("title"), partition_by="author", order_by="title"), ["A", "A", "A", "D", "D"]),
    (Window(LastValue("title"), partition_by="author", order_by="title",
            frame=RowRange(None, None)), ["C", "C", "C", "E", "E"]),
    (Window(NthValue("title", nth=2), order_by="title"), [None, "B", "B", "B", "B"]),
    (Window(Sum("pages")), [700] * 5),
    (Window(Sum("pages"), partition_by="author"), [500, 500, 500, 200, 200]),
    (Window(Sum("pages"), order_by="title"), [100, 300, 500, 550, 700]),
    (Window(Count("id"), partition_by=[F("author")]), [3, 3, 3, 2, 2]),
    (Window(Count("*"), partition_by=Lower("author__name")), [3, 3, 3, 2, 2]),
    (Window(Max("pages"), partition_by="author__name", order_by="title"), [100, 200, 200, 50, 150]),
    (Window(Sum("pages", filter=Q(pages__gt=100)), partition_by="author"), [400, 400, 400, 150, 150]),
    (Window(Avg("price"), partition_by="author"),
     [decimal.Decimal("15.25")] * 3 + [decimal.Decimal("2.50")] * 2),
    (Window(Sum("price"), order_by="title", frame=RowRange(-1, 0)),
     [decimal.Decimal("10.00"), decimal.Decimal("30.50"), decimal.Decimal("20.50"), decimal.Decimal("1.25"),
      decimal.Decimal("5.00")]),
    (Window(Avg("price"), order_by="title", frame=RowRange(-1, 0)),
     [decimal.Decimal("10.00"), decimal.Decimal("15.25"), decimal.Decimal("20.50"), decimal.Decimal("1.25"),
      decimal.Decimal("2.50")]),
    (Window(Sum("pages"), order_by="title", frame=RowRange(-1, 1)), [300, 500, 450, 400, 200]),
    (Window(Sum("pages"), order_by="title", frame=RowRange(0, None)), [700, 600, 400, 200, 150]),
    (Window(Sum("pages"), order_by="title", frame=RowRange(1, 2)), [400, 250, 200, 150, None]),
    (Window(Sum("pages"), order_by="pages", frame=ValueRange(None, 0)), [150, 700, 700, 50, 300]),
    (Window(Sum("pages"), order_by="title", frame=RowRange(-1, 1, exclusion=WindowFrameExclusion.CURRENT_ROW)),
     [200, 300, 250, 350, 50]),
    (Window(Sum("pages"), order_by="title", frame="rows between 1 preceding and current row"),
     [100, 300, 400, 250, 200]),
    (Window(Count("id"), order_by=OrderBy("price", nulls_first=True)), [4, 5, 1, 2, 3]),
]  # fmt: skip


@pytest.mark.parametrize(("window", "expected"), CASES, ids=[str(number) for number in range(len(CASES))])
async def test_windows(face: Face, books: None, window: Window, expected: list[Any]) -> None:
    assert await column(face, window) == expected


async def test_windows_in_expressions_and_order(face: Face, books: None) -> None:
    share = Window(Sum("pages"), partition_by="author")
    qs = Book.objects.annotate(rest=share - F("pages"), rank=Window(Rank(), order_by="-pages")).order_by(
        "rank", "title"
    )
    assert await face.rows(qs.values_list("title", "rest")) == [
        ("B", 300),
        ("C", 300),
        ("E", 50),
        ("A", 400),
        ("D", 150),
    ]
    ordered = Book.objects.order_by(Window(RowNumber(), order_by="-title"))
    assert [book.title for book in await face.rows(ordered)] == ["E", "D", "C", "B", "A"]


async def test_range_distances(face: Face, backend: str, books: None) -> None:
    window = Window(Sum("pages"), order_by="pages", frame=ValueRange(-50, 50))
    if backend == "postgresql":
        with pytest.raises(NotSupportedError, match="PostgreSQL only supports UNBOUNDED together with PRECEDING and"):
            await column(face, window)
    else:
        assert await column(face, window) == [300, 550, 550, 150, 650]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Window(Lower("title")), ValueError, "Expression 'Lower' isn't compatible with OVER clauses"),
        (lambda: Window(Sum("pages"), order_by={"-pages"}), ValueError, "Window.order_by must be either a string"),
        (lambda: Window(Rank()), ImproperlyConfigured, "give order_by"),
        (lambda: Window(Sum("pages"), frame="ROWS BETWEEN 1 PRECEDING AND 1; DROP"), ValueError, "is no frame"),
        (lambda: Window(Sum("pages"), frame=3), TypeError, "Window.frame takes"),
        (lambda: Lag(None), ValueError, "requires a non-null source expression"),
        (lambda: Lead("pages", offset=0), ValueError, "requires a positive integer for the offset"),
        (lambda: NthValue(None), ValueError, "requires a non-null source expression"),
        (lambda: NthValue("pages", nth=-1), ValueError, "requires a positive integer as for nth"),
        (lambda: NTile(0), ValueError, "num_buckets must be greater than 0"),
        (lambda: RowRange("a", 1), ValueError, "start argument must be an integer, zero, or None, but got 'a'"),
        (lambda: RowRange(1, "b"), ValueError, "end argument must be an integer, zero, or None, but got 'b'"),
        (lambda: RowRange(3, 1), ValueError, "start cannot be greater than end"),
        (lambda: RowRange(exclusion="x"), TypeError, "must be a WindowFrameExclusion"),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_frames_are_values() -> None:
    assert RowRange(-1, 0) == RowRange(-1, 0)
    assert repr(RowRange(None, 0)) == "<RowRange: ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW>"
    assert str(ValueRange(0, 2)) == "RANGE BETWEEN CURRENT ROW AND 2 FOLLOWING"
