"""The query cache (`dorm.cache`): results of querysets, kept until a model they touch is written to."""

from typing import TYPE_CHECKING

from dorm.lazy import lazily

if TYPE_CHECKING:
    from dorm.cache.api import BaseCache, get_cache, register_key_part, register_observer, reset_caches
    from dorm.cache.signing import reset_signing_key, sign_payload, verify_payload
    from dorm.cache.versions import (
        abump_model_cache_version,
        amodel_cache_version,
        bump_model_cache_version,
        model_cache_namespace,
        model_cache_version,
    )

# Every queryset knows of the cache, and few use it.
__getattr__, __dir__ = lazily(
    __name__,
    {
        "dorm.cache.api": ("BaseCache", "get_cache", "register_key_part", "register_observer", "reset_caches"),
        "dorm.cache.signing": ("reset_signing_key", "sign_payload", "verify_payload"),
        "dorm.cache.versions": (
            "abump_model_cache_version",
            "amodel_cache_version",
            "bump_model_cache_version",
            "model_cache_namespace",
            "model_cache_version",
        ),
    },
)

__all__ = [
    "BaseCache", "abump_model_cache_version", "amodel_cache_version", "bump_model_cache_version", "get_cache",
    "model_cache_namespace", "model_cache_version", "register_key_part", "register_observer", "reset_caches",
    "reset_signing_key", "sign_payload", "verify_payload",
]  # fmt: skip
