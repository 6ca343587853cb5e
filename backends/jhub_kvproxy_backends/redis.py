"""The routing table in Redis."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from traitlets import List, Unicode, default

from jhub_kvproxy import BackendRejected

from ._library import LibraryBackend, load_module
from ._network import NetworkBackend
from ._redis_url import Address, parse_sentinel, parse_url

if TYPE_CHECKING:
    from ._redis_store import RedisStore


class RedisBackend(LibraryBackend["RedisStore"], NetworkBackend):
    """Keeps the table in a database of a Redis. Sentinels may watch it. A Cluster cannot be used."""

    contract = 2
    provider = "redis"
    # Traefik reads with SCAN, then MGET.
    lists_at_once = False

    url = Unicode(
        "redis://127.0.0.1:6379/0",
        config=True,
        help="""
        Where Redis is, and the number of the database: `redis://HOST:PORT/DATABASE`, with `rediss://` for
        TLS, or `unix:///PATH?db=DATABASE`.

        Give the table a database of its own: at each change, Traefik searches all keys of the database.
        """,
    )
    username = Unicode(config=True, help="User name for Redis (ACL); without one, Redis's default user.")
    password = Unicode(
        config=True,
        help="""
        Password for Redis. Default: the environment variable KVPROXY_REDIS_PASSWORD.

        `username` and `password` override those in `url`.
        """,
    )
    sentinels = List(
        Unicode(),
        config=True,
        help="""
        Redis Sentinels that know where the master is, each as `HOST:PORT`.

        With them, only TLS (for the Sentinels too), the database and the login of `url` count.
        """,
    )
    sentinel_master = Unicode(config=True, help="The master's name, as in the Sentinels' `sentinel monitor`.")
    sentinel_username = Unicode(config=True, help="User name for the Sentinels themselves (ACL).")
    sentinel_password = Unicode(
        config=True,
        help="""
        Password for the Sentinels themselves.

        Default: the environment variable KVPROXY_REDIS_SENTINEL_PASSWORD.
        """,
    )

    @default("password")
    def _default_password(self) -> str:
        return os.environ.get("KVPROXY_REDIS_PASSWORD", "")

    @default("sentinel_password")
    def _default_sentinel_password(self) -> str:
        return os.environ.get("KVPROXY_REDIS_SENTINEL_PASSWORD", "")

    async def new_store(self) -> RedisStore:
        address = self._address()
        sentinels = self._sentinels(address)
        tls = await self.tls_context() if address.tls else None
        module = await load_module("_redis_store", "Redis", "redis")
        store: RedisStore = module.RedisStore(
            address,
            sentinels,
            self.sentinel_master,
            root=self.root,
            tls=tls,
            timeout=self.timeout,
            read_only=self.read_only,
            log=self.log,
        )
        return store

    async def remove(self) -> None:
        self.check_writable()
        await super().remove()
        await self.opened.remove()

    def traefik_provider_config(self) -> dict[str, Any]:
        address = self._address()
        sentinels = self._sentinels(address)
        config: dict[str, Any] = {
            "endpoints": [server.endpoint for server in sentinels or [address]],
            "rootKey": f"{self.root}/traefik",
            "db": address.db,
        }
        if address.tls:
            config |= self.traefik_tls()
        if sentinels:
            config["sentinel"] = {"masterName": self.sentinel_master}
        return {"redis": config}

    def traefik_provider_secrets(self) -> dict[str, Any]:
        address = self._address()
        secrets: dict[str, Any] = _login(address)
        for sentinel in self._sentinels(address)[:1]:
            secrets |= {"sentinel": login} if (login := _login(sentinel)) else {}
        return {"redis": secrets} if secrets else {}

    def _address(self) -> Address:
        address = parse_url(self.url)
        return replace(address, username=self.username or address.username, password=self.password or address.password)

    def _sentinels(self, address: Address) -> list[Address]:
        if self.sentinels and not self.sentinel_master:
            raise BackendRejected("RedisBackend.sentinels needs RedisBackend.sentinel_master, the master's name.")
        return [
            replace(
                parse_sentinel(text), username=self.sentinel_username, password=self.sentinel_password, tls=address.tls
            )
            for text in self.sentinels
        ]


def _login(address: Address) -> dict[str, str]:
    login = {"username": address.username, "password": address.password}
    return {name: value for name, value in login.items() if value}
