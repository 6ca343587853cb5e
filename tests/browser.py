"""A real browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright, expect

from servers.programs import find
from tests.hub import processes_of, until

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
#: The first start of a page takes a while on a busy machine.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


@asynccontextmanager
async def browser(home: Path) -> AsyncIterator[Browser]:
    """Chromium. What it writes, it writes below `home`, and it must leave no process behind."""
    home.mkdir()
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=find("chromium"), args=_ARGUMENTS, env={**os.environ, "HOME": str(home)}
        )
        try:
            yield chromium
        finally:
            await chromium.close()
    await until(lambda: not processes_of(home), "the browser left processes behind")
