"""A core each for a contestant and for its sessions on the server, as with a server on a machine of its own.

Left alone, the kernel puts the two on one core or on two as it likes, and a point read of the bare driver takes 25 us
in the one case and 60 us in the other: what is compared then is luck.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def may_be_placed() -> bool:
    """True where processes can be held to cores, and there are two."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


def place(client: int, sessions: Iterable[int]) -> None:
    """Hold the process *client* to the first core and the server's processes *sessions* to the second.

    Raises: PermissionError: the server's processes are somebody else's; nothing is held to a core then.
    """
    first, second, *_ = sorted(os.sched_getaffinity(0))
    for session in sessions:
        try:
            os.sched_setaffinity(session, {second})
        except ProcessLookupError:
            # It ended since it was listed, or the server runs on another machine.
            continue
    for thread in Path(f"/proc/{client}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {first})
