"""Every example of the documentation runs as it is printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.docs.page import blocks

_ROOT = Path(__file__).parent.parent.parent
_PAGES = sorted(
    page.relative_to(_ROOT)
    for page in [_ROOT / "README.md", *(_ROOT / "docs").rglob("*.md")]
    if list(blocks(page.read_text()))
)
_PRINTED_URL = "postgresql://localhost/shop"
"""What stands in the pages; the address of a real database takes its place."""


_PROJECT = (("init", "--app", "notes"), ("makemigrations",), ("migrate",))
"""What makes the project in which the examples of the commands begin."""


def environment() -> dict[str, str]:
    """The environment of the examples: this source, and no settings of the tests."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("DORM_")}
    return {**given, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "src")]), "PYTHONIOENCODING": "utf-8"}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that docs/cli/index.md tells of."""
    folder = tmp_path_factory.mktemp("project")
    for arguments in _PROJECT:
        subprocess.run([sys.executable, "-m", "dorm", *arguments], cwd=folder, env=environment(), check=True)
    return folder


@pytest.mark.parametrize("page", _PAGES, ids=str)
def test_examples_of_the_page_run(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    arguments = [str(_ROOT / page)]
    if _PRINTED_URL in (_ROOT / page).read_text():
        url: str = request.getfixturevalue("postgresql_database")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET client_min_messages = error")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        arguments.append(f"{_PRINTED_URL}=>{url}")
    if page.parent.name == "cli" and page.name != "init.md":
        shutil.copytree(request.getfixturevalue("project"), tmp_path, dirs_exist_ok=True)
    found = subprocess.run(
        [sys.executable, "-m", "tests.docs.page", *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert found.returncode == 0, found.stderr[-3000:]
