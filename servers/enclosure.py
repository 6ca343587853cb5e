"""Namespaces of its own for a program and all that it starts: what they mount and listen on ends with them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .errors import Unavailable
from .process import tied

#: Settings of the kernel that all namespaces share, and what a kubelet would set them to.
_KUBELET_WANTS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
_CGROUPS = Path("/sys/fs/cgroup")


def enclosed(command: Sequence[str]) -> list[str]:
    """`command` in namespaces for the network, mounts and processes. When it ends, or is killed, all of them end.

    A shell is the first process there: it takes care of orphans.
    """
    unshare = ["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc"]
    return tied([*unshare, "sh", "-c", '"$@"; exit $?', "sh", *command])


def furnish(directory: Path) -> None:
    """Within an enclosure: let writes to /run and /var go to `directory`, and keep the kernel's settings as they are.

    Raises Unavailable if we may not.
    """
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "kvproxy-run", "/run")
    upper, work = directory / "var", directory / "var.work"
    upper.mkdir()
    work.mkdir()
    _run("mount", "-t", "overlay", "-o", f"lowerdir=/var,upperdir={upper},workdir={work}", "kvproxy-var", "/var")
    for name, value in _KUBELET_WANTS.items():
        file = directory / name.replace("/", "-")
        file.write_text(f"{value}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{name}")


def make_network(address: str) -> None:
    """Within an enclosure: a network with this address of ours (and its bits), over which everything else goes."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "node1")
    for link in ("node0", "node1"):
        _run("ip", "link", "set", link, "up")
    _run("ip", "address", "add", address, "dev", "node0")
    _run("ip", "route", "add", "default", "dev", "node0")
    for name in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
        Path("/proc/sys", name).write_text("1\n")


def make_cgroups(name: str) -> None:
    """Make the control groups of this name, as far as the machine has hierarchies of them."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove_cgroups(name: str) -> None:
    """Remove the control groups of this name, in which no process is any more. Harmless if there are none."""
    for hierarchy in _hierarchies():
        for path, _, _ in os.walk(hierarchy / name, topdown=False):
            Path(path).rmdir()


def _hierarchies() -> list[Path]:
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [path for path in _CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip()}")
