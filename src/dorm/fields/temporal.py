"""Fields of dates, times and durations."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar, Unpack, overload

from dorm import timezone
from dorm.conf.settings import settings
from dorm.db.types import DATE, INTERVAL, TIME, TIMESTAMP, TIMESTAMPTZ, SqlType
from dorm.exceptions import ImproperlyConfigured, InvalidValue, ValidationError
from dorm.fields.base import Field
from dorm.fields.options import TextOptions
from dorm.sql import plan
from dorm.sql.parse import duration_text, parse_date, parse_datetime, parse_duration
from dorm.sql.reading import date_of, in_time, time_of

T = TypeVar("T")


class _Stamped(Field[T]):
    """A field that can take the present when its row is saved."""

    empty_strings_allowed = False

    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        auto_now: bool = False,
        auto_now_add: bool = False,
        *,
        null: bool = False,
        **options: Any,
    ) -> None:
        if auto_now + auto_now_add + ("default" in options) > 1:
            raise ImproperlyConfigured("auto_now, auto_now_add and default are mutually exclusive.")
        if auto_now or auto_now_add:
            options["editable"] = False
            options["blank"] = True
        super().__init__(verbose_name, name, null=null, **options)
        self.auto_now = auto_now
        self.auto_now_add = auto_now_add

    def deconstruct(self) -> tuple[str | None, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.auto_now:
            kwargs["auto_now"] = True
        if self.auto_now_add:
            kwargs["auto_now_add"] = True
        if self.auto_now or self.auto_now_add:
            del kwargs["editable"], kwargs["blank"]
        return name, path, args, kwargs

    def present(self) -> Any:
        """Return the present as this field's type."""
        raise NotImplementedError

    def pre_save(self, instance: Any, add: bool) -> Any:
        if self.auto_now or (self.auto_now_add and add):
            instance.__dict__[self.attname] = self.present()
        return instance.__dict__.get(self.attname)

    def read(self, value: Any) -> Any:
        """Return *value* as this field's Python type; raise ValidationError with the code of what is wrong."""
        raise NotImplementedError

    def parsed(self, value: Any, parse: Callable[[Any], Any], code: str) -> Any:
        """Return what *parse* makes of *value*, None for one of another form; *code* tells a text that is no value."""
        try:
            return parse(value)
        except ValueError as exc:
            raise self.invalid(value, code) from exc

    def to_python(self, value: Any) -> Any:
        return None if value is None else self.read(value)

    def prepare(self, value: Any) -> Any:
        try:
            return self.read(value)
        except InvalidValue:
            raise
        except ValidationError as exc:
            self.refuse(value, "it does not parse" if isinstance(value, str) else "")
            raise AssertionError from exc

    def value_to_string(self, obj: Any) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else value.isoformat()


