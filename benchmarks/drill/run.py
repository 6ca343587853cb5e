"""Runs the faults on a site, one after the other, and shows the progress."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..progress import Progress
from .faults import Fault, Times
from .judging import Marks, Row, tally
from .report import Drill
from .site import Site, Size
from .timeline import bins

# Seconds for HAProxy's log and the visitors' last events to arrive.
_SETTLE = 0.5
_TELL_INTERVAL = 10.0  # where it is no terminal


async def drill(
    backend: str, delivery: str, faults: Sequence[Fault], times: Times, size: Size, progress: Progress, logs: Path
) -> Drill:
    """Run `faults` on a new site, as far as the store can have them; what hubs and Traefiks wrote goes into `logs`.

    Raises BenchmarkError.
    """
    with tempfile.TemporaryDirectory(prefix="kvproxy-drill-") as name:
        progress.note(f"{backend}: starting")
        try:
            has_disk = any(fault.needs_disk for fault in faults)
            async with Site(backend, delivery, size, Path(name), has_disk=has_disk) as site:
                return await _drill(site, faults, times, progress)
        finally:
            _keep_logs(Path(name), logs)


async def _drill(site: Site, faults: Sequence[Fault], times: Times, progress: Progress) -> Drill:
    backend, began = site.backend, time.monotonic()
    rows = []
    for fault in faults:
        if (
            (fault.needs_processes and not site.store.members)
            or (fault.needs_disk and not site.disk)
            or (fault.needs_leader and len(site.store.members) < 2)
            or (fault.needs_agents and site.delivery != "agent")
        ):
            progress.skip(1)
            continue
        progress.step(f"{backend}: {fault.title}")
        rows.append(await _row(site, fault, times, progress))
        for missed in rows[-1].missed:
            progress.say(f"{backend}: {fault.title}: {missed}")
        if (rows[-1].lost or rows[-1].wrong) and not await site.mend():
            progress.say(f"{backend}: the damage of '{fault.title}' was not repaired; the next rows suffer from it")
        site.changes.resume()
    events = [*site.visitors.events, *site.changes.events]
    return Drill(
        backend, site.delivery, site.size, began, rows, bins(events, site.changes.done, began, time.monotonic())
    )


def _keep_logs(directory: Path, logs: Path) -> None:
    shutil.rmtree(logs, ignore_errors=True)  # logs of another run would not match this one
    logs.mkdir(parents=True)
    for pattern in ("hub-*.log", "traefik-*.log", "agent-*.log"):
        for log in directory.rglob(pattern):
            shutil.copy(log, logs)


async def _row(site: Site, fault: Fault, times: Times, progress: Progress) -> Row:
    """Run `fault`, and return its row. Afterwards, route changes pause until they are resumed."""
    marks = Marks()
    row = Row(fault.name, fault.title, time.monotonic(), 0.0, marks)
    telling = asyncio.create_task(_tell(site, fault, row, progress))
    try:
        await asyncio.sleep(times.quiet)
        await fault.do(site, marks, times)
        if marks.fault is not None:
            await asyncio.sleep(times.after)
        await site.changes.pause()
        found = await site.sweep()
        site.visitors.check()
        await asyncio.sleep(_SETTLE)
    finally:
        telling.cancel()
    row.ended = time.monotonic()
    sessions = site.balancer.sessions()
    to_clock = time.time() - time.monotonic()
    tally(
        row,
        [*site.visitors.events, *site.changes.events],
        site.changes.done,
        found,
        lambda port, when: sessions.server(port, when + to_clock),
        fault.bound_with(site.delivery),
    )
    return row


async def _tell(site: Site, fault: Fault, row: Row, progress: Progress) -> None:
    while True:
        await asyncio.sleep(1 if sys.stderr.isatty() else _TELL_INTERVAL)
        second = [event for event in site.visitors.events[-2000:] if event.ended > time.monotonic() - 1]
        failed = sum(
            event.outcome != "ok" and event.kind != "hub" and event.ended >= row.began for event in site.visitors.events
        )
        waiting = sum(change.returned is None and not change.error for change in site.changes.done[-200:])
        progress.note(
            f"{site.backend}: {fault.title}: {len(second)} requests/s, {failed} failed, "
            f"{site.visitors.websockets} websockets, {waiting} changes under way"
        )
