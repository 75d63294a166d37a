"""Telling user code: receivers of signals, and overridden methods of the other face."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from dorm.db.operation import Operation, operation
from dorm.db.request import CallUser
from dorm.exceptions import DormError, ReadOnlyModelError
from dorm.signals import Signal


@operation
def announce(signal: Signal, sender: Any, **told: Any) -> Operation[None]:
    """Call the receivers of *signal* in order; what one raises aborts the operation."""
    for receiver, is_async in signal.live_receivers(sender):
        as_operation = getattr(receiver, "as_operation", None)
        if as_operation is not None:
            # A receiver that does I/O, written once for both faces.
            yield from as_operation(signal=signal, sender=sender, **told)
        elif is_async:
            yield CallUser(signal.skip_async, receiver, signal=signal, sender=sender, **told)
        else:
            yield CallUser(receiver, None, signal=signal, sender=sender, **told)


def refuse_read_only(meta: Any, what: str) -> None:
    """Raise `ReadOnlyModelError` for a model that is read only."""
    if meta.read_only:
        raise ReadOnlyModelError(f"{meta.object_name} is read only (Meta.read_only): {what} is not possible.")


def overridden(owner: Any, name: str, base: tuple[Any, Any], **told: Any) -> CallUser[Any]:
    """Return the call of a method that the class of *owner* overrides, in the face of whoever drives the operation.

    Args:
        base: dorm's own method and its twin; a face whose method is not overridden refuses.
    """
    cls, twin = type(owner), f"a{name}"
    sync_fn = getattr(owner, name) if getattr(cls, name) is not base[0] else missing_twin(cls, name)
    async_fn = getattr(owner, twin) if getattr(cls, twin) is not base[1] else awaited(missing_twin(cls, twin))
    return CallUser(sync_fn, async_fn, **told)


def guard_twins(cls: type, base: type, names: Iterable[str]) -> None:
    """Let the twin of each method that *cls* alone overrides refuse: what the override does would be left out."""
    for name in names:
        for mine, twin in ((name, f"a{name}"), (f"a{name}", name)):
            if mine in vars(cls) and getattr(cls, twin) is getattr(base, twin):
                refuse = missing_twin(cls, twin)
                setattr(cls, twin, awaited(refuse) if twin.startswith("a") else refuse)


def missing_twin(model: Any, twin: str) -> Callable[..., Any]:
    """Return a function that refuses: only the other face's method is overridden."""
    other = twin[1:] if twin.startswith("a") else f"a{twin}"

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise DormError(
            f"{model.__name__} overrides {other}() but not {twin}(), which this call needs. "
            f"Override {twin}() as well{', or _save_operation() once for both' if 'save' in twin else ''}."
        )

    return refuse


def awaited(fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Return *fn* as a coroutine function."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return call
