"""Keys given as text, and what ``_meta`` tells of a model."""

from __future__ import annotations

from typing import Any, cast

import pytest

import dorm
from tests.support.faces import Face


class Folder(dorm.Model):
    name = dorm.CharField(max_length=10, default="x")

    class Meta:
        app_label = "doc_instances"
        constraints = [
            dorm.UniqueConstraint(fields=["name"], name="total"),
            dorm.UniqueConstraint(fields=["name"], condition=dorm.Q(id__gt=1), name="partial"),
            dorm.UniqueConstraint("name", name="expression"),
        ]


class Note(dorm.Model):
    folder = dorm.ForeignKey(Folder, dorm.CASCADE, null=True)
    owner = dorm.OneToOneField("doc_instances.Folder", dorm.CASCADE, null=True, related_name="owned")

    class Meta:
        app_label = "doc_instances"


MODELS = (Folder, Note)


async def test_a_new_row_carries_its_number_for_the_text_of_a_key(face: Face) -> None:
    folder = Folder(pk="77")
    await face(folder.save)()
    assert (folder.pk, folder.id, folder._state.adding) == (77, 77, False)
    made = await face(Folder.objects.create)(id="78", name="y")
    assert made == await face(Folder.objects.get)(pk=78)
    with pytest.raises(dorm.ValidationError, match="takes a whole number"):
        await face(Folder(pk="many").save)()


async def test_the_text_of_a_key_leads_to_its_object(face: Face) -> None:
    await face(Folder.objects.create)(id=77)
    note = await face(Note.objects.create)(folder_id="77", owner_id="77")
    await face(dorm.prefetch_related_objects)([note], "folder", "owner")
    assert (note.folder.pk, note.owner.pk, note.folder_id) == (77, 77, "77")
    loaded = note.folder
    assert note.folder is loaded
    note.folder_id = "78"
    assert any(each is loaded for each in vars(note).values())
    if not face.is_async:
        with pytest.raises(Folder.DoesNotExist):
            _ = note.folder


def test_what_meta_tells() -> None:
    assert [each.name for each in Folder._meta.total_unique_constraints] == ["total"]
    assert (str(Folder._meta), Folder._meta.label) == ("doc_instances.folder", "doc_instances.Folder")
    apps = Folder._meta.apps
    assert apps.get_model("doc_instances", "note") is apps.get_model("doc_instances.Note") is Note
    assert {Folder, Note} <= set(apps.get_models())
    for arguments in (("doc_instances", "Nope"), ("nowhere.Note",)):
        with pytest.raises(LookupError, match="no model"):
            apps.get_model(*arguments)
    with pytest.raises(ValueError, match=r"'app\.Model'"):
        apps.get_model("Note")


def test_keywords_that_are_no_fields_are_refused() -> None:
    for keyword in ("_state", "_meta", "nope"):
        with pytest.raises(TypeError, match="unexpected keyword"):
            Folder(**{keyword: 1})


def test_a_key_of_the_wrong_form_is_told_by_the_field_it_refers_to() -> None:
    with pytest.raises(dorm.ValidationError) as caught:
        Note(folder_id="many").clean_fields()
    assert caught.value.message_dict["folder"] == ["“many” value must be an integer."]
    assert dorm.ValidationError(cast("Any", 5)).messages == ["5"]
    assert Note._meta.get_field("folder").get_attname() == "folder_id"
