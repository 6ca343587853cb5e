"""The conformance kit: tests that a driver must pass, and backends for testing code that uses a backend.

``pip install "jhub-kvproxy[testing]"`` installs what it needs.
"""
# ruff: noqa: E402

import pytest

_SUITES = (
    "concurrency",
    "errors",
    "lease",
    "lifecycle",
    "prefixes",
    "reading",
    "stateful",
    "stopped",
    "kit",
    "table",
    "traefik",
    "watch",
)
pytest.register_assert_rewrite(*(f"{__name__}._{suite}" for suite in _SUITES))

from ._kit import Kit, in_time, until
from ._traefik import Site, TraefikSuite
from .block import Block, longest_block
from .faults import FlakyBackend, FussyBackend, SlowBackend, flaky, fussy, slow
from .memory import MemoryBackend
from .suite import BackendSuite

__all__ = [
    "BackendSuite",
    "Block",
    "FlakyBackend",
    "FussyBackend",
    "Kit",
    "MemoryBackend",
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
