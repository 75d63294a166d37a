"""Wrong input: an error of its own that says what, where and how to mend it, and nothing is sent or lost."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dorm
from dorm import Q
from dorm.db.connection import get_async_connection, get_connection
from dorm.exceptions import ConnectionDoesNotExist
from dorm.functions import Cast
from tests.support.faces import Face
from tests.support.models import Author, Book, Everything

SECRET = "s3cr3t"


@pytest.fixture
def sent(database: dict[str, Any]) -> Iterator[list[str]]:
    """The statements that went out since the tables were made."""
    texts: list[str] = []

    def note(sender: Any, sql: str, **told: Any) -> None:
        texts.append(sql)

    dorm.pre_query.connect(note)
    yield texts
    dorm.pre_query.disconnect(note)


async def evaluate(face: Face, build: Callable[[], Any]) -> Any:
    """Build a query and run it, in one go: where it fails is not what is asked here."""
    return await face.rows(build())


WRONG_NAMES: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: Author.objects.filter(nmae="x"),
        r"Author has no field 'nmae'.*Did you mean 'name'\?.*Choices are: id, name",
    ),
    (lambda: Author.objects.exclude(Q(agee=1)), r"no field 'agee'.*Did you mean 'age'\?"),
    (lambda: Author.objects.filter(name__contians="x"), r"'name' has no lookup.*'contians'.*Did you mean 'contains'\?"),
    (lambda: Book.objects.filter(author__nmae="x"), r"Author has no field (named )?'nmae' \(in Book.objects.filter"),
    (lambda: Book.objects.filter(title__author="x"), r"no lookup or further field 'author'"),
    (lambda: Author.objects.order_by("-nmae"), r"no field (named )?'nmae' \(in Author.objects.order_by"),
    (lambda: Author.objects.values("nmae"), r"no field (named )?'nmae' \(in Author.objects.values"),
    (lambda: Author.objects.annotate(n=dorm.Count("bookz")), r"no field 'bookz'.*Did you mean 'books'\?"),
    (lambda: Author.objects.annotate(n=dorm.F("nmae")), r"no field (named )?'nmae'"),
    (lambda: Book.objects.select_related("authr"), r"'authr'.*Did you mean 'author'\?"),
    (lambda: Author.objects.only("nmae"), r"no field (named )?'nmae'.*Did you mean 'name'\?"),
]


@pytest.mark.parametrize(("build", "message"), WRONG_NAMES, ids=[message[:30] for _, message in WRONG_NAMES])
async def test_unknown_names_are_refused_where_they_are_written(
    sent: list[str], build: Callable[[], Any], message: str
) -> None:
    with pytest.raises(dorm.FieldError, match=message):
        build()
    assert sent == []


async def test_unknown_names_in_update_and_aggregate_are_refused(face: Face, sent: list[str]) -> None:
    with pytest.raises(dorm.FieldError, match=r"no field (named )?'nmae'.*Did you mean 'name'\?"):
        await face(Author.objects.update)(nmae="x")
    with pytest.raises(dorm.FieldError, match="no field 'agee'"):
        await face(Author.objects.aggregate)(dorm.Max("agee"))
    with pytest.raises(dorm.FieldError, match=r"no field named 'agee' \(in bulk_update\(\)\).*Did you mean 'age'\?"):
        await face(Author.objects.bulk_update)([Author(pk=1)], ["agee"])
    with pytest.raises(
        dorm.InvalidFieldName, match=r"nmae \(update_fields of Author.save\(\)\).*Did you mean 'name'\?"
    ):
        await face(Author(pk=1).save)(update_fields=["nmae"])
    with pytest.raises(dorm.UnexpectedKeyword, match=r"unexpected keyword argument 'nmae'.*Did you mean 'name'\?"):
        await face(Author.objects.create)(nmae="x")
    assert sent == []


WRONG_VALUES: list[tuple[Callable[[], Any], str]] = [
    (lambda: Author.objects.filter(age=SECRET), r"Author.age \(IntegerField\) takes a whole number, got str"),
    (lambda: Author.objects.filter(age__in=[1, SECRET]), r"Author.age .* got str"),
    (lambda: Author.objects.filter(age__range=(1, SECRET)), r"Author.age .* got str"),
    (lambda: Book.objects.filter(published=SECRET), r"Book.published \(DateField\) takes .*, got str"),
    (lambda: Book.objects.filter(price=SECRET), r"Book.price \(DecimalField\) takes .*, got str"),
    (lambda: Everything.objects.filter(uuid=SECRET), r"Everything.uuid \(UUIDField\) takes .*, got str"),
    (lambda: Everything.objects.filter(truth=SECRET), r"Everything.truth \(BooleanField\) takes .*, got str"),
    (lambda: Everything.objects.filter(moment=SECRET), r"Everything.moment \(DateTimeField\) takes .*, got str"),
    (lambda: Author.objects.filter(age__in=5), r"age__in takes a list.*not int. For one value use age="),
    (lambda: Author.objects.filter(age__range=[1]), "age__range takes two bounds, got 1"),
    (lambda: Author.objects.filter(age__isnull=SECRET), "isnull lookup must be True or False"),
    (lambda: Everything.objects.filter(duration=object()), r"Everything.duration .* got object"),
]


@pytest.mark.parametrize(("build", "message"), WRONG_VALUES, ids=[message[:20] for _, message in WRONG_VALUES])
async def test_values_of_the_wrong_type_name_field_and_type_but_never_the_value(
    sent: list[str], build: Callable[[], Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        build()
    assert isinstance(caught.value, dorm.DataError)
    assert SECRET not in str(caught.value)
    assert sent == []


async def test_what_the_database_cannot_take_is_an_error_of_dorm(face: Face, database: dict[str, Any]) -> None:
    await face(Author.objects.create)(name=SECRET, age=1)
    for lookup in ("regex", "iregex"):
        with pytest.raises(dorm.DataError, match="invalid regular expression") as caught:
            await face.rows(Author.objects.filter(**{f"name__{lookup}": "[" + SECRET}))
        assert SECRET not in str(caught.value)
        with pytest.raises(dorm.DataError, match="invalid regular expression"):
            await face.stream(Author.objects.filter(**{f"name__{lookup}": "["}))
    with pytest.raises(dorm.DataError, match="half of a surrogate pair"):
        await face(Author.objects.create)(name="half a pair: \ud800")
    assert await face(Author.objects.count)() == 1


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_file_that_may_not_be_written_is_told(face: Face, database: dict[str, Any]) -> None:
    async def sql(text: str) -> Any:
        return await get_async_connection().execute(text) if face.is_async else get_connection().execute(text)

    async with face.atomic():
        await sql("PRAGMA query_only = 1")
        try:
            with pytest.raises(dorm.OperationalError, match="readonly database: may this process write the file"):
                async with face.atomic():
                    await face(Author.objects.create)(name="a")
        finally:
            await sql("PRAGMA query_only = 0")


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_rows_that_cannot_be_converted_are_not_quoted(face: Face, database: dict[str, Any]) -> None:
    await face(Author.objects.create)(name=f'{SECRET} "quoted" {SECRET}', age=1)
    with pytest.raises(dorm.DataError, match=r'invalid input syntax for type bigint: "..."$') as caught:
        await face.rows(Author.objects.annotate(number=Cast("name", dorm.BigIntegerField())))
    assert caught.value.sqlstate == "22P02"


async def test_unknown_relations_in_a_prefetch_are_refused(face: Face, database: dict[str, Any]) -> None:
    await face(Author.objects.create)(name="Ann", age=1)
    with pytest.raises(dorm.InvalidPrefetch, match=r"Cannot find 'bookz' on Author.*Did you mean 'books'\?"):
        await face.rows(Author.objects.prefetch_related("bookz"))


async def test_a_value_of_the_wrong_type_in_a_save_loses_nothing(face: Face, database: dict[str, Any]) -> None:
    author = await face(Author.objects.create)(name="Ann", age=1)
    author.age = SECRET
    with pytest.raises(dorm.InvalidValue, match=r"Author.age"):
        await face(author.save)()
    with pytest.raises(dorm.InvalidValue, match=r"Author.age"):
        await face(Author.objects.bulk_create)([Author(name="B", age=2), Author(name="C", age=SECRET)])
    assert [(row.name, row.age) for row in await face.rows(Author.objects.all())] == [("Ann", 1)]


async def test_unsaved_instances_are_refused_in_filters_and_keys(face: Face, sent: list[str]) -> None:
    nobody = Author(name="Ann")
    with pytest.raises(dorm.UnsavedInstance, match=r"needs a saved Author.*Save it first"):
        Book.objects.filter(author=nobody)
    with pytest.raises(dorm.UnsavedInstance, match="needs a saved Author"):
        Book.objects.filter(author__in=[nobody])
    with pytest.raises(dorm.UnsavedInstance, match=r"needs a saved Author.*Save it first"):
        await face(Book.objects.update)(author=nobody)
    with pytest.raises(dorm.UnsavedInstance, match=r"unsaved related object 'author'.*save Author first"):
        await face(Book(title="x", author=nobody).save)()
    with pytest.raises(dorm.UnsavedInstance, match=r"unsaved related object 'author'.*save Author first"):
        await face(Book.objects.bulk_create)([Book(title="x", author=nobody)])
    with pytest.raises(dorm.UnsavedInstance, match="save the instance first"):
        await face(nobody.books.count)()
    with pytest.raises(dorm.UnsavedInstance, match="can't be deleted because its id attribute is set to None"):
        await face(nobody.delete)()
    assert sent == []


async def test_instances_of_another_model_are_refused(sent: list[str]) -> None:
    with pytest.raises(
        dorm.InvalidValue, match=r'Cannot query "Book object": Must be "Author" instance \(library.Book.author\)'
    ):
        Book.objects.filter(author=Book(pk=1))
    with pytest.raises(dorm.InvalidValue, match=r'Cannot assign Book: "Book.author" must be a "Author" instance'):
        Book(title="x").author = Book(pk=1)  # type: ignore[assignment]  # that is the mistake
    assert sent == []


async def test_whole_numbers_out_of_range_are_refused(face: Face, database: dict[str, Any]) -> None:
    with pytest.raises(dorm.DataError):
        await face(Everything.objects.create)(small=2**15)
    with pytest.raises(dorm.DataError):
        await face(Everything.objects.create)(big=2**63)
    with pytest.raises((dorm.DataError, dorm.IntegrityError)):
        await face(Everything.objects.create)(positive=-1)
    assert await face(Everything.objects.count)() == 0


async def test_no_column_holds_a_number_out_of_range(face: Face, database: dict[str, Any]) -> None:
    await face(Everything.objects.create)(small=5, big=5)
    for name in ("small", "big"):
        for huge in (2**40, 2**70):
            if huge > 2**63 or name == "small":
                assert await face(Everything.objects.filter(**{name: huge}).exists)() is False
                assert await face(Everything.objects.filter(**{f"{name}__gt": huge}).exists)() is False
                assert await face(Everything.objects.filter(**{f"{name}__gte": -huge}).exists)() is True
                assert await face(Everything.objects.filter(**{f"{name}__lt": huge}).exists)() is True
                assert await face(Everything.objects.exclude(**{name: huge}).exists)() is True
    with pytest.raises(dorm.InvalidValue, match=r"Everything.big .* takes whole numbers from -9223372036854775808"):
        await face(Everything.objects.create)(big=2**70)


async def test_whole_numbers_compare_with_fractions(face: Face, database: dict[str, Any]) -> None:
    await face(Everything.objects.create)(small=5)
    for lookup, value, found in (
        ("gt", 4.5, True), ("gt", 5.5, False), ("gte", 4.5, True), ("gte", 5.5, False), ("gte", 5.0, True),
        ("lt", 5.5, True), ("lt", 4.5, False), ("lte", 5.5, True), ("lte", 4.5, False), ("lt", 5.0, False),
    ):  # fmt: skip
        assert await face(Everything.objects.filter(**{f"small__{lookup}": value}).exists)() is found, (lookup, value)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_nul_bytes_are_refused_by_postgresql(face: Face, sent: list[str], backend: str) -> None:
    with pytest.raises(
        dorm.DataError, match=r"^library.Author.name: a text holds the character NUL.*cannot store.*BinaryField"
    ):
        await face(Author.objects.create)(name="a\0b")
    with pytest.raises(dorm.DataError, match="NUL"):
        await face.rows(Author.objects.filter(name__contains="\0"))
    with pytest.raises(dorm.DataError, match=r"^library.Author.name: a text holds the character NUL"):
        await face.rows(Author.objects.filter(name="\0"))
    with pytest.raises(dorm.DataError, match=r"^library.Everything.json: a JSON document holds the character NUL"):
        await face(Everything.objects.create)(json={"a": "\0"})
    assert not any("INSERT" in sql for sql in sent)


async def test_a_missing_table_says_migrate(face: Face, empty_database: dict[str, Any]) -> None:
    with pytest.raises(dorm.ProgrammingError, match=r"library_author.*does not exist.*dorm migrate") as caught:
        await face.rows(Author.objects.all())
    assert caught.value.alias == "default"
    assert caught.value.statement is not None
    assert caught.value.__cause__ is not None


async def test_an_unknown_alias_names_those_that_exist(face: Face, database: dict[str, Any]) -> None:
    with pytest.raises(ConnectionDoesNotExist, match=r"'defualt'.*Did you mean 'default'\?"):
        await face.rows(Author.objects.using("defualt"))


URLS = [
    ("postgrs://localhost/x", r"unknown scheme 'postgrs'.*Did you mean 'postgres'\?"),
    ("postgresql://u:p@localhost:port/x", "does not parse"),
    ("postgresql://localhost/x?MAX_POOL_SIZE=many", "MAX_POOL_SIZE in a database URL takes a int"),
    ("", "unknown scheme ''"),
]


@pytest.mark.parametrize(("url", "message"), URLS, ids=[url for url, _ in URLS])
def test_a_url_that_does_not_parse_is_refused(url: str, message: str) -> None:
    with pytest.raises(dorm.ImproperlyConfigured, match=message):
        dorm.parse_database_url(url)


def test_a_wrong_url_shows_no_password() -> None:
    with pytest.raises(dorm.ImproperlyConfigured) as caught:
        dorm.parse_database_url(f"postgresql://user:{SECRET}@localhost:port/x")
    assert SECRET not in str(caught.value)


async def test_options_that_the_driver_does_not_know_are_refused_by_name(face: Face, database: dict[str, Any]) -> None:
    dorm.configure(DATABASES={"default": {**database, "OPTIONS": {"jurnal": SECRET}}})
    with pytest.raises(dorm.ImproperlyConfigured, match=r"DATABASES\['default'\]\['OPTIONS'\].*jurnal") as caught:
        await face(Author.objects.count)()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_a_file_that_is_no_database_is_told(face: Face, tmp_path: Path, database: dict[str, Any]) -> None:
    (tmp_path / "text").write_text("Dear reader, " * 1000)
    dorm.configure(DATABASES={"default": f"sqlite:///{tmp_path}/text"})
    with pytest.raises(dorm.InternalError, match="not a database: NAME of the alias names a file of another kind"):
        await face(Author.objects.count)()
    dorm.configure(DATABASES={"default": f"sqlite:///{tmp_path}/no/x.db"})
    with pytest.raises(dorm.OperationalError, match=r"cannot open .*does its folder exist"):
        await face(Author.objects.count)()


_WITHOUT_DRIVER = """
import sys
sys.modules["psycopg"] = None
import dorm
dorm.configure(DATABASES={"default": "postgresql://localhost/x"})
try:
    dorm.get_connection()
