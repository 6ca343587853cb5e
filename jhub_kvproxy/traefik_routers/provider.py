"""What a Traefik that reads the store by itself has in its configuration. Pure."""

from __future__ import annotations

from typing import Any

from ..routing.records import REVISION_HEADER, REVISION_NAME
from ..store.contract import Backend
from ..traefik.dynamic import HEALTH_ROUTER
from ..traefik.settings import StoreProvider
from ..traefik.static import PUBLIC


def store_provider(backend: Backend) -> StoreProvider:
    """The provider for the store of `backend`."""
    return StoreProvider(
        backend.traefik_provider_config(), backend.traefik_provider_secrets(), _health_dynamic(backend.provider)
    )


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
