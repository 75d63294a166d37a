"""Constraints and indexes: the database enforces them, full_clean asks beforehand."""

from __future__ import annotations

import datetime
from typing import Any, cast

import psycopg
import pytest

import dorm
from dorm import F, Q, Range, Value
from dorm.constraints import Deferrable
from dorm.expressions import Func
from dorm.migrations.schema import create_tables
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database")


class Lower(Func):
    cacheable = True
    function = "LOWER"


class Room(dorm.Model):
    name = dorm.CharField(max_length=30)
    floor = dorm.IntegerField(null=True, blank=True)
    low = dorm.IntegerField(default=0)
    high = dorm.IntegerField(default=10)
    active = dorm.BooleanField(default=True)
    code = dorm.CharField(max_length=5, default="a'%")
    price = dorm.DecimalField(max_digits=30, decimal_places=2, default=1)

    class Meta:
        app_label = "constrained"
        constraints = [
            dorm.CheckConstraint(condition=Q(low__lte=F("high")), name="low_high"),
            dorm.CheckConstraint(
                check=Q(code__in=["a'%", "b", "c"]) & ~Q(name=""),
                name="codes",
                violation_error_message="%(name)s: bad code",
                violation_error_code="bad",
            ),
            dorm.CheckConstraint(condition=Q(price__gte=1) & Q(price__lt=100), name="prices"),
            dorm.UniqueConstraint(fields=["floor", "low"], name="floor_low"),
            dorm.UniqueConstraint(fields=["floor"], condition=Q(active=True, name__startswith="A"), name="one_active"),
            dorm.UniqueConstraint(Lower("name"), F("active").desc(), name="name_ignoring_case", include=None),
        ]
        indexes = [
            dorm.Index(fields=["-floor", "name"]),
            dorm.Index(Lower("code"), F("floor").desc(), name="room_code_lower"),
            dorm.Index(fields=["high"], condition=Q(active=True), include=["code"], name="room_high_active"),
            dorm.Index(fields=["LOWER(name)"]),
            dorm.Index(["code"], "room_code_hash", method="hash"),
        ]


async def room(face: Face, **values: Any) -> Room:
    return await face(Room.objects.create)(**{"name": "A", "floor": 1, **values})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"name": "b", "floor": 2, "low": 11}),
        ({}, {"name": "b", "floor": 2, "code": "z"}),
        ({}, {"name": "", "floor": 2}),
        ({}, {"name": "b", "floor": 2, "price": 100}),
        ({}, {"name": "b", "floor": 1}),
        ({}, {"name": "Ab", "floor": 1, "low": 1}),
        ({"name": "Xy"}, {"name": "xY", "floor": 2}),
    ],
    ids=["check", "check in", "check not", "check decimal", "unique", "unique where", "unique expression"],
)
async def test_the_database_and_full_clean_refuse_the_same(
    face: Face, first: dict[str, Any], second: dict[str, Any]
) -> None:
    await face(create_tables)([Room])
    await room(face, **first)
    bad = Room(**{"name": "A", **second})
    with pytest.raises(dorm.ValidationError) as caught:
        await face(bad.full_clean)()
    assert caught.value.message_dict
    with pytest.raises(dorm.IntegrityError):
        await face(bad.save)()


async def test_what_is_allowed_passes_both(face: Face) -> None:
    await face(create_tables)([Room])
    await room(face)
    for values in (
        {"name": "b", "floor": 2},
        {"name": "c", "floor": 1, "low": 1},
        {"name": "Ac", "floor": 3, "active": False},
        {"name": "Ad", "floor": 3, "low": 2},
        {"name": "d", "floor": None},
        {"name": "e", "floor": None, "price": "9.50"},
    ):
        good = Room(**values)
        await face(good.full_clean)()
        await face(good.save)()
        await face(good.full_clean)()
    assert await face(Room.objects.count)() == 7


