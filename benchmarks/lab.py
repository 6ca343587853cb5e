"""The equipment of a scenario."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .field import Job
from .origin import Origin
from .results import Results
from .site import Site
from .variants import Variant


@dataclass(frozen=True, slots=True)
class Lab:
    """The origin, where results go, and new sites."""

    origin: Origin
    results: Results
    directory: Path
    config_file: str

    def site(self, variant: Variant, routes: int) -> Site:
        """A site that is not open yet; the caller closes it."""
        return Site(variant, routes, self.origin, self.directory, self.config_file)

    @asynccontextmanager
    async def prepared(self, variant: Variant, routes: int) -> AsyncIterator[Site]:
        """A site with an empty store and a proxy that is not started."""
        site = self.site(variant, routes)
        try:
            await site.prepare()
            yield site
        finally:
            await site.close()

    def note(self, job: Job, measure: str, *values: float) -> None:
        self.results.add(job.scenario, job.variant, job.routes, measure, *values)
