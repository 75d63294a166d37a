"""The models that tests share."""

from __future__ import annotations

import dorm


class Publisher(dorm.Model):
    name = dorm.CharField(max_length=100, unique=True)

    class Meta:
        app_label = "library"

    def __str__(self) -> str:
        return self.name


class Author(dorm.Model):
    name = dorm.CharField(max_length=100)
    age = dorm.IntegerField(null=True)
    email = dorm.EmailField(default="")

    class Meta:
        app_label = "library"
        ordering = ["name"]
        indexes = [dorm.Index(fields=["age", "-name"])]


class Book(dorm.Model):
    title = dorm.CharField(max_length=200)
    author = dorm.ForeignKey(Author, related_name="books")
    publisher = dorm.ForeignKey(Publisher, dorm.SET_NULL, null=True, related_name="books")
    pages = dorm.IntegerField(default=0)
    price = dorm.DecimalField(max_digits=8, decimal_places=2, null=True)
    published = dorm.DateField(null=True)

    class Meta:
        app_label = "library"
        unique_together = [("title", "author")]


class Review(dorm.Model):
    book = dorm.ForeignKey(Book)
    stars = dorm.PositiveSmallIntegerField()
    text = dorm.TextField(default="")

    class Meta:
        app_label = "library"


class Everything(dorm.Model):
    """A column of every type."""

    small = dorm.SmallIntegerField(null=True)
    integer = dorm.IntegerField(null=True)
    big = dorm.BigIntegerField(null=True)
    positive = dorm.PositiveIntegerField(null=True)
    truth = dorm.BooleanField(null=True)
    double = dorm.FloatField(null=True)
    decimal = dorm.DecimalField(max_digits=12, decimal_places=3, null=True)
    long_decimal = dorm.DecimalField(max_digits=30, decimal_places=10, null=True)
    char = dorm.CharField(max_length=50, null=True)
    text = dorm.TextField(null=True)
    date = dorm.DateField(null=True)
    time = dorm.TimeField(null=True)
    moment = dorm.DateTimeField(null=True)
    duration = dorm.DurationField(null=True)
    uuid = dorm.UUIDField(null=True)
    json = dorm.JSONField(null=True)
    binary = dorm.BinaryField(null=True)

    class Meta:
        app_label = "library"


class Keyed(dorm.Model):
    """A key of the user's own."""

    code = dorm.CharField(max_length=10, primary_key=True)
    label = dorm.CharField(max_length=50)

    class Meta:
        app_label = "library"


MODELS = (Publisher, Author, Book, Review, Everything, Keyed)
