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
from .client import Broken, Connection
from .events import HUB, Event, judged

_TIMEOUT = 10.0
_MOST_AT_ONCE, _MOST_KEPT = 64, 8
_MOST_AT_HUB = 8  # a hub that hangs must not keep visitors from the users' servers
_EVERY_HUB = 20  # one request in so many is for the hub
_ECHO_INTERVAL, _AGAIN_AFTER, _REPORT_INTERVAL = 0.5, 1.0, 0.2


class Load:
    """Visitors of `users`, each with the port of the server, at `port`."""

    def __init__(self, port: int, users: dict[str, str], rate: float, websockets: int, downloads: int) -> None:
        self._port = port
        self._users = list(users.items())
        self._rate = rate
        self._websockets, self._downloads = websockets, downloads
        self._events: list[Event] = []
        self._open = 0
        self._kept: list[Connection] = []
        self._gate, self._hub_gate = asyncio.Semaphore(_MOST_AT_ONCE), asyncio.Semaphore(_MOST_AT_HUB)

    async def run(self) -> None:
        users = itertools.cycle(self._users)
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._report())
            for _ in range(self._websockets):
                group.create_task(self._chat(session, *next(users)))
            for _ in range(self._downloads):
                group.create_task(self._download(*next(users)))
            await self._requests(group)

    async def _requests(self, group: asyncio.TaskGroup) -> None:
        due = time.monotonic()
        for number in itertools.count():
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            is_kept = bool(number % 2)
            if number % _EVERY_HUB == 0 and not self._hub_gate.locked():
                await self._hub_gate.acquire()
                group.create_task(self._request("hub", "/hub/", HUB, self._hub_gate, is_kept))
            else:
                await self._gate.acquire()
                name, port = random.choice(self._users)
                group.create_task(self._request("request", path(name), port, self._gate, is_kept))

    async def _request(self, kind: str, place: str, expected: str, gate: asyncio.Semaphore, is_kept: bool) -> None:
        started, connection = time.monotonic(), None
        try:
            async with asyncio.timeout(_TIMEOUT):
                while is_kept and self._kept and not connection:
                    found = self._kept.pop()
                    connection = found if found.is_open else None
                connection = connection or await Connection.open(self._port)
                answer = await connection.get(place)
            outcome, detail = judged(expected, answer.status, answer.body)
            if is_kept and connection.is_open and len(self._kept) < _MOST_KEPT:
                self._kept.append(connection)
            else:
                connection.close()
        except (Broken, OSError, TimeoutError) as error:
            outcome, detail = "failed", _words(error)
            if connection:
                connection.close()
        finally:
            gate.release()
        port = connection.port if connection else 0
        self._note(Event(kind, started, time.monotonic(), outcome, port, detail))

    async def _download(self, name: str, _: str) -> None:
        while True:
            started, connection = time.monotonic(), None
            try:
                async with asyncio.timeout(_TIMEOUT):
                    connection = await Connection.open(self._port)
                answer = await connection.get(f"{path(name)}slow")
                outcome, detail = ("ok", "") if answer.status == 200 else ("failed", f"status {answer.status}")
            except (Broken, OSError, TimeoutError) as error:
                outcome, detail = "failed", _words(error)
            if connection:
                connection.close()
            self._note(
                Event("download", started, time.monotonic(), outcome, connection.port if connection else 0, detail)
            )
            if outcome != "ok":
                await asyncio.sleep(_AGAIN_AFTER)

    async def _chat(self, session: aiohttp.ClientSession, name: str, expected: str) -> None:
        url = f"http://127.0.0.1:{self._port}{path(name)}ws"
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    websocket = await session.ws_connect(url, compress=0, autoclose=False)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # Not a dropped websocket: it was never open.
                self._note(Event("request", started, time.monotonic(), "failed", 0, f"websocket: {_words(error)}"))
                await asyncio.sleep(_AGAIN_AFTER)
                continue
            port = websocket.get_extra_info("sockname")[1]
            self._open += 1
            outcome, detail = await self._echoes(websocket, expected)
            self._open -= 1
            self._note(Event("websocket", started, time.monotonic(), outcome, port, detail))
            await websocket.close()
            await asyncio.sleep(_AGAIN_AFTER)

    async def _echoes(self, websocket: aiohttp.ClientWebSocketResponse, expected: str) -> tuple[str, str]:
        """Talk until it ends; return how it ended."""
        for number in itertools.count():
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await websocket.send_str(str(number))
                    message = await websocket.receive()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                return "failed", _words(error)
            if message.type != aiohttp.WSMsgType.TEXT:
                return "failed", f"{message.type.name} {message.data}"
            if message.data != f"{expected}: {number}":
                return "wrong", f"the echo is {message.data!r}, not of {expected}"
            await asyncio.sleep(_ECHO_INTERVAL)
        raise AssertionError("unreachable")

    def _note(self, event: Event) -> None:
        self._events.append(event)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_INTERVAL)
            events, self._events = self._events, []
            print(json.dumps({"websockets": self._open, "events": events}), flush=True)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()


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
