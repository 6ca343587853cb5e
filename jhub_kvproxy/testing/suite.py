"""The tests of the whole contract, in one suite."""

from __future__ import annotations

from ._broken_calls import BrokenCallTests
from ._concurrency import ConcurrencyTests
from ._dead_watches import DeadWatchTests
from ._errors import ErrorTests
from ._lease import LeaseTests
from ._lease_report import LeaseReportTests
from ._lifecycle import LifecycleTests
from ._outages import OutageTests
from ._prefixes import PrefixTests
from ._races import RaceTests
from ._reading import ReadingTests
from ._stateful import StatefulTests
from ._stopped import StoppedTests
from ._table import TableTests
from ._watch import WatchTests


class BackendSuite(
    LifecycleTests,
    TableTests,
    ConcurrencyTests,
    RaceTests,
    PrefixTests,
    StatefulTests,
    ErrorTests,
    WatchTests,
    ReadingTests,
    LeaseTests,
    LeaseReportTests,
    StoppedTests,
):
    """The tests that every driver must pass."""


class OutageSuite(OutageTests, BrokenCallTests, DeadWatchTests):
    """The tests that a driver of a store on a network must pass too: the network breaks, and so does the store."""
