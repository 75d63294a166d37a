"""Asking which event loop runs, while asyncio is loaded or not."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import pytest

from dorm.db import loops


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "running_loop", loops._look)


def test_without_asyncio_no_loop_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncio.events")
    assert loops.running_loop() is None
    assert loops.running_loop is loops._look


@pytest.mark.parametrize("has_function", [False, True])
def test_what_a_module_says_that_is_being_loaded_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, has_function: bool
) -> None:
    half = ModuleType("asyncio.events")
    if has_function:
        # As asyncio.events has it before the last lines of the module put the one written in C in its place.
        half._get_running_loop = lambda: None  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "asyncio.events", half)
        patch.setitem(sys.modules, "asyncio", ModuleType("asyncio"))
        assert loops.running_loop() is None
        assert loops.running_loop is loops._look

    async def ask() -> bool:
        return loops.running_loop() is asyncio.get_running_loop()

    assert asyncio.run(ask())
    assert loops.running_loop() is None
    assert loops.running_loop is not loops._look, "asyncio's own function is asked from then on"
