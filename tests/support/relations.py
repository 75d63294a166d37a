"""Models with relations of every kind."""

from __future__ import annotations

import dorm


class Country(dorm.Model):
    name = dorm.CharField(max_length=50)
    code = dorm.CharField(max_length=2, unique=True)

    class Meta:
        app_label = "links"


class Person(dorm.Model):
    name = dorm.CharField(max_length=50)
    country = dorm.ForeignKey(Country, dorm.SET_NULL, to_field="code", null=True, related_name="people")
    friends = dorm.ManyToManyField("self")
    follows = dorm.ManyToManyField("self", symmetrical=False, related_name="followers")

    class Meta:
        app_label = "links"


class Passport(dorm.Model):
    person = dorm.OneToOneField(Person, dorm.CASCADE)
    number = dorm.CharField(max_length=20)

    class Meta:
        app_label = "links"


class Tag(dorm.Model):
    name = dorm.CharField(max_length=50)

    class Meta:
        app_label = "links"
        ordering = ["name"]


class PublishedManager(dorm.Manager["Post"]):
    def titled(self, title: str) -> dorm.QuerySet[Post]:
        return self.filter(title=title)


class Post(dorm.Model):
    title = dorm.CharField(max_length=50)
    author = dorm.ForeignKey(Person, related_name="posts")
    editor = dorm.ForeignKey(Person, dorm.SET_NULL, null=True, related_name="edited", related_query_name="edits")
    tags = dorm.ManyToManyField(Tag, related_name="posts")
    hidden = dorm.ManyToManyField(Tag, related_name="+", db_table="links_hidden")

    objects = PublishedManager()

    class Meta:
        app_label = "links"
        ordering = ["title"]


class Group(dorm.Model):
    name = dorm.CharField(max_length=50)
    members = dorm.ManyToManyField(
        Person, through="Membership", through_fields=("group", "person"), related_name="groups"
    )

    class Meta:
        app_label = "links"


class Membership(dorm.Model):
    group = dorm.ForeignKey(Group)
    person = dorm.ForeignKey(Person)
    inviter = dorm.ForeignKey(Person, dorm.SET_NULL, null=True, related_name="invitations")
    reason = dorm.CharField(max_length=50, default="")

    class Meta:
        app_label = "links"


LINKED = (Country, Person, Passport, Tag, Post, Group, Membership)
