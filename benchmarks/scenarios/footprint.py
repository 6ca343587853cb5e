"""Memory and CPU of the hub part, the proxy and the store, at rest with N routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..field import Field, Job, phase_of
from ..lab import Lab
from ..site import Site

NAME = "footprint"


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    #: Sizes at which only a few of ours take part.
    large: tuple[int, ...]
    seconds: float


SCALES = {
    "tiny": Settings((1,), (), 0.2),
    "quick": Settings((1000,), (), 1.0),
    "default": Settings((10, 1000, 10000), (50000,), 1.0),
    "full": Settings((10, 100, 1000, 5000, 10000), (50000,), 20.0),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    others = [*field.options, *field.one(field.of("peer")), *field.of("chp"), *field.of("bare")]
    sizes, large = sizes or settings.sizes, () if sizes else settings.large
    for size in sizes:
        for variant in [*field.own, *others]:
            yield Job(NAME, variant, size, phase_of(size, sizes), 1, settings.seconds + 0.2)
    for size in large:
        for variant in field.few:
            yield Job(NAME, variant, size, size, 1, settings.seconds + 0.2)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    await site.settle()
    parts = {"hub-part": site.hub_usage, "proxy": site.proxy_usage, "store": site.store_usage}
    started = time.monotonic()
    before = {name: usage() for name, usage in parts.items()}
    await asyncio.sleep(settings.seconds)
    elapsed = time.monotonic() - started
    for name, usage in parts.items():
        now = usage()
        if now.memory:
            lab.note(job, f"{name}.memory", now.memory)
            lab.note(job, f"{name}.cores", (now.cpu - before[name].cpu) / elapsed)
