"""One replica as the hub sees it: whether route changes wait for it, and what its Traefik serves."""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping
from typing import Any

from ..routing.revision import Revision
from ..traefik.endpoint import Endpoint
from .lag import Lag

#: Seconds after which a replica that lacks what another serves is not waited for any longer. A Traefik whose store
#: was away takes up to 20 of them until it tries the store again (pkg/job/job.go, NextBackOff).
LAG_LIMIT = 25.0
#: Seconds for which one that has just joined or come back, with a table that is not the newest, is waited for.
JOIN_LIMIT = 3.0


class Standing(enum.Enum):
    """Whether route changes wait for a replica (docs/adr/0008-replicas.md)."""

    AWAITED = enum.auto()
    #: It has joined or come back, and has not served the table since.
    CATCHING_UP = enum.auto()
    #: It answers, but has lacked for too long what others serve.
    LAGGING = enum.auto()
    #: It does not answer as Traefik does.
    DOWN = enum.auto()


class Replica:
    """One replica. Each change of its standing is one line in `log`; `advice` says what to do if it lags."""

    def __init__(self, api: Endpoint, log: Any, standing: Standing, advice: str) -> None:
        self.api = api
        self._advice = advice
        self.standing = standing
        #: The revision that it serves; None: not known, or none.
        self.revision: str | None = None
        #: Traefik's words about each router that it does not serve.
        self.errors: Mapping[str, str] = {}
        self.lag = Lag()
        #: Why it does not take our table, as a part of a sentence; empty: it does, as far as is known.
        self.refusal = ""
        self._log = log
        self._why_down = ""
        self._asked_at: float | None = None
        self._goal: Revision | None = None
        self._missing: Revision | None = None
        self._missing_since = 0.0
        self._joining_until: float | None = None

    @property
    def is_joining(self) -> bool:
        """Whether it has begun to serve a table, so that users may be sent there, and not taken in the newest since."""
        return self.standing is Standing.CATCHING_UP and time.monotonic() < (self._joining_until or 0)

    @property
    def state(self) -> str:
        """What it was last seen to do, as a sentence without its full stop."""
        if self.standing is Standing.DOWN:
            return self._why_down
        served = "no table of ours" if self.revision is None else f"revision {self.revision}"
        why = f", {self.refusal}" if self.refusal else ""
        return f"{self.api.title} serves {served}{why}"

    def serves(self, revision: Revision) -> bool:
        return self.revision is not None and revision.is_reached_by(self.revision)

    def asked(self) -> None:
        """It has just been asked what it serves."""
        self._asked_at = time.monotonic()

    def is_silent(self, patience: float) -> bool:
        """Whether it was asked over `patience` seconds ago, and has not answered."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > patience

    def answered(self, revision: str | None, latest: Revision | None, errors: Mapping[str, str] | None) -> None:
        """It serves `revision` (None: no table); `latest` is the newest that anybody waited for.

        `errors` are Traefik's words about each router that it does not serve; None: as before.
        """
        self._asked_at = None
        self.errors = self.errors if errors is None else errors
        self.revision = revision
        self.lag.seen(revision)
        self._judge(latest)

    def failed(self, why: str) -> None:
        """It does not answer as it should, for the reason `why`, a sentence."""
        self._asked_at = None
        before, self._why_down = self._why_down, why.rstrip(".")
        if self.standing is not Standing.DOWN or self._why_down != before:
            self._log.warning("%s; route changes do not wait for it until it is back", self._why_down)
        self.standing, self._goal, self._missing = Standing.DOWN, None, None

    def misses(self, revision: Revision) -> None:
        """Another replica serves `revision`, and this one does not."""
        if self._missing is None:
            self._missing, self._missing_since = revision, time.monotonic()

    def await_alone(self) -> None:
        """Wait for it although it is behind: no other is up."""
        if self.standing is Standing.LAGGING:
            self._log.warning("%s is behind, but no other is up; route changes wait for it", self.api.title)
        elif self.standing is Standing.CATCHING_UP:
            self._log.info("%s is back; route changes wait for it", self.api.title)
        self.standing, self._missing = Standing.AWAITED, None

    def _judge(self, latest: Revision | None) -> None:
        if self._missing and self.serves(self._missing):
            self._missing = None
        if self.standing is Standing.AWAITED:
            self._check_lag()
            return
        if self.standing is Standing.DOWN:
            self.standing, self._joining_until = Standing.CATCHING_UP, None
        if self.revision is not None and self._joining_until is None:
            self._joining_until = time.monotonic() + JOIN_LIMIT
        # What was the latest at the look before: one that is a look behind has caught up, while changes keep coming.
        goal, self._goal = self._goal or latest, latest
        if self.revision is not None and (goal is None or self.serves(goal)):
            self.standing, self._missing = Standing.AWAITED, None
            self._log.info("%s; route changes wait for it", self.state)
            return
        if goal:
            self.misses(goal)
        self._check_lag()

    def _check_lag(self) -> None:
        if self._missing is None or time.monotonic() - self._missing_since < LAG_LIMIT:
            return
        if self.standing is not Standing.LAGGING:
            self._log.warning(
                "%s, and has not taken in revision %s for %g s; route changes do not wait for it until it has. %s",
                self.state,
                self._missing.text,
                LAG_LIMIT,
                self._advice,
            )
            self.standing, self._goal = Standing.LAGGING, None
