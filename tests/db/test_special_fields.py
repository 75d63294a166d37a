"""Generated columns, defaults of the database, enumerations, and PostgreSQL's own types."""

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pytest

import dorm
from dorm import F, Range, Value
from dorm.migrations.schema import create_tables
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database")


class Bill(dorm.Model):
    title = dorm.CharField(max_length=30)
    price = dorm.IntegerField()
    count = dorm.IntegerField(db_default=2)
    status = dorm.CharField(max_length=10, db_default="it's new")
    half = dorm.FloatField(db_default=Value(1) / Value(2.0))
    total = dorm.GeneratedField(expression=F("price") * F("count"), output_field=dorm.BigIntegerField())
    text = dorm.GeneratedField(expression="price + 1", output_field=dorm.IntegerField(), stored=True)

    class Meta:
        app_label = "special"


async def test_the_database_fills_what_was_left_to_it(face: Face) -> None:
    await face(create_tables)([Bill])
    bill = Bill(title="a", price=3)
    assert "DatabaseDefault" in repr(bill.count)
    await face(bill.save)()
    assert (bill.count, bill.status, bill.half, bill.total, bill.text) == (2, "it's new", 0.5, 6, 4)
    found = await face(Bill.objects.get)(total=6)
    assert (found.count, found.total, found.text) == (2, 6, 4)
    made = await face(Bill.objects.bulk_create)([Bill(title="b", price=1, count=9), Bill(title="c", price=2)])
    assert [each.total for each in made] == [9, 4]
    assert [each.count for each in made] == [9, 2]


async def test_a_saved_row_is_saved_again_without_its_generated_columns(face: Face) -> None:
    await face(create_tables)([Bill])
    bill = await face(Bill.objects.create)(title="a", price=3)
    bill.price = 10
    await face(bill.save)()
    await face(bill.refresh_from_db)()
    assert (bill.total, bill.text) == (20, 11)
    await face(Bill.objects.filter(pk=bill.pk).update)(price=5)
    assert await face.rows(Bill.objects.values_list("total", flat=True)) == [10]


def test_generated_columns_are_not_assigned_and_not_read_before_saving() -> None:
    bill = Bill(title="a", price=3)
    with pytest.raises(AttributeError, match=r"Bill.total is generated"):
        bill.total = 5
    with pytest.raises(dorm.FieldError, match="is generated"):
        Bill(title="a", price=3, total=6)
    with pytest.raises(AttributeError, match="Cannot read a generated field from an unsaved model"):
        bill.total
    with pytest.raises(dorm.ImproperlyConfigured, match="cannot have default"):
        dorm.GeneratedField(expression="1", output_field=dorm.IntegerField(), default=1)


class Color(enum.Enum):
    RED = "red"
    DEEP_BLUE = "blue"


class Size(enum.IntEnum):
    S = 1
    M = 2


class Shirt(dorm.Model):
    color = dorm.EnumField(Color)
    native = dorm.EnumField(Color, native=True, type_name="shirt_color", null=True)
    size = dorm.EnumField(Size, default=Size.S)

    class Meta:
        app_label = "special"


async def test_members_go_in_and_come_out(face: Face) -> None:
    await face(create_tables)([Shirt])
    await face(Shirt.objects.create)(color=Color.RED, native=Color.DEEP_BLUE)
    await face(Shirt.objects.bulk_create)([Shirt(color="blue", native=None, size=2), Shirt(color=Color.RED)])
    first = await face(Shirt.objects.get)(native=Color.DEEP_BLUE)
    assert (first.color, first.native, first.size) == (Color.RED, Color.DEEP_BLUE, Size.S)
    assert isinstance(first.size, Size)
    assert await face(Shirt.objects.filter(color=Color.RED).count)() == 2
    assert await face(Shirt.objects.filter(color="red", native="blue").count)() == 1
    assert await face(Shirt.objects.filter(native__in=[Color.DEEP_BLUE]).count)() == 1
    assert await face.rows(Shirt.objects.order_by("pk").values_list("color", "size")) == [
        (Color.RED, Size.S),
        (Color.DEEP_BLUE, Size.M),
        (Color.RED, Size.S),
    ]
    await face(Shirt.objects.filter(size=Size.M).update)(native=Color.RED)
    assert await face(Shirt.objects.filter(native=Color.RED).count)() == 1
    with pytest.raises(dorm.InvalidValue, match="takes a member of its enumeration"):
        await face(Shirt.objects.create)(color="green")


