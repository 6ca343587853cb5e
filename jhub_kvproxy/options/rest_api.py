"""Options of the REST API, which is that of configurable-http-proxy."""

from __future__ import annotations

import os

from traitlets import Bool, HasTraits, Integer, Unicode, default


class RESTAPIOptions(HasTraits):
    rest_api_port = Integer(
        0,
        min=0,
        max=65535,
        config=True,
        help="""
        Port of the REST API of configurable-http-proxy (`/api/routes`), for tools that use it; 0 (default): no REST
        API.

        It needs `KVProxy.rest_api_token`. JupyterHub itself does not use it.
        """,
    )
    rest_api_ip = Unicode(
        "127.0.0.1",
        config=True,
        help="Address that the REST API listens on. It has no TLS: use loopback, or an address in a trusted network.",
    )
    rest_api_token = Unicode(
        config=True,
        help="""
        Token for the REST API: `Authorization: token ...`.

        Default: the environment variable CONFIGPROXY_AUTH_TOKEN.
        """,
    )
    rest_api_writes = Bool(
        False,
        config=True,
        help="""
        Whether the REST API may add and delete routes. Otherwise it only lists them.

        JupyterHub ignores a route that a tool adds without `"jupyterhub": true`. It stays until a tool deletes it.
        """,
    )

    @default("rest_api_token")
    def _default_rest_api_token(self) -> str:
        return os.environ.get("CONFIGPROXY_AUTH_TOKEN", "")
