"""Run the examples of one documentation page: ``python -m tests.docs.page page.md``, in an empty folder.

All ``python`` blocks of a page share one namespace and run in order. A block may await at its top level. Blocks whose
info string says ``no-run`` are left out.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and the source of each block that is to be run."""
    for match in _BLOCK.finditer(text):
        if "no-run" not in match.group(1):
            yield text.count("\n", 0, match.start(2)) + 1, match.group(2)


def run_page(path: Path, replacements: dict[str, str]) -> None:
    """Run all blocks of a page."""
    text = path.read_text()
    for old, new in replacements.items():
        text = text.replace(old, new)
    # A module, since libraries look classes up in the one they name.
    module = sys.modules["example"] = ModuleType("example")
    namespace: dict[str, Any] = vars(module)
    with asyncio.Runner() as runner:
        for line, source in blocks(text):
            tree = compile("\n" * (line - 1) + source, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if tree.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(tree, namespace))
            else:
                exec(tree, namespace)


if __name__ == "__main__":
    page, *pairs = sys.argv[1:]
    run_page(Path(page), dict(pair.split("=>", 1) for pair in pairs))
