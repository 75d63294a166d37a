"""FilteredRelation: which rows it joins, over every kind of relation, nested, excluded, summed up."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

import dorm
from dorm import Count, F, FilteredRelation, Q, Sum
from tests.documented.people import MODELS, Country, Mark, Person, Post
from tests.support.faces import Face
from tests.support.statements import statements

__all__ = ["MODELS"]  # the fixture reads it

Cases: TypeAlias = list[tuple[Callable[[], Any], list[list[Any]]]]


pytestmark = pytest.mark.usefixtures("filled")


def over(model: Any, relation: str, condition: Q) -> Any:
    """Return the rows of *model* with the relation joined as x."""
    return model.objects.annotate(x=FilteredRelation(relation, condition=condition))


ROWS: Cases = [
    (
        lambda: over(Person, "posts", Q(posts__title="q")).values_list("pk", "x__pk"),
        [[1, 2], [2, None], [3, None], [4, 5], [5, None]],
    ),
    (lambda: over(Person, "posts", Q(posts__title="q")).filter(x__isnull=True).values_list("pk"), [[2], [3], [5]]),
    (
        lambda: over(Person, "posts", Q(posts__title="q")).filter(x__isnull=False).values_list("pk", "x"),
        [[1, 2], [4, 5]],
    ),
    (lambda: over(Person, "posts", Q(posts__title="q")).filter(x=2).values_list("pk", "x__title"), [[1, "q"]]),
    (
        lambda: over(Person, "posts", Q(posts__title="q") | Q(posts__score=3)).values_list("pk", "x__title"),
        [[1, "q"], [2, "p"], [3, None], [4, "q"], [5, None]],
    ),
    (
        lambda: over(Person, "posts", ~Q(posts__score=1)).values_list("pk", "x__pk"),
        [[1, 2], [2, 3], [3, 4], [4, 5], [5, None]],
    ),
    (
        lambda: over(Person, "posts", Q(posts__score__gt=F("age") - 39)).values_list("pk", "x__pk"),
        [[1, None], [2, None], [3, 4], [4, None], [5, None]],
    ),
    (
        lambda: over(Person, "posts", Q(posts__editor=F("pk"))).values_list("pk", "x__pk"),
        [[1, None], [2, None], [3, 4], [4, None], [5, None]],
    ),
    (
        lambda: Person.objects.annotate(
            x=FilteredRelation("posts", condition=Q(posts__title="q")),
            y=FilteredRelation("posts", condition=Q(posts__title="p")),
        ).values_list("pk", "x__pk", "y__pk"),
        [[1, 2, 1], [2, None, 3], [3, None, None], [4, 5, None], [5, None, None]],
    ),
    (
        lambda: Person.objects.annotate(x=FilteredRelation("posts")).values_list("pk", "x__pk"),
        [[1, 1], [1, 2], [2, 3], [2, 6], [3, 4], [4, 5], [5, None]],
    ),
    (
        lambda: over(Post, "tags", Q(tags__name="t")).filter(x__isnull=False).values_list("pk", "x__pk"),
        [[1, 1], [3, 1]],
    ),
    (
        lambda: over(Post, "tags", Q(tags__parent__isnull=True)).filter(x__name="t").values_list("pk", "x__pk"),
        [[1, 1], [3, 1]],
    ),
    (
        lambda: over(Post, "editor", Q(editor__name="Bob")).values_list("pk", "x__name"),
        [[1, "Bob"], [2, None], [3, None], [4, None], [5, "Bob"], [6, None]],
    ),
    (
        lambda: over(Post, "editor__country", Q(editor__country__name="France")).values_list("pk", "x__code"),
        [[1, None], [2, None], [3, None], [4, "fr"], [5, None], [6, None]],
    ),
    (
        lambda: (
            over(Post, "editor", Q(editor__name="Bob"))
            .filter(x__country__name="Italy")
            .values_list("pk", "x__country__name")
        ),
        [[1, "Italy"], [5, "Italy"]],
    ),
    (
        lambda: over(Person, "passport", Q(passport__number="x")).values_list("pk", "x__issuer__name"),
        [[1, "Italy"], [2, None], [3, "France"], [4, None], [5, None]],
    ),
    (
        lambda: over(Post, "marks", Q(marks__text="m")).values_list("pk", "x__weight"),
        [[1, 2], [2, None], [3, 1], [4, None], [5, None], [6, None]],
    ),
    (
        lambda: over(Mark, "person", Q(person__age=40)).values_list("pk", "x__name"),
        [[1, "Ann"], [2, None], [3, None], [4, None], [5, None], [6, None]],
    ),
    (
        lambda: over(Mark, "post", Q(post__title="p")).filter(x__isnull=False).values_list("pk", "x__pk"),
        [[2, 1], [3, 1], [4, 3]],
    ),
    (
        lambda: over(Person, "kitchens", Q(kitchens__stars=3)).values_list("pk", "x__name"),
        [[1, "Roma"], [2, None], [3, None], [4, None], [5, None]],
    ),
    (
        lambda: over(Person, "friends", Q(friends__name="Bob")).filter(x__isnull=False).values_list("pk", "x__name"),
        [[1, "Bob"], [3, "Bob"]],
    ),
]
NESTED: Cases = [
    (
        lambda: (
            Person.objects.annotate(
                x=FilteredRelation("posts", condition=Q(posts__score=1)),
                y=FilteredRelation("x__comment", condition=Q(x__comment__text="a")),
            )
            .filter(y__isnull=False)
            .values_list("pk", "x__pk", "y__pk")
        ),
        [[1, 1, 1], [1, 1, 2]],
    ),
    (
        lambda: Person.objects.annotate(
            x=FilteredRelation("posts", condition=Q(posts__score=1)),
            y=FilteredRelation("x__comment", condition=Q(x__comment__text="a")),
        ).values_list("pk", "y__likes"),
        [[1, 1], [1, None], [2, None], [3, None], [4, None], [5, None]],
    ),
    (
        lambda: (
            Country.objects.annotate(
                x=FilteredRelation("people", condition=Q(people__age__gt=10)),
                y=FilteredRelation("x__posts", condition=Q(x__posts__score=2)),
            )
            .filter(y__title="r")
            .values_list("pk")
        ),
        [[2]],
    ),
    (lambda: over(Country, "people", Q(people__age__gt=10)).filter(x__posts__title="q").values_list("pk"), [[1]]),
]
EXCLUDED: Cases = [
    (lambda: over(Person, "posts", Q(posts__title="q")).exclude(x__isnull=True).values_list("pk"), [[1], [4]]),
    (lambda: over(Person, "posts", Q(posts__title="q")).exclude(x__isnull=False).values_list("pk"), [[2], [3], [5]]),
    (
        lambda: over(Person, "posts", Q(posts__score=1)).exclude(x__title="s").values_list("pk", "x__title"),
        [[1, "p"], [3, None], [4, None], [5, None]],
    ),
    (
        lambda: over(Person, "posts", ~Q(posts__title="r")).exclude(x__score=1).values_list("pk", "x__title"),
        [[3, None], [4, "q"], [5, None]],
    ),
    (
        lambda: over(Person, "posts", ~Q(posts__title="r")).exclude(x__editor=None).values_list("pk", "x__title"),
        [[4, "q"]],
    ),
    (
        lambda: (
            over(Person, "posts", ~Q(posts__title="r"))
            .filter(Q(x__title="p") & ~Q(x__score=3))
            .values_list("pk", "x__title")
        ),
        [[1, "p"]],
    ),
    (
        lambda: over(Person, "posts", Q(posts__score=1)).exclude(x__tags__name="t").values_list("pk", "x__title"),
        [[2, "s"], [3, None], [4, None], [5, None]],
    ),
    (
        lambda: (
            Country.objects.annotate(
                x=FilteredRelation("people", condition=Q(people__age__gt=10)),
                y=FilteredRelation("x__posts", condition=Q(x__posts__score=2)),
            )
            .exclude(y__title="r")
            .values_list("pk")
        ),
        [[1], [3]],
    ),
    (lambda: over(Country, "people", Q(people__age__gt=10)).exclude(x__posts__title="q").values_list("pk"), [[2], [3]]),
    (
        lambda: over(Post, "tags", Q(tags__parent=1)).exclude(x__name="w").values_list("pk", "x__name"),
        [[1, "u"], [1, None], [2, "u"], [3, None], [6, None]],
    ),
    (
        lambda: over(Post, "editor", Q(editor__name="Bob")).exclude(x__age=40).values_list("pk", "x__name"),
        [[1, "Bob"], [2, None], [3, None], [4, None], [5, "Bob"], [6, None]],
    ),
    (
        lambda: over(Post, "editor", Q(editor__age=20)).exclude(x__name="Cat").values_list("pk"),
        [[1], [2], [3], [5], [6]],
    ),
    (
        lambda: over(Mark, "person", Q(person__age=40)).exclude(x__name="Ann").values_list("pk"),
        [[2], [3], [4], [5], [6]],
    ),
]
CALLS: Cases = [
    (
        lambda: (
            over(Person, "posts", ~Q(posts__title="r")).filter(x__title="p", x__score=1).values_list("pk", "x__title")
        ),
        [[1, "p"]],
    ),
    (
        lambda: (
            over(Person, "posts", ~Q(posts__title="r"))
            .filter(x__title="p")
            .filter(x__score=1)
            .values_list("pk", "x__title")
        ),
        [[1, "p"], [2, "p"]],
    ),
    (
        lambda: (
            over(Person, "posts", ~Q(posts__title="r"))
            .filter(x__isnull=False)
            .filter(x__isnull=False)
            .values_list("pk", "x__title")
        ),
        [[1, "p"], [1, "p"], [1, "q"], [1, "q"], [2, "p"], [2, "p"], [2, "s"], [2, "s"], [4, "q"]],
    ),
    (
        lambda: (
            over(Post, "tags", Q(tags__name="t") | Q(tags__name="u"))
            .filter(x__isnull=False)
            .filter(x__name="u")
            .values_list("pk", "x__name")
        ),
        [[1, "u"], [1, "u"], [2, "u"]],
    ),
    (
        lambda: (
            over(Post, "tags", Q(tags__name="t") | Q(tags__name="u"))
            .filter(x__name="t")
            .filter(x__name="u")
            .values_list("pk", "x__name")
        ),
        [[1, "u"]],
    ),
    (
        lambda: (
            over(Post, "tags", Q(tags__name="t"))
            .filter(x__isnull=False)
            .filter(x__isnull=False)
            .annotate(n=Count("x"))
            .values_list("pk", "n")
        ),
        [[1, 1], [3, 1]],
    ),
    (
        lambda: (
            over(Post, "editor", Q(editor__name="Bob"))
            .filter(x__isnull=False)
            .filter(x__age=None)
            .values_list("pk", "x__name")
        ),
        [[1, "Bob"], [5, "Bob"]],
    ),
    (
        lambda: (
            over(Person, "posts", Q(posts__score=1))
            .filter(Q(x__title="s") | Q(name="Eve"))
            .values_list("pk", "x__title")
        ),
        [[2, "s"], [5, None]],
    ),
]
SUMMED_UP: Cases = [
    (
        lambda: Person.objects.annotate(
            x=FilteredRelation("posts", condition=~Q(posts__title="r")), n=Count("x")
        ).values_list("pk", "n"),
        [[1, 2], [2, 2], [3, 0], [4, 1], [5, 0]],
    ),
    (
        lambda: (
            over(Person, "posts", Q(posts__score=1))
            .annotate(n=Count("x"), m=Count("posts", distinct=True))
            .values_list("pk", "n", "m")
        ),
        [[1, 2, 2], [2, 2, 2], [3, 0, 1], [4, 0, 1], [5, 0, 0]],
    ),
    (
        lambda: (
            over(Person, "posts", ~Q(posts__title="r"))
            .annotate(n=Sum("x__score"))
            .filter(n__gt=1)
            .values_list("pk", "n")
        ),
        [[2, 4]],
    ),
    (
        lambda: (
            over(Person, "posts", ~Q(posts__title="r"))
            .annotate(n=Count("x", filter=Q(x__score=1)))
            .values_list("pk", "n")
        ),
        [[1, 1], [2, 1], [3, 0], [4, 0], [5, 0]],
    ),
    (
        lambda: over(Person, "posts", ~Q(posts__title="r")).annotate(n=Count("x__comment")).values_list("pk", "n"),
        [[1, 4], [2, 2], [3, 0], [4, 0], [5, 0]],
    ),
    (
        lambda: (
            over(Person, "posts", ~Q(posts__title="r"))
            .annotate(n=Count("x"))
            .filter(x__isnull=False)
            .values_list("pk", "n")
        ),
        [[1, 4], [2, 4], [4, 1]],
    ),
    (
        lambda: (
            over(Person, "posts", Q(posts__score=1))
            .values("x__title")
            .annotate(n=Count("pk"))
            .values_list("x__title", "n")
        ),
        [["p", 1], ["s", 1], [None, 3]],
    ),
]
ORDERED: Cases = [
    (
        lambda: (
            over(Person, "posts", Q(posts__score=1))
            .filter(x__isnull=False)
            .order_by("-x__title", "pk")
            .values_list("pk", "x__title")
        ),
        [[2, "s"], [1, "p"]],
    ),
    (
        lambda: (
            Person.objects.annotate(x=FilteredRelation("posts", condition=Q(posts__score=1)), t=F("x__title"))
            .filter(t="s")
            .order_by("pk")
            .values_list("pk", "t")
        ),
        [[2, "s"]],
    ),
]


ALL = {
    "rows": ROWS,
    "nested": NESTED,
    "excluded": EXCLUDED,
    "calls": CALLS,
    "summed up": SUMMED_UP,
    "ordered": ORDERED,
}


@pytest.mark.parametrize("cases", ALL.values(), ids=ALL)
async def test_rows(face: Face, cases: Cases) -> None:
    for make, expected in cases:
        queryset = make()
        found = [list(row) for row in await face.rows(queryset)]
        assert (found if queryset.ordered else sorted(found, key=repr)) == expected


async def test_what_it_is_used_in(face: Face) -> None:
    scored = Person.objects.annotate(x=FilteredRelation("posts", condition=Q(posts__score=1)))
    assert await face(scored.aggregate)(Count("x")) == {"x__count": 2}
    assert await face(scored.filter(x__title="s").exists)()
    inside = Person.objects.filter(pk__in=scored.filter(x__title="s"))
    assert await face.rows(inside.values_list("name", flat=True)) == ["Bob"]
    assert await face(scored.filter(x__title="s").update)(age=1) == 1
    assert (await face(Person.objects.get)(name="Bob")).age == 1
    assert await face(scored.filter(x__title="r").delete)() == (0, {})


async def test_partners_are_loaded_with_the_rows(face: Face) -> None:
    """`select_related` takes the name of a filtered relation, and paths from there; many partners are many rows."""
    marked = over(Person, "posts", Q(posts__title="q") | Q(posts__score=3)).order_by("pk", "x__pk")
    with statements() as sent:
        rows = await face.rows(marked.select_related("x__editor", "country"))
        found = [(row.pk, row.x and (row.x.title, row.x.editor and row.x.editor.name), row.country) for row in rows]
    assert len(sent) == 1
    plain = {post.pk: post for post in await face.rows(Post.objects.select_related("editor"))}
    pairs = await face.rows(marked.values_list("pk", "x__pk"))
    assert [(pk, post) for pk, post, _ in found] == [
        (pk, key and (plain[key].title, plain[key].editor and plain[key].editor.name)) for pk, key in pairs
    ]
    assert {post is None for _, post, _ in found} == {True, False}

    edited = over(Post, "editor", Q(editor__age__gt=0)).select_related("x").order_by("pk")
    with statements() as sent:
        assert [row.x and row.x.name for row in await face.rows(edited)] == await face.rows(
            over(Post, "editor", Q(editor__age__gt=0)).order_by("pk").values_list("x__name", flat=True)
        )
    assert len(sent) == 2
    copied = pickle.loads(pickle.dumps(await face.rows(edited)))
    assert [row.x for row in copied] == [row.x for row in await face.rows(edited)]
    assert await face(edited.filter(x=None).count)() + await face(edited.exclude(x=None).count)() == len(copied)


def test_wrong_ones_are_refused() -> None:
    with pytest.raises(dorm.FieldError, match=r"'y' .* is no relation"):
        over(Person, "posts", Q(posts__title="q")).select_related("y")
    with pytest.raises(dorm.FieldError, match=r"'tags' .* is no relation of Post to one object"):
        over(Person, "posts", Q(posts__title="q")).select_related("x__tags")
    for relation_name, error in (("posts__title__length", ValueError), ("nope", dorm.FieldError), ("", ValueError)):
        with pytest.raises(error):
            Person.objects.annotate(x=FilteredRelation(relation_name))
    for taken in ("posts", "name"):
        with pytest.raises(ValueError, match="conflicts"):
            Person.objects.annotate(**{taken: FilteredRelation("posts")})
    for deeper in (Q(posts__tags__name="t"), Q(comments__text="a")):
        with pytest.raises(ValueError, match="nested relations deeper"):
            Person.objects.annotate(x=FilteredRelation("posts", condition=deeper))


def test_equal_ones() -> None:
    one, other = [FilteredRelation("posts", condition=Q(posts__score=number)) for number in (1, 2)]
    assert one == FilteredRelation("posts", condition=Q(posts__score=1))
    assert one != other
    assert hash(one) == hash(FilteredRelation("posts", condition=Q(posts__score=1)))
