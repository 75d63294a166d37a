"""Storage: what every place for files can do."""

from __future__ import annotations

import asyncio
import datetime
import os
import posixpath
import secrets
import string
from typing import Any

from dorm.exceptions import SuspiciousFileOperation
from dorm.storage.file import File
from dorm.storage.names import split, valid_name, validate_file_name

_LETTERS = string.ascii_letters + string.digits


class Storage:
    """A place for files, which are known by names with forward slashes.

    A subclass implements ``_save(name, content)``, ``_open(name, mode)``, `delete`, `exists`, `size` and `url`, and
    `path` and `listdir` where it has such. The methods with an ``a`` in front run the plain ones on a worker thread; a
    storage with a driver for asyncio overrides them.
    """

    # -- what a subclass implements ------------------------------------------------------------------------------
    def _save(self, name: str, content: File) -> str:
        raise NotImplementedError(f"{type(self).__name__} must implement _save(name, content)")

    def _open(self, name: str, mode: str) -> File:
        raise NotImplementedError(f"{type(self).__name__} must implement _open(name, mode)")

    def delete(self, name: str) -> None:
        """Delete the file of that name; a name of no file is no error."""
        raise NotImplementedError("subclasses of Storage must provide a delete() method")

    def exists(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        raise NotImplementedError("subclasses of Storage must provide an exists() method")

    def size(self, name: str) -> int:
        """Return the bytes of a file."""
        raise NotImplementedError("subclasses of Storage must provide a size() method")

    def url(self, name: str | None) -> str:
        """Return the URL at which the file can be fetched."""
        raise NotImplementedError("subclasses of Storage must provide a url() method")

    def path(self, name: str) -> str:
        """Return the path of a file on this machine, where the storage keeps its files there."""
        raise NotImplementedError("This backend doesn't support absolute paths.")

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files in a folder."""
        raise NotImplementedError("subclasses of Storage must provide a listdir() method")

    def get_accessed_time(self, name: str) -> datetime.datetime:
        """Return when a file was read last."""
        raise NotImplementedError("subclasses of Storage must provide a get_accessed_time() method")

    def get_created_time(self, name: str) -> datetime.datetime:
        """Return when a file was made."""
        raise NotImplementedError("subclasses of Storage must provide a get_created_time() method")

    def get_modified_time(self, name: str) -> datetime.datetime:
        """Return when a file was changed last."""
        raise NotImplementedError("subclasses of Storage must provide a get_modified_time() method")

    # -- files ---------------------------------------------------------------------------------------------------
    def open(self, name: str, mode: str = "rb") -> File:
        """Return a file, open."""
        return self._open(name, mode)

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Keep *content* (a `File` or a file object) and return the name it got, which may be another than *name*.

        Args:
            name: the name wanted; None for the content's own.
            max_length: most characters of the name.
        """
        wanted = content.name if name is None else name
        if not hasattr(content, "chunks"):
            content = File(content, wanted)
        available = self.get_available_name(wanted, max_length=max_length)
        saved = self._save(available, content)
        validate_file_name(saved, allow_relative_path=True)
        return saved

    async def asave(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Async twin of `save`."""
        return await asyncio.to_thread(self.save, name, content, max_length)

    async def aopen(self, name: str, mode: str = "rb") -> File:
        """Async twin of `open`."""
        return await asyncio.to_thread(self.open, name, mode)

    async def adelete(self, name: str) -> None:
        """Async twin of `delete`."""
        await asyncio.to_thread(self.delete, name)

    async def aexists(self, name: str) -> bool:
        """Async twin of `exists`."""
        return await asyncio.to_thread(self.exists, name)

    async def asize(self, name: str) -> int:
        """Async twin of `size`."""
        return await asyncio.to_thread(self.size, name)

    async def alistdir(self, path: str) -> tuple[list[str], list[str]]:
        """Async twin of `listdir`."""
        return await asyncio.to_thread(self.listdir, path)

    # -- names ---------------------------------------------------------------------------------------------------
    def get_valid_name(self, name: str) -> str:
        """Return *name* in a form that this storage takes."""
        return valid_name(name)

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """Return another name for a file whose own is taken: with seven random characters."""
        return f"{file_root}_{''.join(secrets.choice(_LETTERS) for _ in range(7))}{file_ext}"

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Return whether a file can get that name."""
        return not (max_length and len(name) > max_length) and not self.exists(name)

    def get_available_name(self, name: Any, max_length: int | None = None) -> str:
        """Return *name*, or one like it that is free and has at most *max_length* characters."""
        found = str(name).replace("\\", "/")
        folder, file = split(found)
        validate_file_name(file)
        root, ending = os.path.splitext(file)
        while not self.is_name_available(found, max_length):
            found = posixpath.join(folder, self.get_alternative_name(root, ending))
            if not max_length or len(found) <= max_length:
                continue
            root = root[: max_length - len(found)]
            if not root:
                raise SuspiciousFileOperation(
                    f'Storage can not find an available filename for "{name}". Please make sure that the '
                    'corresponding file field allows sufficient "max_length".'
                )
            found = posixpath.join(folder, self.get_alternative_name(root, ending))
        return found

    def generate_filename(self, filename: Any) -> str:
        """Return the name for a file that a user brings, its folders kept."""
        folder, file = split(filename)
        return posixpath.normpath(posixpath.join(folder, self.get_valid_name(file)))
