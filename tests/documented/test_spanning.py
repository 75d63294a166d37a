"""Lookups that span relationships, also under OR and NOT: the rows that Django's answers have, and the joins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from dorm import F, Q
from tests.documented import people
from tests.documented.people import (
    MODELS,
    Comment,
    Country,
    Group,
    Letter,
    Mark,
    Membership,
    Person,
    Place,
    Post,
    Restaurant,
    Tag,
    Visit,
)
from tests.support.faces import Face

__all__ = ["MODELS"]  # the fixture reads it

Cases: TypeAlias = list[tuple[Callable[[], Any], list[Any]]]


@pytest.fixture(autouse=True)
def filled(tables: object) -> Iterator[None]:
    yield from people.filled()


SPANS: Cases = [
    (lambda: Post.objects.filter(author__name="Ann"), [1, 2]),
    (lambda: Post.objects.filter(author__country__name="Italy"), [1, 2, 3, 6]),
    (lambda: Person.objects.filter(posts__title="q"), [1, 4]),
    (lambda: Person.objects.filter(posts__tags__name="t"), [1, 2]),
    (lambda: Tag.objects.filter(posts__author__country="it"), [1, 1, 2, 2]),
    (lambda: Person.objects.filter(edits__title="p"), [1, 2]),
    (lambda: Person.objects.filter(country__people__name="Bob"), [1, 2]),
    (lambda: Person.objects.filter(boss__boss__name="Ann"), [4]),
    (lambda: Person.objects.filter(staff__staff__name="Dan"), [1]),
    (lambda: Person.objects.filter(passport__issuer__name="Italy"), [1, 4]),
    (lambda: Country.objects.filter(issued__person__posts__score=1), [1]),
    (lambda: Person.objects.filter(friends__friends__name="Cat"), [1, 3]),
    (lambda: Person.objects.filter(followers__followers=2), [2]),
    (lambda: Person.objects.filter(pals__age=20), [1]),
    (lambda: Person.objects.filter(groups__name="G", membership__level=2), [2]),
    (lambda: Group.objects.filter(members__invitations__level=1), [1]),
    (lambda: Person.objects.filter(favourites__restaurant__stars=3), [1, 2]),
    (lambda: Restaurant.objects.filter(fans__name="Ann", name="Roma"), [3]),
    (lambda: Place.objects.filter(restaurant__chef__boss=1), [4]),
    (lambda: Visit.objects.filter(restaurant__name="Roma", place__restaurant__stars=3), [2]),
    (lambda: Person.objects.filter(letters__text="b"), [1, 3]),
    (lambda: Letter.objects.filter(cc__letters__text="a"), [2]),
    (lambda: Mark.objects.filter(post__author__name="Ann"), [2, 3]),
    (lambda: Person.objects.filter(marks__text="m"), [1]),
    (lambda: Post.objects.filter(marks__weight=2), [1]),
    (lambda: Mark.objects.filter(restaurant__name="Roma"), [6]),
    (lambda: Mark.objects.filter(person__country__name="Italy"), [1]),
]
NOTHING_ALONG_THE_PATH: Cases = [
    (lambda: Post.objects.filter(editor__country__name=None), [2, 6]),
    (lambda: Post.objects.filter(editor__country__name__isnull=True), [2, 6]),
    (lambda: Post.objects.filter(editor__isnull=False, editor__country__name__isnull=True), []),
    (lambda: Post.objects.filter(editor__isnull=True), [2, 6]),
    (lambda: Post.objects.filter(editor=None), [2, 6]),
    (lambda: Person.objects.filter(passport__isnull=True), [5]),
    (lambda: Person.objects.filter(passport=None), [5]),
    (lambda: Person.objects.filter(passport__issuer=None), [2, 5]),
    (lambda: Person.objects.filter(posts__isnull=True), [5]),
    (lambda: Person.objects.filter(posts=None), [5]),
    (lambda: Person.objects.filter(posts__score=None), [1, 4, 5]),
    (lambda: Person.objects.filter(comments__likes__isnull=True), [5]),
    (lambda: Post.objects.filter(tags__isnull=True), [6]),
    (lambda: Post.objects.filter(tags__parent=None), [1, 3, 6]),
    (lambda: Post.objects.filter(tags__parent__isnull=False), [1, 2, 4, 4, 5]),
    (lambda: Place.objects.filter(restaurant__isnull=True), [1, 2]),
    (lambda: Place.objects.filter(restaurant__chef__isnull=True), [1, 2, 5]),
    (lambda: Post.objects.filter(marks__isnull=True), [2, 4, 5, 6]),
    (lambda: Mark.objects.filter(post__isnull=True), [1, 5, 6]),
    (lambda: Mark.objects.filter(person__boss__isnull=True), [1, 2, 3, 4, 6]),
    (lambda: Post.objects.filter(comment__by__isnull=True), [1, 4, 5, 6]),
    (lambda: Visit.objects.filter(restaurant__chef__isnull=True, person__isnull=False), [1, 6]),
]
ONE_CALL_OR_TWO: Cases = [
    (lambda: Person.objects.filter(posts__title="q", posts__score=1), []),
    (lambda: Person.objects.filter(posts__title="q").filter(posts__score=1), [1]),
    (lambda: Person.objects.filter(posts__title="p").filter(posts__title="s"), [2]),
    (lambda: Person.objects.filter(posts__title="p", posts__tags__name="u"), [1]),
    (lambda: Person.objects.filter(posts__title="p").filter(posts__tags__name="u"), [1, 1]),
    (lambda: Person.objects.filter(posts__title="p").exclude(posts__title="q"), [2]),
    (lambda: Person.objects.exclude(posts__title="q").filter(posts__title="p"), [2]),
    (lambda: Person.objects.exclude(posts__title="q", posts__score=1), [2, 3, 4, 5]),
    (lambda: Person.objects.exclude(posts__in=Post.objects.filter(title="q", score=1)), [1, 2, 3, 4, 5]),
    (lambda: Post.objects.filter(tags__name="t", tags__parent=None), [1, 3]),
    (lambda: Post.objects.filter(tags__name="t").filter(tags__name="u"), [1]),
    (lambda: Post.objects.filter(comment__text="a", comment__likes=1, comment__by__name="Ann"), [1]),
    (lambda: Post.objects.filter(comment__text="a").filter(comment__likes=0), [1, 1]),
    (lambda: Post.objects.filter(Q(comment__text="a"), Q(comment__likes=0)), []),
    (lambda: Post.objects.filter(Q(comment__text="a") & ~Q(comment__likes=1)), [1]),
    (lambda: Post.objects.filter(Q(comment__text="a") & ~Q(comment__by__isnull=True)), [3]),
    (lambda: Post.objects.filter(Q(comment__text="a") & ~Q(comment__by__isnull=False)), [1]),
    (lambda: Post.objects.filter(author__name="Ann").filter(author__age=40), [1, 2]),
    (lambda: Person.objects.filter(groups__name="G").filter(groups__name="H"), [3]),
    (lambda: Post.objects.filter(marks__text="m", marks__weight=1), [3]),
    (lambda: Post.objects.filter(marks__text="m").filter(marks__text="n"), [1]),
]
EXCLUDED: Cases = [
    (lambda: Post.objects.exclude(editor__name="Bob"), [2, 3, 4, 6]),
    (lambda: Post.objects.exclude(editor__country__name="Italy"), [2, 4, 6]),
    (lambda: Post.objects.exclude(editor__age=20), [1, 2, 3, 5, 6]),
    (lambda: Post.objects.exclude(editor=2), [2, 3, 4, 6]),
    (lambda: Post.objects.exclude(editor=None), [1, 3, 4, 5]),
    (lambda: Post.objects.exclude(editor__isnull=True), [1, 3, 4, 5]),
    (lambda: Post.objects.exclude(editor__country=None), [1, 3, 4, 5]),
    (lambda: Post.objects.exclude(score__gt=1), [1, 2, 5, 6]),
    (lambda: Post.objects.exclude(editor__in=[1, 2]), [2, 4, 6]),
    (lambda: Post.objects.exclude(editor__in=Person.objects.filter(name="Bob")), [2, 3, 4, 6]),
    (lambda: Person.objects.exclude(posts__title="q"), [2, 3, 5]),
    (lambda: Person.objects.exclude(posts__score=1), [3, 4, 5]),
    (lambda: Person.objects.exclude(posts__isnull=True), [1, 2, 3, 4]),
    (lambda: Person.objects.exclude(posts=None), [1, 2, 3, 4]),
    (lambda: Person.objects.exclude(posts__editor=None), [3, 4]),
    (lambda: Person.objects.exclude(posts__editor__isnull=False), [5]),
    (lambda: Person.objects.exclude(posts__tags__name="t"), [3, 4, 5]),
    (lambda: Person.objects.exclude(posts__tags__isnull=True), [1, 3, 4]),
    (lambda: Person.objects.exclude(passport__number="x"), [2, 4, 5]),
    (lambda: Person.objects.exclude(passport__issuer__name="Italy"), [2, 3, 5]),
    (lambda: Person.objects.exclude(passport__isnull=True), [1, 2, 3, 4]),
    (lambda: Post.objects.exclude(tags=1), [2, 4, 5, 6]),
    (lambda: Post.objects.exclude(tags__in=[1, 4]), [2, 6]),
    (lambda: Post.objects.exclude(tags__parent__name="t"), [3, 6]),
    (lambda: Post.objects.exclude(tags__parent=None), [2, 4, 5]),
    (lambda: Post.objects.exclude(comment__by=None), [2, 3]),
    (lambda: Post.objects.exclude(comment__by__isnull=True), [2, 3]),
    (lambda: Post.objects.exclude(comment__by__isnull=False), [4, 5, 6]),
    (lambda: Post.objects.exclude(comment__likes=None), [2, 3, 4]),
    (lambda: Post.objects.exclude(comment__by__boss__name="Ann"), [4, 5, 6]),
    (lambda: Comment.objects.exclude(by__posts__title="s"), [1, 2, 4, 5, 6, 7]),
    (lambda: Comment.objects.exclude(by__friends__name="Bob"), [2, 3, 6, 7]),
    (lambda: Person.objects.exclude(friends=2), [2, 4, 5]),
    (lambda: Person.objects.exclude(friends__friends__name="Cat"), [2, 4, 5]),
    (lambda: Person.objects.exclude(follows__follows__name="Ann"), [2, 3, 5]),
    (lambda: Person.objects.exclude(pals__age=20), [2, 3, 4, 5]),
    (lambda: Person.objects.exclude(groups__membership__level=3), [5]),
    (lambda: Place.objects.exclude(restaurant__stars=3), [1, 2, 4, 5]),
    (lambda: Place.objects.exclude(restaurant__isnull=True), [3, 4, 5]),
    (lambda: Restaurant.objects.exclude(fans__name="Ann"), [4, 5]),
    (lambda: Restaurant.objects.exclude(country__name="Italy"), [4, 5]),
    (lambda: Restaurant.objects.exclude(visits__person__isnull=True), [4]),
    (lambda: Place.objects.exclude(visits__restaurant__isnull=False), [1, 5]),
    (lambda: Place.objects.exclude(visits__person__name="Bob"), [1, 2, 5]),
    (lambda: Person.objects.exclude(letters__text="a"), [2, 3, 4, 5]),
    (lambda: Person.objects.exclude(copies__to__name="Ann"), [1, 4, 5]),
    (lambda: Mark.objects.exclude(post__title="p"), [1, 5, 6]),
    (lambda: Mark.objects.exclude(post__isnull=True), [2, 3, 4]),
    (lambda: Mark.objects.exclude(person__boss=None), [5]),
    (lambda: Post.objects.exclude(marks__text="m"), [2, 4, 5, 6]),
    (lambda: Post.objects.exclude(marks__weight=None), [3]),
    (lambda: Restaurant.objects.exclude(marks__weight=3), [4, 5]),
]
COMPARED_WITH_COLUMNS: Cases = [
    (lambda: Post.objects.filter(author=F("editor")), [4]),
    (lambda: Post.objects.filter(author__country=F("editor__country")), [1, 3, 4]),
    (lambda: Post.objects.exclude(author=F("editor")), [1, 2, 3, 5, 6]),
    (lambda: Post.objects.exclude(author__country=F("editor__country")), [2, 5, 6]),
    (lambda: Post.objects.exclude(author__name=F("editor__name")), [1, 3, 5]),
    (lambda: Post.objects.exclude(author__age=F("editor__age")), [1, 2, 3, 5, 6]),
    (lambda: Post.objects.exclude(score=F("author__age")), [1, 2, 3, 4, 5, 6]),
    (lambda: Restaurant.objects.exclude(name=F("country__code")), [3, 4, 5]),
    (lambda: Person.objects.exclude(name=F("country__code")), [1, 2, 3, 4, 5]),
    (lambda: Person.objects.filter(country=F("boss__country")), [2]),
    (lambda: Person.objects.exclude(country=F("boss__country")), [1, 3, 4, 5]),
    (lambda: Person.objects.filter(posts__title=F("edits__title")), [1, 2, 3]),
    (lambda: Comment.objects.filter(text=F("post__title")), []),
    (lambda: Comment.objects.exclude(text=F("post__title")), [1, 2, 3, 4, 5, 6, 7]),
    (lambda: Comment.objects.filter(by=F("post__author")), [1]),
    (lambda: Comment.objects.exclude(by=F("post__author")), [2, 3, 4, 5, 6, 7]),
    (lambda: Comment.objects.exclude(by__boss=F("post__author")), [1, 2, 5, 7]),
    (lambda: Membership.objects.filter(level__gt=F("person__membership__level")), [4, 6]),
    (lambda: Post.objects.filter(score=F("comment__likes")), [1]),
    (lambda: Post.objects.exclude(comment__likes=F("score")), [2, 3, 4, 5, 6]),
    (lambda: Post.objects.exclude(comment__text=F("title")), [1, 2, 3, 4, 5, 6]),
    (lambda: Post.objects.exclude(tags__parent__name=F("tags__name")), [1, 1, 2, 3, 4, 4, 5, 6]),
    (lambda: Person.objects.exclude(posts__score=F("age") - 39), [2, 3, 4, 5]),
]
COMBINED: Cases = [
    (lambda: Post.objects.filter(Q(author__name="Ann") | Q(editor__name="Ann")), [1, 2, 3]),
    (lambda: Post.objects.filter(Q(editor__name="Bob") | Q(editor__isnull=True)), [1, 2, 5, 6]),
    (lambda: Post.objects.filter(Q(editor__country__name="Italy") | Q(title="s")), [1, 3, 5, 6]),
    (lambda: Post.objects.filter(Q(editor__name="Bob") | Q(editor__country__name="France")), [1, 4, 5]),
    (lambda: Post.objects.filter(Q(editor__name="Bob") & Q(editor__country__name="Italy")), [1, 5]),
    (lambda: Post.objects.filter(~Q(editor__name="Bob") & ~Q(editor__country__name="France")), [2, 3, 6]),
    (lambda: Post.objects.filter(~Q(editor__name="Bob") | ~Q(editor__country__name="Italy")), [2, 3, 4, 6]),
    (lambda: Post.objects.filter(~(Q(editor__name="Bob") | Q(author__name="Ann"))), [3, 4, 6]),
    (lambda: Post.objects.filter(~(Q(editor__name="Bob") & Q(author__name="Ann"))), [2, 3, 4, 5, 6]),
    (lambda: Post.objects.filter(~~Q(editor__name="Bob")), [1, 5]),
    (lambda: Post.objects.exclude(~Q(editor__name="Bob")), [1, 5]),
    (lambda: Post.objects.exclude(~Q(editor__isnull=True)), [2, 6]),
    (lambda: Post.objects.exclude(~Q(comment__by__isnull=True)), [1, 4, 5, 6]),
    (lambda: Post.objects.exclude(~Q(comment__text="b")), [1, 4]),
    (lambda: Post.objects.exclude(~Q(tags__name="t")), [1, 3]),
    (lambda: Person.objects.filter(Q(posts__title="s") | Q(edits__title="q")), [2, 2, 2]),
    (lambda: Person.objects.filter(Q(posts__isnull=True) | Q(posts__title="s")), [2, 5]),
    (lambda: Person.objects.filter(Q(posts__tags__name="t") | Q(name="Eve")).distinct(), [1, 2, 5]),
    (lambda: Person.objects.filter(~Q(posts__title="q") & ~Q(edits__title="q")), [3, 5]),
    (lambda: Person.objects.filter(~Q(posts__title="q") | Q(boss=None)), [1, 2, 3, 5]),
    (lambda: Person.objects.filter(Q(boss=None) | ~Q(boss__boss=None)), [1, 4, 5]),
    (lambda: Post.objects.exclude(Q(tags__name="t") | Q(comment__text="b")), [2, 5, 6]),
    (lambda: Post.objects.exclude(Q(tags__name="t") & Q(comment__text="b")), [2, 3, 4, 5, 6]),
    (lambda: Post.objects.filter(Q(tags__name="t") | ~Q(comment__text="b")).distinct(), [1, 2, 3, 5, 6]),
    (lambda: Person.objects.filter((Q(passport__number="x") | Q(country=None)) & ~Q(posts__score=1)), [3, 4, 5]),
    (lambda: Place.objects.filter(Q(restaurant__stars=3) | Q(fans__name="Cat")), [1, 3, 3]),
    (lambda: Place.objects.filter(~(Q(restaurant__stars=3) | Q(fans__name="Cat"))), [2, 4, 5]),
    (lambda: Mark.objects.filter(Q(person__name="Ann") | Q(post__title="p", weight=1)), [1, 4]),
    (lambda: Comment.objects.filter(Q(by__boss__name="Ann") | Q(post__editor__boss__name="Ann")), [1, 2, 3, 4, 5, 7]),
]


ALL = {
    "spans": SPANS,
    "nothing along the path": NOTHING_ALONG_THE_PATH,
    "one call or two": ONE_CALL_OR_TWO,
    "excluded": EXCLUDED,
    "compared with columns": COMPARED_WITH_COLUMNS,
    "combined": COMBINED,
}


@pytest.mark.parametrize("cases", ALL.values(), ids=ALL)
async def test_rows_of_paths(face: Face, cases: Cases) -> None:
    found = [sorted(await face.rows(make().values_list("pk", flat=True))) for make, _ in cases]
    assert found == [rows for _, rows in cases]
    counted = [await face(make().count)() for make, _ in cases]
    assert counted == [len(rows) for _, rows in cases]
