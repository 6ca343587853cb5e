"""Runs the page until it is told to end, or the hub that started it is gone."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from .lookout import Lookout
from .web import Trace, serving

_INTERVAL = 1.0


async def run_page(lookout: Lookout, trace: Trace, log: Any) -> None:
    """Raises :class:`~jhub_kvproxy.page.web.PageError`."""
    parent = os.getppid()
    async with serving(lookout, trace, log):
        looking = asyncio.create_task(lookout.run())
        try:
            # A hub that was killed leaves its services behind, and the next hub starts this one again, at its port.
            while not looking.done() and os.getppid() == parent:
                await asyncio.wait([looking], timeout=_INTERVAL)
        finally:
            looking.cancel()
            await asyncio.wait([looking])
        if not looking.cancelled():
            looking.result()
    log.info("The hub that started the page is gone.")
