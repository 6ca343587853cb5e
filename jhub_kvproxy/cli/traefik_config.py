"""``jhub-kvproxy traefik-config``: the configuration of a Traefik that others start, from the hub's."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomli_w
from traitlets import Bool, TraitError, Unicode
from traitlets.config import Config

from ..errors import KVProxyError
from ..files import write_atomically
from ..hub.fronting import address_of, front_of
from ..hub.launching import IDENTITY_FILE, table_dynamic
from ..hub.proxy import KVProxy
from ..hub.upstream import client_files_in, time_limits
from ..traefik.dynamic import API_USERS_ENV, base_config, base_env
from ..traefik.front import Front
from ..traefik.plugin_files import module_name, plugin_files, plugin_static
from ..traefik.prometheus import metrics_config
from ..traefik.static import merge, merges, static_config
from ..traefik.upstream import upstream_dynamic, upstream_static
from .app import Command
from .config import DEFAULT_FILE, load_for_hub, proxy_class_for, silent_log
from .replicas import secret_options

_API_PORT = 8099
# A load balancer has this long to notice that the replica is about to end (/_chp_healthz answers 503), and
# then what is under way has this long to end.
_LIFE_CYCLE = {
    "entryPoints": {"public": {"transport": {"lifeCycle": {"requestAcceptGraceTimeout": "10s", "graceTimeOut": "30s"}}}}
}


class TraefikConfigApp(Command):
    """The command."""

    usage = (
        "traefik-config [--config FILE] [--dynamic | --env | --plugin DIRECTORY] [--secrets] [--json] "
        "[--CLASS.OPTION=VALUE ...]"
    )
    description = f"""
    Print the static configuration of a Traefik that the hub does not start, made from the hub's
    configuration; with --dynamic, the dynamic configuration that goes beside it; with --env, its
    environment, which has the credential of its API and always is secret. With --plugin, write the files
    of the plugin that KVProxy.delivery = "push" needs; DIRECTORY must be the one that Traefik is started in.

    The file (by default {DEFAULT_FILE}, if it is here) is loaded as JupyterHub does it. The store's
    secrets are left out, and named in a comment, unless --secrets is given.
    """
    examples = """
    jhub-kvproxy traefik-config --secrets > /etc/traefik/traefik.toml
    jhub-kvproxy traefik-config --dynamic > /etc/traefik/new.toml
    mv /etc/traefik/new.toml /etc/traefik/dynamic/jupyterhub.toml
    jhub-kvproxy traefik-config --env > /etc/traefik/traefik.env
    jhub-kvproxy traefik-config --plugin /etc/traefik
    """
    takes_configuration = True
    aliases = {  # noqa: RUF012
        ("f", "config"): ("TraefikConfigApp.config_file", "the hub's configuration file"),
        "api-address": ("TraefikConfigApp.api_address", "where its API listens (default: as the hub asks)"),
        "plugin": ("TraefikConfigApp.plugin", "write the plugin's files below this directory"),
        "directory": ("TraefikConfigApp.directory", "where its files are (default: /etc/traefik)"),
    }
    flags = {  # noqa: RUF012
        **Command.flags,
        "dynamic": ({"TraefikConfigApp": {"dynamic": True}}, "print the dynamic configuration"),
        "env": ({"TraefikConfigApp": {"env": True}}, "print the environment, for a unit's EnvironmentFile"),
        "secrets": ({"TraefikConfigApp": {"secrets": True}}, "print the store's secrets too"),
    }

    config_file = Unicode(config=True, help="The hub's configuration file.")
    api_address = Unicode(config=True, help="Where the API listens.")
    directory = Unicode("/etc/traefik", config=True, help="Where Traefik's files are.")
    dynamic = Bool(config=True, help="Print the dynamic configuration.")
    env = Bool(config=True, help="Print the environment.")
    secrets = Bool(config=True, help="Print the secrets.")
    plugin = Unicode(config=True, help="Write the plugin's files below this directory.")

    def run(self) -> None:
        if self.dynamic + self.env + bool(self.plugin) > 1:
            self._misused("--dynamic, --env and --plugin are three things; ask for one")
        try:
            if self.plugin:
                self._write_plugin(Path(self.plugin).absolute())
                return
            hub, proxy = self._configured()
            if self.env:
                self._print_env(proxy)
            elif self.dynamic:
                self._print_config(self._dynamic(hub, proxy))
            else:
                self._print_static(hub, proxy)
        except KVProxyError as error:
            self.fail(str(error))
        except (TraitError, ValueError) as error:
            self.fail(f"{self.config_file or DEFAULT_FILE}: {error}")

    def _configured(self) -> tuple[Config, KVProxy]:
        """JupyterHub's part of the configuration, and the proxy as the hub would make it."""
        _, config = load_for_hub(self.config_file, self.cli_config)
        return config.JupyterHub, proxy_class_for(config)(config=config, log=silent_log())

    def _print_static(self, hub: Config, proxy: KVProxy) -> None:
        host, port, front = self._front(hub, proxy)
        static = static_config(
            public_host=host,
            public_port=port,
            tls=front.tls,
            api_address=self.api_address or f":{_api_port(proxy.traefik_api_urls)}",
            dynamic_dir=str(Path(self.directory) / "dynamic"),
            providers=proxy.traefik_provider_config(),
            trusted_ips=proxy.trusted_proxies_of(list(hub.get("trusted_downstream_ips", []))),
            log_level=proxy.traefik_log_level,
            extra=merges(
                _LIFE_CYCLE,
                upstream_static(time_limits(proxy), has_plugin=proxy.is_pushed),
                front.static(host, port),
                metrics_config(proxy.traefik_metrics, proxy.traefik_metrics_labels),
                plugin_static() if proxy.is_pushed else {},
                proxy.extra_static_config,
            ),
        )
        static = front.with_headers(static)
        hidden = {"providers": proxy.traefik_provider_secrets()}
        if self.secrets:
            static = merge(static, hidden)
        elif not self.as_json:
            for option in secret_options(hidden):
                self.print(f"# Secret, and shown by --secrets only: {option}")
        self._print_config(static)

    def _front(self, hub: Config, proxy: KVProxy) -> tuple[str, int, Front]:
        """Host and port of the public entry point, and what it does."""
        host, port, tls = address_of(proxy, str(hub.get("bind_url", "http://:8000")))
        tls = tls or bool(hub.get("ssl_key"))
        return host, port, front_of(proxy, port=port, tls=tls, acme_storage=str(Path(self.directory) / "acme.json"))

    def _dynamic(self, hub: Config, proxy: KVProxy) -> dict[str, Any]:
        directory = Path(self.directory)
        _, _, front = self._front(hub, proxy)
        is_internal = bool(hub.get("internal_ssl"))
        client = client_files_in(directory) if is_internal and not proxy.is_pushed else None
        upstream = upstream_dynamic(time_limits(proxy), client)
        transport = proxy.extra_static_config.get("serversTransport", {})
        table = table_dynamic(proxy, transport, str(directory / IDENTITY_FILE) if is_internal else "", "")
        client_ca = str(directory / "client-ca.pem") if proxy.client_ca else ""
        return base_config(
            cert_file=str(directory / "default-cert.pem"),
            key_file=str(directory / "default-key.pem"),
            extra=merges(table, upstream, front.dynamic(client_ca), proxy.extra_dynamic_config),
        )

    def _write_plugin(self, directory: Path) -> None:
        try:
            for path, content in plugin_files().items():
                file = directory / path
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, content, mode=0o644)
        except OSError as error:
            self.fail(f"The plugin cannot be written below {directory}: {error}.")
        if self.as_json:
            self.print_json({"directory": str(directory), "module": module_name()})
        else:
            self.print(f"The plugin is in {directory}, as module {module_name()}. Start Traefik in this directory.")

    def _print_env(self, proxy: KVProxy) -> None:
        if not proxy.traefik_api_password:
            self.fail(
                "The hub has no password for Traefik's API: set KVPROXY_TRAEFIK_API_PASSWORD in the environment, or "
                "KVProxy.traefik_api_password."
            )
        variables = base_env(proxy.traefik_api_username, proxy.traefik_api_password)
        if self.as_json:
            self.print_json(variables)
        else:
            self.print(f'{API_USERS_ENV}="{variables[API_USERS_ENV]}"')

    def _print_config(self, config: dict[str, Any]) -> None:
        if self.as_json:
            self.print_json(config)
        else:
            self.print(tomli_w.dumps(config).rstrip())


def _api_port(urls: list[str]) -> int:
    """The port that the hub asks at; the first URL is as good as the others."""
    return (urlsplit(urls[0]).port if urls else None) or _API_PORT
