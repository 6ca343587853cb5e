"""Options for which Traefiks there are, and how the hub starts its own."""

from __future__ import annotations

import os

from traitlets import CaselessStrEnum, Dict, HasTraits, Integer, List, Unicode, default

from ..traefik.running import API_USER
from .command import Command


class TraefikOptions(HasTraits):
    traefik_api_urls = List(
        Unicode(),
        config=True,
        help="""
        URLs of the APIs of all Traefik replicas, such as `http://10.0.0.1:8099`.

        Required when `KVProxy.should_start` is False, unless `delivery` is `"agent"`. Otherwise the Hub starts Traefik,
        with its API on 127.0.0.1.

        If a host name has several addresses, there is a replica at each. The Hub looks the name up every few seconds,
        so replicas may join and leave, as with a headless service of Kubernetes: `["http://traefik.hub.svc:8099"]`.
        With `https`, their certificates must be for that name.
        """,
    )
    local_replicas = Integer(
        1,
        min=1,
        config=True,
        help="""
        How many Traefiks the Hub starts on its own machine; more than one is for demonstrations and tests.

        The first uses the port of `JupyterHub.bind_url`, the others the ports that follow it, and each of these a
        directory in `runtime_dir`. Put a load balancer of your own in front of them.
        """,
    )
    traefik_api_username = Unicode(
        API_USER, config=True, help="User name for the API of replicas that the Hub does not start (HTTP basic)."
    )
    traefik_api_password = Unicode(
        config=True,
        help="""
        Password for the API of replicas that the Hub does not start (HTTP basic); empty: the Hub sends none.

        Default: the environment variable KVPROXY_TRAEFIK_API_PASSWORD.
        """,
    )
    traefik_cmd = Command(
        ["traefik"],
        config=True,
        help="""
        The command that starts Traefik, by default `traefik`. The Hub looks for it beside its Python, then on PATH.

        It runs in `runtime_dir`. A script must end with `exec traefik "$@"`, so that the process becomes Traefik.
        """,
    )
    traefik_log_level = CaselessStrEnum(
        ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"],
        "ERROR",
        config=True,
        help="Log level of the Traefik that the Hub starts. Its log goes where the Hub's goes.",
    )
    runtime_dir = Unicode(
        "kvproxy-run",
        config=True,
        help="""
        Directory for the generated configuration of the Traefik that the Hub starts, relative to the Hub's working
        directory. It is also that Traefik's working directory. A restarted Hub finds its running Traefik through it.
        """,
    )
    extra_static_config = Dict(
        config=True,
        help="""
        Static configuration for the Traefik that the Hub starts, merged over what the Hub generates.

        Write it as in Traefik's documentation, with Python values:
        `{"entryPoints": {"public": {"address": ":8443"}}}`. The Hub's entry points are `public` and `api`.
        Paths are relative to the Hub's working directory.
        """,
    )
    extra_dynamic_config = Dict(
        config=True,
        help="""
        Dynamic configuration for the Traefik that the Hub starts: routers, services, middlewares of your own.

        A router of yours comes before all of the Hub's routes, unless its `priority` is below 1. With
        `delivery = "store"`, it comes before routes with a host only if its `priority` is 2000000 or more.

        Traefik expands Go templates in the values. Paths are relative to the Hub's working directory.
        """,
    )

    @default("traefik_api_password")
    def _default_password(self) -> str:
        return os.environ.get("KVPROXY_TRAEFIK_API_PASSWORD", "")
