"""The page of `contrib.postgres` on constraints: ExclusionConstraint, OpClass, RangeOperators, sentence by sentence."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm import Deferrable, ExclusionConstraint, F, Func, OpClass, Q, RangeBoundary, RangeOperators, migrations
from dorm.functions import Lower
from dorm.migrations.autodetector import MigrationAutodetector
from dorm.migrations.state import ProjectState
from dorm.migrations.writer import MigrationWriter
from tests.documented.postgres import made
from tests.support.faces import Face


class Span(Func):
    """The example of the documentation: a range of two columns."""

    function = "TSRANGE"
    output_field = dorm.DateTimeRangeField()


class Reservation(dorm.Model):
    room = dorm.IntegerField(null=True)
    span = dorm.DateRangeField(null=True)
    start = dorm.DateTimeField(null=True)
    end = dorm.DateTimeField(null=True)
    cancelled = dorm.BooleanField(default=False)
    numbers = dorm.IntegerRangeField(null=True)
    number = dorm.IntegerField(null=True)
    code = dorm.CharField(max_length=10, null=True)

    class Meta:
        app_label = "doc_exclusion"
        constraints = [
            ExclusionConstraint(
                name="one_at_a_time",
                expressions=[("span", RangeOperators.OVERLAPS), ("room", RangeOperators.EQUAL)],
                condition=Q(cancelled=False),
            ),
            ExclusionConstraint(
                name="not_beside",
                expressions=[(F("numbers"), RangeOperators.ADJACENT_TO)],
                index_type="SPGIST",
                violation_error_code="beside",
                violation_error_message="Next to one another: %(name)s",
            ),
            ExclusionConstraint(
                name="%(class)s_times",
                expressions=[
                    (Span("start", "end", RangeBoundary(inclusive_upper=True)), RangeOperators.OVERLAPS),
                    ("room", RangeOperators.EQUAL),
                ],
                # A range of two NULLs has no ends.
                condition=Q(start__isnull=False),
            ),
            ExclusionConstraint(
                name="computed",
                expressions=[
                    (Func("number", F("number") + 2, function="int4range", output_field=dorm.IntegerRangeField()), "&&")
                ],
                include=["room"],
                condition=Q(number__isnull=False),
            ),
            ExclusionConstraint(
                name="codes",
                expressions=[(OpClass(Lower("code"), name="gist_text_ops"), RangeOperators.EQUAL)],
                deferrable=Deferrable.DEFERRED,
            ),
        ]


MODELS = (Reservation,)


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def tables(empty_database: Any) -> None:
    made(MODELS, "btree_gist")
    Reservation.objects.create(
        room=1, span=(day(1), day(10)), numbers=(0, 10), start=moment(1), end=moment(3), number=1, code="A"
    )


def day(number: int) -> datetime.date:
    return datetime.date(2020, 1, number)


def moment(number: int) -> datetime.datetime:
    return datetime.datetime(2020, 1, number)


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ({"room": 1, "span": (day(5), day(6))}, "one_at_a_time"),
        ({"room": 2, "span": (day(5), day(6))}, None),
        ({"room": 1, "span": (day(10), day(12))}, None),
        ({"room": 1, "span": (day(5), day(6)), "cancelled": True}, None),
        ({"room": None, "span": (day(5), day(6))}, None),
        ({"room": 1, "span": None}, None),
        ({"numbers": (10, 12)}, "not_beside"),
        ({"numbers": (5, 6)}, None),
        ({"room": 1, "start": moment(3), "end": moment(4)}, "reservation_times"),
        ({"room": 1, "start": moment(4), "end": moment(5)}, None),
        ({"number": 2}, "computed"),
        ({"number": 3}, None),
    ],
    ids=repr,
)  # fmt: skip
async def test_database_and_validation_refuse_the_same(face: Face, values: dict[str, Any], broken: str | None) -> None:
    row = Reservation(**values)
    if broken is None:
        await face(row.validate_constraints)()
        await face(row.save)()
        await face(row.validate_constraints)()
        return
    message = "Next to one another: not_beside" if broken == "not_beside" else f"Constraint “{broken}” is violated."
    with pytest.raises(dorm.ValidationError) as caught:
        await face(row.validate_constraints)()
    assert caught.value.messages == [message]
    with pytest.raises(dorm.IntegrityError, match=broken):
        await face(row.save)()


async def test_validation(face: Face) -> None:
    overlapping = Reservation(room=1, span=(day(5), day(6)))
    (one_at_a_time, not_beside, *_) = Reservation._meta.constraints
    with pytest.raises(dorm.ValidationError, match="one_at_a_time"):
        await face(one_at_a_time.validate)(Reservation, overlapping)
    for excluded in ({"room"}, {"span"}, {"cancelled"}):
        await face(one_at_a_time.validate)(Reservation, overlapping, exclude=excluded)
    with pytest.raises(dorm.ValidationError) as caught:
        await face(not_beside.validate)(Reservation, Reservation(numbers=(10, 12)))
    assert [each.code for each in caught.value.error_list] == ["beside"]
    # A row is not in its own way.
    saved = await face(Reservation.objects.get)(room=1)
    saved.span = (day(2), day(3))
    await face(saved.validate_constraints)()
    await face(saved.save)()


async def test_a_deferred_constraint_is_checked_at_commit(face: Face) -> None:
    with pytest.raises(dorm.ValidationError, match="codes"):
        await face(Reservation(code="a").validate_constraints)()
    reached = False
    with pytest.raises(dorm.IntegrityError, match="codes"):
        async with face.atomic():
            await face(Reservation.objects.create)(code="a")
            reached = True
    assert reached
    async with face.atomic():
        new = await face(Reservation.objects.create)(code="a")
        await face(new.delete)()


PAIRS: list[Any] = [("span", "&&")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"expressions": []}, "At least one expression is required to define an exclusion constraint."),
        ({"expressions": ["span"]}, "The expressions must be a list of 2-tuples."),
        ({"expressions": [("span",)]}, "The expressions must be a list of 2-tuples."),
        ({"expressions": [("span", "&&", "x")]}, "The expressions must be a list of 2-tuples."),
        ({"index_type": "btree"}, "Exclusion constraints only support GiST"),
        ({"condition": "a"}, "ExclusionConstraint.condition must be a Q instance."),
        ({"condition": F("a")}, "ExclusionConstraint.condition must be a Q instance."),
        ({"deferrable": "x"}, "ExclusionConstraint.deferrable must be a Deferrable instance."),
        ({"deferrable": True}, "ExclusionConstraint.deferrable must be a Deferrable instance."),
        ({"include": "abc"}, "ExclusionConstraint.include must be a list or tuple."),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExclusionConstraint(**{"name": "x", "expressions": PAIRS, **arguments})


def test_missing_arguments() -> None:
    for arguments in ({"name": "x"}, {"expressions": PAIRS}):
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
            ExclusionConstraint(**arguments)  # type: ignore[arg-type]
    for name in ("", "x; DROP TABLE y", 5):
        with pytest.raises(ValueError, match="name of an operator class"):
            OpClass("code", name=name)  # type: ignore[arg-type]


async def test_unknown_fields_are_refused_when_the_table_is_made(face: Face) -> None:
    registry = dorm.conf.registry.Registry()
    meta = type("Meta", (), {"app_label": "doc_exclusion", "apps": registry, "constraints": [
        ExclusionConstraint(name="bad", expressions=[("nope", "&&")])
    ]})  # fmt: skip
    bad: Any = type("Bad", (dorm.Model,), {"__module__": __name__, "Meta": meta, "numbers": dorm.IntegerRangeField()})
    from dorm.migrations.schema import create_tables

    with pytest.raises(dorm.FieldError, match="nope"):
        await face(create_tables)([bad])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"index_type": "spgist"},
        {"condition": Q(a=1)},
        {"deferrable": Deferrable.DEFERRED},
        {"include": ["a"]},
        {"violation_error_code": "c"},
        {"violation_error_message": "m"},
        {"expressions": [(OpClass("span", name="range_ops"), "&&")]},
    ],
    ids=repr,
)
def test_equality_and_deconstruction(options: dict[str, Any]) -> None:
    def constraint(**more: Any) -> ExclusionConstraint:
        return ExclusionConstraint(**{"name": "x", "expressions": PAIRS, **more})

    made_ = constraint(**options)
    path, args, kwargs = made_.deconstruct()
    assert (path, args) == ("dorm.constraints.ExclusionConstraint", ())
    assert set(kwargs) == {"name", "expressions", *options}
    assert ExclusionConstraint(**kwargs) == made_ == constraint(**options)
    assert made_.clone() == made_
    assert (made_ == constraint()) == (not options)
    assert made_ != constraint(**options, name="y")
    assert made_ != 5
    assert "ExclusionConstraint" in repr(made_)


async def test_migrations(face: Face) -> None:
    registry = dorm.conf.registry.Registry()
    meta = type("Meta", (), {"app_label": "m1", "apps": registry, "constraints": [
        each for each in Reservation._meta.constraints if "times" not in each.name
    ]})  # fmt: skip
    names = ("room", "span", "cancelled", "numbers", "number", "code")
    fields: dict[str, Any] = {name: Reservation._meta.get_field(name).clone() for name in names}
    type("Booking", (dorm.Model,), {"__module__": __name__, "Meta": meta, **fields})
    state = ProjectState.from_apps("m1", registry)
    (migration,) = MigrationAutodetector(ProjectState(), state).migrations()
    namespace: dict[str, Any] = {}
    exec(MigrationWriter(migration).as_string(), namespace)
    await face(Reservation.objects.all().delete)()
    before, after = ProjectState(), ProjectState()
    for operation in namespace["operations"]:
        operation.state_forwards("m1", after)
    assert MigrationAutodetector(after, state).changes() == {}
    # Removed and added again.
    removed = after.clone()
    remove = migrations.RemoveConstraint("Booking", "not_beside")
    remove.state_forwards("m1", removed)
    changes = MigrationAutodetector(removed, after).changes()["m1"]
    assert [type(each).__name__ for each in changes] == ["AddConstraint"]
    assert MigrationAutodetector(after, removed).changes()["m1"][0].name == "not_beside"
    assert before.models == {}


def test_constraints_are_added_and_removed() -> None:
    added = migrations.AddConstraint(
        "Reservation",
        ExclusionConstraint(name="more", expressions=[("room", "="), ("numbers", "&&")], include=["number"]),
    )
    before = ProjectState.from_apps("doc_exclusion")
    after = before.clone()
    added.state_forwards("doc_exclusion", after)
    added.database_forwards("doc_exclusion", "default", before, after)
    Reservation.objects.create(room=7, numbers=(100, 120))
    with pytest.raises(dorm.IntegrityError, match="more"):
        Reservation.objects.filter(room=1).update(room=7, numbers=(110, 111))
    removed = migrations.RemoveConstraint("Reservation", "more")
    removed.database_forwards("doc_exclusion", "default", after, before)
    Reservation.objects.filter(room=1).update(room=7, numbers=(110, 111))
