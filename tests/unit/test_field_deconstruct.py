"""A field can be taken apart and made again, with every option."""

from __future__ import annotations

import datetime
import decimal
import enum
import importlib
import json
import operator
from typing import Any

import pytest

import dorm
from dorm import fields, validators

COMMON: dict[str, Any] = {
    "verbose_name": "a name",
    "unique": True,
    "blank": True,
    "null": True,
    "db_index": True,
    "serialize": False,
    "unique_for_date": "day",
    "unique_for_month": "day",
    "unique_for_year": "day",
    "help_text": "help",
    "db_column": "col",
    "db_tablespace": "space",
    "db_comment": "a comment",
    "error_messages": {"null": "no null"},
    "pii": True,
}


class Level(enum.Enum):
    LOW = "low"


CASES: list[tuple[type[dorm.Field[Any]], dict[str, Any]]] = [
    (dorm.IntegerField, {"default": 3, "validators": [validators.MinValueValidator(1)]}),
    (dorm.SmallIntegerField, {"db_default": 5}),
    (dorm.BigIntegerField, {"choices": [(1, "one"), (2, "two")]}),
    (dorm.PositiveIntegerField, {}),
    (dorm.PositiveSmallIntegerField, {}),
    (dorm.PositiveBigIntegerField, {}),
    (dorm.BooleanField, {"default": False}),
    (dorm.FloatField, {"default": 1.5}),
    (dorm.DecimalField, {"max_digits": 7, "decimal_places": 3, "default": decimal.Decimal("1.5")}),
    (dorm.CharField, {"max_length": 20, "choices": [("group", [("a", "A")]), ("b", "B")]}),
    (dorm.TextField, {"max_length": 20, "default": str, "db_collation": "C"}),
    (dorm.CharField, {"db_collation": "NOCASE"}),
    (dorm.EmailField, {"max_length": 100}),
    (dorm.URLField, {"max_length": 100}),
    (dorm.SlugField, {"max_length": 10, "allow_unicode": True}),
    (dorm.SlugField, {"db_index": False}),
    (dorm.GenericIPAddressField, {"protocol": "IPv6"}),
    (dorm.GenericIPAddressField, {"unpack_ipv4": True}),
    (fields.IPAddressField, {}),
    (dorm.UUIDField, {}),
    (dorm.JSONField, {"encoder": json.JSONEncoder, "decoder": json.JSONDecoder, "default": dict}),
    (dorm.BinaryField, {"editable": True, "max_length": 4}),
    (dorm.DateField, {"auto_now": True}),
    (dorm.TimeField, {"auto_now_add": True}),
    (dorm.DateTimeField, {"default": datetime.datetime(2020, 1, 1)}),
    (dorm.DurationField, {"default": datetime.timedelta(1)}),
    (dorm.EnumField, {"enum_cls": Level, "max_length": 30, "native": True, "type_name": "level"}),
    (dorm.ArrayField, {"base_field": dorm.IntegerField(), "size": 3}),
    (dorm.HStoreField, {}),
    (dorm.CITextField, {}),
    (dorm.IntegerRangeField, {"default": None}),
    (dorm.DateTimeRangeField, {}),
    (dorm.DecimalRangeField, {}),
]


def rebuilt(field: dorm.Field[Any]) -> dorm.Field[Any]:
    """Make the field again from what `deconstruct` says."""
    _, path, args, kwargs = field.deconstruct()
    module, _, name = path.rpartition(".")
    made: dorm.Field[Any] = getattr(importlib.import_module(module), name)(*args, **kwargs)
    return made


