"""The routing table in etcd."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from traitlets import Integer, List, Unicode, default

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, Batch, LeaseReport, Snapshot, Told

from ._etcd_check import connection_fault, gateway_fault
from ._etcd_client import EtcdClient, encoded, revision_of
from ._etcd_errors import Compacted, Full, NotEtcd, StaleToken
from ._etcd_lease import EtcdLease
from ._etcd_news import Changed, told
from ._etcd_txn import most_operations, never, not_changed_since, operation, puts_and_deletes
from ._etcd_watch import changes
from ._network import NetworkBackend, http_url

#: Seconds to find out why a server does not answer as it should.
_PATIENCE = 2.0
_FIRST_PAGE, _LARGEST_PAGE = 200, 2000
_PAGE_BYTES = 1024 * 1024


class EtcdBackend(NetworkBackend):
    """Keeps the table in etcd 3.4 or newer, below ``<root>/``, where ``root`` is :attr:`~jhub_kvproxy.Backend.root`.

    ``<root>/lease``
        Who may write, if a writer asked for that.
    ``<root>/barrier``
        Written after a transaction of unknown outcome. A transaction that was sent earlier then fails.
    """

    contract = 2
    provider = "etcd"
    lists_at_once = True

    # etcd's default --max-request-bytes is 1.5 MiB. It includes prefixes and the protocol's own bytes.
    max_txn_bytes = 1024 * 1024

    urls = List(
        Unicode(),
        ["http://127.0.0.1:2379"],
        config=True,
        help="""
        URLs of the etcd servers, for the Hub and for the Traefik that it starts.

        Those of several members of one cluster stand in for each other. Without a port it is 2379. All
        are `http://`, or all are `https://`.
        """,
    )
    username = Unicode(config=True, help="User of etcd, for the Hub and for the Traefik that it starts.")
    password = Unicode(
        config=True,
        help="""
        Password of `username`.

        Default: the environment variable KVPROXY_ETCD_PASSWORD.
        """,
    )
    txn_ops = Integer(
        128,
        min=64,
        config=True,
        help="The most operations in a transaction: not more than the --max-txn-ops of the etcd servers.",
    )
    max_txn_ops = most_operations(128)

    _client: EtcdClient | None = None
    _lease: EtcdLease
    _tls: ssl.SSLContext | None = None
    #: Those of the open watches.
    _watching: set[EtcdClient]
    #: The latest revision of the store that we know.
    _known = 0
    #: Whether etcd may still make a transaction of ours later: one whose answer did not come.
    _is_in_doubt = False

    @default("password")
    def _default_password(self) -> str:
        return os.environ.get("KVPROXY_ETCD_PASSWORD", "")

    async def open(self) -> None:
        if self._client:
            return
        self.max_txn_ops = most_operations(self.txn_ops)
        if not self.root:
            raise BackendRejected("EtcdBackend needs a prefix: without one it would use what others have in etcd.")
        if self.password and not self.username:
            raise BackendRejected("EtcdBackend.password is set, so EtcdBackend.username must be set too.")
        urls = self._checked_urls
        self._tls = await self.tls_context() if self._has_tls else None
        client = self._new_client(urls, timeout=self.timeout)
        try:
            await self._check(client)
        except BaseException:
            await client.close()
            raise
        if self.username and not client.has_auth:
            self.log.warning("etcd at %s lets everybody in: its authentication is not enabled", client.url)
        self._client = client
        self._lease = EtcdLease(client, self._lease_key)
        self._watching = set()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client:
            try:
                with suppress(BackendError):  # the lease then expires by itself
                    await self._lease.release()
            finally:
                for each in (client, *self._watching):
                    await each.close()

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        client = self._require_open()
        operations = puts_and_deletes(self.root, batch.changes, self.txn_ops)
        deadline = client.deadline()
        await self._settle(client, deadline)
        while True:
            message = {
                "compare": [not_changed_since(self._known, self._barrier_key), *self._lease.compares()],
                "success": operations,
                "failure": [{"request_range": {"key": encoded(self._lease_key)}}],
            }
            self._is_in_doubt = True
            try:
                answer = await client.ask("/v3/kv/txn", message, again=False, deadline=deadline)
            except (BackendRejected, Full, StaleToken):
                self._is_in_doubt = False
                raise
            self._is_in_doubt = False
            self._known = revision_of(answer)
            if answer.get("succeeded"):
                return
            self._lease.check(answer["responses"][0]["response_range"].get("kvs", []))
            # Another writer has written the barrier. We know its revision now, and try again.

    async def load(self) -> Snapshot:
        client = self._require_open()
        deadline = client.deadline()
        await self._settle(client, deadline)
        while True:
            with suppress(Compacted):  # others changed much while we read
                return Snapshot(await self._read(client, deadline))

    async def remove(self) -> None:
        self.check_writable()
        client = self._require_open()
        await client.ask("/v3/kv/deleterange", self._range, again=True, deadline=client.deadline())

    async def watch(self) -> AsyncGenerator[Told | None]:
        client = self._require_open()
        # Find a server that answers. The watch has connections and a token of its own.
        await client.ask("/v3/kv/range", {**self._range, "limit": "1"}, again=True, deadline=client.deadline())
        # A dead connection is noticed after twice the patience, within `timeout`.
        patience = self.timeout / 2
        watching = self._new_client([client.url], timeout=patience)
        others = self._watching
        others.add(watching)
        try:
            async with aclosing(changes(watching, self._range, patience=patience)) as all_changed:
                async for changed in all_changed:
                    if changed is None:
                        yield None
                    elif (news := self._told(changed)) != {}:
                        yield news
        finally:
            others.discard(watching)
            await watching.close()

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        self._require_open()
        await self._lease.acquire(holder, ttl)

    async def release_lease(self) -> None:
        if self._client:
            await self._lease.release()

    async def read_lease(self) -> LeaseReport | None:
        self._require_open()
        return await self._lease.report()

    def traefik_provider_config(self) -> dict[str, Any]:
        endpoints = [url.partition("://")[2] for url in self._checked_urls]
        config = {"endpoints": endpoints, "rootKey": f"{self.root}/traefik"}
        return {"etcd": config | (self.traefik_tls() if self._has_tls else {})}

    def traefik_provider_secrets(self) -> dict[str, Any]:
        return {"etcd": {"username": self.username, "password": self.password}} if self.username else {}

    @property
    def _lease_key(self) -> str:
        return f"{self.root}/lease"

    @property
    def _barrier_key(self) -> str:
        return f"{self.root}/barrier"

    @property
    def _range(self) -> dict[str, Any]:
        # "0" comes after "/".
        return {"key": encoded(f"{self.root}/"), "range_end": encoded(f"{self.root}0")}

    @property
    def _checked_urls(self) -> list[str]:
        where = "EtcdBackend.username and EtcdBackend.password"
        urls = [http_url("EtcdBackend.urls", url, 2379, credentials_go_to=where) for url in self.urls]
        if not urls:
            raise BackendRejected("EtcdBackend.urls is empty; name an etcd in it, like http://127.0.0.1:2379.")
        secure = [url.startswith("https:") for url in urls]
        if any(secure) and not all(secure):
            raise BackendRejected("EtcdBackend.urls must be all https:// or all http://: Traefik cannot mix them.")
        if not any(secure) and (self.ca_file or self.cert_file or self.key_file):
            raise BackendRejected("EtcdBackend has options for TLS, so write https:// in EtcdBackend.urls.")
        return list(dict.fromkeys(urls))

    @property
    def _has_tls(self) -> bool:
        return self._checked_urls[0].startswith("https:")

    def _new_client(self, urls: list[str], *, timeout: float) -> EtcdClient:
        return EtcdClient(
            urls,
            timeout=timeout,
            tls=self._tls,
            username=self.username,
            password=self.password,
            root=self.root,
            access="read" if self.read_only else "readwrite",
        )

    def _require_open(self) -> EtcdClient:
        if self._client is None:
            raise BackendUnavailable("EtcdBackend is not open.")
        return self._client

    async def _check(self, client: EtcdClient) -> None:
        """Find out whether we can use this etcd, and if not, why."""
        try:
            await self._check_permissions(client)
        except BackendError as error:
            fault = ""
            if isinstance(error, NotEtcd):
                fault = gateway_fault(client.url, await client.version())
            elif isinstance(error, BackendUnavailable):
                fault = await connection_fault(client.url, self._tls, min(self.timeout, _PATIENCE))
            if fault:
                raise BackendRejected(fault) from error
            raise

    async def _check_permissions(self, client: EtcdClient) -> None:
        """Find out whether we may read our keys, and write them if we shall. This writes none."""
        deadline = client.deadline()
        await client.ask("/v3/kv/range", {**self._range, "limit": "1"}, again=True, deadline=deadline)
        if self.read_only:
            return
        message = {
            "compare": [never(self._lease_key)],
            "success": [operation(f"{self.root}/{key}", "") for key in ("lease", "routes/-", "traefik/-")],
        }
        answer = await client.ask("/v3/kv/txn", message, again=True, deadline=deadline)
        self._known = revision_of(answer)

    async def _settle(self, client: EtcdClient, deadline: float) -> None:
        """Make sure that no earlier transaction of ours is made from now on."""
        if self._is_in_doubt:
            message = {"key": encoded(self._barrier_key)}
            self._known = revision_of(await client.ask("/v3/kv/put", message, again=True, deadline=deadline))
            self._is_in_doubt = False

    def _told(self, changed: Changed) -> Told | None:
        """`changed` without keys that are not the table's; None if it has anything but text."""
        ours = (self._lease_key.encode(), self._barrier_key.encode())
        try:
            return told(changed, f"{self.root}/".encode(), without=ours)
        except UnicodeDecodeError:
            return None

    async def _read(self, client: EtcdClient, deadline: float) -> dict[str, str]:
        keys: dict[str, str] = {}
        message = {**self._range, "limit": _FIRST_PAGE}
        ours, below = (self._lease_key.encode(), self._barrier_key.encode()), len(self.root) + 1
        while True:
            answer = await client.ask("/v3/kv/range", message, again=True, deadline=deadline)
            # All pages show the store as it was at the first.
            message.setdefault("revision", str(revision_of(answer)))
            size = 1
            for kv in answer.get("kvs", ()):
                key, value = base64.b64decode(kv["key"]), base64.b64decode(kv.get("value", ""))
                size += len(key) + len(value)
                if key not in ours:
                    keys[_decoded(key, key)[below:]] = _decoded(value, key)
            if not answer.get("more"):
                self._known = int(message["revision"])
                return keys
            message["key"] = base64.b64encode(key + b"\0").decode()
            message["limit"] = max(min(message["limit"] * _PAGE_BYTES // size, _LARGEST_PAGE), 1)


def _decoded(text: bytes, key: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BackendRejected(
            f"The key {key.decode(errors='backslashreplace')} in etcd is not the Hub's: it or its value is not "
            "text. Remove it (etcdctl del), and find out who wrote it."
        ) from error