except dorm.ImproperlyConfigured as error:
    print(error)
"""


def test_a_missing_driver_says_which_extra_brings_it() -> None:
    found = subprocess.run([sys.executable, "-c", _WITHOUT_DRIVER], capture_output=True, text=True, check=True)
    assert 'pip install "dormdb[postgresql]"' in found.stdout


async def test_a_foreign_task_in_a_block_is_told_the_ways_out(sent: list[str]) -> None:
    async with dorm.atomic():
        await Author.objects.acreate(name="Ann")
        task = asyncio.create_task(Author.objects.acount())
        with pytest.raises(dorm.TransactionManagementError, match=r"belongs to another task.*fresh context"):
            await task
    assert await Author.objects.acount() == 1


async def test_use_after_the_end_of_a_block_is_refused(database: dict[str, Any]) -> None:
    async with dorm.atomic():
        context = contextvars.copy_context()
    task = asyncio.get_running_loop().create_task(Author.objects.acount(), context=context)
    with pytest.raises(dorm.TransactionManagementError, match=r"has ended"):
        await task


async def test_relations_without_a_column_cannot_be_updated(face: Face, database: dict[str, Any]) -> None:
    with pytest.raises(dorm.FieldError, match=r"Cannot update model field .* \(only non-relations and foreign keys"):
        await face(Author.objects.update)(books=1)
