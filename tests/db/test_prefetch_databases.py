"""Prefetches and related managers stay on the database of the rows they start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm import Prefetch
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names


class Press(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "prefetch_databases"


class Writer(dorm.Model):
    name = dorm.CharField(max_length=20)

    class Meta:
        app_label = "prefetch_databases"


class Portrait(dorm.Model):
    writer = dorm.OneToOneField(Writer, related_name="portrait")

    class Meta:
        app_label = "prefetch_databases"


class Title(dorm.Model):
    name = dorm.CharField(max_length=20)
    press = dorm.ForeignKey(Press, related_name="titles")
    writers = dorm.ManyToManyField(Writer, related_name="titles")

    class Meta:
        app_label = "prefetch_databases"


class Note(dorm.Model):
    title = dorm.ForeignKey(Title, related_name="notes")
    by = dorm.ForeignKey(Writer, null=True)

    class Meta:
        app_label = "prefetch_databases"


MODELS: list[type[dorm.Model]] = [Press, Writer, Portrait, Title, Note]


@pytest.fixture(autouse=True)
def databases(empty_database: dict[str, Any], tmp_path: Path) -> None:
    second = {"ENGINE": "sqlite", "NAME": str(tmp_path / "second.db")}
    dorm.configure(DATABASES={"default": empty_database, "second": second})
    for alias in ("default", "second"):
        create_tables(MODELS, using=alias)


async def fill(face: Face) -> Any:
    press = await face(Press.objects.using("second").create)(name="press")
    ann = await face(Writer.objects.using("second").create)(name="Ann")
    await face(Portrait.objects.using("second").create)(writer=ann)
    title = await face(Title.objects.using("second").create)(name="title", press=press)
    await face(title.writers.add)(ann)
    await face(Note.objects.using("second").create)(title=title, by=ann)
    return title


async def test_every_kind_of_relation(face: Face) -> None:
    await fill(face)
    assert await face(Title.objects.count)() == 0
    titles = Title.objects.using("second").prefetch_related("writers__portrait", "press", "notes__by")
    (title,) = await face.rows(titles)
    (writer,) = title.writers.all()
    (note,) = title.notes.all()
    for row in (title, writer, writer.portrait, title.press, note, note.by):
        assert row._state.db == "second"
    (press,) = await face.rows(Press.objects.using("second").prefetch_related("titles__notes"))
    assert [len(each.notes.all()) for each in press.titles.all()] == [1]
    joined = await face(Writer.objects.using("second").select_related("portrait").get)()
    assert joined.portrait._state.db == "second"


async def test_a_prefetch_that_names_its_database(face: Face) -> None:
    await fill(face)
    own = Prefetch("writers", queryset=Writer.objects.order_by("pk"))
    assert names((await face.rows(Title.objects.using("second").prefetch_related(own)))[0].writers.all()) == ["Ann"]
    other = Prefetch("writers", queryset=Writer.objects.using("default"))
    assert (await face.rows(Title.objects.using("second").prefetch_related(other)))[0].writers.all()[:] == []
    assert (
        await face.rows(Title.objects.prefetch_related(Prefetch("writers", queryset=Writer.objects.using("second"))))
        == []
    )


async def test_related_managers(face: Face) -> None:
    title = await fill(face)
    assert title.writers.all().db == title.notes.all().db == "second"
    assert (await face(title.notes.create)())._state.db == "second"
    assert (await face(title.writers.create)(name="Bob"))._state.db == "second"
    assert [await face(Note.objects.using(alias).count)() for alias in ("default", "second")] == [0, 2]
    stranger = await face(Writer.objects.create)(name="stranger")
    with pytest.raises(ValueError, match="database"):
        await face(title.writers.add)(stranger)
    found = Title.objects.using("second").filter(writers__in=Writer.objects.using("default"))
    with pytest.raises(ValueError, match="different databases"):
        await face.rows(found)
