"""Names and modules of a package that are loaded when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazily(
    package: str, modules: Mapping[str, Iterable[str]], submodules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package that hands on names of other modules.

    Args:
        package: the package's ``__name__``.
        modules: which names come from which module.
        submodules: modules of the package itself that are loaded as its attributes.
    """
    homes = {name: module for module, names in modules.items() for name in names}
    own = frozenset(submodules)
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name in own:
            return import_module(f"{package}.{name}")
        if name == "__all__":
            return sorted(homes)  # asked for by `import *` alone, which loads everything
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = namespace[name] = getattr(import_module(homes[name]), name)
        return value

    def listed() -> list[str]:
        return sorted({*namespace, *homes, *own})

    return get, listed
