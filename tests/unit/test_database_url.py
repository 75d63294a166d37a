"""Database URLs: what they mean, and what is refused without showing a secret."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.conf.databases import database_config

SECRET = "s3cr3t"

MEANINGS: list[tuple[str, dict[str, Any]]] = [
    ("postgres://h/x", {"ENGINE": "postgresql", "NAME": "x", "HOST": "h"}),
    ("psql://h", {"ENGINE": "postgresql", "NAME": "", "HOST": "h"}),
    ("POSTGRESQL://h/x", {"ENGINE": "postgresql", "NAME": "x", "HOST": "h"}),
    ("postgresql://u@/x", {"ENGINE": "postgresql", "NAME": "x", "USER": "u"}),
    (
        "postgresql://u%40x:p%2Fw%3A%25%23@[::1]:5433/my%20d%C3%A4ta",
        {
            "ENGINE": "postgresql",
            "NAME": "my d\u00e4ta",
            "USER": "u@x",
            "PASSWORD": "p/w:%#",
            "HOST": "::1",
            "PORT": 5433,
        },
    ),
    ("postgresql://u:p@ss@h/x", {"ENGINE": "postgresql", "NAME": "x", "USER": "u", "PASSWORD": "p@ss", "HOST": "h"}),
    ("postgresql://%2Fvar%2Frun/x", {"ENGINE": "postgresql", "NAME": "x", "HOST": "/var/run"}),
    ("postgresql:///x?host=/var/run", {"ENGINE": "postgresql", "NAME": "x", "OPTIONS": {"host": "/var/run"}}),
    (
        "postgresql://h/x?options=-c%20search_path%3Done&sslmode=require&sslrootcert=",
        {
            "ENGINE": "postgresql",
            "NAME": "x",
            "HOST": "h",
            "OPTIONS": {"options": "-c search_path=one", "sslmode": "require", "sslrootcert": ""},
        },
    ),
    (
        "postgresql://h/x?MIN_POOL_SIZE=0&MAX_POOL_SIZE=7&POOL_TIMEOUT=2.5&POOL_CHECK=off&MAX_IDLE=1&MAX_LIFETIME=2"
        "&PREPARE_THRESHOLD=0",
        {
            "ENGINE": "postgresql",
            "NAME": "x",
            "HOST": "h",
            "MIN_POOL_SIZE": 0,
            "MAX_POOL_SIZE": 7,
            "POOL_TIMEOUT": 2.5,
            "POOL_CHECK": False,
            "MAX_IDLE": 1.0,
            "MAX_LIFETIME": 2.0,
            "PREPARE_THRESHOLD": 0,
        },
    ),
    ("sqlite://", {"ENGINE": "sqlite", "NAME": ":memory:"}),
    ("sqlite:///", {"ENGINE": "sqlite", "NAME": ":memory:"}),
    ("sqlite://rel/x.db", {"ENGINE": "sqlite", "NAME": "rel/x.db"}),
    ("sqlite:///rel/x.db", {"ENGINE": "sqlite", "NAME": "rel/x.db"}),
    ("sqlite3:////abs/a%20b%23.db", {"ENGINE": "sqlite", "NAME": "/abs/a b#.db"}),
    ("sqlite:///x.db?timeout=3", {"ENGINE": "sqlite", "NAME": "x.db", "OPTIONS": {"timeout": "3"}}),
    (
        "mysql+pymysql://u:p@h:3306/x",
        {"ENGINE": "mysql", "NAME": "x", "USER": "u", "PASSWORD": "p", "HOST": "h", "PORT": 3306},
    ),
]


@pytest.mark.parametrize(("url", "meaning"), MEANINGS, ids=[url for url, _ in MEANINGS])
def test_what_a_url_means(url: str, meaning: dict[str, Any]) -> None:
    assert dorm.parse_database_url(url) == meaning


REFUSED: list[tuple[Any, str]] = [
    ("postgresql:h/x", "'://' has to follow the scheme"),
    ("postgresql:/h/x", "'://' has to follow the scheme"),
    ("no url", "unknown scheme ''"),
    ("mongodb://h/x", "unknown scheme 'mongodb'"),
    ("postgresql://[::1/x", "its host is none"),
    ("postgresql://h:99999/x", "its port is no number from 0 to 65535"),
    (f"postgresql://u:{SECRET}/more@h/x", "its port is no number.*percent-encode"),
    (f"postgresql://u:{SECRET}?more@h/x", "its port is no number.*percent-encode"),
    (f"postgresql://u:{SECRET}#more@h/x", "a '#' is written %23.*percent-encode"),
    (f"postgresql://u:{SECRET}@[h/x", "its host is none"),
    (f"postgresql://u:{SECRET}%ff@h/x", "the bytes of its password are no UTF-8"),
    (f"postgresql://u:{SECRET}%00@h/x", "its password holds the character NUL"),
    ("postgresql://h/%ff", "the bytes of its name are no UTF-8"),
    ("sqlite:///x%00.db", "its name holds the character NUL"),
    ("sqlite:///x.db#1", "a '#' is written %23"),
    ("postgresql://h/x?POOL_CHECK=perhaps", "POOL_CHECK in a database URL takes a boolean"),
    (None, "a database URL is a text, not NoneType"),
    (b"sqlite://", "a database URL is a text, not bytes"),
]


@pytest.mark.parametrize(("url", "message"), REFUSED, ids=[str(url) for url, _ in REFUSED])
def test_what_is_refused_without_a_secret(url: Any, message: str) -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match=message) as caught:
        dorm.parse_database_url(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


WRONG_ENTRIES: list[tuple[Any, str]] = [
    ({"ENGINE": "sqlite", "NMAE": "x"}, r"DATABASES\['other'\] has the unknown key 'NMAE'.*Did you mean 'NAME'\?"),
    ({"ENGINE": "sqlite", "NAME": 5}, r"DATABASES\['other'\]\['NAME'\] takes str, not int"),
    ({"ENGINE": "postgresql", "PORT": "x"}, r"DATABASES\['other'\]\['PORT'\] takes a number"),
    ({"URL": "postgrs://h/x"}, r"DATABASES\['other'\]: .*unknown scheme 'postgrs'.*Did you mean 'postgres'\?"),
    ({"URL": "postgresql://h/x", "MIN_POOL_SIZE": 11}, r"DATABASES\['other'\] needs 0 <= MIN_POOL_SIZE"),
    (5, r"DATABASES\['other'\] is a int: give a dict or a URL"),
]


@pytest.mark.parametrize(("entry", "message"), WRONG_ENTRIES, ids=[str(entry) for entry, _ in WRONG_ENTRIES])
def test_a_wrong_entry_is_refused_by_alias_and_key(entry: Any, message: str) -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match=message):
        database_config("other", entry)


def test_keys_beside_the_url_win() -> None:
    found = database_config("other", {"URL": "postgresql://u:p@h:1/x?MAX_POOL_SIZE=3", "HOST": "k", "MAX_POOL_SIZE": 5})
    assert (found.user, found.host, found.port, found.name, found.max_pool_size) == ("u", "k", 1, "x", 5)
