"""FieldFile: the value of a FileField on an instance."""

from __future__ import annotations

from typing import Any, Self

from dorm.db.operation import Operation, arun, operation, run
from dorm.db.request import CallUser
from dorm.fields.images import dimensions
from dorm.queryset.ops import files, save as save_ops
from dorm.storage.base import Storage
from dorm.storage.file import File


class FieldFile(File):
    """A file of an instance, known by its name in the field's storage; false where there is none.

    Attributes:
        instance, field: whose file it is. name: its name in the storage, which is what the column holds.
        storage: where it is kept.
    """

    _file: Any

    def __init__(self, instance: Any, field: Any, name: str | None) -> None:
        super().__init__(None, name)
        self.instance = instance
        self.field = field
        self.storage: Storage = field.storage
        self._committed = True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FieldFile):
            return bool(self.name == other.name)
        return bool(self.name == other)

    def __hash__(self) -> int:
        return hash(self.name)

    def __getstate__(self) -> dict[str, Any]:
        # The storage is the field's, and an open file cannot travel.
        return {"name": self.name, "_committed": True, "_file": None, "instance": self.instance, "field": self.field}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.storage = self.field.storage

    def _require_file(self) -> None:
        if not self:
            raise ValueError(f"The {self.field.name!r} attribute has no file associated with it.")

    # -- content -------------------------------------------------------------------------------------------------
    @property
    def file(self) -> Any:
        """The open file; opened when it is first asked for."""
        self._require_file()
        if self._file is None:
            self._file = self.storage.open(self.name, "rb")
        return self._file

    @file.setter
    def file(self, file: Any) -> None:
        self._file = file

    @file.deleter
    def file(self) -> None:
        self._file = None

    @property
    def path(self) -> str:
        """Path on this machine, where the storage has such."""
        self._require_file()
        return self.storage.path(self.name)

    @property
    def url(self) -> str:
        """URL at which the file can be fetched."""
        self._require_file()
        return self.storage.url(self.name)

    @property
    def size(self) -> int:
        """Bytes of the content."""
        self._require_file()
        return int(self._file.size) if not self._committed else self.storage.size(self.name)

    @property
    def closed(self) -> bool:
        """True unless the file is open."""
        return self._file is None or bool(self._file.closed)

    def open(self, mode: str | None = None) -> Self:
        """Open the file, or go back to its start."""
        self._require_file()
        if self._file is None or (self._committed and self.closed):
            self._file = self.storage.open(self.name, mode or "rb")
        else:
            self._file.open(mode)
        return self

    async def aopen(self, mode: str | None = None) -> Self:
        """Async twin of `open`."""
        self._require_file()
        if self._file is None or (self._committed and self.closed):
            self._file = await self.storage.aopen(self.name, mode or "rb")
        else:
            self._file.open(mode)
        return self

    def close(self) -> None:
        """Close the file if it is open."""
        if self._file is not None:
            self._file.close()

    # -- keeping and deleting ------------------------------------------------------------------------------------
    def take(self, name: str | None, content: Any = None) -> None:
        """Be the file of that name, which is kept.

        Args:
            content: the file object it was kept from; another one that is open belongs to the file of before.
        """
        if self._file is not None and self._file is not content:
            self.close()
            self._file = None
        self.name = name
        self._committed = True
        self.field.set_name(self.instance, self)

    def save(self, name: str, content: Any, save: bool = True) -> None:
        """Keep *content* (a `File` or a file object) under a name like *name*; *save* also saves the instance."""
        run(self._save(name, content, save))

    async def asave(self, name: str, content: Any, save: bool = True) -> None:
        """Async twin of `save`."""
        await arun(self._save(name, content, save))

    def delete(self, save: bool = True) -> None:
        """Delete the file; *save* also saves the instance."""
        run(self._delete(save))

    async def adelete(self, save: bool = True) -> None:
        """Async twin of `delete`."""
        await arun(self._delete(save))

    @operation
    def _save(self, name: str, content: Any, save: bool) -> Operation[None]:
        yield from files.keep_one(self, name, content, save_ops.alias_for_write(self.instance, None))
        if save:
            yield from save_ops.saved(self.instance, using=None)

    @operation
    def _delete(self, save: bool) -> Operation[None]:
        if not self:
            return
        self.close()
        yield CallUser(self.storage.delete, self.storage.adelete, self.name)
        self.take(None)
        if save:
            yield from save_ops.saved(self.instance, using=None)


class ImageFieldFile(FieldFile):
    """The file of an `ImageField`, which knows its size in pixels."""

    _size: tuple[int | None, int | None] | None = None

    def take(self, name: str | None, content: Any = None) -> None:
        self._size = None
        super().take(name, content)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_size": self._size}

    @property
    def width(self) -> int | None:
        """Width in pixels, None where the content is no image; the file is read for it once. Needs Pillow."""
        return self.dimensions()[0]

    @property
    def height(self) -> int | None:
        """Height in pixels, as of `width`."""
        return self.dimensions()[1]

    def dimensions(self) -> tuple[int | None, int | None]:
        """Return width and height in pixels, None for both where the content is no image. Needs Pillow."""
        self._require_file()
        if self._size is None:
            self._size = dimensions(self)
        return self._size

    async def adimensions(self) -> tuple[int | None, int | None]:
        """Async twin of `dimensions`: the storage is asked in its own face."""
        self._require_file()
        if self._size is None:
            was_closed = self.closed
            await self.aopen()
            self._size = dimensions(self)
            if was_closed:
                self.close()
        return self._size