@pytest.mark.parametrize(("cls", "own"), CASES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("common", [{}, COMMON], ids=["plain", "all options"])
def test_every_option_survives_a_round_trip(
    cls: type[dorm.Field[Any]], own: dict[str, Any], common: dict[str, Any]
) -> None:
    field = cls(**{**common, **own})
    _, path, args, kwargs = field.deconstruct()
    assert path == f"dorm.fields.{cls.__name__}"
    again = rebuilt(field)
    assert type(again) is cls
    assert again.deconstruct() == (None, path, args, kwargs)
    for name, value in {**common, **own}.items():
        if name not in ("validators", "error_messages"):
            assert getattr(again, name) == value, name


def test_generated_fields_keep_expression_and_type() -> None:
    inner = dorm.DecimalField(max_digits=5, decimal_places=1)
    field = dorm.GeneratedField(expression=dorm.F("a") + 1, output_field=inner, stored=False, db_column="x")
    _, path, args, kwargs = field.deconstruct()
    assert path == "dorm.fields.GeneratedField"
    assert kwargs == {"expression": field.expression, "output_field": inner, "stored": False, "db_column": "x"}
    assert rebuilt(field).deconstruct() == (None, path, args, kwargs)


def test_what_was_not_given_is_not_written() -> None:
    assert dorm.IntegerField().deconstruct() == (None, "dorm.fields.IntegerField", [], {})
    assert dorm.CharField().deconstruct()[3] == {"max_length": 255}
    assert dorm.SlugField().deconstruct()[3] == {}
    assert dorm.SlugField(max_length=60).deconstruct()[3] == {"max_length": 60}
    assert dorm.BinaryField().deconstruct()[3] == {}
    assert dorm.DateField(auto_now=True).deconstruct()[3] == {"auto_now": True}
    assert dorm.BigAutoField(primary_key=True).deconstruct()[3] == {"primary_key": True}
    assert fields.NullBooleanField().deconstruct()[3] == {}


def test_a_field_of_a_model_gives_its_name() -> None:
    class Named(dorm.Model):
        first_name = dorm.CharField(max_length=5)

        class Meta:
            app_label = "deconstruct"

    field = Named._meta.get_field("first_name")
    assert field.deconstruct() == ("first_name", "dorm.fields.CharField", [], {"max_length": 5})
    copy = field.clone()
    assert not hasattr(copy, "model")
    assert copy.deconstruct() == (None, "dorm.fields.CharField", [], {"max_length": 5})


def test_options_are_taken_by_position_as_in_django() -> None:
    field = dorm.CharField("first name", "given", max_length=3)
    assert (field.verbose_name, field._given_name, field.max_length) == ("first name", "given", 3)
    assert dorm.DecimalField("price", None, 5, 1).max_digits == 5
    assert dorm.DateField("day", None, True).auto_now is True


class Suit(dorm.IntegerChoices):
    HEARTS = 1
    SPADES = 2, "Spades!"


def test_choices_are_written_as_pairs_and_functions_stay_functions() -> None:
    assert dorm.IntegerField(choices=Suit).deconstruct()[3]["choices"] == [(1, "Hearts"), (2, "Spades!")]
    assert dorm.IntegerField(choices={1: "one"}).deconstruct()[3]["choices"] == [(1, "one")]

    def later() -> list[tuple[int, str]]:
        return [(1, "one")]

    field = dorm.IntegerField(choices=later)
    assert field.deconstruct()[3]["choices"] is later
    assert field.choices == [(1, "one")]


def test_a_subclass_adds_its_own_options() -> None:
    class Hand(dorm.CharField[str]):
        def __init__(self, *args: Any, separator: str = ",", **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.separator = separator

        def deconstruct(self) -> Any:
            name, path, args, kwargs = super().deconstruct()
            if self.separator != ",":
                kwargs["separator"] = self.separator
            return name, path, args, kwargs

    field = Hand(max_length=3, separator=";")
    _, path, _, kwargs = field.deconstruct()
    assert path.endswith("Hand")
    assert kwargs == {"max_length": 3, "separator": ";"}
    assert Hand(**kwargs).separator == ";"


VALIDATORS = [
    validators.RegexValidator(r"^a", "no", "bad"),
    validators.MinValueValidator(3),
    validators.MaxLengthValidator(3, message="short"),
    validators.DecimalValidator(5, 2),
    validators.EmailValidator(allowlist=["x"]),
    validators.URLValidator(schemes=["http"]),
    validators.FileExtensionValidator(["TXT"]),
    validators.StepValueValidator(2, offset=1),
]


@pytest.mark.parametrize("validator", VALIDATORS, ids=lambda each: type(each).__name__)
def test_validators_are_taken_apart_and_equal_when_made_alike(validator: Any) -> None:
    path, args, kwargs = validator.deconstruct()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(*args, **kwargs)
    assert again == validator
    assert hash(again) == hash(validator)
    assert operator.ne(validator, validators.MinValueValidator(99))
