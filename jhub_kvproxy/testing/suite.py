"""The tests of the whole contract, in one suite."""

from __future__ import annotations

from ._concurrency import ConcurrencyTests
from ._errors import ErrorTests
from ._lease import LeaseTests
from ._lifecycle import LifecycleTests
from ._prefixes import PrefixTests
from ._reading import ReadingTests
from ._stateful import StatefulTests
from ._stopped import StoppedTests
from ._table import TableTests
from ._watch import WatchTests


class BackendSuite(
    LifecycleTests,
    TableTests,
    ConcurrencyTests,
    PrefixTests,
    StatefulTests,
    ErrorTests,
    WatchTests,
    ReadingTests,
    LeaseTests,
    StoppedTests,
):
    """The tests that every driver must pass."""
