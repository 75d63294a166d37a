"""The samples of the release note run as they stand there, each in a function of its own kind."""

from __future__ import annotations

import ast
import asyncio
import base64
import contextvars
import json
import logging
import re
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

import dorm
from dorm.conf.settings import settings
from dorm.contrib import (
    dataloader,
    encrypted,
    lag_router,
    nplusone,
    otel,
    plan_drift,
    querystats,
    slow_explain,
    sql_allowlist,
)
from dorm.db.connection import close_all, get_connection
from dorm.migrations.schema import create_tables

_PAGE = Path(__file__).parent.parent.parent / "docs" / "whats-new-4.2.md"
_SAMPLE = re.compile(r"^## (\d+)\. ([^\n]*)\n.*?^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SAMPLES = {int(number): code for number, _, code in _SAMPLE.findall(_PAGE.read_text())}


class User(dorm.Model):
    hidden_note = encrypted.EncryptedCharField(max_length=50)
    email = dorm.EmailField(default="a@b.de", pii=True)

    class Meta:
        app_label = "note"


class Author(dorm.Model):
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "note"


class Article(dorm.Model):
    score = dorm.IntegerField(default=0)

    class Meta:
        app_label = "note"


class Comment(dorm.Model):
    article = dorm.ForeignKey(Article)

    class Meta:
        app_label = "note"


class Source(dorm.Model):
    label = dorm.CharField(max_length=50)
    created_at = dorm.DateTimeField(null=True)

    class Meta:
        app_label = "note"


class Other(dorm.Model):
    label = dorm.CharField(max_length=50, default="")
    title = dorm.CharField(max_length=50, default="")
    created_at = dorm.DateTimeField(null=True)

    class Meta:
        app_label = "note"


@pytest.fixture(scope="module")
def database(postgresql_database: str) -> Iterator[None]:
    before = dict(settings._given)
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    key = base64.b64encode(b"k" * 32).decode()
    url = {"URL": postgresql_database, "MIN_POOL_SIZE": 0}
    dorm.configure(DATABASES={"default": url}, FIELD_ENCRYPTION_KEYS=[key])
    create_tables([User, Author, Article, Comment, Source, Other])
    User.objects.create(hidden_note="Ann")
    yield
    close_all()
    dorm.connections.reset()
    settings._given.clear()
    settings._given.update(before)


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    querystats.collector().disable()
    sql_allowlist.uninstall()
    otel.uninstall_log_correlation()
    plan_drift.reset()
    given = dict(settings._given)
    dorm.configure(DEBUG=False, DEBUG_NPLUSONE=False, SLOW_QUERY_EXPLAIN=False, SLOW_QUERY_MS=500.0)
    settings._given.clear()
    settings._given.update(given)
    nplusone.uninstall_debug_global()


def _names(**more: Any) -> dict[str, Any]:
    """Return what a sample takes for granted."""
    return {
        "dorm": dorm,
        "asyncio": asyncio,
        "F": dorm.F,
        "User": User,
        "Author": Author,
        "Article": Article,
        "Comment": Comment,
        "Source": Source,
        "Other": Other,
        "plan_drift": plan_drift,
        "sql": "SELECT id FROM note_comment WHERE article_id = %s",
        "alert": SimpleNamespace(fire=lambda text: None),
        "pks": [1, 2, 3],
        "loader": dataloader.DataLoader(lambda keys: {}),
        "fetched_value": "value",
        "run_nightly_report": lambda: None,
        "arotate_encryption_keys": encrypted.arotate_encryption_keys,
        "LagAwareReadRouter": lag_router.LagAwareReadRouter,
        "Response": lambda text, media_type: text,
        "qs": User.objects.all(),
        "aqs": User.objects.all(),
        "allow_list": ["SELECT 1"],
        "curated_list": ["SELECT 1"],
        **more,
    }


async def _run(code: str, names: dict[str, Any]) -> Any:
    """Run *code* as the body of a coroutine function; return its value, or what it yields."""
    # The note leaves settings out by "...,", which no call takes.
    code = code.replace("    ...,\n", "")
    body = f"async def sample():\n{textwrap.indent(code, '    ')}\n    return locals()"
    if "yield" in code:
        body = f"async def sample():\n{textwrap.indent(code, '    ')}"
    ast.parse(body)
    exec(compile(body, str(_PAGE), "exec"), names)
    made = names["sample"]()
    if isinstance(made, AsyncIterator):
        return [each async for each in made]
    return await made


def run(number: int, **more: Any) -> Any:
    return contextvars.copy_context().run(asyncio.run, _run(SAMPLES[number], _names(**more)))


pytestmark = pytest.mark.usefixtures("database")


def test_every_sample_is_here() -> None:
    assert sorted(SAMPLES) == [1, 2, 4, 5, 6, 8, 9, 10, 12, 16, 17, 18, 19, 20, 21, 22, 23, 26, 27, 28, 29]


@pytest.mark.parametrize("number", [6, 8, 10, 17, 20, 27])
def test_the_sample_runs(number: int) -> None:
    run(number)


def test_locks() -> None:
    calls: list[int] = []
    run(1, run_nightly_report=lambda: calls.append(1))
    assert calls == [1, 1]


def test_slow_queries_are_explained() -> None:
    plans: list[slow_explain.SlowPlan] = []
    remove = slow_explain.on_plan(plans.append)
    try:
        run(2)
        get_connection().execute("SELECT count(*) FROM note_author")
        get_connection().execute("SELECT max(id), pg_sleep(0.25) FROM note_author")
    finally:
        remove()
    (plan,) = plans
    assert plan.elapsed_ms >= 200
    assert "note_author" in plan.plan


def test_log_records_have_ids() -> None:
    run(5)
    record = logging.getLogRecordFactory()("myapp.child", logging.INFO, "f", 1, "hello", (), None)
    shown = logging.Formatter("[trace=%(otel_trace_id)s span=%(otel_span_id)s] %(message)s").format(record)
    assert shown == "[trace=- span=-] hello"


def test_repeated_statements_are_refused() -> None:
    run(16)
    Author.objects.create(name="Ann")
    with nplusone.request_scope():
        loaded: list[Any] = []
        with pytest.raises(nplusone.NPlusOneError, match=r"test_whats_new\.py:\d+"):
            for _ in range(20):
                loaded.append(Author.objects.get(name="Ann"))
    assert len(loaded) == 10
    Author.objects.all().delete()


def test_a_dropped_index_fires_the_alert() -> None:
    """The sample's two halves are some time apart; what happens between them is put there."""
    fired: list[str] = []
    sql = "SELECT id FROM note_article WHERE score = %s"
    Article.objects.bulk_create([Article(score=score) for score in range(3000)])
    get_connection().execute_script("CREATE INDEX by_score ON note_article (score); ANALYZE note_article")
    marker = "# In a healthcheck or cron:"
    assert marker in SAMPLES[18]
    names: dict[str, Any] = {"sql": sql, "alert": SimpleNamespace(fire=fired.append)}
    run(18, **names)
    assert fired == []
    drop = "from dorm.db.connection import get_connection\nget_connection().execute_script('DROP INDEX by_score')\n"
    code = SAMPLES[18].replace(marker, drop)
    contextvars.copy_context().run(asyncio.run, _run(code, _names(**names)))
    (text,) = fired
    assert text.startswith("plan drift:\n--- baseline:orders.by_customer\n+++ current:orders.by_customer")
    assert "by_score" in text
    Article.objects.all().delete()


def test_plans_are_compared_in_async_code() -> None:
    found = run(28)
    assert found["result"].tag == "orders.by_customer"
    assert not found["result"].drifted
    assert list(plan_drift.baselines()) == ["orders.by_customer"]


def test_a_list_is_enforced() -> None:
    run(23, curated_list=["SELECT ?"])
    assert get_connection().execute("SELECT 7")[0][0] == 7
    with pytest.raises(sql_allowlist.SQLNotAllowedError):
        Author.objects.count()
    with pytest.raises(sql_allowlist.SQLNotAllowedError):
        get_connection().execute_script("DROP TABLE note_author")
    sql_allowlist.uninstall()
    assert Author.objects.count() == 0


def test_statistics() -> None:
    querystats.collector().enable()
    Author.objects.count()
    assert "dorm_template_count" in run(4)
    assert "dorm_template_count" in run(26)


def test_masks() -> None:
    chunks = run(9)
    assert len(chunks) == 2
    assert b"a@b.de" not in b"".join(chunks)


def test_the_router_is_made() -> None:
    run(12)


def test_loads_are_one_query() -> None:
    assert run(17)["results"] == [None, None, None]


def test_the_broadcaster_delivers() -> None:
    async def main() -> None:
        listening = asyncio.create_task(_run(SAMPLES[19], _names()))
        await asyncio.sleep(0.3)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening

    asyncio.run(main())


def test_sets() -> None:
    article = Article.objects.create(score=3)
    Comment.objects.create(article=article)
    run(21)


def test_unions() -> None:
    Source.objects.create(label="source")
    Other.objects.create(label="other", title="title")
    # The sample's querysets go nowhere; here their rows are looked at.
    lines = ast.parse(SAMPLES[22]).body
    assert len(lines) == 2
    plain, mapped = (list(eval(ast.unparse(line), _names())) for line in lines)
    assert [row["label"] for row in plain] == ["source", "other"]
    assert sorted(row["label"] for row in mapped) == ["source", "title"]
    run(22)


def test_from_canary_to_enforcement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "allowlist.json"

    class Curating:
        """Stands for the person who moves templates between the two phases."""

        def __getattr__(self, name: str) -> Any:
            return getattr(sql_allowlist, name)

        def uninstall(self) -> None:
            document = json.loads(path.read_text())
            document["allowed"] = ["SELECT 1"]
            path.write_text(json.dumps(document))
            sql_allowlist.uninstall()

    code = SAMPLES[29].replace("from dorm.contrib import sql_allowlist\n", "")
    asyncio.run(_run(code, _names(sql_allowlist=Curating())))
    assert sql_allowlist.allowed_templates() == ["SELECT ?"]
