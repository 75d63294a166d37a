"""What a child process must forget of its parent: called in the child, right after ``fork()``.

A lock that another thread of the parent held at that moment stays locked in the child for ever; sockets and counts are
the parent's. Whoever has such things is told here, and is held weakly.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_told: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()


def in_child(owner: T, forget: Callable[[T], None]) -> None:
    """Have ``forget(owner)`` called in each child of this process, as long as *owner* lives.

    It runs before anything else of the child does: it makes new locks and drops what is the parent's, and waits for
    nothing. Give a function that does not hold *owner* itself.
    """
    _told[owner] = forget


def _forked() -> None:
    for owner, forget in list(_told.items()):
        forget(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
