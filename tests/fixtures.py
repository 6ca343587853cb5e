"""For tests with real servers: those that all tests of a session share, and what happens where one is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from servers.consul import ConsulServer
from servers.errors import Missing
from servers.etcd import EtcdServer
from servers.kubernetes import KubernetesServer
from servers.postgres import PostgresServer
from servers.redis import RedisServer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    return (yield from _skipped_without_its_programs())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    return (yield from _skipped_without_its_programs())


def _skipped_without_its_programs() -> Generator[None]:
    """A test that lacks a program is skipped, or fails where all programs were promised (CI)."""
    try:
        return (yield)
    except Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """Each test uses prefixes of its own, here and in the others."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="session")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulServer]:
    with ConsulServer(tmp_path_factory.mktemp("consul")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    directory = tmp_path_factory.mktemp("postgres")
    with PostgresServer(directory) as server:
        yield server
    shutil.rmtree(directory)  # an empty one takes 40 MB of the disk


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesServer]:
    """The newest API server here. Tests share a namespace by its `traits`, or make their own.

    An idle one takes more of a core than its start costs, so each file has its own.
    """
    yield from _kubernetes(tmp_path_factory.mktemp("kubernetes"), "newest")


@pytest.fixture(scope="module")
def oldest_kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesServer]:
    """An API server of the oldest version that we support."""
    yield from _kubernetes(tmp_path_factory.mktemp("oldest-kubernetes"), "oldest")


def _kubernetes(directory: Path, which: str) -> Iterator[KubernetesServer]:
    with KubernetesServer(directory, which=which) as server:
        yield server
    shutil.rmtree(directory)  # pytest removes it only when all tests have run, and each file has one
