"""Fetch modes: what happens when something is read from an instance that was not loaded with it."""

from __future__ import annotations

from enum import StrEnum


class FetchMode(StrEnum):
    """What a late load does: ``one`` loads for the instance, ``peers`` for all rows of its fetch, ``raise`` refuses."""

    ONE = "one"
    PEERS = "peers"
    RAISE = "raise"

    def __repr__(self) -> str:
        return f"FETCH_{self.name}"


FETCH_ONE = FetchMode.ONE
FETCH_PEERS = FetchMode.PEERS
FETCH_RAISE = FetchMode.RAISE
