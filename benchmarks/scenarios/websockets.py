"""Echo round trips over 100 busy websockets, while 1,000 are idle."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp

from ..errors import BenchmarkError
from ..field import Field, Job
from ..lab import Lab
from ..routes import ECHO_USER, user_route
from ..site import Site

NAME = "websockets"

_MESSAGE = "x" * 64
_CONNECTING = 50
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    sizes: tuple[int, ...]
    idle: int
    busy: int
    seconds: float
    rounds: int


SCALES = {
    "tiny": Settings((1,), 10, 2, 0.5, 1),
    "quick": Settings((1000,), 200, 100, 1.0, 1),
    "default": Settings((1000,), 1000, 100, 3.0, 1),
    "full": Settings((10, 1000, 10000), 1000, 100, 20.0, 3),
}


def jobs(field: Field, settings: Settings, sizes: Sequence[int] | None) -> Iterator[Job]:
    for size in sizes or settings.sizes:
        others = [*field.one(field.of("peer")), *field.of("chp")]
        for variant in [*field.one(field.own), *field.options, *others]:
            yield Job(NAME, variant, size, size, settings.rounds, settings.seconds + settings.idle / 400)


async def measure(lab: Lab, job: Job, settings: Settings, site: Site, round_number: int) -> None:
    await site.settle()
    spec, target, data = user_route(ECHO_USER, lab.origin.echo_target)
    await site.call("add", timeout=_TIMEOUT, routespec=spec, target=target, data=data)
    url = f"{site.url}{spec}"
    try:
        async with asyncio.timeout(_TIMEOUT + settings.seconds), AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            memory, started = site.proxy_usage().memory, time.monotonic()
            gate = asyncio.Semaphore(_CONNECTING)
            await asyncio.gather(*(_connect(session, stack, gate, url) for _ in range(settings.idle)))
            lab.note(job, "idle.connect", (time.monotonic() - started) / settings.idle)
            lab.note(job, "idle.memory", (site.proxy_usage().memory - memory) / settings.idle)
            busy = await asyncio.gather(*(_connect(session, stack, gate, url) for _ in range(settings.busy)))
            started = time.monotonic()
            trips = await asyncio.gather(*(_talk(websocket, started + settings.seconds) for websocket in busy))
            elapsed = time.monotonic() - started
    except (TimeoutError, OSError, aiohttp.ClientError) as error:
        raise BenchmarkError(f"websockets failed: {error!r}") from error
    finally:
        await site.call("delete", timeout=_TIMEOUT, routespec=spec)
    times = [seconds for of_one in trips for seconds in of_one]
    cuts = statistics.quantiles(times, n=100)
    lab.note(job, "busy.rate", len(times) / elapsed)
    lab.note(job, "busy.p50", cuts[49])
    lab.note(job, "busy.p99", cuts[98])


async def _connect(
    session: aiohttp.ClientSession, stack: AsyncExitStack, gate: asyncio.Semaphore, url: str
) -> aiohttp.ClientWebSocketResponse:
    async with gate:
        return await stack.enter_async_context(session.ws_connect(url, compress=0))


async def _talk(websocket: aiohttp.ClientWebSocketResponse, until: float) -> list[float]:
    """The times of echoes, one after the other, until the clock shows `until`."""
    times = []
    while (sent := time.monotonic()) < until:
        await websocket.send_str(_MESSAGE)
        if await websocket.receive_str() != _MESSAGE:
            raise BenchmarkError("an echo differs from the message")
        times.append(time.monotonic() - sent)
    return times
