"""Meta.order_with_respect_to."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.migrations.schema import create_tables
from tests.support.faces import Face


class Question(dorm.Model):
    text = dorm.TextField()

    class Meta:
        app_label = "order"


class Answer(dorm.Model):
    question = dorm.ForeignKey(Question, dorm.CASCADE)
    text = dorm.TextField()

    class Meta:
        app_label = "order"
        order_with_respect_to = "question"


@pytest.fixture(autouse=True)
def tables(empty_database: object) -> None:
    create_tables([Question, Answer])


async def filled(face: Face) -> tuple[Any, list[Any]]:
    question = await face(Question.objects.create)(text="q")
    other = await face(Question.objects.create)(text="o")
    await face(Answer.objects.create)(question=other, text="x")
    return question, [await face(Answer.objects.create)(question=question, text=text) for text in "abc"]


async def test_rows_come_in_the_order_they_were_made(face: Face) -> None:
    question, answers = await filled(face)
    assert [answer._order for answer in answers] == [0, 1, 2]
    assert Answer._meta.ordering == ("_order",)
    rows = await face.rows(Answer.objects.filter(question=question))
    assert rows == answers
    assert [field.name for field in Answer._meta.fields] == ["id", "question", "text", "_order"]


async def test_the_order_is_read_and_set(face: Face) -> None:
    question, (a, b, c) = await filled(face)
    assert await face.rows(question.get_answer_order()) == [a.pk, b.pk, c.pk]
    await face(question.set_answer_order)([c.pk, a.pk, b.pk])
    assert await face.rows(question.get_answer_order()) == [c.pk, a.pk, b.pk]
    assert [row.text for row in await face.rows(question.answer_set.all())] == ["c", "a", "b"]


async def test_neighbours(face: Face) -> None:
    _, (a, b, c) = await filled(face)
    assert await face(a.get_next_in_order)() == b
    assert await face(c.get_previous_in_order)() == b
    with pytest.raises(Answer.DoesNotExist):
        await face(c.get_next_in_order)()


async def test_many_rows_are_placed_after_their_siblings(face: Face) -> None:
    question, _ = await filled(face)
    other = await face(Question.objects.create)(text="p")
    made = await face(Answer.objects.bulk_create)(
        [Answer(question=each, text="n") for each in (question, other, question, other)]
    )
    assert [answer._order for answer in made] == [3, 0, 4, 1]


def test_wrong_names_are_refused() -> None:
    meta = type("Meta", (), {"app_label": "order", "order_with_respect_to": "nope"})
    with pytest.raises(dorm.FieldError, match="order_with_respect_to names 'nope'"):
        type("Bad", (dorm.Model,), {"__module__": __name__, "Meta": meta})


class Reply(Answer):
    """A child of rows in order."""

    class Meta:
        app_label = "order"


class Ordered(dorm.Model):
    question = dorm.ForeignKey(Question, dorm.CASCADE, related_name="%(class)s_notes")

    class Meta:
        app_label = "order"
        abstract = True
        order_with_respect_to = "question"


class Note(Ordered):
    class Meta(Ordered.Meta):
        pass


class Spoken(Answer):
    class Meta:
        app_label = "order"
        proxy = True


def test_meta_has_the_field_that_the_option_names() -> None:
    assert Answer._meta.order_with_respect_to is Answer._meta.get_field("question")
    assert Question._meta.order_with_respect_to is None
    assert Ordered._meta.order_with_respect_to == "question"
    assert Note._meta.order_with_respect_to is Note._meta.get_field("question")
    assert Spoken._meta.order_with_respect_to is None
    assert Reply._meta.order_with_respect_to is None
    assert list(Spoken._meta.ordering) == list(Reply._meta.ordering) == ["_order"]


async def test_proxies_and_children_keep_the_order_of_the_table(face: Face) -> None:
    create_tables([Reply])
    question, answers = await filled(face)
    spoken = await face(Spoken.objects.create)(question=question, text="d")
    reply = await face(Reply.objects.create)(question=question, text="e")
    assert (spoken._order, reply._order) == (3, 4)
    assert await face(spoken.get_previous_in_order)() == answers[-1]
    await face(question.set_answer_order)([reply.answer_ptr_id, *[each.pk for each in answers], spoken.pk])
    assert [each.text for each in await face.rows(Answer.objects.filter(question=question))] == list("eabcd")
    (last,) = await face(Spoken.objects.bulk_create)([Spoken(question=question, text="f")])
    assert last._order == 5
    after = await face(Reply.objects.create)(question=question, text="g")
    assert await face(reply.get_next_in_order)() == after
