"""Names of files: made harmless, and refused when they lead somewhere else."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from dorm.exceptions import SuspiciousFileOperation


def validate_file_name(name: Any, allow_relative_path: bool = False) -> Any:
    """Return *name*; refuse one that is empty, or that leads out of its folder."""
    plain = str(name).replace("\\", "/")
    if os.path.basename(plain) in ("", ".", ".."):
        raise SuspiciousFileOperation(f"Could not derive file name from {str(name)!r}")
    if allow_relative_path:
        path = PurePosixPath(plain)
        if path.is_absolute() or ".." in path.parts:
            raise SuspiciousFileOperation(f"Detected path traversal attempt in {str(name)!r}")
    elif plain != os.path.basename(plain):
        raise SuspiciousFileOperation(f"File name {str(name)!r} includes path elements")
    return name


def valid_name(name: Any) -> str:
    """Return *name* with spaces as underscores and of the rest only letters, digits, ``_``, ``-`` and ``.``."""
    text = re.sub(r"[^-\w.]", "", str(name).strip().replace(" ", "_"))
    if text in ("", ".", ".."):
        raise SuspiciousFileOperation(f"Could not derive file name from {str(name)!r}")
    return text


def split(name: Any) -> tuple[str, str]:
    """Return folder and file of *name*; refuse ``..`` among the folders."""
    folder, file = posixpath.split(str(name).replace("\\", "/"))
    if ".." in PurePosixPath(folder).parts:
        raise SuspiciousFileOperation(f"Detected path traversal attempt in {folder!r}")
    return folder, file


def joined_below(base: str, name: str) -> str:
    """Return the absolute path of *name* below the folder *base*; refuse one outside it, links followed."""
    if "\0" in name:
        raise SuspiciousFileOperation(f"The name {name!r} holds a NUL character.")
    root = Path(base).resolve()
    path = Path(os.path.abspath(root / name))
    if path != root and root not in path.parents:
        raise SuspiciousFileOperation(
            f"The joined path ({path}) is located outside of the base path component ({root})"
        )
    real = path.resolve()
    if real != root and root not in real.parents:
        raise SuspiciousFileOperation(f"The path ({path}) leads outside of the base path component ({root})")
    return str(path)
