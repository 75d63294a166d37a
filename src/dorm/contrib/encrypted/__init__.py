"""Columns that the database never sees in the clear, and moving them to a new key.

AES-256-GCM by `cryptography`. Stored is ``"v2:<id>:" + base64(nonce + ciphertext + tag)`` with the id of the key; with
``FIELD_ENCRYPTION_FORMAT = "v1"`` new values are ``"v1:" + base64(...)``, as former versions write and read them. Both
are read and compared. Keys come from ``FIELD_ENCRYPTION_KEYS`` (newest first) and ``FIELD_ENCRYPTION_KEY`` (last): the
first encrypts, all decrypt. Text without a prefix is read as it is (columns that were plain once); what is written is
always encrypted, whatever it looks like.

A deterministic field gives the same text the same ciphertext, so it can be compared; who reads the table sees which
rows are equal.
"""

from __future__ import annotations

from dorm.contrib.encrypted.fields import EncryptedCharField, EncryptedFieldMixin, EncryptedTextField
from dorm.contrib.encrypted.keys import V1, V2, Key, is_marked, keys
from dorm.contrib.encrypted.rotation import (
    arotate_encryption_keys,
    averify_encryption_keys,
    encrypted_fields,
    rotate_encryption_keys,
    verify_encryption_keys,
)

__all__ = [
    "V1",
    "V2",
    "EncryptedCharField",
    "EncryptedFieldMixin",
    "EncryptedTextField",
    "Key",
    "arotate_encryption_keys",
    "averify_encryption_keys",
    "encrypted_fields",
    "is_marked",
    "keys",
    "rotate_encryption_keys",
    "verify_encryption_keys",
]
