"""Lookups: literal wildcards, case, lists, years and zones, expressions on both sides, classes of one's own."""

from __future__ import annotations

import datetime
import decimal
import enum
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

import dorm
from dorm import F, FieldError, NotSupportedError, Q, Value, timezone
from dorm.functions import ExtractHour, Length, Lower, Now, TruncDay, TruncHour, Upper
from dorm.lookups import (
    Contains,
    Exact,
    GreaterThan,
    IContains,
    In,
    IsNull,
    LessThan,
    Lookup,
    Range,
    Transform,
    register_lookup,
    unregister_lookup,
)
from dorm.migrations.schema import create_tables
from dorm.sql.plan import renew
from tests.support.faces import Face
from tests.support.models import Author, Book, Everything

pytestmark = pytest.mark.usefixtures("database")

TEXTS = [
    "100% Emma",
    "100x Emma",
    "a_b",
    "axb",
    r"back\slash",
    "Straße",
    "STRASSE",
    "émile",
    "ÉMILE",
    "[x]*?",
    "",
    None,
]


async def texts(face: Face, *args: Any, **lookup: Any) -> list[Any]:
    qs = Everything.objects.filter(*args, **lookup).order_by("id").values_list("char", flat=True)
    return await face.rows(qs)


CASES: list[tuple[dict[str, Any], list[Any]]] = [
    ({"char__contains": "0% E"}, ["100% Emma"]),
    ({"char__icontains": "0% e"}, ["100% Emma"]),
    ({"char__contains": "a_b"}, ["a_b"]),
    ({"char__startswith": "a_"}, ["a_b"]),
    ({"char__contains": "\\"}, [r"back\slash"]),
    ({"char__endswith": r"k\slash"}, [r"back\slash"]),
    ({"char__iendswith": r"K\SLASH"}, [r"back\slash"]),
    ({"char__startswith": "[x]*"}, ["[x]*?"]),
    ({"char__contains": "*?"}, ["[x]*?"]),
    ({"char__iexact": "100% emma"}, ["100% Emma"]),
    ({"char__iexact": "émile"}, ["émile", "ÉMILE"]),
    ({"char__icontains": "ÉMI"}, ["émile", "ÉMILE"]),
    ({"char__istartswith": "é"}, ["émile", "ÉMILE"]),
    ({"char__contains": "É"}, ["ÉMILE"]),
    ({"char__startswith": "E"}, []),
    ({"char__exact": None}, [None]),
    ({"char__iexact": None}, [None]),
    ({"char": ""}, [""]),
    ({"char__isnull": True}, [None]),
    ({"char__isnotnull": False}, [None]),
    ({"char__in": ["a_b", None, "axb"]}, ["a_b", "axb"]),
    ({"char__in": {"axb", "zzz"}}, ["axb"]),
    ({"char__in": []}, []),
    ({"char__in": [None]}, []),
    ({"char__regex": r"^a.b$"}, ["a_b", "axb"]),
    ({"char__iregex": r"^BACK"}, [r"back\slash"]),
    ({"char__range": ("a", "b")}, ["a_b", "axb"]),
    ({"char__contains": F("text")}, ["100% Emma", "100x Emma"]),
    ({"char__startswith": Value("a_")}, ["a_b"]),
    ({"char__iendswith": Lower(Value("EMMA"))}, ["100% Emma", "100x Emma"]),
    ({"char__icontains": Value("É")}, ["émile", "ÉMILE"]),
]


@pytest.fixture
def rows(database: Any) -> None:
    Everything.objects.bulk_create(
        [Everything(char=text, text="0" if text and text.startswith("100") else "nowhere", integer=number)
         for number, text in enumerate(TEXTS)]
    )  # fmt: skip


@pytest.mark.parametrize(("lookup", "expected"), CASES, ids=[str(number) for number in range(len(CASES))])
async def test_texts(face: Face, backend: str, rows: None, lookup: dict[str, Any], expected: list[Any]) -> None:
    if "char__range" in lookup and backend == "postgresql":
        expected = [text for text in expected if text]
    assert sorted(map(str, await texts(face, **lookup))) == sorted(map(str, expected))


