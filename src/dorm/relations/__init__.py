"""Relations between models."""

from dorm.relations.foreign_key import CASCADE, DO_NOTHING, PROTECT, RESTRICT, SET_NULL, ForeignKey

__all__ = ["CASCADE", "DO_NOTHING", "PROTECT", "RESTRICT", "SET_NULL", "ForeignKey"]
