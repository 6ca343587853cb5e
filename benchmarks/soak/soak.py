"""One site for a long time: faults, samples, and what is found."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import defaultdict
from contextlib import suppress

from jhub_kvproxy import procfs
from servers.process import Process

from ..drill.hubs import HubProcess
from ..drill.site import Site
from ..processes import usage
from .judge import MEMORY, STORES_MEMORY, Sample, growth, wrongs

_SAMPLE_INTERVAL, _TELL_INTERVAL = 1.0, 30.0
_AWAY = 3.0
_MOST_KEPT = 5000  # samples of a process


class Soak:
    """Breaks parts of `site` at random, `pause` seconds between two, until anything is :attr:`found`."""

    def __init__(self, site: Site, choice: random.Random, pause: float) -> None:
        #: What must not be, in words.
        self.found: list[str] = []
        #: By process: a name with its id, since one that is started again begins anew.
        self.samples: dict[str, list[Sample]] = defaultdict(list)
        self.requests = self.changes = 0
        #: What was done, and when it began and ended (monotonic clock).
        self.faults: list[tuple[str, float, float]] = []
        self.began = self.ended = time.monotonic()
        self._site = site
        self._choice = choice
        self._pause = pause

    async def run(self, seconds: float) -> None:
        self.began = time.monotonic()
        deadline = self.began + seconds
        watching = asyncio.create_task(self._watch())
        try:
            while not self.found and time.monotonic() < deadline:
                await asyncio.wait([watching], timeout=min(self._pause, max(deadline - time.monotonic(), 0)))
                if watching.done():
                    watching.result()
                if not self.found and time.monotonic() < deadline:
                    await self._break()
            await asyncio.sleep(1)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self.ended = time.monotonic()
        await self._sweep()
        self._judge()
        for name, samples in self.samples.items():
            is_stores = name.partition(" ")[0] in {member.name for member in self._site.store.members}
            bound = STORES_MEMORY if is_stores else MEMORY
            self.found += [f"{name}: {words}" for words in growth(samples, bound)]

    async def _break(self) -> None:
        site, kinds = self._site, ["traefik killed", "traefik frozen", "hub killed", "hub frozen"]
        if site.store.members:
            kinds += ["store killed", "store frozen"]
        kind, away = self._choice.choice(kinds), self._choice.uniform(1, _AWAY)
        began = time.monotonic()
        place = len(self.faults)
        # It has not ended yet.
        self.faults.append((kind, began, began + 3600))
        is_traefik = kind.startswith("traefik")
        parts: list[Process | HubProcess] = list(site.store.members)
        if is_traefik:  # one of them is never killed: it lives as long as the soak, and shows what grows
            killed = site.replicas[0]
            parts = [(killed if kind.endswith("killed") else self._choice.choice(site.replicas)).process]
        elif kind == "hub frozen":
            parts = [site.hub]
        if kind == "hub killed":
            await site.hub.kill()
            await site.boot(await site.same_hub())
        elif kind.endswith("frozen"):
            for part in parts:
                part.freeze()
            await asyncio.sleep(away)
            for part in parts:
                part.thaw()
        else:
            processes = [part for part in parts if isinstance(part, Process)]
            for process in processes:
                process.kill()
            await asyncio.sleep(away)
            for process in processes:
                process.launch()
            if not is_traefik:
                await asyncio.to_thread(site.store.wait)
        self.faults[place] = (kind, began, time.monotonic())

    async def _watch(self) -> None:
        told = time.monotonic()
        while not self.found:
            self._sample()
            self._judge()
            if time.monotonic() - told > _TELL_INTERVAL:
                told = time.monotonic()
                kind = self.faults[-1][0] if self.faults else "none"
                print(
                    f"{told - self.began:6.0f} s  {self.requests} requests, {len(self.faults)} faults, last: {kind}, "
                    f"{self._site.visitors.websockets} websockets",
                    file=sys.stderr,
                    flush=True,
                )
            await asyncio.sleep(_SAMPLE_INTERVAL)

    def _sample(self) -> None:
        site = self._site
        servers = [*(replica.process for replica in site.replicas), *site.store.members]
        parts = [(one.name, one.pid, one.pids) for one in servers]
        for name, pid, pids in [*parts, (site.hub.name, site.hub.pid, [site.hub.pid])]:
            with suppress(OSError):  # it has been killed
                files = sum(map(procfs.descriptor_count, pids))
                kept = self.samples[f"{name} ({pid})"]
                kept.append(Sample(time.monotonic(), usage(pids).memory, files))
                if len(kept) > _MOST_KEPT:
                    del kept[::2]

    def _judge(self) -> None:
        """Look at what happened since the last time, and forget it, so that days of it take no memory."""
        self._site.visitors.check()
        for source in (self._site.visitors, self._site.changes):
            events, source.events = source.events, []
            self.requests += len(events)
            self.found += wrongs(events, [(began, ended) for _, began, ended in self.faults])
        done = self._site.changes.done
        self._site.changes.done = [change for change in done if change.returned is None and not change.error]
        self.changes += len(done) - len(self._site.changes.done)

    async def _sweep(self) -> None:
        """After everything has been back for a while, each route must lead where it should."""
        if self.found:
            return
        await asyncio.sleep(5)
        await self._site.changes.pause()
        found = await self._site.sweep()
        self.found += [*found.lost, *found.wrong]