async def test_generators_are_read_once(face: Face, rows: None) -> None:
    qs = Everything.objects.filter(char__in=(each for each in ["axb"]))
    assert await face(qs.count)() == await face(qs.count)() == 1


async def test_long_lists(face: Face, rows: None) -> None:
    qs = Everything.objects.filter(integer__in=range(3, 40_003))
    assert await face(qs.count)() == len(TEXTS) - 3
    assert await face(Everything.objects.exclude(integer__in=list(range(3, 70_000))).count)() == 3


class Number(enum.IntEnum):
    TWO = 2


async def test_lists_of_one_plan_may_hold_items_that_have_to_be_read(face: Face, rows: None) -> None:
    lists: list[list[Any]] = [[1, 2], [True, 2], ["1", 2], [1, Number.TWO], [2**70, 1], [1, -(2**70)], [1.0, 2], [2, 1]]
    found = [await face(Everything.objects.filter(integer__in=items).count)() for items in lists]
    assert found == [2, 2, 2, 2, 1, 1, 2, 2]
    assert [await texts(face, char__in=items) for items in (["a_b", "5"], ["a_b", 5])] == [["a_b"]] * 2


async def test_querysets_on_the_right(face: Face) -> None:
    ann = await face(Author.objects.create)(name="ann", age=1)
    await face(Author.objects.create)(name="bob", age=2)
    await face(Book.objects.create)(title="A", author=ann)
    chosen = Author.objects.filter(age=1)
    for inner in (chosen, chosen.values("pk"), chosen.values_list("id", flat=True), chosen.order_by("name")[:1]):
        assert await face(Book.objects.filter(author__in=inner).count)() == 1
    assert await face(Book.objects.filter(author__name__in=chosen.values("name")).count)() == 1


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=2),
)
def test_texts_behave_as_python_does(backend: str, text: str, part: str) -> None:
    row = Everything.objects.create(text=text)
    one = Everything.objects.filter(pk=row.pk)
    assert one.filter(text__contains=part).exists() == (part in text)
    assert one.filter(text__startswith=part).exists() == text.startswith(part)
    assert one.filter(text__endswith=part).exists() == text.endswith(part)
    assert one.annotate(n=Length("text")).get().n == len(text)


# -- dates -------------------------------------------------------------------------------------------------------


class Event(dorm.Model):
    moment = dorm.DateTimeField(null=True)

    class Meta:
        app_label = "lookups"


@pytest.fixture
def zones(database: Any) -> Iterator[None]:
    dorm.configure(USE_TZ=True, TIME_ZONE="Europe/Berlin")
    renew()
    create_tables([Event])
    yield
    dorm.configure(USE_TZ=False, TIME_ZONE="UTC")
    renew()


LATE = datetime.time(23, 59, 59, 999999)


async def test_years_are_ranges(face: Face) -> None:
    last, end = datetime.date(2019, 12, 31), datetime.date(2020, 12, 31)
    await face(Everything.objects.bulk_create)(
        [
            Everything(integer=1, moment=datetime.datetime.combine(last, LATE), date=last),
            Everything(integer=2, moment=datetime.datetime(2020, 1, 1), date=datetime.date(2020, 1, 1)),
            Everything(integer=3, moment=datetime.datetime.combine(end, LATE), date=end),
            Everything(integer=4, moment=datetime.datetime(2021, 1, 1), date=datetime.date(2021, 1, 1)),
            Everything(integer=5),
        ]
    )  # fmt: skip

    async def numbers(**lookup: Any) -> list[int]:
        return await face.rows(Everything.objects.filter(**lookup).order_by("id").values_list("integer", flat=True))

    for field in ("moment", "date"):
        assert await numbers(**{f"{field}__year": 2020}) == [2, 3]
        assert await numbers(**{f"{field}__year": "2020"}) == [2, 3]
        assert await numbers(**{f"{field}__year__gt": 2019}) == [2, 3, 4]
        assert await numbers(**{f"{field}__year__gte": 2020}) == [2, 3, 4]
        assert await numbers(**{f"{field}__year__lt": 2020}) == [1]
        assert await numbers(**{f"{field}__year__lte": 2020}) == [1, 2, 3]
        assert await numbers(**{f"{field}__year__in": [2019, 2021]}) == [1, 4]
        assert await numbers(**{f"{field}__year__range": (2019, 2020)}) == [1, 2, 3]
        assert await numbers(**{f"{field}__iso_year": 2020}) == [1, 2, 3, 4]
        assert await numbers(**{f"{field}__year": F("integer") + 2018}) == [1, 2]
        assert await numbers(**{f"{field}__year": None}) == [5]
        assert await numbers(**{f"{field}__month__gte": 12}) == [1, 3]
        assert await numbers(**{f"{field}__week_day": 4}) == [2]
        assert await numbers(**{f"{field}__quarter": 1}) == [2, 4]
        assert await numbers(**{f"{field}__isnull": True}) == [5]
    assert await numbers(moment__date=datetime.date(2020, 1, 1)) == [2]
    assert await numbers(moment__date__gt=datetime.date(2020, 1, 1)) == [3, 4]
    assert await numbers(moment__time=datetime.time(0)) == [2, 4]
    assert await numbers(moment__time__gte=datetime.time(23)) == [1, 3]
    assert await numbers(moment__hour=23, moment__minute=59, moment__second__gt=58) == [1, 3]
    sql = str(Everything.objects.filter(date__year=2020).query)
    assert "BETWEEN" in sql
    assert set(await numbers(date__lt=Now())) == {1, 2, 3, 4}
    excluded = Everything.objects.exclude(date__year=2020).order_by("id").values_list("integer", flat=True)
    assert await face.rows(excluded) == [1, 4, 5]


