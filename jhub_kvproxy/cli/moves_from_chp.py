"""The options of configurable-http-proxy, of its command line and of JupyterHub's class for it, and ours. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from .moves import Move, Rule, apply_rules, fixed, line, none
from .secrets import HIDDEN

SECTION = "ConfigurableHTTPProxy"

_REST_API = (
    "JupyterHub needs no REST API here. If other tools use it, set KVProxy.rest_api_port and rest_api_token, or "
    "for the token the environment variable CONFIGPROXY_AUTH_TOKEN."
)
_API_TLS = "The REST API has no TLS: keep it on loopback, or put a proxy with TLS in front of it."
_CLIENT_TLS = "Set JupyterHub.internal_ssl: the hub gives Traefik its certificates for servers."
_TCP_ONLY = "Traefik listens on TCP only."
_HUB_DOES = "JupyterHub does this by itself."
_LOCATION = "Traefik does not change Location: it sends servers the host and protocol of the request."
_CLIENT_CA = "--ssl-request-cert"
#: By their names, headers whose values are secrets.
_SECRET_HEADER = re.compile("auth|cookie|credential|key|pass|secret|session|signature|token", re.IGNORECASE)
_NO_OPTION = "a word that is no option"


def _seconds(value: Any) -> float:
    return float(value) / 1000


def _tls_version(move: Move, name: str, value: Any) -> None:
    found = re.match(r"TLSv1(?:_([0-3]))?$", str(value))
    if found:
        move.options["KVProxy.tls_min_version"] = f"1.{found[1] or 0}"
        move.note(name, "This is the oldest version here, and newer ones are taken too.")
    else:
        move.note(name, "Set KVProxy.tls_min_version to the oldest version of TLS.")


def _client_ca(move: Move, name: str, value: Any) -> None:
    if _CLIENT_CA in move.found:
        move.options["KVProxy.client_ca"] = value
    else:
        move.note(
            name,
            f"Without {_CLIENT_CA}, CHP asks nobody for a certificate; KVProxy.client_ca demands one of each client.",
        )


def _metrics(move: Move, name: str, value: Any) -> None:
    old = str(move.options.get("KVProxy.traefik_metrics", ""))
    host, _, port = old.rpartition(":")
    if name.endswith("ip"):
        host = str(value)
    else:
        port = str(value)
    move.options["KVProxy.traefik_metrics"] = f"{host}:{port or 8082}" if host else int(port)


def _header(move: Move, name: str, value: Any) -> None:
    header, _, text = str(value).partition(":")
    headers = move.options.setdefault("KVProxy.request_headers", {})
    headers[header.strip()] = HIDDEN if _SECRET_HEADER.search(header) else text.strip()


def _log_level(move: Move, name: str, value: Any) -> None:
    level = str(value).upper()
    move.options["KVProxy.traefik_log_level"] = {"WARNING": "WARN", "NOTSET": "DEBUG"}.get(level, level)


def _storage(move: Move, name: str, value: Any) -> None:
    move.note(name, "The table is in files by default; KVProxy.backend_class names another store.")


#: Options of the command line, which take a value if they are in _WITH_VALUE.
FLAGS: dict[str, Rule] = {
    "--ip": line("JupyterHub.ip", str),
    "--port": line("JupyterHub.port", int),
    "--socket": none(_TCP_ONLY),
    "--keep-alive-timeout": line("KVProxy.keep_alive_timeout", _seconds),
    "--redirect-port": line("KVProxy.redirect_http", int),
    "--redirect-to": line("KVProxy.redirect_http_to", int),
    "--ssl-key": line("JupyterHub.ssl_key"),
    "--ssl-cert": line("JupyterHub.ssl_cert"),
    "--ssl-ca": _client_ca,
    _CLIENT_CA: none("KVProxy.client_ca demands a certificate of each client."),
    "--ssl-reject-unauthorized": none('Always so; KVProxy.client_auth = "optional" lets in clients without one.'),
    "--ssl-protocol": _tls_version,
    "--ssl-ciphers": none("Name the ciphers of TLS 1.2 in KVProxy.tls_ciphers, by their names in the standard."),
    "--ssl-allow-rc4": none("Nobody should use RC4."),
    "--ssl-dhparam": none("Traefik has no ciphers with finite-field Diffie-Hellman."),
    "--api-ip": none(_REST_API),
    "--api-port": none(_REST_API),
    "--api-socket": none(_REST_API),
    **dict.fromkeys(
        (f"--api-ssl-{name}" for name in ("key", "cert", "ca", "request-cert", "reject-unauthorized")), none(_API_TLS)
    ),
    **dict.fromkeys((f"--client-ssl-{name}" for name in ("key", "cert", "ca")), none(_CLIENT_TLS)),
    "--client-ssl-request-cert": none("Certificates of servers are always verified."),
    "--client-ssl-reject-unauthorized": none("Certificates of servers are always verified."),
    "--insecure": fixed("KVProxy.extra_static_config", {"serversTransport": {"insecureSkipVerify": True}}),
    "--default-target": none("JupyterHub adds the route / to itself."),
    "--host-routing": none("Set JupyterHub.subdomain_host: a route with a host comes before those without."),
    "--error-target": line("KVProxy.error_target"),
    "--error-path": none("Traefik serves no files: set KVProxy.error_target to a web server that has these pages."),
    "--timeout": line(
        "KVProxy.timeout", _seconds, "It limits the sending of a request; CHP also ended silent answers."
    ),
    "--proxy-timeout": line("KVProxy.proxy_timeout", _seconds),
    "--no-x-forward": none("Traefik always sets these headers."),
    "--no-prepend-path": fixed("KVProxy.prepend_path", False),
    "--no-include-prefix": fixed("KVProxy.strip_prefix", True),
    "--change-origin": fixed("KVProxy.change_origin", True),
    "--custom-header": _header,
    "--auto-rewrite": none(_LOCATION),
    "--protocol-rewrite": none(_LOCATION),
    "--storage-backend": _storage,
    "--metrics-ip": _metrics,
    "--metrics-port": _metrics,
    "--metrics-socket": none(_TCP_ONLY),
    "--log-level": _log_level,
    "--pid-file": none("Traefik's process id is in traefik.json in KVProxy.runtime_dir."),
    "--version": none("jhub-kvproxy --version, and traefik version."),
    "--help": none("jhub-kvproxy options."),
}
_NO_RULE = {_NO_OPTION: none("configurable-http-proxy takes none; are quotation marks missing?")}
#: The others take none.
_WITHOUT_VALUE = {
    *("--ssl-request-cert", "--ssl-reject-unauthorized", "--ssl-allow-rc4", "--api-ssl-request-cert", "--host-routing"),
    *("--api-ssl-reject-unauthorized", "--client-ssl-request-cert", "--client-ssl-reject-unauthorized", "--insecure"),
    *("--no-x-forward", "--no-prepend-path", "--no-include-prefix", "--auto-rewrite", "--change-origin", "--version"),
    "--help",
}
#: They are read first, because others depend on them.
_FIRST = (_CLIENT_CA,)


def _command(move: Move, name: str, value: Any) -> None:
    words = shlex.split(value) if isinstance(value, str) else [str(word) for word in value]
    move.note(name, "Remove it: KVProxy.traefik_cmd is the command that starts Traefik, if not the one on PATH.")
    read_flags(move, words[1:])


def _others_start_it(move: Move, name: str, value: Any) -> None:
    if not value:
        move.note(
            name,
            "Let the hub start Traefik, and disable the service that runs CHP; or run Traefik yourself "
            "(how-to: Run Traefik yourself), and set KVProxy.should_start to False.",
        )


def _debug(move: Move, name: str, value: Any) -> None:
    if value:
        move.options["KVProxy.traefik_log_level"] = "DEBUG"


#: Options of JupyterHub's class.
TRAITS: dict[str, Rule] = {
    "command": _command,
    "command_umask": none("The hub's own umask counts."),
    "api_url": none(_REST_API),
    "auth_token": none(_REST_API),
    "should_start": _others_start_it,
    "extra_routes": line("KVProxy.extra_routes"),
    "check_running_interval": none("The hub restarts a Traefik at once when it ends."),
    "concurrency": none("The hub commits changes together that arrive during another commit."),
    "debug": _debug,
    "log_level": _log_level,
    "pid_file": none("Traefik's process id is in traefik.json in KVProxy.runtime_dir."),
}


def read_traits(move: Move, section: Mapping[str, Any]) -> None:
    """The options of ``c.ConfigurableHTTPProxy``."""
    apply_rules(move, TRAITS, ((name, f"c.{SECTION}.{name}", value) for name, value in section.items()))


def read_flags(move: Move, words: list[str]) -> None:
    """The words of CHP's command line, without its name."""
    settings = sorted(_parsed(words), key=lambda setting: setting[0] not in _FIRST)
    apply_rules(move, FLAGS | _NO_RULE, ((flag, flag, value) for flag, value in settings))


def _parsed(words: list[str]) -> Iterator[tuple[str, str]]:
    iterator = iter(words)
    for word in iterator:
        if not word.startswith("-"):
            yield _NO_OPTION, word  # which may be a secret
            continue
        flag, is_assigned, value = word.partition("=")
        if not is_assigned and flag in FLAGS and flag not in _WITHOUT_VALUE:
            value = next(iterator, "")
        yield flag, value
