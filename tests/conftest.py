"""For all tests: the stores, and Hypothesis, where no clock decides and CI tries the same cases each time."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.fixtures import consul as consul
from tests.fixtures import etcd as etcd
from tests.fixtures import kubernetes as kubernetes
from tests.fixtures import oldest_kubernetes as oldest_kubernetes
from tests.fixtures import postgres as postgres
from tests.fixtures import pytest_runtest_call as pytest_runtest_call
from tests.fixtures import pytest_runtest_setup as pytest_runtest_setup
from tests.fixtures import redis_server as redis_server
from tests.stores import find_store

settings.register_profile(
    "kvproxy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("kvproxy")


@pytest.fixture
def store(request, tmp_path):
    """The store of a test: TOML, or the one that :func:`tests.stores.on_every_store` asks for."""
    return find_store(getattr(request, "param", "toml"), request, tmp_path)
