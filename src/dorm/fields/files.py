"""Fields of files: a name in a storage, and paths of this machine."""

from __future__ import annotations

import datetime
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm.db.types import SqlType
from dorm.exceptions import FieldError, ImproperlyConfigured, ValidationError
from dorm.fields.base import Field
from dorm.fields.images import is_image
from dorm.fields.options import PlainOptions
from dorm.storage.base import Storage
from dorm.storage.chosen import default_storage
from dorm.storage.fieldfile import FieldFile, ImageFieldFile
from dorm.storage.file import File
from dorm.storage.names import validate_file_name
from dorm.validators import MaxLengthValidator, validate_image_file_extension

T = TypeVar("T")

_LENGTH = 255


class FileField(Field[FieldFile]):
    """A file, kept in a storage; the column holds its name. An instance's attribute is a `FieldFile`.

    A file that is written inside a transaction is removed when that is rolled back. A file that is replaced stays.

    Args:
        upload_to: folder for new files, with the codes of ``strftime``; or a function of instance and file name that
            returns the name.
        storage: a `Storage`, or a function that returns one (default: the storage of the alias ``"default"``).
        max_length: characters of the column.
    """

    description = "a file, or its name"
    keeps_files = True
    attr_class: ClassVar[type[FieldFile]] = FieldFile

    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        upload_to: str | os.PathLike[str] | Callable[[Any, str], str] = "",
        storage: Storage | Callable[[], Storage] | None = None,
        *,
        max_length: int | None = None,
        null: bool = False,
        **options: Unpack[PlainOptions],
    ) -> None:
        if options.get("primary_key"):
            raise ImproperlyConfigured(f"a {type(self).__name__} cannot be a primary key.")
        if isinstance(upload_to, str) and upload_to.startswith("/"):
            raise ImproperlyConfigured("upload_to is a folder below the storage's, without a slash in front.")
        super().__init__(verbose_name, name, null=null, max_length=max_length or _LENGTH, **options)
        self.upload_to = upload_to
        self._given_storage = storage
        self.storage: Storage = default_storage
        if storage is not None:
            self.storage = storage() if not isinstance(storage, Storage) and callable(storage) else storage
            if not isinstance(self.storage, Storage):
                raise TypeError("FileField.storage must be a Storage, or a function that returns one.")
        self.validators.append(MaxLengthValidator(self.max_length))

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if kwargs.get("max_length") == _LENGTH:
            del kwargs["max_length"]
        kwargs["upload_to"] = self.upload_to
        if self._given_storage is not None and self._given_storage is not default_storage:
            kwargs["storage"] = self._given_storage
        return name, path, args, kwargs

    @property
    def sql_type(self) -> SqlType:
        return SqlType("varchar", length=self.max_length)

    # -- attribute -----------------------------------------------------------------------------------------------
    if not TYPE_CHECKING:

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            values = instance.__dict__
            file = values[self.attname] if self.attname in values else instance._load_deferred(self)
            if isinstance(file, FieldFile):
                if file.instance is not instance or file.field is not self:
                    file.instance, file.field = instance, self
                return file
            made = self.attr_class(instance, self, file.name if isinstance(file, File) else file)
            if isinstance(file, File):
                made.file = file
                made._committed = False
            values[self.attname] = made
            return made

        def __set__(self, instance, value):
            instance.__dict__[self.attname] = value

    def set_name(self, instance: Any, file: FieldFile) -> None:
        """Put a file that is kept, or that was deleted, on *instance*."""
        instance.__dict__[self.attname] = file

    # -- keeping files -------------------------------------------------------------------------------------------
    def pending(self, instance: Any) -> FieldFile | None:
        """Return the file of *instance* that is not kept yet; None where there is none."""
        file: Any = instance.__dict__.get(self.attname)
        if isinstance(file, File):
            file = self.__get__(instance)
        if not isinstance(file, FieldFile) or file._committed:
            return None
        if not file.name:
            raise FieldError(
                f"File for {self.name} must have the name attribute specified to be saved: give it one, or use "
                f"instance.{self.name}.save(name, content)."
            )
        return file

    def name_of(self, file: FieldFile) -> str:
        """Return the name under which a new file is to be kept."""
        return posixpath.basename(str(file.name).replace("\\", "/"))

    def generate_filename(self, instance: Any, filename: str) -> str:
        """Return the name for a new file of *instance*: in the folder of *upload_to*, as the storage allows it."""
        if callable(self.upload_to):
            wanted = self.upload_to(instance, filename)
        else:
            folder = datetime.datetime.now().strftime(str(self.upload_to))
            wanted = posixpath.join(folder, filename)
        validate_file_name(wanted, allow_relative_path=True)
        return self.storage.generate_filename(wanted)

    def pre_save(self, instance: Any, add: bool) -> Any:
        file = self.__get__(instance) if self.attname in instance.__dict__ else None
        if isinstance(file, FieldFile) and not file._committed:
            # Where no operation has kept it before: a caller of this method alone.
            self.pending(instance)
            file.save(self.name_of(file), file.file, save=False)
        return file

    def prepare(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, File):
            return str(value.name or "")
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        self.refuse(value)

    def to_python(self, value: Any) -> Any:
        return value

    def run_validators(self, value: Any) -> None:
        super().run_validators(value)

    def validate(self, value: Any, instance: Any) -> None:
        super().validate(value if value else "", instance)

    def clean(self, value: Any, instance: Any) -> Any:
        file = getattr(instance, self.attname, value) if instance is not None else value
        self.validate(file, instance)
        if file:
            self.check_length(file)
            for validator in self._given_validators:
                validator(file)
            self.check_content(file)
        return file

    def check_length(self, file: Any) -> None:
        """Refuse a name that the column cannot hold."""
        MaxLengthValidator(self.max_length)(str(getattr(file, "name", file)))

    def check_content(self, file: Any) -> None:
        """Refuse content that the field does not take."""

    def value_to_string(self, obj: Any) -> str:
        return str(self.value_from_object(obj) or "")


