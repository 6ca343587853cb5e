"""What visitors do, whomever they visit: requests at a rate, websockets that begin anew, and a report of both."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp

from .client import Answer, Broken, Connection
from .events import Event

_MOST_KEPT = 8
_AGAIN_AFTER, _REPORT_INTERVAL = 1.0, 0.2


class Visits:
    """Visits at `host` and `port`, each with `timeout` seconds for what it waits for, by who has the `token`."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, timeout: float, token: str = "") -> None:
        self._port, self._host = port, host
        self._timeout = timeout
        self._token = token
        self._events: list[Event] = []
        self._open = 0
        self._kept: list[Connection] = []

    def note(self, event: Event) -> None:
        self._events.append(event)

    async def report(self) -> None:
        """Print what happened, again and again."""
        while True:
            await asyncio.sleep(_REPORT_INTERVAL)
            events, self._events = self._events, []
            print(json.dumps({"websockets": self._open, "events": events}), flush=True)

    async def request(
        self, kind: str, place: str, judge: Callable[[Answer], tuple[str, str]], *, is_kept: bool, own_port: int = 0
    ) -> None:
        """Ask for `place`, on a connection of an earlier request if `is_kept` and there is one.

        `judge` says what comes of the answer. A new connection is from `own_port`, or any.
        """
        started, connection = time.monotonic(), None
        try:
            async with asyncio.timeout(self._timeout):
                while is_kept and self._kept and not connection:
                    found = self._kept.pop()
                    connection = found if found.is_open else None
                connection = connection or await Connection.open(self._port, self._host, own_port=own_port)
                answer = await connection.get(place, self._token)
            outcome, detail = judge(answer)
            if is_kept and connection.is_open and len(self._kept) < _MOST_KEPT:
                self._kept.append(connection)
            else:
                connection.close()
        except (Broken, OSError, TimeoutError) as error:
            outcome, detail = "failed", words(error)
            if connection:
                connection.close()
        port = connection.port if connection else own_port
        self.note(Event(kind, started, time.monotonic(), outcome, port, detail))

    async def websocket(
        self,
        session: aiohttp.ClientSession,
        url: str,
        talk: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[tuple[str, str]]],
        **options: Any,
    ) -> None:
        """Open a websocket, and another whenever it has ended. `talk` uses it, and says how it ended."""
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout):
                    websocket = await session.ws_connect(url, autoclose=False, **options)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # Not a dropped websocket: it was never open.
                self.note(Event("request", started, time.monotonic(), "failed", 0, f"websocket: {words(error)}"))
                await asyncio.sleep(_AGAIN_AFTER)
                continue
            port = websocket.get_extra_info("sockname")[1]
            self._open += 1
            outcome, detail = await talk(websocket)
            self._open -= 1
            self.note(Event("websocket", started, time.monotonic(), outcome, port, detail))
            await websocket.close()
            await asyncio.sleep(_AGAIN_AFTER)


async def at_rate(rate: float) -> AsyncIterator[int]:
    """0, 1, ..., so many a second."""
    due = time.monotonic()
    for number in itertools.count():
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield number


def words(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()
