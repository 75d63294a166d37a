"""Run the examples of one documentation page: ``python -m tests.docs.page page.md``, in an empty folder.

All ``python`` blocks of a page share one namespace and run in order. A block may await at its top level. Blocks whose
info string says ``no-run`` are left out; one that says ``file=NAME`` is written to that file instead.

Blocks marked ``console run`` hold commands behind ``$ `` and what they print, as one stream; ``...`` stands for any
text. Without printed lines the output does not matter. A comment ``# exits with N`` says another exit code than 0.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

_BLOCK = re.compile(r"^```(python|console)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s*# exits with (\d+)\Z")


@dataclass(frozen=True)
class Block:
    """One block that is to be run: the number of its first line, its language, what stands behind that, its text."""

    line: int
    language: str
    info: str
    source: str


def blocks(text: str) -> Iterator[Block]:
    """Yield each block that is to be run."""
    for match in _BLOCK.finditer(text):
        language, info, source = match.groups()
        if ("no-run" not in info) if language == "python" else ("run" in info.split()):
            yield Block(text.count("\n", 0, match.start(3)) + 1, language, info.strip(), source)


def run_page(path: Path, replacements: dict[str, str]) -> None:
    """Run all blocks of a page."""
    text = path.read_text()
    for old, new in replacements.items():
        text = text.replace(old, new)
    # A module, since libraries look classes up in the one they name.
    module = sys.modules["example"] = ModuleType("example")
    namespace: dict[str, Any] = vars(module)
    with asyncio.Runner() as runner:
        for block in blocks(text):
            if block.language == "console":
                _run_commands(path, block)
            elif block.info.startswith("file="):
                file = Path(block.info.removeprefix("file="))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.source)
            else:
                _run_python(path, block, namespace, runner)


def _run_python(path: Path, block: Block, namespace: dict[str, Any], runner: asyncio.Runner) -> None:
    padded = "\n" * (block.line - 1) + block.source
    tree = compile(padded, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if tree.co_flags & inspect.CO_COROUTINE:
        runner.run(eval(tree, namespace))
    else:
        exec(tree, namespace)


def _run_commands(path: Path, block: Block) -> None:
    for part in re.split(r"^\$ ", block.source, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        code = _EXIT.search(command)
        done = subprocess.run(
            _EXIT.sub("", command),
            shell=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        where = f"{path}:{block.line}: $ {command}\nexited with {done.returncode} and printed\n{done.stdout}"
        assert done.returncode == int(code[1] if code else 0), where
        pattern = r".*".join(re.escape(piece) for piece in printed.strip().split("..."))
        assert not printed.strip() or re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), where


if __name__ == "__main__":
    page, *pairs = sys.argv[1:]
    run_page(Path(page), dict(pair.split("=>", 1) for pair in pairs))
