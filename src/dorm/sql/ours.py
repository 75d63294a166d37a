"""Which classes are dorm's own: what it knows of them it does not know of subclasses that its users write."""

from __future__ import annotations


def is_ours(cls: type) -> bool:
    """True for a class that stands in dorm itself."""
    return cls.__module__.startswith("dorm.")