def test_an_enumeration_brings_its_choices() -> None:
    field = Shirt._meta.get_field("color")
    assert field.choices == [("red", "Red"), ("blue", "Deep Blue")]
    assert Shirt(color=Color.DEEP_BLUE).get_color_display() == "Deep Blue"
    assert Shirt(size=2).get_size_display() == "M"
    assert field.clean("red", None) is Color.RED
    with pytest.raises(dorm.ValidationError) as caught:
        field.clean("green", None)
    assert caught.value.code == "invalid_choice"
    assert field.deconstruct()[3] == {"enum_cls": Color}


class Document(dorm.Model):
    data = dorm.JSONField(null=True)

    class Meta:
        app_label = "special"


async def test_sql_null_is_not_json_null(face: Face) -> None:
    await face(create_tables)([Document])
    await face(Document.objects.create)(data=None)
    await face(Document.objects.create)(data=Value(None, dorm.JSONField()))
    await face(Document.objects.create)(data="null")
    assert await face(Document.objects.filter(data__isnull=True).count)() == 1
    assert await face(Document.objects.filter(data=Value(None, dorm.JSONField())).count)() == 1
    rows = await face.rows(Document.objects.order_by("pk").values_list("data", flat=True))
    assert rows == [None, None, "null"]
    await face(Document.objects.filter(data__isnull=True).update)(data=Value(None, dorm.JSONField()))
    assert await face(Document.objects.filter(data__isnull=True).count)() == 0


class Net(dorm.Model):
    address = dorm.GenericIPAddressField(null=True)
    unpacked = dorm.GenericIPAddressField(unpack_ipv4=True, null=True)
    extra = dorm.HStoreField(null=True)
    name = dorm.CITextField(default="")

    class Meta:
        app_label = "special"


