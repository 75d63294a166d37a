"""The models of the page on aggregation: authors, publishers, books and stores."""

from __future__ import annotations

import datetime

import dorm
from tests.support.faces import Face


class Author(dorm.Model):
    name = dorm.CharField(max_length=100)
    age = dorm.IntegerField()

    class Meta:
        app_label = "doc_shop"

    def __str__(self) -> str:
        return self.name


class Publisher(dorm.Model):
    name = dorm.CharField(max_length=300)

    class Meta:
        app_label = "doc_shop"

    def __str__(self) -> str:
        return self.name


class Book(dorm.Model):
    name = dorm.CharField(max_length=300)
    pages = dorm.IntegerField()
    price = dorm.DecimalField(max_digits=10, decimal_places=2)
    rating = dorm.FloatField()
    authors = dorm.ManyToManyField(Author)
    publisher = dorm.ForeignKey(Publisher, on_delete=dorm.CASCADE)
    pubdate = dorm.DateField()

    class Meta:
        app_label = "doc_shop"

    def __str__(self) -> str:
        return self.name


class Store(dorm.Model):
    name = dorm.CharField(max_length=300)
    books = dorm.ManyToManyField(Book)

    class Meta:
        app_label = "doc_shop"

    def __str__(self) -> str:
        return self.name


MODELS = (Author, Publisher, Book, Store)


async def fill(face: Face) -> dict[str, int]:
    """Fill the tables; return the books' keys by name.

    A: Acme, 100 pages, 10.00, rating 4.0, by Ann; B: Acme, 200 pages, 20.00, 5.0, by Ann and Bob;
    C: Bolt, 300 pages, 30.00, 3.0, by Bob; D: Bolt, 400 pages, 39.50, 3.5, by nobody. "Lone" publishes nothing.
    Stores: Big has A, B, C; Small has A. Ann is 40, Bob 30, Cat 20.
    """
    ann = await face(Author.objects.create)(name="Ann", age=40)
    bob = await face(Author.objects.create)(name="Bob", age=30)
    await face(Author.objects.create)(name="Cat", age=20)
    acme = await face(Publisher.objects.create)(name="Acme")
    bolt = await face(Publisher.objects.create)(name="Bolt")
    await face(Publisher.objects.create)(name="Lone")
    made = {}
    for name, publisher, pages, price, rating, writers, year in (
        ("A", acme, 100, "10.00", 4.0, [ann], 2008),
        ("B", acme, 200, "20.00", 5.0, [ann, bob], 2008),
        ("C", bolt, 300, "30.00", 3.0, [bob], 2009),
        ("D", bolt, 400, "39.50", 3.5, [], 2010),
    ):
        book = await face(Book.objects.create)(
            name=name, publisher=publisher, pages=pages, price=price, rating=rating, pubdate=datetime.date(year, 1, 1)
        )
        await face(book.authors.add)(*writers)
        made[name] = book.pk
    big = await face(Store.objects.create)(name="Big")
    small = await face(Store.objects.create)(name="Small")
    await face(big.books.add)(made["A"], made["B"], made["C"])
    await face(small.books.add)(made["A"])
    return made
