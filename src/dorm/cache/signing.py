"""Signatures of what is kept outside the process: a payload is checked before it is unpickled."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading

from dorm.conf.settings import settings
from dorm.exceptions import ImproperlyConfigured

_log = logging.getLogger("dorm.cache")

_MARK = b"dorm1:"
_LENGTH = hashlib.sha256().digest_size
_lock = threading.Lock()
_random_key: bytes | None = None


def _key() -> bytes:
    """Return the key: ``CACHE_SIGNING_KEY``, else ``SECRET_KEY``, else one of this process's own."""
    given = settings.is_configured and (settings.CACHE_SIGNING_KEY or settings.SECRET_KEY)
    if given:
        return hashlib.sha256(b"dorm.cache:" + str(given).encode()).digest()
    check_key()
    global _random_key
    with _lock:
        if _random_key is None:
            _random_key = secrets.token_bytes(32)
            _log.warning(
                "no CACHE_SIGNING_KEY or SECRET_KEY: cached results are signed with a key of this process alone, so "
                "that other processes cannot use them."
            )
        return _random_key


def check_key() -> None:
    """Raise `ImproperlyConfigured` where a key is required and there is none."""
    required = settings.is_configured and settings.CACHE_REQUIRE_SIGNING_KEY
    if required and not (settings.CACHE_SIGNING_KEY or settings.SECRET_KEY):
        raise ImproperlyConfigured("CACHE_REQUIRE_SIGNING_KEY is set: give CACHE_SIGNING_KEY or SECRET_KEY.")


def reset_signing_key() -> None:
    """Forget the random key of this process; what it signed is not accepted any more."""
    global _random_key
    with _lock:
        _random_key = None


def sign_payload(payload: bytes) -> bytes:
    """Return *payload* with its HMAC-SHA256 before it.

    Raises: ImproperlyConfigured: no key, and ``CACHE_REQUIRE_SIGNING_KEY``.
    """
    return _MARK + hmac.digest(_key(), payload, "sha256") + payload


def verify_payload(data: bytes) -> bytes | None:
    """Return the payload that `sign_payload` signed with the present key; None for everything else.

    With ``CACHE_INSECURE_PICKLE`` data without a signature is accepted as it is.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        return None
    data = bytes(data)
    if not data.startswith(_MARK):
        return data if settings.is_configured and settings.CACHE_INSECURE_PICKLE else None
    start = len(_MARK) + _LENGTH
    signature, payload = data[len(_MARK) : start], data[start:]
    return payload if hmac.compare_digest(signature, hmac.digest(_key(), payload, "sha256")) else None
