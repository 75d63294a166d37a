"""DormTestCase: unittest's TestCase with a transaction around each class and each test."""

from __future__ import annotations

import copy
import unittest
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, TypeVar

from dorm.conf.settings import settings
from dorm.db.operation import run
from dorm.test.capture import _Counted, assertMaxQueries, assertNumQueries, captureOnCommitCallbacks
from dorm.test.databases import rolled_back
from dorm.test.overrides import modify_settings, override_settings
from dorm.transaction import Handle, Options, enter, leave

C = TypeVar("C", bound=type)

_DATA = "_dorm_sets_up_test_data"


def setUpTestData(fn: Callable[..., Any]) -> Any:  # Django's name
    """Decorator: run this method of a `DormTestCase` once for the class; its first argument is the class."""
    method = fn.__func__ if isinstance(fn, classmethod) else fn
    setattr(method, _DATA, True)
    return classmethod(method)


class _Copied:
    """An attribute that ``setUpTestData`` made: each test gets a copy of its own."""

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self.value
        memo = vars(instance).setdefault("_dorm_copies", {})
        found = vars(instance)[self.name] = copy.deepcopy(self.value, memo)
        return found


class DormTestCase(unittest.TestCase):
    """A test case whose tests run in transactions that are rolled back; also a mixin, also of IsolatedAsyncioTestCase.

    What ``setUpTestData`` writes lives for the class; each test sees it as it was, and copies of the objects.

    Attributes:
        databases: aliases whose transactions are kept, or ``"__all__"``.
    """

    databases: ClassVar[Iterable[str]] = ("default",)
    _dorm_class: ClassVar[ExitStack]

    @classmethod
    def _aliases(cls) -> Sequence[str]:
        return tuple(settings.DATABASES) if cls.databases == "__all__" else tuple(cls.databases)

    @classmethod
    def setUpTestData(cls) -> None:
        """Write what all tests of the class read; runs once."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with ExitStack() as stack:
            stack.enter_context(rolled_back(cls._aliases()))
            before = set(vars(cls))
            for name, member in [(n, m) for each in reversed(cls.__mro__) for n, m in vars(each).items()]:
                method = getattr(member, "__func__", None)
                if name != "setUpTestData" and getattr(method, _DATA, False):
                    getattr(cls, name)()
            cls.setUpTestData()
            for name in set(vars(cls)) - before:
                setattr(cls, name, _Copied(name, vars(cls)[name]))
            cls._dorm_class = stack.pop_all()
        cls.addClassCleanup(cls._dorm_class.close)

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test in savepoints that are rolled back."""
        handles: list[Handle] = []
        for alias in self._aliases():
            handles.append(run(enter(Options(alias, of_test=True))))
        try:
            return super().run(result)
        finally:
            for handle in reversed(handles):
                handle.block.needs_rollback = False
                handle.set_rollback()
                run(leave(handle, None))

    # -- assertions ----------------------------------------------------------------------------------------------
    def assertNumQueries(  # noqa: N802  # Django's name
        self, num: int, func: Callable[..., Any] | None = None, *args: Any, using: str = "default", **kwargs: Any
    ) -> _Counted | None:
        """Fail unless *num* statements are sent: in a ``with``, or by *func* called with the arguments."""
        context = assertNumQueries(num, using)
        if func is None:
            return context
        with context:
            func(*args, **kwargs)
        return None

    def assertMaxQueries(self, num: int, using: str = "default") -> _Counted:  # noqa: N802  # as above
        """Fail when more than *num* statements are sent in the ``with``."""
        return assertMaxQueries(num, using)

    def assertQuerySetEqual(  # noqa: N802  # Django's name
        self,
        qs: Iterable[Any],
        values: Iterable[Any],
        transform: Callable[[Any], Any] | None = None,
        ordered: bool = True,
        msg: str | None = None,
    ) -> None:
        """Fail unless *qs* gives *values*, each row through *transform* first."""
        rows = [transform(row) if transform else row for row in qs]
        if ordered:
            self.assertEqual(rows, list(values), msg)  # noqa: PT009  # this is unittest
        else:
            self.assertCountEqual(rows, list(values), msg)  # noqa: PT009  # this is unittest

    @classmethod
    def captureOnCommitCallbacks(  # noqa: N802  # Django's name
        cls, *, using: str = "default", execute: bool = False
    ) -> captureOnCommitCallbacks:
        """Capture ``on_commit`` callbacks of a ``with``; *execute* calls them at its end."""
        return captureOnCommitCallbacks(using, execute)

    def settings(self, **options: Any) -> override_settings:
        """Settings for a ``with``."""
        return override_settings(**options)

    def modify_settings(self, **options: Any) -> modify_settings:
        """Changed lists of settings for a ``with``."""
        return modify_settings(**options)
