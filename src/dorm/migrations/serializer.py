"""Values as Python source: what stands in files of migrations."""

from __future__ import annotations

import builtins
import collections.abc
import datetime
import decimal
import enum
import functools
import inspect
import math
import os
import pathlib
import re
import types
import uuid
from collections.abc import Iterable
from typing import Any

import dorm
from dorm.fields.base import NotProvided
from dorm.fields.enums import EnumField
from dorm.migrations.operations.base import Operation
from dorm.migrations.values import deconstructed
from dorm.models.base import Model
from dorm.relations.foreign_key import OnDelete

_INDENT = "    "


class Source:
    """Writes values, and collects the imports that the text needs."""

    def __init__(self) -> None:
        self.imports: set[str] = set()

    # -- names ---------------------------------------------------------------------------------------------------
    def name(self, module: str, qualname: str, value: Any = None) -> str:
        """Return how a module-level thing is called in the file; its module is imported."""
        if module == "builtins":
            return qualname
        root = qualname.partition(".")[0]
        if module.partition(".")[0] == "dorm" and "." not in qualname:
            public = getattr(dorm, root, None)
            if public is not None and (value is None or public is value):
                self.imports.add("import dorm")
                return f"dorm.{qualname}"
        if any(part[:1].isdigit() for part in module.split(".")):
            # A module of migrations: its name is no identifier.
            self.imports.add("import importlib")
            return f"importlib.import_module({module!r}).{qualname}"
        self.imports.add(f"import {module}")
        return f"{module}.{qualname}"

    def path(self, path: str) -> str:
        """Return how what an import path names is called."""
        module, _, name = path.rpartition(".")
        return self.name(module, name)

    # -- values --------------------------------------------------------------------------------------------------
    def write(self, value: Any) -> str:
        """Return the source of a value.

        Raises: ValueError: it cannot be written; the message says why and what to do.
        """
        if value is None or value is Ellipsis or isinstance(value, bool):
            return repr(value)
        if isinstance(value, enum.Enum):
            return self._enum(value)
        for kinds, method in _KINDS:
            if isinstance(value, kinds):
                found: str = method(self, value)
                return found
        return self._other(value)

    def _plain(self, value: Any) -> str:
        if isinstance(value, int):
            return repr(int(value))
        return repr(str(value)) if isinstance(value, str) else repr(bytes(value))

    def _float(self, value: float) -> str:
        return repr(value) if math.isfinite(value) else f'float("{value}")'

    def _decimal(self, value: decimal.Decimal) -> str:
        self.imports.add("import decimal")
        return f"decimal.Decimal({str(value)!r})"

    def _moment(self, value: Any) -> str:
        self.imports.add("import datetime")
        zone = getattr(value, "tzinfo", None)
        if zone is not None and zone is not datetime.UTC and isinstance(value, datetime.datetime):
            value = value.astimezone(datetime.UTC)
        return repr(value).replace("datetime.timezone.utc", "datetime.UTC")

    def _zone(self, value: datetime.timezone) -> str:
        self.imports.add("import datetime")
        return "datetime.UTC" if value is datetime.UTC else repr(value)

    def _uuid(self, value: uuid.UUID) -> str:
        self.imports.add("import uuid")
        return f"uuid.UUID({str(value)!r})"

    def _range(self, value: Any) -> str:
        return repr(value)

    def _pattern(self, value: re.Pattern[Any]) -> str:
        self.imports.add("import re")
        flags = value.flags & ~re.compile("" if isinstance(value.pattern, str) else b"").flags
        return f"re.compile({self.write(value.pattern)}{f', {int(flags)}' if flags else ''})"

    def _file_path(self, value: os.PathLike[str]) -> str:
        return repr(pathlib.PurePath(value).as_posix() if isinstance(value, pathlib.PurePath) else os.fspath(value))

    def _list(self, value: Iterable[Any]) -> str:
        return f"[{', '.join(map(self.write, value))}]"

    def _tuple(self, value: tuple[Any, ...]) -> str:
        if hasattr(value, "_fields"):
            return f"{self._type(type(value))}({', '.join(map(self.write, value))})"
        inner = ", ".join(map(self.write, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"

    def _set(self, value: Iterable[Any]) -> str:
        parts = sorted(map(self.write, value))
        inner = f"{{{', '.join(parts)}}}" if parts else "set()"
        return f"frozenset({inner if parts else ''})" if isinstance(value, frozenset) else inner

    def _dict(self, value: dict[Any, Any]) -> str:
        return f"{{{', '.join(f'{self.write(key)}: {self.write(each)}' for key, each in value.items())}}}"

    def _enum(self, value: enum.Enum) -> str:
        kind = type(value)
        if hasattr(kind, "choices"):
            # A choice stands for its value, so that files do not depend on the class.
            return self.write(value.value)
        if isinstance(value, enum.Flag) and value.name is None:
            return f"{self._type(kind)}({value.value!r})"
        return f"{self._type(kind)}[{value.name!r}]"

    def _on_delete(self, value: OnDelete) -> str:
        self.imports.add("import dorm")
        if value.name == "SET":
            return f"dorm.SET({self.write(getattr(value, 'value', None))})"
        return f"dorm.{value.name}"

    def _not_provided(self, value: NotProvided) -> str:
        self.imports.add("import dorm.fields.base")
        return "dorm.fields.base.NOT_PROVIDED"

    def _partial(self, value: functools.partial[Any]) -> str:
        self.imports.add("import functools")
        parts = [self.write(value.func), *map(self.write, value.args)]
        parts += [f"{name}={self.write(each)}" for name, each in value.keywords.items()]
        return f"functools.partial({', '.join(parts)})"

    def _type(self, value: type) -> str:
        if value is type(None):
            return "type(None)"
        if "<locals>" in value.__qualname__:
            raise ValueError(
                f"Cannot serialize the class {value.__qualname__} of {value.__module__}: it is made inside a function. "
                "Move it to the level of a module."
            )
        if getattr(builtins, value.__name__, None) is value:
            return str(value.__name__)
        return self.name(value.__module__, value.__qualname__, value)

    def _function(self, value: Any) -> str:
        owner = getattr(value, "__self__", None)
        if isinstance(owner, type):
            return f"{self._type(owner)}.{value.__name__}"
        qualname = getattr(value, "__qualname__", value.__name__)
        if "<lambda>" in qualname:
            raise ValueError("Cannot serialize function: lambda. Give it a name, at the level of a module.")
        if "<locals>" in qualname or value.__module__ is None:
            raise ValueError(
                f"Could not find function {qualname} in {value.__module__}: it is made inside another one. Move it to "
                "the level of a module."
            )
        if value.__module__ == "builtins":
            return str(value.__name__)
        return self.name(value.__module__, qualname, value)

    def _field(self, value: Any) -> str:
        _, path, args, kwargs = value.deconstruct()
        if isinstance(value, EnumField):
            return self._enum_field(path, args, kwargs)
        return self.call(path, args, kwargs)

    def _enum_field(self, path: str, args: Iterable[Any], kwargs: dict[str, Any]) -> str:
        """Write a field with the members that its enumeration has now: the file stays true when the class changes."""
        given = dict(kwargs)
        kind = given.pop("enum_cls")
        self.imports.add("import enum")
        members = {name: member.value for name, member in kind.__members__.items()}
        if isinstance(given.get("default"), enum.Enum):
            given["default"] = given["default"].value
        rest = self.call(path, args, given)
        inner = f"enum_cls=enum.Enum({kind.__name__!r}, {self.write(members)})"
        head, _, tail = rest.partition("(")
        return f"{head}({inner}{', ' if tail != ')' else ''}{tail}"

    def _manager(self, value: Any) -> str:
        as_manager, manager_path, queryset_path, args, kwargs = value.deconstruct()
        if as_manager:
            return f"{self.path(queryset_path)}.as_manager()"
        return self.call(manager_path, args, kwargs)

    def call(self, path: str, args: Iterable[Any], kwargs: dict[str, Any]) -> str:
        """Return the source of a call of what an import path names."""
        parts = [*map(self.write, args), *[f"{name}={self.write(each)}" for name, each in kwargs.items()]]
        name = self.path(path)
        return f"{name}({', '.join(parts)})"

    def _operation(self, value: Operation) -> str:
        name, args, kwargs = value.deconstruct()
        parts = [*map(self.write, args), *[f"{key}={self.write(each)}" for key, each in kwargs.items()]]
        return f"{self.operation_name(value, name)}({', '.join(parts)})"

    def operation_name(self, value: Operation, name: str) -> str:
        """Return how the class of an operation is called."""
        from dorm.migrations import operations

        if getattr(operations, name, None) is type(value):
            self.imports.add("from dorm import migrations")
            return f"migrations.{name}"
        return self._type(type(value))

    def _other(self, value: Any) -> str:
        if hasattr(value, "contribute_to_class") and hasattr(value, "db_type"):
            return self._field(value)
        if hasattr(value, "use_in_migrations"):
            return self._manager(value)
        parts = deconstructed(value)
        if parts is not None:
            return self.call(*parts)
        if isinstance(value, Model):
            raise ValueError(
                f"Cannot serialize: {type(value).__name__} instance. Give its key, or a function that finds it."
            )
        if isinstance(value, collections.abc.Iterable):
            return self._list(value)
        raise ValueError(
            f"Cannot serialize: a {type(value).__name__}. Migrations hold plain values, names of module-level classes "
            "and functions, and objects with a deconstruct() method that returns (path, args, kwargs)."
        )

    # -- operations, over several lines --------------------------------------------------------------------------
    def operation(self, value: Operation, indent: int = 1) -> str:
        """Return the source of an operation, one argument a line."""
        name, args, kwargs = value.deconstruct()
        parameters = [each for each in inspect.signature(type(value).__init__).parameters if each != "self"]
        named = [*zip(parameters, args, strict=False), *kwargs.items()]
        pad = _INDENT * indent
        lines = [f"{pad}{self.operation_name(value, name)}("]
        for key, each in named:
            shown = self._expanded(each, indent + 1) if key in value.serialization_expand_args else self.write(each)
            lines.append(f"{pad}{_INDENT}{key}={shown},")
        lines.append(f"{pad}),")
        return "\n".join(lines)

    def _expanded(self, value: Any, indent: int) -> str:
        pad = _INDENT * indent
        if isinstance(value, dict) and value:
            inner = "".join(f"{pad}{_INDENT}{self.write(k)}: {self.write(v)},\n" for k, v in value.items())
            return f"{{\n{inner}{pad}}}"
        if isinstance(value, (list, tuple)) and value:
            parts = [
                self.operation(each, indent + 1)
                if isinstance(each, Operation)
                else f"{pad}{_INDENT}{self.write(each)},"
                for each in value
            ]
            return "[\n" + "\n".join(parts) + f"\n{pad}]"
        return self.write(value)


_KINDS: tuple[tuple[Any, Any], ...] = (
    (NotProvided, Source._not_provided),
    (OnDelete, Source._on_delete),
    (Operation, Source._operation),
    ((int, str, bytes), Source._plain),
    (float, Source._float),
    (decimal.Decimal, Source._decimal),
    ((datetime.date, datetime.time, datetime.timedelta), Source._moment),
    (datetime.timezone, Source._zone),
    (uuid.UUID, Source._uuid),
    (range, Source._range),
    (re.Pattern, Source._pattern),
    (os.PathLike, Source._file_path),
    (tuple, Source._tuple),
    ((set, frozenset), Source._set),
    (dict, Source._dict),
    (list, Source._list),
    (functools.partial, Source._partial),
    (type, Source._type),
    ((types.FunctionType, types.BuiltinFunctionType, types.MethodType), Source._function),
)
