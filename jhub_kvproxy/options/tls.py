"""Options for TLS on the public entry point."""

from __future__ import annotations

from typing import Any

from traitlets import CaselessStrEnum, Dict, HasTraits, List, TraitError, Unicode, validate

from ..did_you_mean import nearest
from ..traefik.front import CIPHERS, CLIENT_AUTH


class TLSOptions(HasTraits):
    tls_min_version = CaselessStrEnum(
        ["1.0", "1.1", "1.2", "1.3"],
        "1.2",
        config=True,
        help="The oldest version of TLS that Traefik accepts: `1.2` (default) or `1.3`; `1.0` and `1.1` are unsafe.",
    )
    tls_ciphers = List(
        Unicode(),
        config=True,
        help="""
        The cipher suites for TLS 1.2, by their IANA names, such as
        `["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]`.

        Default: those that Traefik considers safe. The suites of TLS 1.3 are all safe, and cannot be chosen.
        """,
    )
    client_ca = Unicode(
        config=True,
        help="""
        File with the certificates (PEM) of authorities. Traefik then accepts only clients that present a certificate
        from one of them, on all paths.

        The Hub watches the file, like those of `JupyterHub.ssl_cert` and `ssl_key`: a new one is used within seconds.
        Needs TLS. JupyterHub does not learn whose certificate it was.
        """,
    )
    client_auth = CaselessStrEnum(
        list(CLIENT_AUTH),
        "require",
        config=True,
        help="""
        Whether clients must present a certificate from `client_ca`. `require`: they must. `optional`: Traefik accepts
        clients without a certificate, and refuses those with a wrong one.
        """,
    )
    acme_domains = List(
        Unicode(),
        config=True,
        help="""
        Host names, such as `["hub.example.org"]`, for which Traefik gets and renews one certificate from Let's Encrypt
        or another ACME server. The public entry point then has TLS without `JupyterHub.ssl_cert`.

        Port 443 of each name must lead to this Traefik, and to no other, unless `acme_resolver` chooses another
        challenge.
        By setting this you accept the server's terms.
        """,
    )
    acme_email = Unicode(
        config=True, help="E-mail address for the ACME server, for instance for notices that a certificate expires."
    )
    acme_storage = Unicode(
        "kvproxy-acme.json",
        config=True,
        help="""
        File in which Traefik keeps its ACME account and the certificate of `acme_domains`, with the keys; relative to
        the Hub's working directory. Keep it: Let's Encrypt issues the same certificate only 5 times a week.
        """,
    )
    acme_resolver = Dict(
        config=True,
        help="""
        Further settings of Traefik's certificate resolver, named as in Traefik's documentation: another server
        (`caServer`), or another challenge. `{"dnsChallenge": {"provider": "route53"}}` needs no port;
        `{"httpChallenge": {"entryPoint": "redirect"}}` needs `redirect_http = 80`.
        """,
    )

    @validate("tls_ciphers")
    def _know_ciphers(self, proposal: Any) -> list[str]:
        names: list[str] = proposal["value"]
        for name in names:
            if name not in CIPHERS:
                # OpenSSL leaves out TLS and WITH: ECDHE-RSA-AES128-GCM-SHA256.
                iana = name.upper().replace("-", "_").replace("AES", "AES_")
                meant = nearest(iana, CIPHERS)
                hint = f"; did you mean {meant}?" if meant else f"; known are {', '.join(CIPHERS)}."
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
