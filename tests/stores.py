"""The stores of the tests: what a hub is told of each, and drivers on real servers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jhub_kvproxy.store.registry import find_backend
from tests.kubernetes import readers_traits


@dataclass(frozen=True)
class Store:
    """A store to run a hub on: the backend's name and traits, and a prefix, since all tests share the servers."""

    name: str
    traits: Mapping[str, Any]
    prefix: str = field(default_factory=lambda: f"hub-{uuid.uuid4().hex}")
    #: The traits that are others for who may only read, where a test has such an account.
    readers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        config = Config()
        config.KVProxy.backend_class = self.name
        config.KVProxy.prefix = self.prefix
        config[find_backend(self.name).__name__].update(self.traits)
        return config

    @property
    def config_lines(self) -> str:
        """The same, for a configuration file."""
        section = find_backend(self.name).__name__
        lines = [
            f"c.KVProxy.backend_class = {self.name!r}",
            *(f"c.{section}.{k} = {v!r}" for k, v in self.traits.items()),
        ]
        return "\n".join(["", *lines, ""])

    @property
    def readers_words(self) -> list[str]:
        """What a command is told in addition, so that it may only read."""
        section = find_backend(self.name).__name__
        return [f"--{section}.{trait}={value}" for trait, value in self.readers.items()]


def find_store(name: str, request: pytest.FixtureRequest, directory: Path) -> Store:
    """The store `name`: in `directory`, or on the server that the tests share."""
    if name == "toml":
        return Store(name, {"path": str(directory / "table")})
    if name == "kubernetes":
        server = request.getfixturevalue(name)
        store = Store(name, server.traits)
        return replace(store, readers=readers_traits(server, server.shared_namespace, store.prefix))
    return Store(name, request.getfixturevalue({"redis": "redis_server"}.get(name, name)).traits)


TRAEFIK_READS = ("toml", "etcd", "consul", "redis")
STORES = (*TRAEFIK_READS, "kubernetes", "postgres")
# What a hub or a command does, it does with these as with etcd: the drivers have passed the same kit.
_SLOW = ("consul", "redis")


def on(store: str, *more: Any) -> Any:
    """A case of a test that runs on several stores: on some at each commit, on the others in ``make slow``."""
    return pytest.param(store, *more, marks=[pytest.mark.slow] if store in _SLOW else [])


#: Runs a test that uses the fixture `store`, directly or by `site`, once for each store that Traefik can read;
#: otherwise it is TOML.
on_every_store = pytest.mark.parametrize("store", [on(store) for store in TRAEFIK_READS], indirect=True)
#: The same with Kubernetes and PostgreSQL, which Traefik cannot read.
on_all_stores = pytest.mark.parametrize("store", [on(store) for store in STORES], indirect=True)
