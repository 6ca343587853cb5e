"""From the call of add, retarget, delete until a request is served so, one at a time, at N routes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..field import Field, Job
from ..lab import Lab
from ..probe import Probe
from ..routes import user_route
from ..site import Site
from ..variants import Variant

NAME = "change"

#: Which origin answers after each of the changes, in their order.
CHANGES = {"add": "a", "retarget": "b", "delete": "hub"}

_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    #: The more routes, the longer each takes: how often up to 1,000 routes, at 5,000, at more.
    rounds: tuple[int, int, int]
    peer_rounds: int
    #: Sizes at which the peer takes part, with one store; and with all of them.
    peer_sizes: tuple[int, ...]
    all_peers_sizes: tuple[int, ...]
    floor_sizes: tuple[int, ...]


_ALL = (10, 100, 1000, 5000, 10000)

SCALES = {
    "tiny": Settings((1,), (1, 1, 1), 1, (1,), (), (1,)),
    "quick": Settings((10, 1000), (2, 2, 2), 1, (1000,), (), (10, 1000)),
    "default": Settings(_ALL, (6, 3, 1), 2, (10,), (1000,), (10, 1000, 5000)),
    "full": Settings(_ALL, (15, 15, 15), 5, (), _ALL, _ALL),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    for size in sizes or settings.sizes:
        floors = field.of("floor") if sizes or size in settings.floor_sizes else []
        rounds = settings.rounds[(size > 1000) + (size > 5000)]
        for variant in [*field.own, *field.options, *field.of("chp"), *floors]:
            yield Job(NAME, variant, size, size, rounds, _estimate(variant, size))
        peers = []
        if sizes or size in settings.all_peers_sizes:
            peers = field.of("peer")
        elif size in settings.peer_sizes:
            peers = field.one(field.of("peer"))
        for variant in peers:
            yield Job(NAME, variant, size, size, settings.peer_rounds, _estimate(variant, size))


def _estimate(variant: Variant, size: int) -> float:
    each = {"chp": 0.1, "peer": 1.0 + size / 2500}.get(variant.kind, 0.1 + size / 4000)
    return each * len(CHANGES)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    async with Probe(site.port) as probe:
        await site.settle()
        if round_number == 0:
            await one_change(site, probe, "warm-up", "add")
        for change in CHANGES:
            measured = await one_change(site, probe, f"new{round_number}", change)
            for name, seconds in measured.items():
                lab.note(job, f"{change}.{name}", seconds)
                # All three changes together; the last part of the name tells the unit.
                lab.note(job, f"any.{name}", seconds)


async def one_change(site: Site, probe: Probe, user: str, change: str) -> dict[str, float]:
    """Seconds from the call of `change` until a request is served so, until the call returned, until both.

    And seconds of CPU that the proxy took for it. The site must be at rest, and is so again.
    """
    spec, target, data = user_route(user, site.origin.targets.get(CHANGES[change], ""))
    before = site.proxy_usage().cpu
    watching = asyncio.create_task(probe.until({spec: CHANGES[change]}, _TIMEOUT))
    try:
        await asyncio.sleep(0)  # lets it connect first
        if change == "delete":
            reply = await site.call("delete", timeout=_TIMEOUT, routespec=spec)
        else:
            reply = await site.call("add", timeout=_TIMEOUT, routespec=spec, target=target, data=data)
        served = (await watching)[spec] - reply.started
    finally:
        watching.cancel()
    await site.settle()
    return {
        "served": served,
        "returned": reply.seconds,
        "done": max(served, reply.seconds),
        "cpu": site.proxy_usage().cpu - before,
    }
