"""Fields of users: what they override takes part in every way of a value."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import F, Max
from dorm.migrations.schema import create_tables
from dorm.serialize import serialize
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database")


class Hand:
    """A value that no database knows."""

    def __init__(self, cards: str) -> None:
        self.cards = cards

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hand) and other.cards == self.cards

    def __hash__(self) -> int:
        return hash(self.cards)


class HandField(dorm.Field[Hand | None]):
    """Stores a hand as text; NULL is read as the empty hand, and the empty hand is written as NULL."""

    def db_type(self, connection: Any) -> str:
        return "varchar(20)"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Hand:
        assert connection.vendor in ("sqlite", "postgresql")
        return Hand("") if value is None else Hand(value)

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, Hand) or value is None else Hand(value)

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, str):
            return value
        return value.cards or None


class UpperField(dorm.CharField[str]):
    """Built on a field of dorm's, calling on its methods."""

    def get_prep_value(self, value: Any) -> Any:
        found = super().get_prep_value(value)
        return found.upper() if found is not None else "NOTHING"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value and value.title()


class PerBackendField(dorm.IntegerField[int]):
    """Stores a number ten times as big, on the way to the driver only."""

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        found = super().get_db_prep_value(value, connection, prepared)
        return None if found is None else found * 10

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else value // 10


class StoredAsField(dorm.Field[str]):
    """Has no type of its own, but that of a field of dorm's."""

    def get_internal_type(self) -> str:
        return "CharField"


class CountedField(dorm.IntegerField[int]):
    """Takes its value when the row is saved."""

    def pre_save(self, instance: Any, add: bool) -> Any:
        value = (getattr(instance, self.attname) or 0) + 1
        setattr(instance, self.attname, value)
        return value


class Deal(dorm.Model):
    hand = HandField(null=True)
    title = UpperField(max_length=30, null=True)
    tens = PerBackendField(default=0)
    stored = StoredAsField(max_length=12, default="")
    saves = CountedField(default=0)

    class Meta:
        app_label = "custom"


async def made(face: Face) -> Deal:
    await face(create_tables)([Deal])
    return await face(Deal.objects.create)(hand=Hand("KQ"), title="full house", tens=4, stored="x")


async def test_save_and_get(face: Face) -> None:
    await made(face)
    found = await face(Deal.objects.get)()
    assert (found.hand, found.title, found.tens, found.stored, found.saves) == (Hand("KQ"), "Full House", 4, "x", 1)
    found.hand, found.title, found.tens = Hand("AA"), "pair", 7
    await face(found.save)()
    await face(found.refresh_from_db)()
    assert (found.hand, found.title, found.tens, found.saves) == (Hand("AA"), "Pair", 7, 2)


async def test_null_goes_through_the_methods_too(face: Face) -> None:
    await made(face)
    await face(Deal.objects.create)(hand=Hand(""), title=None)
    found = await face(Deal.objects.get)(title="nothing")
    assert found.hand == Hand("")
    assert found.title == "Nothing"
    assert await face(Deal.objects.filter(hand__isnull=True).count)() == 1


async def test_filters_prepare_their_values(face: Face) -> None:
    await made(face)
    for condition in (
        {"hand": Hand("KQ")},
        {"hand__in": [Hand("KQ"), Hand("x")]},
        {"title": "Full House"},
        {"title__in": ["full house", "FULL HOUSE"]},
        {"tens": 4},
        {"tens__gt": 3},
        {"tens__in": [4, 5]},
        {"tens__range": (1, 4)},
        {"stored": "x"},
    ):
        assert await face(Deal.objects.filter(**condition).count)() == 1, condition
    assert await face(Deal.objects.exclude(tens=4).count)() == 0


async def test_values_annotations_and_aggregates_load(face: Face) -> None:
    await made(face)
    assert await face.rows(Deal.objects.values("hand", "title", "tens")) == [
        {"hand": Hand("KQ"), "title": "Full House", "tens": 4}
    ]
    assert await face.rows(Deal.objects.values_list("hand", flat=True)) == [Hand("KQ")]
    assert (await face(Deal.objects.annotate(again=F("hand")).get)()).again == Hand("KQ")
    assert await face(Deal.objects.aggregate)(most=Max("tens")) == {"most": 4}


