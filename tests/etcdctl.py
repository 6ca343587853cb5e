"""Runs the `etcdctl` commands of the documentation, as they are written there."""

from __future__ import annotations

import shlex
import subprocess

from servers.etcd import EtcdServer
from servers.programs import find


def etcdctl(server: EtcdServer, block: str, password: str) -> str:
    """What the commands of `block` print; `password` is what they would ask for."""
    said = ""
    for line in block.splitlines():
        name, *words = shlex.split(line.removeprefix("$ "))
        assert name == "etcdctl"
        if "user add" in line:
            words[-1] += f":{password}"
        if "--user" in words:
            words[words.index("--user") + 1] += f":{password}"
        command = [find("etcdctl"), *words, "--endpoints", server.url]
        result = subprocess.run(command, capture_output=True, text=True, env={"ETCDCTL_API": "3"})
        assert result.returncode == 0, f"{line}: {result.stderr}"
        said += result.stdout
    return said
