"""The time to get all routes, or one, at N routes, and how long it blocks the hub's event loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..field import Field, Job, phase_of
from ..lab import Lab
from ..routes import routespec, user
from ..site import Site

NAME = "reads"


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    rounds: int


SCALES = {
    "tiny": Settings((1,), 1),
    "quick": Settings((1000,), 1),
    "default": Settings((10, 1000, 10000), 3),
    "full": Settings((10, 100, 1000, 5000, 10000), 20),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    sizes = sizes or settings.sizes
    for size in sizes:
        for variant in [*field.own, *field.one(field.of("peer")), *field.of("chp")]:
            yield Job(NAME, variant, size, phase_of(size, sizes), settings.rounds, 0.1 + size / 10000)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    await site.call("meter_start", timeout=10)
    reply = await site.call("get_all", timeout=60)
    blocked = await site.call("meter_stop", timeout=10)
    lab.note(job, "all", reply.seconds)
    lab.note(job, "all.blocked", blocked.result)
    reply = await site.call("get", timeout=60, routespec=routespec(user(job.routes // 2)))
    lab.note(job, "one", reply.seconds)