class DateField(_Stamped[T]):
    """A date.

    Args:
        auto_now: today, at each save. auto_now_add: today, when the row is inserted.
    """

    description = "a date, or text as YYYY-MM-DD"
    default_error_messages: ClassVar[dict[str, str]] = {
        "invalid": "“%(value)s” value has an invalid date format. It must be in YYYY-MM-DD format.",
        "invalid_date": "“%(value)s” value has the correct format (YYYY-MM-DD) but it is an invalid date.",
    }

    @overload
    def __init__(
        self: DateField[datetime.date],
        verbose_name: str | None = ...,
        name: str | None = ...,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DateField[datetime.date | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        auto_now: bool = False,
        auto_now_add: bool = False,
        *,
        null: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(verbose_name, name, auto_now, auto_now_add, null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return DATE

    def present(self) -> datetime.date:
        return timezone.make_naive(timezone.now()).date() if settings.USE_TZ else timezone.now().date()

    def read(self, value: Any) -> Any:
        if type(value) is datetime.date:
            return value
        found = self.parsed(value, date_of, "invalid_date")
        if found is None:
            raise self.invalid(value)
        return found


class TimeField(_Stamped[T]):
    """A time of day, without a zone.

    Args:
        auto_now: the present, at each save. auto_now_add: the present, when the row is inserted.
    """

    description = "a time, or text as HH:MM[:SS[.ffffff]]"
    default_error_messages: ClassVar[dict[str, str]] = {
        "invalid": "“%(value)s” value has an invalid format. It must be in HH:MM[:ss[.uuuuuu]] format.",
        "invalid_time": "“%(value)s” value has the correct format (HH:MM[:ss[.uuuuuu]]) but it is an invalid time.",
    }

    @overload
    def __init__(
        self: TimeField[datetime.time],
        verbose_name: str | None = ...,
        name: str | None = ...,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: TimeField[datetime.time | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        auto_now: bool = False,
        auto_now_add: bool = False,
        *,
        null: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(verbose_name, name, auto_now, auto_now_add, null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return TIME

    def present(self) -> datetime.time:
        return timezone.make_naive(timezone.now()).time() if settings.USE_TZ else timezone.now().time()

    def read(self, value: Any) -> Any:
        found = self.parsed(value, time_of, "invalid_time")
        if found is None:
            raise self.invalid(value)
        if found.tzinfo is not None:
            self.refuse(value, "it has a time zone")
        return found


class DateTimeField(_Stamped[T]):
    """A moment: aware with the setting ``USE_TZ``, else naive.

    With ``USE_TZ`` a naive value is taken as a time of the default zone, with a RuntimeWarning; without it an aware one
    is stored as the clock of the default zone shows it.

    Args:
        auto_now: the present, at each save. auto_now_add: the present, when the row is inserted.
    """

    description = "a datetime, a date, or text in ISO 8601"
    default_error_messages: ClassVar[dict[str, str]] = {
        "invalid": (
            "“%(value)s” value has an invalid format. It must be in YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format."
        ),
        "invalid_date": "“%(value)s” value has the correct format (YYYY-MM-DD) but it is an invalid date.",
        "invalid_datetime": (
            "“%(value)s” value has the correct format (YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ]) but it is an invalid "
            "date/time."
        ),
    }

    @overload
    def __init__(
        self: DateTimeField[datetime.datetime],
        verbose_name: str | None = ...,
        name: str | None = ...,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DateTimeField[datetime.datetime | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        auto_now: bool = ...,
        auto_now_add: bool = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self,
        verbose_name: str | None = None,
        name: str | None = None,
        auto_now: bool = False,
        auto_now_add: bool = False,
        *,
        null: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(verbose_name, name, auto_now, auto_now_add, null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return TIMESTAMPTZ if settings.USE_TZ else TIMESTAMP

    def present(self) -> datetime.datetime:
        return timezone.now()

    def read(self, value: Any) -> Any:
        if isinstance(value, datetime.datetime):
            return value
        if isinstance(value, datetime.date):
            return in_time(datetime.datetime(value.year, value.month, value.day), f"DateTimeField {self}")
        if isinstance(value, str):
            found = self.parsed(value, parse_datetime, "invalid_datetime")
            if found is not None:
                return found
            date = self.parsed(value, parse_date, "invalid_date")
            if date is not None:
                return datetime.datetime(date.year, date.month, date.day)
        raise self.invalid(value)

    def prepare(self, value: Any) -> Any:
        if not isinstance(value, datetime.datetime):
            value = super().prepare(value)
        return in_time(value, f"DateTimeField {self}")


class DurationField(Field[T]):
    """A span of time, to the microsecond."""

    empty_strings_allowed = False
    description = "a timedelta"
    default_error_messages: ClassVar[dict[str, str]] = {
        "invalid": "“%(value)s” value has an invalid format. It must be in [DD] [[HH:]MM:]ss[.uuuuuu] format."
    }

    @overload
    def __init__(
        self: DurationField[datetime.timedelta],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: DurationField[datetime.timedelta | None],
        verbose_name: str | None = ...,
        name: str | None = ...,
        *,
        null: Literal[True],
        **options: Unpack[TextOptions],
    ) -> None: ...
    def __init__(
        self, verbose_name: str | None = None, name: str | None = None, *, null: bool = False, **options: Any
    ) -> None:
        super().__init__(verbose_name, name, null=null, **options)

    @property
    def sql_type(self) -> SqlType:
        return INTERVAL

    def prepare(self, value: Any) -> Any:
        if isinstance(value, datetime.timedelta):
            return value
        if isinstance(value, str):
            try:
                found = parse_duration(value)
            except ValueError:
                found = None
            if found is not None:
                return found
        self.refuse(value)

    def value_to_string(self, obj: Any) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else duration_text(value)


def _changed(names: frozenset[str]) -> None:
    """Let plans forget the column types they were compiled for: those of datetimes follow ``USE_TZ``."""
    if names & {"USE_TZ", "TIME_ZONE"}:
        plan.renew()


settings.on_change(_changed)
