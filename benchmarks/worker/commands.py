"""What a worker can be told to do."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

from ..routes import standing
from .block import BlockMeter
from .make import make_part
from .parts import HubPart


class Commands:
    """One hub part, from the command `make` to the command `stop`."""

    def __init__(self) -> None:
        self._part: HubPart | None = None
        self._meter = BlockMeter()

    @property
    def part(self) -> HubPart:
        if self._part is None:
            raise RuntimeError("There is no proxy yet: send make first.")
        return self._part

    async def make(self, **spec: Any) -> None:
        self._part = make_part(**spec)

    async def open(self, count: int, targets: dict[str, str]) -> None:
        """Start the proxy with the standing routes, in whatever way is the fastest."""
        await self.part.open(standing(count, targets))

    async def boot(self, count: int, targets: dict[str, str]) -> int:
        """Start as JupyterHub does: start, ask for all routes, add those that are missing, all at once."""
        await self.part.start()
        present = await self.part.proxy.get_all_routes()
        missing = [route for route in standing(count, targets) if route[0] not in present]
        await asyncio.gather(*(self.part.proxy.add_route(*route) for route in missing))
        return len(missing)

    async def add(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        await self.part.proxy.add_route(routespec, target, data)

    async def delete(self, routespec: str) -> None:
        await self.part.proxy.delete_route(routespec)

    async def many(self, add: list[list[Any]], delete: list[str]) -> int:
        """All at once; returns how many failed."""
        proxy = self.part.proxy
        calls = [*(proxy.add_route(*route) for route in add), *(proxy.delete_route(spec) for spec in delete)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in errors[:3]:
            traceback.print_exception(error)
        return len(errors)

    async def get_all(self) -> int:
        return len(await self.part.proxy.get_all_routes())

    async def get(self, routespec: str) -> bool:
        return await self.part.proxy.get_route(routespec) is not None

    async def meter_start(self) -> None:
        self._meter.start()

    async def meter_stop(self) -> float:
        """The longest time, in seconds, that the event loop was blocked since `meter_start`."""
        return await self._meter.stop()

    async def snapshot(self) -> None:
        await self.part.snapshot()

    async def remove(self) -> None:
        await self.part.remove()

    async def stop(self) -> None:
        part, self._part = self._part, None
        if part:
            await part.stop()
