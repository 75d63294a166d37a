"""Lookups of PostgreSQL's own types: arrays, hstore, ranges, trigrams, unaccent, full-text search."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import psycopg
import pytest

import dorm
from dorm import Count, F, NotSupportedError, Q, Value
from dorm.db.types import Range
from dorm.migrations.schema import create_tables
from dorm.search import (
    SearchHeadline,
    SearchQuery,
    SearchRank,
    SearchVector,
    TrigramDistance,
    TrigramSimilarity,
    TrigramWordSimilarity,
    search_index,
)
from tests.support.faces import Face


class Post(dorm.Model):
    name = dorm.CharField(max_length=50)
    body = dorm.TextField(default="")
    tags = dorm.ArrayField(dorm.CharField(max_length=20), null=True)
    board = dorm.ArrayField(dorm.ArrayField(dorm.IntegerField()), null=True)
    data = dorm.HStoreField(null=True)
    ages = dorm.IntegerRangeField(null=True)
    prices = dorm.DecimalRangeField(null=True)
    days = dorm.DateRangeField(null=True)
    times = dorm.DateTimeRangeField(null=True)
    number = dorm.IntegerField(null=True)
    day = dorm.DateField(null=True)

    class Meta:
        app_label = "server"


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture
def posts(empty_database: dict[str, Any]) -> None:
    with psycopg.connect(empty_database["URL"], autocommit=True) as connection:
        for extension in ("hstore", "pg_trgm", "unaccent"):
            connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    create_tables([Post])
    day = datetime.date(2024, 5, 1)
    Post.objects.bulk_create(
        [
            Post(name="First", body="The Hôtel has cheese on toast",
                 tags=["thoughts", "django"], board=[[1, 2], [3, 4]],
                 data={"breed": "labrador", "owner": "Bob"}, ages=(0, 8), prices=(decimal.Decimal(1), None),
                 days=(day, datetime.date(2024, 5, 10)), number=4, day=day,
                 times=(datetime.datetime(2024, 5, 1, 10), datetime.datetime(2024, 5, 1, 12))),
            Post(name="Second", body="A pizza recipe, and some cheeses", tags=["thoughts"], data={"breed": "collie"},
                 ages=(10, 20), number=40),
            Post(name="Third", body="Nothing", tags=[], data={"breed": None}, ages=Range(empty=True),
                 prices=(None, decimal.Decimal(5))),
            Post(name="Fourth"),
        ]
    )  # fmt: skip


pytestmark = pytest.mark.usefixtures("posts")

CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({"tags": ["thoughts"]}, {"Second"}),
    ({"tags__contains": ["thoughts"]}, {"First", "Second"}),
    ({"tags__contains": ["django", "thoughts"]}, {"First"}),
    ({"tags__array_contains": ["django"]}, {"First"}),
    ({"tags__contained_by": ["thoughts", "x"]}, {"Second", "Third"}),
    ({"tags__overlap": ["django", "x"]}, {"First"}),
    ({"tags__array_overlap": ["thoughts"]}, {"First", "Second"}),
    ({"tags__len": 1}, {"Second"}),
    ({"tags__len": 0}, {"Third"}),
    ({"tags__len__gt": 0}, {"First", "Second"}),
    ({"tags__0": "thoughts"}, {"First", "Second"}),
    ({"tags__1__iexact": "Django"}, {"First"}),
    ({"tags__276": "javascript"}, set()),
    ({"tags__0_1": ["thoughts"]}, {"First", "Second"}),
    ({"tags__0_2__contains": ["django"]}, {"First"}),
    ({"tags__in": [["thoughts"], []]}, {"Second", "Third"}),
    ({"tags__isnull": True}, {"Fourth"}),
    ({"board__0__1": 2}, {"First"}),
    ({"board__contains": [[3]]}, {"First"}),
    ({"data__breed": "collie"}, {"Second"}),
    ({"data__breed__contains": "l"}, {"First", "Second"}),
    ({"data__contains": {"owner": "Bob"}}, {"First"}),
    ({"data__contained_by": {"breed": "collie", "x": "y"}}, {"Second"}),
    ({"data__has_key": "owner"}, {"First"}),
    ({"data__has_keys": ["breed", "owner"]}, {"First"}),
    ({"data__has_any_keys": ["owner", "breed"]}, {"First", "Second", "Third"}),
    ({"data__keys__contains": ["owner"]}, {"First"}),
    ({"data__values__contains": ["collie"]}, {"Second"}),
    ({"ages__contains": 4}, {"First"}),
    ({"ages__contains": Range(4, 7)}, {"First"}),
    ({"ages__contains": (12, 15)}, {"Second"}),
    ({"ages__contained_by": (0, 15)}, {"First", "Third"}),
    ({"ages__overlap": Range(8, 12)}, {"Second"}),
    ({"ages__fully_lt": (11, 15)}, {"First"}),
    ({"ages__fully_gt": (0, 8)}, {"Second"}),
    ({"ages__not_lt": (0, 15)}, {"First", "Second"}),
    ({"ages__not_gt": (3, 10)}, {"First"}),
    ({"ages__adjacent_to": (20, 30)}, {"Second"}),
    ({"ages__startswith": 10}, {"Second"}),
    ({"ages__endswith": 8}, {"First"}),
    ({"ages__startswith__gte": 5}, {"Second"}),
    ({"ages__isempty": True}, {"Third"}),
    ({"prices__upper_inf": True}, {"First"}),
    ({"prices__lower_inf": True}, {"Third"}),
    ({"ages__lower_inc": True}, {"First", "Second"}),
    ({"ages__upper_inc": False}, {"First", "Second", "Third"}),
    ({"prices__contains": decimal.Decimal("3.5")}, {"First", "Third"}),
    ({"days__contains": datetime.date(2024, 5, 3)}, {"First"}),
    ({"times__contains": datetime.datetime(2024, 5, 1, 11)}, {"First"}),
    ({"number__contained_by": Range(0, 10)}, {"First"}),
    ({"day__contained_by": (datetime.date(2024, 1, 1), datetime.date(2025, 1, 1))}, {"First"}),
    ({"body__unaccent__icontains": "hotel"}, {"First"}),
    ({"body__unaccent__contains": "Hötel"}, {"First"}),
    ({"name__trigram_similar": "Secand"}, {"Second"}),
    ({"body__trigram_word_similar": "recipes"}, {"Second"}),
    ({"body__trigram_strict_word_similar": "recipes"}, {"Second"}),
    ({"body__search": "cheese"}, {"First", "Second"}),
    ({"body__search": "cheese toast"}, {"First"}),
    ({"ages": (0, 8)}, {"First"}),
]


@pytest.mark.parametrize(
    ("lookup", "expected"), CASES, ids=[next(iter(case[0])) + str(n) for n, case in enumerate(CASES)]
)
async def test_lookups(face: Face, lookup: dict[str, Any], expected: set[str]) -> None:
    assert set(await face.rows(Post.objects.filter(**lookup).values_list("name", flat=True))) == expected


async def test_values_of_paths(face: Face) -> None:
    first = Post.objects.filter(name="First")
    row = (await face.rows(first.values("tags__0", "tags__0_2", "board__1__0", "data__breed", "data__keys",
                                        "ages__startswith", "tags__len")))[0]  # fmt: skip
    assert row == {
        "tags__0": "thoughts",
        "tags__0_2": ["thoughts", "django"],
        "board__1__0": 3,
        "data__breed": "labrador",
        "data__keys": ["breed", "owner"],
        "ages__startswith": 0,
        "tags__len": 2,
    }
    groups = Post.objects.values("tags__0").annotate(n=Count("id")).order_by("-n", "tags__0")
    assert (await face.rows(groups))[0] == {"tags__0": "thoughts", "n": 2}
    assert await face(Post.objects.filter(tags__contains=Value(["django"], Post._meta.get_field("tags"))).count)() == 1
    assert await face(Post.objects.exclude(tags__overlap=["django"]).count)() == 3


async def test_full_text_search(face: Face) -> None:
    found = Post.objects.annotate(search=SearchVector("body", "name")).filter(search="cheese")
    assert {post.name for post in await face.rows(found)} == {"First", "Second"}
    found = Post.objects.annotate(search=SearchVector("body") + SearchVector("name", weight="A"))
    query = SearchQuery("cheese") & ~SearchQuery("pizza")
    assert [post.name for post in await face.rows(found.filter(search=query))] == ["First"]
    query = SearchQuery("toast") | SearchQuery("pizza")
    assert await face(found.filter(search=query).count)() == 2
    assert await face(found.filter(search=SearchQuery("'cheese' & !'pizza'", search_type="raw")).count)() == 1
    assert await face(found.filter(search=SearchQuery("cheese on toast", search_type="phrase")).count)() == 1
    assert await face(found.filter(search=SearchQuery('"cheese on" -pizza', search_type="websearch")).count)() == 1
    assert await face(found.filter(search=SearchQuery("cheese", invert=True)).count)() == 2
    ranked = Post.objects.annotate(rank=SearchRank(SearchVector("body"), SearchQuery("cheese"))).order_by("-rank", "id")
    rows = await face.rows(ranked)
    assert rows[0].rank > 0
    assert rows[-1].rank == 0
    assert type(rows[0].rank) is float
    cover = Post.objects.annotate(
        rank=SearchRank("body", "cheese toast", cover_density=True, weights=[0.1, 0.2, 0.4, 1.0], normalization=2)
    )
    assert await face(cover.filter(rank__gt=0).count)() == 1


async def test_headlines(face: Face) -> None:
    qs = Post.objects.filter(name="First").annotate(
        line=SearchHeadline("body", SearchQuery("cheese"), start_sel="<b>", stop_sel="</b>", max_words=3, min_words=2)
    )
    assert "<b>cheese</b>" in (await face(qs.get)()).line
    with pytest.raises(TypeError, match="has no options"):
        SearchHeadline("body", "x", options={"colour": "red"})


async def test_trigrams(face: Face) -> None:
    qs = Post.objects.annotate(
        similarity=TrigramSimilarity("name", "First"),
        distance=TrigramDistance("name", "First"),
        word=TrigramWordSimilarity("pizza", "body"),
    ).order_by("-similarity")
    best = (await face.rows(qs))[0]
    assert (best.name, best.similarity, best.distance) == ("First", 1.0, 0.0)
    assert await face(qs.filter(word__gt=0.9).count)() == 1


async def test_the_search_index_is_used_as_it_is_written(face: Face) -> None:
    assert search_index("server_post", "name", "body") == (
        'CREATE INDEX "server_post_name_body_search" ON "server_post" USING gin '
        "(to_tsvector('english'::regconfig, COALESCE(\"name\"::text, '') || ' ' || COALESCE(\"body\"::text, '')))"
    )
    for arguments in (("t",), ("t; DROP", "a"), ("t", 'a"b')):
        with pytest.raises(ValueError):
            search_index(*arguments)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown search_type"):
        SearchQuery("x", search_type="fuzzy")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match="weight is one of"):
        SearchVector("body", weight="E")
    with pytest.raises(ValueError, match="text search configuration"):
        SearchVector("body", config="english'; --")
    with pytest.raises(TypeError, match="can only be combined"):
        SearchQuery("x") & "y"
    with pytest.raises(TypeError, match="can only be combined"):
        SearchVector("body") + "y"
    with pytest.raises(TypeError, match="takes a list of keys"):
        Post.objects.filter(data__has_keys="breed")
    assert Q(tags__0="x") != F("tags")
    assert issubclass(NotSupportedError, dorm.DatabaseError)
