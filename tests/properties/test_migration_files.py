"""States of generated models: state -> file -> state is the identity, and detected changes lead from one to another."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

import dorm
from dorm.migrations.autodetector import MigrationAutodetector
from dorm.migrations.loader import read_migration
from dorm.migrations.migration import Migration
from dorm.migrations.state import ModelState, ProjectState
from dorm.migrations.writer import MigrationWriter, write

NAMES = ("alpha", "beta", "gamma", "delta")
MODELS = ("One", "Two", "Three")
APPS = ("first", "second")

common = st.fixed_dictionaries(
    {},
    optional={
        "null": st.just(True),
        "blank": st.just(True),
        "db_index": st.just(True),
        "unique": st.just(True),
        "help_text": st.text(max_size=8),
        "db_column": st.just("named"),
        "editable": st.just(False),
    },
)
plain_fields = st.one_of(
    st.builds(lambda o, d: dorm.IntegerField(default=d, **o), common, st.integers(-5, 5)),
    st.builds(lambda o, n: dorm.CharField(max_length=n, default="x'\"\n", **o), common, st.integers(4, 50)),
    st.builds(lambda o: dorm.TextField(default="", **o), common),
    st.builds(lambda o: dorm.BooleanField(default=False, **o), common),
    st.builds(
        lambda o: dorm.DecimalField(max_digits=8, decimal_places=2, default=decimal.Decimal("1.10"), **o), common
    ),
    st.builds(lambda o: dorm.DateField(default=datetime.date(2020, 2, 29), **o), common),
    st.builds(lambda o: dorm.DateTimeField(default=datetime.datetime(2020, 1, 2, 3, 4, 5), **o), common),
    st.builds(lambda o: dorm.DurationField(default=datetime.timedelta(days=1), **o), common),
    st.builds(lambda o: dorm.JSONField(default=dict, **o), common),
    st.builds(lambda o: dorm.IntegerField(choices=[(1, "a"), (2, "b")], default=1, **o), common),
)
targets = st.sampled_from([f"{app}.{model.lower()}" for app in APPS for model in MODELS])
deletions = st.sampled_from([dorm.CASCADE, dorm.PROTECT, dorm.DO_NOTHING])
relations = st.one_of(
    st.builds(lambda to, d: dorm.ForeignKey(to, d, null=True, related_name="+"), targets, deletions),
    st.builds(lambda to: dorm.ManyToManyField(to, related_name="+"), targets),
)


@st.composite
def model_states(draw: Any, app: str, name: str) -> ModelState:
    fields: dict[str, Any] = {"id": dorm.BigAutoField(primary_key=True)}
    for each in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4)):
        field = draw(st.one_of(plain_fields, relations))
        if getattr(field, "db_column", None) is not None:
            # A name of its own: two fields that swap columns are no step that one operation each can take.
            field.db_column = f"col_{each}"
        fields[each] = field
    options: dict[str, Any] = {}
    plain = [each for each, field in fields.items() if not field.is_relation]
    if draw(st.booleans()):
        options["ordering"] = [draw(st.sampled_from(plain))]
    if hasattr(dorm.Index, "deconstruct") and draw(st.booleans()):
        options["indexes"] = [dorm.Index(fields=[draw(st.sampled_from(plain))], name=f"{app}_{name}_idx".lower())]
    if len(plain) > 1 and draw(st.booleans()):
        options["unique_together"] = [tuple(plain[:2])]
    if draw(st.booleans()):
        options["db_table"] = f"{app}_{name}_table".lower()
    return ModelState.made(app, name, fields, options)


@st.composite
def project_states(draw: Any) -> ProjectState:
    """Every model that relations may name is there, with whatever fields."""
    states = [draw(model_states(app, name)) for app in APPS for name in MODELS]
    return ProjectState({state.key: state for state in states})


def replayed(before: ProjectState, after: ProjectState) -> tuple[ProjectState, list[Migration]]:
    """Detect the changes, write them to files, read them, and apply them to *before*."""
    made = MigrationAutodetector(before, after).migrations()
    counts: dict[str, int] = {}
    state = before.clone()
    with TemporaryDirectory() as folder:
        for migration in made:
            number = counts[migration.app_label] = counts.get(migration.app_label, 0) + 1
            migration.name = f"{number:04}_made"
        read = []
        for migration in made:
            migration.dependencies = [
                each.node if isinstance(each, Migration) else each for each in migration.dependencies
            ]
            path = write(migration, Path(folder) / migration.app_label)
            read.append(read_migration(migration.app_label, path))
    for migration in read:
        migration.mutate_state(state, preserve=False)
    return state, read


def content(state: ProjectState) -> dict[str, Any]:
    """The state with fields in the order of their names: a field that was added stands last."""
    return {
        key: (model.content[:2], sorted(model.content[2], key=lambda pair: str(pair[0])), *model.content[3:])
        for key, model in state.models.items()
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(project_states())
def test_a_state_written_and_read_is_the_same_state(state: ProjectState) -> None:
    found, migrations = replayed(ProjectState(), state)
    assert content(found) == content(state)
    assert MigrationAutodetector(found, state).changes() == {}
    again, _ = replayed(ProjectState(), state)
    assert content(again) == content(found)
    seen: set[Any] = set()
    for migration in migrations:
        assert seen.issuperset(map(tuple, migration.dependencies))
        seen.add(migration.node)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(project_states(), project_states())
def test_detected_changes_lead_from_one_state_to_the_other(before: ProjectState, after: ProjectState) -> None:
    found, _ = replayed(before, after)
    assert content(found) == content(after)
    assert MigrationAutodetector(found, after).changes() == {}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(project_states())
def test_files_are_the_same_each_time(state: ProjectState) -> None:
    def text() -> list[str]:
        return [
            MigrationWriter(each, header=False).as_string()
            for each in MigrationAutodetector(ProjectState(), state).migrations()
            if all(not isinstance(d, Migration) for d in each.dependencies)
        ]

    assert text() == text()