async def test_messages_and_codes_are_djangos(face: Face) -> None:
    await face(create_tables)([Room])
    await room(face)
    bad = Room(name="A", floor=1, low=20, code="z")
    with pytest.raises(dorm.ValidationError) as caught:
        await face(bad.validate_constraints)()
    errors = {error.message: error.code for error in caught.value.error_dict["__all__"]}
    assert errors == {
        "Constraint “low_high” is violated.": None,
        "codes: bad code": "bad",
        "Constraint “one_active” is violated.": None,
        "Constraint “name_ignoring_case” is violated.": None,
    }
    with pytest.raises(dorm.ValidationError) as caught:
        await face(Room(name="x", floor=1).validate_constraints)()
    assert caught.value.message_dict == {"__all__": ["Room with this Floor and Low already exists."]}
    assert caught.value.error_dict["__all__"][0].code == "unique_together"


async def test_excluded_fields_leave_out_their_constraints(face: Face) -> None:
    await face(create_tables)([Room])
    await room(face)
    bad = Room(name="A", floor=1, low=20, code="z")
    await face(bad.validate_constraints)(exclude={"low", "code", "name"})
    await face(bad.full_clean)(validate_constraints=False)
    with pytest.raises(dorm.ValidationError, match="one_active"):
        await face(bad.validate_constraints)(exclude={"low", "code", "price"})


async def test_a_constraint_validates_by_itself(face: Face) -> None:
    await face(create_tables)([Room])
    check = dorm.CheckConstraint(condition=Q(high__gt=5), name="high")
    with pytest.raises(dorm.ValidationError, match="Constraint “high” is violated"):
        await face(check.validate)(Room, Room(high=3))
    await face(check.validate)(Room, Room(high=None))
    await face(check.validate)(Room, Room(high=3), exclude={"high"})
    shown = dorm.CheckConstraint(condition=Q(high__gt=F("low") + Value(1)), name="x")
    await face(shown.validate)(Room, Room(high=3, low=1))
    with pytest.raises(dorm.ValidationError):
        await face(shown.validate)(Room, Room(high=3, low=2))


async def test_a_constraint_of_ones_own_is_asked(face: Face) -> None:
    class Odd(dorm.CheckConstraint):
        def validate(self, model: Any, instance: Any, exclude: Any = None, using: str = "default") -> None:
            if instance.value % 2:
                raise dorm.ValidationError("odd", code="odd")

    class Numbered(dorm.Model):
        value = dorm.IntegerField()

        class Meta:
            app_label = "constrained"
            constraints = [Odd(condition=Q(value__gt=0), name="odd")]

    await face(create_tables)([Numbered])
    await face(Numbered(value=2).full_clean)()
    with pytest.raises(dorm.ValidationError, match="odd"):
        await face(Numbered(value=1).full_clean)()


class Booking(dorm.Model):
    room = dorm.IntegerField()
    days = dorm.DateRangeField()
    cancelled = dorm.BooleanField(default=False)
    place = dorm.IntegerField(null=True)
    rank = dorm.IntegerField(default=0)

    class Meta:
        app_label = "constrained"
        constraints = [
            dorm.ExclusionConstraint(
                name="no_overlap",
                expressions=[("room", "="), ("days", "&&")],
                condition=Q(cancelled=False),
                violation_error_message="taken",
            ),
            dorm.UniqueConstraint(fields=["place"], name="one_null", nulls_distinct=False),
            dorm.UniqueConstraint(fields=["rank"], name="ranks", deferrable=Deferrable.DEFERRED),
        ]


def days(start: int, end: int) -> Range:
    return Range(datetime.date(2020, 1, start), datetime.date(2020, 1, end))


