"""Visitors who notice each wrong answer while routes change."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

from tests.hub import until
from tests.servers import Client

NAMES = [f"{word}{number}" for word in ("student", "stu", "s", "+", "Zoë@example.org") for number in range(12)]


def routespec(name):
    return f"/user/{name.replace('+', '%2B').replace('ë', '%C3%AB')}/"


@asynccontextmanager
async def visitors(site, served, hub):
    """Ask all the time for the routes in `served`, each by its server's name, and for what only the hub answers."""
    wrong, asked, client = [], 0, Client(site.port)

    async def visit():
        nonlocal asked
        rng = random.Random(1)
        while True:
            for name in [*rng.sample(sorted(served), min(3, len(served))), "nobody"]:
                got = await client.server(routespec(name))
                asked += 1
                if name == "nobody" or name in served:
                    wrong.extend([(name, got)] if got != served.get(name, hub) else [])

    visiting = asyncio.create_task(visit())
    try:
        yield
        so_far = asked
        await until(lambda: asked > so_far + 20 or visiting.done(), "nobody asks")
    finally:
        visiting.cancel()
        await asyncio.wait([visiting])
        await client.close()
    assert asked > 20
    assert not wrong, wrong[:5]
