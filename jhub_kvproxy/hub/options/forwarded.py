"""Whose word is taken for where a request comes from."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from traitlets import HasTraits, List, Unicode

from ...errors import TraefikError


class ForwardedOptions(HasTraits):
    trusted_proxies = List(
        Unicode(),
        None,
        allow_none=True,
        config=True,
        help="""
        Addresses and networks of proxies in front of Traefik, such as `["10.0.0.7", "10.1.0.0/16"]`, whose
        `X-Forwarded-*` and `X-Real-IP` headers are believed. From anybody else they are removed, and Traefik sets its
        own.

        Default: `JupyterHub.trusted_downstream_ips`. Set both when it is networks: JupyterHub knows single addresses
        only, and needs those of all proxies that stand in `X-Forwarded-For`, unless the first sends `X-Real-IP`.
        """,
    )

    def trusted_proxies_of(self, downstream: Sequence[str]) -> list[str]:
        """Those for Traefik, if JupyterHub's own list is `downstream`.

        Raises :class:`~jhub_kvproxy.errors.TraefikError` for what is no address: Traefik would end with an error of its
        own, or trust another one.
        """
        option, trusted = "KVProxy.trusted_proxies", self.trusted_proxies
        if trusted is None:
            option, trusted = "JupyterHub.trusted_downstream_ips", list(downstream)
        for address in trusted:
            try:
                ipaddress.ip_network(address)
            except ValueError as error:
                raise TraefikError(
                    f"{option} has {address!r}, which is not an IP address or network ({error}); "
                    "write one such as '10.0.0.7' or '10.1.0.0/16'."
                ) from error
        return trusted
