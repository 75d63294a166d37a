"""Keys, what encrypted columns hide and personal data show in no error, traceback, log, repr or pickle."""

from __future__ import annotations

import base64
import io
import logging
import pickle
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import dorm
from dorm.contrib import encrypted
from dorm.contrib.encrypted import EncryptedCharField, EncryptedTextField, rotate_encryption_keys
from dorm.db.connection import get_connection
from dorm.migrations.schema import create_tables
from dorm.validators import RegexValidator

PLAIN = "plaintext-7f3a"
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(1, 4)]


class Secretive(dorm.Model):
    code = EncryptedCharField(max_length=20, unique=True, choices=[("a", "A"), (PLAIN, "P")])
    note = EncryptedTextField(deterministic=False, default="", pii=True)
    short = EncryptedCharField(max_length=3, default="x", validators=[RegexValidator(r"^x*$")])

    class Meta:
        app_label = "secret_tests"


class Guest(dorm.Model):
    email = dorm.CharField(max_length=20, unique=True, null=True, pii=True)
    born = dorm.IntegerField(default=1, pii=True, choices=[(1, "one")])
    code = dorm.CharField(max_length=20, default="x", pii=True, validators=[RegexValidator(r"^x*$")])

    class Meta:
        app_label = "secret_tests"
        constraints = [dorm.CheckConstraint(condition=dorm.Q(born__gt=0), name="guest_born")]


class Visit(dorm.Model):
    guest = dorm.ForeignKey(Guest, to_field="email", db_column="guest_email", pii=True)

    class Meta:
        app_label = "secret_tests"


