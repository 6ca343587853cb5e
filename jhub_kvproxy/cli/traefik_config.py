"""``jhub-kvproxy traefik-config``: print the configuration of a Traefik that the hub does not start."""

from __future__ import annotations

import ipaddress
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from os.path import expanduser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomli_w
from traitlets import TraitError

from ..agent.options import Agent
from ..errors import KVProxyError
from ..files import write_atomically
from ..hub.proxy import KVProxy
from ..options.chosen import provider_of, traefik_settings_of
from ..options.config_file import DEFAULT_FILE, ConfigurationError
from ..options.settings import Delivery
from ..traefik.dynamic import API_USERS_ENV, base_env
from ..traefik.external import external_dynamic, external_static
from ..traefik.plugin_files import module_name, plugin_files
from ..traefik.settings import TraefikSettings
from ..traefik.static import address, merge
from .arguments import add_hub_arguments
from .hub_config import HubConfig, hub_config
from .output import write_output
from .replicas import secret_options
from .text import as_json

_API_PORT = 8099

DESCRIPTION = f"""
Print the static configuration of a Traefik that the hub does not start, made from the hub's
configuration. With --dynamic, print the dynamic configuration that it needs too. With --env, print its
environment: it has the credential of Traefik's API, so keep it secret. With --plugin, write the files of
the plugin, which Traefik needs unless KVProxy.delivery = "store"; start Traefik in that DIRECTORY.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does. It leaves out
the store's secrets, and names them in a comment, unless you give --secrets.
"""
_EXAMPLES = """examples:
  cd /etc/traefik
  jhub-kvproxy traefik-config --secrets --output traefik.toml
  jhub-kvproxy traefik-config --dynamic --output dynamic/jupyterhub.toml
  jhub-kvproxy traefik-config --env --output traefik.env
  jhub-kvproxy traefik-config --plugin .
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dynamic", action="store_true", help="print the dynamic configuration")
    what.add_argument("--env", action="store_true", help="print the environment, for systemd's EnvironmentFile")
    what.add_argument("--plugin", metavar="DIRECTORY", type=expanduser, help="write the plugin's files below it")
    parser.add_argument("--secrets", action="store_true", help="print the store's secrets too")
    parser.add_argument(
        "--output", metavar="FILE", type=expanduser, help="write into this file, not to the terminal; a new one is 0600"
    )
    parser.add_argument(
        "--api-address",
        metavar="ADDRESS",
        type=_address,
        help="where Traefik's API listens (default: the port in KVProxy.traefik_api_urls, or Agent.traefik_api_url)",
    )
    parser.add_argument(
        "--directory", default="/etc/traefik", type=expanduser, help="where Traefik's files are (default: %(default)s)"
    )
    parser.epilog = _EXAMPLES


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and int(port) < 1 << 16
    if not colon or not is_port or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ArgumentTypeError(f"{text!r} is no address, such as 127.0.0.1:8099 or :8099.")
    return text


def run(options: Namespace) -> int:
    if options.plugin:
        if options.output:
            options.parser.error("--plugin writes into its DIRECTORY: leave --output out.")
        _write_plugin(options, Path(options.plugin).absolute())
        return 0
    config = hub_config(options)
    try:
        text = _made(options, config)
    except (TraitError, ValueError) as error:
        shown = config.secrets.hide(f"{options.config or DEFAULT_FILE}: {error}")
        raise ConfigurationError(shown) from error
    if options.output:
        write_output(Path(options.output), f"{text}\n".encode(), is_secret=options.env or options.secrets)
    else:
        print(text)
    return 0


def _made(options: Namespace, config: HubConfig) -> str:
    """What is printed, or written."""
    proxy = config.proxy
    settings = _settings(config)
    if options.env:
        return _environment(options, proxy)
    if options.dynamic:
        directory, is_internal = Path(options.directory), bool(proxy.app.internal_ssl)
        dynamic = external_dynamic(settings, provider_of(proxy), directory=directory, is_internal=is_internal)
        return _rendered(options, dynamic)
    return _static(options, proxy, settings, _api_address(options, config))


def _settings(config: HubConfig) -> TraefikSettings:
    """Traefik's settings.

    JupyterHub takes ``https`` without a certificate for ``http``; here it says that Traefik has one of its own.
    """
    settings = traefik_settings_of(config.proxy, config.proxy.app.trusted_downstream_ips)
    return replace(settings, public_url=str(config.proxy.config.JupyterHub.get("bind_url", settings.public_url)))


def _static(options: Namespace, proxy: KVProxy, settings: TraefikSettings, api_address: str) -> str:
    store = provider_of(proxy)
    static = external_static(settings, store, directory=Path(options.directory), api_address=api_address)
    hidden = {"providers": store.secrets if store else {}}
    if options.secrets:
        return _rendered(options, merge(static, hidden))
    remarks = [f"# Secret, shown only with --secrets: {option}\n" for option in secret_options(hidden)]
    return "".join([] if options.json else remarks) + _rendered(options, static)


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


def _environment(options: Namespace, proxy: KVProxy) -> str:
    if not proxy.traefik_api_password:
        raise KVProxyError(
            "The hub has no password for Traefik's API: set KVPROXY_TRAEFIK_API_PASSWORD in the environment, or "
            "KVProxy.traefik_api_password."
        )
    variables = base_env(proxy.traefik_api_username, proxy.traefik_api_password)
    return as_json(variables) if options.json else f'{API_USERS_ENV}="{variables[API_USERS_ENV]}"'


def _rendered(options: Namespace, config: dict[str, Any]) -> str:
    return as_json(config) if options.json else tomli_w.dumps(config).rstrip()


def _api_address(options: Namespace, config: HubConfig) -> str:
    """Where Traefik's API listens: for an agent beside it on the address that the agent asks.

    For a hub that is on another machine, on all addresses.
    """
    proxy = config.proxy
    if options.api_address:
        return str(options.api_address)
    if proxy.delivery == Delivery.AGENT:
        return urlsplit(Agent(config=proxy.config, log=config.log).traefik_api_url).netloc
    urls = [urlsplit(url) for url in proxy.traefik_api_urls]
    # All replicas have the same configuration.
    port = (urls[0].port if urls else None) or _API_PORT
    if not all(_is_loopback(url.hostname or "") for url in urls):
        return f":{port}"
    host = urls[0].hostname if urls else ""
    return address("127.0.0.1" if host in (None, "", "localhost") else host, port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
