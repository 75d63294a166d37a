"""The pages "Constraints reference" and "Model index reference"."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import CheckConstraint, F, Index, Q, UniqueConstraint
from dorm.functions import Lower
from tests.support.faces import Face


class Customer(dorm.Model):
    name = dorm.CharField(max_length=20)
    age = dorm.IntegerField(null=True)
    first = dorm.DateField(default=datetime.date(2020, 1, 1))
    last = dorm.DateField(default=datetime.date(2020, 2, 1))

    class Meta:
        app_label = "doc_constraints"
        constraints = [
            CheckConstraint(condition=Q(age__gte=18), name="age_gte_18"),
            CheckConstraint(
                condition=Q(first__lte=F("last")),
                name="ordered",
                violation_error_message="wrong order",
                violation_error_code="order",
            ),
            UniqueConstraint(Lower("name").desc(), name="unique_lower_name"),
        ]
        indexes = [
            Index(fields=["name", "-age"], name="doc_name_age"),
            Index(Lower("name").desc(), "age", name="doc_lower_age"),
            Index(fields=["age"], name="doc_adults", condition=Q(age__gte=50)),
        ]


class Booking(dorm.Model):
    room = dorm.CharField(max_length=10)
    date = dorm.DateField()
    status = dorm.CharField(max_length=10, default="draft")
    slot = dorm.IntegerField(null=True)

    class Meta:
        app_label = "doc_constraints"
        constraints = [
            UniqueConstraint(fields=["room", "date"], name="%(app_label)s_%(class)s_unique"),
            UniqueConstraint(fields=["room"], condition=Q(status="final"), name="one_final"),
        ]


class Slot(dorm.Model):
    order = dorm.IntegerField()
    tag = dorm.CharField(max_length=10, null=True)

    class Meta:
        app_label = "doc_constraints"
        constraints = [UniqueConstraint(fields=["order"], name="unique_order", violation_error_message="taken")]


MODELS = (Customer, Booking, Slot)


async def test_check_constraints_hold_in_database_and_validation(face: Face) -> None:
    await face(Customer.objects.create)(name="Ann", age=None)  # NULL passes a check
    await face(Customer.objects.create)(name="Bob", age=18)
    with pytest.raises(dorm.IntegrityError):
        await face(Customer.objects.create)(name="Kid", age=3)
    with pytest.raises(dorm.ValidationError) as caught:
        await face(Customer(name="Kid", age=3).full_clean)()
    assert caught.value.message_dict == {"__all__": ["Constraint “age_gte_18” is violated."]}
    wrong = Customer(name="Cat", age=20, first=datetime.date(2021, 1, 1))
    with pytest.raises(dorm.ValidationError) as caught:
        await face(wrong.full_clean)()
    assert caught.value.message_dict == {"__all__": ["wrong order"]}
    assert caught.value.error_dict["__all__"][0].code == "order"
    with pytest.raises(dorm.IntegrityError):
        await face(wrong.save)()


async def test_unique_expressions(face: Face) -> None:
    await face(Customer.objects.create)(name="Ann")
    with pytest.raises(dorm.IntegrityError):
        await face(Customer.objects.create)(name="ANN")
    with pytest.raises(dorm.ValidationError) as caught:
        await face(Customer(name="aNN", age=20).full_clean)()
    assert caught.value.message_dict == {"__all__": ["Constraint “unique_lower_name” is violated."]}


async def test_unique_fields_and_conditions(face: Face) -> None:
    day = datetime.date(2024, 1, 1)
    first = await face(Booking.objects.create)(room="a", date=day, status="final")
    with pytest.raises(dorm.IntegrityError):
        await face(Booking.objects.create)(room="a", date=day)
    with pytest.raises(dorm.ValidationError) as caught:
        await face(Booking(room="a", date=day, slot=1).full_clean)()
    assert caught.value.message_dict == {"__all__": ["Booking with this Room and Date already exists."]}
    assert caught.value.error_dict["__all__"][0].code == "unique_together"
    other: Any = Booking(room="a", date=day + datetime.timedelta(days=1), status="final", slot=1)
    with pytest.raises(dorm.IntegrityError):
        await face(other.save)()
    with pytest.raises(dorm.ValidationError):
        await face(other.full_clean)()
    other.status = "draft"
    await face(other.full_clean)()
    await face(other.save)()
    first.slot = 4
    await face(first.full_clean)()  # a row doesn't clash with itself
    assert Booking._meta.constraints[0].name == "doc_constraints_booking_unique"


async def test_single_field_constraint_speaks_for_its_field(face: Face) -> None:
    await face(Slot.objects.create)(order=1)
    with pytest.raises(dorm.ValidationError) as caught:
        await face(Slot(order=1, tag="x").full_clean)()
    assert "taken" in str(caught.value.message_dict)
    constraint = Slot._meta.constraints[0]
    with pytest.raises(dorm.ValidationError):
        await face(constraint.validate)(Slot, Slot(order=1))
    await face(constraint.validate)(Slot, Slot(order=1), exclude={"order"})
    for options, wanted in (
        ({"violation_error_code": "mine"}, ("unique", "Slot with this Order already exists.")),
        ({"violation_error_code": "mine", "violation_error_message": "taken"}, ("mine", "taken")),
        ({"violation_error_message": "taken"}, (None, "taken")),
    ):
        with pytest.raises(dorm.ValidationError) as caught:
            await face(UniqueConstraint(fields=["order"], name="x", **options).validate)(Slot, Slot(order=1))
        assert (caught.value.code, *caught.value.messages) == wanted


def test_equality_deconstruct_and_refusals() -> None:
    one = UniqueConstraint(fields=["a", "b"], name="u")
    assert one == UniqueConstraint(fields=["a", "b"], name="u")
    assert one != UniqueConstraint(fields=["a"], name="u")
    path, _args, kwargs = one.deconstruct()
    assert path.endswith("UniqueConstraint")
    assert kwargs == {"fields": ("a", "b"), "name": "u"}
    check = CheckConstraint(condition=Q(a__gt=1), name="c")
    assert check == CheckConstraint(condition=Q(a__gt=1), name="c")
    assert check.clone() == check
    with pytest.raises((TypeError, ValueError)):
        UniqueConstraint(fields=["a"])
    with pytest.raises(ValueError):
        UniqueConstraint(name="u")
    with pytest.raises(ValueError):
        UniqueConstraint("a", fields=["a"], name="u")
    with pytest.raises(ValueError):
        UniqueConstraint(fields=["a"], condition=Q(a=1), deferrable="deferred", name="u")
    with pytest.raises(TypeError):
        CheckConstraint(condition="a > 1", name="c")
    with pytest.raises(ValueError):
        Index(name="x")
    with pytest.raises(ValueError):
        Index("a", fields=["b"], name="x")
    with pytest.raises(ValueError):
        Index(Lower("a"))  # expressions need a name
    assert Index(fields=["a"], name="i") == Index(fields=["a"], name="i")