@pytest.fixture
def extensions(empty_database: dict[str, Any], backend: str) -> None:
    if backend == "postgresql":
        with psycopg.connect(empty_database["URL"], autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS hstore")
            connection.execute("CREATE EXTENSION IF NOT EXISTS citext")


@pytest.mark.usefixtures("extensions")
async def test_addresses_hstore_and_text_without_case(face: Face) -> None:
    await face(create_tables)([Net])
    extra = {'a"b\\': "x, =>", "n": None, "é\n": ""}
    await face(Net.objects.create)(address="192.0.2.1", unpacked="::ffff:192.0.2.1", extra=extra, name="Straight")
    await face(Net.objects.bulk_create)([Net(address="2001:0DB8::0:1", extra={}), Net()])
    found = await face(Net.objects.get)(address="192.0.2.1")
    assert (found.address, found.unpacked, found.extra, found.name) == ("192.0.2.1", "192.0.2.1", extra, "Straight")
    assert (await face(Net.objects.get)(name="sTRAIGHT")).pk == found.pk
    assert (await face(Net.objects.get)(address="2001:db8:0::1")).extra == {}
    assert await face(Net.objects.filter(address__startswith="192.").count)() == 1
    await face(Net.objects.create)(address="::ffff:1749:ff2e", extra={})
    assert (await face(Net.objects.get)(address="::ffff:23.73.255.46")).address == "::ffff:23.73.255.46"
    assert await face(Net.objects.filter(address__in=["192.0.2.1", "::1"]).count)() == 1
    blank = await face(Net.objects.create)(address="", extra={})
    await face(blank.refresh_from_db)()
    assert blank.address is None
    await face(Net.objects.filter(address="192.0.2.1").update)(address="")
    assert await face(Net.objects.filter(address__isnull=True).count)() == 3


class Postgres(dorm.Model):
    numbers = dorm.ArrayField(dorm.IntegerField(), default=list)
    texts = dorm.ArrayField(dorm.CharField(max_length=5), null=True, size=3)
    matrix = dorm.ArrayField(dorm.ArrayField(dorm.DecimalField(max_digits=5, decimal_places=2)), null=True)
    keys = dorm.ArrayField(dorm.UUIDField(), null=True)
    colors = dorm.ArrayField(dorm.EnumField(Color), null=True)
    days = dorm.DateRangeField(null=True)
    ages = dorm.IntegerRangeField(null=True)
    bigs = dorm.BigIntegerRangeField(null=True)
    prices = dorm.DecimalRangeField(null=True)
    times = dorm.DateTimeRangeField(null=True)

    class Meta:
        app_label = "special"


VALUES: dict[str, Any] = {
    "numbers": [1, 2, None, 70000],
    "texts": ["a", "", 'q"\\,', None],
    "matrix": [[Decimal("1.50")], [Decimal("2.25")]],
    "keys": [uuid.UUID(int=7)],
    "colors": [Color.RED, None],
    "days": Range(datetime.date(2020, 1, 1), datetime.date(2020, 2, 1)),
    "ages": Range(1, 5),
    "bigs": Range(None, 2**40),
    "prices": Range(Decimal("1.5"), Decimal("2"), "(]"),
    "times": Range(datetime.datetime(2020, 1, 1, 12), None),
}


async def test_arrays_and_ranges(face: Face, backend: str) -> None:
    if backend != "postgresql":
        with pytest.raises(NotImplementedError, match="SQLite has no columns of type array"):
            await face(create_tables)([Postgres])
        return
    await face(create_tables)([Postgres])
    await face(Postgres.objects.create)(**VALUES)
    await face(Postgres.objects.bulk_create)([Postgres(**VALUES), Postgres(numbers=[], ages=Range(empty=True))])
    for found in (await face.rows(Postgres.objects.order_by("pk")))[:2]:
        for name, value in VALUES.items():
            assert getattr(found, name) == value, name
    for name, value in VALUES.items():
        assert await face(Postgres.objects.filter(**{name: value}).count)() == 2, name
    assert (await face(Postgres.objects.get)(numbers=[])).ages.is_empty()
    await face(Postgres.objects.filter(numbers=[]).update)(ages=(1, 2), numbers=[5])
    assert await face.rows(Postgres.objects.filter(numbers=[5]).values_list("ages", flat=True)) == [Range(1, 2)]


def test_items_of_arrays_are_validated() -> None:
    field = dorm.ArrayField(dorm.IntegerField(), size=2)
    with pytest.raises(dorm.ValidationError) as caught:
        field.clean([1, 2**40], None)
    assert caught.value.error_list[0].code == "item_invalid"
    assert caught.value.messages[0].startswith("Item 2 in the array did not validate:")
    with pytest.raises(dorm.ValidationError, match="List contains 3 items, it should contain no more than 2"):
        field.clean([1, 2, 3], None)
    assert field.clean("[1, 2]", None) == [1, 2]
    with pytest.raises(dorm.ValidationError, match="The start of the range must not exceed"):
        dorm.IntegerRangeField().clean(Range(5, 1), None)


def test_a_range_knows_what_it_holds() -> None:
    assert 1 in Range(1, 3)
    assert 3 not in Range(1, 3)
    assert 3 in Range(1, 3, "[]")
    assert 1 not in Range(1, 3, "()")
    assert Range(1, 1).is_empty()
    assert not Range(1, 1, "[]").is_empty()
    assert Range().lower_inf
    assert not Range().lower_inc
    assert (Range(1, 2).lower_inc, Range(1, 2).upper_inc) == (True, False)
    with pytest.raises(ValueError, match="bounds must be one of"):
        Range(1, 2, "x")
