"""The pages "Query expressions" and "Conditional expressions"."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

import dorm
from dorm import (
    Avg,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FieldError,
    Func,
    Max,
    OuterRef,
    Q,
    RawSQL,
    RowRange,
    Subquery,
    Sum,
    Value,
    ValueRange,
    When,
    Window,
)
from dorm.functions import (
    Cast,
    Coalesce,
    Concat,
    DenseRank,
    FirstValue,
    Lag,
    LastValue,
    Lead,
    Length,
    Lower,
    NthValue,
    NTile,
    PercentRank,
    Rank,
    RowNumber,
    Upper,
)
from tests.support.faces import Face


class Employee(dorm.Model):
    name = dorm.CharField(max_length=100)
    salary = dorm.IntegerField()

    class Meta:
        app_label = "doc_expr"


class Company(dorm.Model):
    name = dorm.CharField(max_length=100)
    ticker = dorm.CharField(max_length=5, null=True)
    num_employees = dorm.PositiveIntegerField()
    num_chairs = dorm.PositiveIntegerField()
    active = dorm.BooleanField(default=True)
    boss = dorm.ForeignKey(Employee, dorm.SET_NULL, null=True)

    class Meta:
        app_label = "doc_expr"


class Client(dorm.Model):
    name = dorm.CharField(max_length=50)
    account_registered_on = dorm.DateField()
    account_type = dorm.CharField(max_length=1, default="R")

    class Meta:
        app_label = "doc_expr"


class Post(dorm.Model):
    title = dorm.CharField(max_length=50)
    published_at = dorm.DateTimeField()

    class Meta:
        app_label = "doc_expr"


class Comment(dorm.Model):
    post = dorm.ForeignKey(Post)
    email = dorm.EmailField()
    length = dorm.IntegerField(default=0)
    created_at = dorm.DateTimeField()

    class Meta:
        app_label = "doc_expr"


class Span(dorm.Model):
    begin = dorm.DateTimeField()
    end = dorm.DateTimeField()
    start_date = dorm.DateField()
    estimate = dorm.DurationField()
    number = dorm.IntegerField(default=1)
    price = dorm.DecimalField(max_digits=10, decimal_places=2, default="1.10")

    class Meta:
        app_label = "doc_expr"


MODELS = (Employee, Company, Client, Post, Comment, Span)


async def companies(face: Face) -> None:
    boss = await face(Employee.objects.create)(name="Boss", salary=10)
    for name, ticker, employees, chairs in (
        ("Alpha", "ALP", 120, 150),
        ("Beta", None, 60, 20),
        ("Gamma", "gam", 30, 30),
    ):
        await face(Company.objects.create)(
            name=name, ticker=ticker, num_employees=employees, num_chairs=chairs, boss=boss if name == "Beta" else None
        )


# -- supported arithmetic ------------------------------------------------------------------------------------------


async def test_arithmetic_in_filters_and_annotations(face: Face) -> None:
    await companies(face)
    assert [c.name for c in await face.rows(Company.objects.filter(num_employees__gt=F("num_chairs")))] == ["Beta"]
    assert await face(Company.objects.filter(num_employees__gt=F("num_chairs") * 4).count)() == 0
    assert await face(Company.objects.filter(num_employees__gt=F("num_chairs") + F("num_chairs")).count)() == 1
    needed = await face(
        Company.objects.filter(num_employees__gt=F("num_chairs"))
        .annotate(chairs_needed=F("num_employees") - F("num_chairs"))
        .first
    )()
    assert needed.chairs_needed == 40
    row = await face(
        Company.objects.annotate(
            m=F("num_employees") % 50, p=F("num_chairs") ** 2, n=-F("num_chairs"), d=F("num_employees") / 7
        ).get
    )(name="Beta")
    assert (row.m, row.p, row.n, row.d) == (10, 400, -20, 8)
    reverse = await face(Company.objects.annotate(r=200 - F("num_chairs"), t=2 * F("num_chairs")).get)(name="Beta")
    assert (reverse.r, reverse.t) == (180, 40)


async def test_f_reloads_from_the_database(face: Face) -> None:
    await companies(face)
    company = await face(Company.objects.get)(name="Gamma")
    company.num_chairs = F("num_chairs") + 1
    await face(company.save)()
    assert company.num_chairs == 31 or await face(company.refresh_from_db)() is None
    found = await face(Company.objects.get)(pk=company.pk)
    assert found.num_chairs == 31


async def test_create_with_an_expression(face: Face) -> None:
    made = await face(Company.objects.create)(
        name="Google", ticker=Upper(Value("goog")), num_employees=1, num_chairs=Value(1) + 1
    )
    await face(made.refresh_from_db)()
    assert (made.ticker, made.num_chairs) == ("GOOG", 2)


async def test_f_over_a_relation_and_in_order_by(face: Face) -> None:
    await companies(face)
    rows = await face.rows(Company.objects.annotate(boss_name=F("boss__name")).order_by("name"))
    assert [c.boss_name for c in rows] == [None, "Boss", None]
    up = Company.objects.order_by(F("ticker").asc(nulls_first=True), "name")
    assert next(c.name for c in await face.rows(up)) == "Beta"
    down = Company.objects.order_by(F("ticker").desc(nulls_last=True))
    assert [c.name for c in await face.rows(down)][-1] == "Beta"
    with pytest.raises(ValueError, match="mutually exclusive"):
        F("ticker").asc(nulls_first=True, nulls_last=True)
    by_length = Company.objects.order_by(Length("name").asc(), Lower("name").desc())
    assert [c.name for c in await face.rows(by_length)] == ["Beta", "Gamma", "Alpha"]


async def test_slicing_f(face: Face) -> None:
    await companies(face)
    rows = await face.rows(Company.objects.annotate(part=F("name")[1:3]).order_by("name"))
    assert [c.part for c in rows] == ["lp", "et", "am"]
    assert await face(Company.objects.filter(name__startswith=F("name")[0]).count)() == 3
    await face(Company.objects.filter(name="Alpha").update)(name=F("name")[:3])
    assert await face(Company.objects.filter(name="Alp").exists)()
    for wrong in (slice(-1, None), slice(None, None, 2), slice(3, 1)):
        with pytest.raises(ValueError):
            F("name")[wrong]


async def test_boolean_negation(face: Face) -> None:
    await companies(face)
    await face(Company.objects.filter(name="Beta").update)(active=~F("active"))
    assert (await face(Company.objects.get)(name="Beta")).active is False
    assert await face(Company.objects.filter(~F("active")).count)() == 1


# -- Func, Value, wrappers -----------------------------------------------------------------------------------------


async def test_func_expressions(face: Face) -> None:
    await companies(face)
    rows = await face.rows(Company.objects.annotate(low=Func(F("name"), function="LOWER")).order_by("name"))
    assert [c.low for c in rows] == ["alpha", "beta", "gamma"]

    class Loud(Func):
        function = "UPPER"
        template = "%(function)s(%(expressions)s) || '!'"
        arity = 1
        output_field = dorm.CharField()

    assert (await face(Company.objects.annotate(x=Loud("name")).get)(name="Beta")).x == "BETA!"
    with pytest.raises(TypeError, match="takes exactly 1 argument"):
        Loud("name", "ticker")


async def test_value_and_wrapper(face: Face) -> None:
    await companies(face)
    row = await face(
        Company.objects.annotate(
            one=Value(1),
            text=Value("x"),
            nothing=Value(None, output_field=dorm.CharField()),
            when=Value(datetime.date(2020, 1, 2)),
            dec=Value(Decimal("1.5")),
            flag=Value(True),
        ).first
    )()
    assert (row.one, row.text, row.nothing, row.when, row.dec, row.flag) == (
        1,
        "x",
        None,
        datetime.date(2020, 1, 2),
        Decimal("1.5"),
        True,
    )
    wrapped = Company.objects.annotate(
        ratio=ExpressionWrapper(F("num_employees") * 1.5, output_field=dorm.FloatField())
    )
    assert (await face(wrapped.get)(name="Beta")).ratio == 90.0
    flags = Company.objects.annotate(
        big=ExpressionWrapper(Q(num_employees__gt=50), output_field=dorm.BooleanField())
    ).order_by("name")
    assert [c.big for c in await face.rows(flags)] == [True, True, False]


async def test_mixed_types_want_an_output_field(face: Face) -> None:
    with pytest.raises(FieldError, match="output_field"):
        await face.rows(Company.objects.annotate(x=F("num_employees") + F("name")))


async def test_aggregates_in_expressions(face: Face) -> None:
    await companies(face)
    found = await face(Company.objects.aggregate)(total=Sum(F("num_employees") * 2), c=Count("pk") + 1)
    assert found == {"total": 420, "c": 4}
    upper = await face(Company.objects.aggregate)(top=Upper(Max("name")))
    assert upper == {"top": "GAMMA"}


async def test_raw_sql(face: Face) -> None:
    await companies(face)
    qs = Company.objects.annotate(val=RawSQL("select %s + 1", (2,)))
    assert (await face(qs.first)()).val == 3
    qs = Company.objects.filter(id__in=RawSQL("select id from doc_expr_company where name = %s", ["Beta"]))
    assert [c.name for c in await face.rows(qs)] == ["Beta"]


async def test_concat_coalesce_cast(face: Face) -> None:
    await companies(face)
    label = Company.objects.annotate(
        label=Concat("name", Value(" ("), Coalesce("ticker", Value("-")), Value(")"))
    ).order_by("name")
    assert [c.label for c in await face.rows(label)] == ["Alpha (ALP)", "Beta (-)", "Gamma (gam)"]
    text = await face(Company.objects.annotate(t=Cast("num_employees", dorm.CharField())).get)(name="Beta")
    assert text.t == "60"


# -- subqueries ----------------------------------------------------------------------------------------------------


async def posts(face: Face) -> tuple[Post, Post]:
    now = datetime.datetime(2024, 5, 1, 12)
    one = await face(Post.objects.create)(title="one", published_at=now)
    two = await face(Post.objects.create)(title="two", published_at=now)
    for post, email, length, days in (
        (one, "a@x.org", 10, 1),
        (one, "b@x.org", 20, 2),
        (two, "c@x.org", 5, 3),
    ):
        await face(Comment.objects.create)(
            post=post, email=email, length=length, created_at=now + datetime.timedelta(days=days)
        )
    await face(Post.objects.create)(title="three", published_at=now)
    return one, two


async def test_subquery_with_outer_reference(face: Face) -> None:
    await posts(face)
    newest = Comment.objects.filter(post=OuterRef("pk")).order_by("-created_at")
    rows = await face.rows(Post.objects.annotate(newest=Subquery(newest.values("email")[:1])).order_by("pk"))
    assert [p.newest for p in rows] == ["b@x.org", "c@x.org", None]
    assert [
        p.title
        for p in await face.rows(Post.objects.filter(pk__in=Subquery(Comment.objects.values("post"))).order_by("pk"))
    ] == [
        "one",
        "two",
    ]


async def test_exists_and_negated_exists(face: Face) -> None:
    await posts(face)
    recent = Comment.objects.filter(post=OuterRef("pk"), length__gte=10)
    rows = await face.rows(Post.objects.annotate(recent=Exists(recent)).order_by("pk"))
    assert [p.recent for p in rows] == [True, False, False]
    assert [p.title for p in await face.rows(Post.objects.filter(Exists(recent)))] == ["one"]
    assert [p.title for p in await face.rows(Post.objects.filter(~Exists(recent)).order_by("pk"))] == ["two", "three"]
    assert (
        await face(Post.objects.filter(Exists(Comment.objects.filter(post=OuterRef("pk"))) | Q(title="three")).count)()
        == 3
    )


async def test_aggregates_within_a_subquery(face: Face) -> None:
    await posts(face)
    comments = Comment.objects.filter(post=OuterRef("pk")).order_by().values("post")
    total = comments.annotate(total=Sum("length")).values("total")
    rows = await face.rows(Post.objects.annotate(total=Subquery(total)).order_by("pk"))
    assert [p.total for p in rows] == [30, 5, None]
    assert [p.title for p in await face.rows(Post.objects.filter(pk__gt=Subquery(total)))] == []


async def test_outer_reference_through_two_levels(face: Face) -> None:
    await posts(face)
    inner = Comment.objects.filter(post=OuterRef(OuterRef("pk")), length__gt=OuterRef("length"))
    longest = Comment.objects.filter(post=OuterRef("pk")).filter(~Exists(inner))
    rows = await face.rows(Post.objects.annotate(longest=Subquery(longest.values("email")[:1])).order_by("pk"))
    assert [p.longest for p in rows] == ["b@x.org", "c@x.org", None]


async def test_outer_reference_outside_a_subquery_is_refused(face: Face) -> None:
    with pytest.raises((ValueError, FieldError), match=r"OuterRef|outer query"):
        await face.rows(Comment.objects.filter(post=OuterRef("pk")))


# -- windows -------------------------------------------------------------------------------------------------------


async def staff(face: Face) -> None:
    await face(Employee.objects.bulk_create)(
        [Employee(name=name, salary=salary) for name, salary in (("a", 10), ("b", 20), ("c", 20), ("d", 40))]
    )


async def test_ranking_functions(face: Face) -> None:
    await staff(face)
    by = F("salary").asc()
    rows = await face.rows(
        Employee.objects.annotate(
            n=Window(RowNumber(), order_by=[by, F("name").asc()]),
            r=Window(Rank(), order_by=by),
            d=Window(DenseRank(), order_by="salary"),
            p=Window(PercentRank(), order_by=by),
            t=Window(NTile(2), order_by=[by, "name"]),
        ).order_by("name")
    )
    assert [e.n for e in rows] == [1, 2, 3, 4]
    assert [e.r for e in rows] == [1, 2, 2, 4]
    assert [e.d for e in rows] == [1, 2, 2, 3]
    assert [e.t for e in rows] == [1, 1, 2, 2]
    assert rows[3].p == 1.0


async def test_neighbours_and_frames(face: Face) -> None:
    await staff(face)
    order = ["salary", "name"]
    rows = await face.rows(
        Employee.objects.annotate(
            lag=Window(Lag("salary"), order_by=order),
            lag2=Window(Lag("salary", offset=2, default=0), order_by=order),
            lead=Window(Lead("salary"), order_by=order),
            first=Window(FirstValue("name"), order_by=order),
            last=Window(LastValue("name"), order_by=order, frame=RowRange(start=None, end=None)),
            second=Window(NthValue("name", 2), order_by=order),
            running=Window(Sum("salary"), order_by=order, frame=RowRange(start=None, end=0)),
            around=Window(Sum("salary"), order_by=order, frame=RowRange(start=-1, end=1)),
            peers=Window(Sum("salary"), order_by="salary", frame=ValueRange(start=None, end=0)),
        ).order_by("name")
    )
    assert [e.lag for e in rows] == [None, 10, 20, 20]
    assert [e.lag2 for e in rows] == [0, 0, 10, 20]
    assert [e.lead for e in rows] == [20, 20, 40, None]
    assert [e.first for e in rows] == ["a"] * 4
    assert [e.last for e in rows] == ["d"] * 4
    assert [e.second for e in rows] == [None, "b", "b", "b"]
    assert [e.running for e in rows] == [10, 30, 50, 90]
    assert [e.around for e in rows] == [30, 50, 80, 60]
    assert [e.peers for e in rows] == [10, 50, 50, 90]


async def test_partitions_and_filters_on_windows(face: Face) -> None:
    await companies(face)
    rows = await face.rows(
        Company.objects.annotate(
            avg=Window(Avg("num_employees"), partition_by=[F("active")], order_by=F("name").asc()),
            n=Window(RowNumber(), partition_by="active", order_by="name"),
        ).order_by("name")
    )
    assert [c.n for c in rows] == [1, 2, 3]
    assert rows[0].avg == 120
    first_two = Company.objects.annotate(n=Window(RowNumber(), order_by="name")).filter(n__lte=2).order_by("name")
    assert [c.name for c in await face.rows(first_two)] == ["Alpha", "Beta"]
    assert await face(first_two.count)() == 2
    mixed = Company.objects.annotate(n=Window(RowNumber(), order_by="name")).filter(n=3, name__contains="a")
    assert [c.name for c in await face.rows(mixed)] == ["Gamma"]


# -- conditional expressions ---------------------------------------------------------------------------------------


async def clients(face: Face) -> None:
    for name, account, year in (("Jane Doe", "G", 2020), ("James Smith", "R", 2024), ("Jack Black", "P", 2022)):
        await face(Client.objects.create)(
            name=name, account_type=account, account_registered_on=datetime.date(year, 1, 1)
        )


async def test_case_when(face: Face) -> None:
    await clients(face)
    discount = Case(
        When(account_type="G", then=Value("5%")),
        When(account_type="P", then=Value("10%")),
        default=Value("0%"),
    )
    rows = Client.objects.annotate(discount=discount).order_by("pk").values_list("name", "discount")
    assert await face.rows(rows) == [("Jane Doe", "5%"), ("James Smith", "0%"), ("Jack Black", "10%")]
    stacked = Case(
        When(Q(name__startswith="John") | Q(name__startswith="Jane"), then="name"),
        When(Exists(Client.objects.filter(pk=OuterRef("pk"), account_type="P")), then=Value("platinum")),
    )
    rows = Client.objects.annotate(x=stacked).order_by("pk").values_list("x", flat=True)
    assert await face.rows(rows) == ["Jane Doe", None, "platinum"]


async def test_first_match_wins_and_numbers(face: Face) -> None:
    await clients(face)
    case = Case(
        When(account_registered_on__lte=datetime.date(2021, 1, 1), then=1),
        When(account_registered_on__lte=datetime.date(2023, 1, 1), then=2),
        default=3,
    )
    rows = Client.objects.annotate(x=case).order_by("x").values_list("x", flat=True)
    assert await face.rows(rows) == [1, 2, 3]
    assert (
        await face(
            Client.objects.filter(
                account_registered_on__lte=Case(
                    When(account_type="G", then=Value(datetime.date(2021, 1, 1))),
                    default=Value(datetime.date(2000, 1, 1)),
                )
            ).count
        )()
        == 1
    )


async def test_conditional_update_and_aggregation(face: Face) -> None:
    await clients(face)
    await face(Client.objects.update)(
        account_type=Case(
            When(account_registered_on__lte=datetime.date(2021, 1, 1), then=Value("P")),
            When(account_registered_on__lte=datetime.date(2023, 1, 1), then=Value("G")),
            default=Value("R"),
        )
    )
    rows = await face.rows(Client.objects.order_by("pk").values_list("account_type", flat=True))
    assert rows == ["P", "R", "G"]
    counts = await face(Client.objects.aggregate)(
        regular=Count("pk", filter=Q(account_type="R")),
        gold=Count("pk", filter=Q(account_type="G")),
        either=Sum(Case(When(account_type__in=["R", "G"], then=1), default=0)),
    )
    assert counts == {"regular": 1, "gold": 1, "either": 2}


async def test_refusals_of_when_and_case(face: Face) -> None:
    with pytest.raises(TypeError):
        When(then=Value(1))
    with pytest.raises(ValueError, match=r"empty Q"):
        When(Q(), then=Value(1))
    with pytest.raises(TypeError):
        Case(Value(1))


async def test_order_by_case_and_in_filter(face: Face) -> None:
    await clients(face)
    order = Case(When(account_type="P", then=0), When(account_type="G", then=1), default=2)
    assert [c.account_type for c in await face.rows(Client.objects.order_by(order))] == ["P", "G", "R"]
    assert [c.account_type for c in await face.rows(Client.objects.alias(o=order).filter(o__lt=2).order_by("o"))] == [
        "P",
        "G",
    ]


# -- dates and durations -------------------------------------------------------------------------------------------


async def test_durations(face: Face) -> None:
    begin = datetime.datetime(2024, 1, 31, 10)
    await face(Span.objects.create)(
        begin=begin,
        end=begin + datetime.timedelta(days=2, hours=3, microseconds=5),
        start_date=datetime.date(2024, 1, 1),
        estimate=datetime.timedelta(days=2),
    )
    row = await face(
        Span.objects.annotate(
            length=F("end") - F("begin"),
            due=F("begin") + F("estimate"),
            later=F("begin") + datetime.timedelta(hours=1),
            double=ExpressionWrapper(F("estimate") * 2, output_field=dorm.DurationField()),
            gap=ExpressionWrapper(F("end") - F("begin") - F("estimate"), output_field=dorm.DurationField()),
        ).get
    )()
    assert row.length == datetime.timedelta(days=2, hours=3, microseconds=5)
    assert row.due == begin + datetime.timedelta(days=2)
    assert row.later == begin + datetime.timedelta(hours=1)
    assert row.double == datetime.timedelta(days=4)
    assert row.gap == datetime.timedelta(hours=3, microseconds=5)
    with pytest.raises(FieldError, match="output_field"):
        await face.rows(Span.objects.annotate(x=F("estimate") * 2))
    assert await face(Span.objects.filter(end__gt=F("begin") + F("estimate")).count)() == 1
    assert await face(Span.objects.filter(end__lt=F("begin") + datetime.timedelta(days=1)).count)() == 0
    average = await face(Span.objects.aggregate)(a=Avg("estimate"), s=Sum("estimate"))
    assert average == {"a": datetime.timedelta(days=2), "s": datetime.timedelta(days=2)}


async def test_decimal_arithmetic_is_exact(face: Face) -> None:
    begin = datetime.datetime(2024, 1, 1)
    await face(Span.objects.create)(
        begin=begin, end=begin, start_date=begin.date(), estimate=datetime.timedelta(), number=3
    )
    row = await face(Span.objects.annotate(total=F("price") * F("number"), more=F("price") + Decimal("0.01")).get)()
    assert row.total == Decimal("3.30")
    assert row.more == Decimal("1.11")
    assert await face(Span.objects.filter(price__gt=Decimal("1.09")).count)() == 1
    assert await face(Span.objects.filter(price=F("price") + 0).count)() == 1
