"""The stores of the drill, with three members each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .base import Store
from .consul import ConsulStore
from .etcd import EtcdStore
from .files import Files
from .redis import RedisStore

STORES: dict[str, Callable[[Path], Store]] = {
    "etcd": EtcdStore,
    "consul": ConsulStore,
    "redis": RedisStore,
    "toml": Files,
}

__all__ = ["STORES", "Store"]
