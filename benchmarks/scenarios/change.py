"""The time of an add, retarget or delete, until it is served and has returned, one at a time, at N routes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..field import Field, Job, phase_of
from ..lab import Lab
from ..probe import Probe
from ..routes import routespec, user_route
from ..site import Site
from ..variants import Variant

NAME = "change"

#: Which origin answers after each of the changes, in their order.
CHANGES = {"add": "a", "retarget": "b", "delete": "hub"}

_TIMEOUT = 60.0
# From so many routes on, a change takes seconds where all routers are built again.
_MANY = 5000


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    #: Sizes at which only a few of ours take part.
    large: tuple[int, ...]
    rounds: int
    #: Of store delivery, and at the large sizes; the peer has one.
    few_rounds: int
    #: Routes that are added and deleted in each round without looking, for the CPU that the proxy takes.
    unwatched: int


SCALES = {
    "tiny": Settings((1,), (), 1, 1, 1),
    "quick": Settings((1000,), (), 4, 1, 5),
    "default": Settings((10, 1000, 10000), (50000,), 10, 2, 5),
    "full": Settings((10, 100, 1000, 5000, 10000), (50000,), 30, 10, 10),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    variants = [*field.own, *field.options, *field.one(field.of("peer")), *field.of("chp")]
    sizes, large = sizes or settings.sizes, () if sizes else settings.large
    for size in sizes:
        for variant in variants:
            rounds = 1 if variant.kind == "peer" else settings.few_rounds if variant.is_slow else settings.rounds
            phase = phase_of(size, sizes)
            yield Job(NAME, variant, size, phase, rounds, _estimate(variant, size, settings))
    for size in large:
        for variant in field.few:
            yield Job(NAME, variant, size, size, settings.few_rounds, _estimate(variant, size, settings))


def _estimate(variant: Variant, size: int, settings: Settings) -> float:
    each = {"peer": 1.0 + size / 1500}.get(variant.kind, size / 5000 if variant.is_slow else 0.01)
    changes = len(CHANGES) + (0 if _is_watched(variant, size) else 2 * settings.unwatched)
    return changes * each + 0.5


def _is_watched(variant: Variant, routes: int) -> bool:
    """Whether its changes take so much CPU that what looking costs does not count."""
    return variant.kind == "peer" or (variant.is_slow and routes >= _MANY)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    async with Probe(site.port) as probe:
        await site.settle()
        if round_number == 0 and not (job.variant.is_slow and job.routes >= _MANY):
            await one_change(site, probe, "warm-up", "add")
        for change in CHANGES:
            measured = await one_change(site, probe, f"new{round_number}", change)
            cpu = measured.pop("cpu")
            if _is_watched(job.variant, job.routes):
                lab.note(job, "any.cpu", cpu)
            for name, seconds in measured.items():
                lab.note(job, f"{change}.{name}", seconds)
                # All three changes together; the last part of the name tells the unit.
                lab.note(job, f"any.{name}", seconds)
    if not _is_watched(job.variant, job.routes):
        lab.note(job, "any.cpu", await _unwatched_cpu(site, f"unwatched{round_number}x", settings.unwatched))


async def one_change(site: Site, probe: Probe, user: str, change: str) -> dict[str, float]:
    """Seconds from the call of `change` until a request is served so, until the call returned, until both.

    And seconds of CPU that the proxy took for it, and for being asked. The site must be at rest, and is so again.
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


async def _unwatched_cpu(site: Site, name: str, count: int) -> float:
    """Seconds of the proxy's CPU for a change: `count` routes are added and deleted, one after the other."""
    before = site.proxy_usage().cpu
    for number in range(count):
        spec, target, data = user_route(f"{name}{number}", site.origin.targets["a"])
        await site.call("add", timeout=_TIMEOUT, routespec=spec, target=target, data=data)
    for number in range(count):
        await site.call("delete", timeout=_TIMEOUT, routespec=routespec(f"{name}{number}"))
    await site.settle()
    return (site.proxy_usage().cpu - before) / (2 * count)
