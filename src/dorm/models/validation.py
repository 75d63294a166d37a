"""Validation of an instance: its fields, its uniqueness, its constraints. Written once, as operations."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from dorm.db.operation import Operation, operation
from dorm.db.request import CallUser
from dorm.db.router import router
from dorm.exceptions import NON_FIELD_ERRORS, ValidationError
from dorm.fields.base import DatabaseDefault
from dorm.models.state import is_adding
from dorm.queryset.ops import fetch

Errors = dict[str, list[ValidationError]]


def capfirst(text: Any) -> str:
    """Return *text* with its first character in upper case."""
    return str(text)[:1].upper() + str(text)[1:]


# -- the whole ---------------------------------------------------------------------------------------------------


@operation
def full_clean(
    instance: Any, exclude: Iterable[str] | None, validate_unique: bool, validate_constraints: bool
) -> Operation[None]:
    """Validate everything; raise one ValidationError with all messages by field."""
    left_out = set(exclude or ())
    errors: Errors = {}
    parts: list[tuple[str, Callable[..., Operation[None]]]] = [("clean_fields", clean_fields)]
    if validate_unique:
        parts.append(("validate_unique", unique))
    if validate_constraints:
        parts.append(("validate_constraints", constraints))
    for number, (name, part) in enumerate(parts):
        if number:
            # What is wrong by itself is not looked up in the database.
            left_out.update(field for field in errors if field != NON_FIELD_ERRORS)
        try:
            yield from _overridable(instance, name, part, left_out)
        except ValidationError as exc:
            exc.update_error_dict(errors)
        if not number:
            try:
                instance.clean()
            except ValidationError as exc:
                exc.update_error_dict(errors)
    if errors:
        raise ValidationError(errors)


@operation
def _overridable(
    instance: Any, name: str, part: Callable[..., Operation[None]], exclude: Collection[str]
) -> Operation[None]:
    """Run one part: the model's own method where it overrides it."""
    own, base = type(instance), instance._base_validation
    if getattr(own, name) is base[name] and getattr(own, f"a{name}") is base[f"a{name}"]:
        yield from part(instance, exclude)
        return
    one = getattr(instance, name)
    twin = getattr(instance, f"a{name}") if getattr(own, f"a{name}") is not base[f"a{name}"] else None
    yield CallUser(one, twin, exclude=exclude)


# -- fields ------------------------------------------------------------------------------------------------------


@operation
def clean_fields(instance: Any, exclude: Iterable[str] | None) -> Operation[None]:
    """Convert and validate the value of every field."""
    left_out = frozenset(exclude or ())
    errors: Errors = {}
    for field in instance._meta.fields:
        if field.name in left_out or field.generated or getattr(field, "parent_link", False):
            continue
        raw = getattr(instance, field.attname)
        if isinstance(raw, DatabaseDefault) or (field.blank and raw in field.empty_values):
            continue
        try:
            setattr(instance, field.attname, field.clean(raw, instance))
            if field.is_relation and raw is not None:
                yield from _refers_to_a_row(field, raw, instance)
        except ValidationError as exc:
            errors[field.name] = exc.error_list
    if errors:
        raise ValidationError(errors)


@operation
def _refers_to_a_row(field: Any, key: Any, instance: Any) -> Operation[None]:
    """Refuse a key of no row, or of one that ``limit_choices_to`` leaves out."""
    if getattr(field, "parent_link", False):
        return
    target = field.target
    alias = router.db_for_read(target, {"instance": instance})
    rows = target._base_manager.using(alias).filter(**{field.target_field.name: key})
    limit = getattr(field, "limit_choices_to", None)
    if limit:
        limit = limit() if callable(limit) else limit
        rows = rows.filter(limit) if hasattr(limit, "children") else rows.filter(**limit)
    if not (yield from fetch.exists(rows)):
        raise ValidationError(
            field.error_messages.get("invalid", "%(model)s instance with %(field)s %(value)r is not a valid choice."),
            code="invalid",
            params={
                "model": target._meta.verbose_name,
                "pk": key,
                "field": field.target_field.name,
                "value": key,
            },
        )


# -- uniqueness --------------------------------------------------------------------------------------------------


@operation
def unique(instance: Any, exclude: Iterable[str] | None) -> Operation[None]:
    """Check unique fields, ``unique_together`` and ``unique_for_date`` and its like."""
    left_out = frozenset(exclude or ())
    errors: Errors = {}
    for model, names in _unique_checks(instance, left_out):
        if (yield from _is_taken(instance, model, names)):
            key = names[0] if len(names) == 1 else NON_FIELD_ERRORS
            errors.setdefault(key, []).append(unique_message(instance, model, names))
    for model, kind, name, date_name in _date_checks(instance, left_out):
        if (yield from _is_taken_on_date(instance, model, kind, name, date_name)):
            errors.setdefault(name, []).append(_date_message(instance, kind, name, date_name))
    if errors:
        raise ValidationError(errors)


def tables(instance: Any) -> list[Any]:
    """Return the model, the one a proxy stands for, and all concrete ancestors."""
    meta = instance._meta
    return list(dict.fromkeys([type(instance), meta.concrete_model, *meta.all_parents]))


def _unique_checks(instance: Any, left_out: frozenset[str]) -> Iterable[tuple[Any, tuple[str, ...]]]:
    for model in tables(instance):
        for names in model._meta.unique_together:
            if left_out.isdisjoint(names):
                yield model, tuple(names)
    for model in tables(instance):
        keys = tuple(field.name for field in model._meta.pk_fields)
        if len(keys) > 1 and is_adding(vars(instance)) and left_out.isdisjoint(keys):
            yield model, keys
        for field in model._meta.local_fields:
            if field.unique and field.name not in left_out and not getattr(field, "parent_link", False):
                yield model, (field.name,)


