"""Runs the faults on a site, one after the other, and shows the progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from ..drill.judging import Marks, Row, tally
from ..errors import BenchmarkError
from ..progress import Progress
from .faults import VICTIM, Fault, Killed
from .site import Site

_QUIET, _AFTER, _SETTLE = 3.0, 5.0, 1.0


async def run(site: Site, faults: Sequence[Fault], progress: Progress) -> AsyncIterator[Row]:
    """The row of each fault, as soon as it is known."""
    for fault in faults:
        progress.step(fault.title)
        row = await _row(site, fault)
        for missed in row.missed:
            progress.say(f"{fault.title}: missed: {missed}")
        for detail in row.details[:8] if row.missed else []:
            progress.say(f"    {detail}")
        progress.note(f"{fault.title}: {row.requests} requests, {row.failed} failed, {row.dropped} websockets dropped")
        yield row


async def _row(site: Site, fault: Fault) -> Row:
    marks, killed = Marks(), Killed()
    row = Row(fault.name, fault.title, time.monotonic(), 0.0, marks)
    await asyncio.sleep(_QUIET)
    try:
        await fault.do(site, marks, killed)
    except BenchmarkError as error:
        marks.missed.append(str(error))
    await asyncio.sleep(_AFTER)
    await site.try_new_server()
    found = await site.sweep()
    site.visitors.check()
    await asyncio.sleep(_SETTLE)
    row.ended = time.monotonic()
    connections = site.connections()
    to_clock = time.time() - time.monotonic()
    tally(
        row,
        site.visitors.events,
        site.changes,
        found,
        lambda port, when: VICTIM if connections.pod(port, when + to_clock) in killed.addresses else "",
        fault.bound,
    )
    return row
