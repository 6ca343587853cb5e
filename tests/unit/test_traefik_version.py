"""What a command tells of its version, if it tells and ends."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import binary
from jhub_kvproxy.traefik.binary import installed_version
from tests.hub import processes_of, until


@pytest.fixture
def command(tmp_path):
    """Makes a command of a shell script."""

    def make(text):
        path = tmp_path / "traefik"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)
        return [str(path)]

    return make


async def test_a_version(command):
    assert await installed_version(command("echo 'Version:      3.7.15'")) == "3.7.15"


async def test_one_that_tells_none_is_said_to_be_none(command):
    with pytest.raises(TraefikError, match="tells no version; is it Traefik"):
        await installed_version(command("echo Hello; exit 3"))


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_one_that_does_not_end_is_ended_with_all_that_it_started(command, tmp_path, monkeypatch, is_cancelled):
    """Of a wrapper, the one that holds its output open is not the one that was started."""
    monkeypatch.setattr(binary, "_PATIENCE", 1.0)
    asking = asyncio.create_task(
        installed_version(command(f"tail -f {tmp_path}/traefik | cat & tail -f {tmp_path}/traefik"))
    )
    if is_cancelled:
        await until(lambda: len(processes_of(tmp_path)) >= 2, "it does not start")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    else:
        with pytest.raises(TraefikError, match=r"cannot be run: it does not end within 1 s"):
            await asking
    await until(lambda: not processes_of(tmp_path), "something runs on")
