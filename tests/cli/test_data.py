"""``dorm dumpdata`` and ``loaddata``: fixtures in Django's format, between databases, from pipes, on terminals."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.support.cli import Scratch

MODELS = """
class Tag(dorm.Model):
    name = dorm.CharField(max_length=20, unique=True)


class Post(dorm.Model):
    title = dorm.CharField(max_length=20)
    parent = dorm.ForeignKey("self", dorm.CASCADE, null=True)
    tags = dorm.ManyToManyField(Tag)
    raw = dorm.BinaryField(null=True)
    price = dorm.DecimalField(max_digits=6, decimal_places=2, null=True)
    took = dorm.DurationField(null=True)
    born = dorm.DateTimeField(null=True)
    token = dorm.UUIDField(null=True)
    doc = dorm.JSONField(null=True)


class Seat(dorm.Model):
    pk = dorm.CompositePrimaryKey("row", "number")
    row = dorm.IntegerField()
    number = dorm.IntegerField()
    taken = dorm.BooleanField(default=False)
"""
FILL = """
import datetime, decimal, uuid
from blog.models import Post, Seat, Tag
tags = Tag.objects.bulk_create([Tag(name=name) for name in "abc"])
# A key that stands before what it refers to: references are checked at the end.
first = Post.objects.create(
    title="täglich\\n", raw=b"\\x00\\xff", price=decimal.Decimal("1.50"), took=datetime.timedelta(days=1, seconds=2),
    born=datetime.datetime(2020, 2, 29, 1, 2, 3, 4000, datetime.timezone.utc), token=uuid.UUID(int=7),
    doc={"a": [1, None]},
)
second = Post.objects.create(title="b", parent=first)
Post.objects.filter(pk=first.pk).update(parent=second)
first.tags.set(tags[:2])
Seat.objects.bulk_create([Seat(row=1, number=n, taken=n == 2) for n in (2, 1)])
"""


@pytest.fixture
def filled(scratch: Scratch, database_settings: dict[str, Any]) -> Scratch:
    """Rows of many types on a database of each backend; the alias ``other`` is an empty SQLite file."""
    databases = {"default": database_settings, "other": "sqlite:///other.db"}
    scratch.settings(more=f"DATABASES = {databases!r}")
    scratch.app("blog", MODELS)
    scratch.ok("makemigrations")
    for alias in databases:
        scratch.ok("migrate", "--database", alias, "-v", "0")
    scratch.write("fill.py", FILL)
    scratch.ok("runscript", "fill.py")
    return scratch


def test_rows_go_to_another_database_and_come_back_the_same(filled: Scratch) -> None:
    text = filled.ok("dumpdata")
    found = json.loads(text)
    assert text == json.dumps(found, ensure_ascii=False) + "\n"
    keys: dict[str, list[Any]] = {}
    for each in found:
        keys.setdefault(each["model"], []).append(each["pk"])
    assert keys == {"blog.seat": [[1, 1], [1, 2]], "blog.tag": [1, 2, 3], "blog.post": [1, 2]}
    (post,) = [each["fields"] for each in found if (each["model"], each["pk"]) == ("blog.post", 1)]
    assert post == {
        "title": "täglich\n",
        "parent": 2,
        "raw": {"__bytes__": "AP8="},
        "price": "1.50",
        "took": "1 00:00:02",
        "born": post["born"],
        "token": "00000000-0000-0000-0000-000000000007",
        "doc": {"a": [1, None]},
        "tags": [1, 2],
    }
    filled.write("rows.json", text)
    assert filled.ok("loaddata", "rows", "--database", "other") == "rows: 7 record(s)\n"
    assert json.loads(filled.ok("dumpdata", "--database", "other")) == found
    # Rows whose keys exist are replaced; counters go on behind the highest key.
    filled.ok("loaddata", "rows.json")
    assert json.loads(filled.ok("dumpdata")) == found
    for alias in ("default", "other"):
        assert filled.ok("shell", "-c", f"print(Tag.objects.using({alias!r}).create(name='d').pk)") == "4\n"


def test_indented_text_is_what_json_writes(filled: Scratch) -> None:
    for indent in (0, 3):
        text = filled.ok("dumpdata", "--indent", str(indent))
        assert text == json.dumps(json.loads(text), indent=indent, ensure_ascii=False) + "\n"
    filled.ok("flush", "--noinput")
    assert filled.ok("dumpdata") == filled.ok("dumpdata", "--indent", "2") == "[]\n"


def test_targets_pipes_folders_and_packed_files(filled: Scratch) -> None:
    assert {each["model"] for each in json.loads(filled.ok("dumpdata", "-e", "blog.Seat", "-e", "blog.Post"))} == {
        "blog.tag"
    }
    tags = filled.ok("dumpdata", "blog.Tag")
    ran = filled.run("loaddata", "-", stdin=tags)
    assert (ran.code, ran.out) == (0, "-: 3 record(s)\n")
    (filled.folder / "blog/fixtures").mkdir()
    (filled.folder / "blog/fixtures/tags.json.gz").write_bytes(gzip.compress(tags.encode()))
    assert filled.ok("loaddata", "tags", "tags.json.gz").splitlines()[-1] == "Installed 6 record(s) from 2 files"
    assert filled.run("dumpdata", "blog.Nothing").code == 1
    assert filled.run("dumpdata", "-o", "no/folder/x.json").code == 1
    assert not (filled.folder / "no").exists()


def test_flush_empties_the_tables_alone_and_counters_begin_anew(filled: Scratch) -> None:
    assert filled.run("flush", stdin="yes please\n").code == 1
    assert len(json.loads(filled.ok("dumpdata"))) == 7
    assert filled.run("flush", stdin="yes\n").out == "Flushed 4 tables.\n"
    assert filled.ok("dumpdata") == "[]\n"
    assert filled.ok("migrate", "--check") == ""
    assert (
        filled.ok("shell", "-c", "print(Tag.objects.create(name='d').pk, Post.objects.create(title='e').pk)") == "1 1\n"
    )
    # The other database is another one.
    filled.ok("shell", "-c", "Tag.objects.using('other').create(name='z')")
    filled.ok("flush", "--noinput")
    assert len(json.loads(filled.ok("dumpdata", "--database", "other"))) == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_terminal_shows_how_far_it_is(filled: Scratch) -> None:
    ran = filled.on_terminal("dumpdata", "-o", "rows.json")
    assert (ran.code, ran.out) == (0, "")
    assert "dumpdata" in ran.err
    assert "100%" in ran.err
    assert "Wrote 7 record(s) to rows.json" in ran.err
    ran = filled.on_terminal("loaddata", "rows.json")
    assert (ran.code, ran.out, "100%" in ran.err) == (0, "rows.json: 7 record(s)\n", True)
    assert filled.run("loaddata", "rows.json").err == ""


WRONG = [
    ("{", "the fixture is no JSON"),
    ("{}", "a fixture is a list of records"),
    ('[{"model": "blog.tagg", "pk": 1, "fields": {}}]', "Did you mean 'blog.tag'?"),
    ('[{"model": "blog.tag", "pk": 9, "fields": {"nam": "x"}}]', "has no field 'nam'. Did you mean 'name'?"),
    (
        '[{"model": "blog.post", "pk": 9, "fields": {"title": "x", "price": "much"}}]',
        "record 1 (blog.post, pk 9), field price",
    ),
    ('[{"model": "blog.post", "pk": 9, "fields": {"title": "x", "parent": 99}}]', "rows.json: "),
]


def test_wrong_records_are_named_and_nothing_is_kept(filled: Scratch) -> None:
    before = filled.ok("dumpdata")
    good = '[{"model": "blog.tag", "pk": 50, "fields": {"name": "z"}}, '
    for text, said in WRONG:
        filled.write("rows.json", text.replace("[{", f"{good}{{", 1))
        ran = filled.run("loaddata", "rows.json")
        assert (ran.code, ran.out) == (1, ""), text
        assert said.replace("record 1", "record 2") in ran.err
        assert len(ran.err.splitlines()) == 1, ran.err
    assert filled.ok("dumpdata") == before


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_lists_are_given_to_programs(filled: Scratch) -> None:
    assert json.loads(filled.ok("dbcheck", "--json")) == []
    assert json.loads(filled.ok("migrate", "--check", "--json")) == []
    assert filled.run("migrate", "--json").code == 2
    plan = json.loads(filled.ok("migrate", "blog", "zero", "--plan", "--json"))
    assert {each["operation"] for each in plan[0]["operations"]} == {"CreateModel"}
    assert json.loads(filled.ok("lint-migrations", "--json"))["findings"] == []
    assert json.loads(filled.ok("sqlmigrate", "blog", "1", "--json"))
    assert json.loads(filled.ok("showmigrations", "--json"))[0]["app"] == "blog"
