"""full_clean and its parts."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face

pytestmark = pytest.mark.usefixtures("empty_database")


class Editor(dorm.Model):
    name = dorm.CharField(max_length=5, unique=True)
    email = dorm.EmailField(blank=True)

    class Meta:
        app_label = "validated"
        verbose_name = "chief editor"


class Post(dorm.Model):
    KINDS = [("a", "Article"), ("group", [("b", "Blog")])]

    title = dorm.CharField("the title", max_length=10, unique_for_date="day", unique_for_month="day")
    slug = dorm.SlugField(blank=True, unique_for_year="moment")
    kind = dorm.CharField(max_length=1, choices=KINDS, default="a")
    stars = dorm.IntegerField(
        null=True,
        blank=True,
        validators=[dorm.MinValueValidator(1), dorm.MaxValueValidator(5)],
        error_messages={"max_value": "too many"},
    )
    day = dorm.DateField(null=True, blank=True)
    moment = dorm.DateTimeField(null=True, blank=True)
    number = dorm.IntegerField(null=True, blank=True)
    editor = dorm.ForeignKey(Editor, null=True, blank=True)

    class Meta:
        app_label = "validated"
        unique_together = [("title", "number")]

    def clean(self) -> None:
        if self.stars == 3:
            raise dorm.ValidationError({"stars": dorm.ValidationError("never three", code="three")})
        if self.stars == 2:
            raise dorm.ValidationError("not two", code="two")


async def errors(face: Face, instance: Any, **options: Any) -> dict[str, list[tuple[str, str | None]]]:
    """Return messages and codes by field; empty where nothing is wrong."""
    try:
        await face(instance.full_clean)(**options)
    except dorm.ValidationError as exc:
        grouped = exc.error_dict
        return {
            name: [(message, error.code) for message, error in zip(exc.message_dict[name], each, strict=True)]
            for name, each in grouped.items()
        }
    return {}


async def test_a_valid_instance_is_converted(face: Face) -> None:
    await face(create_tables)([Editor, Post])
    post = Post(title="x", stars="4", day="2020-1-5", kind="b")
    assert await errors(face, post) == {}
    assert (post.stars, post.day) == (4, datetime.date(2020, 1, 5))


async def test_fields_say_what_is_wrong_with_them(face: Face) -> None:
    await face(create_tables)([Editor, Post])
    post = Post(title="", slug="no slug!", kind="z", stars=9, day="2020-02-30", moment="x", number="n")
    assert await errors(face, post) == {
        "title": [("This field cannot be blank.", "blank")],
        "slug": [("Enter a valid “slug” consisting of letters, numbers, underscores or hyphens.", "invalid")],
        "kind": [("Value 'z' is not a valid choice.", "invalid_choice")],
        "stars": [("too many", "max_value")],
        "day": [
            (
                "“2020-02-30” value has the correct format (YYYY-MM-DD) but it is an invalid date.",
                "invalid_date",
            )
        ],
        "moment": [
            (
                "“x” value has an invalid format. It must be in YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format.",
                "invalid",
            )
        ],
        "number": [("“n” value must be an integer.", "invalid")],
    }
    assert await errors(face, Post(title=None)) == {"title": [("This field cannot be null.", "null")]}
    assert await errors(face, Post(title="x" * 11)) == {
        "title": [("Ensure this value has at most 10 characters (it has 11).", "max_length")]
    }
    assert await errors(face, post, exclude=["title", "slug", "kind", "stars", "day", "moment", "number"]) == {}


async def test_clean_speaks_for_fields_and_for_the_whole(face: Face) -> None:
    await face(create_tables)([Editor, Post])
    assert await errors(face, Post(title="x", stars=3)) == {"stars": [("never three", "three")]}
    assert await errors(face, Post(title="x", stars=2)) == {"__all__": [("not two", "two")]}


async def test_unique_fields_and_groups(face: Face) -> None:
    await face(create_tables)([Editor, Post])
    first = await face(Editor.objects.create)(name="Ann")
    assert await errors(face, Editor(name="Ann")) == {
        "name": [("Chief editor with this Name already exists.", "unique")]
    }
    assert await errors(face, first) == {}
    assert await errors(face, Editor(name="Ann"), validate_unique=False) == {}
    await face(Post.objects.create)(title="t", number=1)
    assert await errors(face, Post(title="t", number=1)) == {
        "__all__": [("Post with this The title and Number already exists.", "unique_together")]
    }
    assert await errors(face, Post(title="t", number=2)) == {}
    assert await errors(face, Post(title="t", number=None)) == {}
    assert await errors(face, Post(title="t", number=1), exclude={"number"}) == {}
    with pytest.raises(dorm.ValidationError, match="with this Name already exists"):
        await face(Editor(name="Ann").validate_unique)()
    await face(Editor(name="Ann").validate_unique)(exclude={"name"})
    key_taken = Editor(id=first.pk, name="Bob")
    assert await errors(face, key_taken) == {"id": [("Chief editor with this ID already exists.", "unique")]}


async def test_unique_for_date(face: Face) -> None:
    await face(create_tables)([Editor, Post])
    await face(Post.objects.create)(title="t", day=datetime.date(2020, 5, 17))
    found = await errors(face, Post(title="t", day=datetime.date(2020, 5, 17)), exclude={"slug"})
    assert ("The title must be unique for Day date.", "unique_for_date") in found["title"]
    assert await errors(face, Post(title="u", day=datetime.date(2020, 5, 17)), exclude={"slug"}) == {}
    assert await errors(face, Post(title="t", day=None), exclude={"slug"}) == {}


async def test_a_key_must_lead_to_a_row(face: Face) -> None:
    await face(create_tables)([Editor, Post])
    editor = await face(Editor.objects.create)(name="Ann")
    assert await errors(face, Post(title="t", editor=editor)) == {}
    found = await errors(face, Post(title="t", editor_id=editor.pk + 1))
    assert found == {
        "editor": [(f"chief editor instance with id {editor.pk + 1} is not a valid choice.", "invalid")],
    }


async def test_overridden_parts_are_called(face: Face) -> None:
    class Careful(dorm.Model):
        name = dorm.CharField(max_length=5)

        class Meta:
            app_label = "validated"

        def clean_fields(self, exclude: Any = None) -> None:
            super().clean_fields(exclude)
            if self.name == "no":
                raise dorm.ValidationError({"name": "no!"})

        def validate_unique(self, exclude: Any = None) -> None:
            raise dorm.ValidationError("never unique")

    await face(create_tables)([Careful])
    assert await errors(face, Careful(name="no")) == {"name": [("no!", None)], "__all__": [("never unique", None)]}
    assert await errors(face, Careful(name="yes"), validate_unique=False) == {}


async def test_values_made_by_the_database_are_not_validated(face: Face) -> None:
    class Made(dorm.Model):
        count = dorm.IntegerField(db_default=3, validators=[dorm.MinValueValidator(10)])
        twice = dorm.GeneratedField(expression=dorm.F("count") * 2, output_field=dorm.IntegerField())

        class Meta:
            app_label = "validated"
            constraints = [dorm.CheckConstraint(condition=dorm.Q(twice__lt=100), name="twice_small")]

    await face(create_tables)([Made])
    assert await errors(face, Made()) == {}
    assert set(await errors(face, Made(count=4))) == {"count"}
    assert await errors(face, Made(count=60)) == {"__all__": [("Constraint “twice_small” is violated.", None)]}


def test_validation_errors_of_parts_are_put_together() -> None:
    nested = dorm.ValidationError({"a": ["x", dorm.ValidationError("y %(n)s", params={"n": 1})]})
    collected = nested.update_error_dict({})
    dorm.ValidationError("z").update_error_dict(collected)
    assert dorm.ValidationError(collected).message_dict == {"a": ["x", "y 1"], "__all__": ["z"]}


async def test_proxies_and_children_are_validated_with_their_tables(face: Face) -> None:
    class Place(dorm.Model):
        name = dorm.CharField(max_length=10, unique=True)

        class Meta:
            app_label = "validated"
            constraints = [dorm.CheckConstraint(condition=~dorm.Q(name="nowhere"), name="somewhere")]

    class Spot(Place):
        class Meta:
            app_label = "validated"
            proxy = True

    class Bar(Place):
        seats = dorm.IntegerField(unique=True)

        class Meta:
            app_label = "validated"

    await face(create_tables)([Place, Bar])
    await face(Bar(name="a", seats=1).save)()
    assert set(await errors(face, Spot(name="a"))) == {"name"}
    assert set(await errors(face, Spot(name="nowhere"))) == {"__all__"}
    assert set(await errors(face, Bar(name="a", seats=1))) == {"name", "seats"}
    assert set(await errors(face, Bar(name="nowhere", seats=2))) == {"__all__"}
    assert await errors(face, await face(Bar.objects.get)()) == {}


async def test_a_composite_key_is_unique(face: Face) -> None:
    class Seat(dorm.Model):
        pk = dorm.CompositePrimaryKey("row", "number")
        row = dorm.IntegerField()
        number = dorm.IntegerField()

        class Meta:
            app_label = "validated"
            constraints = [dorm.UniqueConstraint(fields=["number"], name="numbers")]

    await face(create_tables)([Seat])
    seat = await face(Seat.objects.create)(row=1, number=1)
    assert await errors(face, seat) == {}
    assert "Seat with this Row and Number already exists." in [
        message for message, _ in (await errors(face, Seat(row=1, number=1)))["__all__"]
    ]
    assert await errors(face, Seat(row=1, number=2)) == {}


async def test_the_domain_of_an_address_becomes_lower_case(face: Face) -> None:
    await face(create_tables)([Editor])
    editor = Editor(name="x", email="Ann.Bo@EXAMPLE.Com")
    await face(editor.save)()
    assert (await face(Editor.objects.get)()).email == "Ann.Bo@EXAMPLE.Com", "a save validates nothing"
    await face(editor.full_clean)()
    assert editor.email == "Ann.Bo@example.com"
    for wrong in ("ann", "ann@", "@example.com", "a b@example.com"):
        assert (await errors(face, Editor(name="y", email=wrong)))["email"][0][1] == "invalid"
