"""The running event loop, asked for without loading asyncio: a program that never runs a loop need not wait for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import asyncio

Asked: TypeAlias = "Callable[[], asyncio.AbstractEventLoop | None]"


def _look() -> asyncio.AbstractEventLoop | None:
    """Ask asyncio, if it is loaded; put its own function in the place of this one, once it is loaded to its end."""
    global running_loop
    events = sys.modules.get("asyncio.events")
    if events is None:
        return None
    # Another thread may be in the middle of loading it: no loop runs in this one then, and the module may still have a
    # function that it replaces.
    found: Asked | None = getattr(events, "_get_running_loop", None)
    if found is None:
        return None
    if hasattr(sys.modules.get("asyncio"), "run"):
        running_loop = found
    return found()


running_loop: Asked = _look
"""Return the loop that runs in this thread, None without one.

It is called as ``loops.running_loop()``: every statement of a block asks.
"""