async def test_exclusion_and_deferred_uniqueness(face: Face, backend: str, empty_database: dict[str, Any]) -> None:
    if backend != "postgresql":
        with pytest.raises(dorm.NotSupportedError):
            await face(create_tables)([Booking])
        return
    with psycopg.connect(empty_database["URL"], autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    await face(create_tables)([Booking])
    await face(Booking.objects.create)(room=1, days=days(1, 5), place=1, rank=1)
    clash = Booking(room=1, days=days(4, 8), place=2, rank=2)
    with pytest.raises(dorm.ValidationError, match="taken"):
        await face(clash.full_clean)()
    with pytest.raises(dorm.IntegrityError):
        await face(clash.save)()
    clash.cancelled = True
    await face(clash.full_clean)()
    await face(clash.save)()
    await face(Booking(room=1, days=days(5, 8), place=None, rank=3).save)()
    second_null = Booking(room=9, days=days(5, 8), place=None, rank=4)
    with pytest.raises(dorm.ValidationError, match="already exists"):
        await face(second_null.validate_constraints)()
    with pytest.raises(dorm.IntegrityError):
        await face(second_null.save)()
    async with face.atomic():
        await face(Booking.objects.filter(place=1).update)(rank=2)
        await face(Booking.objects.filter(place=2).update)(rank=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fields": ["a"]}, "must be named"),
        ({"name": "x"}, "At least one field or expression"),
        ({"fields": ["a"], "name": "x", "condition": 1}, "condition must be a Q instance"),
        (
            {"fields": ["a"], "name": "x", "condition": Q(a=1), "deferrable": "deferred"},
            "conditions cannot be deferred",
        ),
        (
            {"fields": ["a"], "name": "x", "include": ["b"], "deferrable": "deferred"},
            "include fields cannot be deferred",
        ),
        ({"fields": ["a"], "name": "x", "opclasses": ["x", "y"]}, "same number of elements"),
    ],
)
def test_unique_constraints_refuse_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dorm.UniqueConstraint(**arguments)


def test_other_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="mutually exclusive"):
        dorm.UniqueConstraint(Lower("a"), fields=["a"], name="x")
    with pytest.raises(TypeError, match="deferrable must be a Deferrable"):
        dorm.UniqueConstraint(fields=["a"], name="x", deferrable="never")
    with pytest.raises(TypeError, match="include must be a list or tuple"):
        dorm.UniqueConstraint(fields=["a"], name="x", include="b")
    with pytest.raises(TypeError, match="nulls_distinct must be a bool"):
        dorm.UniqueConstraint(fields=["a"], name="x", nulls_distinct=cast("Any", 1))
    with pytest.raises(TypeError, match="must be a Q instance or boolean expression"):
        dorm.CheckConstraint(condition=F("a"), name="x")
    with pytest.raises(ValueError, match="only support GiST"):
        dorm.ExclusionConstraint(name="x", expressions=[("a", "=")], index_type="btree")
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "At least one field or expression"),
        ({"fields": ["a"], "condition": Q(a=1)}, "must be named to use condition"),
        ({"fields": ["a"], "include": ["b"]}, "covering index must be named"),
        ({"fields": ["a"], "opclasses": ["b"]}, "must be named to use opclasses"),
        ({"fields": ["a"], "name": "_x"}, "cannot start with an underscore or a number"),
        ({"fields": ["a"], "name": "x" * 64}, "cannot be longer than 63"),
        ({"fields": [1]}, "must contain only strings"),
        ({"fields": "a"}, "fields must be a list or tuple"),
        ({"fields": ["a"], "include": "b", "name": "x"}, "include must be a list or tuple"),
        ({"fields": ["a"], "method": "fast"}, "no index method"),
    )
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            dorm.Index(**arguments)
    with pytest.raises(ValueError, match="must be named to use expressions"):
        dorm.Index(Lower("a"))


@pytest.mark.parametrize("part", [*Room._meta.constraints, *Booking._meta.constraints, *Room._meta.indexes], ids=repr)
def test_parts_of_tables_are_taken_apart_copied_and_equal(part: Any) -> None:
    path, args, kwargs = part.deconstruct()
    assert path == f"{type(part).__module__}.{type(part).__name__}"
    again = type(part)(*args, **kwargs)
    assert again == part
    assert hash(again) == hash(part)
    assert part.clone() == part
    assert part.clone() is not part
    changed = type(part)(*args, **{**kwargs, "name": "other_name"})
    assert changed != part


async def test_a_constraint_over_another_table_is_refused(face: Face) -> None:
    class Lonely(dorm.Model):
        other = dorm.ForeignKey(Room)

        class Meta:
            app_label = "constrained"
            constraints = [dorm.CheckConstraint(condition=Q(other__floor=1), name="far")]

    with pytest.raises(dorm.FieldError, match="is about one table"):
        await face(create_tables)([Room, Lonely])
