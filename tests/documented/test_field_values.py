"""The page "Model field reference": what `clean` makes of each kind of value, or which message it gives; options."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import dorm
from dorm import Deferrable, Q, ValidationError, functions as fn, validators
from dorm.conf.settings import settings


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """None are needed: the settings alone are."""
    before = dict(settings._given)
    dorm.configure(DATABASES={"default": "sqlite:///:memory:"})
    yield
    dorm.connections.reset()
    settings._given.clear()
    settings._given.update(before)


_NULL = "This field cannot be null."
_BLANK = "This field cannot be blank."
_DATE = "value has an invalid date format. It must be in YYYY-MM-DD format."
_MOMENT = "value has an invalid format. It must be in YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format."


class Refused(str):
    """The message of the ValidationError that a value gets."""


_DECIMAL = dorm.DecimalField(max_digits=5, decimal_places=2)
_CHOSEN = dorm.IntegerField(choices=[(1, "One"), ("Group", [(3, "Three")])], null=True, blank=True)
_RANGED = dorm.IntegerField(validators=[validators.MinValueValidator(1), validators.MaxValueValidator(10)])

CLEANED: list[tuple[dorm.Field[Any], list[tuple[Any, Any]]]] = [
    (
        dorm.IntegerField(),
        [
            ("5", 5),
            (" 5 ", 5),
            (5.7, 5),
            (True, 1),
            (Decimal("3"), 3),
            ("5.5", Refused("“5.5” value must be an integer.")),
            ("", Refused("“” value must be an integer.")),
            ([], Refused("“[]” value must be an integer.")),
            (None, Refused(_NULL)),
        ],
    ),
    (
        dorm.FloatField(),
        [
            ("5", 5.0),
            ("1e3", 1000.0),
            (True, 1.0),
            ("x", Refused("“x” value must be a float.")),
            (None, Refused(_NULL)),
        ],
    ),
    (
        _DECIMAL,
        [
            ("5", Decimal("5")),
            ("999.99", Decimal("999.99")),
            ("1.005", Refused("Ensure that there are no more than 2 decimal places.")),
            (12345, Refused("Ensure that there are no more than 3 digits before the decimal point.")),
            ("NaN", Refused("“NaN” value must be a decimal number.")),
            ("x", Refused("“x” value must be a decimal number.")),
        ],
    ),
    (
        dorm.BooleanField(),
        [
            *[(value, True) for value in (True, "True", "t", "1", 1)],
            *[(value, False) for value in (False, "False", "f", "0", 0)],
            ("x", Refused("“x” value must be either True or False.")),
            (None, Refused("“None” value must be either True or False.")),
        ],
    ),
    (
        dorm.BooleanField(null=True),
        [(None, Refused(_BLANK)), ("", Refused(_BLANK)), (True, True)],
    ),
    (
        dorm.DateField(null=True, blank=True),
        [
            ("2020-01-01", datetime.date(2020, 1, 1)),
            (datetime.datetime(2020, 1, 1, 5), datetime.date(2020, 1, 1)),
            (None, None),
            ("x", Refused(f"“x” {_DATE}")),
            (
                "2020-13-01",
                Refused("“2020-13-01” value has the correct format (YYYY-MM-DD) but it is an invalid date."),
            ),
        ],
    ),
    (
        dorm.DateTimeField(null=True, blank=True),
        [
            ("2020-01-01", datetime.datetime(2020, 1, 1)),
            ("2020-01-01 10:00", datetime.datetime(2020, 1, 1, 10)),
            ("2020-01-01T10:00:00.5", datetime.datetime(2020, 1, 1, 10, 0, 0, 500000)),
            (datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1)),
            ("x", Refused(f"“x” {_MOMENT}")),
        ],
    ),
    (
        dorm.TimeField(),
        [
            ("10:00", datetime.time(10)),
            ("10:00:00.5", datetime.time(10, 0, 0, 500000)),
            (datetime.datetime(2020, 1, 1, 5), datetime.time(5)),
            (
                "25:00",
                Refused("“25:00” value has the correct format (HH:MM[:ss[.uuuuuu]]) but it is an invalid time."),
            ),
        ],
    ),
    (
        dorm.DurationField(),
        [
            ("1 00:00:05", datetime.timedelta(days=1, seconds=5)),
            ("5", datetime.timedelta(seconds=5)),
            ("P1D", datetime.timedelta(days=1)),
            ("1:2:3", datetime.timedelta(hours=1, minutes=2, seconds=3)),
            ("-1 day, 0:00:05", datetime.timedelta(days=-1, seconds=5)),
            ("x", Refused("“x” value has an invalid format. It must be in [DD] [[HH:]MM:]ss[.uuuuuu] format.")),
        ],
    ),
    (
        dorm.UUIDField(),
        [
            ("0" * 32, UUID(int=0)),
            (5, UUID(int=5)),
            ("{00000000-0000-0000-0000-000000000003}", UUID(int=3)),
            ("x", Refused("“x” is not a valid UUID.")),
        ],
    ),
    (
        dorm.EmailField(blank=True),
        [
            ("a@b.de", "a@b.de"),
            ("a@localhost", "a@localhost"),
            ("", ""),
            ("x", Refused("Enter a valid email address.")),
        ],
    ),
    (
        dorm.URLField(blank=True),
        [("ftp://a.de", "ftp://a.de"), ("", ""), ("javascript:alert(1)", Refused("Enter a valid URL."))],
    ),
    (
        dorm.SlugField(),
        [
            ("a-b_1", "a-b_1"),
            ("ä", Refused("Enter a valid “slug” consisting of letters, numbers, underscores or hyphens.")),
        ],
    ),
    (
        dorm.GenericIPAddressField(),
        [
            ("2001:0db8:0:0::1", "2001:db8::1"),
            (" 1.2.3.4 ", "1.2.3.4"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            ("1.2.3", Refused("Enter a valid IPv4 or IPv6 address.")),
        ],
    ),
    (dorm.GenericIPAddressField(protocol="IPv4"), [("::1", Refused("Enter a valid IPv4 address."))]),
    (dorm.GenericIPAddressField(unpack_ipv4=True), [("::ffff:1.2.3.4", "1.2.3.4"), ("::1", "::1")]),
    (
        dorm.JSONField(),
        [
            ("x", "x"),
            (5, 5),
            ({}, Refused(_BLANK)),
            (None, Refused(_NULL)),
            ({1, 2}, Refused("Value must be valid JSON.")),
        ],
    ),
    (
        dorm.CharField(max_length=5, blank=True),
        [("", ""), (5, "5"), ("abcdef", Refused("Ensure this value has at most 5 characters (it has 6)."))],
    ),
    (
        _CHOSEN,
        [(1, 1), ("1", 1), (3, 3), (None, None), (9, Refused("Value 9 is not a valid choice."))],
    ),
    (
        _RANGED,
        [
            (1, 1),
            (10, 10),
            (0, Refused("Ensure this value is greater than or equal to 1.")),
            (11, Refused("Ensure this value is less than or equal to 10.")),
        ],
    ),
    (
        dorm.BinaryField(max_length=3),
        [(b"ab", b"ab"), (b"abcd", Refused("Ensure this value has at most 3 characters (it has 4)."))],
    ),
]


@pytest.mark.parametrize(("field", "cases"), CLEANED, ids=lambda value: type(value).__name__)
def test_clean(field: dorm.Field[Any], cases: list[tuple[Any, Any]]) -> None:
    for value, expected in cases:
        if isinstance(expected, Refused):
            with pytest.raises(ValidationError) as caught:
                field.clean(value, None)
            assert caught.value.messages == [expected]
        else:
            found = field.clean(value, None)
            assert (found, type(found)) == (expected, type(expected))


_NAMED: dict[str, Any] = {"fields": ["a"], "name": "x"}

WRONG: list[tuple[Callable[[], Any], type[Exception]]] = [
    (lambda: dorm.CheckConstraint(condition=5, name="x"), TypeError),  # type: ignore[arg-type]  # that is the mistake
    (lambda: dorm.UniqueConstraint(name="x"), ValueError),
    (lambda: dorm.UniqueConstraint(fn.Lower("a"), fields=["b"], name="x"), ValueError),
    (lambda: dorm.UniqueConstraint(**_NAMED, condition="y"), ValueError),
    (lambda: dorm.UniqueConstraint(**_NAMED, condition=Q(b=1), deferrable=Deferrable.DEFERRED), ValueError),
    (lambda: dorm.UniqueConstraint(**_NAMED, include="b"), TypeError),
    (lambda: dorm.UniqueConstraint(**_NAMED, include=["b"], deferrable=Deferrable.DEFERRED), ValueError),
    (lambda: dorm.UniqueConstraint(**_NAMED, deferrable="x"), TypeError),
    (lambda: dorm.UniqueConstraint(fn.Lower("a"), name="x", deferrable=Deferrable.DEFERRED), ValueError),
    (lambda: dorm.UniqueConstraint(**_NAMED, opclasses=["a", "b"]), ValueError),
    (lambda: dorm.UniqueConstraint(fn.Lower("a"), name="x", opclasses=["a"]), ValueError),
    (lambda: dorm.UniqueConstraint(**_NAMED, nulls_distinct=5), TypeError),  # type: ignore[arg-type]  # as above
    (lambda: dorm.Index(name="x"), ValueError),
    (lambda: dorm.Index(fields=[]), ValueError),
    (lambda: dorm.Index(fields="x"), ValueError),
    (lambda: dorm.Index(fields=["a"], condition=Q(a=1)), ValueError),
    (lambda: dorm.Index(fn.Lower("a")), ValueError),
    (lambda: dorm.Index(fn.Lower("a"), fields=["b"], name="x"), ValueError),
    (lambda: dorm.Index(**_NAMED, condition="y"), ValueError),
    (lambda: dorm.Index(**_NAMED, include="b"), ValueError),
    (lambda: dorm.Index(include=["b"], name="x"), ValueError),
    (lambda: dorm.Index(fields=["a"], opclasses=["x"]), ValueError),
    (lambda: dorm.Index(**_NAMED, opclasses=["x", "y"]), ValueError),
    (lambda: dorm.Index(fields=[5], name="x"), ValueError),
    (lambda: dorm.GenericIPAddressField(protocol="x"), ValueError),
    (lambda: dorm.GenericIPAddressField(protocol="IPv4", unpack_ipv4=True), ValueError),
]


def test_constraints_indexes_and_options_that_cannot_be() -> None:
    for number, (make, error) in enumerate(WRONG):
        with pytest.raises(error):
            make()
            pytest.fail(f"case {number} was taken")


def test_what_constraints_and_indexes_tell() -> None:
    unique = dorm.UniqueConstraint(**_NAMED, violation_error_message="m %(name)s", violation_error_code="c")
    assert (unique.get_violation_error_message(), unique.violation_error_code) == ("m x", "c")
    assert unique.clone() == unique != dorm.UniqueConstraint(**_NAMED)
    check = dorm.CheckConstraint(condition=Q(a=1), name="x")
    assert (check.get_violation_error_message(), check.violation_error_code) == ("Constraint “x” is violated.", None)
    assert dorm.Index(fields=["-a", "b"], name="x").fields_orders == [("a", "DESC"), ("b", "")]
    assert dorm.Index(**_NAMED).clone() == dorm.Index(**_NAMED) != dorm.Index(fields=["b"], name="x")


def test_validators() -> None:
    for validator, value, message in (
        (validators.RegexValidator(r"^a", "bad", "cc"), "b", "bad"),
        (validators.RegexValidator(r"^a", inverse_match=True), "abc", "Enter a valid value."),
        (validators.MinLengthValidator(3), "ab", "Ensure this value has at least 3 characters (it has 2)."),
        (validators.MinValueValidator(lambda: 5), 4, "Ensure this value is greater than or equal to 5."),
        (validators.StepValueValidator(3), 4, "Ensure this value is a multiple of step size 3."),
        (validators.DecimalValidator(4, 2), Decimal("123.45"), "Ensure that there are no more than 4 digits in total."),
        (validators.ProhibitNullCharactersValidator(), "a\x00", "Null characters are not allowed."),
        (validators.URLValidator(schemes=["x"]), "http://a.de", "Enter a valid URL."),
        (validators.int_list_validator(), "1,2,x", "Enter a valid value."),
        (validators.validate_comma_separated_integer_list, "1,a", "Enter only digits separated by commas."),
    ):
        with pytest.raises(ValidationError) as caught:
            validator(value)  # type: ignore[operator]  # of many classes, all of them callable
        assert caught.value.messages == [message]
    validators.StepValueValidator(3, offset=1)(4)
    validators.EmailValidator(allowlist=["foo"])("a@foo")
    assert validators.MinValueValidator(3) == validators.MinValueValidator(3) != validators.MinValueValidator(4)
