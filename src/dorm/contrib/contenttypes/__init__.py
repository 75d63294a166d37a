"""Relations to rows of any model: content types, generic foreign keys and their reverse."""

# Entered first: the packages below it refer to one another.
from dorm import models as _models  # noqa: F401
from dorm.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from dorm.contrib.contenttypes.models import ContentType, ContentTypeManager
from dorm.contrib.contenttypes.prefetch import GenericPrefetch

__all__ = ["ContentType", "ContentTypeManager", "GenericForeignKey", "GenericPrefetch", "GenericRelation"]
