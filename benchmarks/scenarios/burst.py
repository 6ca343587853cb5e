"""Many calls at once into N routes, until all have returned and are served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import BenchmarkError
from ..field import Field, Job
from ..lab import Lab
from ..probe import Probe
from ..routes import routespec, user_route
from ..site import Site

NAME = "burst"

_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class Settings:
    #: How many calls into how many routes.
    bursts: tuple[tuple[int, int], ...]
    #: The one that the peer takes part in, once.
    peer_burst: tuple[int, int]
    rounds: int


SCALES = {
    "tiny": Settings(((2, 1),), (2, 1), 1),
    "quick": Settings(((1000, 1000),), (10, 1000), 1),
    "default": Settings(((200, 100), (1000, 1000)), (200, 100), 3),
    "full": Settings(((200, 100), (1000, 1000), (1000, 10000)), (200, 100), 5),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    bursts = [(settings.bursts[0][0], size) for size in sizes] if sizes else list(settings.bursts)
    for calls, size in bursts:
        for variant in [*field.own, *field.options, *field.of("chp")]:
            rounds = 1 if variant.is_slow else settings.rounds
            yield Job(NAME, variant, size, size, rounds, 1.0 + (size + calls) / 500, calls)
    peer_calls, peer_size = (settings.peer_burst[0], sizes[0]) if sizes else settings.peer_burst
    for variant in field.one(field.of("peer")):
        yield Job(NAME, variant, peer_size, peer_size, 1, peer_calls / 4, peer_calls)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    names = [f"burst{round_number}x{number}" for number in range(job.number)]
    routes = [user_route(name, site.origin.targets["a"]) for name in names]
    async with Probe(site.port) as probe:
        await site.settle()
        before = site.proxy_usage().cpu
        await site.call("meter_start", timeout=10)
        reply, seen = await asyncio.gather(
            site.call("many", timeout=_TIMEOUT, add=routes, delete=[]),
            probe.until({routespec(name): "a" for name in names}, _TIMEOUT),
        )
        blocked = await site.call("meter_stop", timeout=10)
        await site.settle()
        if reply.result:
            raise BenchmarkError(f"{reply.result} of {job.number} calls failed")
        served = max(seen.values()) - reply.started
        lab.note(job, f"{job.number}.served", served)
        lab.note(job, f"{job.number}.returned", reply.seconds)
        lab.note(job, f"{job.number}.done", max(served, reply.seconds))
        lab.note(job, f"{job.number}.blocked", blocked.result)
        lab.note(job, f"{job.number}.route.cpu", (site.proxy_usage().cpu - before) / job.number)
        await site.call("many", timeout=_TIMEOUT, add=[], delete=[routespec(name) for name in names])
        await probe.until({routespec(name): "hub" for name in names}, _TIMEOUT)