async def test_bulk_create_and_update(face: Face) -> None:
    await made(face)
    await face(Deal.objects.bulk_create)(
        [Deal(hand=Hand("AA"), title="b", tens=1, stored="s"), Deal(hand=None, title=None, tens=2)]
    )
    rows = await face.rows(Deal.objects.order_by("id").values_list("hand", "title", "tens", "saves"))
    assert rows[1:] == [(Hand("AA"), "B", 1, 1), (Hand(""), "Nothing", 2, 1)]
    assert await face(Deal.objects.filter(tens=1).update)(hand=Hand("JJ"), title="c", tens=9) == 1
    assert await face.rows(Deal.objects.filter(tens=9).values_list("hand", "title")) == [(Hand("JJ"), "C")]


def test_a_field_without_any_type_says_what_to_override() -> None:
    class Nothing(dorm.Field[Any]):
        pass

    with pytest.raises(NotImplementedError, match=r"override db_type\(connection\), or get_internal_type"):
        Nothing().sql_type


def test_the_column_is_as_the_field_spells_it() -> None:
    connection = dorm.connections["default"]
    assert Deal._meta.get_field("hand").db_type(connection) == "varchar(20)"
    assert Deal._meta.get_field("stored").db_type(connection).lower() == "varchar(12)"
    assert Deal._meta.get_field("tens").get_internal_type() == "IntegerField"
    assert Deal._meta.get_field("title").get_internal_type() == "CharField"


class MarkedField(dorm.TextField[str]):
    """Marks what is written to rows, and what is written to dumps."""

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        return f"saved {super().get_db_prep_save(value, connection)}"

    def value_to_string(self, obj: Any) -> str:
        return f"dumped {self.value_from_object(obj)}"


class ShortKeyField(dorm.SmallIntegerField[int]):
    """Columns that refer to it are wider than it is itself."""

    def value_to_string(self, obj: Any) -> str:
        raise AssertionError("whole numbers are written as they are")

    def rel_db_type(self, connection: Any) -> str:
        return "bigint"


class Marked(dorm.Model):
    number = ShortKeyField(primary_key=True)
    text = MarkedField()
    up = dorm.ForeignKey("self", null=True)

    class Meta:
        app_label = "custom"


async def test_what_a_field_does_to_saved_values_conditions_do_without(face: Face) -> None:
    await face(create_tables)([Marked])
    await face(Marked.objects.create)(number=1, text="a")
    await face(Marked.objects.bulk_create)([Marked(number=2, text="b"), Marked(number=3, text="c", up_id=1)])
    assert await face(Marked.objects.filter(text="a").count)() == 0
    assert await face(Marked.objects.filter(text="saved a").count)() == 1
    await face(Marked.objects.filter(number=2).update)(text="d")
    three = await face(Marked.objects.get)(number=3)
    three.text = "e"
    await face(three.save)(update_fields=["text"])
    two = await face(Marked.objects.get)(number=2)
    two.text = "f"
    await face(Marked.objects.bulk_update)([two], ["text"])
    texts = Marked.objects.order_by("number").values_list("text", flat=True)
    assert await face.rows(texts) == ["saved a", "saved f", "saved e"]


async def test_a_column_that_refers_to_a_field_has_the_type_it_names(face: Face, backend: str) -> None:
    await face(create_tables)([Marked])
    if backend == "postgresql":
        sql = (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'custom_marked'::regclass AND attname IN ('number', 'up_id')"
        )
    else:
        sql = "SELECT name, type FROM pragma_table_info('custom_marked') WHERE name IN ('number', 'up_id')"
    found = {row[0]: row[1].lower() for row in dorm.connection_for().execute(sql)}
    assert found == {"number": "smallint" if backend == "postgresql" else "integer", "up_id": "bigint"}


def test_dumps_have_the_form_that_a_field_gives() -> None:
    (record,) = serialize(Marked(number=1, text="a"))
    assert record["fields"] == {"text": "dumped a", "up": None}
    assert record["pk"] == 1
