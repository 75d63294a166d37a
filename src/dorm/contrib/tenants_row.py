"""Several tenants in one table: every row has a ``tenant_id``, and code sees the active tenant's rows only.

Without an active tenant nothing is read or written through ``objects`` (`NoActiveTenantError`): a forgotten tenant is
an error, never everybody's rows. ``unscoped`` is the way round for administrators. Raw SQL is not scoped.

What reaches rows past the managers, relations, ``refresh_from_db``, cascades, an upsert or an instance with the key of
a row that is there, keeps to the active tenant as well. A key may name rows of the active tenant only, so that a join
leads to no others; what an expression of ``update()`` computes, and many-to-many tables, are not looked at.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import dorm
from dorm.db.context import register_context
from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser
from dorm.exceptions import DormError
from dorm.sql.node import Node

_tenant: ContextVar[str | None] = ContextVar("dorm_tenant", default=None)


class NoActiveTenantError(DormError):
    """Rows of tenants were to be read or written with no tenant active."""


@contextmanager
def current_tenant(tenant_id: Any) -> Generator[str]:
    """Make *tenant_id* the active tenant in the block, in sync and async code and the tasks it starts."""
    if tenant_id is None or str(tenant_id) == "":
        raise ValueError("a tenant has an id: None and empty texts are none")
    before = _tenant.get()
    _tenant.set(str(tenant_id))
    try:
        yield str(tenant_id)
    finally:
        _tenant.set(before)


def get_active_tenant() -> str | None:
    """Return the active tenant, None without."""
    return _tenant.get()


register_context("dorm.tenants_row", get_active_tenant)


def _required(what: str) -> str:
    tenant = _tenant.get()
    if tenant is None:
        raise NoActiveTenantError(f"{what} needs a tenant: use it inside current_tenant(id), or `unscoped`")
    return tenant


class TenantQuerySet(dorm.QuerySet[Any]):
    """A queryset that gives new rows the active tenant."""

    def _stamped(self, objs: Iterable[Any]) -> list[Any]:
        found = list(objs)
        for obj in found:
            obj.claim_tenant()
        return found

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """As usual, for the active tenant; an upsert must name ``tenant_id`` among its *unique_fields*."""
        _refuse_upsert(kwargs)
        found = self._stamped(objs)
        run(_keys_checked(self, found))
        return super().bulk_create(found, *args, **kwargs)

    async def abulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Async twin of `bulk_create`."""
        _refuse_upsert(kwargs)
        found = self._stamped(objs)
        await arun(_keys_checked(self, found))
        return await super().abulk_create(found, *args, **kwargs)

    def bulk_update(self, objs: Iterable[Any], fields: Any, *args: Any, **kwargs: Any) -> int:
        """As usual; rows can't be moved to another tenant."""
        _refuse_moves(fields)
        found = list(objs)
        run(_keys_checked(self, found, fields))
        return super().bulk_update(found, fields, *args, **kwargs)

    async def abulk_update(self, objs: Iterable[Any], fields: Any, *args: Any, **kwargs: Any) -> int:
        """Async twin of `bulk_update`."""
        _refuse_moves(fields)
        found = list(objs)
        await arun(_keys_checked(self, found, fields))
        return await super().abulk_update(found, fields, *args, **kwargs)

    def update(self, **values: Any) -> int:
        """As usual; rows can't be moved to another tenant."""
        _refuse_move(values)
        run(_values_checked(self, values))
        return super().update(**values)

    async def aupdate(self, **values: Any) -> int:
        """Async twin of `update`."""
        _refuse_move(values)
        await arun(_values_checked(self, values))
        return await super().aupdate(**values)


def _refuse_move(values: dict[str, Any]) -> None:
    if "tenant_id" in values and values["tenant_id"] != _tenant.get():
        raise NoActiveTenantError("rows cannot be moved to another tenant by update()")


def _refuse_moves(fields: Any) -> None:
    if "tenant_id" in tuple(fields):
        raise NoActiveTenantError("rows cannot be moved to another tenant by bulk_update()")


def _refuse_upsert(options: dict[str, Any]) -> None:
    unique = options.get("unique_fields")
    if options.get("update_conflicts") and not (unique and "tenant_id" in tuple(unique)):
        raise NoActiveTenantError(
            "the row that an upsert meets may be another tenant's: make 'tenant_id' one of the unique_fields, with a "
            "unique constraint over them"
        )


class TenantManager(dorm.Manager.from_queryset(TenantQuerySet)):  # type: ignore[misc]  # a class made at run time
    """Rows of the active tenant."""

    def get_queryset(self) -> Any:
        """Return the active tenant's rows; NoActiveTenantError without one."""
        return super().get_queryset().filter(tenant_id=_required(f"{self.model.__name__}.objects"))


class TenantBaseManager(dorm.Manager[Any]):
    """What dorm reads by itself, relations for instance: the active tenant's rows, everybody's without a tenant."""

    def get_queryset(self) -> Any:
        """Return the rows of the active tenant, all where there is none."""
        tenant = _tenant.get()
        return super().get_queryset() if tenant is None else super().get_queryset().filter(tenant_id=tenant)


