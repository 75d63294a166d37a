"""Details of models, instances and proxies, each as Django documents or does it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import dorm
from dorm import F
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Author(dorm.Model):
    name = dorm.CharField(max_length=20, default="")
    mood = dorm.CharField(
        max_length=1,
        default="h",
        choices=[("Good", [("h", "happy"), ("f", "fine")]), ("Bad", [("s", "sad")]), ("u", "unknown")],
    )

    class Meta:
        app_label = "details"


class Writer(Author):
    class Meta:
        app_label = "details"
        proxy = True


class Poet(Writer):
    """A proxy of a proxy."""

    class Meta:
        app_label = "details"
        proxy = True


class Book(dorm.Model):
    title = dorm.CharField(max_length=20, default="")
    author = dorm.ForeignKey(Author, dorm.CASCADE)
    poet = dorm.ForeignKey(Poet, dorm.SET_NULL, null=True, related_name="poems")

    class Meta:
        app_label = "details"
        default_related_name = "%(class)s_books"
        unique_together = ["title", "author"]


class Base(dorm.Model):
    owner = dorm.ForeignKey(
        Author, dorm.CASCADE, related_name="%(app_label)s_%(class)s_related", related_query_name="%(class)s"
    )
    fans = dorm.ManyToManyField(Author, related_name="%(class)s_fan_of")

    class Meta:
        app_label = "details"
        abstract = True


class Song(Base):
    class Meta(Base.Meta):
        pass


class Film(Base):
    class Meta(Base.Meta):
        pass


TABLES = [Author, Book, Song, Film]


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables(TABLES)


async def test_choices_in_groups(face: Face) -> None:
    assert [Author(mood=mood).get_mood_display() for mood in "hsux"] == ["happy", "sad", "unknown", "x"]
    assert Author(mood="s").mood == "s"


async def test_keys_of_another_type(face: Face) -> None:
    first = await face(Author.objects.create)(name="a")
    other = Author(pk=str(first.pk), name="b")
    await face(other.save)()
    assert await face(Author.objects.count)() == 1
    assert (await face(Author.objects.get)(pk=str(first.pk))).name == "b"
    await face(first.refresh_from_db)()
    assert first.name == "b"


async def test_a_changed_key_is_another_row(face: Face) -> None:
    author = await face(Author.objects.create)(name="a")
    author.pk += 10
    await face(author.save)()
    assert await face(Author.objects.count)() == 2
    author.pk = None
    author.name = "third"
    await face(author.save)()
    assert author.pk is not None
    assert await face(Author.objects.count)() == 3


async def test_update_fields_take_names_and_attribute_names(face: Face) -> None:
    one = await face(Author.objects.create)(name="one")
    two = await face(Author.objects.create)(name="two")
    book = await face(Book.objects.create)(title="b", author=one)
    book.author = two
    book.title = "changed"
    await face(book.save)(update_fields=("author_id",))
    found = await face(Book.objects.get)()
    assert (found.author_id, found.title) == (two.pk, "b")
    book.author = one
    await face(book.save)(update_fields={"author"})
    assert (await face(Book.objects.get)()).author_id == one.pk


async def test_refresh_drops_a_related_object_that_changed(face: Face) -> None:
    one = await face(Author.objects.create)(name="one")
    two = await face(Author.objects.create)(name="two")
    book = await face(Book.objects.create)(title="b", author=one)
    await face(Book.objects.update)(author=two)
    await face(book.refresh_from_db)()
    assert book.author_id == two.pk
    (found,) = await face.rows(Book.objects.select_related("author"))
    found.author_id = one.pk
    await face(found.save)()
    (again,) = await face.rows(Book.objects.select_related("author"))
    assert again.author == one


async def test_an_object_saved_after_it_was_assigned(face: Face) -> None:
    author = Author(name="late")
    book = Book(title="b", author=author)
    assert book.author_id is None
    with pytest.raises(
        ValueError, match="save\\(\\) prohibited to prevent data loss due to unsaved related object 'author'"
    ):
        await face(book.save)()
    await face(author.save)()
    await face(book.save)()
    assert book.author_id == author.pk
    assert book.author is author


async def test_proxies_of_proxies(face: Face) -> None:
    await face(Author.objects.create)(name="a")
    poet = await face(Poet.objects.get)()
    assert type(poet) is Poet
    assert Poet._meta.concrete_model is Author
    assert poet == await face(Writer.objects.get)() == await face(Author.objects.get)()
    assert isinstance(poet, Author)
    await face(Book.objects.create)(title="b", author=poet, poet=poet)
    (book,) = await face.rows(Book.objects.select_related("author", "poet"))
    assert (type(book.author), type(book.poet)) == (Author, Poet)
    assert await face.rows(Poet.objects.filter(poems__title="b")) == [poet]
    assert await face.rows(Author.objects.filter(poems__title="b")) == [poet]
    assert await face(poet.poems.count)() == 1
    assert await face(poet.book_books.count)() == 1
    assert (await face(Author.objects.get)()).poems is not None
    assert await face(poet.delete)() == (2, {"details.Poet": 1, "details.Book": 1})


async def test_names_of_abstract_relations(face: Face) -> None:
    author = await face(Author.objects.create)(name="a")
    song = await face(Song.objects.create)(owner=author)
    film = await face(Film.objects.create)(owner=author)
    await face(song.fans.add)(author)
    assert await face.rows(author.details_song_related.all()) == [song]
    assert await face.rows(author.details_film_related.all()) == [film]
    assert await face.rows(author.song_fan_of.all()) == [song]
    assert await face.rows(Author.objects.filter(song=song, film=film)) == [author]
    assert Song._meta.get_field("fans").remote_field.through._meta.db_table == "details_song_fans"


async def test_options_as_seen_from_outside(face: Face) -> None:
    assert Book._meta.unique_together == (("title", "author"),)
    assert Book._meta.label == "details.Book"
    assert Book._meta.label_lower == "details.book"
    assert {field.name for field in Author._meta.get_fields()} >= {"id", "name", "mood", "book_books", "poems"}
    assert [field.name for field in Song._meta.many_to_many] == ["fans"]
    assert Book._meta.get_field("author").related_model is Author
    assert Author._meta.get_field("book_books").related_model is Book


async def test_copies_share_nothing_that_is_assigned(face: Face) -> None:
    author = await face(Author.objects.create)(name="a")
    book = await face(Book.objects.create)(title="b", author=author)
    other = copy.copy(book)
    other.author = await face(Author.objects.create)(name="b")
    assert book.author is author
    deep = copy.deepcopy(book)
    assert deep.author == author
    assert deep.author is not author


async def test_expressions_with_update_fields(face: Face) -> None:
    author = await face(Author.objects.create)(name="1")
    book = await face(Book.objects.create)(title="t", author=author)
    book.title = F("author__name")
    with pytest.raises(dorm.FieldError):
        await face(book.save)()
    book.title = dorm.Value("v")
    await face(book.save)(update_fields=["title"])
    await face(book.refresh_from_db)()
    assert book.title == "v"


async def test_state_of_instances(face: Face) -> None:
    author = Author(name="a")
    assert (author._state.adding, author._state.db) == (True, None)
    await face(author.save)()
    assert (author._state.adding, author._state.db) == (False, "default")
    await face(author.delete)()
    assert (author.pk, author._state.adding, author._state.db) == (None, False, "default")
    await face(author.save)()
    assert author.pk is not None


async def test_attributes_of_the_class(face: Face) -> None:
    assert Author.DoesNotExist.__qualname__ == "Author.DoesNotExist"
    assert issubclass(Author.DoesNotExist, dorm.ObjectDoesNotExist)
    assert issubclass(Poet.DoesNotExist, Author.DoesNotExist)
    assert Author.__doc__ == "Author(id, name, mood)"
    with pytest.raises(AttributeError):
        Author().objects
    with pytest.raises(TypeError):
        Author(None, "a", name="b")
    author: Any = Author()
    author.anything = 3
    assert author.anything == 3
