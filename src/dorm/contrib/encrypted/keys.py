"""Keys from the settings, and the forms of stored values."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured

V1: Final = "v1:"
V2: Final = "v2:"
_NONCE = 12
_KEY_BYTES = 32
_HINT = "give FIELD_ENCRYPTION_KEYS base64 texts of 32 bytes each, newest first"


class Key:
    """One key: its cipher, its id (a digest, safe to show)."""

    __slots__ = ("_cipher", "_secret", "id")

    def __init__(self, secret: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as exc:
            raise ImproperlyConfigured(
                "encrypted fields need cryptography, which is not installed: pip install 'dormdb[encrypted]'"
            ) from exc
        self._secret = secret
        self._cipher = AESGCM(secret)
        self.id = hashlib.blake2b(secret, digest_size=4, person=b"dorm-key-id").hexdigest()

    def encrypt(self, text: str, *, deterministic: bool, form: str = V1) -> str:
        """Return *text* encrypted."""
        data = text.encode()
        nonce = hmac.new(self._secret, data, hashlib.sha256).digest()[:_NONCE] if deterministic else os.urandom(_NONCE)
        packed = base64.b64encode(nonce + self._cipher.encrypt(nonce, data, None)).decode()
        return f"{V2}{self.id}:{packed}" if form == V2 else f"{V1}{packed}"

    def decrypt(self, packed: bytes) -> str | None:
        """Return the text, None when it was not written under this key."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(packed[:_NONCE], packed[_NONCE:], None).decode()
        except (InvalidTag, ValueError):
            return None

    def __repr__(self) -> str:
        return f"<Key {self.id}>"

    def __reduce__(self) -> Any:
        raise TypeError("a key is not pickled: it stays in the settings of its process")


def _raw(value: Any, name: str) -> bytes:
    if isinstance(value, bytes) and len(value) == _KEY_BYTES:
        return value
    if not isinstance(value, (str, bytes)):
        raise ImproperlyConfigured(f"{name} holds a {type(value).__name__}: {_HINT}.")
    text = value.strip() if isinstance(value, str) else value.strip().decode("latin-1")
    try:
        found = base64.b64decode(text, altchars=b"-_" if set(text) & set("-_") else None, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != _KEY_BYTES:
        raise ImproperlyConfigured(f"{name} holds a key that is not 32 bytes long: {_HINT}.")
    return found


@lru_cache(8)
def _made(raw: tuple[bytes, ...]) -> tuple[Key, ...]:
    return tuple(map(Key, raw))


def keys() -> tuple[Key, ...]:
    """Return the configured keys, newest first.

    Raises: ImproperlyConfigured: none, or a wrong one; the message names the setting, never a key.
    """
    listed = getattr(settings, "FIELD_ENCRYPTION_KEYS", None) or []
    single = getattr(settings, "FIELD_ENCRYPTION_KEY", None) or ""
    if isinstance(listed, (str, bytes)):
        raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS takes a list of keys, not one.")
    raw = [_raw(value, "FIELD_ENCRYPTION_KEYS") for value in listed]
    if single:
        raw.append(_raw(single, "FIELD_ENCRYPTION_KEY"))
    if not raw:
        raise ImproperlyConfigured(f"there is no encryption key: {_HINT}, or FIELD_ENCRYPTION_KEY one.")
    return _made(tuple(dict.fromkeys(raw)))


def written_form() -> str:
    """Return the prefix of new values: V2 with the key's id, unless ``FIELD_ENCRYPTION_FORMAT`` is ``"v1"``.

    Raises: ImproperlyConfigured: another format.
    """
    found = getattr(settings, "FIELD_ENCRYPTION_FORMAT", "v2")
    if found not in ("v1", "v2"):
        raise ImproperlyConfigured(f"FIELD_ENCRYPTION_FORMAT takes 'v1' or 'v2', not {found!r}.")
    return V1 if found == "v1" else V2


def opened(stored: str, found: Sequence[Key]) -> tuple[int, str] | None:
    """Return the number of the key that *stored* was written under and the text; None when no key fits."""
    packed = stored[len(V1) :]
    candidates = list(enumerate(found))
    if stored.startswith(V2):
        key_id, _, packed = packed.partition(":")
        candidates = [(number, key) for number, key in candidates if key.id == key_id]
    try:
        data = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return None
    for number, key in candidates:
        text = key.decrypt(data)
        if text is not None:
            return number, text
    return None


def is_marked(stored: str) -> bool:
    """True for stored text that claims to be encrypted."""
    return stored.startswith((V1, V2))
