"""Finds a Traefik of ours that runs, and how to ask it. It changes nothing."""

from __future__ import annotations

import os
import pwd
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import procfs
from ..errors import TraefikError
from .api import TraefikAPI
from .runtime import RuntimeDirectory
from .state import State

API_USER = "kvproxy"
API_PASSWORD_ENV = "KVPROXY_API_PASSWORD"


class OfAnotherUser(TraefikError):
    """Whether a Traefik runs cannot be told, or it cannot be asked, because another user started it."""


@dataclass(frozen=True, slots=True)
class Running:
    """A Traefik that a hub, or an agent, has started here."""

    pid: int
    api_port: int
    password: str = field(repr=False)

    @property
    def api(self) -> TraefikAPI:
        return TraefikAPI(f"http://127.0.0.1:{self.api_port}", API_USER, self.password)


def running_in(directory: Path) -> Running:
    """The Traefik whose runtime directory this is, which must be of this process's user.

    Raises :class:`~jhub_kvproxy.errors.TraefikError` if there is none, :class:`OfAnotherUser` if that is why.
    """
    runtime = RuntimeDirectory(directory)
    user = None
    try:
        user = runtime.state_file.stat().st_uid
    except PermissionError as error:
        raise OfAnotherUser(f"{directory} is of another user; run this as the Hub's user.") from error
    except OSError:
        pass
    state = State.read(runtime.state_file)
    password = password_of(runtime, state.pid) if state else None
    if state is None or password is None or procfs.start_time(state.pid) is None:
        # Root can read the file, but does not trust another user's process.
        if state and user != os.geteuid() and procfs.has_argument(state.pid, runtime.config_argument, user):
            raise OfAnotherUser(
                f"The Traefik in {directory} (pid {state.pid}) is of the user {_name_of(user)}; run this as that user."
            )
        raise TraefikError(f"No Traefik of this user runs in {directory} (KVProxy.runtime_dir).")
    return Running(state.pid, state.api_port, password)


def _name_of(user: int | None) -> str:
    try:
        return pwd.getpwuid(user or 0).pw_name
    except KeyError:
        return str(user)


def password_of(runtime: RuntimeDirectory, pid: int) -> str | None:
    """The password of the API of the Traefik `pid`, empty if the kernel hides it; None: it is none of `runtime`."""
    if not procfs.has_argument(pid, runtime.config_argument):
        return None
    try:
        return procfs.environment(pid).get(API_PASSWORD_ENV)
    except OSError:
        return ""


def reads_from(directory: Path, pid: int, providers: Mapping[str, Any]) -> bool:
    """Whether the Traefik `pid` with this runtime directory reads the store of `providers`, or that is not known."""
    try:
        config = tomllib.loads((RuntimeDirectory(directory).config_of(pid) or b"").decode())
        found = config["providers"]
        return all(found.get(name, {}).items() >= section.items() for name, section in providers.items())
    except (ValueError, LookupError, AttributeError):
        return True


def label_of(number: int) -> str:
    """What tools and metrics call this one, from 1 on, of the Traefiks that a hub starts."""
    return "local" if number == 1 else f"local-{number}"


def home_of(directory: Path, number: int) -> Path:
    """The directory of this one, from 1 on, of the Traefiks that a hub with this runtime directory starts."""
    return directory if number == 1 else directory / f"replica-{number}"