async def test_parts_are_those_of_the_current_zone(face: Face, zones: None) -> None:
    moment = datetime.datetime(2024, 6, 30, 22, 30, tzinfo=datetime.UTC)  # 00:30 on the first of July in Berlin
    await face(Event.objects.create)(moment=moment)
    qs = Event.objects
    assert await face(qs.filter(moment__month=7, moment__day=1, moment__hour=0).count)() == 1
    assert await face(qs.filter(moment__date=datetime.date(2024, 7, 1)).count)() == 1
    with timezone.override("UTC"):
        assert await face(qs.filter(moment__month=6, moment__hour=22).count)() == 1
        assert await face(qs.filter(moment__date=datetime.date(2024, 7, 1)).count)() == 0
    kolkata = ZoneInfo("Asia/Kolkata")
    fixed = datetime.timezone(datetime.timedelta(hours=-3))
    row = await face(
        qs.annotate(
            here=ExtractHour("moment"),
            there=ExtractHour("moment", tzinfo=kolkata),
            west=ExtractHour("moment", tzinfo=fixed),
            day=TruncDay("moment"),
            hour=TruncHour("moment", tzinfo=kolkata),
        ).get
    )()
    assert (row.here, row.there, row.west) == (0, 4, 19)
    assert row.day == datetime.datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert row.day.utcoffset() == datetime.timedelta(hours=2)
    assert row.hour == datetime.datetime(2024, 7, 1, 4, tzinfo=kolkata)
    groups = qs.annotate(day=TruncDay("moment")).values("day").annotate(n=dorm.Count("id"))
    assert await face.rows(groups) == [{"day": row.day, "n": 1}]
    assert await face(qs.annotate(day=TruncDay("moment")).filter(day=row.day).count)() == 1


async def test_years_begin_in_the_current_zone(face: Face, zones: None) -> None:
    await face(Event.objects.create)(moment=datetime.datetime(2023, 12, 31, 23, 30, tzinfo=datetime.UTC))
    assert await face(Event.objects.filter(moment__year=2024).count)() == 1
    with timezone.override("UTC"):
        assert await face(Event.objects.filter(moment__year=2023).count)() == 1


# -- classes -----------------------------------------------------------------------------------------------------


class NotEqual(Lookup):
    lookup_name = "ne"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        lhs, lhs_params = self.process_lhs(compiler, connection)
        rhs, rhs_params = self.process_rhs(compiler, connection)
        return f"{lhs} <> {rhs}", [*lhs_params, *rhs_params]


class AbsoluteValue(Transform):
    lookup_name = "absv"
    function = "ABS"


class AbsoluteLessThan(Lookup):
    """Repeats both sides, as Django's documentation does."""

    lookup_name = "lt"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        lhs, lhs_params = compiler.compile(self.lhs.lhs)
        rhs, rhs_params = self.process_rhs(compiler, connection)
        params = [*lhs_params, *rhs_params, *lhs_params, *rhs_params]
        return f"{lhs} < {rhs} AND {lhs} > -{rhs}", params


