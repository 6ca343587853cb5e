"""The conformance kit: tests that a driver must pass, and backends for testing code that uses a backend.

``pip install "jhub-kvproxy[testing]"`` installs what it needs.
"""
# ruff: noqa: E402

import pytest

_SUITES = (
    *("broken_calls", "concurrency", "dead_watches", "errors", "far", "kit", "lease", "lease_report", "lifecycle"),
    *("outages", "prefixes", "races", "reading", "stateful", "stopped", "table", "traefik", "watch"),
)
pytest.register_assert_rewrite(*(f"{__name__}._{suite}" for suite in _SUITES))

from ._kit import Kit, in_time, until
from ._traefik import Site, TraefikSuite
from .block import Block, longest_block
from .faults import FlakyBackend, FussyBackend, SlowBackend, flaky, fussy, slow
from .line import Line
from .memory import MemoryBackend
from .suite import BackendSuite, OutageSuite

__all__ = [
    "BackendSuite",
    "Block",
    "FlakyBackend",
    "FussyBackend",
    "Kit",
    "Line",
    "MemoryBackend",
    "OutageSuite",
    "Site",
    "SlowBackend",
    "TraefikSuite",
    "flaky",
    "fussy",
    "in_time",
    "longest_block",
    "slow",
    "until",
]
