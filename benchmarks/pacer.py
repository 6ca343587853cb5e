"""Asks for paths at a fixed pace: ``python -m benchmarks.pacer PORT RATE SECONDS PATH...``

As independent visitors do: a request is sent when it is due, whether or not those before it are answered, and
counts from when it was due. In a process of its own, so that what else the benchmark does delays nothing. Prints
what it measured as JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from .probe import Probe


async def pace(port: int, rate: float, seconds: float, paths: Sequence[str]) -> dict[str, Any]:
    """Latencies in seconds of `rate` requests a second to `paths` in turn, over kept connections."""
    idle: list[Probe] = []

    async def ask(path: str, due: float) -> tuple[float, bool]:
        probe = idle.pop() if idle else Probe(port)
        (name,) = await probe.who([path])
        idle.append(probe)
        return time.monotonic() - due, bool(name)

    started = time.monotonic()
    requests = []
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            requests.append(group.create_task(ask(paths[number % len(paths)], due)))
    for probe in idle:
        probe.close()
    latencies = [request.result()[0] for request in requests]
    cuts = statistics.quantiles(latencies, n=100)
    errors = sum(not request.result()[1] for request in requests)
    return {"p50": cuts[49], "p99": cuts[98], "max": max(latencies), "count": len(latencies), "errors": errors}


if __name__ == "__main__":
    port, rate, seconds, *paths = sys.argv[1:]
    print(json.dumps(asyncio.run(pace(int(port), float(rate), float(seconds), paths))))
