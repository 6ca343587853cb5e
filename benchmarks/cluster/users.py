"""Users of the hub, by its API through the public Service: their servers, files and kernels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Self

import aiohttp

from ..drill.book import path
from ..errors import BenchmarkError
from .load import FILE

_INTERVAL = 0.25
_CALL_TIMEOUT = 30.0


class Users:
    """What `token` may do at `url`, within ``async with``."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"token {token}"}

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_CALL_TIMEOUT)
        # A connection of its own for each request: the pod that it went to may be gone at the next.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def start_server(self, name: str) -> None:
        """Ask for the server of a user, who is new or not."""
        await self._ask("POST", f"/hub/api/users/{name}", accepted=(201, 409))
        await self._ask("POST", f"/hub/api/users/{name}/server", accepted=(201, 202, 400))

    async def stop_server(self, name: str) -> None:
        await self._ask("DELETE", f"/hub/api/users/{name}/server", accepted=(202, 204, 404))

    async def until_served(self, name: str, patience: float) -> float:
        """Wait until the user's server answers at its public path; returns when. Raises BenchmarkError."""
        why = f"the server of {name} is not served"
        return await self._until(f"{path(name)}api/status", lambda _: True, why, patience)

    async def until_gone(self, name: str, patience: float) -> None:
        """Wait until the hub knows no server of the user any more. Raises BenchmarkError."""

        def has_no_server(user: Any) -> bool:
            return not user.get("servers") and not user.get("pending")

        await self._until(f"/hub/api/users/{name}", has_no_server, f"the server of {name} has not ended", patience)

    async def until_hub_answers(self, patience: float) -> float:
        """Wait until the hub answers through the public Service; returns when. Raises BenchmarkError."""
        return await self._until("/hub/api/user", lambda _: True, "the hub is not served", patience)

    async def _until(self, place: str, is_right: Callable[[Any], bool], why: str, patience: float) -> float:
        """Wait for an answer that `is_right`; returns when. Raises BenchmarkError with `why`."""
        deadline = time.monotonic() + patience
        while True:
            status, answer = await self._try("GET", place)
            if status == 200 and is_right(answer):
                return time.monotonic()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{why} after {patience:g} s (last status: {status})")
            await asyncio.sleep(_INTERVAL)

    async def write_file(self, name: str) -> None:
        """Give the user the file that visitors ask for."""
        content = {"type": "file", "format": "text", "content": name}
        await self._ask("PUT", f"{path(name)}api/contents/{FILE}", content, accepted=(200, 201))

    async def start_kernel(self, name: str) -> str:
        """The id of a new kernel."""
        return str((await self._ask("POST", f"{path(name)}api/kernels", {}, accepted=(201,)))["id"])

    async def _ask(self, method: str, place: str, content: Any = None, *, accepted: tuple[int, ...]) -> Any:
        status, answer = await self._try(method, place, content)
        if status not in accepted:
            raise BenchmarkError(f"{method} {place}: status {status}: {answer}")
        return answer

    async def _try(self, method: str, place: str, content: Any = None) -> tuple[int, Any]:
        """Status and answer; status 0 if there is none."""
        try:
            async with self._session.request(method, self._url + place, json=content) as response:
                is_json = response.content_type == "application/json"
                return response.status, (await response.json() if is_json else await response.text())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return 0, f"{type(error).__name__} {error}"
