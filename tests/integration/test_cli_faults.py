"""``jhub-kvproxy check`` with a store that fails, and when it is interrupted: nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jhub_kvproxy.cli.store import run_to_end
from servers.ports import free_port
from tests.command import GOOD, ended, fill, install, start, tree
from tests.hub import until

FAULTY = """
    import asyncio, os
    from pathlib import Path
    from jhub_kvproxy import BackendRejected, BackendUnavailable, Snapshot
    from jhub_kvproxy_backends.toml import TomlBackend

    class Scratch(TomlBackend):
        @property
        def is_scratch(self):
            return "-check-" in self.prefix

    class SlowBackend(Scratch):
        "Its first write takes until the file `go` is there."
        async def apply(self, batch):
            await super().apply(batch)
            if self.is_scratch:
                Path("written").touch()
                while not Path("go").exists():
                    await asyncio.sleep(0.01)

    class UnreadableBackend(Scratch):
        "It fails when it is read, with an error of its own or by a fault."
        async def load(self):
            if self.is_scratch:
                raise BackendUnavailable("The disk is gone.") if os.environ.get("KNOWN") else KeyError("what")
            return await super().load()

    class ForgetfulBackend(Scratch):
        async def load(self):
            return Snapshot({}) if self.is_scratch else await super().load()

    class ClingingBackend(Scratch):
        async def remove(self):
            raise BackendUnavailable("The disk is full.")

    class SilentBackend(Scratch):
        async def watch(self):
            yield

    class GenerousBackend(Scratch):
        async def acquire_lease(self, holder, ttl): ...
        async def release_lease(self): ...

    class StrictBackend(Scratch):
        "It takes no other prefix than the hub's."
        async def apply(self, batch):
            if self.is_scratch:
                raise BackendRejected("You may not write there.")
            await super().apply(batch)

    class WarningBackend(Scratch):
        async def open(self):
            await super().open()
            self.log.warning("Something is %s.", "odd")

    class NamelessBackend(Scratch):
        provider = ""

    class LackingBackend(Scratch):
        def traefik_provider_config(self):
            return {}

    class ComplainingBackend(Scratch):
        async def open(self):
            await super().open()
            self.log.error("Something is wrong.")
"""
ROOMY = """
    from jhub_kvproxy_backends.toml import TomlBackend

    class RoomyBackend(TomlBackend):
        def traefik_provider_config(self):
            return {"file": {"directory": "elsewhere/traefik"}}
"""
FAULTS = {name: f"faulty:{name.title()}Backend" for name in ("slow", "unreadable", "forgetful", "clinging", "silent")}
FAULTS |= {name: f"faulty:{name.title()}Backend" for name in ("generous", "strict", "warning", "complaining")}
FAULTS |= {name: f"faulty:{name.title()}Backend" for name in ("nameless", "lacking")}


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A directory with a table, and fakes of a store that fail as no real one does when it is asked to."""
    install(tmp_path / "installed", "faulty-stores", FAULTY, FAULTS)
    here = tmp_path / "here"
    here.mkdir()
    config = Config()
    config.TomlBackend.path = str(here / "kvproxy-table")
    fill(config, 1)
    return here


