"""The history of a model in migrations: its table is made with the model's, and protected by the database."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

import dorm
from dorm.contrib import history
from dorm.migrations.autodetector import MigrationAutodetector
from dorm.migrations.state import ProjectState
from dorm.migrations.writer import MigrationWriter
from tests.migrations.conftest import Executor
from tests.migrations.test_executor import execute, rows
from tests.support.faces import Face
from tests.support.projects import Project

MODELS = """
from dorm.contrib.history import track_history

@track_history
class Article(dorm.Model):
    title = dorm.CharField(max_length=20)

    class Meta:
        app_label = "press"
"""


@pytest.fixture
def press(project: Project) -> Any:
    """An app whose first migration is what the detector makes of its models, and whose second protects the history."""
    folder = project.app("press", models=MODELS)
    import_module("press.models")
    (made,) = MigrationAutodetector(ProjectState(), ProjectState.from_apps("press")).migrations()
    (folder / "0001_initial.py").write_text(MigrationWriter(made).as_string())
    project.migration(
        "press",
        "0002_protected",
        """
        from dorm.contrib.history import append_only

        dependencies = [("press", "0001_initial")]
        operations = [append_only("press_article")]
        """,
    )
    return folder


async def test_history_is_written_and_never_changed(press: Any, executor: Executor, face: Face) -> None:
    await executor.migrate("press", press)
    article: Any = import_module("press.models").Article
    one = await face(article.objects.create)(title="one")
    one.title = "two"
    await face(one.save)()
    await face(one.delete)()
    refused = [
        "UPDATE press_article_history SET title = 'x'",
        "DELETE FROM press_article_history",
        "INSERT INTO press_article_history (history_id, history_type, history_date) "
        "VALUES (1, '~', '2026-01-01') ON CONFLICT (history_id) DO UPDATE SET title = 'x'",
    ]
    if dorm.connections["default"].vendor == "postgresql":
        refused.append("TRUNCATE press_article_history")
    else:
        refused.append("INSERT OR REPLACE INTO press_article_history (history_id, title) VALUES (1, 'x')")
    for sql in refused:
        with pytest.raises(dorm.IntegrityError, match="append-only"):
            execute(sql)
    with pytest.raises(dorm.IntegrityError, match="append-only"):
        await face(article.history.all().update)(title="x")
    with pytest.raises(dorm.IntegrityError, match="append-only"):
        await face(article.history.all().delete)()
    kept = "SELECT history_type, title FROM press_article_history ORDER BY history_id"
    assert rows(kept) == [("+", "one"), ("~", "two"), ("-", "two")]
    await executor.rollback("press", press, "1")
    execute("DELETE FROM press_article_history WHERE history_type = '~'")
    assert rows(kept) == [("+", "one"), ("-", "two")]


def test_the_helper_takes_models_and_tables() -> None:
    class Bare:
        pass

    @history.track_history
    class Leaflet(dorm.Model):
        class Meta:
            app_label = "history_tests"
            db_table = "leaflets"

    assert history.append_only(Leaflet) == history.append_only("leaflets")
    assert history.append_only("leaflets", allow_delete=True).deconstruct()[2] == {
        "table": "leaflets_history",
        "allow_delete": True,
    }
    with pytest.raises(TypeError, match="Bare has no history"):
        history.append_only(Bare)
