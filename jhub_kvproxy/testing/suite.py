"""The tests of the whole contract, in one suite."""

from __future__ import annotations

from ._concurrency import ConcurrencyTests
from ._errors import ErrorTests
from ._lease import LeaseTests
from ._lifecycle import LifecycleTests
from ._prefixes import PrefixTests
from ._stateful import StatefulTests
from ._table import TableTests
from ._watch import WatchTests


class BackendSuite(
    LifecycleTests, TableTests, ConcurrencyTests, PrefixTests, StatefulTests, ErrorTests, WatchTests, LeaseTests
):
    """The tests that every driver must pass."""
