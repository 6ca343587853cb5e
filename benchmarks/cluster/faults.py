"""The faults: what each does to a site, and what users may notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from jhub_kvproxy.aio import in_thread

from ..drill.judging import Bound, Marks
from .site import Site

#: What the judge calls those of our pods that a fault kills.
VICTIM = "killed"
_OUTAGE, _KUBELET_OUTAGE = 60.0, 30.0
# Seconds within which the kubelet, the API server and kube-proxy have noticed that a container is dead.
_NOTICED_WITHIN = 4.0
_HUB_PATIENCE, _NODE_PATIENCE = 180.0, 120.0

# A pod that is told to end serves for a while; then what is still open through it ends.
_DRAINED = Bound(live_within=None, all_websockets_may_end=True)
_SERVED_ON = Bound(live_within=None)
_KILLED = Bound(live_within=None, own_may_fail=True, noticed_within=_NOTICED_WITHIN)
_ALL_KILLED = Bound(
    live_within=None,
    own_may_fail=True,
    noticed_within=_NOTICED_WITHIN,
    all_websockets_may_end=True,
    grace=8.0,  # the pods die one after the other
    without_service=5.0,
)


@dataclass(slots=True)
class Killed:
    """The addresses of our pods that a fault has killed."""

    addresses: set[str] = field(default_factory=set)

    def note(self, marks: Marks, *pods: dict[str, Any]) -> None:
        """From now on they are dead."""
        self.addresses |= {pod["status"]["podIP"] for pod in pods}
        marks.victim, marks.killed = VICTIM, time.monotonic()


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that may go wrong in a cluster, or that is done to it."""

    name: str
    title: str
    #: What users may notice.
    bound: Bound
    do: Callable[[Site, Marks, Killed], Awaitable[None]]


async def _nothing(site: Site, marks: Marks, killed: Killed) -> None:
    await asyncio.sleep(15)


async def _rolling_restart(site: Site, marks: Marks, killed: Killed) -> None:
    marks.fault = time.monotonic()
    await site.restart_all()
    marks.back = await site.rolled_out()


async def _pod_deleted(site: Site, marks: Marks, killed: Killed) -> None:
    pod, *_ = await site.pods()
    marks.fault = time.monotonic()
    await site.kube.delete_pod(pod["metadata"]["name"])
    marks.back = await site.rolled_out()


async def _pods_deleted(site: Site, marks: Marks, killed: Killed) -> None:
    marks.fault = time.monotonic()
    await site.delete_all()
    marks.back = await site.rolled_out()


async def _pods_killed(site: Site, marks: Marks, killed: Killed) -> None:
    pods = await site.pods()
    marks.fault = time.monotonic()
    await site.delete_all(0)
    killed.note(marks, *pods)
    marks.back = await site.rolled_out()


async def _agent_killed(site: Site, marks: Marks, killed: Killed) -> None:
    await _kill_in_pod(site, marks, killed, "jhub-kvproxy agent")


async def _traefik_killed(site: Site, marks: Marks, killed: Killed) -> None:
    await _kill_in_pod(site, marks, killed, "traefik --configFile")


async def _kill_in_pod(site: Site, marks: Marks, killed: Killed, words: str) -> None:
    pod, *_ = await site.pods()
    marks.fault = time.monotonic()
    site.kill_in(pod, words)
    killed.note(marks, pod)
    await site.until_serving(pod)
    marks.back = await site.rolled_out()


async def _hub_killed(site: Site, marks: Marks, killed: Killed) -> None:
    marks.fault = time.monotonic()
    await site.kill_hub()
    marks.back = await site.users.until_hub_answers(_HUB_PATIENCE)


async def _kubelet_stopped(site: Site, marks: Marks, killed: Killed) -> None:
    kubelet = site.node.kubelet
    marks.fault = time.monotonic()
    await in_thread(kubelet.stop)
    await asyncio.sleep(_KUBELET_OUTAGE)
    kubelet.launch()
    marks.back = await site.until_node_ready(_NODE_PATIENCE)


async def _api_away(site: Site, marks: Marks, killed: Killed) -> None:
    marks.fault = time.monotonic()
    await in_thread(site.node.api.kill)
    await asyncio.sleep(_OUTAGE)
    site.node.api.launch()
    await in_thread(site.node.api.wait)
    marks.back = await site.until_node_ready(_NODE_PATIENCE)
    # KubeSpawner's watch of pods gives up after 51 s, and then no server starts; users would restart the hub, too.
    marks.notes.append("the hub was restarted, because KubeSpawner had given up")
    await site.kill_hub()
    await site.users.until_hub_answers(_HUB_PATIENCE)


async def _helm_upgrade(site: Site, marks: Marks, killed: Killed) -> None:
    marks.fault = time.monotonic()
    await site.upgrade("--set-string", f"podAnnotations.upgraded={time.time()}")
    marks.back = await site.rolled_out()


async def _scaled(site: Site, marks: Marks, killed: Killed) -> None:
    marks.fault = time.monotonic()
    for replicas in (1, 5):
        await site.scale(replicas)
        await site.rolled_out()
    marks.back = time.monotonic()


async def _scaled_back(site: Site, marks: Marks, killed: Killed) -> None:
    marks.fault = time.monotonic()
    await site.scale(site.size.replicas)
    marks.back = await site.rolled_out()


FAULTS = (
    Fault("nothing", "nothing", Bound(live_within=None, changes_may_fail=False), _nothing),
    Fault("rolling-restart", "rolling restart of all pods", _DRAINED, _rolling_restart),
    Fault("pod-deleted", "one pod deleted", _DRAINED, _pod_deleted),
    Fault("pods-deleted", "all pods deleted", _DRAINED, _pods_deleted),
    Fault("pods-killed", "all pods deleted without grace", _ALL_KILLED, _pods_killed),
    Fault("agent-killed", "agent killed in one pod", _KILLED, _agent_killed),
    Fault("traefik-killed", "Traefik killed in one pod", _KILLED, _traefik_killed),
    Fault("hub-killed", "hub killed", _SERVED_ON, _hub_killed),
    Fault("kubelet-stopped", "kubelet stopped", _SERVED_ON, _kubelet_stopped),
    Fault("api-away", "API server away", _SERVED_ON, _api_away),
    Fault("helm-upgrade", "helm upgrade", _DRAINED, _helm_upgrade),
    Fault("scaled", "scaled from 3 to 1, then to 5", _DRAINED, _scaled),
    Fault("scaled-back", "scaled back to 3", _DRAINED, _scaled_back),
)
