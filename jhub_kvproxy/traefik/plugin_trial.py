"""Whether a Traefik can load our plugin, for when it ended as soon as it was started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tomli_w

from .plugin_files import plugin_static

_PATIENCE = 15.0
_LOADED = "Plugins loaded"


async def why_the_plugin_is_not_loaded(command: Sequence[str], directory: Path, env: Mapping[str, str]) -> str:
    """What a Traefik that is started in `directory` with our plugin, and with the environment `env`, says against it.

    Empty: it loads the plugin, or says nothing within 15 s. That Traefik has ended then.
    """
    return await asyncio.to_thread(_try, command, directory, env)


def _try(command: Sequence[str], directory: Path, env: Mapping[str, str]) -> str:
    static = {
        **plugin_static(),
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO", "noColor": True},
        "entryPoints": {"none": {"address": "127.0.0.1:0"}},
    }
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(tomli_w.dumps(static).encode())
        file.flush()
        process = subprocess.Popen(
            [*command, f"--configFile={file.name}"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            start_new_session=True,
        )
        # The command may be a script that starts Traefik, and both have to end.
        end = threading.Timer(_PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
        end.start()
        try:
            assert process.stdout
            return _reason(process.stdout)
        finally:
            end.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _reason(lines: Iterable[str]) -> str:
    for line in lines:
        if _LOADED in line:
            break
        if "plugin" in line and (error := re.search(r' ERR .*error="(.*)"$', line.rstrip())):
            return error[1].rpartition("failed to create plugin builder: ")[2].replace('\\"', '"')
    return ""