def make_async_tenant_manager() -> TenantManager:
    """Return a new `TenantManager`: it serves both faces."""
    return TenantManager()


class TenantModel(dorm.Model):
    """Abstract: rows of tenants. ``objects`` is the active tenant's, ``unscoped`` everybody's."""

    tenant_id = dorm.CharField(max_length=64, db_index=True, editable=False)

    objects = TenantManager()
    unscoped = dorm.Manager[Any]()
    tenant_base = TenantBaseManager()

    class Meta:
        abstract = True
        base_manager_name = "tenant_base"

    def claim_tenant(self) -> None:
        """Give a new row the active tenant; refuse a row of another one."""
        tenant = _tenant.get()
        if not self.tenant_id:
            self.tenant_id = _required(f"saving a {type(self).__name__}")
        elif tenant is not None and self.tenant_id != tenant:
            raise NoActiveTenantError(f"this {type(self).__name__} belongs to another tenant than the active one")

    @operation
    def _save_operation(
        self,
        force_insert: bool | tuple[type[dorm.Model], ...],
        force_update: bool,
        using: str | None,
        update_fields: Iterable[str] | None,
    ) -> Operation[None]:
        """Save as usual, for the active tenant."""
        yield from _claimed(self, using, update_fields)
        yield from super()._save_operation(force_insert, force_update, using, update_fields)

    # Unlike saving, deleting has no operation to override; neither have the methods of a queryset.
    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """As usual, for the active tenant."""
        self.claim_tenant()
        return super().delete(*args, **kwargs)

    async def adelete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Async twin of `delete`."""
        self.claim_tenant()
        return await super().adelete(*args, **kwargs)


@operation
def _claimed(obj: Any, using: str | None, update_fields: Iterable[str] | None) -> Operation[None]:
    """Let a row be the active tenant's; a new one must not have the key of another tenant's row, which it would write
    over."""
    obj.claim_tenant()
    rows = type(obj).unscoped.using(using or obj._state.db or "default")
    yield from _keys_checked(rows, [obj], update_fields)
    if not obj._state.adding or obj.pk is None:
        return
    others = rows.filter(pk=obj.pk).exclude(tenant_id=obj.tenant_id)
    if (yield CallUser(others.exists, others.aexists)):
        raise NoActiveTenantError(f"the primary key of this new {type(obj).__name__} is that of another tenant's row")


# -- keys that name other rows -----------------------------------------------------------------------------------


def _keys_of(model: Any, names: Iterable[str] | None) -> list[Any]:
    """Return the foreign keys of *model* that name rows of tenants, of *names* where they are given."""
    chosen = None if names is None else set(names)
    return [
        field
        for field in model._meta.concrete_model._meta.fields
        if field.is_relation
        and issubclass(field.target, TenantModel)
        and (chosen is None or chosen & {field.name, field.attname})
    ]


@operation
def _keys_checked(rows: Any, objs: list[Any], names: Iterable[str] | None = None) -> Operation[None]:
    """Refuse instances that name a row of another tenant than theirs; one statement a key, none for objects at hand."""
    for field in _keys_of(rows.model, names):
        asked: dict[str, set[Any]] = {}
        for obj in objs:
            key, related = vars(obj).get(field.attname), vars(obj).get(field.object_key)
            if isinstance(related, TenantModel) and getattr(related, field.target_field.attname) == key:
                _refuse_other(field, related.tenant_id, obj.tenant_id)
            elif key is not None and not isinstance(key, Node):
                asked.setdefault(obj.tenant_id, set()).add(key)
        for tenant, keys in asked.items():
            yield from _owned(rows, field, keys, tenant)


@operation
def _values_checked(rows: Any, values: dict[str, Any]) -> Operation[None]:
    """Refuse values of ``update()`` that name a row of another tenant."""
    tenant = _tenant.get()
    for field in _keys_of(rows.model, values) if tenant is not None else ():
        value = values.get(field.name, values.get(field.attname))
        if isinstance(value, TenantModel):
            _refuse_other(field, value.tenant_id, tenant)
        elif value is not None and not isinstance(value, (Node, dorm.QuerySet)):
            yield from _owned(rows, field, {value}, tenant)


@operation
def _owned(rows: Any, field: Any, keys: set[Any], tenant: str | None) -> Operation[None]:
    """Refuse *keys* among which is one of another tenant's row; one of no row is the database's to refuse."""
    named = field.target.unscoped.using(rows.db).filter(**{f"{field.target_field.name}__in": keys})
    others = named.exclude(tenant_id=tenant)
    if (yield CallUser(others.exists, others.aexists)):
        _refuse_other(field, None, tenant)


def _refuse_other(field: Any, theirs: str | None, ours: str | None) -> None:
    if theirs != ours:
        raise NoActiveTenantError(f"{field} would name a row of another tenant: joins would show it")
