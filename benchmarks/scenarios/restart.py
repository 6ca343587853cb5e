"""The start of a hub: with N routes in the store, and with an empty one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..field import Field, Job
from ..lab import Lab
from ..site import Site

NAME = "restart"

_TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    #: The peer starts with so many at most.
    peer_size: int
    #: Starts with all routes in the store, and with an empty one.
    rounds: int
    empty_rounds: int
    #: Whether all of ours are measured, or one.
    all_backends: bool


SCALES = {
    "tiny": Settings((1,), 1, 1, 1, True),
    "quick": Settings((1000,), 5, 1, 1, False),
    "default": Settings((10000,), 100, 3, 1, True),
    "full": Settings((1000, 10000), 500, 5, 5, True),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    sizes = sizes or settings.sizes
    own = field.own if settings.all_backends else field.one(field.own)
    for size in sizes:
        for variant in [*own, *field.options, *field.of("chp")]:
            rounds = settings.empty_rounds if variant.kind == "chp" or variant.is_slow else settings.rounds
            seconds = 4.0 + (0 if variant.is_slow else settings.empty_rounds / rounds * size / 800)
            yield Job(NAME, variant, size, size, rounds, seconds)
    largest = max(sizes)
    for variant in field.one(field.of("peer")):
        count = min(largest, settings.peer_size)
        yield Job(NAME, variant, count, largest, 1, 3.0 + count / 4)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    if job.variant.kind != "chp":  # which keeps its routes in memory, so that every start is an empty one
        await site.end_hub()
        await site.spawn()
        seconds, missing = await _boot(site)
        if not missing:  # the peer's file does not outlive its hub
            lab.note(job, "full", seconds)
    # Where Traefik builds all its routers again, it takes half a minute.
    if round_number < settings.empty_rounds and not job.variant.option:
        async with lab.prepared(job.variant, job.routes) as empty:
            seconds, _ = await _boot(empty)
            lab.note(job, "empty", seconds)


async def _boot(site: Site) -> tuple[float, int]:
    """Seconds from the start of the proxy until all routes are served and the hub knows it, and how many it missed."""
    reply = await site.call("boot", timeout=_TIMEOUT, count=site.count, targets=site.origin.targets)
    return max(reply.ended, await site.until_all_served()) - reply.started, reply.result
