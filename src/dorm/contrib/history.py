"""Every change of a model's rows kept in a table of its own.

``@track_history`` adds the model ``<Name>Historical`` on the table ``<table>_history``: the columns of the model
beside ``history_id``, ``history_date``, ``history_type`` ("+", "~", "-") and ``history_user_id``. Rows are written by
signals of ``save`` and ``delete``, in the transaction of the change, in sync and async code alike; bulk methods,
``update`` and ``delete`` of querysets without signals write none (`record_history_for` does it by hand). Protect the
table in a migration with `append_only`.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any, Final, TypeVar

import dorm
from dorm import timezone
from dorm.conf.settings import settings
from dorm.contrib.pii import sentinel
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser
from dorm.fields.base import NOT_PROVIDED
from dorm.migrations.operations import MakeTableAppendOnly
from dorm.signals import post_delete, post_save, pre_delete

M = TypeVar("M", bound=type)

KINDS: Final = ("+", "~", "-")

_user: ContextVar[Any] = ContextVar("dorm_history_user", default=None)


def set_history_user(user_id: Any) -> Token[Any]:
    """Note who makes the changes of this task or thread from now on; give the token to `reset_history_user`."""
    return _user.set(user_id)


def reset_history_user(token: Token[Any]) -> None:
    """Take a `set_history_user` back."""
    _user.reset(token)


def current_history_user() -> Any:
    """Return who makes the changes here, None when nobody said."""
    return _user.get()


class HistoryManager(dorm.Manager[Any]):
    """Manager of a historical model; ``objects`` is itself, so that both spellings work."""

    @property
    def objects(self) -> HistoryManager:
        """The manager itself."""
        return self


def _copied(field: Any) -> tuple[str, Any]:
    """Return name and field of the historical column for *field*: same type, no automatic values, no constraints."""
    if field.is_relation:
        to = field.model if field.to == "self" else field.to
        if isinstance(to, str) and "." not in to:
            to = f"{field.model._meta.app_label}.{to}"
        # The row that it points at may go, and this one stays.
        made: Any = dorm.ForeignKey(to, dorm.DO_NOTHING, related_name="+", to_field=field.to_field, db_constraint=False)
    elif isinstance(field, dorm.AutoField):
        made = dorm.BigIntegerField()
    else:
        made = (field.output_field if isinstance(field, dorm.GeneratedField) else field).clone()
        made.primary_key = made.unique = False
        made.auto_now = made.auto_now_add = False
        made.default = made.db_default = NOT_PROVIDED
    made.null, made.blank = True, True
    made.db_index = field.primary_key
    made.db_column = field.column
    made.pii = field.pii
    return field.name, made


def track_history(model: M) -> M:
    """Class decorator: keep the history of *model* as ``Model.history``."""
    meta: Any = model._meta  # type: ignore[attr-defined]  # a model
    columns = dict(_copied(field) for field in meta.fields if field.column is not None)
    options = type(
        "Meta", (), {"app_label": meta.app_label, "db_table": f"{meta.db_table}_history", "ordering": ["-history_id"]}
    )
    historical = type(
        f"{model.__name__}Historical",
        (dorm.Model,),
        {
            "__module__": model.__module__,
            "__qualname__": f"{model.__qualname__}Historical",
            "__doc__": f"A state of a {model.__name__}.",
            **columns,
            "history_id": dorm.BigAutoField(primary_key=True),
            "history_date": dorm.DateTimeField(default=timezone.now),
            "history_type": dorm.CharField(max_length=1),
            "history_user_id": dorm.BigIntegerField(null=True),
            "objects": HistoryManager(),
            "Meta": options,
        },
    )
    model.history = historical.objects  # type: ignore[attr-defined]  # the point of the decorator
    recorder = _Recorder(historical)
    model._history_recorder = recorder  # type: ignore[attr-defined]  # signals hold it weakly
    for signal in (post_save, pre_delete, post_delete):
        signal.connect(recorder, sender=model, weak=False, dispatch_uid=("dorm.history", model))
    return model


def append_only(tracked: Any, *, allow_delete: bool = False) -> MakeTableAppendOnly:
    """Return the migration operation that lets the history of a model be written and never be changed.

    Args:
        tracked: the model, or the name of its table (as migrations, which outlive classes, should have it).
        allow_delete: rows may be removed, by age for instance.
    Raises: TypeError: a model without history.
    """
    if isinstance(tracked, str):
        return MakeTableAppendOnly(f"{tracked}_history", allow_delete=allow_delete)
    return MakeTableAppendOnly(_history_of(tracked).model._meta.db_table, allow_delete=allow_delete)


def _history_of(model: Any) -> Any:
    manager = getattr(model, "history", None)
    if not isinstance(manager, HistoryManager):
        name = getattr(model, "__name__", type(model).__name__)
        raise TypeError(f"{name} has no history: decorate it with track_history")
    return manager


class _Recorder:
    """The receiver of a model's signals: an operation, so that it is written once for both faces."""

    def __init__(self, historical: Any) -> None:
        self.historical = historical

    def __call__(self, **told: Any) -> None:
        run(self.as_operation(**told))

    @operation
    def as_operation(
        self, signal: Any, sender: Any, instance: Any, using: str | None = None, created: bool = False, **told: Any
    ) -> Operation[None]:
        """Write the row of one change."""
        if told.get("raw"):
            return
        if signal is pre_delete:
            yield from _completed(instance, using)
            return
        kind = "-" if signal is post_delete else "+" if created else "~"
        yield from _record(self.historical, instance, kind, _user.get(), using)


def _completed(instance: Any, using: str | None) -> Operation[None]:
    """Load the columns that *instance* was loaded without: a row of history is whole."""
    missing = [field.name for field in type(instance)._meta.fields if field.attname not in instance.__dict__]
    if missing:
        yield CallUser(instance.refresh_from_db, instance.arefresh_from_db, using=using, fields=missing)


def _record(historical: Any, instance: Any, kind: str, user_id: Any, using: str | None) -> Operation[Any]:
    masks = bool(getattr(settings, "HISTORY_MASK_PII", False))
    if kind != "-":
        yield from _completed(instance, using)
    values = {}
    for field in type(instance)._meta.fields:
        if field.column is not None:
            value = getattr(instance, field.attname)
            values[field.attname] = sentinel(field, value) if masks and field.pii else value
    row = historical(**values, history_type=kind, history_user_id=user_id)
    alias = using or instance._state.db
    yield CallUser(row.save, row.asave, using=alias)
    return row


@operation
def _by_hand(obj: Any, kind: str, user_id: Any) -> Operation[Any]:
    manager = _history_of(type(obj))
    if kind not in KINDS:
        raise ValueError(f"kind takes '+', '~' or '-', not {kind!r}")
    return (yield from _record(manager.model, obj, kind, _user.get() if user_id is None else user_id, None))


def record_history_for(obj: Any, kind: str, *, user_id: Any = None) -> Any:
    """Write a history row of *obj* as it is now; return it.

    Args:
        kind: ``"+"`` created, ``"~"`` changed, ``"-"`` deleted. user_id: who did it; None for the current user.
    """
    return run(_by_hand(obj, kind, user_id))


async def arecord_history_for(obj: Any, kind: str, *, user_id: Any = None) -> Any:
    """Async twin of `record_history_for`."""
    return await arun(_by_hand(obj, kind, user_id))
