"""Which line of the user's code a statement comes from."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from types import FrameType
from typing import Final

_MOST_FILES: Final = 5_000
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NOT_USERS = tuple(
    {
        _OWN,
        sysconfig.get_path("stdlib") + os.sep,
        sysconfig.get_path("purelib") + os.sep,
        sysconfig.get_path("platlib") + os.sep,
        *(folder + os.sep for folder in site.getsitepackages()),
        f"{os.sep}site-packages{os.sep}",
        "<frozen",
    }
)
_users: dict[str, bool] = {}


def _is_users(filename: str) -> bool:
    found = _users.get(filename)
    if found is None:
        inside = filename.startswith(_NOT_USERS) or f"{os.sep}site-packages{os.sep}" in filename
        if len(_users) > _MOST_FILES:
            _users.clear()
        found = _users[filename] = not inside
    return found


def call_site() -> str:
    """Return ``file:line`` of the innermost frame outside dorm, the standard library and installed packages."""
    known = _users
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if known[filename] if filename in known else _is_users(filename):
            return f"{filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown"
