"""A scene for each module, and for each way in which Traefik gets the table."""

from __future__ import annotations

import pytest

from jhub_kvproxy.proxy import KVProxy
from tests.hostile.chp import HOSTS, PATHS
from tests.hostile.scene import scene
from tests.stores import Store

#: Our plugin in Traefik forwards the requests ("push"), or Traefik does it by itself ("store"): nobody may notice.
DELIVERIES = [name for name in ("push", "store") if name in KVProxy.class_traits()["delivery"].values]


@pytest.fixture(scope="module", params=DELIVERIES)
def delivery(request):
    """Each way in which Traefik gets the table."""
    return request.param


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
