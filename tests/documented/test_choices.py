"""The part on choices and enumeration types of the page "Model field reference"."""

from __future__ import annotations

import datetime
import enum
from typing import Any

import pytest

import dorm
from dorm import Choices
from tests.support.faces import Face


class Suit(dorm.IntegerChoices):
    DIAMOND = 1
    SPADE = 2, "Spades"
    HEART_OF = 3


class Year(dorm.TextChoices):
    FRESHMAN = "FR", "Freshman"
    JUNIOR_YEAR = "JR"


class Named(dorm.TextChoices):
    AB = enum.auto()
    C_D = enum.auto(), "given"


class Maybe(dorm.TextChoices):
    A = "a"
    __empty__ = "(none)"


class Landing(datetime.date, Choices):
    FIRST = 1969, 7, 20, "Apollo 11"
    SECOND = 1969, 11, 19, "Apollo 12"


def computed() -> list[tuple[str, str]]:
    return [("x", "X")]


GROUPS = {"Audio": {"vinyl": "Vinyl", "cd": "CD"}, "unknown": "Unknown"}


class Card(dorm.Model):
    suit = dorm.IntegerField(choices=Suit)
    year = dorm.CharField(max_length=2, choices=Year.choices, default=Year.FRESHMAN)
    computed = dorm.CharField(max_length=2, choices=computed, blank=True)
    medium = dorm.CharField(max_length=10, choices=GROUPS, blank=True)
    maybe = dorm.CharField(max_length=2, choices=Maybe, blank=True)
    labelled = dorm.CharField(max_length=2, null=True, choices=[(None, "pick one"), ("a", "A")])

    class Meta:
        app_label = "doc_choices"


MODELS = (Card,)


def test_enumerations() -> None:
    assert Suit.choices == [(1, "Diamond"), (2, "Spades"), (3, "Heart Of")]
    assert (Suit.labels, Suit.values, Suit.names) == (
        ["Diamond", "Spades", "Heart Of"],
        [1, 2, 3],
        ["DIAMOND", "SPADE", "HEART_OF"],
    )
    assert Named.choices == [("AB", "Ab"), ("C_D", "given")]
    assert (Maybe.choices, Maybe.labels, Maybe.values, Maybe.names) == (
        [(None, "(none)"), ("a", "A")],
        ["(none)", "A"],
        [None, "a"],
        ["__empty__", "A"],
    )
    assert Landing.choices == [
        (datetime.date(1969, 7, 20), "Apollo 11"),
        (datetime.date(1969, 11, 19), "Apollo 12"),
    ]
    assert Landing.SECOND.label == "Apollo 12"
    assert Landing.SECOND.year == 1969


def test_members() -> None:
    assert (Suit.SPADE.label, Suit.SPADE.value, Suit.SPADE.name) == ("Spades", 2, "SPADE")
    assert (str(Suit.SPADE), f"{Year.FRESHMAN}", repr(Suit.SPADE)) == ("2", "FR", "Suit.SPADE")
    assert Suit(2) is Suit.SPADE
    assert Year.FRESHMAN == "FR"
    assert hash(Year.FRESHMAN) == hash("FR")
    assert Suit.SPADE + 1 == 3
    assert (2 in Suit, "FR" in Year, Year.FRESHMAN in Year, 9 in Suit, "x" in Suit) == (True, True, True, False, False)
    with pytest.raises(ValueError, match="9"):
        Suit(9)
    with pytest.raises(ValueError, match="duplicate"):
        dorm.TextChoices("Twice", [("A", "a"), ("B", "a")])


@pytest.mark.parametrize(
    ("name", "choices", "flat"),
    [
        ("suit", Suit.choices, Suit.choices),
        ("computed", computed(), computed()),
        (
            "medium",
            [("Audio", [("vinyl", "Vinyl"), ("cd", "CD")]), ("unknown", "Unknown")],
            [("vinyl", "Vinyl"), ("cd", "CD"), ("unknown", "Unknown")],
        ),
        ("maybe", [(None, "(none)"), ("a", "A")], [(None, "(none)"), ("a", "A")]),
    ],
)
def test_choices_of_a_field(name: str, choices: Any, flat: Any) -> None:
    field = Card._meta.get_field(name)
    assert list(field.choices) == choices
    assert list(field.flatchoices) == flat
    own_blank = name == "maybe"
    assert list(field.get_choices()) == ([] if own_blank else [("", "---------")]) + choices
    assert list(field.get_choices(include_blank=False)) == choices
    assert list(field.get_choices(blank_choice=[("", "pick")])) == ([] if own_blank else [("", "pick")]) + choices


def test_labels_of_values() -> None:
    card: Any = Card(suit=2, year="JR", computed="x", medium="cd", maybe="", labelled=None)
    assert (card.get_suit_display(), card.get_year_display()) == ("Spades", "Junior Year")
    assert (card.get_computed_display(), card.get_medium_display()) == ("X", "CD")
    assert (card.get_maybe_display(), card.get_labelled_display()) == ("", "pick one")
    card.suit = 99
    assert card.get_suit_display() == 99


async def test_values_are_validated(face: Face) -> None:
    card = Card(suit=99, year=Year.JUNIOR_YEAR, medium="Audio", labelled="z", computed="x")
    with pytest.raises(dorm.ValidationError) as caught:
        await face(card.clean_fields)()
    assert {name: errors[0].code for name, errors in caught.value.error_dict.items()} == {
        "suit": "invalid_choice",
        "medium": "invalid_choice",
        "labelled": "invalid_choice",
    }
    await face(Card(suit=Suit.SPADE, medium="vinyl", labelled="a").clean_fields)()


async def test_members_are_stored_as_their_values(face: Face) -> None:
    made = await face(Card.objects.create)(suit=Suit.SPADE, year=Year.JUNIOR_YEAR)
    assert made.suit is Suit.SPADE
    found = await face(Card.objects.get)(pk=made.pk)
    assert (found.suit, type(found.suit), found.year, type(found.year)) == (2, int, "JR", str)
    assert found.suit == Suit.SPADE
    assert await face(Card.objects.filter(suit__in=[Suit.SPADE, Suit.DIAMOND], year=Year.JUNIOR_YEAR).count)() == 1
    assert await face.rows(Card.objects.values_list("suit", "year")) == [(2, "JR")]
