"""The page that goes through Django's documentation names tests that exist, and every module of tests/documented."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent
_PAGE = _ROOT / "docs" / "django-documentation.md"
_MODULE = re.compile(r"`((?:\w+/)+test_\w+)`")


def test_each_module_that_is_named_exists() -> None:
    named = set(_MODULE.findall(_PAGE.read_text()))
    assert len(named) > 60
    assert sorted(name for name in named if not (_ROOT / "tests" / f"{name}.py").is_file()) == []


def test_each_module_of_documented_behaviour_is_named() -> None:
    modules = {f"documented/{path.stem}" for path in (_ROOT / "tests" / "documented").glob("test_*.py")}
    assert modules - set(_MODULE.findall(_PAGE.read_text())) == set()


def test_each_row_names_tests() -> None:
    rows = [line.split("|") for line in _PAGE.read_text().splitlines() if line.startswith("| ")]
    pages = [row for row in rows if not row[1].strip().startswith("page of")]
    assert len(pages) > 30
    assert [row[1].strip() for row in pages if not _MODULE.search(row[2])] == []
    assert [row[1].strip() for row in pages if not row[3].strip()] == []
