"""What querysets and instances do to databases, as operations.

A module of them is loaded with its first use as ``ops.<module>``: a program that only reads never loads what writes.
"""

from typing import TYPE_CHECKING

from dorm.lazy import lazily

if TYPE_CHECKING:
    from dorm.queryset.ops import (
        aggregate as aggregate,
        announce as announce,
        ask as ask,
        bulk as bulk,
        bulk_update as bulk_update,
        cached as cached,
        delete as delete,
        fetch as fetch,
        files as files,
        get_or_create as get_or_create,
        ordering as ordering,
        refresh as refresh,
        rowbind as rowbind,
        rowwrite as rowwrite,
        save as save,
        stream as stream,
        tables as tables,
        write as write,
    )

__getattr__, __dir__ = lazily(
    __name__,
    {},
    (
        "aggregate",
        "announce",
        "ask",
        "bulk",
        "bulk_update",
        "cached",
        "delete",
        "fetch",
        "files",
        "get_or_create",
        "ordering",
        "refresh",
        "rowbind",
        "rowwrite",
        "save",
        "stream",
        "tables",
        "write",
    ),
)
