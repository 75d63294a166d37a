"""One test, two faces: a test is a coroutine that calls dorm through a `Face`.

``await face(Author.objects.get)(name="x")`` calls ``get`` in the sync face and awaits ``aget`` in the async one;
``async with face.atomic():`` opens a block of the face; ``await face.rows(qs)`` evaluates a queryset. In the sync face
such a test never really suspends, so that it runs without an event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from dorm import transaction


class Face:
    """Sync or async, as seen by a test."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def is_async(self) -> bool:
        return self.name == "async"

    def __call__(self, method: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Return *method* (sync) or its twin (async) as something to call and await."""
        if self.is_async:
            owner = getattr(method, "__self__", None)
            owner = sys.modules[method.__module__] if owner is None else owner
            twin: Callable[..., Awaitable[Any]] = getattr(owner, f"a{method.__name__}")
            return twin

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call

    async def rows(self, qs: Any) -> list[Any]:
        """Evaluate a queryset."""
        return [row async for row in qs] if self.is_async else list(qs)

    async def stream(self, qs: Any, **options: Any) -> list[Any]:
        """Read a queryset through its iterator."""
        if self.is_async:
            return [row async for row in qs.aiterator(**options)]
        return list(qs.iterator(**options))

    @asynccontextmanager
    async def atomic(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        """Open an atomic block."""
        if self.is_async:
            async with transaction.atomic(*args, **options) as handle:
                yield handle
        else:
            with transaction.atomic(*args, **options) as handle:
                yield handle

    def run(self, test: Coroutine[Any, Any, Any]) -> None:
        """Run a test to its end."""
        if self.is_async:
            asyncio.run(test)
            return
        try:
            # A context of its own: a block that a failing test leaves open must not reach the next one.
            contextvars.copy_context().run(test.send, None)
        except StopIteration:
            return
        test.close()
        raise AssertionError("a test of the sync face awaited something that is not of its face")


def names(rows: Iterable[Any], attribute: str = "name") -> list[Any]:
    """Return one attribute of each row."""
    return [getattr(row, attribute) for row in rows]