class UpperCase(Transform):
    lookup_name = "uppercase"
    function = "UPPER"
    bilateral = True


class MySQLish(NotEqual):
    lookup_name = "ne_vendor"

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        lhs, lhs_params = self.process_lhs(compiler, connection)
        rhs, rhs_params = self.process_rhs(compiler, connection)
        return f"{lhs} IS NOT {rhs}", [*lhs_params, *rhs_params]


class Wrapped(Contains):
    lookup_name = "wrapped"

    def process_rhs(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        rhs, params = super().process_rhs(compiler, connection)
        return rhs, [f"%{param}%" for param in params]

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        return f"LIKE {rhs}"


@pytest.fixture
def numbers(database: Any) -> None:
    Everything.objects.bulk_create(
        [Everything(integer=number, small=5, char=text, decimal=f"{number}.500", date=datetime.date(2020, 1, 2))
         for number, text in ((-7, "Ab"), (3, "aB"), (7, "abc"))]
    )  # fmt: skip


def registered(owner: Any, cls: Any, name: str | None = None) -> Any:
    class Registered:
        def __enter__(self) -> None:
            owner.register_lookup(cls, name)

        def __exit__(self, *exc: object) -> None:
            owner._unregister_lookup(cls, name)

    return Registered()


async def found(face: Face, *args: Any, **lookup: Any) -> list[int]:
    return await face.rows(Everything.objects.filter(*args, **lookup).order_by("id").values_list("integer", flat=True))


async def test_a_lookup_of_ones_own(face: Face, numbers: None) -> None:
    with registered(dorm.Field, NotEqual):
        assert await found(face, integer__ne=3) == [-7, 7]
        assert await found(face, integer__ne=F("small") + 2) == [-7, 3]
        assert await found(face, decimal__ne=decimal.Decimal("3.5")) == [-7, 7]
        assert await found(face, date__ne="2020-01-02") == []
        assert await found(face, ~Q(integer__ne=3)) == [3]
        with pytest.raises(ValueError, match="Cannot use None as a query value"):
            Everything.objects.filter(integer__ne=None)
    with pytest.raises(FieldError, match="Unsupported lookup 'ne'"):
        Everything.objects.filter(integer__ne=3)


async def test_transforms_and_lookups_on_them(face: Face, numbers: None) -> None:
    with registered(dorm.IntegerField, AbsoluteValue):
        assert await found(face, integer__absv=7) == [-7, 7]
        assert await found(face, integer__absv__gt=3) == [-7, 7]
        with registered(AbsoluteValue, AbsoluteLessThan):
            assert await found(face, integer__absv__lt=7) == [3]
        assert await found(face, integer__absv__lt=7) == [3]
        ordered = Everything.objects.order_by("-integer__absv", "integer").values_list("integer__absv", flat=True)
        assert await face.rows(ordered) == [7, 7, 3]
        field = Everything._meta.get_field("integer")
        assert field.get_transform("absv") is AbsoluteValue
        assert field.get_lookup("exact") is Exact
        assert field.get_lookup("nope") is None
        assert dorm.IntegerField.get_lookups()["absv"] is AbsoluteValue


async def test_bilateral_transforms(face: Face, numbers: None) -> None:
    with registered(dorm.CharField, UpperCase):
        assert await found(face, char__uppercase="ab") == [-7, 3]
        assert await found(face, char__uppercase__in=["aB", "x", "ABC"]) == [-7, 3, 7]
        assert await found(face, char__uppercase__contains="bc") == [7]
        assert await found(face, char__uppercase__gt="ab") == [7]
        with pytest.raises(NotImplementedError, match="Bilateral transformations on nested querysets"):
            Everything.objects.filter(char__uppercase__in=Everything.objects.values("char"))


async def test_vendors_and_subclasses(face: Face, numbers: None) -> None:
    with registered(dorm.Field, MySQLish), registered(dorm.CharField, Wrapped):
        assert await found(face, integer__ne_vendor=3) == [-7, 7]
        assert await found(face, char__wrapped="bc") == [7]


async def test_one_field_alone(face: Face, numbers: None) -> None:
    field = Everything._meta.get_field("integer")
    field.register_lookup(NotEqual)
    try:
        assert await found(face, integer__ne=3) == [-7, 7]
        with pytest.raises(FieldError):
            Everything.objects.filter(small__ne=3)
    finally:
        field._unregister_lookup(NotEqual)


async def test_functions_as_transforms(face: Face, numbers: None) -> None:
    with registered(dorm.CharField, Length), registered(dorm.CharField, Upper):
        assert await found(face, char__length=2) == [-7, 3]
        assert await found(face, char__upper__startswith="ABC") == [7]
        assert await found(face, char__upper__length__gte=3) == [7]
        values = Everything.objects.filter(char__length=F("char__length")).values("char__length")
        assert len(await face.rows(values)) == 3


async def test_templates_for_everybody(face: Face, numbers: None) -> None:
    register_lookup("divisible_by", "({col} %% %s = 0 AND {col} IS NOT NULL)")
    register_lookup("shouts", "UPPER({col}) = %s", str.upper)
    try:
        assert await found(face, integer__divisible_by=7) == [-7, 7]
        assert await found(face, char__shouts="ab") == [-7, 3]
        assert await found(face, integer__divisible_by=F("small") - 2) == [3]
    finally:
        unregister_lookup("divisible_by")
        unregister_lookup("shouts")
    with pytest.raises(FieldError):
        Everything.objects.filter(integer__divisible_by=7)
    for name in ("exact", "icontains", "year", "has_key", "a b", "x__y"):
        with pytest.raises(ValueError):
            register_lookup(name, "{col} = %s")
    with pytest.raises(ValueError, match="needs"):
        register_lookup("fine", "x = %s")
    with pytest.raises(FieldError):
        unregister_lookup("exact")


async def test_lookups_as_conditions(face: Face, numbers: None) -> None:
    assert await found(face, GreaterThan(F("integer"), F("small"))) == [7]
    assert await found(face, GreaterThan(F("integer"), 3)) == [7]
    assert await found(face, Q(LessThan(F("integer"), 0)) | Q(integer=7)) == [-7, 7]
    assert await found(face, LessThan(Length("char"), 3), integer__gt=0) == [3]
    assert await found(face, In(F("integer"), [3, 7])) == [3, 7]
    assert await found(face, Range(F("integer"), (0, 5))) == [3]
    assert await found(face, IsNull(F("text"), True)) == [-7, 3, 7]
    assert await found(face, Contains(F("char"), "B")) == [3]
    assert await found(face, IContains(F("char"), "B")) == [-7, 3, 7]
    assert await found(face, Exact(F("char"), Value("abc"))) == [7]
    qs = Everything.objects.annotate(large=GreaterThan(F("integer"), 3)).order_by("id").values_list("large", flat=True)
    assert await face.rows(qs) == [False, False, True]
    case = dorm.Case(dorm.When(LessThan(F("integer"), 0), then=Value("minus")), default=Value("plus"))
    assert await face.rows(Everything.objects.annotate(x=case).order_by("id").values_list("x", flat=True)) == [
        "minus", "plus", "plus",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lookup", "error", "message"),
    [
        ({"char__gt": None}, ValueError, "Cannot use None as a query value"),
        ({"char__contains": None}, ValueError, "Cannot use None as a query value"),
        ({"char__in": None}, ValueError, "Cannot use None as a query value"),
        ({"char__in": 3}, TypeError, "takes a list"),
        ({"integer__range": (1,)}, ValueError, "takes two bounds"),
        ({"char__isnull": 1}, ValueError, "must be True or False"),
        ({"char__isnull": "yes"}, ValueError, "must be True or False"),
        ({"char__nope": 1}, FieldError, "Unsupported lookup 'nope'"),
        ({"char__containz": 1}, FieldError, "contains"),
        ({"integer__year": 1}, FieldError, "Unsupported lookup 'year'"),
        ({"char__lower__x": 1}, FieldError, "lower"),
        ({"date__hour": 1}, FieldError, "hour"),
    ],
)
def test_what_is_refused(lookup: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Everything.objects.filter(**lookup)
    assert issubclass(NotSupportedError, dorm.DatabaseError)
