"""Prometheus' text format 0.0.4: families, labels, escapes. Numbers come from the modules that count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Family: TypeAlias = tuple[str, str, str, list[str]]
"""Name, type, help and sample lines."""


def escaped(text: str) -> str:
    """Return *text* as the value of a label."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def rendered(made: Iterable[Family]) -> str:
    """Return families as text; those without samples are left out."""
    blocks = [
        f"# HELP {name} {text}\n# TYPE {name} {kind}\n" + "\n".join(lines) for name, kind, text, lines in made if lines
    ]
    return "\n".join(blocks) + "\n" if blocks else ""
