"""Keeps late transactions out: those whose outcome is unknown, and which Consul may still have to make."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from jhub_kvproxy import BackendRejected

from ._consul_api import ConsulAPI, Operation, RolledBack, kv, kv_path, parsed


class Barrier:
    """Each transaction checks that `key` is as we know it.

    After a transaction of unknown outcome, we change the key. If that transaction is late, it then fails. Other writers
    notice the change, and read the key again.
    """

    def __init__(self, api: ConsulAPI, key: str) -> None:
        self._api = api
        self._key = key
        #: The key's index; 0 if there is no such key.
        self._index = 0
        self._is_in_doubt = False

    def check(self) -> Operation:
        """The operation that each transaction needs."""
        if not self._index:
            return kv("check-not-exists", self._key)
        return kv("check-index", self._key, Index=self._index)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """In here a transaction is sent. Its outcome is known if Consul refuses it, or if there is no error."""
        self._is_in_doubt = True
        try:
            yield
        except (RolledBack, BackendRejected):
            self._is_in_doubt = False
            raise
        self._is_in_doubt = False

    async def settle(self) -> None:
        """Make sure that no earlier transaction of ours is made from now on."""
        if self._is_in_doubt:
            await self._api.txn([kv("set", self._key, secrets.token_hex(8))], again=True)
            await self.read()
            self._is_in_doubt = False

    async def read(self) -> None:
        """Read the key: another writer has changed it."""
        answer = await self._api.ask("GET", kv_path(self._key), {"consistent": ""})
        self._index = parsed(answer, lambda said: int(said[0]["ModifyIndex"])) if answer.status == 200 else 0
