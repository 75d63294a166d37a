"""Content types, generic foreign keys and generic relations."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dorm
from dorm.contrib.contenttypes import ContentType, GenericPrefetch
from dorm.migrations.schema import create_tables
from tests.support.faces import Face, names
from tests.support.generic import GENERIC, Bookmark, Note, Shelved, TaggedItem, Writer
from tests.support.statements import statements


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, object]) -> Iterator[None]:
    create_tables(GENERIC)
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


async def tagged(face: Face) -> tuple[Bookmark, Note, Note]:
    """A bookmark with two tags, a note with one, a note without."""
    ann = await face(Writer.objects.create)(name="Ann")
    site = await face(Bookmark.objects.create)(url="https://example.org")
    first = await face(Note.objects.create)(text="first", author=ann)
    second = await face(Note.objects.create)(text="second")
    await face(site.tags.create)(tag="a")
    await face(site.tags.create)(tag="b")
    await face(TaggedItem.objects.create)(tag="c", content_object=first)
    return site, first, second


async def test_a_content_type_is_made_once_and_remembered(face: Face) -> None:
    found = await face(ContentType.objects.get_for_model)(Bookmark)
    assert (found.app_label, found.model, found.natural_key()) == ("generic", "bookmark", ("generic", "bookmark"))
    assert found.model_class() is Bookmark
    assert (str(found), found.name) == ("generic | bookmark", "bookmark")
    with statements() as sent:
        assert await face(ContentType.objects.get_for_model)(Bookmark(url="x")) is found
        assert await face(ContentType.objects.get_for_id)(found.pk) is found
        assert await face(ContentType.objects.get_by_natural_key)("generic", "bookmark") is found
    assert not sent
    both = await face(ContentType.objects.get_for_models)(Bookmark, Note)
    assert both[Bookmark] is found
    assert both[Note].model_class() is Note
    assert await face(ContentType.objects.count)() == 2
    with pytest.raises(ContentType.DoesNotExist):
        await face(ContentType.objects.get_for_id)(found.pk + 100)


async def test_objects_of_a_content_type(face: Face) -> None:
    site, _first, _second = await tagged(face)
    found = await face(ContentType.objects.get_for_model)(Bookmark)
    assert await face(found.get_object_for_this_type)(url="https://example.org") == site
    assert await face.rows(found.get_all_objects_for_this_type()) == [site]
    with pytest.raises(Bookmark.DoesNotExist):
        await face(found.get_object_for_this_type)(url="nothing")
    gone = ContentType(app_label="generic", model="nothing")
    assert gone.model_class() is None
    assert str(gone) == "nothing"


async def test_a_content_type_made_in_a_block_that_rolls_back_is_forgotten(face: Face) -> None:
    with pytest.raises(RuntimeError, match="undo"):
        async with face.atomic():
            await face(ContentType.objects.get_for_model)(Bookmark)
            raise RuntimeError("undo")
    found = await face(ContentType.objects.get_for_model)(Bookmark)
    assert await face(ContentType.objects.filter(pk=found.pk).exists)()


async def test_the_key_follows_the_object_and_back(face: Face) -> None:
    site, first, _second = await tagged(face)
    item = await face(TaggedItem.objects.prefetch_related("content_object").get)(tag="c")
    assert item.object_id == first.pk
    item.content_object = site
    await face(item.save)()
    again = await face(TaggedItem.objects.get)(tag="c")
    assert again.object_id == site.pk
    assert await face(TaggedItem.content_object.get)(again) == site
    assert again.content_object == site
    again.object_id = site.pk + 100
    assert await face(TaggedItem.content_object.get)(again) is None
    item.content_object = None
    assert item.content_object is None
    assert item.object_id is None
    with pytest.raises(ValueError, match="must be an instance of a model"):
        item.content_object = "text"  # type: ignore[assignment]  # this is what is refused


async def test_an_unsaved_object_is_refused_and_a_saved_one_filled_in(face: Face) -> None:
    note = Note(text="new")
    item = TaggedItem(tag="x", content_object=note)
    with pytest.raises(ValueError, match=r"unsaved related object 'content_object': save the Note first"):
        await face(item.save)()
    await face(note.save)()
    await face(item.save)()
    assert item.object_id == note.pk
    assert await face.rows(note.tags.all()) == [item]


async def test_many_are_inserted_at_once(face: Face) -> None:
    site = await face(Bookmark.objects.create)(url="u")
    note = await face(Note.objects.create)(text="n")
    ContentType.objects.clear_cache()
    items = [TaggedItem(tag="a", content_object=site), TaggedItem(tag="b", content_object=note)]
    await face(TaggedItem.objects.bulk_create)(items)
    assert names(await face.rows(site.tags.all()), "tag") == ["a"]
    assert names(await face.rows(note.tags.all()), "tag") == ["b"]
    with pytest.raises(ValueError, match=r"bulk_create\(\) prohibited.*'content_object': save the Note first"):
        await face(TaggedItem.objects.bulk_create)([TaggedItem(tag="c", content_object=Note(text="new"))])


def test_it_loads_on_access_for_all_rows_of_the_fetch(backend: str) -> None:
    site = Bookmark.objects.create(url="u")
    notes = [Note.objects.create(text=text) for text in ("one", "two")]
    for obj in (site, *notes):
        obj.tags.create(tag="t")
    items = list(TaggedItem.objects.order_by("pk"))
    ContentType.objects.get_for_models(Bookmark, Note)
    with statements() as sent:
        assert [item.content_object for item in items] == [site, *notes]
    assert len(sent) == 2


async def test_managers_add_remove_clear_and_set(face: Face) -> None:
    site, first, second = await tagged(face)
    c = await face(first.tags.get)()
    await face(second.tags.add)(c)
    assert await face.rows(second.tags.all()) == [c]
    assert not await face(first.tags.exists)()
    with pytest.raises(ValueError, match=r"isn't saved\. Use bulk=False"):
        await face(second.tags.add)(TaggedItem(tag="d"))
    await face(second.tags.add)(TaggedItem(tag="d"), bulk=False)
    assert names(await face.rows(second.tags.all()), "tag") == ["c", "d"]
    await face(second.tags.set)([c])
    assert names(await face.rows(second.tags.all()), "tag") == ["c"]
    await face(second.tags.remove)(c)
    assert await face(second.tags.count)() == 0
    await face(site.tags.clear)()
    assert await face(TaggedItem.objects.count)() == 0
    with pytest.raises(TypeError, match="'TaggedItem' instance expected"):
        await face(site.tags.add)(first)
    with pytest.raises(TypeError, match=r"Use tags\.set\(\)"):
        site.tags = []  # type: ignore[assignment]  # this is what is refused


async def test_nothing_points_at_an_object_without_a_key(face: Face) -> None:
    site, first, _second = await tagged(face)
    item = await face(first.tags.get)()
    new = Bookmark(url="new")
    assert await face(new.tags.count)() == 0
    assert not await face(new.tags.filter(tag="a").exists)()
    assert await face.rows(new.tags.all()) == []
    await face(new.tags.clear)()
    await face(new.tags.set)([])
    for write in (
        lambda: face(new.tags.add)(item),
        lambda: face(new.tags.add)(TaggedItem(tag="z"), bulk=False),
        lambda: face(new.tags.create)(tag="z"),
        lambda: face(new.tags.set)([item]),
        lambda: face(new.tags.get_or_create)(tag="a"),
        lambda: face(new.tags.update_or_create)(tag="a"),
    ):
        with pytest.raises(ValueError, match="needs to have a primary key value before a row can point at it"):
            await write()
    assert await face(TaggedItem.objects.count)() == 3
    assert item.object_id == first.pk
    # A key is enough: the object may be saved later, as with any key.
    ahead = Bookmark(pk=site.pk + 1000, url="ahead")
    assert (await face(ahead.tags.create)(tag="k")).object_id == ahead.pk
    await face(ahead.save)()
    assert await face(ahead.tags.count)() == 1


async def test_rows_are_found_or_made(face: Face) -> None:
    site, first, _second = await tagged(face)
    found, made = await face(site.tags.get_or_create)(tag="a")
    assert (found.tag, made) == ("a", False)
    found, made = await face(first.tags.get_or_create)(tag="a")
    assert (found.object_id, made) == (first.pk, True)
    found, made = await face(first.tags.update_or_create)(tag="a", defaults={"tag": "changed"})
    assert (found.tag, made) == ("changed", False)
    assert names(await face.rows(first.tags.all()), "tag") == ["c", "changed"]


async def test_conditions_across_the_relation_both_ways(face: Face) -> None:
    site, first, second = await tagged(face)
    assert await face.rows(Bookmark.objects.filter(tags__tag="a")) == [site]
    assert await face.rows(Note.objects.filter(tags__tag="a")) == []
    assert await face.rows(Note.objects.filter(tags__isnull=True)) == [second]
    assert await face.rows(Note.objects.exclude(tags__tag="c")) == [second]
    assert names(await face.rows(TaggedItem.objects.filter(bookmark__url__contains="example")), "tag") == ["a", "b"]
    assert await face.rows(TaggedItem.objects.filter(bookmark=site, tag="b")) != []
    counted = await face.rows(Note.objects.annotate(n=dorm.Count("tags")).order_by("pk"))
    assert [note.n for note in counted] == [1, 0]  # type: ignore[attr-defined]  # an annotation
    assert await face(Bookmark.objects.aggregate)(n=dorm.Count("tags")) == {"n": 2}
    assert names(await face.rows(site.tags.filter(tag="b")), "tag") == ["b"]
    with pytest.raises(dorm.FieldError, match="content_object"):
        TaggedItem.objects.filter(content_object=first)


async def test_prefetching_both_ways(face: Face) -> None:
    await tagged(face)
    with statements() as sent:
        notes = await face.rows(Note.objects.prefetch_related("tags").order_by("pk"))
        assert [names(note.tags.all(), "tag") for note in notes] == [["c"], []]
    assert len(sent) == 2
    with statements() as sent:
        items = await face.rows(TaggedItem.objects.prefetch_related("content_object__author"))
        assert [getattr(item.content_object, "url", None) for item in items] == ["https://example.org"] * 2 + [None]
        assert items[2].content_object.author.name == "Ann"
    assert len(sent) <= 6
    chosen = GenericPrefetch(
        "content_object", [Bookmark.objects.filter(url="none"), Note.objects.select_related("author")]
    )
    items = await face.rows(TaggedItem.objects.prefetch_related(chosen))
    assert [item.content_object and item.content_object.text for item in items] == [None, None, "first"]
    with statements() as sent:
        assert items[2].content_object.author.name == "Ann"
    assert not sent
    with pytest.raises(ValueError, match=r"raw\(\), values\(\)"):
        GenericPrefetch("content_object", [Note.objects.values("text")])
    with pytest.raises(ValueError, match="Only one queryset is allowed for each content type"):
        GenericPrefetch("content_object", [Note.objects.all(), Note.objects.filter(text="x")])


async def test_an_object_is_read_again_with_the_row_that_refers_to_it(face: Face) -> None:
    _, note, _ = await tagged(face)
    items = TaggedItem.objects.prefetch_related("content_object")
    found = await face(items.get)(tag="c")
    await face(Note.objects.filter(pk=note.pk).update)(text="changed")
    await face(found.refresh_from_db)(fields=["tag"])
    assert await face(TaggedItem.content_object.get)(found) == note
    assert (await face(TaggedItem.content_object.get)(found)).text == "changed"
    await face(Note.objects.filter(pk=note.pk).update)(text="again")
    await face(found.refresh_from_db)(from_queryset=items)
    with statements() as sent:
        assert found.content_object.text == "again"
    assert not sent


async def test_rows_are_deleted_with_their_object(face: Face) -> None:
    site, _first, _second = await tagged(face)
    assert await face(site.delete)() == (3, {"generic.Bookmark": 1, "generic.TaggedItem": 2})
    await face(Note.objects.all().delete)()
    assert await face(TaggedItem.objects.count)() == 0


async def test_a_child_of_a_model_has_rows_of_its_own_type(face: Face) -> None:
    site, _first, _second = await tagged(face)
    child = await face(Shelved.objects.create)(url="https://child.example.org", shelf="x")
    tag = await face(child.tags.create)(tag="shelved")
    assert (await face(ContentType.objects.get_for_id)(tag.content_type_id)).model == "shelved"
    assert await face.rows(Shelved.objects.filter(tags__tag="shelved")) == [child]
    above = await face(Bookmark.objects.get)(pk=child.pk)
    assert await face.rows(above.tags.all()) == []
    assert await face.rows(TaggedItem.objects.filter(bookmark=site).order_by("tag")) == await face.rows(site.tags.all())
    assert await face(child.delete)() == (3, {"generic.TaggedItem": 1, "generic.Shelved": 1, "generic.Bookmark": 1})


def test_the_table_comes_with_a_migration(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(
        'DATABASES = {"default": "sqlite:///project.db"}\nINSTALLED_APPS = ["dorm.contrib.contenttypes"]\n'
    )
    for command in (["makemigrations", "--check"], ["migrate"], ["migrate", "contenttypes", "zero"]):
        done = subprocess.run(
            [sys.executable, "-m", "dorm", *command], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


class Pinned(Bookmark):
    class Meta:
        app_label = "generic"
        proxy = True


class NearTag(TaggedItem):
    class Meta:
        app_label = "generic"
        proxy = True


async def test_proxies_have_the_generic_relations_and_keys_of_their_model(face: Face) -> None:
    site, _first, _second = await tagged(face)
    pinned = await face(Pinned.objects.get)(pk=site.pk)
    assert names(await face.rows(pinned.tags.all()), "tag") == ["a", "b"]
    assert await face(Pinned.objects.filter(tags__tag="a").count)() == 1
    assert Pinned._meta.get_field("tags") is Bookmark._meta.get_field("tags")
    with pytest.raises(ValueError, match=r"unsaved related object 'content_object': save the Note first"):
        await face(NearTag(tag="x", content_object=Note(text="new")).save)()
    assert await face(pinned.delete)() == (3, {"generic.TaggedItem": 2, "generic.Pinned": 1})
    assert names(await face.rows(TaggedItem.objects.all()), "tag") == ["c"]
