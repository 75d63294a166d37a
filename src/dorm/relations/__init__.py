"""Relations between models."""

from dorm.relations.foreign_key import (
    CASCADE,
    DO_NOTHING,
    PROTECT,
    RESTRICT,
    SET,
    SET_DEFAULT,
    SET_NULL,
    ForeignKey,
)
from dorm.relations.managers import ManyRelatedManager, NullableRelatedManager, RelatedManager
from dorm.relations.many_to_many import ManyToManyField
from dorm.relations.one_to_one import OneToOneField
from dorm.relations.reverse import ForeignObjectRel

__all__ = [
    "CASCADE",
    "DO_NOTHING",
    "PROTECT",
    "RESTRICT",
    "SET",
    "SET_DEFAULT",
    "SET_NULL",
    "ForeignKey",
    "ForeignObjectRel",
    "ManyRelatedManager",
    "ManyToManyField",
    "NullableRelatedManager",
    "OneToOneField",
    "RelatedManager",
]
