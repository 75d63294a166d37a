"""Fields of models (public names; see the modules beside this one)."""

from typing import TYPE_CHECKING

import dorm.models  # noqa: F401  # the packages of this layer refer to one another, and are entered there
from dorm.db.types import Range
from dorm.fields.base import NOT_PROVIDED, Field
from dorm.fields.numbers import (
    AutoField,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    DecimalField,
    FloatField,
    IntegerField,
    NullBooleanField,
    PositiveBigIntegerField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    SmallAutoField,
    SmallIntegerField,
)
from dorm.fields.temporal import DateField, DateTimeField, DurationField, TimeField
from dorm.fields.text import (
    CharField,
    EmailField,
    GenericIPAddressField,
    IPAddressField,
    SlugField,
    TextField,
    URLField,
)
from dorm.lazy import lazily

if TYPE_CHECKING:
    from dorm.fields.arrays import ArrayField, CITextField, HStoreField
    from dorm.fields.composite import CompositePrimaryKey
    from dorm.fields.computed import GeneratedField
    from dorm.fields.enums import EnumField
    from dorm.fields.files import FileField, FilePathField, ImageField
    from dorm.fields.ranges import (
        BigIntegerRangeField,
        DateRangeField,
        DateTimeRangeField,
        DecimalRangeField,
        IntegerRangeField,
        RangeBoundary,
        RangeField,
        RangeOperators,
    )
    from dorm.fields.search import SearchVectorField
    from dorm.fields.structured import BinaryField, JSONField, UUIDField

# What few models use, and what takes long to load.
__getattr__, __dir__ = lazily(
    __name__,
    {
        "dorm.fields.arrays": ("ArrayField", "CITextField", "HStoreField"),
        "dorm.fields.composite": ("CompositePrimaryKey",),
        "dorm.fields.computed": ("GeneratedField",),
        "dorm.fields.enums": ("EnumField",),
        "dorm.fields.files": ("FileField", "FilePathField", "ImageField"),
        "dorm.fields.ranges": (
            "BigIntegerRangeField",
            "DateRangeField",
            "DateTimeRangeField",
            "DecimalRangeField",
            "IntegerRangeField",
            "RangeBoundary",
            "RangeField",
            "RangeOperators",
        ),
        "dorm.fields.search": ("SearchVectorField",),
        "dorm.fields.structured": ("BinaryField", "JSONField", "UUIDField"),
    },
)

__all__ = [
    "NOT_PROVIDED",
    "ArrayField",
    "AutoField",
    "BigAutoField",
    "BigIntegerField",
    "BigIntegerRangeField",
    "BinaryField",
    "BooleanField",
    "CITextField",
    "CharField",
    "CompositePrimaryKey",
    "DateField",
    "DateRangeField",
    "DateTimeField",
    "DateTimeRangeField",
    "DecimalField",
    "DecimalRangeField",
    "DurationField",
    "EmailField",
    "EnumField",
    "Field",
    "FileField",
    "FilePathField",
    "FloatField",
    "GeneratedField",
    "GenericIPAddressField",
    "HStoreField",
    "IPAddressField",
    "ImageField",
    "IntegerField",
    "IntegerRangeField",
    "JSONField",
    "NullBooleanField",
    "PositiveBigIntegerField",
    "PositiveIntegerField",
    "PositiveSmallIntegerField",
    "Range",
    "RangeBoundary",
    "RangeField",
    "RangeOperators",
    "SearchVectorField",
    "SlugField",
    "SmallAutoField",
    "SmallIntegerField",
    "TextField",
    "TimeField",
    "URLField",
    "UUIDField",
]
