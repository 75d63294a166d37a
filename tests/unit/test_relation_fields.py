"""What the fields of relations tell about themselves."""

from __future__ import annotations

from typing import Any

import pytest

import dorm
from dorm.conf.registry import Registry
from dorm.models.deletion import is_plain


class Team(dorm.Model):
    name = dorm.CharField(max_length=10)

    class Meta:
        app_label = "doc_relation_fields"


def named() -> dorm.Q:
    return dorm.Q(name__gt="")


class Member(dorm.Model):
    first: Any = dorm.ForeignKey(
        Team, dorm.CASCADE, related_name="%(class)s_first", related_query_name="firsts", limit_choices_to=named
    )
    only: Any = dorm.OneToOneField(Team, dorm.CASCADE, limit_choices_to={"name": "x"})
    many: Any = dorm.ManyToManyField(
        Team, related_name="%(class)s_many", related_query_name="manies", limit_choices_to=named
    )
    plain: Any = dorm.ManyToManyField(Team, related_name="+")

    class Meta:
        app_label = "doc_relation_fields"


@pytest.mark.parametrize(
    ("field", "names", "condition"),
    [
        ("first", ("member_first", "firsts"), dorm.Q(name__gt="")),
        ("only", (None, None), {"name": "x"}),
        ("many", ("member_many", "manies"), dorm.Q(name__gt="")),
        ("plain", ("+", None), {}),
    ],
)
def test_fields_of_relations_tell_names_model_and_condition(field: str, names: Any, condition: Any) -> None:
    found = Member._meta.get_field(field)
    assert (found.related_name, found.related_query_name) == names
    assert found.get_limit_choices_to() == condition
    assert (found.related_model, found.target, found.is_relation) == (Team, Team, True)
    assert getattr(Member, field).field is found


def test_models_know_what_goes_with_their_rows_also_of_models_that_come_later() -> None:
    class Shelf(dorm.Model):
        class Meta:
            app_label = "doc_relation_fields"
            apps = Registry()

    class TallShelf(Shelf):
        class Meta:
            app_label = "doc_relation_fields"
            proxy = True
            apps = Shelf._meta.apps

    assert Shelf._meta.dependents == TallShelf._meta.dependents == ()

    class Book(dorm.Model):
        shelf = dorm.ForeignKey(Shelf, dorm.CASCADE)
        before = dorm.ForeignKey(Shelf, dorm.DO_NOTHING, related_name="+")

        class Meta:
            app_label = "doc_relation_fields"
            apps = Shelf._meta.apps

    for model in (Shelf, TallShelf):
        assert [relation.field for relation in model._meta.dependents] == [Book._meta.get_field("shelf")]
        assert not is_plain(model)
    assert is_plain(Book)
