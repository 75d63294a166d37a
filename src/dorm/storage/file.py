"""Files as dorm hands them about: a Python file object with a name, a size and chunks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO, StringIO
from typing import IO, Any, Self

CHUNK_SIZE = 65_536
"""Bytes that `File.chunks` reads at a time."""


class File:
    """A file object under a name.

    Args:
        file: a Python file object. name: its name in a storage (default: the file object's own).
    """

    def __init__(self, file: Any, name: str | None = None) -> None:
        self.file: Any = file
        self.name: Any = getattr(file, "name", None) if name is None else name
        mode = getattr(file, "mode", None)
        if mode is not None:
            self.mode = mode

    def __str__(self) -> str:
        return str(self.name or "")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self or 'None'}>"

    def __bool__(self) -> bool:
        return bool(self.name)

    def __len__(self) -> int:
        return self.size

    @property
    def size(self) -> int:
        """Bytes of the content."""
        file = self.file
        if hasattr(file, "size"):
            return int(file.size)
        name = getattr(file, "name", None)
        if isinstance(name, str) and os.path.exists(name):
            return os.path.getsize(name)
        if not hasattr(file, "tell") or not hasattr(file, "seek"):
            raise AttributeError("Unable to determine the file's size.")
        position = file.tell()
        file.seek(0, os.SEEK_END)
        found = file.tell()
        file.seek(position)
        return int(found)

    # -- content -------------------------------------------------------------------------------------------------
    def chunks(self, chunk_size: int = CHUNK_SIZE) -> Iterator[Any]:
        """Yield the content from its start, *chunk_size* bytes (or characters) at a time."""
        if self.seekable():
            self.seek(0)
        while part := self.read(chunk_size):
            yield part

    def multiple_chunks(self, chunk_size: int = CHUNK_SIZE) -> bool:
        """Return whether the content is larger than one chunk."""
        return self.size > chunk_size

    def __iter__(self) -> Iterator[Any]:
        if self.seekable():
            self.seek(0)
        yield from iter(self.file)

    def read(self, *args: Any) -> Any:
        """Read from the file object."""
        return self.file.read(*args)

    def readline(self, *args: Any) -> Any:
        """Read one line from the file object."""
        return self.file.readline(*args)

    def readlines(self, *args: Any) -> Any:
        """Read all lines from the file object."""
        return self.file.readlines(*args)

    def write(self, content: Any) -> Any:
        """Write to the file object."""
        return self.file.write(content)

    def seek(self, *args: Any) -> Any:
        """Move the file object's position."""
        return self.file.seek(*args)

    def tell(self) -> Any:
        """Return the file object's position."""
        return self.file.tell()

    def readable(self) -> bool:
        """Return whether it can be read."""
        return not self.closed and (self.file.readable() if hasattr(self.file, "readable") else True)

    def seekable(self) -> bool:
        """Return whether its position can be moved."""
        return not self.closed and (
            self.file.seekable() if hasattr(self.file, "seekable") else hasattr(self.file, "seek")
        )

    def flush(self) -> None:
        """Write out what is buffered."""
        if hasattr(self.file, "flush"):
            self.file.flush()

    # -- open and close ------------------------------------------------------------------------------------------
    @property
    def closed(self) -> bool:
        """True when there is no open file object."""
        return not self.file or bool(self.file.closed)

    def open(self, mode: str | None = None) -> Self:
        """Go back to the start, opening the file again when it was closed."""
        if not self.closed:
            self.seek(0)
        elif self.name and os.path.exists(self.name):
            kept: str = getattr(self, "mode", "rb")
            self.file = _opened(self.name, mode or kept)
        else:
            raise ValueError("The file cannot be reopened.")
        return self

    def close(self) -> None:
        """Close the file object."""
        if self.file is not None:
            self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _opened(path: str, mode: str) -> IO[Any]:
    return open(path, mode)


class ContentFile(File):
    """A file in memory.

    Args:
        content: bytes or text. name: its name.
    """

    def __init__(self, content: bytes | bytearray | memoryview | str, name: str | None = None) -> None:
        super().__init__(StringIO(content) if isinstance(content, str) else BytesIO(content), name=name)
        self._size = len(content)

    def __str__(self) -> str:
        return "Raw content"

    def __bool__(self) -> bool:
        return True

    @property
    def size(self) -> int:
        """Bytes (or characters) of the content."""
        return self._size

    def open(self, mode: str | None = None) -> Self:
        """Go back to the start."""
        self.seek(0)
        return self

    def close(self) -> None:
        """Do nothing: the content stays."""

    def write(self, content: Any) -> Any:
        written = super().write(content)
        position = self.tell()
        self.seek(0, os.SEEK_END)
        self._size = self.tell()
        self.seek(position)
        return written
