"""Where programs are, and how to get one that is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from .errors import Missing

ROOT = Path(__file__).parents[1]
#: Where ``tools/setup`` puts what must not be installed system-wide.
_SERVERS = ROOT / ".servers"
_PEER = ROOT / ".venv-peer"


def _number(directory: Path) -> float:
    return float(directory.parent.name)


# Debian has nginx in /usr/sbin, which is not on everybody's PATH, and each version of PostgreSQL in its own directory.
_BEFORE = [str(Path(sys.executable).parent), str(_SERVERS / "usr" / "bin"), str(_SERVERS / "node_modules" / ".bin")]
_AFTER = ["/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True))]

_HOW = {
    "chromium": "on Debian: apt-get install chromium",
    "curl": "on Debian: apt-get install curl",
    "openssl": "on Debian: apt-get install openssl",
    "wrk": "on Debian: apt-get install wrk",
    "nginx": "on Debian: apt-get install nginx-light",
    "haproxy": "on Debian: apt-get install haproxy",
    "go": "on Debian: apt-get install golang-go",
    "etcd": "on Debian: apt-get install etcd-server",
    "etcdctl": "on Debian: apt-get install etcd-client",
    "systemd-analyze": "on Debian: apt-get install systemd",
    "promtool": "on Debian: apt-get install prometheus",
    "zsh": "on Debian: apt-get install zsh",
    "fish": "on Debian: apt-get install fish",
    "bash": "on Debian: apt-get install bash",
    "pebble": "on Debian: apt-get install pebble",
    "pebble-challtestsrv": "on Debian: apt-get install pebble",
    "pgbouncer": "on Debian: apt-get install pgbouncer",
    "postgres": "on Debian: apt-get install postgresql",
    "redis-server": "on Debian: apt-get install redis-server",
    "consul": "make test and make bench unpack Debian 11's package on a Debian, as root",
    "configurable-http-proxy": "npm install --prefix .servers configurable-http-proxy, as make test and make bench do",
    "node": "on Debian: apt-get install nodejs npm",
    "peer": "python3 -m venv .venv-peer && "
    '.venv-peer/bin/pip install "jupyterhub-traefik-proxy[etcd,consul,redis]", as make bench does',
    "setpriv": "on Debian: apt-get install util-linux",
    "traefik": 'pip install "jhub-kvproxy[traefik]"',
}


def find(program: str) -> str:
    """The path of `program`. Raises Missing, which says how to get it.

    The directories in the variable KVPROXY_PROGRAMS, separated as on PATH, come first.
    """
    places = [os.environ.get("KVPROXY_PROGRAMS", ""), *_BEFORE, os.environ["PATH"], *_AFTER]
    path = shutil.which(program, path=os.pathsep.join(filter(None, places)))
    if path is None:
        raise Missing(f"there is no {program} here ({_HOW[program]})")
    return path


def peer_python() -> str:
    """The Python that the peer, jupyterhub-traefik-proxy, is installed in."""
    python = _PEER / "bin" / "python"
    if not python.exists() or not list(_PEER.glob("lib/python3*/site-packages/jupyterhub_traefik_proxy")):
        raise Missing(f"there is no jupyterhub-traefik-proxy here ({_HOW['peer']})")
    return str(python)
