"""A scene for each module."""

from __future__ import annotations

import pytest

from tests.hostile.chp import HOSTS, PATHS
from tests.hostile.scene import scene
from tests.stores import Store


@pytest.fixture(scope="module")
def on_paths(tmp_path_factory):
    """A proxy as JupyterHub has it without subdomains."""
    directory = tmp_path_factory.mktemp("paths")
    with scene(directory, Store("toml", {"path": str(directory / "table")}), PATHS) as play:
        yield play


@pytest.fixture(scope="module")
def on_hosts(tmp_path_factory):
    """A proxy as JupyterHub has it with ``subdomain_host``."""
    directory = tmp_path_factory.mktemp("hosts")
    with scene(directory, Store("toml", {"path": str(directory / "table")}), HOSTS) as play:
        yield play
