"""dorm: an ORM for Python with the API that Django made familiar, native in sync and async code.

Public names are loaded when they are first used (PEP 562): a script that touches SQLite imports no other driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dorm import (
        aggregates as aggregates,
        exceptions as exceptions,
        expressions as expressions,
        fields as fields,
        models as models,
        signals as signals,
        timezone as timezone,
        transaction as transaction,
    )
    from dorm.aggregates import Avg as Avg, Count as Count, Max as Max, Min as Min, Sum as Sum
    from dorm.choices import (
        Choices as Choices,
        IntegerChoices as IntegerChoices,
        TextChoices as TextChoices,
    )
    from dorm.conf.settings import configure as configure, settings as settings
    from dorm.conf.url import parse_database_url as parse_database_url
    from dorm.db.connection import (
        connection_for as connection_for,
        connections as connections,
        get_connection as get_connection,
        pool_stats as pool_stats,
    )
    from dorm.db.health import ahealth_check as ahealth_check, health_check as health_check
    from dorm.exceptions import (
        DatabaseError as DatabaseError,
        DataError as DataError,
        DoesNotExist as DoesNotExist,
        FieldDoesNotExist as FieldDoesNotExist,
        FieldError as FieldError,
        ImproperlyConfigured as ImproperlyConfigured,
        IntegrityError as IntegrityError,
        InterfaceError as InterfaceError,
        InternalError as InternalError,
        InvalidValue as InvalidValue,
        MultipleObjectsReturned as MultipleObjectsReturned,
        NotSupportedError as NotSupportedError,
        ObjectDoesNotExist as ObjectDoesNotExist,
        OperationalError as OperationalError,
        PoolTimeout as PoolTimeout,
        ProgrammingError as ProgrammingError,
        ProtectedError as ProtectedError,
        RestrictedError as RestrictedError,
        SynchronousOnlyOperation as SynchronousOnlyOperation,
        TransactionManagementError as TransactionManagementError,
        ValidationError as ValidationError,
    )
    from dorm.expressions import (
        Case as Case,
        Cast as Cast,
        CombinedExpression as CombinedExpression,
        Exists as Exists,
        ExpressionWrapper as ExpressionWrapper,
        F as F,
        Func as Func,
        OrderBy as OrderBy,
        OuterRef as OuterRef,
        Q as Q,
        RawSQL as RawSQL,
        Subquery as Subquery,
        Value as Value,
        When as When,
    )
    from dorm.fields import (
        NOT_PROVIDED as NOT_PROVIDED,
        ArrayField as ArrayField,
        AutoField as AutoField,
        BigAutoField as BigAutoField,
        BigIntegerField as BigIntegerField,
        BigIntegerRangeField as BigIntegerRangeField,
        BinaryField as BinaryField,
        BooleanField as BooleanField,
        CharField as CharField,
        CITextField as CITextField,
        DateField as DateField,
        DateRangeField as DateRangeField,
        DateTimeField as DateTimeField,
        DateTimeRangeField as DateTimeRangeField,
        DecimalField as DecimalField,
        DecimalRangeField as DecimalRangeField,
        DurationField as DurationField,
        EmailField as EmailField,
        EnumField as EnumField,
        Field as Field,
        FloatField as FloatField,
        GeneratedField as GeneratedField,
        GenericIPAddressField as GenericIPAddressField,
        HStoreField as HStoreField,
        IntegerField as IntegerField,
        IntegerRangeField as IntegerRangeField,
        IPAddressField as IPAddressField,
        JSONField as JSONField,
        NullBooleanField as NullBooleanField,
        PositiveBigIntegerField as PositiveBigIntegerField,
        PositiveIntegerField as PositiveIntegerField,
        PositiveSmallIntegerField as PositiveSmallIntegerField,
        Range as Range,
        SlugField as SlugField,
        SmallAutoField as SmallAutoField,
        SmallIntegerField as SmallIntegerField,
        TextField as TextField,
        TimeField as TimeField,
        URLField as URLField,
        UUIDField as UUIDField,
    )
    from dorm.indexes import Index as Index
    from dorm.manager import Manager as Manager
    from dorm.models.base import Model as Model
    from dorm.queryset.prefetch import (
        Prefetch as Prefetch,
        aprefetch_related_objects as aprefetch_related_objects,
        prefetch_related_objects as prefetch_related_objects,
    )
    from dorm.queryset.queryset import QuerySet as QuerySet
    from dorm.relations import (
        CASCADE as CASCADE,
        DO_NOTHING as DO_NOTHING,
        PROTECT as PROTECT,
        RESTRICT as RESTRICT,
        SET as SET,
        SET_DEFAULT as SET_DEFAULT,
        SET_NULL as SET_NULL,
        ForeignKey as ForeignKey,
        ForeignObjectRel as ForeignObjectRel,
        ManyRelatedManager as ManyRelatedManager,
        ManyToManyField as ManyToManyField,
        OneToOneField as OneToOneField,
        RelatedManager as RelatedManager,
    )
    from dorm.signals import (
        Signal as Signal,
        m2m_changed as m2m_changed,
        post_delete as post_delete,
        post_query as post_query,
        post_save as post_save,
        pre_delete as pre_delete,
        pre_query as pre_query,
        pre_save as pre_save,
    )
    from dorm.transaction import aatomic as aatomic, atomic as atomic
    from dorm.validators import (
        BaseValidator as BaseValidator,
        DecimalValidator as DecimalValidator,
        EmailValidator as EmailValidator,
        FileExtensionValidator as FileExtensionValidator,
        MaxLengthValidator as MaxLengthValidator,
        MaxValueValidator as MaxValueValidator,
        MinLengthValidator as MinLengthValidator,
        MinValueValidator as MinValueValidator,
        ProhibitNullCharactersValidator as ProhibitNullCharactersValidator,
        RegexValidator as RegexValidator,
        StepValueValidator as StepValueValidator,
        URLValidator as URLValidator,
        validate_email as validate_email,
        validate_ipv4_address as validate_ipv4_address,
        validate_ipv6_address as validate_ipv6_address,
        validate_ipv46_address as validate_ipv46_address,
        validate_slug as validate_slug,
        validate_unicode_slug as validate_unicode_slug,
    )

__version__ = "4.2.0"

_MODULES = {
    "dorm.conf.settings": ("configure", "settings"),
    "dorm.conf.url": ("parse_database_url",),
    "dorm.db.connection": ("connection_for", "connections", "get_connection", "pool_stats"),
    "dorm.db.health": ("ahealth_check", "health_check"),
    "dorm.models.base": ("Model",),
    "dorm.manager": ("Manager",),
    "dorm.queryset.queryset": ("QuerySet",),
    "dorm.queryset.prefetch": ("Prefetch", "aprefetch_related_objects", "prefetch_related_objects"),
    "dorm.expressions": (
        "Case",
        "Cast",
        "CombinedExpression",
        "Exists",
        "ExpressionWrapper",
        "F",
        "Func",
        "OrderBy",
        "OuterRef",
        "Q",
        "RawSQL",
        "Subquery",
        "Value",
        "When",
    ),
    "dorm.aggregates": ("Avg", "Count", "Max", "Min", "Sum"),
    "dorm.indexes": ("Index",),
    "dorm.relations": (
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
        "OneToOneField",
        "RelatedManager",
    ),
    "dorm.fields": (
        "ArrayField",
        "AutoField",
        "BigAutoField",
        "BigIntegerField",
        "BigIntegerRangeField",
        "BinaryField",
        "BooleanField",
        "CITextField",
        "CharField",
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
        "FloatField",
        "GeneratedField",
        "GenericIPAddressField",
        "HStoreField",
        "IPAddressField",
        "IntegerField",
        "IntegerRangeField",
        "JSONField",
        "NOT_PROVIDED",
        "NullBooleanField",
        "PositiveBigIntegerField",
        "PositiveIntegerField",
        "PositiveSmallIntegerField",
        "Range",
        "SlugField",
        "SmallAutoField",
        "SmallIntegerField",
        "TextField",
        "TimeField",
        "URLField",
        "UUIDField",
    ),
    "dorm.signals": (
        "Signal",
        "m2m_changed",
        "post_delete",
        "post_query",
        "post_save",
        "pre_delete",
        "pre_query",
        "pre_save",
    ),
    "dorm.validators": (
        "BaseValidator",
        "DecimalValidator",
        "EmailValidator",
        "FileExtensionValidator",
        "MaxLengthValidator",
        "MaxValueValidator",
        "MinLengthValidator",
        "MinValueValidator",
        "ProhibitNullCharactersValidator",
        "RegexValidator",
        "StepValueValidator",
        "URLValidator",
        "validate_email",
        "validate_ipv46_address",
        "validate_ipv4_address",
        "validate_ipv6_address",
        "validate_slug",
        "validate_unicode_slug",
    ),
    "dorm.transaction": ("aatomic", "atomic"),
    "dorm.exceptions": (
        "DatabaseError",
        "DataError",
        "DoesNotExist",
        "FieldDoesNotExist",
        "FieldError",
        "ImproperlyConfigured",
        "IntegrityError",
        "InterfaceError",
        "InternalError",
        "InvalidValue",
        "MultipleObjectsReturned",
        "NotSupportedError",
        "ObjectDoesNotExist",
        "OperationalError",
        "PoolTimeout",
        "ProgrammingError",
        "ProtectedError",
        "RestrictedError",
        "SynchronousOnlyOperation",
        "TransactionManagementError",
        "ValidationError",
    ),
    "dorm.choices": (
        "Choices",
        "IntegerChoices",
        "TextChoices",
    ),
}
_SUBMODULES = ("signals", "timezone", "transaction", "exceptions", "fields", "models", "expressions", "aggregates")
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        # models first: the packages below it refer to one another and are written to be entered there.
        import_module("dorm.models")
        value = getattr(import_module(_HOME[name]), name)
    elif name in _SUBMODULES:
        value = import_module(f"dorm.{name}")
    else:
        raise AttributeError(f"module 'dorm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_SUBMODULES})
