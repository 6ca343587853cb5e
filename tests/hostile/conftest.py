"""A scene for each module, and for each way in which Traefik gets the table."""

from __future__ import annotations

import pytest

from tests.hostile import explore
from tests.hostile.chp import HOSTS, PATHS
from tests.hostile.scene import scene
from tests.stores import Store


def pytest_collection_finish(session):
    explore.SHARERS[0] = max(1, sum(item.get_closest_marker("fuzz") is not None for item in session.items))


@pytest.fixture(scope="module", params=["push", "store"])
def delivery(request):
    """Who forwards requests: our plugin in Traefik ("push"), or Traefik by itself ("store"). Nobody may notice."""
    return request.param


@pytest.fixture
def failure(delivery):
    """Status and body of the proxy's answer in the place of one that it cannot read."""
    return (502, b"Bad Gateway") if delivery == "push" else (500, b"Internal Server Error")


@pytest.fixture(scope="module")
def on_paths(tmp_path_factory, delivery):
    """A proxy as JupyterHub has it without subdomains."""
    directory = tmp_path_factory.mktemp("paths")
    with scene(directory, Store("toml", {"path": str(directory / "table")}), PATHS, delivery=delivery) as play:
        yield play


@pytest.fixture(scope="module")
def on_hosts(tmp_path_factory, delivery):
    """A proxy as JupyterHub has it with ``subdomain_host``."""
    directory = tmp_path_factory.mktemp("hosts")
    with scene(directory, Store("toml", {"path": str(directory / "table")}), HOSTS, delivery=delivery) as play:
        yield play
