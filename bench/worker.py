"""One contestant in a process of its own: reads what to do from stdin, a line of JSON each, and answers in kind.

Run as ``python -m bench.worker MODULE URL``. Standard library only, so that it runs in every environment.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import sys
import time
import traceback
from typing import Any

from bench.answers import digest
from bench.scenarios import SCENARIOS

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    out, sys.stdout = sys.stdout, sys.stderr
    with asyncio.Runner() as runner:

        def call(function: Any, *args: Any) -> Any:
            if inspect.iscoroutinefunction(function):
                return runner.run(function(*args))
            return function(*args)

        call(module.open, sys.argv[2])
        offered = [name for name in _BY_NAME if hasattr(module, name)]
        print(json.dumps({"ready": offered}), file=out, flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            try:
                answer = turn(module, call, order["scenario"], order["n"])
            except Exception as exc:
                traceback.print_exc()
                answer = {"error": f"{type(exc).__name__}: {exc}"[:300]}
            print(json.dumps(answer), file=out, flush=True)
        call(module.close)


def turn(module: Any, call: Any, name: str, n: int) -> dict[str, Any]:
    """Do a scenario *n* times by the clock; then look at the answer."""
    function = getattr(module, name)
    prepare = getattr(module, f"before_{name}", None)
    if prepare is not None:
        call(prepare, n)
    gc.collect()
    cpu, start = time.process_time(), time.perf_counter()
    found = call(function, n)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "digest": digest(_BY_NAME[name].answer(found))}


main()
