"""Which Traefiks there are, and what they are started with."""

from __future__ import annotations

import os

from jupyterhub.traitlets import Command
from traitlets import CaselessStrEnum, Dict, HasTraits, Integer, List, Unicode, default

from ...traefik.supervisor import API_USER


class TraefikOptions(HasTraits):
    traefik_api_urls = List(
        Unicode(),
        config=True,
        help="""
        URLs of the API of each Traefik replica, such as `http://10.0.0.1:8099`.

        Needed when `KVProxy.should_start` is False. Otherwise the Hub starts Traefik, with its
        API on 127.0.0.1.

        A URL whose host name has several addresses stands for a replica at each of them; the name is
        looked up every few seconds, so that replicas join and leave, as with a headless service of
        Kubernetes: `["http://traefik.hub.svc:8099"]`. With `https`, their certificates must be for that name.
        """,
    )
    local_replicas = Integer(
        1,
        min=1,
        config=True,
        help="""
        How many Traefiks the Hub starts on its own machine; more than one for demonstrations and tests.

        The first has the port of `JupyterHub.bind_url`, the others the ports that follow it. A load
        balancer, which is not a part of this, goes before them. Each has a directory in `runtime_dir`.
        """,
    )
    traefik_api_username = Unicode(
        API_USER, config=True, help="User name for the API of replicas that the Hub does not start (HTTP basic)."
    )
    traefik_api_password = Unicode(
        config=True,
        help="""
        Password for the API of replicas that the Hub does not start (HTTP basic); empty: none is sent.

        Default: the environment variable KVPROXY_TRAEFIK_API_PASSWORD.
        """,
    )
    traefik_cmd = Command(
        ["traefik"],
        config=True,
        help="""
        The command that starts Traefik, `traefik` by default; looked for beside the Hub's Python, then on PATH.

        It is started in `runtime_dir`. A script must end with `exec traefik "$@"`, so that the process is Traefik.
        """,
    )
    traefik_log_level = CaselessStrEnum(
        ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"],
        "ERROR",
        config=True,
        help="How much the Traefik that the Hub starts logs; its log goes where the Hub's goes.",
    )
    runtime_dir = Unicode(
        "kvproxy-run",
        config=True,
        help="""
        Directory for the generated configuration of the Traefik that the Hub starts, relative to the
        Hub's working directory. A hub that is started again finds its running Traefik by it.
        It is the working directory of that Traefik.
        """,
    )
    extra_static_config = Dict(
        config=True,
        help="""
        Static configuration for the Traefik that the Hub starts, merged over what the Hub generates.

        As in Traefik's documentation, with Python values:
        `{"entryPoints": {"public": {"address": ":8443"}}}`. The Hub's entry points are `public` and `api`.
        Paths are relative to the Hub's working directory.
        """,
    )
    extra_dynamic_config = Dict(
        config=True,
        help="""
        Dynamic configuration for the Traefik that the Hub starts: routers, services, middlewares of your own.

        A router of yours comes before all of the Hub's routes, unless its `priority` is below 1. With
        `delivery = "store"`, routes with a host come before it, unless its `priority` is 2000000 or more. Traefik runs
        Go templates over the values.
        Paths are relative to the Hub's working directory.
        """,
    )

    @default("traefik_api_password")
    def _default_password(self) -> str:
        return os.environ.get("KVPROXY_TRAEFIK_API_PASSWORD", "")
