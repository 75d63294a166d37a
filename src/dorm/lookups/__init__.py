"""Lookups: what may stand behind the last ``__`` of a filter."""

from dorm.lookups.core import is_lookup, lookup_names

__all__ = ["is_lookup", "lookup_names"]
