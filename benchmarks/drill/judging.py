"""Counts what a fault did to visitors, and compares it with the fault's bound. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .events import Change, Event
from .sweep import Found

_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Bound:
    """The damage that a fault may do; all other counts must be 0."""

    #: Whether requests in flight on the killed Traefik, and websockets through it, may end.
    own_may_fail: bool = False
    #: For so many seconds from the fault, requests may fail, and routes may be lost or wrong.
    grace: float = 0.0
    #: A new route must be live within so many seconds of the part's return (or of the fault, if it does not return).
    live_within: float | None = 10.0
    changes_may_fail: bool = True
    #: Whether all websockets may end, because all Traefiks are killed.
    all_websockets_may_end: bool = False
    #: Seconds within which everybody knows that a part is dead; until then, requests may still be sent to it.
    noticed_within: float = 1.0
    #: For so many seconds there may be no successful request; None: that is not looked at.
    without_service: float | None = None


@dataclass(slots=True)
class Marks:
    """What was done, and when (monotonic clock)."""

    #: When the fault began, and when the part was back; None: never.
    fault: float | None = None
    back: float | None = None
    #: The name of the Traefik that was killed, and when.
    victim: str = ""
    killed: float | None = None
    notes: list[str] = field(default_factory=list)
    #: What the fault found amiss.
    missed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    """What happened to visitors and routes in the seconds from `began` to `ended`."""

    fault: str
    title: str
    began: float
    ended: float
    marks: Marks
    #: Requests and downloads of users' servers, how many failed, and how many of those were in flight on the victim.
    requests: int = 0
    failed: int = 0
    failed_own: int = 0
    #: How many of `failed` came later than the bound's grace; without a grace, and without `failed_own`: all.
    failed_late: int = 0
    #: Requests for the hub itself that failed.
    hub_failed: int = 0
    dropped: int = 0
    dropped_own: int = 0
    #: The longest time, in seconds, without a successful request.
    without_service: float = 0.0
    #: Seconds from the part's return, or the fault, until a route that was asked for since was live; None: never.
    live_again: float | None = None
    #: The longest time, in seconds, from asking for a route (after the return, or the fault) until it was live.
    slowest_route: float | None = None
    changes: int = 0
    changes_failed: int = 0
    #: The median of the seconds from asking for a route to the first answer from there.
    change_seconds: float | None = None
    lost: int = 0
    wrong: int = 0
    #: Descriptions of the first failures of each kind.
    details: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


#: The Traefik of the connection from our port that ended at this time (monotonic clock); "": none.
Server = Callable[[int, float], str]


def tally(
    row: Row, events: Sequence[Event], changes: Sequence[Change], found: Found, server: Server, bound: Bound
) -> None:
    """Fill in `row`, which knows its times and marks."""
    marks = row.marks
    until = marks.fault + bound.grace if marks.fault is not None and bound.grace else row.began
    seen = [event for event in events if row.began <= event.ended < row.ended]
    good = [event.ended for event in seen if event.kind == "request" and event.outcome == "ok"]
    row.without_service = longest_gap(good, row.began, row.ended)
    for event in seen:
        if event.kind == "hub":
            row.hub_failed += event.outcome != "ok"
            continue
        is_own = _is_own(event, marks, server, bound)
        if event.kind == "websocket":
            row.dropped += 1
            row.dropped_own += is_own
        else:
            row.requests += 1
            if event.outcome == "ok":
                continue
            if event.outcome == "wrong":
                row.wrong += event.ended > until
            else:
                row.failed += 1
                row.failed_own += is_own
                row.failed_late += not is_own and event.ended > until
        _note(row, event, is_own)
    row.lost += len(found.lost)
    row.wrong += len(found.wrong)
    row.details += [*found.lost[:_SHOWN], *found.wrong[:_SHOWN]]
    _tally_changes(row, [change for change in changes if row.began <= change.asked < row.ended])
    row.missed = misses(row, bound)


def misses(row: Row, bound: Bound) -> list[str]:
    """How `row` misses `bound`."""
    missed = list(row.marks.missed)
    others = row.failed_late + (0 if bound.own_may_fail else row.failed_own)
    if others:
        when = f" later than {bound.grace:g} s" if bound.grace else ""
        missed.append(f"{others} failed requests{when}")
    may_drop = row.dropped if bound.all_websockets_may_end else row.dropped_own if bound.own_may_fail else 0
    if dropped := row.dropped - may_drop:
        missed.append(f"{dropped} dropped websockets")
    if row.lost:
        missed.append(f"{row.lost} routes lost")
    if row.wrong:
        missed.append(f"{row.wrong} routes wrong")
    if row.changes_failed and not bound.changes_may_fail:
        missed.append(f"{row.changes_failed} changes failed")
    if row.marks.fault is not None and row.live_again is None:
        missed.append("no new route was live again")
    elif row.live_again is not None and bound.live_within is not None and row.live_again > bound.live_within:
        missed.append(f"new routes were live again after {row.live_again:.1f} s, not {bound.live_within:g} s")
    if bound.without_service is not None and row.without_service > bound.without_service:
        missed.append(f"{row.without_service:.1f} s without service, not {bound.without_service:g} s")
    if not row.requests:
        missed.append("there were no requests")
    return missed


def longest_gap(times: Sequence[float], began: float, ended: float) -> float:
    """The longest time between two of `times`, or between one and either end."""
    return max(after - before for before, after in pairwise([began, *sorted(times), ended]))


def _is_own(event: Event, marks: Marks, server: Server, bound: Bound) -> bool:
    """Whether `event` ended because it was under way on the Traefik that was killed."""
    if marks.killed is None or not event.port or event.outcome != "failed":
        return False
    is_in_time = event.started <= marks.killed + bound.noticed_within and event.ended >= marks.killed
    return is_in_time and server(event.port, event.ended) == marks.victim


def _tally_changes(row: Row, changes: Sequence[Change]) -> None:
    row.changes = len(changes)
    failed = [change for change in changes if change.error]
    row.changes_failed = len(failed)
    row.details += [f"{change.kind} failed: {change.error}" for change in failed[:_SHOWN]]
    fresh = [change for change in changes if change.kind != "delete"]
    took = sorted(change.live - change.asked for change in fresh if change.live is not None)
    row.change_seconds = took[len(took) // 2] if took else None
    marks = row.marks
    begun = row.began if marks.fault is None else marks.fault
    since = begun if marks.back is None else marks.back
    lives = [change.live for change in fresh if change.live is not None and change.asked >= begun]
    if marks.fault is not None:
        row.live_again = min((live - since for live in lives if live >= since), default=None)
    after = [change.live - change.asked for change in fresh if change.live is not None and change.asked >= since]
    row.slowest_route = max(after, default=None)


def _note(row: Row, event: Event, is_own: bool) -> None:
    if len(row.details) < _SHOWN:
        since = "" if row.marks.fault is None else f"{event.ended - row.marks.fault:+.2f} s: "
        own = " (in flight on it)" if is_own else ""
        took = f" after {event.ended - event.started:.2f} s"
        row.details.append(f"{since}{event.kind} {event.outcome}{took}: {event.detail}{own}")
