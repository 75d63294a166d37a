"""The operations that the long history lacks, forward, back and forward again: with it, every one there is."""

from __future__ import annotations

from typing import Any

import pytest

from dorm.db.connection import connections
from dorm.migrations import operations as ops
from dorm.migrations.executor import MigrationExecutor
from tests.migrations.test_executor import execute, rows, tables
from tests.migrations.test_long_history import STEPS, shape
from tests.support.projects import Project

_SIZE = 'dorm.CheckConstraint(condition=dorm.Q(size__gte=0), name="size_ok"'
EVERYWHERE = [
    'ops.CreateModel("Group", [("id", dorm.BigAutoField(primary_key=True))])',
    'ops.CreateModel("Item", [("id", dorm.BigAutoField(primary_key=True)), ("code", dorm.CharField(max_length=9)),'
    ' ("size", dorm.IntegerField(default=1)), ("group", dorm.ForeignKey("shop.group", dorm.CASCADE))])',
    'ops.CreateModel("Extra", [("id", dorm.BigAutoField(primary_key=True))])',
    'ops.AlterOrderWithRespectTo("Item", "group")',
    'ops.AlterModelManagers("Item", [("things", dorm.Manager())])',
    'ops.AddFieldOnline("Item", "slug", dorm.CharField(max_length=20, default="new"))',
    'ops.BackfillBatch("shop_item", update_sql="slug = code WHERE slug IS NULL OR slug = \'new\'")',
    'ops.SetNotNullOnline("Item", "slug")',
    f'ops.AddConstraintNotValid("Item", {_SIZE}))',
    'ops.ValidateConstraint(table="shop_item", name="size_ok")',
    f'ops.AlterConstraint("Item", "size_ok", {_SIZE}, violation_error_message="too small"))',
    'ops.SetLockTimeout(3000), ops.AddField("Item", "note", dorm.TextField(null=True))',
    'ops.AddIndex("Item", dorm.Index(fields=["slug"], name="by_slug"), concurrently=True)',
    'ops.RemoveIndex("Item", "by_slug", concurrently=True)',
    'ops.AlterField("Item", "note", dorm.CharField(max_length=30, null=True)),'
    ' ops.AddIndex("Item", dorm.Index(fields=["note"], name="by_note"), concurrently=True)',
    'ops.DeleteModel("Extra")',
]
POSTGRESQL = [
    'ops.AlterColumnTypeOnline("Item", "size", "bigint", old_type="integer")',
    'ops.CreatePGEnum("mood", ["ok", "sad"])',
    'ops.AddPGEnumValue("mood", "fine", before="sad")',
    "ops.DropPGEnum(\"mood\", reverse_values=['ok', 'fine', 'sad'])",
    'ops.CreateMaterializedView("codes", "SELECT code FROM shop_item")',
    'ops.RefreshMaterializedView("codes")',
    'ops.DropMaterializedView("codes", reverse_sql="SELECT code FROM shop_item")',
    'ops.CreatePartitionedTable("events", columns_sql="id bigint, at date", method="RANGE", key="at")',
    'ops.CreatePartition("events", "events_1", for_values="FROM (\'2026-01-01\') TO (\'2026-02-01\')")',
    'ops.DetachPartition("events", "events_1", for_values="FROM (\'2026-01-01\') TO (\'2026-02-01\')")',
    'ops.AttachPartition("events", "events_1", for_values="FROM (\'2026-01-01\') TO (\'2026-02-01\')")',
    'ops.EnableRowLevelSecurity("shop_item")',
    'ops.CreatePolicy("mine", "shop_item", using="size > 0")',
    'ops.AlterPolicy("mine", "shop_item", using="size > 1", previous_using="size > 0")',
    'ops.ForceRowLevelSecurity("shop_item")',
    'ops.DropPolicy("mine", "shop_item", reverse_using="size > 1")',
    'ops.DisableRowLevelSecurity("shop_item")',
]


def everything() -> list[Any]:
    found = shape()
    if connections["default"].vendor == "postgresql":
        found += rows("SELECT policyname, qual FROM pg_policies")
        found += rows("SELECT enumlabel FROM pg_enum ORDER BY enumsortorder")
        found += rows("SELECT matviewname FROM pg_matviews")
        found += rows("SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relrowsecurity")
        found += rows("SELECT inhrelid::regclass::text FROM pg_inherits")
    return found


@pytest.mark.slow
def test_every_other_operation_goes_forward_back_and_forward(project: Project) -> None:
    native = connections["default"].vendor == "postgresql"
    steps = [*EVERYWHERE, *(POSTGRESQL if native else [])]
    folder = project.steps("shop", steps)
    executor = MigrationExecutor("default", 0)
    executor.migrate_to("shop", folder, "3")
    execute("INSERT INTO shop_group (id) VALUES (1)")
    execute("INSERT INTO shop_item (id, code, size, group_id) VALUES (1, 'a', 5, 1), (2, 'b', 6, 1)")
    shapes = {3: everything()}
    for number in range(4, len(steps) + 1):
        executor.migrate_to("shop", folder, str(number))
        shapes[number] = everything()
    assert rows("SELECT id, code, size, slug FROM shop_item ORDER BY id") == [(1, "a", 5, "a"), (2, "b", 6, "b")]
    for number in range(len(steps) - 1, 2, -1):
        executor.migrate_to("shop", folder, str(number))
        if "AddPGEnumValue" not in steps[number]:  # PostgreSQL cannot take a value away
            assert everything() == shapes[number], steps[number]
    executor.migrate("shop", folder)
    assert everything() == shapes[len(steps)]
    assert rows("SELECT id, code, size, slug FROM shop_item ORDER BY id") == [(1, "a", 5, "a"), (2, "b", 6, "b")]
    executor.rollback("shop", folder, "zero")
    assert tables() <= {"dorm_migrations", "dorm_migration_progress"}


def test_no_operation_is_left_out() -> None:
    text = " ".join([*STEPS, *EVERYWHERE, *POSTGRESQL])
    names = [name for name in ops.__all__ if isinstance(getattr(ops, name), type)]
    assert [name for name in names if f"ops.{name}(" not in text] == ["Operation", "OperationCategory"]
