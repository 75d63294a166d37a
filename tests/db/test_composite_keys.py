"""Composite primary keys."""

from __future__ import annotations

from typing import Any, cast

import pytest

import dorm
from dorm import Case, Count, Exists, F, Max, OuterRef, Subquery, Sum, Value, When
from dorm.functions import Cast, Coalesce, Lower, RowNumber
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Product(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "composite"


class Order(dorm.Model):
    reference = dorm.CharField(max_length=20, primary_key=True)

    class Meta:
        app_label = "composite"


class LineItem(dorm.Model):
    """The example of Django's documentation."""

    pk: Any = dorm.CompositePrimaryKey("product_id", "order_id")
    product_id: Any
    order_id: Any
    product = dorm.ForeignKey(Product, dorm.CASCADE)
    order = dorm.ForeignKey(Order, dorm.CASCADE)
    quantity = dorm.IntegerField(default=1)

    class Meta:
        app_label = "composite"


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables([Product, Order, LineItem])


async def filled(face: Face) -> list[Any]:
    products = [await face(Product.objects.create)(pk=number, name=f"p{number}") for number in (1, 2)]
    orders = [await face(Order.objects.create)(reference=name) for name in ("A", "B")]
    return [
        await face(LineItem.objects.create)(product=product, order=order, quantity=number)
        for number, (product, order) in enumerate([(p, o) for p in products for o in orders], 1)
    ]


async def test_the_key_is_a_tuple(face: Face) -> None:
    items = await filled(face)
    assert [item.pk for item in items] == [(1, "A"), (1, "B"), (2, "A"), (2, "B")]
    made = LineItem(pk=(7, "Z"))
    assert (made.product_id, made.order_id, made.quantity) == (7, "Z", 1)
    made.pk = None
    assert made.pk == (None, None)
    assert LineItem._meta.pk.name == "pk"
    assert [field.name for field in LineItem._meta.pk_fields] == ["product", "order"]
    assert [field.name for field in LineItem._meta.fields] == ["product", "order", "quantity"]
    for wrong, message in ((3, "must be a list or a tuple"), ((1,), "must have 2 elements")):
        with pytest.raises(ValueError, match=message):
            made.pk = wrong
    assert LineItem(pk=(1, "A")) == items[0]
    assert hash(LineItem(pk=(1, "A"))) == hash(items[0])
    with pytest.raises(TypeError, match="unhashable"):
        hash(LineItem(product_id=1))


async def test_get_filter_and_order(face: Face) -> None:
    items = await filled(face)
    assert await face(LineItem.objects.get)(pk=(1, "B")) == items[1]
    assert await face.rows(LineItem.objects.filter(pk=(2, "A"))) == [items[2]]
    assert await face.rows(LineItem.objects.filter(pk=items[0])) == [items[0]]
    assert await face.rows(LineItem.objects.filter(pk__in=[(1, "A"), (2, "B"), (9, "Z")]).order_by("pk")) == [
        items[0],
        items[3],
    ]
    assert await face.rows(LineItem.objects.filter(pk__in=[])) == []
    assert await face.rows(LineItem.objects.exclude(pk=(1, "A")).order_by("-pk")) == items[:0:-1]
    assert await face.rows(LineItem.objects.exclude(pk__in=[(1, "A"), (1, "B")]).order_by("pk")) == items[2:]
    assert await face.rows(LineItem.objects.filter(pk__gt=(1, "A")).order_by("pk")) == items[1:]
    assert await face.rows(LineItem.objects.filter(pk__gte=(1, "B")).order_by("pk")) == items[1:]
    assert await face.rows(LineItem.objects.filter(pk__lt=(2, "A")).order_by("pk")) == items[:2]
    assert await face.rows(LineItem.objects.filter(pk__lte=(2, "A")).order_by("pk")) == items[:3]
    assert await face.rows(LineItem.objects.filter(pk__isnull=False).order_by("pk")) == items
    assert await face(LineItem.objects.first)() == items[0]
    assert await face(LineItem.objects.last)() == items[3]
    assert await face.rows(Product.objects.filter(lineitem=items[0])) == [items[0].product]
    assert await face.rows(Product.objects.filter(lineitem__pk=(2, "B")).values_list("pk", flat=True)) == [2]
    with pytest.raises(LineItem.DoesNotExist):
        await face(LineItem.objects.get)(pk=(1, "Z"))


async def test_columns_counts_and_dicts(face: Face) -> None:
    items = await filled(face)
    rows = LineItem.objects.order_by("pk")
    assert await face.rows(rows.values_list("pk", flat=True)) == [item.pk for item in items]
    assert (await face.rows(rows.values_list("pk", "quantity")))[1] == ((1, "B"), 2)
    assert (await face.rows(rows.values("quantity", "pk")))[0] == {"quantity": 1, "pk": (1, "A")}
    assert await face(LineItem.objects.count)() == 4
    assert await face(LineItem.objects.filter(pk=(1, "A")).exists)()
    found = await face(LineItem.objects.in_bulk)([(1, "A"), (2, "B")])
    assert found == {(1, "A"): items[0], (2, "B"): items[3]}
    grouped = await face.rows(LineItem.objects.annotate(n=Count("product__name")).order_by("pk"))
    assert [(item.pk, item.n) for item in grouped] == [(item.pk, 1) for item in items]
    (part,) = await face.rows(LineItem.objects.only("quantity").filter(pk=(1, "A")))
    assert (part.pk, part.quantity) == ((1, "A"), 1)


async def test_saving(face: Face) -> None:
    items = await filled(face)
    items[0].quantity = 50
    await face(items[0].save)()
    await face(LineItem(pk=(1, "B"), quantity=60).save)()
    assert await face(LineItem.objects.count)() == 4
    await face(items[0].refresh_from_db)()
    await face(items[1].refresh_from_db)()
    assert (items[0].quantity, items[1].quantity) == (50, 60)
    items[0].quantity = F("quantity") + 1
    await face(items[0].save)(update_fields=["quantity"])
    assert (await face(LineItem.objects.get)(pk=(1, "A"))).quantity == 51
    with pytest.raises(ValueError, match="do not exist in this model"):
        await face(items[0].save)(update_fields=["product"])
    with pytest.raises(dorm.IntegrityError):
        await face(LineItem.objects.create)(pk=(1, "A"))
    assert await face(LineItem.objects.filter(pk=(2, "A")).update)(quantity=9) == 1
    assert await face(LineItem.objects.filter(product__name="p2").update)(quantity=8) == 2


async def test_saving_a_new_row(face: Face) -> None:
    await filled(face)
    await face(Order.objects.create)(reference="C")
    item = LineItem(product_id=1, order_id="C", quantity=7)
    await face(item.save)()
    assert (item.pk, (await face(LineItem.objects.get)(pk=(1, "C"))).quantity) == ((1, "C"), 7)


async def test_bulk_and_get_or_create(face: Face) -> None:
    items = await filled(face)
    await face(LineItem.objects.all().delete)()
    made = await face(LineItem.objects.bulk_create)([LineItem(pk=item.pk, quantity=3) for item in items])
    assert [item.pk for item in made] == [item.pk for item in items]
    for number, item in enumerate(made):
        item.quantity = number
    assert await face(LineItem.objects.bulk_update)(made, ["quantity"]) == 4
    made[0].quantity = F("quantity") + 100
    assert await face(LineItem.objects.bulk_update)(made[:1], ["quantity"]) == 1
    assert await face.rows(LineItem.objects.order_by("pk").values_list("quantity", flat=True)) == [100, 1, 2, 3]
    found, created = await face(LineItem.objects.get_or_create)(pk=(1, "A"), defaults={"quantity": 5})
    assert (created, found.quantity) == (False, 100)
    await face(found.delete)()
    found, created = await face(LineItem.objects.update_or_create)(pk=(1, "A"), defaults={"quantity": 5})
    assert (created, found.quantity) == (True, 5)
    await face(LineItem.objects.bulk_create)(
        [LineItem(pk=(1, "A"), quantity=6)],
        update_conflicts=True,
        update_fields=["quantity"],
        unique_fields=["pk"],
    )
    assert (await face(LineItem.objects.get)(pk=(1, "A"))).quantity == 6


async def test_deleting(face: Face) -> None:
    items = await filled(face)
    assert await face(items[0].delete)() == (1, {"composite.LineItem": 1})
    assert items[0].pk == (None, None)
    assert await face(LineItem.objects.filter(pk__in=[(1, "B"), (2, "A")]).delete)() == (
        2,
        {"composite.LineItem": 2},
    )
    product = await face(Product.objects.get)(pk=2)
    assert await face(product.delete)() == (2, {"composite.LineItem": 1, "composite.Product": 1})
    with pytest.raises(ValueError, match="can't be deleted because its pk attribute is set to None"):
        await face(LineItem(product_id=1).delete)()


async def test_keys_are_compared_with_querysets(face: Face) -> None:
    items = await filled(face)
    rows = LineItem.objects.order_by("pk")
    some = LineItem.objects.filter(quantity__gt=2)
    for inner in (some, some.values("pk"), some.values_list("product_id", "order_id"), some.order_by("-pk")[:5]):
        assert await face.rows(rows.filter(pk__in=inner)) == items[2:]
        assert await face.rows(rows.exclude(pk__in=inner)) == items[:2]
    assert await face.rows(rows.filter(pk__in=Subquery(some.values("pk")))) == items[2:]
    assert await face.rows(rows.filter(pk__in=LineItem.objects.none())) == []
    assert await face.rows(rows.filter(pk=rows.values("pk")[1:2])) == [items[1]]
    assert await face.rows(Product.objects.filter(lineitem__in=some).distinct()) == [items[2].product]
    assert await face.rows(Product.objects.exclude(lineitem__in=[(1, "A")])) == [items[2].product]
    assert await face.rows(Product.objects.exclude(lineitem__pk=(1, "A"))) == [items[2].product]
    larger = LineItem.objects.filter(pk=OuterRef("pk"), quantity__gt=2)
    assert await face.rows(rows.filter(Exists(larger))) == items[2:]
    assert await face.rows(rows.filter(pk=(F("product_id"), "B"))) == [items[1], items[3]]


async def test_keys_in_conditions_and_expressions(face: Face) -> None:
    items = await filled(face)
    rows = LineItem.objects.order_by("pk")
    first = Case(When(pk=(1, "A"), then=1), When(pk__in=[(1, "B")], then=2), default=0)
    assert await face.rows(rows.annotate(x=first).values_list("x", flat=True)) == [1, 2, 0, 0]
    assert await face(LineItem.objects.aggregate)(n=Count("pk"), m=Count("pk", filter=dorm.Q(pk__gt=(1, "A")))) == {
        "n": 4,
        "m": 3,
    }
    lone = await face(Product.objects.create)(pk=9, name="lone")
    counted = Product.objects.order_by("pk").annotate(n=Count("lineitem"), m=Count("lineitem__pk"))
    assert [(each.n, each.m) for each in await face.rows(counted)] == [(2, 2), (2, 2), (0, 0)]
    assert await face.rows(Product.objects.filter(lineitem=None)) == [lone]
    assert await face.rows(LineItem.objects.order_by(F("pk").desc())) == items[::-1]
    ranked = rows.annotate(w=dorm.Window(RowNumber(), partition_by="product", order_by=F("pk").desc()))
    assert await face.rows(ranked.values_list("w", flat=True)) == [2, 1, 2, 1]
    assert await face.rows(rows.filter(dorm.Q(pk=(1, "A")) | ~dorm.Q(pk__lt=(2, "B")))) == [items[0], items[3]]


def test_expressions_that_take_no_key_say_so() -> None:
    for wrong in (Max("pk"), Sum("pk"), Lower("pk"), Coalesce("pk", "pk"), F("pk") + 1, Cast("pk", dorm.CharField())):
        with pytest.raises(ValueError, match="expression does not support composite primary keys"):
            LineItem.objects.annotate(x=wrong)
    with pytest.raises(ValueError, match=r"COUNT.DISTINCT. doesn't support composite primary keys"):
        LineItem.objects.annotate(x=Count("pk", distinct=True))
    with pytest.raises(ValueError, match=r"must have 2 selected fields .received 1"):
        LineItem.objects.filter(pk__in=LineItem.objects.values("quantity"))
    with pytest.raises(ValueError, match="limited to one result"):
        LineItem.objects.filter(pk=LineItem.objects.values("pk"))
    with pytest.raises(ValueError, match="must be a tuple or a list"):
        LineItem.objects.filter(pk=F("quantity"))
    with pytest.raises(dorm.FieldError, match="must select one column, not 2"):
        LineItem.objects.annotate(x=Subquery(LineItem.objects.all()[:1]))


async def test_wrong_lookups_are_refused(face: Face) -> None:
    with pytest.raises(ValueError, match="'exact' lookup of 'pk' must be a tuple or a list"):
        LineItem.objects.filter(pk=1)
    with pytest.raises(ValueError, match="'exact' lookup of 'pk' must have 2 elements"):
        LineItem.objects.filter(pk=(1, "A", 3))
    with pytest.raises(ValueError, match="'in' lookup of 'pk' must be a collection of tuples or lists"):
        LineItem.objects.filter(pk__in=[1])
    with pytest.raises(dorm.FieldError, match="Unsupported lookup 'contains'"):
        LineItem.objects.filter(pk__contains="x")


def declared(**attributes: Any) -> Any:
    meta = type("Meta", (), {"app_label": "composite", "apps": dorm.conf.registry.Registry()})
    return type("Made", (dorm.Model,), {"__module__": __name__, "Meta": meta, **attributes})


def test_wrong_keys_are_refused() -> None:
    for names in cast("list[Any]", [(), ("a", "a"), ("a", 1)]):
        with pytest.raises(ValueError, match="CompositePrimaryKey args must be unique strings"):
            dorm.CompositePrimaryKey(*names)
    with pytest.raises(ValueError, match="primary_key must be True"):
        dorm.CompositePrimaryKey("a", "b", primary_key=False)
    with pytest.raises(ValueError, match="cannot have default"):
        dorm.CompositePrimaryKey("a", "b", default=1)
    number = dorm.IntegerField
    with pytest.raises(dorm.ImproperlyConfigured, match="must be named 'pk'"):
        declared(key=dorm.CompositePrimaryKey("a", "b"), a=number(), b=number())
    with pytest.raises(dorm.FieldDoesNotExist, match="no field named 'c'"):
        declared(pk=dorm.CompositePrimaryKey("a", "c"), a=number(), b=number())
    with pytest.raises(dorm.ImproperlyConfigured, match="'b' cannot be included in the composite primary key"):
        declared(pk=dorm.CompositePrimaryKey("a", "b"), a=number(), b=number(null=True))
    with pytest.raises(dorm.ImproperlyConfigured, match="which has a CompositePrimaryKey"):
        declared(item=dorm.ForeignKey(LineItem, related_name="+"))
    assert LineItem._meta.pk.deconstruct() == ("pk", "dorm.CompositePrimaryKey", ["product_id", "order_id"], {})


async def test_keys_among_the_rows_of_a_queryset(face: Face) -> None:
    items = await filled(face)
    small = LineItem.objects.filter(quantity__lt=3)
    for rows in (small, small.values("pk"), small.values("product_id", "order_id"), small.order_by("-quantity")[:2]):
        assert await face.rows(LineItem.objects.filter(pk__in=rows).order_by("pk")) == items[:2]
    assert await face.rows(LineItem.objects.exclude(pk__in=small).order_by("pk")) == items[2:]
    assert await face.rows(LineItem.objects.filter(pk__in=LineItem.objects.none())) == []
    assert await face.rows(Product.objects.filter(lineitem__in=small).distinct()) == [items[0].product]
    with pytest.raises(ValueError, match="must have 2 selected fields"):
        await face.rows(LineItem.objects.filter(pk__in=small.values("quantity")))


async def test_the_key_of_the_query_around(face: Face) -> None:
    items = await filled(face)
    same = LineItem.objects.filter(pk=dorm.OuterRef("pk"), quantity__gt=2)
    assert await face.rows(LineItem.objects.filter(dorm.Exists(same)).order_by("pk")) == items[2:]
    with pytest.raises(dorm.FieldError, match="no composite key"):
        await face.rows(Product.objects.filter(dorm.Exists(same)))


async def test_keys_are_counted_by_a_column(face: Face) -> None:
    await filled(face)
    await face(Product.objects.create)(pk=3, name="p3")
    counted = Product.objects.annotate(n=Count("lineitem")).order_by("pk").values_list("n", flat=True)
    assert await face.rows(counted) == [2, 2, 0]
    with pytest.raises(ValueError, match="composite primary keys"):
        await face.rows(Product.objects.annotate(n=Count("lineitem", distinct=True)))


async def test_a_key_is_annotated_to_objects_as_the_tuple_it_is(face: Face) -> None:
    await filled(face)
    rows = await face.rows(LineItem.objects.annotate(before=Value(1), key=F("pk"), after=Value("x")))
    assert len(rows) > 0
    assert all((row.before, row.key, row.after) == (1, row.pk, "x") for row in rows)


async def test_keys_in_combined_rows(face: Face) -> None:
    await filled(face)

    def both(*names: str) -> Any:
        first, second = (LineItem.objects.filter(product_id=number).values_list(*names) for number in (1, 2))
        return first.union(second)

    keys = [(1, "A"), (1, "B"), (2, "A"), (2, "B")]
    assert sorted(await face.rows(both("pk"))) == [(key,) for key in keys]
    rows = both("quantity", "pk", "order_id")
    assert await face.rows(rows.order_by("quantity")) == [(n, key, key[1]) for n, key in enumerate(keys, 1)]
    assert await face.rows(rows.order_by("-order_id", "-quantity").values_list("pk", flat=True)) == [
        (2, "B"), (1, "B"), (2, "A"), (1, "A"),
    ]  # fmt: skip
    assert await face.rows(rows.order_by("-pk").values("pk")) == [{"pk": key} for key in reversed(keys)]
    assert await face.rows(both("quantity", "order_id").order_by("-quantity").values_list("order_id")[:1]) == [("B",)]
    assert await face(rows.count)() == 4


async def test_keys_in_groups(face: Face) -> None:
    await filled(face)
    grouped = LineItem.objects.values("pk").annotate(n=Sum("quantity"))
    found = await face.rows(grouped.filter(n__gt=2).order_by("pk"))
    assert found == [{"pk": (2, "A"), "n": 3}, {"pk": (2, "B"), "n": 4}]


async def test_distinct_on_a_key(face: Face, backend: str) -> None:
    items = await filled(face)
    if backend == "postgresql":
        assert await face.rows(LineItem.objects.order_by("pk").distinct("pk")) == items


async def test_rows_of_expressions_in_a_list(face: Face) -> None:
    items = await filled(face)
    rows = LineItem.objects.order_by("pk")
    assert await face.rows(rows.filter(pk__in=[(F("product_id"), "B")])) == [items[1], items[3]]
    assert await face.rows(rows.filter(pk__in=[(2, "A"), (F("quantity"), "A")])) == [items[0], items[2]]
    assert await face.rows(rows.exclude(pk__in=[(F("product_id"), "B")])) == [items[0], items[2]]
    # A NULL is like nothing.
    assert await face.rows(rows.filter(pk__in=[(1, None)])) == []
    assert await face.rows(rows.filter(pk__in=[(1, None), (1, "A")])) == [items[0]]
    assert await face.rows(rows.filter(pk=(1, None))) == []


def test_where_no_key_can_stand() -> None:
    rows = LineItem.objects.all()
    for wrong in (
        dorm.ExpressionWrapper(F("pk"), output_field=dorm.IntegerField()),
        Case(When(quantity=1, then=F("pk")), default=0),
        Case(When(quantity=1, then=0), default=F("pk")),
    ):
        with pytest.raises(ValueError, match="does not support composite primary keys"):
            rows.annotate(x=wrong)
    for name in ("quantity", "quantity__gt", "order__reference"):
        with pytest.raises(ValueError, match="CompositePrimaryKey cannot be used as a lookup value"):
            rows.filter(**{name: F("pk")})


async def test_equality_of_keys_that_are_not_complete(face: Face) -> None:
    assert LineItem(pk=(1, None)) == LineItem(pk=(1, None))
    assert LineItem(pk=(1, None)) != LineItem(pk=(None, 1))
    assert LineItem() == LineItem()
    with pytest.raises(TypeError, match="unhashable"):
        hash(LineItem(pk=(1, None)))
    assert not LineItem(pk=(1, None))._is_pk_set()
    assert LineItem(pk=(1, "A"))._is_pk_set()
    with pytest.raises(ValueError, match="unsaved"):
        await face(LineItem.objects.contains)(LineItem(pk=(1, None)))


async def test_keys_set_and_refused(face: Face) -> None:
    item = LineItem(pk=[3, "C"])
    assert (item.pk, item.product_id, item.order_id) == ((3, "C"), 3, "C")
    item.pk = None
    assert item.pk == (None, None)
    for wrong in ((1,), (1, 2, 3), 1, "ab"):
        with pytest.raises(ValueError, match="'pk' must"):
            item.pk = wrong
    items = await filled(face)
    assert await face(LineItem.objects.filter(pk=items[0].pk).update)(quantity=9) == 1
    fresh = await face(LineItem.objects.get)(pk=items[0].pk)
    await face(fresh.refresh_from_db)(fields=["pk", "quantity"])
    assert (fresh.pk, fresh.quantity) == ((1, "A"), 9)
    for names in (["pk"], ["product"]):
        with pytest.raises(ValueError, match="save"):
            await face(fresh.save)(update_fields=names)
    with pytest.raises(ValueError, match=r"primary key"):
        await face(LineItem.objects.bulk_update)(items, ["product"])


async def test_keys_in_comparisons(face: Face) -> None:
    await filled(face)
    for lookup, wanted in (("gt", 2), ("gte", 3), ("lt", 1), ("lte", 2)):
        assert await face(LineItem.objects.filter(**{f"pk__{lookup}": (1, "B")}).count)() == wanted
    assert await face(LineItem.objects.filter(pk__isnull=False).count)() == 4
    for lookup, value in (("range", ((1, "A"), (2, "B"))), ("contains", 1), ("iexact", (1, "A"))):
        with pytest.raises(dorm.FieldError, match="CompositePrimaryKey"):
            LineItem.objects.filter(**{f"pk__{lookup}": value})


async def test_a_partner_with_such_a_key_is_the_one_that_another_condition_meets(face: Face) -> None:
    await filled(face)
    orders = Order.objects.order_by("reference").values_list("reference", flat=True)
    first = orders.filter(dorm.Q(lineitem__product=1) & ~dorm.Q(lineitem__quantity=1))
    assert await face.rows(first) == ["B"]
    other = orders.exclude(lineitem__quantity=dorm.F("lineitem__product_id"))
    assert await face.rows(other) == ["A", "B", "B"]
