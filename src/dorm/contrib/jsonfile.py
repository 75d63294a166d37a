"""JSON objects in files that people review: written in one step, read with errors that name the place."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Raises: OSError: no such file, or one that cannot be read. ValueError: no JSON object; it names file and place.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as exc:
        raise ValueError(f"{path} is no JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError(f"{path} is no UTF-8: byte {exc.start} cannot be read") from exc
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__} instead of an object")
    return found


def write_object(path: Path, value: Mapping[str, Any], mode: int = 0o600) -> None:
    """Write *value*, indented and with sorted keys, in place of what the file held; a failure leaves that as it was."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
