"""Files in a folder of this machine."""

from __future__ import annotations

import datetime
import os
from typing import Any
from urllib.parse import quote, urljoin

from dorm import timezone
from dorm.conf.settings import settings
from dorm.storage.base import Storage
from dorm.storage.file import File
from dorm.storage.names import joined_below


class FileSystemStorage(Storage):
    """A folder.

    Args:
        location: the folder (default: ``media`` in the working directory).
        base_url: URL below which the files are served; None: `url` refuses.
        directory_permissions_mode, file_permissions_mode: of what is made; None leaves it to the system.
        allow_overwrite: a file of the same name is replaced instead of getting another name.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        *,
        base_url: str | None = None,
        directory_permissions_mode: int | None = 0o755,
        file_permissions_mode: int | None = 0o644,
        allow_overwrite: bool = False,
    ) -> None:
        self._given = {
            name: value
            for name, value, default in (
                ("location", None if location is None else os.fspath(location), None),
                ("base_url", base_url, None),
                ("directory_permissions_mode", directory_permissions_mode, 0o755),
                ("file_permissions_mode", file_permissions_mode, 0o644),
                ("allow_overwrite", allow_overwrite, False),
            )
            if value != default
        }
        self.base_location = "media" if location is None else os.fspath(location)
        self.location = os.path.abspath(self.base_location)
        self.base_url = base_url if base_url is None or base_url.endswith("/") else f"{base_url}/"
        self.directory_permissions_mode = directory_permissions_mode
        self.file_permissions_mode = file_permissions_mode
        self.allow_overwrite = allow_overwrite

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return import path, arguments and keywords from which an equal storage can be made."""
        return f"dorm.storage.{type(self).__qualname__}", [], dict(self._given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileSystemStorage) and type(other) is type(self) and other._given == self._given

    def __hash__(self) -> int:
        return hash((type(self), self.location))

    # -- files ---------------------------------------------------------------------------------------------------
    def _open(self, name: str, mode: str = "rb") -> File:
        return File(open(self.path(name), mode), name)

    def _save(self, name: str, content: File) -> str:
        while True:
            path = self.path(name)
            self._make_folder(os.path.dirname(path))
            flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
            try:
                # O_EXCL: two processes that chose one name do not write into one file.
                handle = os.open(path, flags | (os.O_TRUNC if self.allow_overwrite else os.O_EXCL), 0o666)
            except FileExistsError:
                name = self.get_available_name(name)
                continue
            break
        try:
            with os.fdopen(handle, "wb") as file:
                for part in content.chunks():
                    file.write(part.encode() if isinstance(part, str) else part)
        except BaseException:
            os.remove(path)
            raise
        if self.file_permissions_mode is not None:
            os.chmod(path, self.file_permissions_mode)
        return os.path.relpath(path, self.location).replace("\\", "/")

    def _make_folder(self, folder: str) -> None:
        missing = []
        while folder and not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for each in reversed(missing):
            os.makedirs(each, exist_ok=True)
            if self.directory_permissions_mode is not None:
                os.chmod(each, self.directory_permissions_mode)

    def delete(self, name: str) -> None:
        if not name:
            raise ValueError("The name must be given to delete().")
        path = self.path(name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                os.rmdir(path)
            else:
                os.remove(path)
        except FileNotFoundError:
            # Somebody else was faster.
            return

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        if self.allow_overwrite:
            return not (max_length and len(name) > max_length)
        return super().is_name_available(name, max_length)

    def exists(self, name: str) -> bool:
        return os.path.lexists(self.path(name))

    def size(self, name: str) -> int:
        return os.path.getsize(self.path(name))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        with os.scandir(self.path(path)) as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found)
        return [name for name, is_dir in entries if is_dir], [name for name, is_dir in entries if not is_dir]

    def path(self, name: str) -> str:
        """Return the absolute path of a file; SuspiciousFileOperation when it is outside the folder."""
        return joined_below(self.location, name)

    def url(self, name: str | None) -> str:
        if self.base_url is None:
            raise ValueError("This file is not accessible via a URL.")
        text = quote((name or "").replace("\\", "/").lstrip("/"), safe="/~!*()'")
        return urljoin(self.base_url, text)

    # -- times ---------------------------------------------------------------------------------------------------
    def get_accessed_time(self, name: str) -> datetime.datetime:
        return _moment(os.path.getatime(self.path(name)))

    def get_created_time(self, name: str) -> datetime.datetime:
        return _moment(os.path.getctime(self.path(name)))

    def get_modified_time(self, name: str) -> datetime.datetime:
        return _moment(os.path.getmtime(self.path(name)))


def _moment(stamp: float) -> datetime.datetime:
    """Return a moment: aware with ``USE_TZ``, else naive in the default time zone."""
    found = datetime.datetime.fromtimestamp(stamp, tz=datetime.UTC)
    return found if settings.USE_TZ else timezone.make_naive(found, timezone.get_default_timezone())
