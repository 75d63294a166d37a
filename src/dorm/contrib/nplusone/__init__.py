"""One statement a row: found by template and call site, in the request, task or thread that does it.

The detector is a gate of the chain: in raise mode the statement that crosses the threshold is refused before anything
is sent, so a transaction stays usable. The report names the line of the user's code and what mends it.

Counts belong to a *scope*: a request (`request_scope`, the ASGI middleware), else the tree of tasks that began in one
task, else the thread, which begins anew after a second without statements.
"""

from dorm.contrib.nplusone.detector import (
    DEFAULT_IGNORE,
    MOST_FINDINGS,
    MOST_RECENT,
    Finding,
    NPlusOneDetector,
    NPlusOneError,
    adetect,
    assert_no_nplusone,
    detect,
    recent_findings,
)
from dorm.contrib.nplusone.process import (
    apply_settings,
    global_detector,
    install_debug_global,
    uninstall_debug_global,
)
from dorm.contrib.nplusone.scopes import current_scope, ignore_nplusone, request_scope

__all__ = [
    "DEFAULT_IGNORE",
    "MOST_FINDINGS",
    "MOST_RECENT",
    "Finding",
    "NPlusOneDetector",
    "NPlusOneError",
    "adetect",
    "apply_settings",
    "assert_no_nplusone",
    "current_scope",
    "detect",
    "global_detector",
    "ignore_nplusone",
    "install_debug_global",
    "recent_findings",
    "request_scope",
    "uninstall_debug_global",
]
