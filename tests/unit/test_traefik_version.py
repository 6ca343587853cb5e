"""What a command tells of its version, if it tells and ends."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import binary, commands
from jhub_kvproxy.traefik.binary import installed_version
from jhub_kvproxy.traefik.commands import output_of
from tests.hub import kill_processes_of, processes_of, until


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


async def test_what_left_its_group_is_not_waited_for(command, tmp_path, monkeypatch):
    monkeypatch.setattr(binary, "_PATIENCE", 1.0)
    wrapper = command(f"echo Version; setsid tail -f {tmp_path}/traefik & tail -f {tmp_path}/traefik")
    try:
        with pytest.raises(TraefikError, match=r"does not end within 1 s"):
            await asyncio.wait_for(installed_version(wrapper), 30)
    finally:
        kill_processes_of(tmp_path)


async def test_output_that_nobody_reads_is_not_waited_for(command, tmp_path):
    """There is more of it than is read ahead."""
    wrapper = command(f"head -c 2100000 /dev/zero; touch {tmp_path}/read; cat /dev/zero")

    async def run():
        async with output_of(wrapper):
            await until((tmp_path / "read").exists, "it is not read")

    await asyncio.wait_for(run(), 30)


async def test_what_it_started_ends_although_it_has_ended_itself(command, tmp_path):
    wrapper = command(f"echo 'Version:      3.7.15'; tail -f {tmp_path}/traefik >{tmp_path}/out 2>&1 &")
    assert await installed_version(wrapper) == "3.7.15"
    await until(lambda: not processes_of(tmp_path), "something runs on")


async def test_one_that_may_not_be_ended_is_not_waited_for(command, tmp_path, monkeypatch):
    """Fake: a wrapper that runs as another user, such as sudo."""

    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(binary, "_PATIENCE", 1.0)
    monkeypatch.setattr(commands, "_PATIENCE", 0.1)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "killpg", refuse)
            with pytest.raises(TraefikError, match=r"does not end within 1 s"):
                await asyncio.wait_for(installed_version(command(f"tail -f {tmp_path}/traefik")), 30)
    finally:
        kill_processes_of(tmp_path)
