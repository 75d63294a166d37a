"""The running event loop, asked for without loading asyncio: a program that never runs a loop need not wait for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_asked: Callable[[], asyncio.AbstractEventLoop | None] | None = None
"""asyncio's own function, once it is loaded."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, None without one."""
    ask = _asked
    if ask is None:
        events = sys.modules.get("asyncio.events")
        if events is None:
            return None
        ask = _looked_up(events)
    return None if ask is None else ask()


def _looked_up(events: ModuleType) -> Callable[[], asyncio.AbstractEventLoop | None] | None:
    global _asked
    found: Callable[[], asyncio.AbstractEventLoop | None] | None = getattr(events, "_get_running_loop", None)
    if hasattr(sys.modules.get("asyncio"), "run"):
        # Loaded to its end. Another thread may be in the middle of it: no loop runs in this one then, and the module
        # may still have a function that it replaces.
        _asked = found
    return found