def _date_checks(instance: Any, left_out: frozenset[str]) -> Iterable[tuple[Any, str, str, str]]:
    for model in tables(instance):
        for field in model._meta.local_fields:
            for kind in ("date", "year", "month"):
                wanted = getattr(field, f"unique_for_{kind}", None)
                if wanted and field.name not in left_out and wanted not in left_out:
                    yield model, kind, field.name, wanted


@operation
def _is_taken(instance: Any, model: Any, names: Sequence[str]) -> Operation[bool]:
    wanted: dict[str, Any] = {}
    for name in names:
        field = model._meta.get_field(name)
        value = None if field.generated else getattr(instance, field.attname)
        if value is None or isinstance(value, DatabaseDefault):
            return False
        if field.primary_key and not is_adding(vars(instance)):
            return False
        wanted[field.attname if field.is_relation else field.name] = value
    return (yield from fetch.exists(_others(instance, model).filter(**wanted)))


@operation
def _is_taken_on_date(instance: Any, model: Any, kind: str, name: str, date_name: str) -> Operation[bool]:
    date = getattr(instance, date_name)
    field = model._meta.get_field(name)
    if date is None:
        return False
    rows = _others(instance, model).filter(**{field.attname: getattr(instance, field.attname)})
    if kind == "date":
        day = datetime.date(date.year, date.month, date.day)
        if isinstance(date, datetime.datetime):
            start = datetime.datetime(date.year, date.month, date.day, tzinfo=date.tzinfo)
            rows = rows.filter(**{f"{date_name}__gte": start, f"{date_name}__lt": start + datetime.timedelta(days=1)})
        else:
            rows = rows.filter(**{date_name: day})
    else:
        rows = rows.filter(**{f"{date_name}__{kind}": getattr(date, kind)})
    return (yield from fetch.exists(rows))


def _others(instance: Any, model: Any) -> Any:
    """Return the rows of *model* but that of *instance*."""
    rows = model._default_manager.get_queryset()
    alias = instance._state.db
    if alias is not None:
        rows = rows.using(alias)
    key = getattr(instance, model._meta.pk.attname)
    return rows if is_adding(vars(instance)) or key is None else rows.exclude(pk=key)


def unique_message(instance: Any, model: Any, names: Sequence[str]) -> ValidationError:
    """Return the error of a row that has the same values in the fields *names*."""
    meta = model._meta
    params: dict[str, Any] = {
        "model": _shown(instance),
        "model_class": model,
        "model_name": capfirst(meta.verbose_name),
        "unique_check": tuple(names),
    }
    if len(names) == 1:
        field = meta.get_field(names[0])
        params["field_label"] = capfirst(field.verbose_name)
        return ValidationError(field.error_messages["unique"], code="unique", params=params)
    labels = [capfirst(meta.get_field(name).verbose_name) for name in names]
    params["field_labels"] = f"{', '.join(labels[:-1])} and {labels[-1]}"
    return ValidationError(
        "%(model_name)s with this %(field_labels)s already exists.", code="unique_together", params=params
    )


def _shown(instance: Any) -> Any:
    """Return what stands for *instance* in an error: itself, its class where it holds what errors must not carry."""
    return type(instance) if any(field.hides_values for field in instance._meta.fields) else instance


def _date_message(instance: Any, kind: str, name: str, date_name: str) -> ValidationError:
    meta = instance._meta
    field = meta.get_field(name)
    params = {
        "model": _shown(instance),
        "model_name": capfirst(meta.verbose_name),
        "lookup_type": kind,
        "field": name,
        "field_label": capfirst(field.verbose_name),
        "date_field": date_name,
        "date_field_label": capfirst(meta.get_field(date_name).verbose_name),
    }
    return ValidationError(field.error_messages["unique_for_date"], code="unique_for_date", params=params)


# -- constraints -------------------------------------------------------------------------------------------------


@operation
def constraints(instance: Any, exclude: Iterable[str] | None) -> Operation[None]:
    """Check the constraints of the model and of its ancestors."""
    exclude = frozenset(exclude or ())
    using = instance._state.db or router.db_for_write(type(instance), {"instance": instance})
    errors: Errors = {}
    for model in tables(instance):
        for constraint in model._meta.constraints:
            try:
                yield from _constraint(constraint, model, instance, exclude, using)
            except ValidationError as exc:
                fields: tuple[str, ...] = getattr(constraint, "fields", ())
                if exc.code == "unique" and len(fields) == 1:
                    errors.setdefault(fields[0], []).append(exc)
                else:
                    exc.update_error_dict(errors)
    if errors:
        raise ValidationError(errors)


@operation
def _constraint(
    constraint: Any, model: Any, instance: Any, exclude: Iterable[str] | None, using: str
) -> Operation[None]:
    """Check one constraint, by a ``validate`` or ``avalidate`` of its own where its class has one."""
    own = type(constraint)
    by_hand = own.validate.__module__ != "dorm.constraints" or own.avalidate.__module__ != "dorm.constraints"
    if not by_hand:
        yield from constraint.validation(model, instance, exclude, using)
        return
    twin = constraint.avalidate if own.avalidate.__module__ != "dorm.constraints" else None
    yield CallUser(constraint.validate, twin, model, instance, exclude=exclude, using=using)
