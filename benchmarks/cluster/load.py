"""Visitors of real single-user servers, in a process of their own: ``python -m benchmarks.cluster.load``.

As :mod:`benchmarks.drill.load`, but each user's file must be answered, and each websocket is a kernel's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import uuid

import aiohttp

from ..drill.book import path
from ..drill.client import Answer
from ..drill.load import main
from ..drill.visits import Visits, at_rate, words

#: A file of each user, with the user's name.
FILE = "who.txt"
_TIMEOUT = 15.0
#: Of our side of a connection: the kernel gives out others, and no server has one of these.
_PORTS = range(11_000, 15_000)
_EVERY_HUB = 20  # one request in so many is for the hub
_ASK_INTERVAL = 1.0


class Load:
    """Visitors of `users`, each with a kernel of theirs, at `host` (port 80), with the hub's `token`."""

    def __init__(self, host: str, users: dict[str, str], token: str, rate: float, websockets: int) -> None:
        self._host = host
        self._users = users
        self._token = token
        self._rate = rate
        self._websockets = websockets
        self._visits = Visits(80, host, timeout=_TIMEOUT, token=token)
        # Chosen by us, so that they are known also where a pod refuses the connection.
        self._ports = itertools.cycle(_PORTS)

    async def run(self) -> None:
        users = itertools.cycle(self._users.items())
        headers = {"Authorization": f"token {self._token}"}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._visits.report())
            for _ in range(self._websockets):
                group.create_task(self._work(session, *next(users)))
            await self._requests(group)

    async def _requests(self, group: asyncio.TaskGroup) -> None:
        async for number in at_rate(self._rate):
            is_kept = bool(number % 2)
            if number % _EVERY_HUB == 0:
                group.create_task(self._request("hub", "/hub/api/", "", is_kept))
            else:
                name = random.choice(list(self._users))
                group.create_task(self._request("request", f"{path(name)}files/{FILE}", name, is_kept))

    async def _request(self, kind: str, place: str, expected: str, is_kept: bool) -> None:
        def judge(answer: Answer) -> tuple[str, str]:
            if answer.status != 200:
                return "failed", f"{place}: status {answer.status} {answer.body[:200]}"
            if expected and answer.body != expected:
                return "wrong", f"{place}: {answer.body[:100]!r}"
            return "ok", ""

        await self._visits.request(kind, place, judge, is_kept=is_kept, own_port=next(self._ports))

    async def _work(self, session: aiohttp.ClientSession, name: str, kernel: str) -> None:
        """Ask the kernel again and again, over one websocket for as long as it lasts."""
        url = f"http://{self._host}{path(name)}api/kernels/{kernel}/channels?session_id={uuid.uuid4().hex}"
        await self._visits.websocket(session, url, self._answers)

    async def _answers(self, websocket: aiohttp.ClientWebSocketResponse) -> tuple[str, str]:
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
                            return "failed", f"{answer.type.name} {answer.data}"
                        if question.encode() in _bytes(answer.data) and b"kernel_info_reply" in _bytes(answer.data):
                            break
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                return "failed", words(error)
            await asyncio.sleep(_ASK_INTERVAL)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


if __name__ == "__main__":
    asyncio.run(main(Load))
