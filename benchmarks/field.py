"""Who takes part in a run, and in which scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .variants import METRICS, Variant

# The backend that goes alone where all would measure the same, or where there is no time for all.
_PREFERRED = "etcd"
# The one that a hub has if nobody chooses another.
_DEFAULT = "toml"


@dataclass(frozen=True, slots=True)
class Job:
    """One variant in one scenario. Those of a phase run beside each other, and are measured in turn."""

    scenario: str
    variant: Variant
    #: How many routes stand.
    routes: int
    phase: int
    rounds: int
    #: What a round takes on two free cores, roughly.
    seconds: float
    #: What else the scenario must know: how many routes come at once, how many a second.
    number: int = 0
    #: Whether all of the scenario is measured, or only the part that is compared most.
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Field:
    """The variants of a run."""

    variants: Sequence[Variant]

    @property
    def own(self) -> list[Variant]:
        """Ours, as they are by default."""
        return [variant for variant in self.variants if variant.kind == "own" and not variant.option]

    @property
    def options(self) -> list[Variant]:
        """Ours in each of the other ways, with one backend, without metrics."""
        return [variant for variant in self._ways if METRICS not in variant.option]

    @property
    def with_metrics(self) -> list[Variant]:
        """Ours with Traefik's metrics: by default and in each of the other ways, with one backend."""
        return [variant for variant in self._ways if METRICS in variant.option]

    @property
    def few(self) -> list[Variant]:
        """Of ours the one with a hub's default backend, and the one that goes alone."""
        default = [variant for variant in self.own if variant.backend == _DEFAULT]
        return list(dict.fromkeys([*default, *self.one(self.own)]))

    def of(self, kind: str) -> list[Variant]:
        return [variant for variant in self.variants if variant.kind == kind]

    def one(self, variants: Sequence[Variant]) -> list[Variant]:
        """Of `variants` the one with the backend that goes alone; none, if there are none."""
        lead = [variant for variant in variants if variant.backend == self._lead]
        return lead or list(variants[:1])

    @property
    def _ways(self) -> list[Variant]:
        ways = dict.fromkeys(variant.option for variant in self.variants if variant.option)
        return [one for way in ways for one in self.one([v for v in self.variants if v.option == way])]

    @property
    def _lead(self) -> str:
        backends = [variant.backend for variant in self.own]
        return _PREFERRED if _PREFERRED in backends else next(iter(backends), "")


def phase_of(routes: int, sizes: Sequence[int]) -> int:
    """The phase of a job with so many routes, of a scenario with those `sizes`.

    The smallest is measured beside the largest, since they are compared.
    """
    return max(sizes) if routes == min(sizes) else routes
