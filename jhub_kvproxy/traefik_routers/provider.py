"""What a Traefik that reads the store by itself has in its configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import BackendError, KVProxyError
from ..routing.records import REVISION_HEADER, REVISION_NAME
from ..store.contract import Backend, SupportsTraefik
from ..traefik.dynamic import HEALTH_ROUTER
from ..traefik.settings import StoreProvider
from ..traefik.static import PUBLIC


def store_provider(backend: Backend) -> StoreProvider:
    """The provider for the store of `backend`. Raises :class:`~jhub_kvproxy.errors.KVProxyError` if there is none."""
    readable = readable_by_traefik(backend)
    config, secrets = readable.traefik_provider_config(), readable.traefik_provider_secrets()
    return StoreProvider(config, secrets, _health_dynamic(readable.provider))


def readable_by_traefik(backend: Backend) -> SupportsTraefik:
    """`backend`, as what it can do. Raises :class:`~jhub_kvproxy.errors.KVProxyError` if Traefik cannot read it."""
    name = type(backend).__name__
    if not isinstance(backend, SupportsTraefik) or not backend.provider:
        raise KVProxyError(
            f'Traefik cannot read the store of {name} by itself; set KVProxy.delivery to "push" or "agent".'
        )
    with suppress(BackendError):  # whoever runs Traefik may know another way to read it
        if missing := _missing(backend.provider, backend.traefik_provider_config()):
            raise KVProxyError(
                f"{name}.traefik_provider_config() has no {missing}, so Traefik cannot read its store by the provider "
                f'{backend.provider!r}. This is a mistake in {name}; set KVProxy.delivery to "push" or "agent".'
            )
    return backend


def _missing(provider: str, config: Mapping[str, Any]) -> str:
    """What the section ``providers`` lacks, so that Traefik reads nothing; empty: nothing."""
    section = next((value for name, value in config.items() if name.lower() == provider.lower()), None)
    if not isinstance(section, Mapping):
        return provider
    return "file.directory" if provider == "file" and not section.get("directory") else ""


def _health_dynamic(provider: str) -> dict[str, Any]:
    """By this it is healthy once it has read the table."""
    return {
        "http": {
            "routers": {
                "kvproxy-health": {
                    **HEALTH_ROUTER,
                    "entryPoints": [PUBLIC],
                    # It needs a part of the table, and is not there without it; but strangers are told no revision.
                    "middlewares": ["kvproxy-health", f"{REVISION_NAME}@{provider}"],
                }
            },
            "middlewares": {"kvproxy-health": {"headers": {"customResponseHeaders": {REVISION_HEADER: ""}}}},
        }
    }
