"""The files of the project, with a bit of theirs turned over, or cut short: found out, or of no effect."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import tomllib
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy import BackendRejected, Batch, LeaseHeld
from jhub_kvproxy.errors import TraefikError
from jhub_kvproxy.traefik import pem
from jhub_kvproxy.traefik.certificate import self_signed
from jhub_kvproxy.traefik.instance import Instance
from jhub_kvproxy.traefik.launching import launch_of
from jhub_kvproxy.traefik.plugin_files import plugin_files
from jhub_kvproxy.traefik.program import Program
from jhub_kvproxy.traefik.runtime import RuntimeDirectory
from jhub_kvproxy.traefik.settings import TraefikSettings
from jhub_kvproxy.traefik.state import State
from jhub_kvproxy.traefik.upstream import ClientFiles, TimeLimits
from jhub_kvproxy_backends.toml import TomlBackend
from tests.hostile.explore import explore
from tests.hostile.strategies import values

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


@pytest.fixture
def launched(tmp_path, run):
    """How a hub starts the Traefik of a directory, and what that is; it is a program that does nothing."""
    certificate, key = _pair_in(tmp_path)
    settings = TraefikSettings(
        public_url="http://127.0.0.1:8000",
        limits=TimeLimits(0, 0, 0, 0),
        traefik_cmd=("true",),
        runtime_dir=str(tmp_path / "run"),
        internal_ssl=ClientFiles(str(certificate), str(key), str(certificate)),
    )
    instance = Instance(RuntimeDirectory(tmp_path / "run"), SimpleNamespace(term=1), logging.getLogger("damage"))
    yield instance, run(launch_of(settings, None, logging.getLogger("damage")))
    instance.stop(30)


@pytest.mark.fuzz
def test_what_traefik_reads_is_written_again_before_it_is_started(tmp_path, launched):
    """All that a directory has: the configurations, the certificates, the plugin, the state."""
    instance, launch = launched

    def start():
        instance.find(launch.files)
        instance.spawn(launch, Program())
        instance.end(30)
        instance.last_words()

    start()
    directory = tmp_path / "run"
    link, static, state = (directory / name for name in ("traefik-with-secrets.toml", "traefik.toml", "traefik.json"))
    target = os.readlink(link)
    files = {file: file.read_bytes() for file in directory.rglob("*") if file.is_file() and file != link}
    names = {str(file.relative_to(directory)) for file in files}
    certificates = {"default-cert.pem", "default-key.pem", "internal-identity.pem"}
    assert names == {*map(str, plugin_files()), *certificates, "dynamic/kvproxy-base.toml", static.name, state.name}
    files[link] = files[static]
    changes = st.sampled_from(sorted(files)).flatmap(lambda file: st.tuples(st.just(file), damaged(files[file])))

    @given(changes)
    def for_all(change):
        file, changed = change
        file.unlink()
        file.write_bytes(changed)
        start()
        assert tomllib.loads(static.read_text()) == launch.static(f"127.0.0.1:{instance.api_port}", 8000)
        assert State.read(state).pid == instance.pid
        assert os.readlink(link) == target
        assert all(path.read_bytes() == files[path] for path in files.keys() - {static, state, link})

    explore(for_all, 30)


def _pair_in(directory):
    """The files of a certificate and its key."""
    files = directory / "cert.pem", directory / "key.pem"
    for file, content in zip(files, self_signed(), strict=True):
        file.write_bytes(content)
    return files


@pytest.mark.fuzz
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_damaged_certificate_or_key_is_a_pair_or_named(tmp_path):
    """A hub that runs keeps the copies that it has; one that starts says which file is wrong."""
    certificate, key = _pair_in(tmp_path)
    files = [pem.read("JupyterHub.ssl_cert", certificate), pem.read("JupyterHub.ssl_key", key)]

    @given(st.tuples(*(st.just(file.content) | damaged(file.content) for file in files)))
    def for_all(contents):
        read = [replace(file, content=content) for file, content in zip(files, contents, strict=True)]
        try:
            pair = pem.pair(*read)
            assert pem.authorities(read[0]) == pair.certificate
        except TraefikError as error:
            why = str(error)
        else:
            why = f"{certificate} and {key} are a pair"
        assert str(certificate) in why or str(key) in why

    explore(for_all, 2 * EXAMPLES)


@pytest.mark.fuzz
def test_a_file_without_a_checksum_is_read_or_named(tmp_path, run):
    """It may be of an older release, and hold anything."""
    backend = run(opened(tmp_path))
    lease, state = backend.directory / "lease", tmp_path / "traefik.json"
    program = {"command": "c", "version": "3", "files": {"/x": [1, 2, 3]}}
    usual = {
        backend.table_file: {"format": 1, "keys": TABLE},
        lease: {"token": "t", "holder": "h", "since": "s", "expiry": 1.5},
        state: {"pid": 7, "api_port": 8099, **program, "written": ["a"], "term": 1},
    }

    @st.composite
    def contents(draw):
        """A file and its content, of which a value or two are others."""
        file = draw(st.sampled_from(sorted(usual)))
        changed = draw(st.dictionaries(st.sampled_from(sorted(usual[file])), values, max_size=2))
        content = json.dumps(usual[file] | changed).encode()
        return file, draw(st.just(content) | damaged(content))

    @given(contents())
    def for_all(drawn):
        file, content = drawn
        for each in usual:
            each.unlink(missing_ok=True)
        file.write_bytes(content)
        other, why = run(opened(tmp_path)), str(file)
        try:
            keys = run(other.load()).keys
            assert all(isinstance(value, str) for item in keys.items() for value in item)
            run(other.acquire_lease("other", 600))
        except (BackendRejected, LeaseHeld) as error:
            why = str(error)
        assert str(file) in why
        found = State.read(state)
        assert found is None or all(path.is_relative_to(tmp_path) for path in found.files(tmp_path))

    explore(for_all, EXAMPLES)
