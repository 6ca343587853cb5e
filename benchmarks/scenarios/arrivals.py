"""Users who come one after the other: each gets a route, and then opens a websocket that stays open.

What Traefik keeps for each of them is its memory at the end. Ours have Traefik's metrics on, with all labels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp

from ..errors import BenchmarkError
from ..field import Field, Job
from ..lab import Lab
from ..routes import routespec, user_route
from ..site import Site

NAME = "arrivals"

# Of one, and of all of them.
_TIMEOUT, _WHOLE_TIMEOUT = 60.0, 300.0


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    users: int
    #: Where each change takes seconds.
    few_users: int


SCALES = {
    "tiny": Settings((1,), 2, 2),
    "quick": Settings((1000,), 100, 10),
    "default": Settings((10000,), 1000, 10),
    "full": Settings((1000, 10000), 1000, 200),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    for size in sizes or settings.sizes:
        for variant in [*field.with_metrics, *field.of("chp")]:
            users = settings.few_users if variant.is_slow else settings.users
            seconds = users * (size / 5000 if variant.is_slow else 0.015)
            yield Job(NAME, variant, size, size, 1, seconds + 2, users)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    await site.settle()
    before = site.proxy_usage().memory
    names = [f"arrival{number}" for number in range(job.number)]
    try:
        async with asyncio.timeout(_WHOLE_TIMEOUT), AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            for name in names:
                spec, target, data = user_route(name, lab.origin.echo_target)
                await site.call("add", timeout=_TIMEOUT, routespec=spec, target=target, data=data)
                await stack.enter_async_context(session.ws_connect(f"{site.url}{spec}", compress=0))
            await site.settle()
            after = site.proxy_usage().memory
            lab.note(job, f"{job.number}.open.memory", after)
            lab.note(job, f"{job.number}.each.memory", (after - before) / job.number)
            lab.note(job, f"{job.number}.hub-part.memory", site.hub_usage().memory)
    except (TimeoutError, OSError, aiohttp.ClientError) as error:
        raise BenchmarkError(f"websockets failed: {error!r}") from error
    finally:
        await site.call("many", timeout=_WHOLE_TIMEOUT, add=[], delete=[routespec(name) for name in names])
