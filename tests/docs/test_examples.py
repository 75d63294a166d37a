"""Every example of the documentation runs as it is printed."""

from __future__ import annotations

import os
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
    found = subprocess.run(
        [sys.executable, "-m", "tests.docs.page", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "src")])},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert found.returncode == 0, found.stderr[-3000:]
