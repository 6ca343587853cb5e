"""What must not be: growth that goes on, and answers by the wrong server. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ..drill.events import Event

#: Seconds after a fault in which requests may fail, routes excepted: the wrong server must never answer.
WINDOW = 25.0
#: The first part of a process's life, in which caches and pools fill: a share of it, or so many seconds.
_WARM_UP, _LEAST_WARM_UP = 0.3, 90.0
#: What is left must last so many seconds: less cannot tell growth from noise.
_SHORTEST = 90.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held at a time (monotonic clock)."""

    when: float
    memory: int
    files: int


@dataclass(frozen=True, slots=True)
class Bound:
    """How much more of something a process may hold at the end than after warm-up, by the fit: a share, or so many."""

    share: float
    least: float

    def allows(self, before: float, grown: float) -> bool:
        return grown <= max(self.share * before, self.least)


MEMORY, FILES = Bound(0.15, 12e6), Bound(0.25, 25)
#: Of a store's processes, which keep old values, logs and pages of files until they tidy up by themselves.
STORES_MEMORY = Bound(0.5, 40e6)


def growth(samples: Sequence[Sample], memory: Bound = MEMORY) -> list[str]:
    """In which ways what the `samples` of one process show is growth, in words; none: it is not, or it lived too
    short to tell."""
    if not samples:
        return []
    began, ended = samples[0].when, samples[-1].when
    warm_at = began + max(_WARM_UP * (ended - began), _LEAST_WARM_UP)
    if ended - warm_at < _SHORTEST:
        return []
    warm = [sample for sample in samples if sample.when >= warm_at]
    found = []
    times = [sample.when for sample in warm]
    for name, unit, scale, values, bound in (
        ("memory", " MB", 1e6, [sample.memory for sample in warm], memory),
        ("open files", "", 1.0, [sample.files for sample in warm], FILES),
    ):
        grown = slope(times, values) * (times[-1] - times[0])
        before = median(values[: max(1, len(values) // 5)])
        if not bound.allows(before, grown):
            found.append(f"{name} grew by {grown / scale:.0f}{unit} from {before / scale:.0f}{unit}")
    return found


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """How much the values rise in a second: the median of the slopes between both halves, which no single peak bends
    (Theil and Sen, with pairs that do not overlap)."""
    half = len(times) // 2
    pairs = zip(times[:half], values[:half], times[-half:], values[-half:], strict=True)
    slopes = [(later - value) / (end - start) for start, value, end, later in pairs if end > start]
    return median(slopes) if slopes else 0.0


def wrongs(events: Sequence[Event], faults: Sequence[tuple[float, float]]) -> list[str]:
    """What `events` show that must not be, in words. `faults` are the times that something was away."""
    found = []
    for event in events:
        if event.kind == "hub" or event.outcome == "ok":
            continue
        excused = any(began - 1 <= event.ended and event.started <= ended + WINDOW for began, ended in faults)
        if event.outcome in ("wrong", "lost") or not excused:
            found.append(f"a {event.kind} was {event.outcome}: {event.detail}")
    return found
