"""The pages of `contrib.postgres` on full-text search, trigrams and unaccent, sentence by sentence."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import F, Value
from dorm.functions import Cast, Lower
from dorm.search import (
    SearchConfig,
    SearchHeadline,
    SearchQuery,
    SearchRank,
    SearchVector,
    TrigramDistance,
    TrigramSimilarity,
    TrigramStrictWordDistance,
    TrigramStrictWordSimilarity,
    TrigramWordDistance,
    TrigramWordSimilarity,
)
from tests.documented.postgres import made
from tests.support.faces import Face


class Text(dorm.Model):
    title = dorm.CharField(max_length=40)
    body = dorm.TextField(null=True)
    language = dorm.CharField(max_length=10, default="english")
    number = dorm.IntegerField(null=True)
    extra = dorm.JSONField(null=True)

    class Meta:
        app_label = "doc_search"
        ordering = ["pk"]


class Line(dorm.Model):
    text = dorm.ForeignKey(Text, dorm.CASCADE, related_name="lines")
    words = dorm.TextField()

    class Meta:
        app_label = "doc_search"


MODELS = (Text, Line)


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def tables(empty_database: Any) -> None:
    made(MODELS, "pg_trgm", "unaccent")
    Text.objects.create(
        pk=1, title="Cheese on Toast recipes", body="Melted cheese on bread", number=1, extra={"a": "brie"}
    )
    Text.objects.create(pk=2, title="Pizza Recipes", body="Dough, tomato and cheese", language="simple")
    Text.objects.create(pk=3, title="Django release")
    Text.objects.create(pk=4, title="Crème Brûlée", body="")
    Line.objects.create(text_id=2, words="three cheeses")


BOTH = SearchVector("title", "body")
WEIGHTED = SearchVector("title", weight="A") + SearchVector("body", weight="D")


async def found(face: Face, vector: Any, query: Any) -> list[int]:
    rows = Text.objects.annotate(search=vector).filter(search=query)
    return await face.rows(rows.values_list("pk", flat=True))


async def values(face: Face, expression: Any) -> list[Any]:
    return await face.rows(Text.objects.annotate(found=expression).values_list("found", flat=True))


async def rounded(face: Face, expression: Any) -> list[Any]:
    return [None if each is None else round(each, 4) for each in await values(face, expression)]


async def keys(face: Face, **lookups: Any) -> list[int]:
    return await face.rows(Text.objects.filter(**lookups).values_list("pk", flat=True))


async def test_the_search_lookup(face: Face) -> None:
    assert await keys(face, body__search="Cheese") == [1, 2]
    assert await keys(face, title__search="recipe toast") == [1]
    assert await keys(face, lines__words__search="cheese") == [2]
    assert await keys(face, title__search=F("title")) == [1, 2, 3, 4]
    # The text is taken apart by the query's configuration.
    assert await keys(face, title__search=SearchQuery("recipe", config="simple")) == []
    assert await keys(face, title__search=SearchQuery("recipes", config="simple")) == [1, 2]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cheese", [1, 2]),
        (SearchQuery("cheese") & SearchQuery("dough"), [2]),
        (SearchQuery("toast") | SearchQuery("dough"), [1, 2]),
        (~SearchQuery("cheese"), [3, 4]),
        (SearchQuery("cheese", invert=True), [3, 4]),
        (SearchQuery("cheese") & ~SearchQuery("dough"), [1]),
        (~(SearchQuery("cheese") & SearchQuery("dough")), [1, 3, 4]),
        (~~(SearchQuery("cheese") & SearchQuery("dough")), [2]),
        (~(SearchQuery("cheese") & SearchQuery("dough")) & SearchQuery("django"), [3]),
        (~(SearchQuery("cheese") | SearchQuery("django")) | SearchQuery("toast"), [1, 4]),
        (SearchQuery("cheese") & (SearchQuery("toast") | SearchQuery("pizza")), [1, 2]),
        (SearchQuery("melted cheese", search_type="phrase"), [1]),
        (SearchQuery("cheese melted", search_type="phrase"), []),
        (SearchQuery("'toast' | 'django'", search_type="raw"), [1, 3]),
        (SearchQuery('"melted cheese" or django -toast', search_type="websearch"), [1, 3]),
    ],
    ids=repr,
)  # fmt: skip
async def test_queries(face: Face, query: Any, expected: list[int]) -> None:
    assert await found(face, BOTH, query) == expected


@pytest.mark.parametrize(
    ("vector", "query", "expected"),
    [
        (SearchVector("title") + SearchVector("body"), "cheese", [1, 2]),
        (SearchVector("title", "lines__words"), "three", [2]),
        (SearchVector("extra__a"), "brie", [1]),
        (SearchVector("number"), "1", [1]),
        (SearchVector(Lower("title"), config="simple"), SearchQuery("toast", config="simple"), [1]),
        (SearchVector("title", config="simple"), "recipe", []),
        (SearchVector("title", config="french"), SearchQuery("recettes recipes", config="french"), []),
        # The configuration may be a column, and any expression.
        (SearchVector("title", config=F("language")), SearchQuery("recipe", config=F("language")), [1]),
        (SearchVector("title", config=F("language")), SearchQuery("recipes", config=F("language")), [1, 2]),
        (SearchVector("title", config=F("language")), "recipes", [1, 2]),
        (SearchVector("title", config=Value("simple")), SearchQuery("recipes", config=Value("simple")), [1, 2]),
        (SearchVector("title", config=SearchConfig("simple")), SearchQuery("recipes", config="simple"), [1, 2]),
    ],
    ids=repr,
)  # fmt: skip
async def test_vectors(face: Face, vector: Any, query: Any, expected: list[int]) -> None:
    assert await found(face, vector, query) == expected


async def test_plans_of_other_configurations_are_other_plans(face: Face) -> None:
    for config, expected in (("simple", []), ("english", [1, 2]), ("simple", [])):
        assert await found(face, SearchVector("title", config=config), SearchQuery("recipe", config=config)) == expected
    for config, rows in (("simple", []), ("english", [1, 2]), ("simple", [])):
        name = Value(config)
        assert await found(face, SearchVector("title", config=name), SearchQuery("recipe", config=name)) == rows


async def test_ranks(face: Face) -> None:
    query = SearchQuery("cheese")
    plain = await rounded(face, SearchRank(BOTH, query))
    assert plain == await rounded(face, SearchRank(BOTH, "cheese"))
    assert plain[0] > plain[1] > plain[2] == 0
    assert await rounded(face, SearchRank("title", SearchQuery("recipes") | SearchQuery("pizza"))) != plain
    weighted = await rounded(face, SearchRank(WEIGHTED, query))
    given = await rounded(face, SearchRank(WEIGHTED, query, weights=[0.2, 0.4, 0.6, 0.8]))
    assert weighted[0] > plain[0]
    assert given[1] == 2 * weighted[1]
    by_length = await rounded(face, SearchRank(BOTH, query, normalization=2))
    assert by_length[0] < plain[0]
    combined = await rounded(face, SearchRank(BOTH, query, normalization=Value(2).bitor(Value(4))))
    assert combined == await rounded(face, SearchRank(BOTH, query, normalization=2 | 4))
    assert combined != plain
    toast = SearchQuery("cheese toast")
    near = await rounded(face, SearchRank(BOTH, toast, cover_density=True))
    assert near[0] > 0
    assert near != await rounded(face, SearchRank(BOTH, toast))
    best = Text.objects.annotate(rank=SearchRank(WEIGHTED, query)).filter(rank__gt=0).order_by("-rank")
    assert await face.rows(best.values_list("pk", flat=True)) == [1, 2]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (SearchHeadline("body", SearchQuery("cheese")), "Melted <b>cheese</b> on bread"),
        (SearchHeadline("body", "cheese"), "Melted <b>cheese</b> on bread"),
        (SearchHeadline("body", "cheese", start_sel="'", stop_sel='"'), "Melted 'cheese\" on bread"),
        (SearchHeadline("body", "bread", max_words=2, min_words=1), "<b>bread</b>"),
        (SearchHeadline("body", "cheese", short_word=2, highlight_all=True), "Melted <b>cheese</b> on bread"),
        (SearchHeadline("body", "cheese", max_fragments=1, fragment_delimiter="..."), "Melted <b>cheese</b> on bread"),
        (SearchHeadline("title", SearchQuery("recipe", config="english"), config="english"),
         "Cheese on Toast <b>recipes</b>"),
        (SearchHeadline("title", SearchQuery("recipe", config="simple"), config="simple"), "Cheese on Toast recipes"),
        (SearchHeadline("title", SearchQuery("recipe"), config=F("language")), "Cheese on Toast <b>recipes</b>"),
        (SearchHeadline(Value("old cheese"), "cheese"), "old <b>cheese</b>"),
    ],
    ids=repr,
)  # fmt: skip
async def test_headlines(face: Face, expression: Any, expected: str) -> None:
    assert (await values(face, expression))[0] == expected


def test_what_does_not_go_together() -> None:
    query, vector = SearchQuery("x"), SearchVector("title")
    with pytest.raises(ValueError, match="Unknown search_type argument"):
        SearchQuery("x", search_type="foo")  # type: ignore[arg-type]
    for wrong in (lambda: query & 5, lambda: query | "s", lambda: query & vector, lambda: (query | query) & vector):
        with pytest.raises(TypeError, match="SearchQuery can only be combined with other SearchQuery instances"):
            wrong()
    for wrong in (lambda: vector + "s", lambda: vector + query, lambda: vector + (query & query)):
        with pytest.raises(TypeError, match="SearchVector can only be combined with other SearchVector instances"):
            wrong()
    with pytest.raises(ValueError, match="config takes the name"):
        SearchVector("title", config="english'; --")


# -- trigrams and accents ------------------------------------------------------------------------------------------


async def test_trigram_lookups(face: Face) -> None:
    assert await keys(face, title__trigram_similar="Pizza Recipe") == [2]
    assert await keys(face, title__trigram_word_similar="Recipe") == [1, 2]
    assert await keys(face, title__trigram_strict_word_similar="Recipes") == [1, 2]
    assert await keys(face, title__trigram_similar=F("title")) == [1, 2, 3, 4]


async def test_trigram_functions(face: Face) -> None:
    for closeness, distance in (
        (TrigramSimilarity("title", "Pizza Recipe"), TrigramDistance("title", "Pizza Recipe")),
        (TrigramWordSimilarity("Recipe", "title"), TrigramWordDistance("Recipe", "title")),
        (TrigramStrictWordSimilarity("Recipe", "title"), TrigramStrictWordDistance("Recipe", "title")),
    ):
        near, far = await values(face, closeness), await values(face, distance)
        assert max(near) == near[1]
        assert [round(one + other, 4) for one, other in zip(near, far, strict=True)] == [1] * 4
    assert (await values(face, TrigramSimilarity("body", Value("x"))))[2] is None
    assert (await values(face, TrigramWordSimilarity(Value("pizza"), Lower("title"))))[1] == 1
    close = Text.objects.annotate(near=TrigramSimilarity("title", "Pizza")).filter(near__gt=0.3).order_by("-near")
    assert await face.rows(close.values_list("pk", flat=True)) == [2]


async def test_unaccent(face: Face) -> None:
    assert await keys(face, title__unaccent="Creme Brulee") == [4]
    assert await keys(face, title__unaccent__icontains="creme") == [4]
    assert await keys(face, title__unaccent__istartswith="CRÈME") == [4]
    assert await keys(face, title__unaccent__trigram_similar="Creme brulee") == [4]
    assert await keys(face, title__unaccent__in=["Creme Brulee"]) == [4]
    assert (await face.rows(Text.objects.order_by("title__unaccent").values_list("pk", flat=True)))[1] == 4
    assert (await face.rows(Text.objects.values_list("title__unaccent", flat=True)))[3] == "Creme Brulee"


async def test_text_of_an_expression(face: Face) -> None:
    made_ = Text.objects.annotate(text=Cast("number", dorm.TextField())).filter(text__search="1")
    assert await face.rows(made_.values_list("pk", flat=True)) == [1]