@pytest.fixture(autouse=True)
def keyed(empty_database: dict[str, Any]) -> None:
    dorm.configure(FIELD_ENCRYPTION_KEYS=[KEYS[0]])
    create_tables([Secretive, Guest, Visit])


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    """Give what dorm's loggers write in the block, at every level."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root, level = logging.getLogger("dorm"), logging.getLogger("dorm").level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _shown(error: BaseException) -> list[str]:
    """Return every text that an error may be shown as, without the lines of source that a traceback quotes."""
    shown: list[str] = []
    each: BaseException | None = error
    while each is not None:
        shown += [str(each), repr(each), repr(each.args), str(getattr(each, "statement", ""))]
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    formatted = "".join(traceback.format_exception(error)).splitlines()
    shown.append("\n".join(line for line in formatted if not line.startswith("    ")))
    shown.append(repr(pickle.dumps(error)))
    return shown


def _none_shows(texts: list[str], *secrets: str) -> None:
    for text in texts:
        for secret in secrets:
            assert secret not in text, text


_KEY_FORMS = [form for key in KEYS for form in (key[:20], repr(base64.b64decode(key))[2:20])]


# -- encrypted columns -------------------------------------------------------------------------------------------


def _with_head(*keys: str) -> None:
    dorm.configure(FIELD_ENCRYPTION_KEYS=list(keys))


def _twice() -> None:
    Secretive.objects.create(code=PLAIN)
    Secretive.objects.create(code=PLAIN)


def _unknown(using: Any) -> Any:
    Secretive.objects.create(code=PLAIN, note=PLAIN)
    _with_head(KEYS[2])
    return using()


_FAILURES: dict[str, Any] = {
    "read": lambda: _unknown(lambda: list(Secretive.objects.all())),
    "values": lambda: _unknown(lambda: list(Secretive.objects.values())),
    "raw": lambda: _unknown(lambda: list(Secretive.objects.raw("SELECT * FROM secret_tests_secretive"))),
    "refresh": lambda: _unknown(lambda: Secretive(pk=1).refresh_from_db()),
    "rotate": lambda: _unknown(lambda: rotate_encryption_keys(Secretive)),
    "rotate, skipping": lambda: (_unknown(lambda: rotate_encryption_keys(Secretive, on_error="skip")), 1 / 0),
    "get none": lambda: Secretive.objects.get(code=PLAIN),
    "unique": _twice,
    "unique in bulk": lambda: Secretive.objects.bulk_create([Secretive(code=PLAIN), Secretive(code=PLAIN)]),
    "unique in validation": lambda: (Secretive.objects.create(code=PLAIN), Secretive(code=PLAIN).full_clean()),
    "choices": lambda: Secretive(code=PLAIN + "!").full_clean(),
    "too long": lambda: Secretive(code="a", short=PLAIN).full_clean(),
    "validator": lambda: Secretive(code="a", short="7f3").full_clean(),
    "lookup": lambda: list(Secretive.objects.filter(code__contains=PLAIN)),
    "random comparison": lambda: list(Secretive.objects.filter(note=PLAIN)),
    "order of a lookup": lambda: list(Secretive.objects.filter(code__gt=PLAIN)),
    "unknown field": lambda: list(Secretive.objects.filter(nothing=PLAIN)),
    "key of a wrong length": lambda: (_with_head(KEYS[0] + "AAAA"), encrypted.keys()),
    "key that is no base64": lambda: (_with_head("!" + KEYS[0]), encrypted.keys()),
    "key of a wrong type": lambda: (dorm.configure(FIELD_ENCRYPTION_KEYS=[{"key": KEYS[0]}]), encrypted.keys()),
    "one key, not a list": lambda: (dorm.configure(FIELD_ENCRYPTION_KEYS=KEYS[0]), encrypted.keys()),
    "pickled key": lambda: pickle.dumps(encrypted.keys()),
    "no table": lambda: (
        get_connection().execute_script("DROP TABLE secret_tests_secretive"),
        Secretive.objects.create(code=PLAIN),
    ),
}


@pytest.mark.parametrize("failure", _FAILURES)
def test_neither_keys_nor_plaintext_show_whatever_fails(failure: str) -> None:
    with _logged() as written, pytest.raises(Exception) as caught:  # whatever it is
        _FAILURES[failure]()
    _none_shows([*_shown(caught.value), written.getvalue()], PLAIN, *_KEY_FORMS)


def test_reprs_and_pickles_show_no_secret() -> None:
    row = Secretive.objects.create(code=PLAIN, note=PLAIN)
    qs = Secretive.objects.filter(code=PLAIN)
    key = encrypted.keys()[0]
    shown = [row, qs, list(qs), Secretive._meta.get_field("code"), key, encrypted.keys(), dorm.settings, qs.query]
    _none_shows([f"{each!r} {each}" for each in shown], PLAIN, KEYS[0][:20])
    assert PLAIN not in f"{key.__slots__} {key.id}"
    for pickled in (row, qs, Secretive._meta.get_field("code")):
        _none_shows([repr(pickle.dumps(pickled))], *_KEY_FORMS)


# -- personal data -----------------------------------------------------------------------------------------------


BORN = 492900112


def _raw_unique() -> None:
    sql = "INSERT INTO secret_tests_guest (email, born, code) VALUES (%s, 1, 'x')"
    get_connection().execute_write(sql, [PLAIN])
    get_connection().execute_write(sql, [PLAIN])


_PERSONAL: dict[str, Any] = {
    "unique": lambda: [Guest.objects.create(email=PLAIN) for _ in range(2)],
    "unique in bulk": lambda: Guest.objects.bulk_create([Guest(email=PLAIN) for _ in range(2)]),
    "unique in update": lambda: (
        Guest.objects.bulk_create([Guest(email=PLAIN), Guest(email="other")]),
        Guest.objects.update(email=PLAIN),
    ),
    "unique in raw SQL": _raw_unique,
    "check": lambda: Guest.objects.create(email=PLAIN, born=-BORN),
    "check in update": lambda: (Guest.objects.create(email=PLAIN), Guest.objects.update(born=-BORN)),
    "nowhere": lambda: Visit.objects.create(guest_id=PLAIN),
    "get none": lambda: Guest.objects.get(email=PLAIN, born=BORN),
    "get several": lambda: (
        Guest.objects.bulk_create([Guest(code=PLAIN) for _ in range(2)]),
        Guest.objects.get(code=PLAIN),
    ),
    "wrong type": lambda: Guest.objects.create(born=PLAIN),
    "wrong type in a lookup": lambda: list(Guest.objects.filter(born=PLAIN)),
    "no such column": lambda: get_connection().execute(
        "SELECT nothing FROM secret_tests_guest WHERE email = %s", [PLAIN]
    ),
    "unique in validation": lambda: (Guest.objects.create(email=PLAIN), Guest(email=PLAIN).full_clean()),
    "choices": lambda: Guest(email="a", born=BORN).full_clean(),
    "too long": lambda: Guest(email=PLAIN * 3).full_clean(),
    "validator": lambda: Guest(email="a", code=PLAIN).full_clean(),
}


@pytest.mark.parametrize("failure", _PERSONAL)
def test_personal_data_does_not_show_whatever_fails(failure: str) -> None:
    with _logged() as written, pytest.raises(Exception) as caught:  # whatever it is
        _PERSONAL[failure]()
    _none_shows([*_shown(caught.value), written.getvalue()], PLAIN, str(BORN))


def test_reprs_show_no_personal_data() -> None:
    row = Guest.objects.create(email=PLAIN, born=BORN)
    qs = Guest.objects.filter(email=PLAIN)
    _none_shows([f"{each!r} {each}" for each in (row, qs, list(qs), Guest._meta.get_field("email"))], PLAIN, str(BORN))


def test_the_cause_still_tells_the_driver_what_it_was(backend: str) -> None:
    Guest.objects.create(email=PLAIN)
    with pytest.raises(dorm.IntegrityError) as caught:
        Guest.objects.create(email=PLAIN)
    cause: Any = caught.value.__cause__
    assert cause is not None
    if backend == "postgresql":
        assert cause.diag.constraint_name in str(caught.value)
        assert PLAIN in cause.diag.message_detail  # for who asks for it
        assert str(cause) == str(caught.value)
