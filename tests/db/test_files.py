"""Storages, file fields, and files that follow transactions."""

from __future__ import annotations

import datetime
import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

import dorm
from dorm import ContentFile, File, FileSystemStorage, default_storage, get_storage, reset_storages
from dorm.migrations.schema import create_tables
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database", "media")


@pytest.fixture
def media(empty_database: dict[str, Any], tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "media"
    options = {"location": str(folder), "base_url": "/media"}
    dorm.configure(STORAGES={"default": {"BACKEND": "dorm.storage.FileSystemStorage", "OPTIONS": options}})
    yield folder
    reset_storages()


def by_owner(instance: Any, filename: str) -> str:
    return f"owners/{instance.title}/{filename}"


class Paper(dorm.Model):
    title = dorm.CharField(max_length=20, default="t")
    plain = dorm.FileField(upload_to="papers", blank=True)
    dated = dorm.FileField(upload_to="d/%Y", blank=True)
    named = dorm.FileField(upload_to=by_owner, max_length=60, blank=True)
    photo = dorm.ImageField(upload_to="photos", width_field="width", height_field="height", blank=True)
    width = dorm.IntegerField(null=True, blank=True)
    height = dorm.IntegerField(null=True, blank=True)

    class Meta:
        app_label = "files"


def png(width: int = 3, height: int = 2) -> ContentFile:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return ContentFile(out.getvalue(), name="p.png")


async def test_a_storage_keeps_reads_and_deletes(face: Face, media: Path) -> None:
    name = await face(default_storage.save)("a/x y.txt", ContentFile(b"one"))
    assert name == "a/x y.txt"
    assert (media / "a" / "x y.txt").read_bytes() == b"one"
    assert await face(default_storage.exists)(name)
    assert await face(default_storage.size)(name) == 3
    file = await face(default_storage.open)(name)
    with file:
        assert file.read() == b"one"
    again = await face(default_storage.save)("a/x y.txt", ContentFile("two"))
    assert again != name
    assert again.startswith("a/x y_")
    assert default_storage.url(name) == "/media/a/x%20y.txt"
    assert default_storage.path(name) == str(media / "a" / "x y.txt")
    assert sorted(default_storage.listdir("a")[1]) == sorted([os.path.basename(name), os.path.basename(again)])
    assert default_storage.get_modified_time(name) <= datetime.datetime.now() + datetime.timedelta(seconds=2)
    await face(default_storage.delete)(name)
    await face(default_storage.delete)(name)
    assert not await face(default_storage.exists)(name)
    assert (media / "a").stat().st_mode & 0o777 == 0o755
    assert (media / again).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "..", "", "a/..", "a\\..\\..\\x"])
def test_names_that_lead_outside_are_refused(name: str) -> None:
    with pytest.raises((dorm.SuspiciousFileOperation, ValueError)):
        default_storage.save(name, ContentFile(b"x"))
    if name not in ("", "a/..", "a\\..\\..\\x"):
        with pytest.raises(dorm.SuspiciousFileOperation):
            default_storage.open(name)


