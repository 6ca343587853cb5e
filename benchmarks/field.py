"""Which variants take part in a run, and in which scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .variants import METRICS, Variant

# The backend that stands for all, where all measure the same or there is no time for all.
_PREFERRED = "etcd"
# The default backend of a hub.
_DEFAULT = "toml"


@dataclass(frozen=True, slots=True)
class Job:
    """One variant in one scenario. Jobs of a phase run at the same time, and are measured in turn."""

    scenario: str
    variant: Variant
    #: The number of standing routes.
    routes: int
    phase: int
    rounds: int
    #: Estimated seconds of a round on two free cores.
    seconds: float
    #: Another number for the scenario: calls at once, or changes a second.
    number: int = 0
    #: Whether the whole scenario is measured, or only its most important part.
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Field:
    """The variants of a run."""

    variants: Sequence[Variant]

    @property
    def own(self) -> list[Variant]:
        """Ours, with default options."""
        return [variant for variant in self.variants if variant.kind == "own" and not variant.option]

    @property
    def options(self) -> list[Variant]:
        """Ours with each of the other options, with one backend, without metrics."""
        return [variant for variant in self._ways if METRICS not in variant.option]

    @property
    def with_metrics(self) -> list[Variant]:
        """Ours with Traefik's metrics: alone and with each of the other options, with one backend."""
        return [variant for variant in self._ways if METRICS in variant.option]

    @property
    def few(self) -> list[Variant]:
        """Ours with a hub's default backend, and with the backend that stands for all."""
        default = [variant for variant in self.own if variant.backend == _DEFAULT]
        return list(dict.fromkeys([*default, *self.one(self.own)]))

    def of(self, kind: str) -> list[Variant]:
        return [variant for variant in self.variants if variant.kind == kind]

    def one(self, variants: Sequence[Variant]) -> list[Variant]:
        """The one of `variants` with the backend that stands for all, if there is one."""
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
    """The phase of a job with so many routes, in a scenario with these `sizes`.

    The smallest size is measured together with the largest, because they are compared.
    """
    return max(sizes) if routes == min(sizes) else routes
