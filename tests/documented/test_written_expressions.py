"""The page "Query expressions", "Writing your own": classes with parts of their own, hooks, attributes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import Case, F, FieldError, Func, NotSupportedError, OrderBy, Sum, Value, When, functions as fn
from dorm.expressions import Expression
from tests.support.faces import Face


class Staff(dorm.Model):
    name = dorm.CharField(max_length=40)
    age = dorm.IntegerField()
    bonus = dorm.DecimalField(max_digits=8, decimal_places=2, null=True)

    class Meta:
        app_label = "doc_written"
        ordering = ["pk"]


MODELS = (Staff,)


class CoalesceAll(Expression):
    """The example of the page: parts in a list of its own, resolved by its own hook."""

    template = "COALESCE( %(expressions)s )"

    def __init__(self, expressions: Any, output_field: Any) -> None:
        super().__init__(output_field=output_field)
        if len(expressions) < 2:
            raise ValueError("expressions must have at least 2 elements")
        self.expressions = expressions

    def resolve_expression(
        self,
        query: Any = None,
        allow_joins: bool = True,
        reuse: Any = None,
        summarize: bool = False,
        for_save: Any = False,
    ) -> Any:
        made = self.copy()
        for place, expression in enumerate(self.expressions):
            made.expressions[place] = expression.resolve_expression(query, allow_joins, reuse, summarize, for_save)
        return made

    def as_sql(self, compiler: Any, connection: Any, template: Any = None) -> Any:
        texts, params = [], []
        for expression in self.expressions:
            text, own = compiler.compile(expression)
            texts.append(text)
            params.extend(own)
        return (template or self.template) % {"expressions": ",".join(texts)}, params

    def get_source_expressions(self) -> list[Any]:
        return list(self.expressions)

    def set_source_expressions(self, expressions: Any) -> None:
        self.expressions = expressions


class Plus(Expression):
    """A part, a place that stays empty, and a parameter of its own."""

    def __init__(self, part: Any, output_field: Any = None) -> None:
        super().__init__(output_field=output_field)
        self.part = part

    def get_source_expressions(self) -> list[Any]:
        return [self.part, None]

    def set_source_expressions(self, expressions: Any) -> None:
        self.part, empty = expressions
        assert empty is None

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        text, params = compiler.compile(self.part)
        return f"({text} + %s)", [*params, 5]

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        assert connection.vendor == "sqlite"
        return self.as_sql(compiler, connection)


class Loud(Func):
    function = "UPPER"
    output_field = dorm.CharField()

    def convert_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else f"{value}!"


class Shown(Func):
    function = "LOWER"
    filterable = False
    output_field = dorm.CharField()


class Checked(Func):
    function = "COALESCE"

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        made = super().resolve_expression(*args, **kwargs)
        if len(made.get_source_expressions()) < 2:
            raise ValueError("two at least")
        return made


class Largest(dorm.Aggregate):
    function = "MAX"
    name = "Top"


async def fill(face: Face) -> None:
    for name, age, bonus in (("Ann", 20, None), ("Bob", 30, "100.50"), ("Cid", 50, "7")):
        await face(Staff.objects.create)(name=name, age=age, bonus=bonus)


async def column(face: Face, expression: Any) -> list[Any]:
    return await face.rows(Staff.objects.annotate(x=expression).values_list("x", flat=True))


async def test_the_example_of_the_page(face: Face) -> None:
    await fill(face)
    first = CoalesceAll([F("bonus"), F("age"), Value(3)], output_field=dorm.FloatField())
    for _ in range(2):
        # The same object may be used again: what was resolved into its list was that of a copy.
        values = await column(face, first)
        assert values == [20.0, 100.5, 7.0]
        assert {type(value) for value in values} == {float}
    order = CoalesceAll(
        [F("bonus"), Value(Decimal("50"))], output_field=dorm.DecimalField(max_digits=8, decimal_places=2)
    )
    ordered = await face.rows(Staff.objects.order_by(order.desc()))
    assert [row.name for row in ordered] == ["Bob", "Ann", "Cid"]
    with pytest.raises(ValueError, match="at least 2"):
        CoalesceAll([F("bonus")], output_field=dorm.FloatField())


async def test_parts_anywhere(face: Face) -> None:
    await fill(face)
    assert await column(face, Plus(F("age"), output_field=dorm.IntegerField())) == [25, 35, 55]
    # Without output_field its type is that of its parts.
    assert await column(face, Plus(F("age") * 2)) == [45, 65, 105]
    assert await column(face, Plus(Plus(F("age")))) == [30, 40, 60]
    assert await column(face, Plus(Value(3))) == [8, 8, 8]
    assert [value and float(value) for value in await column(face, Plus(F("bonus")))] == [None, 105.5, 12.0]
    assert await face(Staff.objects.filter(age__lt=Plus(Value(20))).count)() == 1
    assert await face(Staff.objects.annotate(x=Plus(F("age"))).filter(x__gt=30).count)() == 2
    found = await face(Staff.objects.aggregate)(x=Sum(Plus(F("age"))))
    assert (found, type(found["x"])) == ({"x": 115}, int)
    assert await face(Staff.objects.filter(name="Ann").update)(age=Plus(F("age"))) == 1
    groups = Staff.objects.order_by().values(x=Plus(F("age"))).annotate(n=dorm.Count("pk")).order_by("x")
    assert [row["x"] for row in await face.rows(groups)] == [30, 35, 55]


async def test_what_is_read_goes_through_convert_value(face: Face) -> None:
    await fill(face)
    assert await column(face, Loud("name")) == ["ANN!", "BOB!", "CID!"]
    # Conditions compare with what the database has.
    assert (await face(Staff.objects.annotate(x=Loud("name")).get)(x="BOB")).x == "BOB!"


async def test_what_is_not_filterable(face: Face) -> None:
    await fill(face)
    assert await column(face, Shown("name")) == ["ann", "bob", "cid"]
    for refused in (
        lambda: Staff.objects.annotate(x=Shown("name")).filter(x="ann"),
        lambda: Staff.objects.filter(name=Shown("name")),
        lambda: Staff.objects.exclude(name=Shown("name")),
    ):
        with pytest.raises(NotSupportedError, match="Shown is disallowed in the filter clause"):
            refused()


async def test_a_hook_that_checks(face: Face) -> None:
    await fill(face)
    values = await column(face, Checked("bonus", Value(Decimal("2"))))
    assert values == [Decimal("2"), Decimal("100.5"), Decimal("7")]
    with pytest.raises(ValueError, match="two at least"):
        await column(face, Checked("bonus"))


async def test_the_name_of_an_aggregate(face: Face) -> None:
    await fill(face)
    assert await face(Staff.objects.aggregate)(Largest("age")) == {"age__top": 50}


def test_parts_and_attributes_of_expressions() -> None:
    assert fn.Coalesce("a", "b").get_source_expressions() == [F("a"), F("b")]
    assert len(Case(When(age=1, then=1)).get_source_expressions()) == 2
    assert (F("a") + 1).get_source_expressions()[0] == F("a")
    copied = fn.Lower("a").copy()
    copied.set_source_expressions([F("b")])
    assert copied == fn.Lower("b")
    assert [each.filterable for each in (F("a"), fn.Lower("a"), Sum("a"), Shown("a"))] == [True, True, True, False]
    assert (Func.function, Func.template, Func.arg_joiner, Func.arity) == (
        None,
        "%(function)s(%(expressions)s)",
        ", ",
        None,
    )


async def test_orders_turned_round(face: Face) -> None:
    await fill(face)
    order = F("bonus").asc(nulls_first=True)
    order.reverse_ordering()
    assert (order.descending, order.nulls_first, order.nulls_last) == (True, None, True)
    assert [row.name for row in await face.rows(Staff.objects.order_by(order))] == ["Bob", "Cid", "Ann"]
    assert OrderBy(F("a")) == F("a").asc() != F("a").desc()
    with pytest.raises(ValueError, match="has no order"):
        order.asc()


async def test_a_constant_null_orders_nothing(face: Face) -> None:
    await fill(face)
    rows = Staff.objects.annotate(v=Value(None, output_field=dorm.IntegerField())).order_by("v", "-pk")
    assert [row.name for row in await face.rows(rows)] == ["Cid", "Bob", "Ann"]


async def test_texts_are_sliced_twice(face: Face) -> None:
    await fill(face)
    assert await column(face, F("name")[1:][0]) == ["n", "o", "i"]
    with pytest.raises(TypeError):
        await column(face, F("name")["a"])
    with pytest.raises(NotSupportedError):
        await column(face, F("age")[0])


async def test_aggregates_of_nothing_are_computed_all_the_same(face: Face) -> None:
    await fill(face)
    empty = Staff.objects.filter(pk__in=[])
    expected = {"a": None, "b": 1, "c": 0, "d": 4, "e": 3}
    for qs in (empty, Staff.objects.none(), Staff.objects.filter(age=-1)):
        found = await face(qs.aggregate)(
            a=Sum("age") + 1,
            b=dorm.Count("pk") + 1,
            c=dorm.Count("pk"),
            d=fn.Coalesce(dorm.Max("age"), 4),
            e=fn.Coalesce(Sum("age") + 1, 3),
        )
        assert found == expected


def test_refusals() -> None:
    for name, made in {
        "GeneratedField cannot have default": lambda: dorm.GeneratedField(
            expression=F("a"), output_field=dorm.IntegerField(), default=1
        ),
        "GeneratedField must be blank": lambda: dorm.GeneratedField(
            expression=F("a"), output_field=dorm.IntegerField(), blank=False
        ),
        "callable": lambda: dorm.JSONField(encoder=5),
    }.items():
        with pytest.raises(ValueError, match=name):
            made()
    with pytest.raises(TypeError, match="has no option 'nosuch'"):
        type("Wrong", (dorm.Model,), {"__module__": __name__, "Meta": type("Meta", (), {"nosuch": 1})})
    with pytest.raises(TypeError, match=r"Cannot call defer\(\) after"):
        Staff.objects.values("pk").defer(None)
    with pytest.raises(FieldError):
        Staff.objects.annotate(x=fn.Coalesce("name", "age"))
