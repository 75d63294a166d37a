"""Models: declaration, instances, and how names in queries become columns."""

from dorm.models.base import Model
from dorm.models.options import Options

__all__ = ["Model", "Options"]
