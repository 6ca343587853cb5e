"""Options of the public entry point, except TLS."""

from __future__ import annotations

import re
from typing import Any

from traitlets import CaselessStrEnum, Dict, Float, HasTraits, Integer, TraitError, Unicode, validate

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\uffff]*")


class FrontOptions(HasTraits):
    redirect_http = Integer(
        0,
        min=0,
        max=65535,
        config=True,
        help="""
        Port, such as 80, on which Traefik redirects plain HTTP to HTTPS; 0 (default): no redirect.

        Traefik listens on the addresses of `JupyterHub.bind_url`. Needs TLS.
        """,
    )
    redirect_http_to = Integer(
        0,
        min=0,
        max=65535,
        config=True,
        help="""
        Port that `redirect_http` sends browsers to: the HTTPS port as users see it. 0 (default): the port of
        `JupyterHub.bind_url`.
        """,
    )
    response_headers = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="""
        Headers that Traefik sets on every answer, of the Hub and of users' servers:
        `{"Strict-Transport-Security": "max-age=31536000"}`. They replace the server's own. An empty value removes a
        header.

        For requests, see `request_headers`.
        """,
    )
    request_headers = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="""
        Headers that Traefik sets on every request to the Hub and to users' servers. They replace the client's own. An
        empty value removes a header.

        Like `--custom-header` of configurable-http-proxy. For answers, see `response_headers`.
        """,
    )
    keep_alive_timeout = Float(
        180.0,
        min=0,
        max=1e7,
        config=True,
        help="""
        Seconds that a client's connection may be idle between two requests before Traefik closes it. 0: no limit.

        Behind a load balancer, set it higher than the load balancer's own timeout. Otherwise Traefik may close a
        connection just when the load balancer sends a request on it, and that request fails. Websockets are not idle
        connections.
        """,
    )
    access_log = Unicode(
        config=True,
        help="""
        File to which Traefik writes a line for each request, or `-` for the output of the Hub's log. Empty (default):
        no access log.

        The log has no query strings, because they may hold tokens, and of the headers only `User-Agent`. With
        `delivery = "push"`, JSON also has the route and its target. The path is relative to the Hub's working
        directory. Only the owner may read a new file. After you have moved the file away, send Traefik the signal
        USR1; it then begins a new one.
        """,
    )
    access_log_format = CaselessStrEnum(
        ["common", "genericCLF", "json"],
        "common",
        config=True,
        help="Format of the access log: `common` with Traefik's additions (default), `genericCLF` without, or `json`.",
    )

    @validate("response_headers", "request_headers")
    def _check_headers(self, proposal: Any) -> dict[str, str]:
        headers: dict[str, str] = proposal["value"]
        option = f"KVProxy.{proposal['trait'].name}"
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                raise TraitError(f"{option}: {name!r} is not a valid header name.")
            if not _VALUE.fullmatch(value):
                raise TraitError(f"{option}: the value of {name!r} has a character that is not allowed in a header.")
        return headers
