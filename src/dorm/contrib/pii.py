"""Personal data: fields with ``pii=True`` and what stands in their place.

Text becomes ``"[REDACTED]"``, everything else None; None stays None.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

from dorm.fields import CharField, TextField

REDACTED: Final = "[REDACTED]"


_masking: ContextVar[bool] = ContextVar("dorm_pii_masking", default=False)


def is_masking() -> bool:
    """True while rows are loaded whose personal data is going to be masked: fields need not compute it."""
    return _masking.get()


@contextmanager
def masking() -> Generator[None]:
    """Tell fields that the rows loaded in the block are going to be masked."""
    before = _masking.get()
    _masking.set(True)
    try:
        yield
    finally:
        _masking.set(before)


@lru_cache(512)
def _flagged(model: Any) -> tuple[Any, ...]:
    return tuple(field for field in model._meta.fields if field.pii)


def _model_of(model: Any) -> type:
    cls = model if isinstance(model, type) else type(model)
    if not hasattr(cls, "_meta"):
        raise TypeError(f"{cls.__name__} is no model")
    return cls


def pii_fields(model: Any) -> list[Any]:
    """Return the fields of *model* (a class or an instance) that hold personal data."""
    return list(_flagged(_model_of(model)))


def has_pii_fields(model: Any) -> bool:
    """True when any field of *model* holds personal data."""
    return bool(_flagged(_model_of(model)))


def reset_cache() -> None:
    """Forget what was looked up, after models were declared anew."""
    _flagged.cache_clear()


def sentinel(field: Any, value: Any) -> Any:
    """Return what stands in place of *value* of *field*, which may also be a type of SQL."""
    if value is None:
        return None
    return REDACTED if is_textual(field) else None


def is_textual(field: Any) -> bool:
    """True for fields of text."""
    return isinstance(field, (CharField, TextField))


def mask_instance(obj: Any) -> Any:
    """Replace the personal data of an instance, in place; return it. Columns that were not loaded stay so."""
    for field in pii_fields(obj):
        if field.attname in obj.__dict__:
            setattr(obj, field.attname, sentinel(field, obj.__dict__[field.attname]))
    return obj


def mask_dict(model: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of *row* with the personal data replaced, under names of fields or of columns; others stay."""
    names: dict[str, Any] = {}
    for field in pii_fields(model):
        names |= dict.fromkeys((field.name, field.attname, field.column), field)
    return {key: sentinel(names[key], value) if key in names else value for key, value in row.items()}


def _anonymous(obj: Any) -> list[str]:
    for field in pii_fields(obj):
        value = getattr(obj, field.attname)
        masked = sentinel(field, value)
        if masked is None and value is not None and not field.null:
            raise ValueError(f"{field} takes no NULL: give it null=True, so that its personal data can be removed")
        setattr(obj, field.attname, masked)
    return [field.name for field in pii_fields(obj)]


def anonymize_row(obj: Any) -> Any:
    """Replace the personal data of a saved instance for good: in the instance and in its row; return it."""
    names = _anonymous(obj)
    if names:
        obj.save(update_fields=names)
    return obj


async def aanonymize_row(obj: Any) -> Any:
    """Async twin of `anonymize_row`."""
    names = _anonymous(obj)
    if names:
        await obj.asave(update_fields=names)
    return obj
