"""The public entry point, beside its TLS."""

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
        Port, such as 80, on which plain HTTP is answered with a redirect to HTTPS; 0 (default): none.

        It listens on the addresses of `JupyterHub.bind_url`. Needs TLS.
        """,
    )
    redirect_http_to = Integer(
        0,
        min=0,
        max=65535,
        config=True,
        help="""
        Port that `redirect_http` sends browsers to, where it is not the one of `JupyterHub.bind_url`: the port
        as users see it. 0 (default): the one of `JupyterHub.bind_url`.
        """,
    )
    headers = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="""
        Headers that every answer gets, the Hub's and the users' servers', in the place of their own:
        `{"Strict-Transport-Security": "max-age=31536000"}`. An empty value removes a header.

        `request_headers` are the other direction.
        """,
    )
    request_headers = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="""
        Headers that every request gets on its way to the Hub and the users' servers, in the place of what the
        client sent. An empty value removes a header.

        It is what configurable-http-proxy has as `--custom-header`. `headers` are the other direction.
        """,
    )
    keep_alive_timeout = Float(
        180.0,
        min=0,
        max=1e7,
        config=True,
        help="""
        Seconds that a client's connection may be idle between two requests until it is closed. 0: no limit.

        Behind a load balancer, make it longer than the load balancer's own, or the last request that it sends on
        such a connection may fail. Websockets are not idle connections.
        """,
    )
    access_log = Unicode(
        config=True,
        help="""
        File that Traefik writes a line to for each request, or `-` for where the Hub's log goes. Empty (default): none.

        Query strings, which may hold tokens, are left out, and all headers but `User-Agent`. A path is relative to
        the Hub's working directory. A new file is for its owner only. After it was moved away,
        the signal USR1 makes Traefik begin a new one.
        """,
    )
    access_log_format = CaselessStrEnum(
        ["common", "genericCLF", "json"],
        "common",
        config=True,
        help="Form of the access log: `common` with Traefik's additions (default), `genericCLF` without, or `json`.",
    )

    @validate("headers", "request_headers")
    def _check_headers(self, proposal: Any) -> dict[str, str]:
        headers: dict[str, str] = proposal["value"]
        option = f"KVProxy.{proposal['trait'].name}"
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                raise TraitError(f"{option}: {name!r} cannot be the name of a header.")
            if not _VALUE.fullmatch(value):
                raise TraitError(f"{option}: the value of {name!r} has a character that no header may have.")
        return headers
