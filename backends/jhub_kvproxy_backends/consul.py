"""The routing table in Consul's key-value store."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import urlsplit

from traitlets import Unicode, default

from jhub_kvproxy import (
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Batch,
    BatchRejected,
    LeaseLost,
    LeaseReport,
    Snapshot,
    Told,
)

from ._consul_api import ConsulAPI, RolledBack, kv, parsed, read_tree
from ._consul_barrier import Barrier
from ._consul_lease import ConsulLease
from ._consul_recent import MOST_BYTES, Recent
from ._consul_watch import changes
from ._network import HTTPServers, NetworkBackend, http_url

#: The most operations in a transaction: since Consul 1.14, and before.
_MANY_OPS, _FEW_OPS = 128, 64
_MAX_BODY = 512 * 1024
#: The bytes of an operation beside its key and value: JSON, and the padding of base64.
_OP_BYTES = len('{"KV": {"Verb": "delete", "Key": "", "Value": ""}}, ') + 4
#: What the lease, the barrier and the log add to a transaction.
_OWN_OPS, _OWN_BYTES = 3, 600 + MOST_BYTES * 4 // 3


class ConsulBackend(NetworkBackend):
    """Keeps the table in Consul, below ``<root>/``, where ``root`` is :attr:`~jhub_kvproxy.Backend.root`.

    ``<root>/lease``
        Who may write, if a writer asked for a lease.
    ``<root>/barrier``
        Written after a transaction of unknown outcome. A transaction that was sent earlier then fails.
    ``<root>/recent``
        The last changes, for whoever watches the table.
    """

    contract = 2
    provider = "consul"
    lists_at_once = True
    max_txn_ops = _FEW_OPS - _OWN_OPS
    max_txn_bytes = _MAX_BODY * 3 // 4

    url = Unicode(
        "http://127.0.0.1:8500",
        config=True,
        help="""
        URL of a Consul agent, for the Hub and for the Traefik that it starts.

        Without a port it is 8500, or 8501 with https.
        """,
    )
    token = Unicode(
        config=True,
        help="""
        ACL token, for the Hub and for the Traefik that it starts.

        Default: the environment variable KVPROXY_CONSUL_TOKEN.
        """,
    )
    datacenter = Unicode(
        config=True,
        help="""
        Datacenter whose store holds the table; by default that of the agent at `url`.

        Traefik cannot be told one: it reads the store of its agent's datacenter. So a datacenter that
        is not the agent's is for Traefiks that you run there yourself (`KVProxy.should_start = False`).
        """,
    )

    _api: ConsulAPI | None = None
    _lease: ConsulLease
    _barrier: Barrier
    _recent: Recent
    #: Those of the open watches.
    _watching: set[ConsulAPI]
    _is_elsewhere = False

    @default("token")
    def _default_token(self) -> str:
        return os.environ.get("KVPROXY_CONSUL_TOKEN", "")

    async def open(self) -> None:
        if self._api:
            return
        api = await self._new_api(self.timeout)
        try:
            ops = await self._find_max_ops(api)
            self._is_elsewhere = not (self.read_only or await self._is_agents_datacenter(api))
        except BaseException:
            await api.close()
            raise
        self.max_txn_ops = ops - _OWN_OPS
        self.max_txn_bytes = (_MAX_BODY - _OWN_BYTES - (ops + 1) * (_OP_BYTES + len(self._below))) * 3 // 4
        self._api = api
        self._lease = ConsulLease(api, self._own_keys[0])
        self._barrier = Barrier(api, self._own_keys[1])
        self._recent = Recent(api, self._own_keys[2])
        self._watching = set()

    async def close(self) -> None:
        api, self._api = self._api, None
        if api:
            try:
                with suppress(BackendError):  # the lease then expires by itself
                    await self._lease.release()
            finally:
                for each in (api, *self._watching):
                    await each.close()

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        api = self._require_open()
        changed = [
            kv("delete" if value is None else "set", self._below + key, value) for key, value in batch.changes.items()
        ]
        await self._barrier.settle()
        while True:
            operations = [*self._lease.fence(), self._barrier.check(), *changed, self._recent.write(batch.changes)]
            try:
                with self._barrier.sending():
                    answer = await api.txn(operations, again=False)
                self._recent.made(answer)
                return
            except RolledBack as error:
                key = operations[error.place]["KV"]["Key"]
                if key == self._own_keys[0]:
                    raise LeaseLost(f"The lease {key} in Consul is no longer ours; nothing was changed.") from error
                if key == self._own_keys[1]:
                    await self._barrier.read()
                elif key == self._own_keys[2]:
                    await self._recent.read()
                else:
                    raise BatchRejected(
                        f"Consul at {self._url} refuses the change of {key!r}: {error.reason}."
                    ) from error

    async def load(self) -> Snapshot:
        api = self._require_open()
        await self._barrier.settle()
        keys = await read_tree(await api.read([kv("get-tree", self._below)]), self._below)
        # Consul's UI makes a key for each folder. For our root, that is the empty key.
        for key in (*self._own_keys, self._below):
            keys.pop(key.removeprefix(self._below), None)
        return Snapshot(keys)

    async def remove(self) -> None:
        self.check_writable()
        await super().remove()
        await self._require_open().txn([kv("delete", key) for key in self._own_keys[1:]], again=True)

    async def watch(self) -> AsyncGenerator[Told | None]:
        self._require_open()
        api = await self._new_api(self.timeout)
        others = self._watching
        others.add(api)
        lease, barrier, log = self._own_keys
        # Consul may wait a bit longer than it is asked to. Each answer must come within `timeout`.
        told = changes(api, self._below, log_key=log, without=(lease, barrier), wait=self.timeout / 2)
        try:
            async with aclosing(told):
                async for news in told:
                    yield news
        finally:
            others.discard(api)
            await api.close()

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        if self._is_elsewhere:
            raise BackendRejected(
                f"A lease needs an agent in the same datacenter: set ConsulBackend.url to one in {self.datacenter!r}, "
                "or make sure that no other hub uses the prefix, and set KVProxy.lease_seconds = 0."
            )
        self._require_open()
        await self._lease.acquire(holder, ttl)

    async def release_lease(self) -> None:
        if self._api:
            await self._lease.release()

    async def read_lease(self) -> LeaseReport | None:
        self._require_open()
        return await self._lease.report()

    def traefik_provider_config(self) -> dict[str, Any]:
        if self._is_elsewhere:
            raise BackendRejected(
                f"Traefik would read the datacenter of the agent at {self._url}, not {self.datacenter!r}: set "
                "ConsulBackend.url to an agent there, or run Traefik there yourself (KVProxy.should_start = False)."
            )
        tls = self.traefik_tls() if self._has_tls else {}
        return {"consul": {"endpoints": [urlsplit(self._url).netloc], "rootKey": f"{self.root}/traefik", **tls}}

    def traefik_provider_secrets(self) -> dict[str, Any]:
        return {"consul": {"token": self._checked_token}} if self._checked_token else {}

    @property
    def _below(self) -> str:
        return f"{self.root}/"

    @property
    def _own_keys(self) -> tuple[str, str, str]:
        """The keys of the lease, of the barrier and of the log."""
        return f"{self._below}lease", f"{self._below}barrier", f"{self._below}recent"

    @property
    def _url(self) -> str:
        port = 8501 if self.url.lower().startswith("https:") else 8500
        return http_url("ConsulBackend.url", self.url, port, credentials_go_to="ConsulBackend.token")

    @property
    def _has_tls(self) -> bool:
        return self._url.startswith("https:")

    @property
    def _checked_token(self) -> str:
        # It may come from a file, and end with a newline.
        token = self.token.strip()
        if not (token.isascii() and token.isprintable()):
            raise BackendRejected("ConsulBackend.token has characters that no token has; is it the secret ID?")
        return token

    def _require_open(self) -> ConsulAPI:
        if self._api is None:
            raise BackendUnavailable("ConsulBackend is not open.")
        return self._api

    async def _new_api(self, timeout: float) -> ConsulAPI:
        tls = await self.tls_context() if self._has_tls else None
        servers = HTTPServers("Consul", [self._url], timeout=timeout, tls=tls)
        return ConsulAPI(
            servers, token=self._checked_token, datacenter=self.datacenter, root=self.root, read_only=self.read_only
        )

    async def _find_max_ops(self, api: ConsulAPI) -> int:
        """The most operations in a transaction. Raises BackendRejected if we may not use our keys."""
        nothing = kv("get-tree", api.unused_key())
        try:
            await api.read([nothing] * (_MANY_OPS - api.read_ops))
        except BatchRejected:
            await api.read([nothing] * (_FEW_OPS - api.read_ops))
            return _FEW_OPS
        return _MANY_OPS

    async def _is_agents_datacenter(self, api: ConsulAPI) -> bool:
        """Whether the agent is in our datacenter. We compare the servers, which needs no permission."""
        if not self.datacenter:
            return True
        ours = await api.ask("GET", "/v1/status/peers")
        agents = await api.ask("GET", "/v1/status/peers", own_datacenter=True)
        return not parsed(ours, set).isdisjoint(parsed(agents, set))
