"""Records: classes of named values, compiled at their first instance."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import pytest

from dorm.record import Record, as_dict, field, replace


class Point(Record):
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)


class Named(Point):
    name: str = "a"


class Same(Named):
    """Adds no name."""


class Alone(Record):
    only: int


class Nothing(Record):
    pass


class Secret(Record):
    user: str
    password: str = field(default="", repr=False)


class Counter(Record, frozen=False):
    count: int = 0


class Handle(Record, frozen=False, eq=False):
    name: str


class Loose(Record, eq=False):
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loose) and self.name.lower() == other.name.lower()

    def __hash__(self) -> int:
        return hash(self.name.lower())


class Awkward(Record):
    missing: int
    x: list[int] = field(default_factory=list)
    set_x: int = 1
    make_x: int = 2
    default_set_x: int = 3


class Checked(Record):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")

    @property
    def width(self) -> int:
        return self.high - self.low


def test_names_are_given_by_position_or_keyword_and_have_defaults() -> None:
    assert as_dict(Point(1)) == {"x": 1, "y": 2, "tags": []}
    assert as_dict(Point(1, 3, ["a"])) == as_dict(Point(tags=["a"], y=3, x=1)) == {"x": 1, "y": 3, "tags": ["a"]}


def test_a_factory_makes_a_default_for_each_instance() -> None:
    assert Point(1).tags is not Point(1).tags


@pytest.mark.parametrize("wrong", [{}, {"x": 1, "z": 2}])
def test_arguments_are_checked_as_those_of_any_function(wrong: dict[str, Any]) -> None:
    for _ in range(2):  # the first instance compiles the constructor, and that must not hide the mistake
        with pytest.raises(TypeError, match="__init__"):
            Point(**wrong)


def test_a_subclass_adds_its_names_after_those_of_its_base() -> None:
    Point(1)  # the base's constructor is compiled before the subclass has one
    assert as_dict(Named(1, 2, [], "b")) == {"x": 1, "y": 2, "tags": [], "name": "b"}
    assert as_dict(Same(1, name="c"))["name"] == "c"
    assert isinstance(Same(1), Point)


def test_equality_is_that_of_class_and_values() -> None:
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(2)
    assert Named(1) != Same(1)
    assert Alone(1) == Alone(1) != (1,)
    assert Nothing() == Nothing()


def test_frozen_records_are_hashed_by_their_values() -> None:
    assert {Alone(1), Alone(1), Alone(2)} == {Alone(2), Alone(1)}
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter())


def test_frozen_records_refuse_changes_and_new_names() -> None:
    point = Point(1)
    for name in ("x", "z"):
        with pytest.raises(AttributeError, match=rf"Point\.{name} can't be changed: make another one with replace"):
            setattr(point, name, 5)
    with pytest.raises(AttributeError):
        del point.x
    assert point.x == 1


def test_records_that_are_not_frozen_change_but_take_no_new_names() -> None:
    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)
    with pytest.raises(AttributeError):
        counter.other = 1  # type: ignore[attr-defined]


def test_without_equality_each_equals_itself_alone() -> None:
    one = Handle("a")
    assert one != Handle("a")
    assert {one: 1}[one] == 1


def test_a_class_may_compare_in_its_own_way() -> None:
    assert Loose("a") == Loose("A") != Loose("b")
    assert {Loose("a"), Loose("A")} == {Loose("a")}


def test_names_may_be_any() -> None:
    expected = {"missing": 5, "x": [], "set_x": 1, "make_x": 2, "default_set_x": 3}
    assert as_dict(Awkward(5)) == expected
    assert as_dict(Awkward(5, [6], 7, 8, 9)) == {**expected, "x": [6], "set_x": 7, "make_x": 8, "default_set_x": 9}


def test_replace_makes_another_one() -> None:
    point = Point(1, tags=["a"])
    assert replace(point, y=5) == Point(1, 5, ["a"])
    assert point.y == 2
    with pytest.raises(TypeError, match="z"):
        replace(point, z=1)
    with pytest.raises(ValueError, match="low"):
        replace(Checked(1, 2), low=3)


def test_post_init_is_called_last() -> None:
    assert Checked(1, 3).width == 2
    with pytest.raises(ValueError, match="low is above high"):
        Checked(2, 1)


def test_repr_names_the_values_that_may_be_seen() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2, tags=[])"
    assert repr(Secret("me", "hidden")) == "Secret(user='me')"


@pytest.mark.parametrize("record", [Point(1, 2, ["a"]), Alone(3), Nothing(), Counter(4)])
def test_records_are_copied_and_pickled(record: Record) -> None:
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.copy(record) == copy.deepcopy(record) == record


def test_there_is_no_dict_and_nothing_is_compiled_before_the_first_instance() -> None:
    class Fresh(Record):
        x: int

    generic = Fresh.__init__
    assert not hasattr(Fresh(1), "__dict__")
    assert Fresh.__init__ is not generic
    assert sys.getsizeof(Fresh(1)) <= sys.getsizeof(Alone(1))
