"""The detector of the whole process: what ``DEBUG_NPLUSONE`` switches on."""

from __future__ import annotations

import logging
import threading
from typing import Any

from dorm.conf.settings import settings
from dorm.contrib.nplusone.detector import Finding, NPlusOneDetector
from dorm.contrib.nplusone.hints import hint_for
from dorm.contrib.nplusone.scopes import current_scope, inherit, is_ignored
from dorm.db import hooks
from dorm.db.forks import in_child
from dorm.db.request import StatementRequest
from dorm.db.template import template_of
from dorm.exceptions import ImproperlyConfigured

_log = logging.getLogger("dorm.contrib.nplusone")


class _Global:
    def __init__(self) -> None:
        self.detector: NPlusOneDetector | None = None
        self.uninstall: hooks.Uninstall | None = None
        self.asked = False
        self.forked()
        in_child(self, _Global.forked)

    def forked(self) -> None:
        self.lock = threading.RLock()


_global = _Global()


def install_debug_global() -> NPlusOneDetector | None:
    """Detect in the whole process, as ``DEBUG_NPLUSONE`` and ``DEBUG_NPLUSONE_THRESHOLD`` say.

    Returns: the detector, the same object for repeated calls; None, with nothing installed, when the setting is off.
    `dorm.configure` with a truthy ``DEBUG_NPLUSONE`` calls this by itself, and follows later changes.
    """
    mode, threshold = _mode()
    if mode is None:
        uninstall_debug_global()
        return None
    inherit()
    with _global.lock:
        detector = _global.detector
        if detector is None:
            detector = _global.detector = NPlusOneDetector(threshold)
            _global.uninstall = hooks.install_gate(_global_gate)
            if not settings.DEBUG:
                _log.warning("DEBUG_NPLUSONE is active outside DEBUG: every statement is counted")
        detector.threshold = threshold
        detector.raise_on_detect = mode == "raise"
    return detector


def uninstall_debug_global() -> None:
    """Take the global detector out."""
    with _global.lock:
        remove, _global.uninstall, _global.detector = _global.uninstall, None, None
    if remove is not None:
        remove()


def apply_settings() -> None:
    """Install, change or remove the global detector as the settings say; `dorm.configure` calls it."""
    install_debug_global()


def global_detector() -> NPlusOneDetector | None:
    """Return the detector of the process, None when it is off."""
    return _global.detector


def _mode() -> tuple[str | None, int]:
    value: Any = getattr(settings, "DEBUG_NPLUSONE", False) if settings.is_configured else False
    if value is True:
        value = "log"
    if not value:
        return None, 0
    if not isinstance(value, str) or value.lower() not in ("log", "raise"):
        raise ImproperlyConfigured(f"DEBUG_NPLUSONE takes False, True, 'log' or 'raise', not {value!r}.")
    threshold = settings.DEBUG_NPLUSONE_THRESHOLD
    if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < 1:
        raise ImproperlyConfigured(f"DEBUG_NPLUSONE_THRESHOLD takes a whole number from 1, not {threshold!r}.")
    return value.lower(), threshold


def _global_gate(request: StatementRequest[Any]) -> None:
    detector = _global.detector
    if detector is None or is_ignored():
        return
    template = template_of(request.statement, request.source.vendor)
    crossed = current_scope().count(template, detector.threshold, detector.ignore)
    if crossed is None:
        return
    number, where = crossed
    finding = Finding(template, number, detector.threshold, where, hint_for(template), request.source.alias)
    if not detector.raise_on_detect:
        _log.warning("%s", finding)
    detector.found(finding)
