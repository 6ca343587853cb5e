"""Many thousand routes that come and go: the memory of the hub part and of the proxy before and after."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import BenchmarkError
from ..field import Field, Job
from ..lab import Lab
from ..routes import routespec, user_route
from ..site import Site

NAME = "cycles"

_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    #: Routes that are added and deleted before the memory is looked at for the first time.
    warm_up: int
    cycles: int
    #: How many come at once.
    at_once: int


SCALES = {
    "tiny": Settings((1,), 2, 4, 2),
    "quick": Settings((1000,), 1000, 1000, 200),
    "default": Settings((1000,), 5000, 20000, 200),
    "full": Settings((1000, 10000), 10000, 100000, 200),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    for size in sizes or settings.sizes:
        for variant in field.one(field.own):
            seconds = (settings.warm_up + settings.cycles) / 1500
            yield Job(NAME, variant, size, size, 1, seconds, settings.cycles)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    await _cycle(site, range(settings.warm_up), settings.at_once)
    await site.settle()
    hub, proxy = site.hub_usage().memory, site.proxy_usage().memory
    started = time.monotonic()
    # New names, as users' names are.
    await _cycle(site, range(settings.warm_up, settings.warm_up + settings.cycles), settings.at_once)
    lab.note(job, f"{job.number}.rate", settings.cycles / (time.monotonic() - started))
    await site.settle()
    lab.note(job, f"{job.number}.hub-part.before.memory", hub)
    lab.note(job, f"{job.number}.hub-part.after.memory", site.hub_usage().memory)
    lab.note(job, f"{job.number}.proxy.before.memory", proxy)
    lab.note(job, f"{job.number}.proxy.after.memory", site.proxy_usage().memory)


async def _cycle(site: Site, numbers: range, at_once: int) -> None:
    """Add and delete the routes of these `numbers`, `at_once` of them at a time."""
    for start in range(0, len(numbers), at_once):
        names = [f"cycle{number}" for number in numbers[start : start + at_once]]
        routes = [user_route(name, site.origin.targets["a"]) for name in names]
        for calls in ({"add": routes, "delete": []}, {"add": [], "delete": list(map(routespec, names))}):
            reply = await site.call("many", timeout=_TIMEOUT, **calls)
            if reply.result:
                raise BenchmarkError(f"{reply.result} of {len(names)} calls failed")
