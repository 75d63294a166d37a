"""Models with generic relations."""

from __future__ import annotations

import dorm
from dorm.contrib.contenttypes import ContentType, GenericForeignKey, GenericRelation


class TaggedItem(dorm.Model):
    tag = dorm.SlugField()
    content_type = dorm.ForeignKey(ContentType)
    object_id = dorm.PositiveBigIntegerField()
    content_object = GenericForeignKey("content_type", "object_id")

    class Meta:
        app_label = "generic"
        ordering = ["tag", "pk"]


class Bookmark(dorm.Model):
    url = dorm.CharField(max_length=100)
    tags = GenericRelation(TaggedItem, related_query_name="bookmark")

    class Meta:
        app_label = "generic"


class Shelved(Bookmark):
    shelf = dorm.CharField(max_length=20, default="")

    class Meta:
        app_label = "generic"


class Note(dorm.Model):
    text = dorm.CharField(max_length=100)
    author = dorm.ForeignKey("Writer", null=True)
    tags = GenericRelation(TaggedItem)

    class Meta:
        app_label = "generic"


class Writer(dorm.Model):
    name = dorm.CharField(max_length=100)

    class Meta:
        app_label = "generic"


GENERIC = (ContentType, TaggedItem, Bookmark, Shelved, Note, Writer)
