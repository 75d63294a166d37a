"""Validators: what they accept, and the message and code of what they refuse."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import dorm
from dorm import validators

GOOD: list[tuple[Any, Any]] = [
    *[
        (validators.URLValidator(), url)
        for url in (
            "http://www.djangoproject.com/",
            "http://localhost/",
            "http://example.com./",
            "http://example.com:65535/",
            "http://su--b.valid-----hyphens.com/",
            "http://200.8.9.10:8000/test",
            "http://userid:password@example.com:8080",
            "http://مثال.إختبار",
            "http://[::ffff:192.9.5.5]/",
            "ftp://example.com/a?b=c#d",
        )
    ],
    *[
        (validators.validate_email, address)
        for address in (
            "email@here.com",
            "weirder-email@here.and.there.com",
            "email@[127.0.0.1]",
            "email@localhost",
            '"test@test"@example.com',
            "test@domain.with.idn.tld.उदाहरण.परीक्षा",
        )
    ],
    (validators.validate_slug, "a-b_1"),
    (validators.validate_unicode_slug, "é-b"),
    (validators.validate_ipv46_address, "::1"),
    (validators.validate_integer, "-5"),
    (validators.validate_comma_separated_integer_list, "1,2"),
    (validators.int_list_validator(sep=".", allow_negative=True), "-1.2"),
    (validators.StepValueValidator(0.1), 0.3),
    (validators.StepValueValidator(3, offset=1), 7),
    (validators.DecimalValidator(5, 2), Decimal("1E2")),
    (validators.RegexValidator("x", inverse_match=True), "abc"),
    (validators.MinValueValidator(lambda: 3), 3),
    (validators.validate_domain_name, "example.com"),
    (validators.RangeMaxValueValidator(5), dorm.Range(None, 5)),
    (validators.RangeMinValueValidator(lambda: 0), dorm.Range(0, None)),
    (validators.KeysValidator(["a", "b"]), {"a": 1, "b": None, "c": 3}),
    (validators.KeysValidator({"a"}, strict=True), {"a": "1"}),
]


@pytest.mark.parametrize(("validator", "value"), GOOD, ids=lambda each: type(each).__name__)
def test_good_values_pass(validator: Any, value: Any) -> None:
    assert validator(value) is None


BAD: list[tuple[Any, Any, str]] = [
    *[
        (validators.URLValidator(), url, "Enter a valid URL.")
        for url in (
            "foo",
            "http://",
            "http://example",
            "http://invalid-.com",
            "http://-invalid.com",
            "file://localhost/path",
            "http://foo.bar?q=Spaces should be encoded",
            "http://256.1.1.1",
            "http://foo:bar:baz@example.com",
            "http://example.com:000000080/",
            "http://example.com:65536/",
            "http://[::1:2::3]:8000/",
            "http://www.example.com\n",
            5,
        )
    ],
    *[
        (validators.validate_email, address, "Enter a valid email address.")
        for address in (
            None,
            "",
            "abc",
            "abc@",
            "a @x.cz",
            "a@@b.com",
            "email@127.0.0.1",
            "a@invalid-.com",
            "a\n@b.com",
        )
    ],
    (validators.MinLengthValidator(1), "", "Ensure this value has at least 1 character (it has 0)."),
    (validators.MaxLengthValidator(2), "abc", "Ensure this value has at most 2 characters (it has 3)."),
    (validators.MinValueValidator(3), 2, "Ensure this value is greater than or equal to 3."),
    (validators.StepValueValidator(3), 4, "Ensure this value is a multiple of step size 3."),
    (validators.DecimalValidator(2, 1), Decimal("123"), "Ensure that there are no more than 2 digits in total."),
    (validators.DecimalValidator(5, 1), Decimal("1.23"), "Ensure that there are no more than 1 decimal place."),
    (validators.DecimalValidator(5, 2), Decimal("NaN"), "Enter a number."),
    (validators.ProhibitNullCharactersValidator(), "a\0", "Null characters are not allowed."),
    (validators.validate_ipv4_address, "1.1.1", "Enter a valid IPv4 address."),
    (validators.validate_ipv6_address, "1.1.1.1", "Enter a valid IPv6 address."),
]


@pytest.mark.parametrize(("validator", "value", "message"), BAD, ids=lambda each: type(each).__name__)
def test_bad_values_are_refused_in_djangos_words(validator: Any, value: Any, message: str) -> None:
    with pytest.raises(dorm.ValidationError) as caught:
        validator(value)
    assert caught.value.messages == [message]
    assert caught.value.code
    assert caught.value.params is None or "value" in caught.value.params


ENDS = "Ensure that the upper bound of the range is not greater than 5."
BEGINS = "Ensure that the lower bound of the range is not less than 0."


@pytest.mark.parametrize(
    ("validator", "value", "code", "message"),
    [
        (validators.RangeMaxValueValidator(5), dorm.Range(0, 6), "max_value", ENDS),
        (validators.RangeMaxValueValidator(5), dorm.Range(0, None), "max_value", ENDS),
        (validators.RangeMaxValueValidator(5), dorm.Range(empty=True), "max_value", ENDS),
        (validators.RangeMinValueValidator(0), dorm.Range(-1, 6), "min_value", BEGINS),
        (validators.RangeMinValueValidator(0), dorm.Range(None, 6), "min_value", BEGINS),
        (validators.KeysValidator(["b", "a"]), {"c": "1"}, "missing_keys", "Some keys were missing: a, b"),
        (validators.KeysValidator(["a"], strict=True), {"a": 1, "d": 2, "c": 3}, "extra_keys",
         "Some unknown keys were provided: c, d"),
        (validators.KeysValidator(["a"], True, {"extra_keys": "no %(keys)s"}), {"a": 1, "b": 2}, "extra_keys", "no b"),
        (validators.KeysValidator(["a"], True, {"extra_keys": "no %(keys)s"}), {}, "missing_keys",
         "Some keys were missing: a"),
    ],
)  # fmt: skip
def test_bad_ranges_and_keys_are_refused(validator: Any, value: Any, code: str, message: str) -> None:
    with pytest.raises(dorm.ValidationError) as caught:
        validator(value)
    assert (caught.value.code, caught.value.messages) == (code, [message])


def test_validators_of_keys_are_values() -> None:
    one, other = validators.KeysValidator(["a", "b"]), validators.KeysValidator(keys=("b", "a", "a"))
    assert one == other
    assert hash(one) == hash(other)
    assert one != validators.KeysValidator(["a", "b"], strict=True)
    assert one != validators.KeysValidator(["a", "b"], messages={"missing_keys": "no"})
    assert one.deconstruct() == ("dorm.validators.KeysValidator", [["a", "b"]], {})


def test_a_message_of_ones_own() -> None:
    with pytest.raises(dorm.ValidationError, match="5 is below 7"):
        validators.MinValueValidator(7, message="%(value)s is below %(limit_value)s")(5)


def test_a_refused_value_is_a_validation_error_too() -> None:
    with pytest.raises(dorm.ValidationError) as caught:
        dorm.IntegerField().prepare("x")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, dorm.DataError)
    assert caught.value.code == "invalid"


class Year(dorm.TextChoices):
    FRESHMAN = "FR", "Freshman"
    SENIOR = "SR"
    __empty__ = "(unknown)"


def test_choices_have_labels_names_and_values() -> None:
    assert Year.choices == [(None, "(unknown)"), ("FR", "Freshman"), ("SR", "Senior")]
    assert (Year.labels, Year.values) == (["(unknown)", "Freshman", "Senior"], [None, "FR", "SR"])
    assert Year.names == ["__empty__", "FRESHMAN", "SENIOR"]
    assert str(Year.SENIOR) == f"{Year.SENIOR}" == "SR"
    assert Year.FRESHMAN.label == "Freshman"
    assert "SR" in Year
    assert "XX" not in Year
    assert dorm.TextChoices("Medal", "GOLD SILVER").choices == [("GOLD", "Gold"), ("SILVER", "Silver")]  # type: ignore[attr-defined]  # made by a call
    with pytest.raises(ValueError, match="duplicate values"):

        class Twice(dorm.IntegerChoices):
            A = 1
            B = 1


def test_validation_errors_read_as_documented() -> None:
    one = dorm.ValidationError("too %(what)s", code="size", params={"what": "big"})
    several = dorm.ValidationError(["a", one])
    named = dorm.ValidationError({"f": ["a", "b"], "g": "c"})
    assert (str(one), str(several), str(named)) == ("['too big']", "['a', 'too big']", "{'f': ['a', 'b'], 'g': ['c']}")
    assert repr(several) == "ValidationError(['a', 'too big'])"
    assert (list(one), dict(named)) == (["too big"], {"f": ["a", "b"], "g": ["c"]})
    assert not hasattr(one, "error_dict")
    assert named.error_dict["f"][1].message == "b"
    assert several.update_error_dict({})["__all__"] == [dorm.ValidationError("a"), one]


def test_validation_errors_are_equal_in_whatever_order() -> None:
    one = dorm.ValidationError("x %(n)s", code="c", params={"n": 1})
    assert one == dorm.ValidationError("x %(n)s", code="c", params={"n": 1})
    assert one != dorm.ValidationError("x %(n)s", code="d", params={"n": 1})
    assert one != dorm.ValidationError("x %(n)s", code="c", params={"n": 2})
    assert dorm.ValidationError(["a", one]) == dorm.ValidationError([one, "a"])
    assert dorm.ValidationError(["a", "a"]) != dorm.ValidationError(["a"])
    assert (
        len({hash(dorm.ValidationError({"f": "a", "g": "b"})), hash(dorm.ValidationError({"g": "b", "f": "a"}))}) == 1
    )


def test_a_value_that_is_no_boolean_has_the_same_code_with_and_without_null() -> None:
    for field, message in (
        (dorm.BooleanField(), "must be either True or False."),
        (dorm.BooleanField(null=True), "must be either True, False, or None."),
    ):
        with pytest.raises(dorm.ValidationError, match=message) as caught:
            field.to_python("maybe")
        assert caught.value.code == "invalid"
