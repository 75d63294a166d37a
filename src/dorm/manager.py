"""Managers (public name; see `dorm.queryset.manager`)."""

import dorm.models  # noqa: F401  # the packages below refer to one another, and are entered there
from dorm.queryset.manager import Manager

__all__ = ["Manager"]
