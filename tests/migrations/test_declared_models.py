"""Models with everything a class can say: into a state, a file, tables, and back."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import functions, migrations
from dorm.conf.registry import Registry
from dorm.db.connection import connections
from dorm.inspect import introspect_tables
from dorm.migrations.autodetector import MigrationAutodetector
from dorm.migrations.editor import Editor
from dorm.migrations.state import ProjectState
from dorm.migrations.writer import MigrationWriter

pytestmark = pytest.mark.usefixtures("empty_database")


def declared() -> ProjectState:
    """The state of some models in a registry of their own."""
    registry = Registry()

    class Place(dorm.Model):
        name = dorm.CharField(max_length=10)

        class Meta:
            app_label = "m1"
            apps = registry

    class Restaurant(Place):
        stars = dorm.IntegerField(default=0)

        class Meta:
            app_label = "m1"
            apps = registry

    class Shown(Place):
        class Meta:
            app_label = "m1"
            apps = registry
            proxy = True

    class Dated(dorm.Model):
        created = dorm.DateTimeField(auto_now_add=True)

        class Meta:
            abstract = True

    class Answer(Dated):
        place = dorm.ForeignKey(Place, dorm.CASCADE)

        class Meta:
            app_label = "m1"
            apps = registry
            order_with_respect_to = "place"

    class Order(dorm.Model):
        kind = dorm.CharField(max_length=3, choices=[("a", "A")])
        copy = dorm.GeneratedField(
            expression=functions.Upper("kind"), output_field=dorm.CharField(max_length=3), db_persist=True
        )
        count = dorm.IntegerField(db_default=4)

        class Meta:
            app_label = "m1"
            apps = registry
            constraints = [
                dorm.CheckConstraint(condition=dorm.Q(count__gte=1) | ~dorm.Q(kind="x"), name="some"),
                dorm.UniqueConstraint(functions.Lower("kind"), name="lower_kind"),
            ]
            indexes = [dorm.Index(functions.Upper("kind"), name="upper_kind"), dorm.Index(fields=["-count"])]

    return ProjectState.from_apps("m1", registry)


def applied(operations: list[Any], state: ProjectState) -> ProjectState:
    for operation in operations:
        after = state.clone()
        operation.state_forwards("m1", after)
        operation.database_forwards("m1", "default", state, after)
        state = after
    return state


def test_declared_models_become_files_and_tables() -> None:
    state = declared()
    (migration,) = MigrationAutodetector(ProjectState(), state).migrations()
    namespace: dict[str, Any] = {}
    exec(MigrationWriter(migration).as_string(), namespace)
    made = applied(namespace["operations"], ProjectState())
    assert MigrationAutodetector(made, state).changes() == {}
    apps = made.apps
    apps.get_model("m1", "Restaurant").objects.create(name="x", stars=3)
    assert apps.get_model("m1", "Place").objects.get().restaurant.stars == 3
    order = apps.get_model("m1", "Order").objects.create(kind="a")
    order.refresh_from_db()
    assert (order.copy, order.count) == ("A", 4)
    with pytest.raises(dorm.IntegrityError):
        apps.get_model("m1", "Order").objects.create(kind="A")
    with pytest.raises(dorm.IntegrityError):
        apps.get_model("m1", "Order").objects.create(kind="x", count=0)


def test_a_renamed_field_takes_expressions_along() -> None:
    operations = MigrationAutodetector(ProjectState(), declared()).changes()["m1"]
    before = applied(operations, ProjectState())
    shape = {table.name: {column.name for column in table.columns} for table in introspect_tables()}
    rename = migrations.RenameField("Order", "kind", "sort")
    after = applied([rename], before)
    apps = after.apps
    apps.get_model("m1", "Order").objects.create(sort="a")
    with pytest.raises(dorm.IntegrityError):
        apps.get_model("m1", "Order").objects.create(sort="A")
    rename.database_backwards("m1", "default", after, before)
    assert {table.name: {column.name for column in table.columns} for table in introspect_tables()} == shape


def test_order_with_respect_to_comes_and_goes() -> None:
    operations = MigrationAutodetector(ProjectState(), declared()).changes()["m1"]
    state = applied(operations, ProjectState())
    place = state.apps.get_model("m1", "Place").objects.create(name="x")
    state.apps.get_model("m1", "Answer").objects.create(place_id=place.pk)

    def columns(state: ProjectState) -> list[str]:
        table = Editor(connections["default"]).table(state.apps.with_targets("m1.answer"))
        return [column.name for column in table.columns]

    assert "_order" in columns(state)
    without = applied([migrations.AlterOrderWithRespectTo("Answer", None)], state)
    assert "_order" not in columns(without)
    again = applied([migrations.AlterOrderWithRespectTo("Answer", "place")], without)
    assert again.apps.get_model("m1", "Answer").objects.count() == 1


def test_a_named_manager_that_migrations_may_not_use_has_a_plain_one_in_its_place() -> None:
    registry = Registry()

    class Counted(dorm.Manager):
        def total(self) -> int:
            return self.count()

    class Owner(dorm.Model):
        everybody = Counted()

        class Meta:
            app_label = "m1"
            apps = registry
            default_manager_name = "everybody"
            base_manager_name = "everybody"

    state = ProjectState.from_apps("m1", registry)
    historical = state.apps.get_model("m1", "Owner")
    assert type(historical._default_manager) is dorm.Manager
    assert historical._default_manager.name == "everybody"
    assert historical is not Owner


def test_a_manager_that_migrations_may_use_is_there_in_them() -> None:
    registry = Registry()

    class Counted(dorm.Manager):
        use_in_migrations = True

        def total(self) -> int:
            return self.count()

    class Owner(dorm.Model):
        plain = dorm.Manager()
        everybody = Counted()

        class Meta:
            app_label = "m1"
            apps = registry

    state = ProjectState.from_apps("m1", registry)
    (migration,) = MigrationAutodetector(ProjectState(), state).migrations()
    historical = applied(migration.operations, ProjectState()).apps.get_model("m1", "Owner")
    assert [manager.name for manager in historical._meta.managers] == ["everybody"]
    assert historical.everybody.total() == 0
    assert Owner.plain.creation_counter < Owner.everybody.creation_counter
    assert Owner._default_manager is Owner.plain


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ({"required_db_vendor": "sqlite"}, {"sqlite"}),
        ({"required_db_vendor": "postgresql"}, {"postgresql"}),
        ({"required_db_features": ["supports_array_parameters"]}, {"postgresql"}),
        ({"required_db_features": ["no_such_feature"]}, set()),
        ({"required_db_features": []}, {"sqlite", "postgresql"}),
        ({"managed": False}, set()),
    ],
)
def test_only_databases_that_a_model_asks_for_get_its_table(
    backend: str, option: dict[str, Any], wanted: set[str]
) -> None:
    create = migrations.CreateModel("Chosen", [("id", dorm.BigAutoField(primary_key=True))], option)
    state = applied([create], ProjectState())
    assert dorm.connection_for().table_exists("m1_chosen") == (backend in wanted)
    assert state.apps.get_model("m1", "Chosen")._meta.can_migrate(dorm.connection_for()) == (backend in wanted)
    applied(
        [migrations.AddField("Chosen", "name", dorm.TextField(default="")), migrations.DeleteModel("Chosen")], state
    )
    assert not dorm.connection_for().table_exists("m1_chosen")
