"""Instances: construction, loading, identity, copies, methods made for fields, deferred columns, init signals."""

from __future__ import annotations

import abc
import copy
import datetime
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from dorm.models import DEFERRED
from tests.support.faces import Face


class Shirt(dorm.Model):
    name = dorm.CharField(max_length=20)
    size = dorm.CharField(max_length=2, choices=[("S", "Small"), ("L", "Large")], default="S")
    note = dorm.TextField(default="")
    made = dorm.DateTimeField(default=datetime.datetime(2020, 1, 1))

    class Meta:
        app_label = "instances"


class BlueShirt(Shirt):
    class Meta:
        app_label = "instances"
        proxy = True


class Loaded(dorm.Model):
    """As Django's documentation overrides from_db and __init__."""

    name = dorm.CharField(max_length=20)
    size = dorm.IntegerField(default=1)

    class Meta:
        app_label = "instances"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.built = True

    @classmethod
    def from_db(cls, db: str, field_names: Iterable[str], values: Iterable[Any]) -> Any:
        given = list(values)
        if len(given) != len(cls._meta.concrete_fields):
            given.reverse()
            given = [given.pop() if f.attname in field_names else DEFERRED for f in cls._meta.concrete_fields]
        instance = cls(*given)
        instance._state.adding = False
        instance._state.db = db
        instance._loaded_values = dict(zip(field_names, (v for v in given if v is not DEFERRED), strict=True))
        return instance


class Counting(type(dorm.Model)):  # type: ignore[misc]  # a metaclass that is found at run time
    """Counts the instances that calling a class makes."""

    calls = 0

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        Counting.calls += 1
        return super().__call__(*args, **kwargs)


class Counted(dorm.Model, metaclass=Counting):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "instances"


class Sheet(dorm.Model):
    marks = dorm.JSONField(default=list)

    class Meta:
        app_label = "instances"


class Sticker(dorm.Model):
    shirt = dorm.ForeignKey(Shirt, related_name="stickers")
    loaded = dorm.ForeignKey(Loaded, null=True)

    class Meta:
        app_label = "instances"


class Survey(dorm.Model):
    """More columns than an object holds without a dict of its own."""

    locals().update({f"answer{number}": dorm.IntegerField(default=number) for number in range(40)})
    shirt = dorm.ForeignKey(Shirt, related_name="surveys", null=True)
    before = dorm.ForeignKey("self", related_name="after", null=True)

    class Meta:
        app_label = "instances"


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables([Shirt, Loaded, Counted, Sheet, Sticker, Survey])


