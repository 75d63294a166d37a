"""Transactions: ``atomic``, savepoints, callbacks of the outcome, autocommit; each in both faces."""

from __future__ import annotations

from dorm.exceptions import TransactionManagementError
from dorm.transaction.atomic import Atomic, aatomic, atomic, mark_for_rollback_on_error
from dorm.transaction.blocks import Handle, Options, enter, in_savepoint, in_transaction, leave, reading, spoil
from dorm.transaction.callbacks import aon_commit, aon_rollback, on_commit, on_rollback
from dorm.transaction.handle import aconnection_for, connection_for
from dorm.transaction.manual import (
    acommit,
    aget_autocommit,
    aget_rollback,
    arollback,
    asavepoint,
    asavepoint_commit,
    asavepoint_rollback,
    aset_autocommit,
    aset_rollback,
    clean_savepoints,
    commit,
    get_autocommit,
    get_rollback,
    rollback,
    savepoint,
    savepoint_commit,
    savepoint_rollback,
    set_autocommit,
    set_rollback,
)

amark_for_rollback_on_error = mark_for_rollback_on_error

__all__ = [
    "Atomic",
    "Handle",
    "Options",
    "TransactionManagementError",
    "aatomic",
    "acommit",
    "aconnection_for",
    "aget_autocommit",
    "aget_rollback",
    "amark_for_rollback_on_error",
    "aon_commit",
    "aon_rollback",
    "arollback",
    "asavepoint",
    "asavepoint_commit",
    "asavepoint_rollback",
    "aset_autocommit",
    "aset_rollback",
    "atomic",
    "clean_savepoints",
    "commit",
    "connection_for",
    "enter",
    "get_autocommit",
    "get_rollback",
    "in_savepoint",
    "in_transaction",
    "leave",
    "mark_for_rollback_on_error",
    "on_commit",
    "on_rollback",
    "reading",
    "rollback",
    "savepoint",
    "savepoint_commit",
    "savepoint_rollback",
    "set_autocommit",
    "set_rollback",
    "spoil",
]
