"""Prefetching behind generic foreign keys with a queryset for each model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dorm.queryset.prefetch import Prefetch, is_of_objects


class GenericPrefetch(Prefetch):
    """A generic foreign key to prefetch, with querysets of one's own.

    Args:
        lookup: path to the generic foreign key.
        querysets: rows to choose from, at most one queryset a model; other models have all their rows.
        to_attr: attribute that gets the object instead of the key's own.
    """

    def __init__(self, lookup: str, querysets: Sequence[Any], to_attr: str | None = None) -> None:
        for queryset in querysets:
            if not is_of_objects(queryset):
                raise ValueError("Prefetch querysets cannot use raw(), values(), and values_list().")
        models = [queryset.model._meta.concrete_model for queryset in querysets]
        twice = next((model for model in models if models.count(model) > 1), None)
        if twice is not None:
            raise ValueError(
                f"Only one queryset is allowed for each content type, and {twice.__name__} has several: combine them."
            )
        super().__init__(lookup, to_attr=to_attr)
        self._querysets = list(querysets)

    def querysets(self) -> Sequence[Any]:
        """Return the querysets given."""
        return self._querysets
