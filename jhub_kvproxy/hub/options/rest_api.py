"""configurable-http-proxy's REST API, for tools that speak it."""

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
        Port of the REST API of configurable-http-proxy (`/api/routes`), for tools that speak it; 0: there is none.

        It needs `KVProxy.rest_api_token`. JupyterHub itself does not use it.
        """,
    )
    rest_api_ip = Unicode(
        "127.0.0.1",
        config=True,
        help="Address that the REST API listens on. It has no TLS: on other than loopback, a network must keep it.",
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
        Whether the REST API may add and delete routes; otherwise it only tells of them.

        A route that is added without `"jupyterhub": true` is none of JupyterHub's: it stays until it is deleted here.
        """,
    )

    @default("rest_api_token")
    def _default_rest_api_token(self) -> str:
        return os.environ.get("CONFIGPROXY_AUTH_TOKEN", "")
