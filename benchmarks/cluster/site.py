"""All parts: the node, our chart, the hub, users' servers, visitors."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from jhub_kvproxy.aio import in_thread
from servers.etcd import EtcdServer
from servers.helm import find_helm
from servers.node import ADDRESS, Node
from servers.programs import ROOT

from ..drill.book import path
from ..drill.client import Broken, get
from ..drill.events import Change
from ..drill.sweep import Found
from ..drill.visitors import Visitors
from ..errors import BenchmarkError
from . import connections, containers, image, objects, z2jh
from .kube import Kube
from .load import FILE
from .users import Users

CHART = ROOT / "charts" / "jhub-kvproxy"
_Z2JH_VALUES = ROOT / "charts" / "z2jh-values.yaml"
_PODS = "app.kubernetes.io/name=jhub-kvproxy"
_HUB = "component=hub"
#: The namespace's first account is made by a controller; a pod needs it.
_ACCOUNT_PATIENCE, _START_PATIENCE, _ROLL_PATIENCE = 60.0, 300.0, 300.0
_SERVER_PATIENCE, _ASK_TIMEOUT = 180.0, 10.0
_INTERVAL = 0.2
#: The user whose server starts and stops after each fault.
_EXTRA = "extra"


@dataclass(frozen=True, slots=True)
class Size:
    """How large a site is."""

    replicas: int = 3
    users: int = 4
    #: Requests a second.
    rate: float = 25
    websockets: int = 8
    #: Where the routing table is.
    backend: str = "kubernetes"


class Site:
    """A site of `size` with all its files in `directory`, within ``async with``.

    Pods are of the `images` (archives), and in the control group `cgroup`; `say` tells what happens.
    """

    node: Node
    kube: Kube
    visitors: Visitors
    users: Users

    def __init__(
        self, size: Size, directory: Path, images: Sequence[Path], cgroup: str, say: Callable[[str], None]
    ) -> None:
        self.size = size
        self.directory = directory
        self.names = [f"user-{number}" for number in range(1, size.users + 1)]
        #: On the monotonic clock.
        self.began = time.monotonic()
        self.changes: list[Change] = []
        self._images = images
        self._cgroup = cgroup
        self._say = say
        self._token = secrets.token_hex(16)
        self._helm = find_helm(4)
        #: Zero to JupyterHub's own chart, if there is one.
        self._z2jh = os.environ.get("Z2JH_CHART", "")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def pods(self) -> list[dict[str, Any]]:
        """Our pods that are not told to end, the longest running first."""
        found = [pod for pod in await self.kube.pods(_PODS) if "deletionTimestamp" not in pod["metadata"]]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    async def delete_all(self, seconds: int | None = None) -> None:
        await self.kube.delete_pods(_PODS, seconds)

    async def rolled_out(self) -> float:
        """Wait until all our pods are ready, and no other is left; returns when."""
        return await self.kube.rolled_out(objects.RELEASE, _ROLL_PATIENCE)

    async def restart_all(self) -> None:
        """What ``kubectl rollout restart`` does."""
        stamp = {"kubectl.kubernetes.io/restartedAt": str(time.time())}
        content = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
        await self.kube.patch("Deployment", objects.RELEASE, "apps/v1", content)

    async def scale(self, replicas: int) -> None:
        await self.kube.scale(objects.RELEASE, replicas)

    def kill_in(self, pod: dict[str, Any], words: str) -> None:
        containers.kill(self._cgroup, pod["metadata"]["uid"], words)

    async def until_serving(self, pod: dict[str, Any]) -> float:
        """Wait until the pod serves a user; returns when."""

        async def is_serving() -> bool:
            name = self.names[0]
            return await self._who(pod["status"]["podIP"], f"{path(name)}files/{FILE}") == name

        return await self.kube.until(is_serving, f"{pod['metadata']['name']} does not serve", _ROLL_PATIENCE)

    async def until_node_ready(self, patience: float) -> float:
        """Wait until the API server knows the node and all our pods to be ready; returns when."""

        async def is_ready() -> bool:
            return await in_thread(self.node.is_ready)

        await self.kube.until(is_ready, "the node is not ready", patience)
        return await self.rolled_out()

    async def kill_hub(self) -> None:
        [pod] = await self.kube.pods(_HUB)
        self.kill_in(pod, "jupyterhub --config")

    async def upgrade(self, *arguments: str) -> None:
        """``helm upgrade`` of our chart, with these arguments besides those that it was installed with."""
        await self._helm_upgrade(objects.RELEASE, CHART, f"--values={self._values}", *arguments)

    async def _helm_upgrade(self, release: str, chart: Path, *arguments: str) -> None:
        command = [self._helm, "upgrade", "--install", release, str(chart), f"--namespace={objects.NAMESPACE}"]
        command += arguments
        environment = {**os.environ, "KUBECONFIG": self._kubeconfig, "HOME": str(self.directory)}
        done = await in_thread(subprocess.run, command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise BenchmarkError(f"helm upgrade {release} failed: {done.stderr.strip()}")

    async def try_new_server(self, patience: float = _SERVER_PATIENCE) -> None:
        """Start a server as a user would, see that it is served, and stop it."""
        change = Change("add", time.monotonic())
        self.changes.append(change)
        try:
            await self.users.start_server(_EXTRA)
            change.returned = time.monotonic()
            change.live = await self.users.until_served(_EXTRA, patience)
            await self.users.stop_server(_EXTRA)
            await self.users.until_gone(_EXTRA, patience)
        except BenchmarkError as error:
            change.error = str(error)

    async def sweep(self) -> Found:
        """Ask each of our pods for the file of each user, and for the hub."""
        found = Found()
        for pod in await self.pods():
            address, seen = pod["status"]["podIP"], {}
            for name in self.names:
                seen[name] = await self._who(address, f"{path(name)}files/{FILE}")
            found.compare(pod["metadata"]["name"], {name: name for name in self.names}, seen)
            if not (await self._who(address, "/hub/api/")).startswith("{"):
                found.lost.append(f"{pod['metadata']['name']}: the hub's route leads to nobody")
        return found

    def connections(self) -> connections.Connections:
        return connections.Connections(self._conntrack.log)

    async def _who(self, address: str, place: str) -> str:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                answer = await get(8000, place, host=address, token=self._token)
        except (Broken, OSError, TimeoutError):
            return ""
        return answer.body if answer.status == 200 else ""

    async def _start(self) -> None:
        self._say("starting the node")
        self.node = Node(self.directory, self._cgroup)
        await in_thread(self.node.__enter__)
        self._stack.callback(self.node.__exit__)
        self._kubeconfig = self.node.api.kubeconfig(objects.NAMESPACE)
        self._conntrack = self._stack.enter_context(connections.watch(self.directory / "conntrack.log"))
        self._say("adding the images")
        for file in self._images:
            await in_thread(self.node.add_image, file)
        await in_thread(self.node.api.namespace, objects.NAMESPACE)
        self.kube = Kube(self.node.api, objects.NAMESPACE)
        options = await self._start_store()
        self._say("installing our chart and the hub")
        self._values = self.directory / "values.json"
        release = z2jh.RELEASE if self._z2jh else ""
        values = objects.chart_values(image.AGENT, self.size.replicas, self.size.backend, options, release)
        self._values.write_text(json.dumps(values, indent=1))
        await self.upgrade()
        await (self._install_z2jh() if self._z2jh else self._start_hub(options))
        await self.rolled_out()
        service = await self.kube.get("Service", z2jh.SERVICE if self._z2jh else objects.RELEASE)
        host = service["spec"]["clusterIP"]
        self.users = await self._stack.enter_async_context(Users(f"http://{host}", self._token))
        await self.users.until_hub_answers(_START_PATIENCE)
        self._say("starting the users' servers and kernels")
        await asyncio.gather(*map(self.users.start_server, self.names))
        kernels = dict(zip(self.names, await asyncio.gather(*map(self._furnish, self.names)), strict=True))
        what = {
            "host": host,
            "users": kernels,
            "token": self._token,
            "rate": self.size.rate,
            "websockets": self.size.websockets,
        }
        self.visitors = await Visitors.spawn(what, self.directory, "benchmarks.cluster.load")
        self._stack.push_async_callback(self.visitors.stop)
        await self._until_steady()

    async def _start_store(self) -> dict[str, Any]:
        """Options of the backend, by class."""
        if self.size.backend == "kubernetes":
            return {}
        etcd = EtcdServer(self.directory / "etcd", "--host-whitelist=*", host=ADDRESS)
        await in_thread(etcd.start)
        self._stack.callback(etcd.kill)
        return {"EtcdBackend": etcd.traits}

    async def _start_hub(self, options: dict[str, Any]) -> None:
        lines = "".join(f"c.{of}.{name} = {value!r}\n" for of, each in options.items() for name, value in each.items())
        config = objects.hub_config(self._token, image.SITE, self.size.backend, lines)
        data = self._hub_directory(image.USER)
        for thing in (objects.secret(secrets.token_hex(16)), *objects.hub(image.SITE, config, data, image.USER)):
            await self.kube.create(thing)
        await self.kube.rolled_out("hub", _START_PATIENCE)

    async def _install_z2jh(self) -> None:
        """Zero to JupyterHub's own chart, with our documented values."""
        chart = self.directory / "z2jh"
        await in_thread(shutil.copytree, self._z2jh, chart)
        schema = chart / "values.schema.json"
        if not schema.exists():  # it is made when the chart is released
            schema.write_text("{}")
        values = z2jh.values(self._token, image.SITE, image.PACKAGES, self._hub_directory(z2jh.USER))
        file = self.directory / "z2jh-values.json"
        file.write_text(json.dumps(values, indent=1))
        await self._helm_upgrade(z2jh.RELEASE, chart, f"--values={_Z2JH_VALUES}", f"--values={file}")
        await self.kube.rolled_out("hub", _START_PATIENCE)

    def _hub_directory(self, user: int) -> str:
        """The directory of the hub's database, which is `user`'s."""
        data = self.directory / "hub"
        data.mkdir()
        os.chown(data, user, user)
        return str(data)

    async def _furnish(self, name: str) -> str:
        """Wait for the server of a user, and return the id of a kernel there."""
        await self.users.until_served(name, _START_PATIENCE)
        await self.users.write_file(name)
        return await self.users.start_kernel(name)

    async def _until_steady(self) -> None:
        deadline = time.monotonic() + _START_PATIENCE
        while self.visitors.websockets < self.size.websockets:
            self.visitors.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"only {self.visitors.websockets} websockets are open")
            await asyncio.sleep(_INTERVAL)
