"""``jhub-kvproxy traefik-config``: the configuration of a Traefik that others start, from the hub's."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from os.path import expanduser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomli_w
from traitlets import TraitError
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
from .config import DEFAULT_FILE, ConfigurationError, add_hub_arguments, load_for_hub, proxy_class_for, silent_log
from .replicas import secret_options
from .text import as_json

_API_PORT = 8099
# A load balancer has this long to notice that the replica is about to end (/_chp_healthz answers 503), and
# then what is under way has this long to end.
_LIFE_CYCLE = {
    "entryPoints": {"public": {"transport": {"lifeCycle": {"requestAcceptGraceTimeout": "10s", "graceTimeOut": "30s"}}}}
}


DESCRIPTION = f"""
Print the static configuration of a Traefik that the hub does not start, made from the hub's
configuration; with --dynamic, the dynamic configuration that goes beside it; with --env, its
environment, which has the credential of its API and always is secret. With --plugin, write the files
of the plugin that KVProxy.delivery = "push" needs; DIRECTORY must be the one that Traefik is started in.

The file (by default {DEFAULT_FILE}, if it is here) is loaded as JupyterHub does it. The store's
secrets are left out, and named in a comment, unless --secrets is given.
"""
_EXAMPLES = """examples:
  jhub-kvproxy traefik-config --secrets > /etc/traefik/traefik.toml
  jhub-kvproxy traefik-config --dynamic > /etc/traefik/new.toml
  mv /etc/traefik/new.toml /etc/traefik/dynamic/jupyterhub.toml
  jhub-kvproxy traefik-config --env > /etc/traefik/traefik.env
  jhub-kvproxy traefik-config --plugin /etc/traefik
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dynamic", action="store_true", help="print the dynamic configuration")
    what.add_argument("--env", action="store_true", help="print the environment, for a unit's EnvironmentFile")
    what.add_argument("--plugin", metavar="DIRECTORY", type=expanduser, help="write the plugin's files below it")
    parser.add_argument("--secrets", action="store_true", help="print the store's secrets too")
    parser.add_argument("--api-address", metavar="ADDRESS", help="where its API listens (default: as the hub asks)")
    parser.add_argument(
        "--directory", default="/etc/traefik", type=expanduser, help="where its files are (default: %(default)s)"
    )
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    if options.plugin:
        _write_plugin(options, Path(options.plugin).absolute())
        return 0
    try:
        _, config = load_for_hub(options.config, options.configuration)
        # JupyterHub's part of the configuration, and the proxy as the hub would make it.
        hub, proxy = config.JupyterHub, proxy_class_for(config)(config=config, log=silent_log())
        if options.env:
            _print_env(options, proxy)
        elif options.dynamic:
            _print_config(options, _dynamic(options, hub, proxy))
        else:
            _print_static(options, hub, proxy)
    except (TraitError, ValueError) as error:
        raise ConfigurationError(f"{options.config or DEFAULT_FILE}: {error}") from error
    return 0


def _print_static(options: Namespace, hub: Config, proxy: KVProxy) -> None:
    host, port, front = _front(options, hub, proxy)
    static = static_config(
        public_host=host,
        public_port=port,
        tls=front.tls,
        api_address=options.api_address or f":{_api_port(proxy.traefik_api_urls)}",
        dynamic_dir=str(Path(options.directory) / "dynamic"),
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
    if options.secrets:
        static = merge(static, hidden)
    elif not options.json:
        for option in secret_options(hidden):
            print(f"# Secret, and shown by --secrets only: {option}")
    _print_config(options, static)


def _front(options: Namespace, hub: Config, proxy: KVProxy) -> tuple[str, int, Front]:
    """Host and port of the public entry point, and what it does."""
    host, port, tls = address_of(proxy, str(hub.get("bind_url", "http://:8000")))
    tls = tls or bool(hub.get("ssl_key"))
    return host, port, front_of(proxy, port=port, tls=tls, acme_storage=str(Path(options.directory) / "acme.json"))


def _dynamic(options: Namespace, hub: Config, proxy: KVProxy) -> dict[str, Any]:
    directory = Path(options.directory)
    _, _, front = _front(options, hub, proxy)
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


def _write_plugin(options: Namespace, directory: Path) -> None:
    try:
        for path, content in plugin_files().items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, content, mode=0o644)
    except OSError as error:
        raise KVProxyError(f"The plugin cannot be written below {directory}: {error}.") from error
    if options.json:
        print(as_json({"directory": str(directory), "module": module_name()}))
    else:
        print(f"The plugin is in {directory}, as module {module_name()}. Start Traefik in this directory.")


def _print_env(options: Namespace, proxy: KVProxy) -> None:
    if not proxy.traefik_api_password:
        raise KVProxyError(
            "The hub has no password for Traefik's API: set KVPROXY_TRAEFIK_API_PASSWORD in the environment, or "
            "KVProxy.traefik_api_password."
        )
    variables = base_env(proxy.traefik_api_username, proxy.traefik_api_password)
    if options.json:
        print(as_json(variables))
    else:
        print(f'{API_USERS_ENV}="{variables[API_USERS_ENV]}"')


def _print_config(options: Namespace, config: dict[str, Any]) -> None:
    if options.json:
        print(as_json(config))
    else:
        print(tomli_w.dumps(config).rstrip())


def _api_port(urls: list[str]) -> int:
    """The port that the hub asks at; the first URL is as good as the others."""
    return (urlsplit(urls[0]).port if urls else None) or _API_PORT
