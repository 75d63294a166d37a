"""Statements and commit callbacks of a block, captured."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from dorm.db.block import Callback
from dorm.db.connection import connections
from dorm.db.hooks import Observation, chain

F = TypeVar("F", bound=Callable[..., Any])


class CaptureQueriesContext:
    """The statements that are sent inside a ``with`` or ``async with``, in order; readable after it too.

    Statements that dorm sends for itself, and BEGIN, COMMIT and savepoints, are left out.

    Args:
        connection: a connection or its alias; None for all aliases.
    """

    def __init__(self, connection: Any = None) -> None:
        self.alias: str | None = connection if connection is None or isinstance(connection, str) else connection.alias
        self.observations: list[Observation] = []
        self._uninstall: Callable[[], None] | None = None

    def _observe(self, observation: Observation) -> None:
        if observation.kind != "statement" or observation.statement.internal:
            return
        if self.alias in (None, observation.alias):
            self.observations.append(observation)

    @property
    def captured_queries(self) -> list[dict[str, Any]]:
        """The statements as ``{"sql", "params", "time", "alias"}``; time in seconds, as a text."""
        return [
            {
                "sql": each.statement.sql,
                "params": each.statement.params,
                "time": f"{each.elapsed:.3f}",
                "alias": each.alias,
            }
            for each in self.observations
        ]

    def __len__(self) -> int:
        return len(self.observations)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.captured_queries)

    def __getitem__(self, index: Any) -> Any:
        return self.captured_queries[index]

    def __enter__(self) -> Self:
        self.observations.clear()
        self._uninstall = chain.install_observer(self._observe)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._uninstall is not None:
            self._uninstall()
            self._uninstall = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class _Counted(CaptureQueriesContext):
    """Captures, and fails when the number of statements is not what was said; also a decorator."""

    def __init__(self, num: int, using: str | None, at_most: bool) -> None:
        super().__init__(using)
        self.num = num
        self.at_most = at_most

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise AssertionError, with the statements, when their number is wrong."""
        count = len(self)
        if count == self.num or (self.at_most and count < self.num):
            return
        listed = "\n".join(f"{n}. {each.statement.sql}" for n, each in enumerate(self.observations, 1)) or "none"
        wanted = f"at most {self.num}" if self.at_most else str(self.num)
        raise AssertionError(f"{count} queries executed, {wanted} expected\nCaptured queries were:\n{listed}")

    def __call__(self, fn: F) -> F:
        return _around(fn, lambda: _Counted(self.num, self.alias, self.at_most))


def _around(fn: F, make: Callable[[], CaptureQueriesContext]) -> F:
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            with make():
                return await fn(*args, **kwargs)

        return cast("F", acall)

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        with make():
            return fn(*args, **kwargs)

    return cast("F", call)


def assertNumQueries(num: int, using: str | None = None) -> _Counted:  # noqa: N802  # Django's name
    """Fail unless exactly *num* statements are sent inside the ``with`` (or the decorated function)."""
    return _Counted(num, using, at_most=False)


def assertMaxQueries(num: int, using: str | None = None) -> _Counted:  # noqa: N802  # as the one above
    """Fail when more than *num* statements are sent inside the ``with`` (or the decorated function)."""
    return _Counted(num, using, at_most=True)


def assertNumQueriesFactory(num: int, using: str | None = None) -> Callable[[F], F]:  # noqa: N802  # as above
    """Decorator of functions and coroutine functions: fail unless each call sends exactly *num* statements."""
    return lambda fn: _around(fn, lambda: assertNumQueries(num, using))


def assertMaxQueriesFactory(num: int, using: str | None = None) -> Callable[[F], F]:  # noqa: N802  # as above
    """Decorator of functions and coroutine functions: fail when a call sends more than *num* statements."""
    return lambda fn: _around(fn, lambda: assertMaxQueries(num, using))


assert_num_queries = assertNumQueries
assert_max_queries = assertMaxQueries


class captureOnCommitCallbacks:  # noqa: N801  # Django's name
    """The ``on_commit`` callbacks that are registered inside a ``with`` or ``async with``, as a list.

    A test runs in a transaction that is rolled back, so they would never be called.

    Args:
        using: the alias. execute: call them at the end; those that they register in turn too.
    """

    def __init__(self, using: str = "default", execute: bool = False) -> None:
        self.using = using
        self.execute = execute
        self.callbacks: list[Callable[[], Any]] = []
        self._start = 0

    def _registered(self) -> list[Callback]:
        block = connections[self.using].block_for_callbacks()
        return block.on_commit if block is not None else []

    def __enter__(self) -> list[Callable[[], Any]]:
        self._start = len(self._registered())
        self.callbacks.clear()
        return self.callbacks

    async def __aenter__(self) -> list[Callable[[], Any]]:
        return self.__enter__()

    def _next(self) -> Callable[[], Any] | None:
        """Return the next callback that was not taken yet."""
        found = self._registered()[self._start :]
        if len(self.callbacks) == len(found):
            return None
        self.callbacks.append(found[len(self.callbacks)].call)
        return self.callbacks[-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while (callback := self._next()) is not None:
            if self.execute and kind is None:
                if inspect.iscoroutinefunction(callback):
                    raise TypeError(
                        f"{callback.__qualname__} is a coroutine function: capture it with 'async with' to execute it."
                    )
                callback()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while (callback := self._next()) is not None:
            if self.execute and kind is None:
                result = callback()
                if inspect.isawaitable(result):
                    await result
