"""Models: declaration, instances, and how names in queries become columns."""

from dorm.models.base import Model
from dorm.models.options import Options
from dorm.models.state import DEFERRED

__all__ = ["DEFERRED", "Model", "Options"]
