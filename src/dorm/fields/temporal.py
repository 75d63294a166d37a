"""Fields of dates, times and durations."""

from __future__ import annotations

import datetime
import warnings
from typing import Any, Literal, TypeVar, Unpack, overload

from dorm import timezone
from dorm.conf.settings import settings
from dorm.db.types import DATE, INTERVAL, TIME, TIMESTAMP, TIMESTAMPTZ, SqlType
from dorm.exceptions import ImproperlyConfigured
from dorm.fields.base import Field
from dorm.fields.options import FieldOptions

T = TypeVar("T")


class _Stamped(Field[T]):
    """A field that can take the present when its row is saved."""

    empty_strings_allowed = False

    def __init__(
        self, *, auto_now: bool = False, auto_now_add: bool = False, null: bool = False, **options: Any
    ) -> None:
        if auto_now and auto_now_add:
            raise ImproperlyConfigured("auto_now and auto_now_add are mutually exclusive.")
        if auto_now or auto_now_add:
            options.setdefault("editable", False)
            options.setdefault("blank", True)
        super().__init__(null=null, **options)
        self.auto_now = auto_now
        self.auto_now_add = auto_now_add

    def present(self) -> Any:
        """Return the present as this field's type."""
        raise NotImplementedError

    def pre_save(self, instance: Any, add: bool) -> Any:
        if self.auto_now or (self.auto_now_add and add):
            instance.__dict__[self.attname] = self.present()
        return instance.__dict__.get(self.attname)


class DateField(_Stamped[T]):
    """A date.

    Args:
        auto_now: today, at each save. auto_now_add: today, when the row is inserted.
    """

    description = "a date, or text as YYYY-MM-DD"

    @overload
    def __init__(
        self: DateField[datetime.date],
        *,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DateField[datetime.date | None],
        *,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(
        self, *, auto_now: bool = False, auto_now_add: bool = False, null: bool = False, **options: Any
    ) -> None:
        super().__init__(auto_now=auto_now, auto_now_add=auto_now_add, null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return DATE

    def present(self) -> datetime.date:
        return timezone.now().date() if not settings.USE_TZ else timezone.make_naive(timezone.now()).date()

    def prepare(self, value: Any) -> Any:
        if type(value) is datetime.date:
            return value
        if isinstance(value, datetime.datetime):
            return (timezone.make_naive(value) if timezone.is_aware(value) else value).date()
        if isinstance(value, str):
            try:
                return datetime.date.fromisoformat(value)
            except ValueError:
                self.refuse(value, "it does not parse")
        self.refuse(value)


class TimeField(_Stamped[T]):
    """A time of day, without a zone."""

    description = "a time, or text as HH:MM[:SS[.ffffff]]"

    @overload
    def __init__(
        self: TimeField[datetime.time],
        *,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeField[datetime.time | None],
        *,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(
        self, *, auto_now: bool = False, auto_now_add: bool = False, null: bool = False, **options: Any
    ) -> None:
        super().__init__(auto_now=auto_now, auto_now_add=auto_now_add, null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return TIME

    def present(self) -> datetime.time:
        return timezone.now().time()

    def prepare(self, value: Any) -> Any:
        if isinstance(value, datetime.datetime):
            return value.time()
        if isinstance(value, str):
            try:
                value = datetime.time.fromisoformat(value)
            except ValueError:
                self.refuse(value, "it does not parse")
        if not isinstance(value, datetime.time):
            self.refuse(value)
        if value.tzinfo is not None:
            self.refuse(value, "it has a time zone")
        return value


class DateTimeField(_Stamped[T]):
    """A moment: aware in UTC with the setting ``USE_TZ``, else naive."""

    description = "a datetime, a date, or text in ISO 8601"

    @overload
    def __init__(
        self: DateTimeField[datetime.datetime],
        *,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        null: Literal[False] = ...,
        **options: Unpack[FieldOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DateTimeField[datetime.datetime | None],
        *,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        null: Literal[True],
        **options: Unpack[FieldOptions],
    ) -> None: ...
    def __init__(
        self, *, auto_now: bool = False, auto_now_add: bool = False, null: bool = False, **options: Any
    ) -> None:
        super().__init__(auto_now=auto_now, auto_now_add=auto_now_add, null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return TIMESTAMPTZ if settings.USE_TZ else TIMESTAMP

    def present(self) -> datetime.datetime:
        return timezone.now()

    def prepare(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = datetime.datetime.fromisoformat(value)
            except ValueError:
                self.refuse(value, "it does not parse")
        elif type(value) is datetime.date:
            value = datetime.datetime(value.year, value.month, value.day)
        if not isinstance(value, datetime.datetime):
            self.refuse(value)
        if not settings.USE_TZ:
            return value if value.tzinfo is None else timezone.make_naive(value, timezone.get_default_timezone())
        if value.tzinfo is not None:
            return value
        warnings.warn(f"{self} received a naive datetime while USE_TZ is set", RuntimeWarning, stacklevel=2)
        return timezone.make_aware(value, timezone.get_default_timezone())


class DurationField(Field[T]):
    """A span of time, to the microsecond."""

    empty_strings_allowed = False
    description = "a timedelta"

    @overload
    def __init__(
        self: DurationField[datetime.timedelta], *, null: Literal[False] = ..., **options: Unpack[FieldOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: DurationField[datetime.timedelta | None], *, null: Literal[True], **options: Unpack[FieldOptions]
    ) -> None: ...
    def __init__(self, *, null: bool = False, **options: Any) -> None:
        super().__init__(null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return INTERVAL

    def prepare(self, value: Any) -> Any:
        if isinstance(value, datetime.timedelta):
            return value
        self.refuse(value)
