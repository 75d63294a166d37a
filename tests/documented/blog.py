"""The models of the page on making queries: blogs, authors and entries."""

from __future__ import annotations

import datetime

import dorm


class Blog(dorm.Model):
    name = dorm.CharField(max_length=100)
    tagline = dorm.TextField(default="")

    class Meta:
        app_label = "doc_blog"

    def __str__(self) -> str:
        return self.name


class Author(dorm.Model):
    name = dorm.CharField(max_length=200)
    email = dorm.EmailField(default="")

    class Meta:
        app_label = "doc_blog"

    def __str__(self) -> str:
        return self.name


class Entry(dorm.Model):
    blog = dorm.ForeignKey(Blog, on_delete=dorm.CASCADE)
    headline = dorm.CharField(max_length=255)
    body_text = dorm.TextField(default="")
    pub_date = dorm.DateField(default=datetime.date(2020, 1, 1))
    mod_date = dorm.DateField(default=datetime.date(2020, 1, 1))
    authors = dorm.ManyToManyField(Author)
    number_of_comments = dorm.IntegerField(default=0)
    number_of_pingbacks = dorm.IntegerField(default=0)
    rating = dorm.IntegerField(default=5)

    class Meta:
        app_label = "doc_blog"

    def __str__(self) -> str:
        return self.headline


class EntryDetail(dorm.Model):
    entry = dorm.OneToOneField(Entry, on_delete=dorm.CASCADE)
    details = dorm.TextField(default="")

    class Meta:
        app_label = "doc_blog"


class Dog(dorm.Model):
    name = dorm.CharField(max_length=200)
    data = dorm.JSONField(null=True)

    class Meta:
        app_label = "doc_blog"

    def __str__(self) -> str:
        return self.name


MODELS = (Blog, Author, Entry, EntryDetail, Dog)