def test_links_that_lead_outside_are_refused(media: Path, tmp_path: Path) -> None:
    media.mkdir()
    (tmp_path / "secret").mkdir()
    (media / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(dorm.SuspiciousFileOperation, match="outside"):
        default_storage.save("link/x", ContentFile(b"x"))


def test_names_are_made_valid_and_short() -> None:
    assert default_storage.get_valid_name(" a b?c.txt ") == "a_bc.txt"
    assert default_storage.generate_filename("x/y/ a b.txt") == "x/y/a_b.txt"
    with pytest.raises(dorm.SuspiciousFileOperation, match="Could not derive file name"):
        default_storage.get_valid_name("??")
    default_storage.save("long.txt", ContentFile(b"x"))
    assert len(default_storage.get_available_name("long.txt", max_length=14)) <= 14
    with pytest.raises(dorm.SuspiciousFileOperation, match="sufficient"):
        default_storage.get_available_name("a.txt" * 5, max_length=5)


def test_storages_are_chosen_by_alias(tmp_path: Path) -> None:
    folder = {"BACKEND": "dorm.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path / "o")}}
    dorm.configure(STORAGES={"default": folder, "other": folder})
    assert get_storage("other") is get_storage("other")
    assert get_storage("other").path("x") == str(tmp_path / "o" / "x")
    assert isinstance(default_storage, FileSystemStorage)
    with pytest.raises(dorm.ImproperlyConfigured, match="no alias 'nope'"):
        get_storage("nope")
    with pytest.raises(ValueError, match="not accessible via a URL"):
        default_storage.url("x")
    dorm.configure(STORAGES={"other": folder})
    with pytest.raises(dorm.ImproperlyConfigured, match="default"):
        get_storage()
    dorm.configure(STORAGES={"default": {"BACKEND": "no.such.Thing"}})
    with pytest.raises(dorm.ImproperlyConfigured, match="cannot be imported"):
        get_storage()
    dorm.configure(STORAGES={})
    assert get_storage().location == os.path.abspath("media")


async def test_a_field_keeps_its_file_when_the_row_is_saved(face: Face, media: Path) -> None:
    await face(create_tables)([Paper])
    paper = Paper(title="Ann", plain=ContentFile(b"one", name="x/one.txt"), named=ContentFile(b"n", name="n.txt"))
    assert paper.plain
    assert not paper.dated
    await face(paper.save)()
    assert (paper.plain.name, paper.named.name) == ("papers/one.txt", "owners/Ann/n.txt")
    assert (media / "papers/one.txt").read_bytes() == b"one"
    found = await face(Paper.objects.get)(plain="papers/one.txt")
    assert (found.plain.name, found.plain.size, found.plain.url) == ("papers/one.txt", 3, "/media/papers/one.txt")
    assert found.plain == "papers/one.txt"
    await face(found.plain.open)()
    assert found.plain.read() == b"one"
    found.plain.close()
    assert found.plain.path == str(media / "papers/one.txt")
    assert await face.rows(Paper.objects.values_list("plain", "dated")) == [("papers/one.txt", "")]
    with pytest.raises(ValueError, match="has no file associated with it"):
        found.dated.url


async def test_saving_and_deleting_by_the_field_file(face: Face, media: Path) -> None:
    await face(create_tables)([Paper])
    paper = Paper(title="Ann")
    await face(paper.dated.save)("a b.txt", ContentFile("text"))
    year = datetime.datetime.now().year
    assert paper.dated.name == f"d/{year}/a_b.txt"
    assert paper.pk is not None
    await face(paper.dated.save)("a b.txt", ContentFile("other"), save=False)
    assert paper.dated.name != f"d/{year}/a_b.txt"
    assert (media / f"d/{year}/a_b.txt").exists()
    found = await face(Paper.objects.get)()
    name = found.dated.name
    await face(found.dated.delete)()
    assert not found.dated
    assert not (media / name).exists()
    assert (await face(Paper.objects.get)()).dated.name in ("", None)


async def test_a_rollback_removes_what_was_written(face: Face, media: Path) -> None:
    await face(create_tables)([Paper])
    kept = await face(Paper.objects.create)(plain=ContentFile(b"0", name="kept.txt"))
    with pytest.raises(RuntimeError):
        async with face.atomic():
            await face(Paper.objects.create)(plain=ContentFile(b"1", name="a.txt"))
            await face(Paper.objects.bulk_create)([Paper(plain=ContentFile(b"2", name="b.txt"))])
            kept.plain = ContentFile(b"3", name="c.txt")
            await face(kept.save)()
            assert sorted(os.listdir(media / "papers")) == ["a.txt", "b.txt", "c.txt", "kept.txt"]
            raise RuntimeError
    assert os.listdir(media / "papers") == ["kept.txt"]
    async with face.atomic():
        await face(Paper.objects.create)(plain=ContentFile(b"1", name="a.txt"))
        with pytest.raises(RuntimeError):
            async with face.atomic():
                await face(Paper.objects.create)(plain=ContentFile(b"1", name="b.txt"))
                raise RuntimeError
    assert sorted(os.listdir(media / "papers")) == ["a.txt", "kept.txt"]


async def test_images_are_checked_and_measured(face: Face) -> None:
    await face(create_tables)([Paper])
    paper = Paper(photo=png())
    assert (paper.width, paper.height) == (3, 2)
    await face(paper.full_clean)()
    await face(paper.save)()
    assert paper.photo.name == "photos/p.png"
    found = await face(Paper.objects.get)()
    assert (found.width, found.height) == (3, 2)
    found.photo = png(5, 7)
    assert (found.width, found.height) == (5, 7)
    found.photo = None
    assert (found.width, found.height) == (None, None)
    for content in (b"no image", b"\x89PNG\r\n\x1a\nbroken"):
        with pytest.raises(dorm.ValidationError) as caught:
            await face(Paper(photo=ContentFile(content, name="x.png")).full_clean)()
        assert caught.value.error_dict["photo"][0].code == "invalid_image"
    with pytest.raises(dorm.ValidationError) as caught:
        await face(Paper(photo=ContentFile(png().read(), name="x.txt")).full_clean)()
    assert caught.value.error_dict["photo"][0].code == "invalid_extension"


async def test_names_are_validated(face: Face) -> None:
    await face(create_tables)([Paper])
    with pytest.raises(dorm.ValidationError, match="at most 60 characters"):
        await face(Paper(named="x" * 61).full_clean)()
    with pytest.raises(dorm.FieldError, match="must have the name attribute"):
        await face(Paper(plain=ContentFile(b"x")).save)()
    with pytest.raises(dorm.SuspiciousFileOperation):
        await face(Paper(title="..", named=ContentFile(b"x", name="n")).save)()


async def test_file_objects_of_python_will_do(face: Face, tmp_path: Path, media: Path) -> None:
    await face(create_tables)([Paper])
    (tmp_path / "source.txt").write_text("from disk")
    with open(tmp_path / "source.txt", "rb") as file:
        paper = await face(Paper.objects.create)(plain=File(file, name="disk.txt"))
    assert (media / paper.plain.name).read_text() == "from disk"
    copy = pickle.loads(pickle.dumps(paper))
    assert copy.plain.name == paper.plain.name
    with copy.plain.open() as again:
        assert again.read() == b"from disk"


def test_files_have_chunks_lines_and_sizes() -> None:
    file = ContentFile(b"a\nb\nc", name="x")
    assert (file.size, len(file), list(file.chunks(2)), list(file)) == (
        5,
        5,
        [b"a\n", b"b\n", b"c"],
        [b"a\n", b"b\n", b"c"],
    )
    assert file.multiple_chunks(2)
    file.seek(5)
    file.write(b"dd")
    assert file.size == 7
    assert File(None, "n").closed
    assert not File(None)


def test_paths_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.txt", "b.log", "in/c.txt"):
        (tmp_path / name).write_text("")
    field = dorm.FilePathField(path=str(tmp_path), match=r"\.txt$")
    assert [os.path.basename(path) for path in field.paths()] == ["a.txt"]
    assert field.clean(str(tmp_path / "a.txt"), None) == str(tmp_path / "a.txt")
    with pytest.raises(dorm.ValidationError) as caught:
        field.clean(str(tmp_path / "b.log"), None)
    assert caught.value.code == "invalid_choice"
    deep = dorm.FilePathField(path=lambda: str(tmp_path), recursive=True, allow_folders=True)
    assert sorted(os.path.relpath(path, tmp_path) for path in deep.paths()) == ["a.txt", "b.log", "in", "in/c.txt"]
    with pytest.raises(dorm.ImproperlyConfigured, match="allow_files"):
        dorm.FilePathField(path="x", allow_files=False)


def test_file_fields_are_taken_apart(tmp_path: Path) -> None:
    storage = FileSystemStorage(location=tmp_path)
    for field in (
        dorm.FileField(upload_to="x", storage=storage, max_length=50),
        dorm.ImageField(upload_to=by_owner, width_field="w", height_field="h"),
        dorm.FilePathField(path="x", match="y", recursive=True),
    ):
        _, path, args, kwargs = field.deconstruct()
        assert type(field)(*args, **kwargs).deconstruct() == (None, path, args, kwargs)
    assert dorm.FileField().deconstruct()[3] == {"upload_to": ""}
    assert storage == FileSystemStorage(location=tmp_path)


class Faced(FileSystemStorage):
    """Counts by which face it was asked to save."""

    saves: ClassVar[list[str]] = []

    def save(self, *args: Any, **kwargs: Any) -> str:
        self.saves.append("sync")
        return super().save(*args, **kwargs)

    async def asave(self, *args: Any, **kwargs: Any) -> str:
        self.saves.append("async")
        return super().save(*args, **kwargs)


class Scan(dorm.Model):
    page = dorm.FileField(upload_to="scans")

    class Meta:
        app_label = "files"


async def test_bulk_update_keeps_files_by_its_own_face_and_a_rollback_removes_them(face: Face, media: Path) -> None:
    await face(create_tables)([Scan])
    Scan._meta.get_field("page").storage = Faced(media)
    scans = await face(Scan.objects.bulk_create)([Scan(page=ContentFile(b"1", name=f"{n}.txt")) for n in range(2)])
    for scan in scans:
        scan.page = ContentFile(b"2", name=f"new{scan.pk}.txt")
    Faced.saves.clear()
    with pytest.raises(RuntimeError):
        async with face.atomic():
            assert await face(Scan.objects.bulk_update)(scans, ["page"]) == 2
            assert len(os.listdir(media / "scans")) == 4
            raise RuntimeError
    assert Faced.saves == [face.name] * 2
    assert sorted(os.listdir(media / "scans")) == ["0.txt", "1.txt"]


async def test_files_and_folders_get_the_modes_of_the_storage(face: Face, tmp_path: Path) -> None:
    modes = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
    for storage, wanted in (
        (FileSystemStorage(tmp_path / "own", **modes), (0o700, 0o600)),
        (FileSystemStorage(tmp_path / "usual"), (0o755, 0o644)),
    ):
        name = await face(storage.save)("a/b/c.txt", ContentFile(b"one"))
        path = Path(storage.path(name))
        found = [each.stat().st_mode & 0o777 for each in (path.parent, path.parent.parent, path)]
        assert found == [wanted[0], wanted[0], wanted[1]]


async def test_a_file_is_opened_by_its_field(face: Face) -> None:
    await face(create_tables)([Paper])
    paper = Paper(plain=ContentFile(b"one two", name="n.txt"), dated=ContentFile(b"3", name="m.txt"))
    await face(paper.save)()
    assert paper.dated.name == f"d/{datetime.datetime.now():%Y}/m.txt"
    again = await face(Paper.objects.get)()
    file = await face(again.plain.open)("rb")
    with file:
        assert file.read() == b"one two"
