"""SQLAlchemy 2, blocking, by its ORM; a fresh session for each piece of work, as its guide advises."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import ForeignKey, create_engine, event, func, insert, select, update
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)

from bench.tables import GROUP, ITEM_COLUMNS, WIDE_COLUMNS, item, keys

engine: Any = None


class Base(DeclarativeBase):
    id: Mapped[int] = mapped_column(primary_key=True)


class Columns:
    code: Mapped[str]
    grp: Mapped[int]
    bucket: Mapped[int]
    name: Mapped[str]
    price: Mapped[float]
    stock: Mapped[int]
    active: Mapped[bool]


class Item(Columns, Base):
    __tablename__ = "item"


class Scratch(Columns, Base):
    __tablename__ = "scratch"


class Owner(Base):
    __tablename__ = "owner"
    name: Mapped[str]
    city: Mapped[str]
    pets: Mapped[list[Pet]] = relationship(back_populates="owner")


class PetTag(Base):
    __tablename__ = "pet_tags"
    pet_id: Mapped[int] = mapped_column(ForeignKey("pet.id"))
    tag_id: Mapped[int] = mapped_column(ForeignKey("tag.id"))


class Tag(Base):
    __tablename__ = "tag"
    name: Mapped[str]


class Pet(Base):
    __tablename__ = "pet"
    owner_id: Mapped[int] = mapped_column(ForeignKey("owner.id"))
    name: Mapped[str]
    weight: Mapped[float]
    owner: Mapped[Owner] = relationship(back_populates="pets")
    tags: Mapped[list[Tag]] = relationship(secondary="pet_tags")


_KINDS: dict[str, Any] = {
    "i": int,
    "t": str,
    "f": float,
    "b": bool,
    "d": datetime.date,
    "m": datetime.datetime,
}
Wide: Any = type(
    "Wide",
    (Base,),
    {"__tablename__": "wide", "__annotations__": {name: Mapped[_KINDS[name[0]]] for name in WIDE_COLUMNS[1:]}},
)
COLUMNS = [getattr(Item, name) for name in ITEM_COLUMNS]


def open(url: str) -> None:
    global engine
    if url.startswith("postgresql:"):
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        return
    engine = create_engine(f"sqlite:///{url}")

    @event.listens_for(engine, "connect")
    def tune(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")


def close() -> None:
    engine.dispose()


def values(number: int) -> dict[str, Any]:
    return dict(zip(ITEM_COLUMNS[1:], item(number)[1:], strict=True))


def _each(n: int, make: Any) -> Any:
    found: list[Any] = []
    for key in keys(n):
        with Session(engine) as session:
            found.append(make(session, key))
    return found


def get_pk(n: int) -> Any:
    return _each(n, lambda session, key: session.get(Item, key))


def get_unique(n: int) -> Any:
    return _each(n, lambda session, key: session.scalars(select(Item).where(Item.code == f"code-{key:06}")).one())


def rows20(n: int) -> Any:
    return _each(
        n, lambda session, key: session.scalars(select(Item).where(Item.grp == key // GROUP).order_by(Item.id)).all()
    )[-1]


def objects10k(n: int) -> Any:
    return _each(n, lambda session, _: session.scalars(select(Item).where(Item.bucket == 3)).all())[-1]


def tuples10k(n: int) -> Any:
    found = _each(n, lambda session, _: session.execute(select(*COLUMNS).where(Item.bucket == 3)).all())[-1]
    return found


def dicts10k(n: int) -> Any:
    return _each(
        n,
        lambda session, _: [dict(row) for row in session.execute(select(*COLUMNS).where(Item.bucket == 3)).mappings()],
    )[-1]


def insert_one(n: int) -> Any:
    made = []
    for number in range(1, n + 1):
        with Session(engine) as session:
            one = Scratch(**values(number))
            session.add(one)
            session.commit()
            made.append(one)
    return len(made)


def insert_in_tx(n: int) -> Any:
    for _ in range(n):
        with Session(engine) as session, session.begin():
            for number in range(1, 1001):
                session.add(Scratch(**values(number)))
                session.flush()


def bulk_insert(n: int) -> Any:
    rows = [values(number) for number in range(1, 10_001)]
    got: list[Any] = []
    for _ in range(n):
        with Session(engine) as session, session.begin():
            got += session.scalars(insert(Scratch).returning(Scratch.id, sort_by_parameter_order=True), rows).all()
    return len(got)


def count(n: int) -> Any:
    return _each(n, lambda session, _: session.scalar(select(func.count()).select_from(Item).where(Item.bucket == 3)))


def group_by(n: int) -> Any:
    query = select(Item.bucket, func.count(Item.id), func.sum(Item.stock)).group_by(Item.bucket)
    return [tuple(row) for row in _each(n, lambda session, _: session.execute(query).all())[-1]]


def update_filter(n: int) -> Any:
    for _ in range(n):
        with Session(engine) as session, session.begin():
            session.execute(update(Item).where(Item.bucket == 3).values(stock=5000))


def exists(n: int) -> Any:
    return _each(
        n,
        lambda session, key: bool(
            session.scalar(select(select(Item.id).where(Item.code == f"code-{key:06}").exists()))
        ),
    )


def joined(n: int) -> Any:
    query = select(Pet).options(joinedload(Pet.owner)).order_by(Pet.id).limit(1000)
    return _each(n, lambda session, _: session.scalars(query).all())[-1]


def filter_join(n: int) -> Any:
    return _each(
        n,
        lambda session, key: session.scalars(
            select(Pet).join(Pet.owner).where(Owner.city == f"city {key % 500}")
        ).all(),
    )[-1]


def prefetch(n: int) -> Any:
    query = select(Owner).options(selectinload(Owner.pets)).order_by(Owner.id).limit(100)
    return _each(n, lambda session, _: [(each, list(each.pets)) for each in session.scalars(query)])[-1]


def prefetch_m2m(n: int) -> Any:
    query = select(Pet).options(selectinload(Pet.tags)).order_by(Pet.id).limit(100)
    return _each(n, lambda session, _: [(each, list(each.tags)) for each in session.scalars(query)])[-1]


_loaded: list[Any] = []


def _load(query: Any) -> None:
    with Session(engine, expire_on_commit=False) as session:
        _loaded[:] = session.scalars(query).all()
        session.expunge_all()


def before_update_one(n: int) -> None:
    _load(select(Item).where(Item.id <= n).order_by(Item.id))


def update_one(n: int) -> Any:
    for one in _loaded:
        with Session(engine, expire_on_commit=False) as session:
            session.add(one)
            one.name = "changed"
            one.stock = 7
            session.commit()


def before_delete_one(n: int) -> None:
    _load(select(Scratch).where(Scratch.id <= n).order_by(Scratch.id))


def delete_one(n: int) -> Any:
    for one in _loaded:
        with Session(engine, expire_on_commit=False) as session:
            session.delete(one)
            session.commit()


def bulk_update(n: int) -> Any:
    for _ in range(n):
        with Session(engine) as session, session.begin():
            session.execute(update(Item), [{"id": key, "stock": 100_000 + key} for key in range(1, 1001)])


def stream(n: int) -> Any:
    total = 0
    for _ in range(n):
        with Session(engine) as session:
            for one in session.scalars(select(Item).execution_options(yield_per=2000)):
                total += one.id
    return total


def wide(n: int) -> Any:
    return _each(n, lambda session, _: session.scalars(select(Wide)).all())[-1]
