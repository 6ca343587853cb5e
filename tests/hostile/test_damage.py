"""The files of the project, with a bit of theirs turned over, or cut short: found out, or of no effect."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy import BackendRejected, Batch
from jhub_kvproxy.traefik.certificate import self_signed
from jhub_kvproxy.traefik.dynamic import base_config
from jhub_kvproxy.traefik.plugin_files import plugin_files
from jhub_kvproxy.traefik.program import Program
from jhub_kvproxy.traefik.runtime import RuntimeDirectory
from jhub_kvproxy.traefik.state import State
from jhub_kvproxy_backends.toml import TomlBackend
from tests.hostile.explore import explore

EXAMPLES = 200
TABLE = {
    **{
        f"routes/p.user.{name}": json.dumps({"target": f"http://127.0.0.1:{port}"})
        for name, port in [("a", 1), ("b", 2)]
    },
    "revision": "65f0-0a1b.7",
    "traefik/http/routers/a/rule": 'PathPrefix("/user/a")',
}


def damaged(content):
    """`content` with one bit turned over, or cut short."""
    bits = st.integers(0, len(content) * 8 - 1).map(lambda bit: _turned(content, bit))
    return bits | st.integers(0, len(content) - 1).map(lambda length: content[:length])


def _turned(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.fixture
def run():
    """Runs a coroutine to its end."""
    with asyncio.Runner() as runner:
        yield runner.run


async def opened(path):
    backend = TomlBackend(path=str(path), prefix="hub")
    await backend.open()
    return backend


@pytest.mark.fuzz
def test_a_damaged_table_is_reported_and_never_served(tmp_path, run):
    backend = run(opened(tmp_path))
    run(backend.apply(Batch(TABLE)))
    content, routes = backend.table_file.read_bytes(), backend.traefik_file.read_bytes()

    @given(damaged(content))
    def for_all(changed):
        backend.table_file.write_bytes(changed)
        other = run(opened(tmp_path))
        for call in (other.load, lambda: other.apply(Batch({"routes/c": "3"}))):
            with pytest.raises(BackendRejected, match=r"the routing table is damaged") as error:
                run(call())
            assert str(backend.table_file) in str(error.value)
        assert backend.table_file.read_bytes() == changed
        assert backend.traefik_file.read_bytes() == routes

    explore(for_all, EXAMPLES)


def test_a_table_of_an_older_release_is_read_and_gets_a_checksum(tmp_path, run):
    backend = run(opened(tmp_path))
    run(backend.apply(Batch(TABLE)))
    content = backend.table_file.read_bytes()
    backend.table_file.write_text(json.dumps({"format": 1, "keys": TABLE}))
    assert run(run(opened(tmp_path)).load()).keys == TABLE
    assert backend.table_file.read_bytes() == content
    assert run(backend.load()).keys == TABLE


def test_the_checksum_is_that_of_the_lines_above(tmp_path, run):
    """So that ``head -n -1 table.json | sha256sum`` tells it."""
    backend = run(opened(tmp_path))
    run(backend.apply(Batch(TABLE)))
    *lines, last = backend.table_file.read_bytes().splitlines(keepends=True)
    assert hashlib.sha256(b"".join(lines)).hexdigest().encode() in last


@pytest.mark.fuzz
def test_damaged_routes_of_traefik_are_written_again(tmp_path, run):
    backend = run(opened(tmp_path))
    run(backend.apply(Batch(TABLE)))
    content = backend.traefik_file.read_bytes()

    @given(damaged(content))
    def for_all(changed):
        backend.traefik_file.write_bytes(changed)
        run(run(opened(tmp_path)).load())
        assert backend.traefik_file.read_bytes() == content

    explore(for_all, EXAMPLES)


@pytest.mark.fuzz
def test_a_damaged_lease_is_named_and_nobody_writes(tmp_path, run):
    backend = run(opened(tmp_path))
    run(backend.acquire_lease("hub", 600))
    file = backend.directory / "lease"

    @given(damaged(file.read_bytes()))
    def for_all(changed):
        file.write_bytes(changed)
        other = run(opened(tmp_path))
        for call in (lambda: backend.apply(Batch(TABLE)), lambda: other.acquire_lease("other", 600)):
            with pytest.raises(BackendRejected, match=rf"The lease {file} is damaged .*; remove it"):
                run(call())
        assert not backend.table_file.exists()

    explore(for_all, EXAMPLES)


@pytest.mark.fuzz
def test_a_damaged_state_file_tells_of_no_traefik(tmp_path):
    state = State(7, 8099, Program("hash", "3.7.15", {"/x": (1, 2, 3)}), ("dynamic/a.toml",), 1_764_000_000)
    file = tmp_path / "traefik.json"

    @given(damaged(state.to_bytes()))
    def for_all(changed):
        file.write_bytes(changed)
        assert State.read(file) is None

    explore(for_all, EXAMPLES)


@pytest.mark.fuzz
def test_what_traefik_reads_is_written_again_before_it_is_started(tmp_path):
    """Its base configuration, its static one, a certificate, the plugin."""
    runtime = RuntimeDirectory(tmp_path / "run")
    files = {runtime.path / name: content for name, content in plugin_files().items()}
    base = base_config(cert_file="/cert.pem", key_file="/key.pem", extra={})
    files |= {runtime.path / "dynamic" / "kvproxy-base.toml": tomli_w.dumps(base).encode()}
    files |= dict(
        zip([runtime.path / "default-cert.pem", runtime.path / "default-key.pem"], self_signed(), strict=True)
    )
    runtime.write(files)
    changes = st.sampled_from(sorted(files)).flatmap(lambda file: st.tuples(st.just(file), damaged(files[file])))

    @given(changes)
    def for_all(change):
        file, changed = change
        file.write_bytes(changed)
        runtime.write(files)
        assert file.read_bytes() == files[file]

    explore(for_all, EXAMPLES)
