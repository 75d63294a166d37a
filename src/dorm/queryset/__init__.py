"""Querysets (public names; see the modules beside this one)."""

import dorm.models  # noqa: F401  # the packages of this layer refer to one another, and are entered there
from dorm.queryset.cte import CTE
from dorm.queryset.prefetch import Prefetch, aprefetch_related_objects, prefetch_related_objects
from dorm.queryset.queryset import CombinedQuerySet, QuerySet
from dorm.queryset.raw import RawQuerySet

__all__ = [
    "CTE",
    "CombinedQuerySet",
    "Prefetch",
    "QuerySet",
    "RawQuerySet",
    "aprefetch_related_objects",
    "prefetch_related_objects",
]
