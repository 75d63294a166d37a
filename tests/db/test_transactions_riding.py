"""What holds for transactions holds where BEGIN, savepoints and their ends ride with statements, too.

The tests are those of `test_transactions` and `test_transaction_api`, on a server that counts as far away from the
first statement on. Without that BEGIN goes out by itself: it tells how far the server is.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.db import test_transaction_api, test_transactions
from tests.support.faces import Face
from tests.support.models import Author
from tests.support.riding import be_far

for each in (test_transactions, test_transaction_api):
    globals().update({name: test for name, test in vars(each).items() if name.startswith("test_")})

pytestmark = pytest.mark.usefixtures("database", "rides")


@pytest.fixture(params=["postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def rides(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every connection is far away; one entry for each pipeline that was opened."""
    opened: list[int] = []
    for kind in (psycopg.Connection, psycopg.AsyncConnection):
        plain: Any = kind.pipeline

        def pipeline(self: Any, plain: Any = plain) -> Any:
            opened.append(id(self))
            return plain(self)

        monkeypatch.setattr(kind, "pipeline", pipeline)
    be_far(monkeypatch)
    return opened


async def test_they_do_ride(face: Face, rides: list[int]) -> None:
    async with face.atomic():
        async with face.atomic():
            await face(Author.objects.create)(name="a")
    # BEGIN and SAVEPOINT with the statement; COMMIT needs no RELEASE before it.
    assert len(rides) == 1
