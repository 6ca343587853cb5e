"""Visitors, in a process of their own: ``python -m benchmarks.drill.load``.

Reads one line of JSON, what to visit, and then prints what happened, some events a line, until its input ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from .book import path
from .client import Answer, Broken, Connection
from .events import HUB, Event, judged
from .visits import Visits, at_rate, words

_TIMEOUT = 10.0
_MOST_AT_ONCE = 64
_MOST_AT_HUB = 8  # a hub that hangs must not keep visitors from the users' servers
_EVERY_HUB = 20  # one request in so many is for the hub
_ECHO_INTERVAL, _AGAIN_AFTER = 0.5, 1.0


class Load:
    """Visitors of `users`, each with the port of the server, at `port`."""

    def __init__(self, port: int, users: dict[str, str], rate: float, websockets: int, downloads: int) -> None:
        self._port = port
        self._users = list(users.items())
        self._rate = rate
        self._websockets, self._downloads = websockets, downloads
        self._visits = Visits(port, timeout=_TIMEOUT)
        self._gate, self._hub_gate = asyncio.Semaphore(_MOST_AT_ONCE), asyncio.Semaphore(_MOST_AT_HUB)

    async def run(self) -> None:
        users = itertools.cycle(self._users)
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._visits.report())
            for _ in range(self._websockets):
                group.create_task(self._chat(session, *next(users)))
            for _ in range(self._downloads):
                group.create_task(self._download(*next(users)))
            await self._requests(group)

    async def _requests(self, group: asyncio.TaskGroup) -> None:
        async for number in at_rate(self._rate):
            is_kept = bool(number % 2)
            if number % _EVERY_HUB == 0 and not self._hub_gate.locked():
                await self._hub_gate.acquire()
                group.create_task(self._request("hub", "/hub/", HUB, self._hub_gate, is_kept))
            else:
                await self._gate.acquire()
                name, port = random.choice(self._users)
                group.create_task(self._request("request", path(name), port, self._gate, is_kept))

    async def _request(self, kind: str, place: str, expected: str, gate: asyncio.Semaphore, is_kept: bool) -> None:
        def judge(answer: Answer) -> tuple[str, str]:
            return judged(expected, answer.status, answer.body)

        try:
            await self._visits.request(kind, place, judge, is_kept=is_kept)
        finally:
            gate.release()

    async def _download(self, name: str, _: str) -> None:
        while True:
            started, connection = time.monotonic(), None
            try:
                async with asyncio.timeout(_TIMEOUT):
                    connection = await Connection.open(self._port)
                answer = await connection.get(f"{path(name)}slow")
                outcome, detail = ("ok", "") if answer.status == 200 else ("failed", f"status {answer.status}")
            except (Broken, OSError, TimeoutError) as error:
                outcome, detail = "failed", words(error)
            if connection:
                connection.close()
            self._visits.note(
                Event("download", started, time.monotonic(), outcome, connection.port if connection else 0, detail)
            )
            if outcome != "ok":
                await asyncio.sleep(_AGAIN_AFTER)

    async def _chat(self, session: aiohttp.ClientSession, name: str, expected: str) -> None:
        url = f"http://127.0.0.1:{self._port}{path(name)}ws"
        await self._visits.websocket(session, url, lambda websocket: self._echoes(websocket, expected), compress=0)

    async def _echoes(self, websocket: aiohttp.ClientWebSocketResponse, expected: str) -> tuple[str, str]:
        """Talk until it ends; return how it ended."""
        for number in itertools.count():
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await websocket.send_str(str(number))
                    message = await websocket.receive()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                return "failed", words(error)
            if message.type != aiohttp.WSMsgType.TEXT:
                return "failed", f"{message.type.name} {message.data}"
            if message.data != f"{expected}: {number}":
                return "wrong", f"the echo is {message.data!r}, not of {expected}"
            await asyncio.sleep(_ECHO_INTERVAL)
        raise AssertionError("unreachable")


async def main(load: Callable[..., Any]) -> None:
    """Run what `load` makes of the first line of the input, until the input ends."""
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    what: dict[str, Any] = json.loads(await reader.readline())
    running = asyncio.create_task(load(**what).run())
    ending = asyncio.create_task(reader.read())
    await asyncio.wait([running, ending], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()


if __name__ == "__main__":
    asyncio.run(main(Load))
