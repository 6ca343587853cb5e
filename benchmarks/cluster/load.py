"""Visitors of real single-user servers, in a process of their own: ``python -m benchmarks.cluster.load``.

As :mod:`benchmarks.drill.load`, but each user's file must be answered, and each websocket is a kernel's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
import uuid

import aiohttp

from ..drill.book import path
from ..drill.client import Broken, Connection
from ..drill.events import Event
from ..drill.load import main

#: A file of each user, with the user's name.
FILE = "who.txt"
_TIMEOUT = 15.0
_MOST_KEPT = 8
#: Of our side of a connection: the kernel gives out others, and no server has one of these.
_PORTS = range(11_000, 15_000)
_EVERY_HUB = 20  # one request in so many is for the hub
_ASK_INTERVAL, _AGAIN_AFTER, _REPORT_INTERVAL = 1.0, 1.0, 0.2


class Load:
    """Visitors of `users`, each with a kernel of theirs, at `host` (port 80), with the hub's `token`."""

    def __init__(self, host: str, users: dict[str, str], token: str, rate: float, websockets: int) -> None:
        self._host = host
        self._users = users
        self._token = token
        self._rate = rate
        self._websockets = websockets
        self._events: list[Event] = []
        self._open = 0
        self._kept: list[Connection] = []
        # Chosen by us, so that they are known also where a pod refuses the connection.
        self._ports = itertools.cycle(_PORTS)

    async def run(self) -> None:
        users = itertools.cycle(self._users.items())
        headers = {"Authorization": f"token {self._token}"}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._report())
            for _ in range(self._websockets):
                group.create_task(self._work(session, *next(users)))
            await self._requests(group)

    async def _requests(self, group: asyncio.TaskGroup) -> None:
        due = time.monotonic()
        for number in itertools.count():
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            is_kept = bool(number % 2)
            if number % _EVERY_HUB == 0:
                group.create_task(self._request("hub", "/hub/api/", "", is_kept))
            else:
                name = random.choice(list(self._users))
                group.create_task(self._request("request", f"{path(name)}files/{FILE}", name, is_kept))

    async def _request(self, kind: str, place: str, expected: str, is_kept: bool) -> None:
        started, connection, port = time.monotonic(), None, next(self._ports)
        try:
            async with asyncio.timeout(_TIMEOUT):
                while is_kept and self._kept and not connection:
                    found = self._kept.pop()
                    connection = found if found.is_open else None
                connection = connection or await Connection.open(80, self._host, own_port=port)
                port = connection.port
                answer = await connection.get(place, self._token)
            outcome, detail = "ok", ""
            if answer.status != 200:
                outcome, detail = "failed", f"{place}: status {answer.status} {answer.body[:200]}"
            elif expected and answer.body != expected:
                outcome, detail = "wrong", f"{place}: {answer.body[:100]!r}"
            if is_kept and connection.is_open and len(self._kept) < _MOST_KEPT:
                self._kept.append(connection)
            else:
                connection.close()
        except (Broken, OSError, TimeoutError) as error:
            outcome, detail = "failed", _words(error)
            if connection:
                connection.close()
        self._note(Event(kind, started, time.monotonic(), outcome, port, detail))

    async def _work(self, session: aiohttp.ClientSession, name: str, kernel: str) -> None:
        """Ask the kernel again and again, over one websocket for as long as it lasts."""
        url = f"http://{self._host}{path(name)}api/kernels/{kernel}/channels?session_id={uuid.uuid4().hex}"
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    websocket = await session.ws_connect(url, autoclose=False)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                # Not a dropped websocket: it was never open.
                self._note(Event("request", started, time.monotonic(), "failed", 0, f"websocket: {_words(error)}"))
                await asyncio.sleep(_AGAIN_AFTER)
                continue
            port = websocket.get_extra_info("sockname")[1]
            self._open += 1
            detail = await self._answers(websocket)
            self._open -= 1
            self._note(Event("websocket", started, time.monotonic(), "failed", port, detail))
            await websocket.close()
            await asyncio.sleep(_AGAIN_AFTER)

    async def _answers(self, websocket: aiohttp.ClientWebSocketResponse) -> str:
        """Ask until it ends; return how it ended."""
        while True:
            question = uuid.uuid4().hex
            header = {
                "msg_id": question,
                "msg_type": "kernel_info_request",
                "username": "",
                "session": "",
                "version": "5.3",
            }
            message = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": {}}
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await websocket.send_str(json.dumps(message))
                    while True:
                        answer = await websocket.receive()
                        if answer.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                            return f"{answer.type.name} {answer.data}"
                        if question.encode() in _bytes(answer.data) and b"kernel_info_reply" in _bytes(answer.data):
                            break
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                return _words(error)
            await asyncio.sleep(_ASK_INTERVAL)

    def _note(self, event: Event) -> None:
        self._events.append(event)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_INTERVAL)
            events, self._events = self._events, []
            print(json.dumps({"websockets": self._open, "events": events}), flush=True)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _words(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()


if __name__ == "__main__":
    asyncio.run(main(Load))
