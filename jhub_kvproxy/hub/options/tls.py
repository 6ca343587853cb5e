"""TLS on the public entry point."""

from __future__ import annotations

import difflib
from typing import Any

from traitlets import CaselessStrEnum, Dict, HasTraits, List, TraitError, Unicode, validate

from ...traefik.front import CIPHERS, CLIENT_AUTH


class TLSOptions(HasTraits):
    tls_min_version = CaselessStrEnum(
        ["1.0", "1.1", "1.2", "1.3"],
        "1.2",
        config=True,
        help="The oldest version of TLS that users' browsers may speak: `1.2` (default) or `1.3`; `1.0` and `1.1` are "
        "unsafe.",
    )
    tls_ciphers = List(
        Unicode(),
        config=True,
        help="""
        The cipher suites that may be used with TLS 1.2, by their IANA names, such as
        `["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]`.

        Default: those that Traefik deems safe. Those of TLS 1.3 cannot be chosen, and all are safe.
        """,
    )
    client_ca = Unicode(
        config=True,
        help="""
        File with the certificates (PEM) of the authorities of client certificates. With it, only clients with
        a certificate of one of them get in, on all paths.

        The file is watched, like those of `JupyterHub.ssl_cert` and `ssl_key`: what replaces it is used within seconds.
        Needs TLS. JupyterHub is not told whose certificate it was.
        """,
    )
    client_auth = CaselessStrEnum(
        list(CLIENT_AUTH),
        "require",
        config=True,
        help="""
        Whether clients must have a certificate of `client_ca`: `require`, or `optional`: those without one get in,
        and those with a wrong one do not.
        """,
    )
    acme_domains = List(
        Unicode(),
        config=True,
        help="""
        Host names that Traefik shall get a certificate for by itself, from Let's Encrypt or another ACME server, and
        renew it: `["hub.example.org"]`. The public entry point then speaks TLS without `JupyterHub.ssl_cert`.

        Their port 443 must lead to this Traefik, and to no other, unless `acme` chooses another challenge.
        It is one certificate, for all of them. To use it is to accept the server's terms.
        """,
    )
    acme_email = Unicode(
        config=True, help="Whom the ACME server may write to, for instance when a certificate expires."
    )
    acme_storage = Unicode(
        "kvproxy-acme.json",
        config=True,
        help="""
        File in which Traefik keeps its account and its certificates of `acme_domains`, with their keys;
        relative to the Hub's working directory. Keep it: Let's Encrypt gives the same certificate 5 times a week only.
        """,
    )
    acme = Dict(
        config=True,
        help="""
        Further settings of Traefik's certificate resolver, with the names of Traefik's documentation: another server
        (`caServer`), another challenge. `{"dnsChallenge": {"provider": "route53"}}` needs no port;
        `{"httpChallenge": {"entryPoint": "redirect"}}` is for `redirect_http = 80`.
        """,
    )

    @validate("tls_ciphers")
    def _know_ciphers(self, proposal: Any) -> list[str]:
        names: list[str] = proposal["value"]
        for name in names:
            if name not in CIPHERS:
                # OpenSSL leaves out TLS and WITH: ECDHE-RSA-AES128-GCM-SHA256.
                iana = name.upper().replace("-", "_").replace("AES", "AES_")
                meant = difflib.get_close_matches(iana, CIPHERS, 1, 0.6)
                hint = f"; did you mean {meant[0]}?" if meant else f"; known are {', '.join(CIPHERS)}."
                raise TraitError(f"KVProxy.tls_ciphers: Traefik has no cipher suite {name!r} to choose{hint}")
        return names

    @validate("acme_domains")
    def _check_domains(self, proposal: Any) -> list[str]:
        names: list[str] = proposal["value"]
        for name in names:
            if not all(label == "*" or label.replace("-", "").isalnum() for label in name.split(".")):
                raise TraitError(
                    f"KVProxy.acme_domains: {name!r} is not a host name; write it without scheme, port and path."
                )
        return names
