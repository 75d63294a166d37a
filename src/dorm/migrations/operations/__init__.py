"""The operations that migrations are made of."""

from dorm.migrations.operations.base import Operation, OperationCategory
from dorm.migrations.operations.fields import AddField, AlterField, RemoveField, RenameField
from dorm.migrations.operations.indexes import (
    AddConstraint,
    AddIndex,
    AlterConstraint,
    RemoveConstraint,
    RemoveIndex,
    RenameIndex,
)
from dorm.migrations.operations.models import (
    AlterModelManagers,
    AlterModelOptions,
    AlterModelTable,
    AlterModelTableComment,
    AlterOrderWithRespectTo,
    AlterUniqueTogether,
    CreateModel,
    DeleteModel,
    RenameModel,
)
from dorm.migrations.operations.special import RunPython, RunSQL, SeparateDatabaseAndState

__all__ = [
    "AddConstraint",
    "AddField",
    "AddIndex",
    "AlterConstraint",
    "AlterField",
    "AlterModelManagers",
    "AlterModelOptions",
    "AlterModelTable",
    "AlterModelTableComment",
    "AlterOrderWithRespectTo",
    "AlterUniqueTogether",
    "CreateModel",
    "DeleteModel",
    "Operation",
    "OperationCategory",
    "RemoveConstraint",
    "RemoveField",
    "RemoveIndex",
    "RenameField",
    "RenameIndex",
    "RenameModel",
    "RunPython",
    "RunSQL",
    "SeparateDatabaseAndState",
]
