"""Settings that hold for a while."""

from __future__ import annotations

import functools
import inspect
import unittest
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from dorm.conf.settings import settings

F = TypeVar("F", bound=Callable[..., Any])


class override_settings:  # noqa: N801  # Django's name
    """Set settings inside a ``with``, an ``async with``, a decorated function, coroutine function or TestCase.

    Everything is as before afterwards, also what was not set at all.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self._before: list[dict[str, Any]] = []

    def enable(self) -> None:
        """Set them."""
        self._before.append(settings.snapshot())
        try:
            settings.configure(**self.given())
        except BaseException:
            self._before.pop()
            raise

    def given(self) -> dict[str, Any]:
        """Return what is to be set."""
        return self.options

    def disable(self) -> None:
        """Set everything back."""
        settings.restore(self._before.pop())

    def __enter__(self) -> Self:
        self.enable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disable()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _fresh(self) -> override_settings:
        return type(self)(**self.options)

    def __call__(self, decorated: F) -> F:
        if isinstance(decorated, type):
            return cast("F", self._around_class(decorated))
        if inspect.iscoroutinefunction(decorated):

            @functools.wraps(decorated)
            async def acall(*args: Any, **kwargs: Any) -> Any:
                with self._fresh():
                    return await decorated(*args, **kwargs)

            return cast("F", acall)

        @functools.wraps(decorated)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():
                return decorated(*args, **kwargs)

        return cast("F", call)

    def _around_class(self, decorated: Any) -> Any:
        if not issubclass(decorated, unittest.TestCase):
            raise ValueError(
                f"{type(self).__name__} decorates functions and subclasses of unittest.TestCase, "
                f"not {decorated.__name__}."
            )
        before: Any = decorated.__dict__.get("setUpClass")

        def set_up(cls: Any) -> None:
            made = self._fresh()
            made.enable()
            cls.addClassCleanup(made.disable)
            if before is not None:
                before.__get__(None, cls)()
            else:
                super(decorated, cls).setUpClass()  # type: ignore[misc]  # a TestCase, checked above

        setattr(decorated, "setUpClass", classmethod(set_up))  # noqa: B010  # type checkers want a method
        return decorated


class modify_settings(override_settings):  # noqa: N801  # Django's name
    """Add to and take from lists: ``modify_settings(INSTALLED_APPS={"append": "x", "remove": ["y"]})``."""

    def given(self) -> dict[str, Any]:
        found = {}
        for name, changes in self.options.items():
            values = list(getattr(settings, name, []))
            for action, given in changes.items():
                items = [given] if isinstance(given, str) else list(given)
                if action == "append":
                    values += [each for each in items if each not in values]
                elif action == "prepend":
                    values = [each for each in items if each not in values] + values
                elif action == "remove":
                    values = [each for each in values if each not in items]
                else:
                    raise ValueError(f"modify_settings takes append, prepend and remove, not {action!r}.")
            found[name] = values
        return found
