"""Throughput, latency and CPU of requests through the proxy at N routes, by the position of the route."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..field import Field, Job, phase_of
from ..lab import Lab
from ..nginx import BIG_PATH
from ..routes import positions
from ..site import Site
from ..wrk import load

NAME = "requests"


# What is asked for in the first round, in the second, and so on in turn: the worst, for who tries one route after
# another, comes first.
_POSITIONS = (("last", "hub"), ("first", "middle"))
# Seconds of wrk's CPU.
_WARM_UP = 0.05


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    seconds: float
    rounds: int
    #: Of the peer, which is far from all others.
    peer_rounds: int
    #: Where new connections and large bodies are measured too, in one round.
    whole: Literal["extremes", "always", "never"]


SCALES = {
    "tiny": Settings((1,), 0.05, 2, 2, "always"),
    "quick": Settings((1000,), 1, 1, 1, "never"),
    "default": Settings((10, 1000, 10000), 1, 6, 2, "extremes"),
    "full": Settings((10, 100, 1000, 5000, 10000), 5, 10, 5, "always"),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    sizes = sizes or settings.sizes
    # A request is the same wherever the table comes from, so one of ours is enough.
    variants = [*field.one(field.own), *field.options, *field.one(field.of("peer")), *field.of("chp")]
    for size in sizes:
        is_extreme = size in (min(sizes), max(sizes))
        is_whole = settings.whole == "always" or (settings.whole == "extremes" and is_extreme)
        for variant in [*variants, *field.of("bare")]:
            rounds = settings.peer_rounds if variant.kind == "peer" else settings.rounds
            seconds = (2 + 2 * is_whole / rounds) * settings.seconds + 1 / rounds
            yield Job(NAME, variant, size, phase_of(size, sizes), rounds, seconds, is_whole=is_whole)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    paths = positions(job.routes)
    if round_number == 0:
        await load(site.url + paths["last"], _WARM_UP)
    for name in _POSITIONS[round_number % len(_POSITIONS)]:
        await _note(lab, job, site, name, paths[name], settings.seconds)
    if job.is_whole and round_number == 0:
        await _note(lab, job, site, "new-connections", paths["last"], settings.seconds, "Connection: close")
        await _note(lab, job, site, "1-MB", paths["last"] + BIG_PATH, settings.seconds)


async def _note(lab: Lab, job: Job, site: Site, name: str, path: str, seconds: float, *headers: str) -> None:
    before = site.proxy_usage().cpu
    measured = await load(site.url + path, seconds, *headers)
    cpu = (site.proxy_usage().cpu - before) / measured.requests
    lab.note(job, f"{name}.cpu", cpu)
    if name in ("first", "middle", "last"):
        # All of a user's routes together.
        lab.note(job, "user.cpu", cpu)
    lab.note(job, f"{name}.throughput", measured.throughput)
    lab.note(job, f"{name}.p50", measured.p50)
    lab.note(job, f"{name}.p99", measured.p99)
