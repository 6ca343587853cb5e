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

from ..changes import Churn
from ..errors import BenchmarkError
from ..field import Field, Job
from ..lab import Lab
from ..processes import tied
from ..routes import routespec, some, user
from ..site import Site
from ..tools import ROOT

NAME = "churn"

_REQUESTS_A_SECOND = 200
_PATHS = 50
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    seconds: float
    quiet_seconds: float
    rates: tuple[int, ...]
    #: The rate at which all of ours take part, and CHP; at the others one does.
    main_rate: int


SCALES = {
    "tiny": Settings((1,), 1.0, 0.5, (20,), 20),
    "quick": Settings((1000,), 4.0, 2.0, (20,), 0),
    "default": Settings((1000,), 15.0, 6.0, (20, 5, 50), 20),
    "full": Settings((1000, 5000), 60.0, 30.0, (20, 5, 50), 20),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    for size in sizes or settings.sizes:
        for rate in settings.rates:
            is_main = rate == settings.main_rate
            for variant in [*field.own, *field.of("chp")] if is_main else field.one(field.own):
                yield Job(NAME, variant, size, size, 1, settings.quiet_seconds + settings.seconds + 2, rate)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    await site.settle()
    quiet = await _requests(site, settings.quiet_seconds)
    await site.call("meter_start", timeout=10)
    proxy, hub, started = site.proxy_usage().cpu, site.hub_usage().cpu, time.monotonic()
    churn = Churn(site, f"churn{job.number}x")
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
