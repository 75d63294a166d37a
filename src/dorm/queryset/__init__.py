"""Querysets (public names; see the modules beside this one)."""

from dorm.queryset.prefetch import Prefetch
from dorm.queryset.queryset import QuerySet

__all__ = ["Prefetch", "QuerySet"]
