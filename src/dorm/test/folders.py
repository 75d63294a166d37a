"""Folders for the database files of tests: each held by a lock of its process, so that what a kill leaves is known."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":  # pragma: no cover  # no such locks there: nothing is taken for left behind
    fcntl: Any = None
else:
    import fcntl

_PREFIX = "dorm-test-"
_OWNER = "owner.lock"


class Folder:
    """A folder of this process; `remove` takes it away with all that is in it.

    The lock ends with the process, however that ends: `drop_stale_folders` of the next run takes it then.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock: IO[str] | None = None
        if fcntl is not None:
            begun = self.path / "owner.begun"
            self._lock = open(begun, "w")  # noqa: SIM115  # held for the life of the folder
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            # Under its name it is there only once it is held.
            begun.rename(self.path / _OWNER)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def drop_stale_folders() -> list[Path]:
    """Remove the folders that processes left behind when they were killed; return them."""
    dropped: list[Path] = []
    if fcntl is None:
        return dropped
    for lock in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}")):
        try:
            with open(lock) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent)
        except OSError:
            continue  # its process lives, or another run was faster
        dropped.append(lock.parent)
    return dropped
