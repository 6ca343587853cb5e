"""Watches of drivers, for tests that wait for what they tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

#: Seconds that a test waits for what must come.
PATIENCE = 60.0


@asynccontextmanager
async def watching(backend: Any) -> AsyncIterator[Any]:
    """A watch of `backend` that has begun."""
    async with aclosing(backend.watch()) as watch:
        assert await told(watch) is None
        yield watch


async def told(watch: Any) -> Any:
    """What `watch` yields next."""
    async with asyncio.timeout(PATIENCE):
        return await anext(watch)
