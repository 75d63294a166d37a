"""Querysets (public names; see the modules beside this one)."""

from dorm.queryset.prefetch import Prefetch
from dorm.queryset.queryset import CombinedQuerySet, QuerySet
from dorm.queryset.raw import RawQuerySet

__all__ = ["CombinedQuerySet", "Prefetch", "QuerySet", "RawQuerySet"]
