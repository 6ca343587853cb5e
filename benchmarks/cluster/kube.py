"""What the test asks the API server for, in one namespace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from jhub_kvproxy.aio import in_thread
from servers.errors import Refused, Unavailable
from servers.kubernetes import KubernetesServer

from ..errors import BenchmarkError

_PLURALS = {
    "ServiceAccount": "serviceaccounts",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "Deployment": "deployments",
    "Pod": "pods",
}
_INTERVAL = 0.2


class Kube:
    """Objects in `namespace` of a server."""

    def __init__(self, server: KubernetesServer, namespace: str) -> None:
        self.namespace = namespace
        self._server = server

    async def create(self, thing: dict[str, Any]) -> None:
        await self._ask("POST", self._path(thing["kind"], thing["apiVersion"]), thing)

    async def get(self, kind: str, name: str, version: str = "v1") -> dict[str, Any]:
        found: dict[str, Any] = await self._ask("GET", f"{self._path(kind, version)}/{name}")
        return found

    async def pods(self, selector: str) -> list[dict[str, Any]]:
        found = await self._ask("GET", f"{self._path('Pod')}?labelSelector={selector}")
        return list(found["items"])

    async def delete_pods(self, selector: str, seconds: int | None = None) -> None:
        """Delete all that `selector` selects, with so many seconds for them to end; None: as many as they say."""
        grace = "" if seconds is None else f"&gracePeriodSeconds={seconds}"
        await self._ask("DELETE", f"{self._path('Pod')}?labelSelector={selector}{grace}")

    async def delete_pod(self, name: str) -> None:
        await self._ask("DELETE", f"{self._path('Pod')}/{name}")

    async def patch(self, kind: str, name: str, version: str, content: dict[str, Any]) -> None:
        path = f"{self._path(kind, version)}/{name}"
        await in_thread(self._server.ask, "PATCH", path, content, content="merge-patch+json")

    async def scale(self, deployment: str, replicas: int) -> None:
        await self.patch("Deployment", deployment, "apps/v1", {"spec": {"replicas": replicas}})

    async def rolled_out(self, deployment: str, patience: float) -> float:
        """Wait until all pods of a deployment are new and ready, and no other is left; returns when.

        Raises BenchmarkError when it takes longer than `patience` seconds.
        """

        async def is_rolled_out() -> bool:
            found = await self.get("Deployment", deployment, "apps/v1")
            spec, status = found["spec"], found["status"]
            wanted = spec["replicas"]
            counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
            if status.get("observedGeneration") != found["metadata"]["generation"] or counts != [wanted] * 3:
                return False
            selector = ",".join(f"{key}={value}" for key, value in spec["selector"]["matchLabels"].items())
            return bool(len(await self.pods(selector)) == wanted)

        return await self.until(is_rolled_out, f"the deployment {deployment} is not rolled out", patience)

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str, patience: float) -> float:
        """Wait for `condition`, which may raise what networks and the server raise; returns when.

        Raises BenchmarkError, which says `what`.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                if await condition():
                    return time.monotonic()
            except (OSError, ValueError, Unavailable, Refused):
                pass
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{what} after {patience:g} s")
            await asyncio.sleep(_INTERVAL)

    def _path(self, kind: str, version: str = "v1") -> str:
        group = "/api/v1" if version == "v1" else f"/apis/{version}"
        return f"{group}/namespaces/{self.namespace}/{_PLURALS[kind]}"

    async def _ask(self, method: str, path: str, message: Any = None) -> Any:
        return await in_thread(self._server.ask, method, path, message)
