"""Runs the jobs: phase by phase, the variants of a phase beside each other, and measured in turn."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
import traceback
from collections.abc import Sequence
from typing import Any

from servers.errors import Unavailable

from .field import Job
from .lab import Lab
from .progress import Progress
from .scenarios import SCENARIOS
from .site import Site, opening_seconds
from .variants import Variant

# Two at a time: opening is work for all cores.
_OPENING = 2
# Characters of what is said of something that failed.
_REASON = 400


class Runner:
    """All jobs of a run, and the time that there is for them."""

    def __init__(self, lab: Lab, jobs: Sequence[Job], settings: dict[str, Any], seconds: float | None) -> None:
        """`settings` of each scenario by its name; `seconds` that the run may take, None: no limit."""
        self._lab = lab
        self._jobs = list(jobs)
        self._settings = settings
        self._started = time.monotonic()
        self._seconds = seconds
        self._settled: set[Job] = set()
        self._phases = _phases(self._jobs)
        self._until = _schedule(self._phases, self._started, seconds)
        self._progress = Progress(sum(job.rounds for job in self._jobs))

    async def run(self) -> None:
        """Measure; what there was no time for is listed as left out."""
        try:
            async with asyncio.timeout(self._seconds):
                for jobs in self._phases:
                    await self._phase(jobs)
        except TimeoutError:
            self._progress.say("The time is up; the report has what was measured.")
        finally:
            self._progress.end()
        for job in self._jobs:
            if job not in self._settled:
                self._lab.results.left_out.setdefault(_label(job), "there was no time left for it")

    async def _phase(self, jobs: list[Job]) -> None:
        sites = {key: self._lab.site(*key) for key in dict.fromkeys((job.variant, job.routes) for job in jobs)}
        try:
            gate = asyncio.Semaphore(_OPENING)
            async with asyncio.TaskGroup() as group:
                opening = {key: group.create_task(self._open(site, gate)) for key, site in sites.items()}
            absent = {job for job in jobs if not opening[job.variant, job.routes].result()}
            self._settled |= absent
            self._progress.skip(sum(job.rounds for job in absent))
            there = [job for job in jobs if job not in absent]
            for scenario, of_scenario in itertools.groupby(there, lambda job: job.scenario):
                await self._scenario(scenario, list(of_scenario), sites)
        finally:
            self._progress.note("ending what was started")
            ends = await asyncio.gather(*(site.close() for site in sites.values()), return_exceptions=True)
            for site, error in zip(sites.values(), ends, strict=True):
                if error:
                    self._progress.say(f"{site.variant.name} did not end well: {error!r}")

    async def _open(self, site: Site, gate: asyncio.Semaphore) -> bool:
        """Whether `site` could be opened."""
        async with gate:
            what = f"{site.variant.name} with {site.count:,} routes"
            self._progress.note(f"starting {what}")
            try:
                await site.open()
            except Exception as error:  # one that does not start is no reason to lose the others
                self._leave_out(what, error)
                return False
            return True

    async def _scenario(self, name: str, jobs: list[Job], sites: dict[tuple[Variant, int], Site]) -> None:
        """Rounds over all jobs, while there is time; a job that fails is left out of those that follow."""
        settings, until = self._settings[name], self._until[jobs[0].phase, name]
        failed: set[Job] = set()
        for number in range(max(job.rounds for job in jobs)):
            # Each round begins with another one, so that none is always the first.
            turn = number % len(jobs)
            for job in [*jobs[turn:], *jobs[:turn]]:
                if number >= job.rounds:
                    continue
                if job in failed or (number > 0 and time.monotonic() > until):
                    self._progress.skip(1)
                    continue
                self._progress.step(_label(job) + (f", round {number + 1}" if job.rounds > 1 else ""))
                try:
                    await SCENARIOS[name].measure(self._lab, job, settings, sites[job.variant, job.routes], number)
                except Exception as error:  # nor is one that fails
                    failed.add(job)
                    self._leave_out(_label(job), error)
                self._settled.add(job)

    def _leave_out(self, what: str, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        is_ours = isinstance(error, Unavailable | TimeoutError)
        if not is_ours:
            traceback.print_exception(error)
        reason = " ".join((str(error) if is_ours and str(error) else repr(error)).split())
        self._lab.results.left_out[what] = reason[:_REASON]
        self._progress.say(f"Left out: {what}: {reason[:_REASON]}")


def _phases(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs by phase, the largest last: at its end is what no bound is about, for when the time is up."""
    return [[job for job in jobs if job.phase == size] for size in sorted({job.phase for job in jobs})]


def _schedule(phases: list[list[Job]], started: float, seconds: float | None) -> dict[tuple[int, str], float]:
    """When each scenario of each phase must be done with repeating, so that all have their share of the time.

    On a machine that is slower than the estimates, repeats are lost first, and at the same rate for all.
    """
    ends: dict[tuple[int, str], float] = {}
    total = 0.0
    for jobs in phases:
        total += sum(opening_seconds(*site) for site in dict.fromkeys((job.variant, job.routes) for job in jobs))
        for scenario, of_scenario in itertools.groupby(jobs, lambda job: job.scenario):
            total += sum(job.rounds * job.seconds for job in of_scenario)
            ends[jobs[0].phase, scenario] = total
    scale = math.inf if seconds is None else seconds / total
    return {group: started + end * scale for group, end in ends.items()}


def _label(job: Job) -> str:
    number = f" ({job.number:,})" if job.number else ""
    return f"{job.scenario}{number}, {job.variant.name}, {job.routes:,} routes"
