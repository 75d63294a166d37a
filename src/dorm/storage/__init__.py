"""Files and where they are kept (public names; see the modules beside this one)."""

import dorm.models  # noqa: F401  # the packages of this layer refer to one another, and are entered there
from dorm.storage.base import Storage
from dorm.storage.chosen import default_storage, get_storage, reset_storages
from dorm.storage.fieldfile import FieldFile
from dorm.storage.file import ContentFile, File
from dorm.storage.filesystem import FileSystemStorage

__all__ = [
    "ContentFile",
    "FieldFile",
    "File",
    "FileSystemStorage",
    "Storage",
    "default_storage",
    "get_storage",
    "reset_storages",
]
