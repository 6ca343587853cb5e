"""Options for Traefik's own Prometheus metrics. The hub's metrics need none: they are in ``/hub/metrics``."""

from __future__ import annotations

from typing import Any

from traitlets import CaselessStrEnum, HasTraits, Integer, List, TraitError, Unicode, Union, validate

from ..traefik.prometheus import LABELS, address_of
from ..traefik.static import address


class MetricsOptions(HasTraits):
    traefik_metrics = Union(
        [Unicode(), Integer()],
        default_value="",
        config=True,
        help="""
        Port, or address and port, where Traefik serves its own metrics to Prometheus: `8082` is
        `http://127.0.0.1:8082/metrics`. Empty (default), `0` or `False`: nowhere.

        With an address, such as `10.0.0.1:8082`, or with `:8082` for all interfaces, other machines can read them;
        there is no password. With `KVProxy.local_replicas`, each further Traefik uses the next port.
        """,
    )
    traefik_metrics_labels = List(
        CaselessStrEnum(sorted(LABELS)),
        ["entrypoints"],
        config=True,
        help="""
        What Traefik has metrics for: any of `entrypoints`, `services`, `routers`.

        With `delivery = "push"`, Traefik has one router for all users' requests, and no service for them.

        With `delivery = "store"`, there are about as many services and routers as routes. Their names contain users'
        names. Each has dozens of lines once it was used: thousands of users make pages of megabytes.
        """,
    )

    @validate("traefik_metrics")
    def _validate_traefik_metrics(self, proposal: Any) -> str:
        text = str(proposal.value or "").strip()
        try:
            return "" if text in ("", "0", "False") else address(*address_of(text))
        except ValueError:
            raise TraitError(
                f"KVProxy.traefik_metrics is {text!r}, which is neither a port nor ADDRESS:PORT; "
                "write it like 8082 or 10.0.0.1:8082."
            ) from None