class ImageField(FileField):
    """A file that is an image: validation checks its content (with Pillow, else by its first bytes).

    Args:
        height_field, width_field: names of fields that take the size, in pixels; this needs Pillow.
    """

    attr_class = ImageFieldFile
    default_error_messages: ClassVar[dict[str, str]] = {
        "invalid_image": ("Upload a valid image. The file you uploaded was either not an image or a corrupted image.")
    }

    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        width_field: str | None = None,
        height_field: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(verbose_name, name, **options)
        self.width_field = width_field
        self.height_field = height_field

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.width_field:
            kwargs["width_field"] = self.width_field
        if self.height_field:
            kwargs["height_field"] = self.height_field
        return name, path, args, kwargs

    if not TYPE_CHECKING:

        def __set__(self, instance, value):
            super().__set__(instance, value)
            if isinstance(value, File) or not value:
                self.update_dimension_fields(instance)

    def set_name(self, instance: Any, file: FieldFile) -> None:
        super().set_name(instance, file)
        self.update_dimension_fields(instance)

    def update_dimension_fields(self, instance: Any) -> None:
        """Set the fields of width and height by the file that *instance* has now."""
        if not self.width_field and not self.height_field:
            return
        file: Any = self.__get__(instance)
        width, height = file.dimensions() if file else (None, None)
        for name, value in ((self.width_field, width), (self.height_field, height)):
            if name:
                setattr(instance, name, value)

    def check_content(self, file: Any) -> None:
        if isinstance(file, FieldFile) and not file._committed:
            validate_image_file_extension(file)
            if not is_image(file):
                raise ValidationError(self.error_messages["invalid_image"], code="invalid_image")


class FilePathField(Field[T]):
    """The path of a file of this machine, one of those below a folder.

    Args:
        path: the folder, or a function that returns it.
        match: regular expression that the file's own name must match.
        recursive: folders below count too. allow_files, allow_folders: what may be chosen.
    """

    description = "the path of a file"
    default_error_messages: ClassVar[dict[str, str]] = {
        "invalid_choice": "Value %(value)r is not a valid choice.",
    }

    @overload
    def __init__(
        self: FilePathField[str],
        verbose_name: str | None = ...,
        name: str | None = ...,
        path: str | os.PathLike[str] | Callable[[], str] = ...,
        match: str | None = ...,
        recursive: bool = ...,
        allow_files: bool = ...,
        allow_folders: bool = ...,
        *,
        max_length: int | None = ...,
        null: Literal[False] = ...,
        **options: Unpack[PlainOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: FilePathField[str | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        path: str | os.PathLike[str] | Callable[[], str] = ...,
        match: str | None = ...,
        recursive: bool = ...,
        allow_files: bool = ...,
        allow_folders: bool = ...,
        *,
        max_length: int | None = ...,
        null: Literal[True],
        **options: Unpack[PlainOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        path: Any = "",
        match: str | None = None,
        recursive: bool = False,
        allow_files: bool = True,
        allow_folders: bool = False,
        *,
        max_length: int | None = None,
        null: bool = False,
        **options: Any,
    ) -> None:
        if not allow_files and not allow_folders:
            raise ImproperlyConfigured("FilePathFields must have either 'allow_files' or 'allow_folders' set to True.")
        super().__init__(verbose_name, name, null=null, max_length=max_length or 100, **options)
        self.path = path
        self.match = match
        self.recursive = recursive
        self.allow_files = allow_files
        self.allow_folders = allow_folders
        self.validators.append(MaxLengthValidator(self.max_length))

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if kwargs.get("max_length") == 100:
            del kwargs["max_length"]
        for option, default in (
            ("path", ""),
            ("match", None),
            ("recursive", False),
            ("allow_files", True),
            ("allow_folders", False),
        ):
            if getattr(self, option) != default:
                kwargs[option] = getattr(self, option)
        return name, path, args, kwargs

    @property
    def sql_type(self) -> SqlType:
        return SqlType("varchar", length=self.max_length)

    @property
    def folder(self) -> str:
        """The folder in force."""
        path: Any = self.path
        found: Any = path() if callable(path) else path
        return str(os.fspath(found))

    def to_python(self, value: Any) -> Any:
        return value if value is None else str(value)

    def prepare(self, value: Any) -> Any:
        return str(value)

    def paths(self) -> Iterator[str]:
        """Yield the paths that may be chosen."""
        for folder, folders, names in os.walk(self.folder):
            folders.sort()
            found = [*(sorted(names) if self.allow_files else ()), *(folders if self.allow_folders else ())]
            for name in found:
                if (self.match is None or re.search(self.match, name)) and name != "__pycache__":
                    yield os.path.join(folder, name)
            if not self.recursive:
                return

    def validate(self, value: Any, instance: Any) -> None:
        super().validate(value, instance)
        if self.editable and value not in self.empty_values and value not in self.paths():
            raise self.invalid(value, "invalid_choice")
