"""The scenarios, each a module.

A scenario has a ``NAME``; ``SCALES``, which says for each scale (``quick``, ``default``, ``full``, ``tiny``) how
much is measured; ``jobs(field, settings, sizes)``, which variants take part with how many routes (`sizes`:
instead of the scale's own); and ``measure(lab, job, settings, site, round_number)``, which measures one
variant once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol

from ..field import Field, Job
from ..lab import Lab
from ..site import Site
from . import (
    arrivals,
    burst,
    change,
    churn,
    cycles,
    footprint,
    reads,
    requests,
    restart,
    snapshot,
    websockets,
)


class Scenario(Protocol):
    NAME: str
    SCALES: Mapping[str, Any]

    def jobs(self, field: Field, settings: Any, sizes: Sequence[int] | None) -> Iterable[Job]: ...

    async def measure(self, lab: Lab, job: Job, settings: Any, site: Site, round_number: int) -> None: ...


#: In the order in which they are measured: memory first, while nothing has happened yet; and what the bounds
#: do not need last, for when there is no time left.
_MODULES: tuple[ModuleType, ...] = (
    footprint,
    arrivals,
    requests,
    change,
    burst,
    churn,
    cycles,
    restart,
    snapshot,
    reads,
    websockets,
)
SCENARIOS: dict[str, Any] = {module.NAME: module for module in _MODULES}
