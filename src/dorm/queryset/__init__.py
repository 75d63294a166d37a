"""Querysets (public names; see the modules beside this one)."""

from typing import TYPE_CHECKING

import dorm.models  # noqa: F401  # the packages of this layer refer to one another, and are entered there
from dorm.lazy import lazily
from dorm.queryset.prefetch import Prefetch, aprefetch_related_objects, prefetch_related_objects
from dorm.queryset.queryset import CombinedQuerySet, QuerySet

if TYPE_CHECKING:
    from dorm.queryset.cte import CTE
    from dorm.queryset.raw import RawQuerySet

__getattr__, __dir__ = lazily(__name__, {"dorm.queryset.cte": ("CTE",), "dorm.queryset.raw": ("RawQuerySet",)})

__all__ = [
    "CTE",
    "CombinedQuerySet",
    "Prefetch",
    "QuerySet",
    "RawQuerySet",
    "aprefetch_related_objects",
    "prefetch_related_objects",
]
