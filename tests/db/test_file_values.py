"""Files as values of instances: what is read after another content was kept, and the sizes of images."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import dorm
from dorm import ContentFile, reset_storages
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Sheet(dorm.Model):
    plain = dorm.FileField(upload_to="sheets", blank=True)
    photo = dorm.ImageField(upload_to="photos", width_field="width", blank=True)
    width = dorm.IntegerField(null=True, blank=True)

    class Meta:
        app_label = "file_values"


@pytest.fixture(autouse=True)
def media(empty_database: dict[str, Any], tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "media"
    options = {"location": str(folder)}
    dorm.configure(STORAGES={"default": {"BACKEND": "dorm.storage.FileSystemStorage", "OPTIONS": options}})
    create_tables([Sheet])
    yield folder
    reset_storages()


def png(width: int = 3, height: int = 2) -> ContentFile:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return ContentFile(out.getvalue(), name="p.png")


async def test_an_image_knows_its_size(face: Face) -> None:
    sheet: Any = await face(Sheet.objects.create)(photo=png())
    found: Any = await face(Sheet.objects.get)()
    for photo in (sheet.photo, found.photo):
        assert await face(photo.dimensions)() == (3, 2)
        assert (photo.width, photo.height, photo.closed) == (3, 2, photo is found.photo)
    await face(sheet.photo.save)("q.png", png(5, 7))
    assert (sheet.photo.width, sheet.width, await face(sheet.photo.dimensions)()) == (5, 5, (5, 7))
    await face(sheet.photo.save)("n.png", ContentFile(b"no image"))
    assert await face(sheet.photo.dimensions)() == (None, None)
    await face(sheet.photo.delete)()
    assert sheet.width is None
    with pytest.raises(ValueError, match="no file associated"):
        await face(sheet.photo.dimensions)()


async def test_new_content_is_what_is_read_next(face: Face, media: Path) -> None:
    sheet: Any = await face(Sheet.objects.create)(plain=ContentFile(b"old", name="a.txt"))
    await face(sheet.plain.open)()
    assert sheet.plain.read() == b"old"
    await face(sheet.plain.save)("b.txt", ContentFile(b"new"))
    await face(sheet.plain.open)()
    assert (sheet.plain.read(), (media / sheet.plain.name).read_bytes()) == (b"new", b"new")
    sheet.plain.close()
