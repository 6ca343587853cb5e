"""The routing table in Kubernetes' own objects."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from traitlets import Float, Unicode

from jhub_kvproxy import Backend, BackendError, BackendUnavailable, Batch, LeaseReport, Snapshot, Told, in_thread

from ._kubernetes_access import Access, find_access
from ._kubernetes_api import CONFIGMAPS, LEASES, KubernetesAPI
from ._kubernetes_lease import KubernetesLease
from ._kubernetes_names import SLOTS, name_of, slot_name
from ._kubernetes_table import KubernetesTable
from ._kubernetes_watch import changes


class KubernetesBackend(Backend):
    """Keeps the table in ConfigMaps of one namespace, in Kubernetes 1.20 or newer.

    Their names begin with ``kvproxy-`` and the prefix; say NAME:

    ``NAME``
        The ConfigMap with the last changes, whose replacement is the commit; and the Lease that says who may write, if
        a writer asked for that.
    ``NAME.0`` to ``NAME.15``
        The ConfigMaps with the rest of the table, as many as it needs.
    """

    contract = 2
    # As much fits into the bases even if it cannot be compressed.
    max_txn_bytes = 4 * 1024 * 1024

    api_url = Unicode(
        config=True,
        help="""
        URL of Kubernetes' API, such as `https://10.96.0.1`.

        By default, in a pod that of the cluster, otherwise that of the kubeconfig.
        """,
    )
    kubeconfig = Unicode(
        config=True,
        help="""
        File that says where the API is, and who we are (kubeconfig).

        By default, in a pod none, since a pod has its service account; otherwise the environment variable KUBECONFIG,
        or `~/.kube/config`. Its user may have a token or a client certificate, and no program that is to be run. To
        read it takes PyYAML: `pip install "jhub-kvproxy[kubernetes]"`.
        """,
    )
    context = Unicode(config=True, help="Which context of the kubeconfig to use. By default, its current one.")
    namespace = Unicode(
        config=True,
        help="""
        Namespace of the objects.

        By default, in a pod its own, otherwise that of the kubeconfig's context, or `default`.
        """,
    )
    timeout = Float(10.0, config=True, help="Seconds that one call to the store may take, retries included.")

    _api: KubernetesAPI | None = None
    _access: Access
    _table: KubernetesTable
    _lease: KubernetesLease
    #: Those of the open watches.
    _watching: set[KubernetesAPI]

    async def open(self) -> None:
        if self._api:
            return
        self._access = await in_thread(
            find_access,
            api_url=self.api_url,
            kubeconfig=self.kubeconfig,
            context=self.context,
            namespace=self.namespace,
        )
        api = self._new_api(self.timeout)
        try:
            await self._check_permissions(api)
        except BaseException:
            await api.close()
            raise
        self._table = KubernetesTable(api, self._name)
        self._lease = KubernetesLease(api, self._table, self._name)
        self._watching = set()
        self._api = api

    async def close(self) -> None:
        api, self._api = self._api, None
        if api:
            try:
                with suppress(BackendError):  # the lease then expires by itself
                    await self._lease.release()
            finally:
                self._lease.forget()
                for each in (api, *self._watching):
                    await each.close()

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        self._require_open()
        await self._table.commit(batch.changes, self._lease)

    async def load(self) -> Snapshot:
        self._require_open()
        return Snapshot(await self._table.load())

    async def remove(self) -> None:
        self.check_writable()
        deadline = self._require_open().deadline()
        await self._table.remove(deadline)
        await self._lease.remove(deadline)

    async def watch(self) -> AsyncGenerator[Told | None]:
        self._require_open()
        # A dead connection is noticed after twice the patience, within `timeout`.
        patience = self.timeout / 2
        api = self._new_api(patience)
        others = self._watching
        others.add(api)
        try:
            async with aclosing(changes(api, self._name, patience=patience)) as all_news:
                async for news in all_news:
                    yield news
        finally:
            others.discard(api)
            await api.close()

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        self._require_open()
        await self._lease.acquire(holder, ttl)

    async def release_lease(self) -> None:
        if self._api:
            await self._lease.release()

    async def read_lease(self) -> LeaseReport | None:
        self._require_open()
        return await self._lease.report()

    @property
    def _name(self) -> str:
        return name_of(self.prefix)

    def _new_api(self, timeout: float) -> KubernetesAPI:
        return KubernetesAPI(self._access, timeout=timeout, role="agent" if self.read_only else "hub")

    def _require_open(self) -> KubernetesAPI:
        if self._api is None:
            raise BackendUnavailable("KubernetesBackend is not open.")
        return self._api

    async def _check_permissions(self, api: KubernetesAPI) -> None:
        """Find out whether we may read the table, and write it if we shall. This writes nothing."""
        deadline = api.deadline()
        await api.metadata(self._name, deadline)
        if self.read_only:
            return
        last = slot_name(self._name, SLOTS - 1)
        needed = [
            ("create", CONFIGMAPS, ""),
            ("update", CONFIGMAPS, self._name),
            ("delete", CONFIGMAPS, last),
            ("create", LEASES, ""),
            ("update", LEASES, self._name),
        ]
        for verb, resource, name in needed:
            if not await api.may(verb, resource, name, deadline):
                raise api.denied(verb, resource, name)
