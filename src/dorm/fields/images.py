"""What a file's content says about it being an image: by Pillow where it is installed, else by its first bytes."""

from __future__ import annotations

import io
from typing import Any

from dorm.exceptions import ImproperlyConfigured

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"BM")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        return None
    return Image


def is_image(file: Any) -> bool:
    """Return whether the content of *file* is an image; its position is put back to the start."""
    library = _pillow()
    file.seek(0)
    content: bytes = file.read()
    file.seek(0)
    if library is None:
        return content.startswith(_SIGNATURES) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")
    try:
        # In memory: verify() closes the file object it is given.
        library.open(io.BytesIO(content)).verify()
    except (OSError, SyntaxError, ValueError, library.DecompressionBombError):
        # What Pillow raises for content that is no image, or a broken one.
        return False
    return True


def dimensions(file: Any) -> tuple[int | None, int | None]:
    """Return width and height in pixels, None for both where the content is no image."""
    library = _pillow()
    if library is None:
        raise ImproperlyConfigured(
            "the size of an image (width_field, height_field) needs Pillow: pip install 'dormdb[image]'."
        )
    was_closed = file.closed
    file.open()
    position = file.tell()
    try:
        image = library.open(file)
        width, height = image.size
        return int(width), int(height)
    except (OSError, SyntaxError, ValueError):
        return None, None
    finally:
        if was_closed and getattr(file, "_committed", True):
            file.close()
        elif not file.closed:
            file.seek(position)
