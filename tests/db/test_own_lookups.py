"""Lookups of the user's own, whose text holds the value: each value gets its own statement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import dorm
from dorm.lookups import Lookup
from tests.support.faces import Face
from tests.support.models import Author

pytestmark = pytest.mark.usefixtures("database")


class DiffersFrom(Lookup):
    lookup_name = "differs"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} <> {right}", [*left_params, *right_params]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    dorm.CharField.register_lookup(DiffersFrom)
    yield
    dorm.CharField._unregister_lookup(DiffersFrom)


async def test_the_second_value_is_not_answered_as_the_first(face: Face) -> None:
    await face(Author.objects.create)(name="Ann")
    found = [await face(Author.objects.filter(name__differs=name).count)() for name in ("Ann", "Bob", "Ann")]
    assert found == [0, 1, 0]
