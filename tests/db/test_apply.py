"""`apply`: functions in the order in which they are applied; expressions as values."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import dorm
from dorm import Case, Count, Exists, F, Func, OuterRef, Q, RawSQL, Subquery, Sum, Value, When, Window
from dorm.functions import Abs, Cast, Coalesce, Concat, Length, Lower, Replace, RowNumber, Substr, Trim, Upper
from tests.support.faces import Face
from tests.support.models import Author, Book

pytestmark = pytest.mark.usefixtures("database")

CASE = Case(When(age=1, then="name"), default=Value(""))
TEXT = dorm.TextField()
CHAINS: list[tuple[Any, Any]] = [
    (F("name").apply(Lower), Lower(F("name"))),
    (F("name").apply(Lower).apply(Trim).apply(Substr, 1, 10), Substr(Trim(Lower(F("name"))), 1, 10)),
    (F("name").apply(Length).apply(Abs), Abs(Length(F("name")))),
    ((F("age") + 1).apply(Abs), Abs(F("age") + 1)),
    (Value(" x ").apply(Trim), Trim(Value(" x "))),
    (CASE.apply(Upper), Upper(CASE)),
    (F("age").apply(Cast, output_field=TEXT).apply(Length), Length(Cast("age", output_field=TEXT))),
    (F("name").apply(Replace, Value("a"), Value("b")), Replace(F("name"), Value("a"), Value("b"))),
    (F("name").apply(lambda e: Concat(Value("x"), e)), Concat(Value("x"), F("name"))),
    (Count("books").apply(Coalesce, 0), Coalesce(Count("books"), 0)),
]  # fmt: skip


@pytest.mark.parametrize(("chain", "nested"), CHAINS, ids=range(len(CHAINS)))
def test_a_chain_is_the_nested_call(chain: Any, nested: Any) -> None:
    one, other = Author.objects.annotate(it=chain), Author.objects.annotate(it=nested)
    assert one.sql() == other.sql()
    assert chain == nested
    assert hash(chain) == hash(nested)


async def test_chains_in_queries(face: Face) -> None:
    await face(Author.objects.create)(name=" Abcdef ", age=-3)
    start = F("name").apply(Trim)
    short, loud = start.apply(Lower).apply(Substr, 1, 3), start.apply(Upper)
    row = await face(Author.objects.annotate(short=short, loud=loud).get)(short="abc")
    assert (row.short, row.loud) == ("abc", "ABCDEF")
    await face(Author.objects.order_by(short.desc()).update)(name=short)
    assert (await face(Author.objects.get)(name="abc")).age == -3
    await face(Book.objects.create)(title="x", author=row, pages=1)
    books = Book.objects.filter(title__lt=F("author__name").apply(Upper).apply(Concat, Value("z")))
    assert await face(books.count)() == 0


async def test_every_kind_of_expression_takes_it(face: Face) -> None:
    ann, bob = [await face(Author.objects.create)(name=name, age=age) for name, age in [("Ann", 3), ("Bob", None)]]
    await face(Book.objects.create)(title="x", author=ann, pages=7)
    pages = Subquery(Book.objects.filter(author=OuterRef("pk")).values("pages")[:1])
    kinds: dict[str, Any] = {
        "text": F("age").apply(Cast, output_field="TEXT").apply(Coalesce, Value("?")),
        "pages": pages.apply(Coalesce, 0),
        "place": Window(RowNumber(), order_by="-name").apply(Abs),
    }
    rows = await face.rows(Author.objects.annotate(**kinds).order_by("name").values_list(*kinds))
    assert rows == [("3", 7, 2), ("?", 0, 1)]
    assert await face(Author.objects.aggregate)(sum=Sum("age").apply(Coalesce, 0)) == {"sum": 3}
    assert await face(Author.objects.filter(name=Value(" Bob ").apply(Trim)).get)() == bob


def test_an_index_is_over_a_chain(database: Any) -> None:
    index = dorm.Index(F("name").apply(Trim).apply(Lower), name="author_plain_name")
    nested = dorm.Index(Lower(Trim("name")), name="author_plain_name")
    assert index == nested


@pytest.mark.parametrize(
    "wrong",
    ["Lower", 3, Lower("name"), int, dict, lambda e: "x"],
    ids=["text", "number", "instance", "int", "dict", "lambda"],
)
def test_what_apply_refuses(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"apply\(\)"):
        F("name").apply(wrong)
    with pytest.raises(TypeError, match="argument"):
        F("name").apply(Length, 1, 2)


def test_expressions_are_values() -> None:
    for expression in (F("a") + 1, Value("x"), Lower("name"), Func("a", function="F"), Case(When(Q(a=1), then="b"))):
        assert expression == copy.deepcopy(expression)
        assert pickle.loads(pickle.dumps(expression)) == expression
    assert F("a") + 1 != F("a") + 2
    assert Value(1) != Value(True)
    assert Lower("a") != Upper("a")
    assert len({Value(1), Value(1), Value(2)}) == 2


async def test_chains_wherever_expressions_stand(face: Face) -> None:
    ann, bob = [await face(Author.objects.create)(name=name, age=age) for name, age in [("Ann", 3), ("bob", 4)]]
    await face(Book.objects.create)(title="x", author=bob, pages=7)
    loud = F("name").apply(Upper)
    assert await face.rows(Author.objects.values(it=loud)) == [{"it": "ANN"}, {"it": "BOB"}]
    assert await face.rows(Author.objects.values_list(loud.apply(Substr, 1, 1), flat=True)) == ["A", "B"]
    assert await face.rows(Author.objects.exclude(name=Value(" Ann ").apply(Trim))) == [bob]
    assert await face.rows(Author.objects.annotate(it=loud).exclude(it__startswith="B")) == [ann]
    assert await face.rows(Author.objects.order_by(loud.apply(Substr, 2).desc())) == [bob, ann]
    assert await face.rows(Author.objects.filter(name__iexact=loud)) == [ann, bob]
    assert await face.rows(Book.objects.values_list(F("author__name").apply(Upper), flat=True)) == ["BOB"]
    same = Book.objects.filter(author__name__iexact=OuterRef("name").apply(Upper))
    assert await face.rows(Author.objects.filter(Exists(same))) == [bob]
    kinds: dict[str, Any] = {
        "exists": Exists(same).apply(Cast, output_field=dorm.IntegerField()),
        "raw": RawSQL("name", output_field=dorm.CharField()).apply(Upper),
        "slice": F("name")[0:2].apply(Upper),
        "count": F("books").apply(Count, distinct=True, filter=Q(books__pages__gt=5)),
    }
    rows = await face.rows(Author.objects.annotate(**kinds).values_list(*kinds))
    assert rows == [(0, "ANN", "AN", 0), (1, "BOB", "BO", 1)]
    await face(Author.objects.update)(email=F("name").apply(Lower).apply(Concat, Value("@x")))
    assert await face.rows(Author.objects.values_list("email", flat=True)) == ["ann@x", "bob@x"]


def test_literals_of_a_chain_are_parameters_and_the_start_stays() -> None:
    start = F("name")
    chain = start.apply(Replace, Value("'; --"), Value("x"))
    text, params = Author.objects.annotate(it=chain).sql()
    assert "--" not in text
    assert params[:2] == ("'; --", "x")
    assert start == F("name")
    assert start.apply(lambda each: each) is start
    assert repr(start.apply(Lower)) == repr(Lower(F("name")))
