"""Both faces are one API: each pair ``x`` / ``ax`` takes the same arguments and gives the same thing."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dorm
from dorm.manager import Manager
from dorm.models.base import Model
from dorm.queryset.queryset import QuerySet

_OPTIONAL = ("psycopg", "psycopg_pool")
"""Drivers whose absence makes a module impossible to import."""


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
    if plain.startswith("QuerySet["):
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


def test_the_pairs_are_found() -> None:
    assert "dorm.queryset.queryset.QuerySet.get" in PAIRS
    assert len(PAIRS) > 30
