"""Hypothesis, for all tests: no clock decides, and CI tries the same cases each time."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "kvproxy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("kvproxy")
