"""Which proxies Traefik trusts to say where a request comes from."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from traitlets import HasTraits, List, Unicode

from ..errors import TraefikError


class ForwardedOptions(HasTraits):
    trusted_proxies = List(
        Unicode(),
        None,
        allow_none=True,
        config=True,
        help="""
        Addresses and networks of proxies in front of Traefik, such as `["10.0.0.7", "10.1.0.0/16"]`. Traefik trusts
        their `X-Forwarded-*` and `X-Real-IP` headers. It removes those of all other clients and sets its own.

        Default: `JupyterHub.trusted_downstream_ips`. For networks, set both: JupyterHub knows single addresses only. It
        needs the addresses of all proxies in `X-Forwarded-For`, unless the first proxy sends `X-Real-IP`.
        """,
    )

    def trusted_proxies_of(self, downstream: Sequence[str]) -> list[str]:
        """The addresses and networks that Traefik trusts; `downstream` is ``JupyterHub.trusted_downstream_ips``.

        Raises :class:`~jhub_kvproxy.errors.TraefikError` for an entry that is no IP address or network: Traefik would
        fail on it, or trust a different address.
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
