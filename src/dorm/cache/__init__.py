"""The query cache (`dorm.cache`): results of querysets, kept until a model they touch is written to."""

from dorm.cache.api import BaseCache, get_cache, register_key_part, reset_caches
from dorm.cache.signing import reset_signing_key, sign_payload, verify_payload
from dorm.cache.versions import (
    abump_model_cache_version,
    amodel_cache_version,
    bump_model_cache_version,
    model_cache_namespace,
    model_cache_version,
)

__all__ = [
    "BaseCache", "abump_model_cache_version", "amodel_cache_version", "bump_model_cache_version", "get_cache",
    "model_cache_namespace", "model_cache_version", "register_key_part", "reset_caches", "reset_signing_key",
    "sign_payload", "verify_payload",
]  # fmt: skip
