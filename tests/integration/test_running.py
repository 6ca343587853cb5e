"""Who looks for the hub's own Traefik as another user than the hub's is told so."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from jhub_kvproxy.traefik.running import API_PASSWORD_ENV, OfAnotherUser, running_in
from jhub_kvproxy.traefik.runtime import RuntimeDirectory
from servers.ports import free_port
from tests.command import USES_KVPROXY, run
from tests.hub import until

NOBODY = 65534
STAND_IN = "read until_the_end"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@contextmanager
def traefik_of(user, directory):
    """A stand-in that has what we know the Traefik in `directory` by; another user could not read a real one here."""
    runtime = RuntimeDirectory(directory)
    command = ["/bin/sh", "-c", STAND_IN, runtime.config_argument]
    process = subprocess.Popen(command, env={API_PASSWORD_ENV: "x"}, user=user, stdin=subprocess.PIPE)
    with process:
        directory.mkdir()
        runtime.state_file.write_text(json.dumps({"pid": process.pid, "api_port": free_port()}))
        for path in (directory, runtime.state_file):
            os.chown(path, user, -1)
        yield process
        process.stdin.close()


async def begun(process):
    arguments = Path(f"/proc/{process.pid}/cmdline")
    await until(lambda: STAND_IN.encode() in arguments.read_bytes(), "it does not start")


@as_root
async def test_root_is_told_whose_traefik_it_is(tmp_path):
    with traefik_of(NOBODY, tmp_path / "kvproxy-run") as process:
        await begun(process)
        with pytest.raises(OfAnotherUser, match=f"pid {process.pid}.*is of the user nobody; run this as that user"):
            running_in(tmp_path / "kvproxy-run")
    with pytest.raises(Exception, match="No Traefik of this user runs") as caught:
        running_in(tmp_path / "kvproxy-run")
    assert not isinstance(caught.value, OfAnotherUser)


@as_root
async def test_a_file_of_ours_about_a_process_of_somebody_else_is_stale(tmp_path):
    """Somebody may have got the process id of a Traefik that ended."""
    with traefik_of(NOBODY, tmp_path / "kvproxy-run") as process:
        await begun(process)
        os.chown(tmp_path / "kvproxy-run" / "traefik.json", 0, -1)
        with pytest.raises(Exception, match="No Traefik of this user runs"):
            running_in(tmp_path / "kvproxy-run")


@as_root
def test_the_commands_do_not_tell_root_that_another_program_has_the_port(tmp_path):
    (tmp_path / "jupyterhub_config.py").write_text(USES_KVPROXY)
    with traefik_of(NOBODY, tmp_path / "kvproxy-run") as process:
        asyncio.run(begun(process))
        checked = run("check", cwd=tmp_path)
        assert f"FAILED  start   The Traefik in {tmp_path}/kvproxy-run (pid {process.pid}) is of" in checked.out
        assert "another program" not in checked.out
        assert "not found" in run("status", cwd=tmp_path).out