def start_with(name: str, directory: Path, *words: str, **options: Any) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(directory.parent / "installed"), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "80"}
    words = (f"--JupyterHub.bind_url=http://127.0.0.1:{free_port()}", *words)
    return start("check", f"--KVProxy.backend_class={name}", *words, cwd=directory, env=environment, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_interrupts_it_finds_nothing_left(number, faulty):
    before = tree(faulty)
    process = start_with("slow", faulty)
    asyncio.run(until((faulty / "written").exists, "nothing was written"))
    assert any("-check-" in name for name in tree(faulty))
    process.send_signal(number)
    (faulty / "go").touch()
    result = ended(process)
    assert (result.status, result.err) == (1, "")
    assert result.steps[-1] == "FAILED check"
    assert tree(faulty) == {**before, "written": b"", "go": b""}


async def test_a_call_to_the_store_is_not_cut_off():
    go, done = asyncio.Event(), []

    async def call() -> None:
        await go.wait()
        done.append(True)

    task = asyncio.create_task(run_to_end(call()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done


def test_what_cannot_be_removed_is_said(faulty):
    result = ended(start_with("clinging", faulty))
    assert result.status == 1
    assert [step for step in result.steps if "FAILED" in step] == ["FAILED cleanup"]
    [left] = [name for name in tree(faulty) if name.count("/") == 1 and "-check-" in name]
    assert f"Below '{Path(left).name}' something may be left: The disk is full." in result.out


def test_a_terminal_gets_lines_that_fit(faulty):
    reader, writer = pty.openpty()
    process = start_with("forgetful", faulty, stdout=writer)
    os.close(writer)
    shown = b""
    with suppress(OSError):  # which is how a terminal ends
        while read := os.read(reader, 4096):
            shown += read
    os.close(reader)
    assert ended(process).status == 1
    lines = shown.decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.startswith(" " * 16)]


@pytest.mark.parametrize(
    ("name", "steps", "sentence"),
    [
        ("unreadable", ["FAILED write"], "KeyError: 'what'. This is a bug in the program; --debug shows where."),
        ("forgetful", ["FAILED write"], ", but reading does not return it."),
        ("silent", ["ok write", "FAILED watch", "ok lease"], "The store did not report a change within 10 s."),
        ("generous", ["ok write", "ok watch", "FAILED lease"], "The store gave the lease to two writers at once."),
        ("warning", ["ok write", "ok watch", "ok lease"], "note    store   Something is odd.\n"),
        ("complaining", ["ok write", "ok watch", "ok lease"], "FAILED  store   Something is wrong.\n"),
        ("strict", ["note write", "ok write"], "The store lets us use 'jupyterhub' only."),
    ],
)
def test_a_store_that_fails_half_way_is_told_and_cleaned(name, steps, sentence, faulty):
    before = tree(faulty)
    result = ended(start_with(name, faulty))
    assert result.err == ""
    assert result.status == ("FAILED" in result.out)
    assert [step for step in result.steps if " store" not in step and step != "note hub"] == [
        *GOOD[:3],
        *steps,
        *GOOD[-3:],
    ]
    assert result.out.count(sentence) == 1
    assert tree(faulty) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nameless", "Traefik cannot read the store of NamelessBackend by itself"),
        ("lacking", "LackingBackend.traefik_provider_config() has no file, so Traefik cannot read its store"),
    ],
)
def test_a_store_that_traefik_cannot_read_is_said_at_once(name, why, faulty):
    words = [
        "--KVProxy.delivery=store",
        "--KVProxy.should_start=False",
        "--KVProxy.traefik_api_urls=http://127.0.0.1:1",
    ]
    result = ended(start_with(name, faulty, *words))
    assert result.status == 1
    steps = [step for step in result.steps if step != "note hub"]
    assert steps == ["ok config", *GOOD[1:-3], "FAILED traefik"]
    assert why in " ".join(result.out.split())
    assert "bug" not in result.out


def test_a_database_with_a_table_is_not_called_empty(faulty):
    """Traefik's own directory may be missing, as on a machine where no hub has run."""
    install(faulty.parent / "more", "roomy-stores", ROOMY, {"roomy": "roomy:RoomyBackend"})
    path = os.pathsep.join([str(faulty.parent / "more"), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "80"}
    port = f"--JupyterHub.bind_url=http://127.0.0.1:{free_port()}"
    result = ended(start("check", "--KVProxy.backend_class=roomy", port, cwd=faulty, env=environment))
    assert [step for step in result.steps if step != "note hub"] == GOOD
    assert "'jupyterhub' holds 1 route, and may be changed." in result.out
