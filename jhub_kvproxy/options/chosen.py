"""What the options of a proxy, and the JupyterHub that it belongs to, come to: the settings, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..routing.hub_options import Claim
from ..routing.routes import Pattern
from ..traefik.settings import StoreProvider, TraefikSettings
from ..traefik.upstream import ClientFiles, TimeLimits
from ..traefik_routers.provider import store_provider
from .settings import Delivery, Settings

if TYPE_CHECKING:
    from . import Options


def settings_of(proxy: Options) -> Settings:
    """What was chosen for `proxy`. Raises :class:`~jhub_kvproxy.errors.TraefikError` for addresses that are none."""
    return Settings(
        **_named_alike(Settings, proxy, but=("traefik", "delivery", "claim")),
        traefik=traefik_settings_of(proxy, proxy.app.trusted_downstream_ips if proxy.app else ()),
        delivery=Delivery(proxy.delivery),
        claim=_claim(proxy.app),
    )


def traefik_settings_of(proxy: Options, downstream: Sequence[str]) -> TraefikSettings:
    """The part of the settings that is about Traefik, in the way of :func:`settings_of`.

    `downstream` is ``JupyterHub.trusted_downstream_ips``.
    """
    derived = ("limits", "internal_ssl", "trusted_proxies")
    return TraefikSettings(
        **_named_alike(TraefikSettings, proxy, but=derived),
        limits=TimeLimits(**_named_alike(TimeLimits, proxy)),
        internal_ssl=_internal_ssl(proxy.app),
        trusted_proxies=tuple(proxy.trusted_proxies_of(downstream)),
    )


def provider_of(proxy: Options) -> StoreProvider | None:
    """How a Traefik of `proxy` reads the routes from the store; None: its plugin is told them."""
    return store_provider(proxy.backend) if proxy.delivery == Delivery.STORE else None


def _named_alike(kind: Any, proxy: Options, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of the dataclass `kind` that `proxy` has under the same name."""
    values = {field.name: getattr(proxy, field.name) for field in fields(kind) if field.name not in but}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _claim(app: Any) -> Claim:
    """The place that the hub of `app`, a JupyterHub, has: its host and those below it, or the paths below its own."""
    if app and app.subdomain_host:
        return Claim(domain=Pattern.parse(f"{urlsplit(app.subdomain_host).hostname}/").host or "")
    return Claim(app.base_url if app else "/")


def _internal_ssl(app: Any) -> ClientFiles | None:
    """The files of `app`, a JupyterHub, that its proxy needs; None without ``JupyterHub.internal_ssl``.

    JupyterHub makes them before it makes its proxy (``JupyterHub.init_internal_ssl``).
    """
    if not (app and app.internal_ssl):
        return None
    pair = app.internal_proxy_certs["proxy-client"]
    names = pair["certfile"], pair["keyfile"], app.internal_trust_bundles["proxy-client-ca"]
    return ClientFiles(*(str(Path(name).absolute()) for name in names))
