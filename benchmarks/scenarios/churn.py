"""Changes at a steady rate: their lag, requests' latency meanwhile, what the proxy and the hub's loop have to bear."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from servers.process import tied
from servers.programs import ROOT

from ..changes import Churn
from ..errors import BenchmarkError
from ..field import Field, Job
from ..lab import Lab
from ..routes import routespec, some, user
from ..site import Site

NAME = "churn"

_REQUESTS_A_SECOND = 200
_PATHS = 50
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    #: Without changes first, then with them.
    seconds: float
    #: Changes a second.
    rate: int
    rounds: int
    #: Whether all of ours take part, or one.
    all_backends: bool


SCALES = {
    "tiny": Settings((1,), 1.0, 20, 1, True),
    "quick": Settings((1000,), 2.5, 50, 1, False),
    "default": Settings((10000,), 8.0, 50, 2, True),
    "full": Settings((1000, 10000), 60.0, 50, 3, True),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    own = field.own if settings.all_backends else field.one(field.own)
    for size in sizes or settings.sizes:
        for variant in [*own, *field.options, *field.of("chp")]:
            rounds = 1 if variant.is_slow else settings.rounds
            yield Job(NAME, variant, size, size, rounds, 2 * settings.seconds + 2, settings.rate)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    await site.settle()
    quiet = await _requests(site, settings.seconds)
    await site.call("meter_start", timeout=10)
    proxy, hub, started = site.proxy_usage().cpu, site.hub_usage().cpu, time.monotonic()
    churn = Churn(site, f"churn{round_number}x")
    try:
        async with asyncio.TaskGroup() as group:
            requests = group.create_task(_requests(site, settings.seconds))
            changes = group.create_task(churn.run(job.number, settings.seconds, timeout=_TIMEOUT))
        busy, lags = requests.result(), changes.result()
        elapsed = time.monotonic() - started
        proxy, hub = site.proxy_usage().cpu - proxy, site.hub_usage().cpu - hub
        blocked = await site.call("meter_stop", timeout=10)
        await site.settle()
        lab.note(job, f"{job.number}.drain", time.monotonic() - churn.last_call)
    finally:
        await churn.undo(timeout=_TIMEOUT)
    if quiet["errors"] or busy["errors"]:
        raise BenchmarkError(f"{quiet['errors']} and {busy['errors']} requests failed, without and with changes")
    lab.note(job, f"{job.number}.lag.p50", statistics.median(lags))
    lab.note(job, f"{job.number}.lag.max", max(lags))
    for name in ("p50", "p99", "max"):
        lab.note(job, f"{job.number}.quiet.{name}", quiet[name])
        lab.note(job, f"{job.number}.requests.{name}", busy[name])
    lab.note(job, f"{job.number}.proxy.cores", proxy / elapsed)
    lab.note(job, f"{job.number}.hub-part.cores", hub / elapsed)
    lab.note(job, f"{job.number}.blocked", blocked.result)


async def _requests(site: Site, seconds: float) -> dict[str, Any]:
    """What :mod:`..pacer` measures in `seconds`, of requests to standing routes and the hub."""
    paths = ["/hub/", *map(routespec, some(map(user, range(site.count)), _PATHS))]
    command = [sys.executable, "-m", "benchmarks.pacer", str(site.port), str(_REQUESTS_A_SECOND), str(seconds), *paths]
    process = await asyncio.create_subprocess_exec(
        *tied(command), cwd=ROOT, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(seconds + 60):
            output, _ = await process.communicate()
    except TimeoutError:
        raise BenchmarkError("requests at a fixed pace do not end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return dict(json.loads(output))
