"""What engines differ in is said by their dialects: nobody above compares the name of an engine."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import dorm
from dorm.db import lexis
from dorm.db.backends import engine_names
from dorm.db.backends.lexes import BY_VENDOR
from dorm.db.dialect import Dialect
from dorm.db.template import normalize

_SOURCES = Path(dorm.__file__).parent
_NAMES = {*engine_names(), *BY_VENDOR, "mariadb", "cockroachdb", "postgres"}


def _constants(node: ast.expr) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def test_nobody_above_the_backends_compares_an_engines_name() -> None:
    found = []
    for path in _SOURCES.rglob("*.py"):
        if "backends" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            compared: list[ast.expr] = []
            if isinstance(node, ast.Compare):
                compared = [node.left, *node.comparators]
            elif isinstance(node, ast.MatchValue):
                compared = [node.value]
            found += [
                f"{path.relative_to(_SOURCES)}:{node.lineno}"  # type: ignore[attr-defined]  # these two have lines
                for each in compared
                if _NAMES & set(_constants(each))
            ]
    assert found == [], "ask the dialect for a property"


def test_a_dialect_from_elsewhere_brings_its_lexical_rules() -> None:
    text = 'SELECT "a" # x\nFROM Tbl /* /* */'
    assert normalize(text, "exotic").startswith("<unparsable>")

    class Exotic(Dialect):
        vendor = "exotic"
        lexis = lexis.Lexis("mysql", hash_comments=True, keeps_case=True)

    try:
        normalized = normalize(f"{text} ", Exotic.vendor)
        assert normalized == "SELECT ? FROM Tbl"
    finally:
        del lexis.given["exotic"]
