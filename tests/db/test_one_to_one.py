"""One-to-one fields from both ends."""

from __future__ import annotations

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face
from tests.support.relations import LINKED, Passport, Person


class Badge(dorm.Model):
    """A key that is a relation, and a column that keeps any number."""

    person = dorm.OneToOneField(Person, dorm.CASCADE, primary_key=True, db_constraint=False)
    colour = dorm.CharField(max_length=10, default="")

    class Meta:
        app_label = "links"


@pytest.fixture(autouse=True)
def tables(empty_database: dict[str, object]) -> None:
    create_tables([*LINKED, Badge])


async def test_the_reverse_is_one_object_and_knows_its_parent(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    made = await face(Passport.objects.create)(person=ann, number="1")
    assert Passport(person=ann, number="2").person is ann
    found = await face(Person.objects.select_related("passport").get)(pk=ann.pk)
    assert found.passport == made
    assert found.passport.person is found


async def test_a_missing_object_raises_both_exceptions(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    found = await face(Person.objects.select_related("passport").get)(pk=ann.pk)
    with pytest.raises(Passport.DoesNotExist, match=r"Person has no passport\."):
        found.passport
    with pytest.raises(AttributeError):
        found.passport
    assert not hasattr(found, "passport")
    missing = Person.passport.RelatedObjectDoesNotExist
    assert issubclass(missing, Passport.DoesNotExist)
    assert issubclass(missing, AttributeError)
    assert missing.__qualname__ == "Person.passport.RelatedObjectDoesNotExist"


def test_it_loads_on_access(backend: str) -> None:
    ann = Person.objects.create(name="Ann")
    made = Passport.objects.create(person=ann, number="1")
    found = Person.objects.get(pk=ann.pk)
    assert found.passport == made
    assert found.passport is found.passport
    assert found.passport.person is found
    assert not hasattr(Person.objects.create(name="Bob"), "passport")
    assert not hasattr(Person(name="new"), "passport")


async def test_a_key_that_points_at_nothing_is_refused(face: Face) -> None:
    for write in (Badge.objects.create, Badge().save):
        with pytest.raises(dorm.IntegrityError, match="points at nothing: give it a saved Person"):
            await face(write)()
    with pytest.raises(dorm.IntegrityError, match="points at nothing: give it a saved Person"):
        await face(Badge(colour="red").save)(force_insert=True)
    assert await face(Badge.objects.count)() == 0


async def test_two_rows_cannot_point_at_the_same(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    await face(Passport.objects.create)(person=ann, number="1")
    with pytest.raises(dorm.IntegrityError):
        await face(Passport.objects.create)(person=ann, number="2")


async def test_assigning_the_reverse_sets_the_key(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    passport = Passport(number="1")
    ann.passport = passport  # type: ignore[attr-defined]  # reverse attributes have no static type
    assert passport.person is ann
    await face(passport.save)()
    assert await face(Passport.objects.filter(person=ann).count)() == 1
    with pytest.raises(ValueError, match=r'"Person\.passport" must be a "Passport" instance'):
        ann.passport = ann  # type: ignore[attr-defined]  # as above


async def test_conditions_from_both_ends(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    bob = await face(Person.objects.create)(name="Bob")
    made = await face(Passport.objects.create)(person=ann, number="1")
    assert await face.rows(Person.objects.filter(passport__number="1")) == [ann]
    assert await face.rows(Person.objects.filter(passport=made)) == [ann]
    assert await face.rows(Person.objects.filter(passport__isnull=True)) == [bob]
    assert await face.rows(Person.objects.exclude(passport__number="1")) == [bob]
    assert await face.rows(Passport.objects.filter(person__name="Ann")) == [made]


async def test_deleting_the_target_deletes_the_row(face: Face) -> None:
    ann = await face(Person.objects.create)(name="Ann")
    await face(Passport.objects.create)(person=ann, number="1")
    assert (await face(ann.delete)())[1] == {"links.Person": 1, "links.Passport": 1}
