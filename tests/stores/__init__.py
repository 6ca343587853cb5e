"""Real servers of the stores: each test session starts its own, on free ports."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jhub_kvproxy.store.registry import find_backend

#: Where ``tools/setup`` unpacks a server that must not be installed system-wide.
_UNPACKED = Path(__file__).parents[2] / ".servers" / "usr" / "bin"

_HOW = {
    "etcd": "on Debian: apt-get install etcd-server",
    "etcdctl": "on Debian: apt-get install etcd-client",
    "redis-server": "on Debian: apt-get install redis-server",
    "consul": "make test unpacks Debian 11's package on a Debian, as root",
}


def find_server(command: str) -> str:
    """The path of a store's server; without it the test is skipped, or fails where it was promised (CI)."""
    path = shutil.which(command, path=f"{_UNPACKED}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"There is no {command} here; {_HOW[command]}")
    return path


@dataclass(frozen=True)
class Store:
    """A store to run a hub on: the backend's name and traits, and a prefix, since all tests share the servers."""

    name: str
    traits: Mapping[str, Any]
    prefix: str = field(default_factory=lambda: f"hub-{uuid.uuid4().hex}")

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


def find_store(name: str, request: pytest.FixtureRequest, directory: Path) -> Store:
    """The store `name`: in `directory`, or on the server that the tests share."""
    match name:
        case "toml":
            return Store(name, {"path": str(directory / "table")})
        case "etcd":
            return Store(name, {"urls": [request.getfixturevalue("etcd").url]})
        case "consul":
            return Store(name, {"url": request.getfixturevalue("consul").url})
        case "redis":
            return Store(name, {"url": request.getfixturevalue("redis_server").url})
    raise ValueError(f"There is no store {name!r} to test with.")


#: Runs a test that uses the fixture `store`, directly or by `site`, once for each store; otherwise it is TOML.
on_every_store = pytest.mark.parametrize("store", ["toml", "etcd", "consul", "redis"], indirect=True)
