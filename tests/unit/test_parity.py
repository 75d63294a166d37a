"""Both faces are one API: each pair ``x`` / ``ax`` takes the same arguments and gives the same thing."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dorm
from dorm.db import operation
from dorm.manager import Manager
from dorm.migrations.aexecutor import AsyncMigrationExecutor
from dorm.migrations.executor import MigrationExecutor
from dorm.migrations.schema_editor import AsyncSchemaEditor, SchemaEditor
from dorm.models.base import Model
from dorm.queryset.queryset import QuerySet
from dorm.transaction.handle import AsyncConnectionHandle, ConnectionHandle

_PUBLIC_IN_DB = ("dorm.db.connection", "dorm.db.health")
"""The rest of `dorm.db` is the kernel: a request has two forms that are no twins of a public function."""


def _modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages(dorm.__path__, "dorm."):
        if info.name == "dorm.__main__" or (info.name.startswith("dorm.db.") and info.name not in _PUBLIC_IN_DB):
            continue
        try:
            yield importlib.import_module(info.name)
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.partition(".")[0] == "dorm":
                raise


def _owners() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every public namespace: modules and the classes they define."""
    for module in _modules():
        own = {
            name: value
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        }
        yield module.__name__, own
        for name, value in own.items():
            if inspect.isclass(value):
                # Managers of abstract models refuse to be looked at: they are no pairs.
                members = {key: getattr(value, key, None) for key in dir(value) if not key.startswith("_")}
                yield f"{module.__name__}.{name}", members


def _pairs() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    found = {}
    for owner, members in _owners():
        for name, twin in members.items():
            plain = members.get(name[1:]) if name.startswith("a") else None
            if inspect.isfunction(twin) and inspect.isfunction(plain) and _is_async(twin):
                found[f"{owner}.{name[1:]}"] = (plain, twin)
    return found


def _is_async(function: Any) -> bool:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    returned = str(inspect.signature(function).return_annotation)
    return returned.startswith(("Async", "Awaitable", "Coroutine", "_GeneratorContextManager", "AbstractAsync"))


PAIRS = _pairs()


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_twins_take_the_same_arguments(name: str) -> None:
    plain, twin = map(inspect.signature, PAIRS[name])
    assert list(plain.parameters.values()) == list(twin.parameters.values())


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_twins_give_the_same_thing(name: str) -> None:
    plain, twin = (str(inspect.signature(each).return_annotation) for each in PAIRS[name])
    if plain.startswith(("QuerySet[", "RawQuerySet[")):
        # `values` and its like are lazy in both faces; their twins fetch as well.
        assert twin.startswith("list[")
        return
    if inspect.iscoroutinefunction(PAIRS[name][1]):
        assert plain == twin
    else:
        # Iterators and context managers have a form of their own in each face.
        inner = plain.partition("[")[2]
        assert inner == twin.partition("[")[2]


_LAZY = ("QuerySet", "Self", "Subquery", "Manager")
_WITHOUT_IO = {"sql", "db_manager", "contribute_to_class", "deconstruct", "as_manager", "from_queryset", "from_db"}
_WITHOUT_IO |= {
    "query_key",
    "as_part",
    "selecting",
    "get_constraints",
    "get_deferred_fields",
    "serializable_value",
    "check",
    "clean",
    "cached",
}
_WITHOUT_IO |= {"clean_fields", "prepare_database_save", "unique_error_message", "date_error_message", "lookup"}


@pytest.mark.parametrize("owner", [QuerySet, Manager, Model], ids=lambda cls: str(cls.__name__))
def test_everything_that_sends_a_statement_has_a_twin(owner: type) -> None:
    lonely = []
    for name, method in inspect.getmembers(owner, inspect.isfunction):
        if name.startswith("_") or name in _WITHOUT_IO or _is_async(method):
            continue
        returned = str(inspect.signature(method).return_annotation)
        if any(lazy in returned for lazy in _LAZY):
            continue
        if not hasattr(owner, f"a{name}"):
            lonely.append(name)
    assert lonely == []


# -- pairs of classes --------------------------------------------------------------------------------------------

CLASSES = [
    (ConnectionHandle, AsyncConnectionHandle, ""),
    (MigrationExecutor, AsyncMigrationExecutor, "a"),
    (SchemaEditor, AsyncSchemaEditor, "a"),
]


@pytest.mark.parametrize(("plain", "twin", "prefix"), CLASSES, ids=[plain.__name__ for plain, _, _ in CLASSES])
def test_pairs_of_classes_have_the_same_methods(plain: type, twin: type, prefix: str) -> None:
    mine = {name: method for name, method in inspect.getmembers(plain, inspect.isfunction) if not name.startswith("_")}
    assert mine, "a class without methods shows nothing"
    for name, method in mine.items():
        other = getattr(twin, name if method is getattr(twin, name, None) else prefix + name)
        assert _parameters(method) == _parameters(other), name
    theirs = {name for name, _ in inspect.getmembers(twin, inspect.isfunction) if not name.startswith("_")}
    assert {name.removeprefix(prefix) for name in theirs} == set(mine)


def _parameters(method: Callable[..., Any]) -> list[tuple[Any, ...]]:
    # The async face may take an async iterable where the other takes an iterable.
    return [
        (each.name, each.kind, each.default, str(each.annotation).partition(" | Async")[0])
        for each in inspect.signature(method).parameters.values()
    ]


# -- functions that drive an operation ---------------------------------------------------------------------------

_ONE_FACE = {
    "dorm.migrations.api.": "what commands call",
    "dorm.migrations.compare.": "what commands call",
    "dorm.migrations.editor.MigrationConnection.": "what a migration's own blocking code is given",
    "dorm.migrations.executor.MigrationExecutor.": "a pair of classes",
    "dorm.migrations.schema_editor.SchemaEditor.": "a pair of classes",
    "dorm.transaction.handle.ConnectionHandle.": "a pair of classes",
    "dorm.queryset.pickling.": "what pickle calls",
    "dorm.test.": "what test runners call",
}
"""Where one face is enough, and why."""


def _drives(function: Any) -> bool:
    names = function.__code__.co_names
    return "run" in names and function.__globals__.get("run") is operation.run


def test_whatever_drives_an_operation_has_a_twin() -> None:
    lonely = {
        f"{owner}.{name}"
        for owner, members in _owners()
        for name, function in members.items()
        if inspect.isfunction(function) and _drives(function) and f"a{name}" not in members
    }
    unexplained = sorted(name for name in lonely if not name.startswith(tuple(_ONE_FACE)))
    assert unexplained == []
    assert [place for place in _ONE_FACE if not any(name.startswith(place) for name in lonely)] == []


def test_the_pairs_are_found() -> None:
    assert "dorm.queryset.queryset.QuerySet.get" in PAIRS
    assert len(PAIRS) > 500
