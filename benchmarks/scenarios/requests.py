"""Throughput and latency through the proxy at N routes, by the position of the route."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..field import Field, Job
from ..lab import Lab
from ..nginx import BIG_PATH
from ..routes import positions
from ..site import Site
from ..wrk import load

NAME = "requests"


_POSITIONS = ("first", "middle", "last", "hub")
# The worst of all positions is one of these, with the routes flat.
_LATE = ("last", "hub")
# Seconds of wrk's CPU.
_WARM_UP = 0.05


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    seconds: float
    #: At the smallest and the largest size; at the others there is one.
    rounds: int
    #: At which sizes all of ours are measured, and not one only.
    all_backends: Literal["never", "extremes", "always"]
    #: Where all positions, new connections and large bodies are measured too: where one of ours is.
    all_loads: Literal["never", "extremes", "always"]


SCALES = {
    "tiny": Settings((1,), 0.05, 1, "never", "always"),
    "quick": Settings((10, 1000), 1, 1, "never", "never"),
    "default": Settings((10, 100, 1000, 5000, 10000), 1, 3, "extremes", "extremes"),
    "full": Settings((10, 100, 1000, 5000, 10000), 5, 5, "always", "always"),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    sizes = sizes or settings.sizes
    extremes = min(sizes), max(sizes)
    others = [*field.options, *field.one(field.of("peer")), *field.of("chp"), *field.of("nginx")]
    for size in sizes:
        where = ("always", "extremes") if size in extremes else ("always",)
        # Traefik routes alike wherever its table comes from, so one of ours is enough for most.
        some = [*field.one(field.own), *others]
        all_of_them = [*field.own, *others] if settings.all_backends in where else some
        for variant in all_of_them:
            rounds = settings.rounds if size in extremes else 1
            # The smallest beside the largest, since they are compared.
            phase = extremes[1] if size in extremes else size
            is_whole = settings.all_loads in where and variant in some
            each, once = (len(_POSITIONS), 2) if is_whole else (len(_LATE), 0)
            seconds = (each + once / rounds) * settings.seconds + 1 / rounds
            yield Job(NAME, variant, size, phase, rounds, seconds, is_whole=is_whole)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    paths = positions(job.routes)
    if round_number == 0:
        await load(site.url + paths["last"], _WARM_UP)
    for name in _POSITIONS if job.is_whole else _LATE:
        await _note(lab, job, name, site.url + paths[name], settings.seconds)
    if job.is_whole and round_number == 0:
        await _note(lab, job, "new-connections", site.url + paths["last"], settings.seconds, "Connection: close")
        await _note(lab, job, "1-MB", site.url + paths["last"] + BIG_PATH, settings.seconds)


async def _note(lab: Lab, job: Job, name: str, url: str, seconds: float, *headers: str) -> None:
    measured = await load(url, seconds, *headers)
    lab.note(job, f"{name}.throughput", measured.throughput)
    lab.note(job, f"{name}.p50", measured.p50)
    lab.note(job, f"{name}.p99", measured.p99)
