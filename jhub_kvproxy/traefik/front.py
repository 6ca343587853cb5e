"""The public entry point: TLS, time limits, headers, the access log. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .static import PUBLIC, address, duration, merge

#: The entry point that sends browsers to the public one.
REDIRECT = "redirect"
#: The one certificate resolver.
RESOLVER = "kvproxy"
HEADERS = "kvproxy-headers"

#: The cipher suites of Traefik (pkg/tls/cipher.go). Those of TLS 1.3 are always on in Go (crypto/tls).
CIPHERS = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_RC4_128_SHA",
)
CLIENT_AUTH = {"require": "RequireAndVerifyClientCert", "optional": "VerifyClientCertIfGiven"}
_CHALLENGES = ("dnsChallenge", "httpChallenge", "tlsChallenge")
_LOGGED_HEADERS = ("User-Agent",)
#: Headers that the plugin adds to a request for the log: the key of the route, and scheme and host of the target.
ROUTE_HEADERS = ("X-Kvproxy-Route", "X-Kvproxy-Target")
# Go takes 0 for `readTimeout` (net/http, Server.IdleTimeout).
_UNLIMITED = "-1ms"


@dataclass(frozen=True, slots=True)
class Acme:
    """Certificates by ACME (RFC 8555) for `domains`, kept in the file `storage`.

    `resolver` has further settings of Traefik's certificate resolver, and overrides ours.
    """

    domains: tuple[str, ...]
    storage: str
    email: str = ""
    resolver: Mapping[str, Any] = field(default_factory=dict)

    def static(self) -> dict[str, Any]:
        challenge: dict[str, Any] = {} if any(name in self.resolver for name in _CHALLENGES) else {"tlsChallenge": {}}
        email = {"email": self.email} if self.email else {}
        # With Traefik's default, RSA with 4096 bits, a handshake costs many times as much.
        acme = merge({"storage": self.storage, "keyType": "EC256", **email, **challenge}, self.resolver)
        main, *others = self.domains
        domain = {"main": main, **({"sans": others} if others else {})}
        # Traefik would take them from the hosts in rules, and ours name none.
        tls = {"certResolver": RESOLVER, "domains": [domain]}
        return {
            "certificatesResolvers": {RESOLVER: {"acme": acme}},
            "entryPoints": {PUBLIC: {"http": {"tls": tls}}},
        }


@dataclass(frozen=True, slots=True)
class Front:
    """What the hub's options make of the public entry point. Times are in seconds; 0 is no limit."""

    #: Whether it speaks TLS.
    tls: bool
    min_version: str = "1.2"
    #: Names of :data:`CIPHERS`; empty: Traefik's choice.
    ciphers: tuple[str, ...] = ()
    #: A key of :data:`CLIENT_AUTH`.
    client_auth: str = "require"
    acme: Acme | None = None
    #: The port whose requests are redirected; 0: none.
    redirect_port: int = 0
    #: The port that they are redirected to; 0: the public one.
    redirect_to: int = 0
    #: Headers that are added to answers, and to requests; an empty value removes the header.
    headers: Mapping[str, str] = field(default_factory=dict)
    request_headers: Mapping[str, str] = field(default_factory=dict)
    keep_alive_timeout: float = 180.0
    #: A file, ``-`` for the standard output, empty for none.
    access_log: str = ""
    access_log_format: str = "common"
    #: Whether the plugin tells the access log about routes.
    logs_routes: bool = False

    def static(self, host: str, public_port: int, *, shift: int = 0) -> dict[str, Any]:
        """What is merged over :func:`~jhub_kvproxy.traefik.static.static_config`.

        `public_port` is this Traefik's, and `shift` what is added to the port whose requests are redirected.
        """
        timeouts = {"idleTimeout": duration(self.keep_alive_timeout) if self.keep_alive_timeout else _UNLIMITED}
        public: dict[str, Any] = {"transport": {"respondingTimeouts": timeouts}}
        entry_points = {PUBLIC: public}
        if self.redirect_port:
            to = f":{self.redirect_to or public_port}"
            entry_points[REDIRECT] = {
                "address": address(host, self.redirect_port + shift),
                "http": {
                    "sanitizePath": False,
                    "redirections": {"entryPoint": {"to": to, "scheme": "https", "permanent": True}},
                },
                "transport": {"respondingTimeouts": timeouts},
            }
        config: dict[str, Any] = {"entryPoints": entry_points}
        if self.access_log:
            config["accessLog"] = self._access_log()
        return merge(config, self.acme.static()) if self.acme else config

    def with_headers(self, static: Mapping[str, Any]) -> dict[str, Any]:
        """`static` with our middleware on the public entry point, before those of others."""
        if not self._adds_headers:
            return dict(static)
        others = static["entryPoints"][PUBLIC]["http"].get("middlewares", [])
        middlewares = [f"{HEADERS}@file", *(name for name in others if name != f"{HEADERS}@file")]
        return merge(static, {"entryPoints": {PUBLIC: {"http": {"middlewares": middlewares}}}})

    def dynamic(self, client_ca: str = "") -> dict[str, Any]:
        """What is merged over :func:`~jhub_kvproxy.traefik.dynamic.base_config`.

        `client_ca` has the authorities of client certificates: a path, or PEM.
        """
        config: dict[str, Any] = {}
        if self._adds_headers:
            both = {"customResponseHeaders": self.headers, "customRequestHeaders": self._all_request_headers}
            headers = {name: {h: literal(value) for h, value in of.items()} for name, of in both.items() if of}
            config["http"] = {"middlewares": {HEADERS: {"headers": headers}}}
        if self.tls:
            options: dict[str, Any] = {"minVersion": f"VersionTLS{self.min_version.replace('.', '')}"}
            if self.ciphers:
                options["cipherSuites"] = list(self.ciphers)
            if client_ca:
                options["clientAuth"] = {"caFiles": [client_ca], "clientAuthType": CLIENT_AUTH[self.client_auth]}
            config["tls"] = {"options": {"default": options}}
        return config

    @property
    def _all_request_headers(self) -> Mapping[str, str]:
        # What a client writes there must not get into the log.
        return {**dict.fromkeys(ROUTE_HEADERS if self._tells_routes else (), ""), **self.request_headers}

    @property
    def _tells_routes(self) -> bool:
        return bool(self.access_log and self.logs_routes)

    @property
    def _adds_headers(self) -> bool:
        return bool(self.headers or self._all_request_headers)

    def _access_log(self) -> dict[str, Any]:
        names = (*_LOGGED_HEADERS, *(ROUTE_HEADERS if self._tells_routes else ()))
        # JupyterHub takes tokens in query strings, and the Referer repeats them.
        fields = {
            "queryParameters": {"defaultMode": "drop"},
            "headers": {"defaultMode": "drop", "names": dict.fromkeys(names, "keep")},
        }
        file = {} if self.access_log == "-" else {"filePath": self.access_log}
        return {"format": self.access_log_format, **file, "fields": fields}


def literal(text: str) -> str:
    """`text` for a dynamic file of Traefik, which is a Go template."""
    return text.replace("{{", "{{ `{{` }}")
