"""``jhub-kvproxy check``: whether a hub's configuration works, before the hub finds out."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from traitlets import Bool, TraitError, Unicode

from ..errors import BackendError
from ..hub.proxy import KVProxy
from ..store.contract import Backend
from ..store.registry import installed_backends
from .app import Command
from .config import (
    DEFAULT_FILE,
    ConfigurationError,
    chosen_proxy,
    load_for_hub,
    mistakes,
    proxy_class_for,
    silent_log,
)
from .replicas import Needs, try_binary, try_replicas
from .report import Report, StepFailed
from .secrets import Secrets
from .store import Table, backend_for, open_table, try_store, whole


class CheckApp(Command):
    """The command."""

    usage = "check [--config FILE] [--json] [--debug] [--CLASS.OPTION=VALUE ...]"
    description = f"""
    Try the store and Traefik with the configuration of a hub; exit with 0 if all is well, with 1 if not.

    The file (by default {DEFAULT_FILE}, if it is here) is loaded as JupyterHub does it. Then the store is
    opened; below a prefix of its own, the check writes, reads, deletes, watches and leases, as far as the
    store can, and removes everything again. It looks whether the Traefik that the hub will start is there
    and new enough; or, with KVProxy.should_start off, whether each Traefik serves this hub's table, and
    shows what its static configuration needs.

    Run it as the hub's user, in its working directory and with its environment. A running hub is not disturbed.
    """
    examples = """
    jhub-kvproxy check --config /etc/jupyterhub/jupyterhub_config.py
    jhub-kvproxy check --KVProxy.backend_class=etcd --EtcdBackend.timeout=2
    """
    takes_configuration = True
    aliases = {("f", "config"): ("CheckApp.config_file", "the hub's configuration file")}  # noqa: RUF012
    flags = {  # noqa: RUF012
        **Command.flags,
        "debug": ({"CheckApp": {"debug": True}}, "show where in the program an error came from"),
    }

    config_file = Unicode(config=True, help="The hub's configuration file.")
    debug = Bool(config=True, help="Show tracebacks.")

    def run(self) -> None:
        report = Report(self._tell, Secrets(), debug=self.debug)
        report.facts = {"backend": None, "prefix": None, "routes": None, "traefik": None, "replicas": []}
        try:
            asyncio.run(self._check(report))
        except (KeyboardInterrupt, asyncio.CancelledError):
            is_clean = all(step.step != "cleanup" for step in report.steps)
            report.failed("check", "It was interrupted" + (", and has removed what it wrote." if is_clean else "."))
        self.status = 0 if report.is_ok else 1
        if self.as_json:
            steps = [asdict(step) for step in report.steps]
            self.print_json({"ok": report.is_ok, "steps": steps, **report.facts})

    def _tell(self, text: str) -> None:
        if not self.as_json:
            self.print(text)

    async def _check(self, report: Report) -> None:
        task = asyncio.current_task()
        assert task
        for number in (signal.SIGTERM, signal.SIGHUP):  # as asyncio does it for Ctrl-C
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(StepFailed):
            with report.step("config"):
                proxy = self._configured(report)
            backend = backend_for(proxy, proxy.prefix)
            try:
                state = await open_table(backend, report)
                table = backend if state is Table.OPEN else None
                if state is not Table.FAILED:
                    await try_store(proxy, table, report)
                await self._try_traefik(proxy, table, report)
            finally:
                await whole(backend.close())

    def _configured(self, report: Report) -> KVProxy:
        """The proxy as the hub would make it; nothing is started, and nothing opened."""
        file, config = load_for_hub(self.config_file, self.cli_config)
        for section in config.values():
            report.secrets.learn(section)
        proxy_class, log = proxy_class_for(config), silent_log()
        try:
            proxy = proxy_class(config=config, log=log)
            backend = backend_for(proxy, proxy.prefix)
        except (TraitError, ValueError) as error:
            raise ConfigurationError(str(error)) from error
        report.secrets.learn_traits(proxy)
        report.secrets.learn_traits(backend)
        with suppress(BackendError):
            report.secrets.learn_provider(backend.traefik_provider_secrets())
        # From here on; traitlets has warned of what `mistakes` tells better.
        report.listen_to(log)
        others = {point.attr for point in installed_backends().values()} - {type(backend).__name__}
        for mistake in (wrong := list(mistakes(config, [type(proxy), type(backend)], others))):
            report.failed("config", mistake)
        if wrong:
            raise StepFailed
        where = str(Path(file).absolute()) if file else f"No {DEFAULT_FILE} here"
        report.ok("config", f"{where}: {type(backend).__name__}, prefix {proxy.prefix!r}.")
        if file and chosen_proxy(config) is not proxy_class:
            report.note("config", 'JupyterHub.proxy_class is not "kvproxy", so this hub does not use jhub-kvproxy.')
        for section in sorted(others & config.keys()):
            report.note(
                "config", f"c.{section} has no effect: KVProxy.backend_class stands for {type(backend).__name__}."
            )
        report.facts |= {"backend": type(backend).__name__, "prefix": proxy.prefix}
        return proxy

    async def _try_traefik(self, proxy: KVProxy, table: Backend | None, report: Report) -> None:
        needs = None
        with report.step("traefik"):
            try:
                needs = Needs.of(proxy, report.secrets)
            except BackendError as error:
                if proxy.should_start:
                    raise
                report.note("traefik", str(error))
        report.facts["traefik"] = needs and asdict(needs)
        if proxy.should_start:
            await try_binary(proxy, report)
            return
        await try_replicas(proxy, table, report)
        if needs:
            self._tell("\n".join(["", *needs.lines()]))
