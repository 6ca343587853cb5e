"""The check of what the hub needs on its own machine when it starts. It leaves nothing behind."""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..aio import in_thread
from ..errors import TraefikError
from ..hub.proxy import KVProxy
from ..hub.rest_api import RESTAPI
from ..options.chosen import provider_of, settings_of
from ..options.settings import Settings
from ..store.contract import Backend
from ..traefik import pem
from ..traefik.binary import advice, check_version, find_traefik, installed_version
from ..traefik.entry import access_log_of
from ..traefik.launch import Launch
from ..traefik.launching import SSL_CERT, launch_of
from ..traefik.local import launches_of
from ..traefik.settings import TraefikSettings
from ..traefik.trial import try_launch, try_static
from .report import Report, StepFailed
from .running import pids_of, try_running

#: Fewer open files than this are soon used up: each user needs several.
_FEW_FILES = 4096
_SOON = timedelta(days=14)


async def try_start(proxy: KVProxy, table: Backend | None, report: Report, *, hub_runs: bool) -> None:
    """Report what the start of the hub of `proxy`, which starts Traefik, would refuse, and what runs already.

    `table` is the hub's own; None: it is not open. `hub_runs`: a hub has the lease.
    """
    version = ""
    with suppress(StepFailed), report.step("traefik"):
        command = find_traefik(proxy.traefik_cmd)
        version = await installed_version(command)
        check_version(version, command[0])
        report.ok("traefik", f"{command[0]} is Traefik {version}; the hub starts it.")
        if warning := advice(version):
            report.note("traefik", warning)
    with suppress(StepFailed):
        with report.step("start"):
            settings = _without_what_is_not_there_yet(settings_of(proxy))
            launches = await _launches(settings.traefik, proxy)
            await in_thread(_try_files, settings.traefik, launches[0])
            pids = await in_thread(pids_of, settings)
            for number, launch in enumerate(launches, 1):
                if number not in pids:
                    await launch.check_ports()
        await try_rest_api(settings, report, hub_runs=hub_runs)
        report.ok("start", f"{_listening(launches, pids)}, and the files that it needs are there.")
        _note_certificate(settings.traefik, report)
        if version:
            await _try_traefik(settings.traefik, proxy, report)
        if pids:
            with report.step("traefik"):
                await try_running(proxy, settings, table, version, report)
    _note_limit(report)


def _listening(launches: list[Launch], pids: Mapping[int, int]) -> str:
    ports = ", ".join(str(launch.public_port) for launch in launches)
    if len(pids) == len(launches):
        return f"Traefik runs already (pid {', '.join(map(str, pids.values()))})"
    return f"Traefik can listen on port {ports}"


async def _try_traefik(settings: TraefikSettings, proxy: KVProxy, report: Report) -> None:
    """Report whether Traefik takes what the hub would start it with. One that runs notices nothing."""
    store = provider_of(proxy)
    with suppress(StepFailed), report.step("trial"):
        await try_static(await launch_of(replace(settings, access_log=_harmless_log(settings)), store, proxy.log))
        await try_launch(settings, store, proxy.log)
        plugin = "" if store else ", with our plugin"
        report.ok("trial", f"Traefik takes this configuration; it was started for a moment on loopback{plugin}.")


async def try_rest_api(settings: Settings, report: Report, *, hub_runs: bool) -> None:
    """Report whether the hub could start its REST API, by starting one that serves nothing, unless a hub runs."""
    if not settings.rest_api_port or (hub_runs and settings.rest_api_token):
        return  # the hub itself may listen there
    nothing: Any = None
    api = RESTAPI(nothing, settings.rest_api_token, writes=False, host_routing=False, log=None)
    with report.step("start"):
        try:
            await api.start(settings.rest_api_ip, settings.rest_api_port)
        finally:
            await api.close()


def _without_what_is_not_there_yet(settings: Settings) -> Settings:
    """`settings` without the files of ``JupyterHub.internal_ssl``, if JupyterHub has not made them."""
    client = settings.traefik.internal_ssl
    if client and not Path(client.cert).exists():
        return replace(settings, traefik=replace(settings.traefik, internal_ssl=None))
    return settings


async def _launches(settings: TraefikSettings, proxy: KVProxy) -> list[Launch]:
    """What the hub would start its Traefiks with. Raises what the hub's start does."""
    # The program has been looked for already.
    harmless = replace(settings, traefik_cmd=(sys.executable,), access_log=_harmless_log(settings))
    return launches_of(await launch_of(harmless, provider_of(proxy), proxy.log), settings.local_replicas)


def _harmless_log(settings: TraefikSettings) -> str:
    """A file that is missing would be made."""
    return settings.access_log if settings.access_log == "-" else ""


def _try_files(settings: TraefikSettings, launch: Launch) -> None:
    """Raises :class:`~jhub_kvproxy.errors.TraefikError` for a directory that cannot be written."""
    run = Path(settings.runtime_dir).absolute()
    below = [path for path in (*launch.files, *(run / path for path in launch.local_files)) if run in path.parents]
    for directory in sorted({run, *(path.parent for path in below)}):
        _try_directory("KVProxy.runtime_dir", directory)
    if (log := access_log_of(settings)) not in ("", "-"):
        _try_file("KVProxy.access_log", Path(log))
    if settings.acme_domains:
        _try_file("KVProxy.acme_storage", Path(settings.acme_storage).absolute())


def _try_directory(option: str, path: Path) -> None:
    """Whether files can be written in `path`, or it can be made."""
    there = next(each for each in (path, *path.parents) if each.exists())
    if not there.is_dir():
        raise TraefikError(f"{option}: {there} is no directory.")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        what = "" if there == path else f"{path} cannot be made: "
        raise TraefikError(f"{option}: {what}{there} cannot be written ({error.strerror}).") from error


def _try_file(option: str, path: Path) -> None:
    try:
        if path.exists():
            path.open("ab").close()
            return
    except OSError as error:
        raise TraefikError(f"{option}: {path} cannot be written: {error.strerror}.") from error
    if not path.parent.is_dir():
        raise TraefikError(f"{option}: {path} cannot be made: there is no directory {path.parent}.")
    _try_directory(option, path.parent)


def _note_certificate(settings: TraefikSettings, report: Report) -> None:
    if not settings.ssl_cert:
        return
    names = Path(settings.ssl_cert).absolute(), Path(settings.ssl_key).absolute()
    expires = pem.pair(pem.read(SSL_CERT, names[0]), pem.read("JupyterHub.ssl_key", names[1])).expires
    now = datetime.now(UTC)
    if expires < now + _SOON:
        was = "is" if expires > now else "was"
        report.note("start", f"JupyterHub.ssl_cert: {names[0]} {was} valid until {expires:%Y-%m-%d %H:%M} UTC.")


def _note_limit(report: Report) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < _FEW_FILES:
        report.note(
            "start",
            f"What is started from here can have {hard:,} files and connections open at a time (ulimit -Hn), and each "
            "user needs several. Start the hub with a higher limit (LimitNOFILE in its systemd unit).",
        )
