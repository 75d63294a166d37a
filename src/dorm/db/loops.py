"""The running event loop, asked for without loading asyncio: a program that never runs a loop need not wait for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import asyncio


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, None without one."""
    events = sys.modules.get("asyncio.events")
    if events is None:
        return None
    # Another thread may be in the middle of loading it; this one runs no loop then.
    running = getattr(events, "_get_running_loop", None)
    return None if running is None else cast("asyncio.AbstractEventLoop | None", running())
