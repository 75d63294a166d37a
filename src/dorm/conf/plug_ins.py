"""What other packages bring by entry points.

Most installations have nothing, and `importlib.metadata` takes longer to load and to look than all of ``dorm --help``:
it is asked only where a file of some distribution names the group.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def plug_ins(group: str) -> list[EntryPoint]:
    """Return the entry points of *group*, in the order of the path of modules."""
    if not _is_named(group):
        return []
    from importlib.metadata import entry_points

    return list(entry_points(group=group))


def _is_named(group: str) -> bool:
    """False when no distribution on the path has the group; True also where files cannot tell."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        return True
    return any(_names(entry or os.curdir, group.encode()) for entry in sys.path)


def _names(folder: str, group: bytes) -> bool:
    try:
        found = [name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))]
    except NotADirectoryError:
        return True  # an archive
    except OSError:
        return False
    return folder.endswith(".egg") or any(group in _entry_points(os.path.join(folder, name)) for name in found)


def _entry_points(distribution: str) -> bytes:
    """Return the file of a distribution's entry points; nothing where it has none."""
    try:
        with open(os.path.join(distribution, "entry_points.txt"), "rb") as file:
            return file.read()
    except OSError:
        return b""
