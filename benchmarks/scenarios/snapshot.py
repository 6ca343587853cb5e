"""The whole table at once into Traefik: into a running one, and after it was killed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..field import Field, Job
from ..lab import Lab
from ..site import Site

NAME = "snapshot"

_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    #: Sizes at which only a few of ours take part.
    large: tuple[int, ...]
    rounds: int


SCALES = {
    "tiny": Settings((1,), (), 1),
    "quick": Settings((1000,), (), 1),
    "default": Settings((10000,), (50000,), 3),
    "full": Settings((1000, 10000), (50000,), 10),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    for size in sizes or settings.sizes:
        for variant in [*field.few, *field.options]:
            yield Job(NAME, variant, size, size, settings.rounds, 2.0 + size / 10000)
    for size in () if sizes else settings.large:
        for variant in field.few:
            yield Job(NAME, variant, size, size, settings.rounds, 2.0 + size / 10000)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    await site.settle()
    if not job.variant.option:
        reply = await site.call("snapshot", timeout=_TIMEOUT)
        lab.note(job, "snapshot", reply.seconds)
    killed = time.monotonic()
    site.kill_proxy()
    lab.note(job, "killed", await site.until_all_served() - killed)
