"""What is PostgreSQL's own is refused elsewhere before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from dorm import NotSupportedError
from dorm.search import SearchHeadline, SearchQuery, SearchRank, SearchVector, TrigramSimilarity
from tests.support.faces import Face
from tests.support.models import Author


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.mark.parametrize("lookup", ["search", "trigram_similar", "unaccent", "unaccent__icontains"])
async def test_lookups(face: Face, database: Any, lookup: str) -> None:
    with pytest.raises(NotSupportedError, match=r"SQLite has no .*PostgreSQL's own"):
        await face.rows(Author.objects.filter(**{f"name__{lookup}": "x"}))


@pytest.mark.parametrize(
    "expression",
    [SearchVector("name"), SearchQuery("x"), SearchRank("name", "x"), SearchHeadline("name", "x"),
     TrigramSimilarity("name", "x")],
)  # fmt: skip
async def test_functions(face: Face, database: Any, expression: Any) -> None:
    with pytest.raises(NotImplementedError, match="needs PostgreSQL, not SQLite"):
        await face.rows(Author.objects.annotate(x=expression))
