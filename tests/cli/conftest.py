from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Scratch

MODELS = """
class Author(dorm.Model):
    name = dorm.CharField(max_length=100)


class Post(dorm.Model):
    author = dorm.ForeignKey(Author, dorm.CASCADE, related_name="posts")
    title = dorm.CharField(max_length=100, db_index=True)

    class Meta:
        ordering = ["title"]
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """An empty folder."""
    return Scratch(tmp_path)


@pytest.fixture
def blog(scratch: Scratch) -> Scratch:
    """A project with one app, on SQLite, without migrations."""
    scratch.settings()
    scratch.app("blog", MODELS)
    return scratch
