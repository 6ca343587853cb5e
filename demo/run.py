"""Runs demo/jupyterhub_config.py in a temporary directory until Ctrl-C, and leaves nothing behind."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

CONFIG = Path(__file__).absolute().with_name("jupyterhub_config.py")
LOG = "hub.log"
#: What the hub knows of its Traefik.
TRAEFIK = Path("kvproxy-run", "traefik.json")
HOST = "127.0.0.1"
START_TIMEOUT = 120
STOP_TIMEOUT = 30
INTERVAL = 0.1
PR_SET_CHILD_SUBREAPER = 36


class HubFailed(Exception):
    """The hub did not start, or ended by itself."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a JupyterHub behind Traefik, to try it.")
    parser.add_argument("port", nargs="?", default=8000, type=port_number, help="port to answer on (default: 8000)")
    port = parser.parse_args().port
    if why := why_not_free(port):
        say(f"Port {port} of {HOST} cannot be used ({why}); choose another: make demo PORT={port + 1}")
        return 1
    stop = Stop()
    adopt_orphans()
    with in_foreground(), tempfile.TemporaryDirectory(prefix="kvproxy-demo-") as directory:
        return run(Path(directory), port, stop)


class Stop:
    """Whether we shall stop. Only we stop the hub and all other processes, and signal each of them once."""

    def __init__(self) -> None:
        self._signalled = False
        self._has_terminal = os.isatty(0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            signal.signal(signal.SIGHUP, self._receive)

    @property
    def asked(self) -> bool:
        # make does not tell us that its terminal was closed
        return self._signalled or (self._has_terminal and not os.isatty(0))

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True


def run(directory: Path, port: int, stop: Stop) -> int:
    hub = start_hub(directory, port)
    try:
        attend(hub, directory, port, stop)
    except HubFailed as failure:
        say(f"{failure} The end of its log:\n{tail(directory / LOG)}")
        return 1
    finally:
        say("Stopping ...")
        end(hub)
    return 0


def start_hub(directory: Path, port: int) -> subprocess.Popen[bytes]:
    hub_port, page_port = free_ports(2)
    command = [sys.executable, "-m", "jupyterhub", f"--config={CONFIG}"]
    command += [f"--JupyterHub.bind_url=http://{HOST}:{port}", f"--JupyterHub.hub_port={hub_port}"]
    with open(directory / LOG, "wb") as log:
        return subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "DEMO_PAGE_PORT": str(page_port)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # only we get Ctrl-C, and we stop the hub
        )


def attend(hub: subprocess.Popen[bytes], directory: Path, port: int, stop: Stop) -> None:
    """Wait until somebody tells us to stop. Raises HubFailed."""
    say("Starting JupyterHub behind Traefik ...")
    deadline = time.monotonic() + START_TIMEOUT
    traefik: int | None = None
    while not stop.asked:
        if hub.poll() is not None:
            raise HubFailed(f"JupyterHub ended with status {hub.returncode}.")
        if traefik is None and answers(port):
            traefik = traefik_of(directory)
            if traefik is not None:
                say_what_to_try(directory, port, traefik)
        if traefik is None and time.monotonic() > deadline:
            raise HubFailed(f"JupyterHub did not answer within {START_TIMEOUT} s.")
        if traefik is not None:
            traefik = watch(directory, traefik)
        time.sleep(INTERVAL)


def say_what_to_try(directory: Path, port: int, traefik: int) -> None:
    url = f"http://{HOST}:{port}"
    say(f"Open {url} and log in with any user name and any password. Ctrl-C stops it.")
    say(f"As admin you also see {url}/hub/admin and, live, where requests go: {url}/services/kvproxy/")
    say(f"The log of JupyterHub: {directory / LOG} (removed at the end)")
    say(f"Kill Traefik now and see; users' servers go on: kill -9 {traefik}")


def watch(directory: Path, traefik: int) -> int:
    """The process of Traefik; tells if it is another than `traefik`."""
    now = traefik_of(directory)
    if now is None or now == traefik:
        return traefik
    say(f"Process {traefik} is gone. JupyterHub has started another Traefik: kill -9 {now}")
    return now


def traefik_of(directory: Path) -> int | None:
    """The process of the hub's Traefik; None while there is none."""
    try:
        return int(json.loads((directory / TRAEFIK).read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None


def end(hub: subprocess.Popen[bytes]) -> None:
    """End the hub, which ends the others, and then all processes that it left."""
    hub.terminate()
    with suppress(subprocess.TimeoutExpired):
        hub.wait(STOP_TIMEOUT)
    for number in (signal.SIGTERM, signal.SIGKILL):
        end_children(number, patience=5)


def end_children(number: signal.Signals, patience: float) -> None:
    deadline = time.monotonic() + patience
    told: set[int] = set()
    while any_children_left() and time.monotonic() < deadline:
        for pid in children() - told:
            told.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(INTERVAL)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, so that we find all processes that are left."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def any_children_left() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def children() -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                found.add(int(stat.parent.name))
    return found


@contextmanager
def in_foreground() -> Iterator[None]:
    """Be the only one to get the terminal's Ctrl-C: make would get it too, and report a failure."""
    group = os.getpgrp()
    if group == os.getpid() or not os.isatty(0) or os.tcgetpgrp(0) != group:
        yield
        return
    signal.signal(signal.SIGTSTP, lambda number, frame: None)  # nobody could continue us
    os.setpgid(0, 0)
    give_terminal_to(os.getpgrp())
    try:
        yield
    finally:
        with suppress(OSError):  # the terminal may be closed
            give_terminal_to(group)


def give_terminal_to(group: int) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.tcsetpgrp(0, group)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def port_number(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError(text)
    return number


def why_not_free(port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.strerror
    return None


def free_ports(count: int) -> list[int]:
    with ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in found:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in found]


def answers(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{HOST}:{port}/hub/login", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def say(text: str) -> None:
    with suppress(OSError):  # the terminal may be closed
        print(f"==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
