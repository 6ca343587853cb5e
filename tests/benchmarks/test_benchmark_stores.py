"""The stores that the benchmarks, the drill and the soak start, and what is counted of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import stores
from benchmarks.processes import usage
from benchmarks.variants import find_variants
from servers.errors import Refused
from servers.postgres import PostgresCluster
from servers.programs import find

pytestmark = pytest.mark.slow

# Of a process and its child: memory that both have, all of it in use.
SHARED = """
import mmap, os
memory = mmap.mmap(-1, 50_000_000)
child = os.fork()
for place in range(0, len(memory), mmap.PAGESIZE):
    memory[place] = 1
os.write(1, b"%d\\n" % os.getpid())
os.read(0, 1)
"""


@pytest.mark.parametrize(("backend", "is_readable"), [("etcd", True), ("kubernetes", False), ("postgres", False)])
def test_only_what_traefik_can_read_takes_part_with_store_delivery(backend, is_readable):
    stores.find_programs(backend)
    names = {variant.name for variant in find_variants([backend], False)[0]}
    assert {backend, f"{backend} (metrics)"} <= names
    assert stores.is_read_by_traefik(backend) == is_readable
    assert (f"{backend} (store)" in names) == is_readable
    assert (f"{backend} (store, metrics)" in names) == is_readable


@pytest.mark.parametrize(("backend", "has_peer"), [("etcd", True), ("kubernetes", False), ("postgres", False)])
def test_the_peer_takes_part_with_the_stores_that_it_has(backend, has_peer):
    stores.find_programs(backend)
    variants, left_out = find_variants([backend], False)
    assert (f"peer ({backend})" in {variant.name for variant in variants} | left_out.keys()) == has_peer


def test_an_api_server_counts_with_its_etcd(tmp_path):
    stores.find_programs("kubernetes")
    store = stores.start("kubernetes", tmp_path / "store")
    try:
        names = [command_of(pid) for pid in store.pids]
        assert len(names) == 2
        assert "kube-apiserver" in names[0]
        assert "/etcd" in names[1]
        assert "--unsafe-no-fsync" not in names[1]
    finally:
        store.stop()


def test_a_postgresql_counts_with_its_children_and_keeps_what_it_acknowledges(tmp_path):
    stores.find_programs("postgres")
    store = stores.start("postgres", tmp_path / "store")
    try:
        assert store.process
        assert store.process.ask("SHOW fsync; SHOW synchronous_commit") == "on\non"
        assert len(store.pids) > 3
        assert {command_of(pid).partition(" ")[0].rstrip(":").rpartition("/")[2] for pid in store.pids} == {"postgres"}
    finally:
        store.stop()


def test_what_processes_of_a_program_share_counts_once():
    with subprocess.Popen([sys.executable, "-c", SHARED], stdin=-1, stdout=-1) as process:
        assert process.stdout
        pids = [int(process.stdout.readline()) for _ in range(2)]
        assert all(usage([pid]).memory > 50e6 for pid in pids)
        assert 50e6 < usage(pids).memory < 90e6
        process.communicate(b"\n\n")


def test_a_postgresql_may_be_emptied_wiped_and_restored(tmp_path):
    find("postgres")
    with PostgresCluster(tmp_path) as store:
        (server,) = store.members

        def rows():
            try:
                return server.ask("SELECT count(*) FROM kvproxy.keys")
            except Refused as error:
                return str(error)

        server.ask("CREATE SCHEMA kvproxy; CREATE TABLE kvproxy.keys AS SELECT 1")
        store.stop_and(store.back_up)
        server.ask("INSERT INTO kvproxy.keys SELECT 2")
        assert rows() == "2"
        store.stop_and(store.restore)
        assert rows() == "1"
        store.empty()
        assert "does not exist" in rows()
        store.stop_and(store.restore)
        assert rows() == "1"
        store.stop_and(store.wipe)
        assert "does not exist" in rows()


def command_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode()
