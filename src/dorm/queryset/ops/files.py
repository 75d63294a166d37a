"""Files of an instance: kept in their storage before the row is written, and removed when the row is rolled back."""

from __future__ import annotations

from typing import Any

from dorm import transaction
from dorm.db.operation import Operation, operation
from dorm.db.request import CallUser


@operation
def keep(instance: Any, alias: str, fields: tuple[Any, ...] | None = None) -> Operation[None]:
    """Keep the new files of *instance*, those of *fields* or all."""
    for field in instance._meta.file_fields:
        if fields is not None and field not in fields:
            continue
        file = field.pending(instance)
        if file is not None:
            yield from keep_one(file, field.name_of(file), file.file, alias)


@operation
def keep_one(file: Any, name: str, content: Any, alias: str) -> Operation[None]:
    """Keep *content* under a name like *name* and point the field file *file* at it."""
    field, storage = file.field, file.storage
    wanted = field.generate_filename(file.instance, name)
    saved = yield CallUser(storage.save, storage.asave, wanted, content, max_length=field.max_length)
    file.take(saved, content)
    # Without a transaction there is nothing that could be rolled back.
    transaction.on_rollback(lambda: storage.delete(saved), using=alias)