async def test_positional_values_and_pk(face: Face) -> None:
    shirt = Shirt(7, "x", "L")
    assert (shirt.id, shirt.name, shirt.size, shirt.note) == (7, "x", "L", "")
    assert Shirt(pk=3).id == 3
    with pytest.raises(IndexError, match="takes 5 values by position, 6 were given"):
        Shirt(1, 2, 3, 4, 5, 6)
    with pytest.raises(TypeError, match="both positional and keyword arguments for 'id'"):
        Shirt(1, id=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nmae'"):
        Shirt(nmae="x")


async def test_create_makes_what_calling_the_class_makes(face: Face) -> None:
    assert (await face(Loaded.objects.create)(name="a")).built, "an overridden __init__ is called"
    before = Counting.calls
    await face(Counted.objects.create)(name="a")
    assert Counting.calls == before + 1, "a metaclass's __call__ is called"
    made = await face(Shirt.objects.create)(note="n", name="s")
    expected = vars(Shirt(note="n", name="s")) | {"id": made.pk}
    assert list(vars(made).items())[: len(expected)] == list(expected.items()), "values in the order of the fields"
    assert (await face(Shirt.objects.create)(pk=70, name="s")).id == 70
    with pytest.raises(TypeError, match="unexpected keyword argument 'nmae'"):
        await face(Shirt.objects.create)(nmae="x", name="s", size="S", note="", made=None, id=None)


async def test_a_constructor_may_set_something_before_it_calls_the_common_one(face: Face) -> None:
    class Early(Shirt):
        class Meta:
            app_label = "instances"
            proxy = True

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.size = "XL"
            self.seen = list(kwargs)
            super().__init__(*args, **kwargs)

    early = Early(name="e")
    assert (early.size, early.note, early.seen) == ("S", "", ["name"])
    assert (await face(Early.objects.create)(size="L", name="e")).seen == ["size", "name"]
    assert await face(Shirt.objects.filter(size="L").count)() == 1
    with pytest.raises(TypeError, match="unexpected keyword argument 'nmae'"):
        Early(nmae="x", name="e")


async def test_create_calls_a_default_once_for_each_row(face: Face) -> None:
    first, second = await face(Sheet.objects.create)(), await face(Sheet.objects.create)()
    first.marks.append("x")
    given: list[str] = []
    third = await face(Sheet.objects.create)(marks=given)
    assert second.marks == []
    assert third.marks is given


async def test_deferred_positional_values_stay_deferred(face: Face) -> None:
    shirt = Shirt(1, DEFERRED, "S")
    assert shirt.get_deferred_fields() == {"name"}


async def test_from_db_runs_on_every_road(face: Face) -> None:
    made = await face(Loaded.objects.create)(name="a", size=3)
    shirt = await face(Shirt.objects.create)(name="s")
    await face(Sticker.objects.create)(shirt=shirt, loaded=made)
    whole = {"id": made.pk, "name": "a", "size": 3}
    got = await face(Loaded.objects.get)(pk=made.pk)
    (listed,) = await face.rows(Loaded.objects.all())
    (streamed,) = await face.stream(Loaded.objects.all())
    (sticker,) = await face.rows(Sticker.objects.select_related("loaded"))
    for one in (got, listed, streamed, sticker.loaded):
        assert one._loaded_values == whole
        assert one.built
        assert one._state.db == "default"
        assert not one._state.adding
    (part,) = await face.rows(Loaded.objects.only("name"))
    assert part._loaded_values == {"id": made.pk, "name": "a"}
    assert part.get_deferred_fields() == {"size"}


async def test_each_row_of_many_columns_has_its_own_values(face: Face) -> None:
    shirt = await face(Shirt.objects.create)(name="s")
    first = await face(Survey.objects.create)(answer3=300, shirt=shirt)
    second = await face(Survey.objects.create)(answer39=3900, before=first)
    surveys = Survey.objects.annotate(more=dorm.F("answer3") + 1).select_related("before", "shirt").order_by("pk")
    one, two = await face.rows(surveys)
    assert [one.pk, one.answer0, one.answer3, one.answer39, one.more] == [first.pk, 0, 300, 39, 301]
    assert [two.pk, two.answer0, two.answer3, two.answer39, two.more] == [second.pk, 0, 3, 3900, 4]
    assert one.before is None
    assert one.shirt == shirt
    assert two.shirt is None
    assert [two.before.pk, two.before.answer3, two.before.answer39] == [first.pk, 300, 39]
    assert type(one) is type(two.before) is Survey
    one.note = "kept"
    one.answer3 = 5
    assert not hasattr(two, "note")
    assert (two.before.answer3, two.answer3) == (300, 3)
    (part,) = await face.rows(Survey.objects.defer("answer7", "shirt").filter(pk=second.pk))
    assert part.get_deferred_fields() == {"answer7", "shirt_id"}
    await face(part.refresh_from_db)(fields=["answer7"])
    assert part.answer7 == 7


async def test_init_signals_are_sent_for_new_and_loaded_instances(face: Face) -> None:
    await face(Shirt.objects.create)(name="s")
    seen: list[Any] = []

    def before(sender: Any, args: Any, kwargs: Any, **told: Any) -> None:
        seen.append(("pre", sender))

    def after(sender: Any, instance: Any, **told: Any) -> None:
        seen.append(("post", instance.name))

    await face.rows(Shirt.objects.all())
    dorm.signals.pre_init.connect(before, sender=Shirt)
    dorm.signals.post_init.connect(after, sender=Shirt)
    try:
        (found,) = await face.rows(Shirt.objects.all())
        assert seen == [("pre", Shirt), ("post", "s")]
        assert (found.name, found._state.db, found._state.adding) == ("s", "default", False)
        Shirt(name="new")
        assert seen[2:] == [("pre", Shirt), ("post", "new")]
    finally:
        dorm.signals.pre_init.disconnect(before, sender=Shirt)
        dorm.signals.post_init.disconnect(after, sender=Shirt)
    await face.rows(Shirt.objects.all())
    assert len(seen) == 4


async def test_equality_hash_and_text(face: Face) -> None:
    one, other = Shirt(pk=1), Shirt(pk=1, name="other")
    assert one == other
    assert one == BlueShirt(pk=1)
    assert hash(one) == hash(BlueShirt(pk=1))
    assert one != Shirt(pk=2)
    assert one != Loaded(pk=1)
    assert one != 1
    new = Shirt()
    assert new == new
    assert new != Shirt()
    with pytest.raises(TypeError, match="Model instances without primary key value are unhashable"):
        hash(new)
    assert str(one) == "Shirt object (1)"
    assert repr(one) == "<Shirt: Shirt object (1)>"
    assert repr(new) == "<Shirt: Shirt object (None)>"


async def test_pickle_and_copies_keep_values_and_state(face: Face) -> None:
    made = await face(Shirt.objects.create)(name="s", size="L")
    (shirt,) = await face.rows(Shirt.objects.defer("note").prefetch_related("stickers"))
    for other in (pickle.loads(pickle.dumps(shirt)), copy.copy(shirt), copy.deepcopy(shirt)):
        assert other == made
        assert other is not shirt
        assert (other.name, other.size) == ("s", "L")
        assert (other._state.db, other._state.adding) == ("default", False)
        assert other.get_deferred_fields() == {"note"}
    twin = copy.copy(shirt)
    twin.__dict__["_prefetched"].clear()
    assert shirt.__dict__["_prefetched"]
    new = pickle.loads(pickle.dumps(Shirt(name="n")))
    assert new._state.adding
    assert new._state.db is None


async def test_a_copy_with_adding_set_by_hand_is_inserted_where_it_came_from(face: Face) -> None:
    shirt = await face(Shirt.objects.create)(name="s")
    first = shirt.pk
    shirt.pk = None
    shirt._state.adding = True
    assert shirt._state.db == "default"
    await face(shirt.save)()
    assert shirt.pk != first
    assert await face(Shirt.objects.count)() == 2


async def test_labels_of_choices(face: Face) -> None:
    assert Shirt(size="L").get_size_display() == "Large"
    assert Shirt(size="XL").get_size_display() == "XL"
    assert BlueShirt(size="S").get_size_display() == "Small"


async def test_next_and_previous_by_date(face: Face) -> None:
    day = datetime.datetime(2021, 5, 1)
    shirts = [
        await face(Shirt.objects.create)(name=name, size=size, made=day + datetime.timedelta(days=days))
        for name, size, days in [("a", "S", 0), ("b", "L", 1), ("c", "S", 1), ("d", "S", 2)]
    ]
    a, b, c, d = shirts
    assert await face(a.get_next_by_made)() == b
    assert await face(b.get_next_by_made)() == c
    assert await face(a.get_next_by_made)(size="S") == c
    assert await face(d.get_previous_by_made)() == c
    with pytest.raises(Shirt.DoesNotExist, match="Shirt matching query does not exist"):
        await face(d.get_next_by_made)()
    with pytest.raises(ValueError, match="cannot be used on unsaved objects"):
        await face(Shirt().get_next_by_made)()


async def test_serializable_value(face: Face) -> None:
    shirt = await face(Shirt.objects.create)(name="s")
    sticker = await face(Sticker.objects.create)(shirt=shirt)
    assert sticker.serializable_value("shirt") == shirt.pk
    assert sticker.serializable_value("shirt_id") == shirt.pk
    assert sticker.serializable_value("pk") == sticker.pk
    with pytest.raises(AttributeError):
        sticker.serializable_value("nope")


async def test_refresh_takes_fields_and_keeps_deferred_ones(face: Face) -> None:
    made = await face(Shirt.objects.create)(name="s", note="n")
    part = await face(Shirt.objects.defer("note").get)(pk=made.pk)
    await face(Shirt.objects.update)(name="t", note="m")
    await face(part.refresh_from_db)()
    assert part.name == "t"
    assert part.get_deferred_fields() == {"note"}
    await face(part.refresh_from_db)(fields=["note"])
    assert part.note == "m"
    await face(made.refresh_from_db)(fields=["note"])
    assert (made.name, made.note) == ("s", "m")
    with pytest.raises(ValueError, match="Relations and transforms are not allowed in fields"):
        await face(made.refresh_from_db)(fields=["name__upper"])
    with pytest.raises(dorm.FieldDoesNotExist):
        await face(made.refresh_from_db)(fields=["nope"])


async def test_refresh_from_a_queryset(face: Face) -> None:
    made = await face(Shirt.objects.create)(name="s")
    await face(made.refresh_from_db)(from_queryset=Shirt.objects.filter(name="s"))
    with pytest.raises(Shirt.DoesNotExist):
        await face(made.refresh_from_db)(from_queryset=Shirt.objects.filter(name="other"))


@pytest.fixture
def overridden() -> Iterator[list[Any]]:
    """Collects the fields that an overridden refresh_from_db was asked for."""
    asked: list[Any] = []
    original = Shirt.refresh_from_db

    def refresh_from_db(self: Any, using: Any = None, fields: Any = None, **rest: Any) -> None:
        asked.append(fields)
        original(self, using, fields, **rest)

    Shirt.refresh_from_db = refresh_from_db  # type: ignore[method-assign]
    yield asked
    del Shirt.refresh_from_db


def test_a_deferred_column_is_loaded_by_refresh_from_db(backend: str, overridden: list[Any]) -> None:
    Shirt.objects.create(name="s", note="n")
    shirt = Shirt.objects.defer("note").get()
    assert shirt.note == "n"
    assert overridden == [["note"]]


def test_what_a_class_does_at_the_end_of_its_instances_is_for_those_alone() -> None:
    ended: list[str] = []

    class Ending(dorm.Model):
        name = dorm.CharField(max_length=20)

        class Meta:
            app_label = "instances"

        def __del__(self) -> None:
            ended.append(self.name)

    Ending(name="only")
    assert ended == ["only"]


def test_a_model_that_lacks_methods_of_an_abstract_base_has_children_alone() -> None:
    class ModelABCMeta(type(dorm.Model), abc.ABCMeta):  # type: ignore[misc]  # a metaclass is computed
        pass

    class Shape(dorm.Model, metaclass=ModelABCMeta):
        name = dorm.CharField(max_length=20)

        class Meta:
            app_label = "instances"

        @abc.abstractmethod
        def area(self) -> int: ...

    class Square(Shape):
        side = dorm.IntegerField()

        class Meta:
            app_label = "instances"

        def area(self) -> int:
            return self.side * self.side

    with pytest.raises(TypeError, match="area"):
        Shape(name="none")
    assert Square(name="s", side=3).area() == 9
