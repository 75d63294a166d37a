"""The page of `contrib.postgres` on indexes, and SearchVectorField, sentence by sentence."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm import (
    BloomIndex,
    BrinIndex,
    BTreeIndex,
    F,
    GinIndex,
    GistIndex,
    HashIndex,
    Index,
    OpClass,
    Q,
    SearchVectorField,
    SpGistIndex,
    Value,
)
from dorm.functions import Lower, Upper
from dorm.migrations.schema import create_tables
from dorm.search import SearchQuery, SearchRank, SearchVector
from tests.documented.postgres import made
from tests.support.faces import Face


class Page(dorm.Model):
    title = dorm.TextField()
    tags = dorm.ArrayField(dorm.IntegerField(), default=list)
    span = dorm.IntegerRangeField(null=True)
    number = dorm.IntegerField(default=0)
    vector = SearchVectorField(null=True)

    class Meta:
        app_label = "doc_pg_indexes"
        indexes = [
            BloomIndex(fields=["number", "title"], name="i_bloom", length=96, columns=[3]),
            BrinIndex(fields=["number"], name="i_brin", autosummarize=True, pages_per_range=4),
            BTreeIndex(fields=["-number"], name="i_btree", fillfactor=80, deduplicate_items=False),
            GinIndex(fields=["tags"], name="i_gin", fastupdate=False, gin_pending_list_limit=100),
            GinIndex(fields=["vector"], name="i_vector"),
            GinIndex(SearchVector("title", config="english"), name="i_words"),
            GinIndex(fields=["title"], name="i_trigrams", opclasses=["gin_trgm_ops"]),
            GistIndex(fields=["span"], name="i_gist", buffering=False, fillfactor=90, condition=Q(number__gt=0)),
            GistIndex(OpClass(Upper("title"), name="gist_trgm_ops"), name="i_gist_trigrams"),
            HashIndex(fields=["title"], name="i_hash", fillfactor=70),
            SpGistIndex(fields=["span"], name="i_spgist", fillfactor=60, include=["number"]),
            Index(OpClass(Lower("title"), name="text_pattern_ops").desc(), name="i_pattern"),
            Index(OpClass("title", name="varchar_pattern_ops"), "number", name="i_of_column"),
        ]
        constraints = [
            dorm.UniqueConstraint(OpClass(Lower("title"), name="text_pattern_ops"), name="u_lower"),
        ]


class Plain(dorm.Model):
    title = dorm.CharField(max_length=20)

    class Meta:
        app_label = "doc_pg_indexes"
        indexes = [
            HashIndex(fields=["title"], name="p_hash", fillfactor=70),
            BTreeIndex(OpClass(Lower("title"), name="text_pattern_ops"), name="p_lower"),
        ]


WORDS: dict[str, str] = {
    "i_bloom": "bloom (number, title) WITH (length='96', col1='3')",
    "i_brin": "brin (number) WITH (autosummarize='on', pages_per_range='4')",
    "i_btree": "btree (number DESC) WITH (fillfactor='80', deduplicate_items=off)",
    "i_gin": "gin (tags) WITH (fastupdate=off, gin_pending_list_limit='100')",
    "i_vector": "gin (vector)",
    "i_words": "gin (to_tsvector('english'::regconfig, COALESCE(title, ''::text)))",
    "i_trigrams": "gin (title gin_trgm_ops)",
    "i_gist": "gist (span) WITH (buffering=off, fillfactor='90') WHERE (number > 0)",
    "i_gist_trigrams": "gist (upper(title) gist_trgm_ops)",
    "i_hash": "hash (title) WITH (fillfactor='70')",
    "i_spgist": "spgist (span) INCLUDE (number) WITH (fillfactor='60')",
    "i_pattern": "btree (lower(title) text_pattern_ops DESC)",
    "i_of_column": "btree (title varchar_pattern_ops, number)",
    "u_lower": "btree (lower(title) text_pattern_ops)",
}


@pytest.fixture
def backend() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def tables() -> None:
    """Tables are made by the tests."""


@pytest.fixture
def pages(empty_database: Any) -> None:
    made((Page,), "bloom", "pg_trgm")


def test_what_the_server_makes_of_them(pages: None) -> None:
    rows = dorm.get_connection().execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [
        "doc_pg_indexes_page"
    ])  # fmt: skip
    found = {name: text.partition(" USING ")[2] for name, text in rows}
    assert {name: found[name] for name in WORDS} == WORDS


def test_an_operator_class_takes_part_in_validation(pages: None) -> None:
    Page.objects.create(title="One")
    with pytest.raises(dorm.ValidationError, match="u_lower"):
        Page(title="ONE").validate_constraints()
    with pytest.raises(dorm.IntegrityError, match="u_lower"):
        Page.objects.create(title="ONE")


@pytest.mark.parametrize(
    ("index", "options"),
    [
        (BloomIndex(fields=["a"], name="i", length=80, columns=[4]), {"length": 80, "columns": [4]}),
        (BrinIndex(fields=["a"], name="i", autosummarize=True, pages_per_range=16),
         {"autosummarize": True, "pages_per_range": 16}),
        (BTreeIndex(fields=["a"], name="i", fillfactor=80, deduplicate_items=True),
         {"fillfactor": 80, "deduplicate_items": True}),
        (GinIndex(fields=["a"], name="i", fastupdate=False, gin_pending_list_limit=9),
         {"fastupdate": False, "gin_pending_list_limit": 9}),
        (GistIndex(fields=["a"], name="i", buffering=True, fillfactor=80), {"buffering": True, "fillfactor": 80}),
        (HashIndex(fields=["a"], name="i", fillfactor=80), {"fillfactor": 80}),
        (SpGistIndex(fields=["a"], name="i", fillfactor=80), {"fillfactor": 80}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_deconstruction(index: Any, options: dict[str, Any]) -> None:
    path, args, kwargs = index.deconstruct()
    assert (path, args) == (f"dorm.indexes.{type(index).__name__}", ())
    assert kwargs == {"fields": ["a"], "name": "i", **options}
    assert index.clone() == index
    plain = type(index)(fields=["a"], name="i")
    assert plain != index
    assert plain.deconstruct()[2] == {"fields": ["a"], "name": "i"}
    assert (plain.options(), plain.suffix) == ("", type(index).__name__.lower().removesuffix("index"))
    named = type(index)(fields=["title"])
    named.set_name_with_model(Page)
    assert named.name is not None
    assert named.name.endswith(f"_{plain.suffix}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BrinIndex(fields=["a"], pages_per_range=0), "pages_per_range must be None or a positive integer"),
        (lambda: BloomIndex(fields=["a"], length=0), "BloomIndex.length must be None or an integer from 1 to 4096."),
        (lambda: BloomIndex(fields=["a"], length=4097), "BloomIndex.length must be None or an integer from 1 to 4096."),
        (lambda: BloomIndex(fields=["a"], columns="1"), "BloomIndex.columns must be a list or tuple."),
        (lambda: BloomIndex(fields=["a"], columns=[1, 2]), "BloomIndex.columns cannot have more values than fields."),
        (lambda: BloomIndex(fields=["a"], columns=[0]), "BloomIndex.columns must contain integers from 1 to 4095."),
        (lambda: BloomIndex(fields=["a"], columns=[4096]), "BloomIndex.columns must contain integers from 1 to 4095."),
        (lambda: GinIndex(), "At least one field or expression is required to define an index."),
        (lambda: GinIndex(Lower("a")), "An index must be named to use expressions."),
        (lambda: HashIndex(fields=["a"], fillfactor="80) --"), "HashIndex.fillfactor must be None or an integer"),
    ],
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_where_there_are_no_such_indexes_they_are_plain(face: Face, empty_database: Any, backend: str) -> None:
    await face(create_tables)([Plain])
    await face(Plain.objects.create)(title="x")
    assert await face(Plain.objects.filter(title="x").count)() == 1


async def test_search_vector_field(face: Face, pages: None) -> None:
    page = await face(Page.objects.create)(title="Cheese on Toast recipes")
    assert page.vector is None
    await face(Page.objects.update)(vector=SearchVector("title", weight="A", config="english"))
    assert await face(Page.objects.filter(vector="cheese").count)() == 1
    assert await face(Page.objects.filter(vector=SearchQuery("pizza")).count)() == 0
    assert await face(Page.objects.filter(vector=SearchQuery("recipe") & ~SearchQuery("pizza")).count)() == 1
    await face(page.refresh_from_db)()
    assert page.vector == "'chees':1A 'recip':4A 'toast':3A"
    ranked = Page.objects.annotate(rank=SearchRank(F("vector"), SearchQuery("cheese"))).filter(rank__gt=0.5)
    assert await face(ranked.count)() == 1
    await face(page.save)()
    assert await face(Page.objects.filter(vector=Value("toast")).count)() == 1


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_there_are_no_vectors_elsewhere(face: Face, empty_database: Any, backend: str) -> None:
    with pytest.raises(dorm.NotSupportedError):
        await face(create_tables)([Page])
