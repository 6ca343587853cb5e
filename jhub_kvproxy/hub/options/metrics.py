"""What Traefik tells Prometheus. What the hub tells needs no option: it is in ``/hub/metrics``."""

from __future__ import annotations

from typing import Any

from traitlets import CaselessStrEnum, HasTraits, Integer, List, TraitError, Unicode, Union, validate

from ...traefik.prometheus import LABELS, address_of
from ...traefik.static import address


class MetricsOptions(HasTraits):
    traefik_metrics = Union(
        [Unicode(), Integer()],
        default_value="",
        config=True,
        help="""
        Where Traefik answers Prometheus, with its own metrics: `8082` is `http://127.0.0.1:8082/metrics`.

        With an address, such as `10.0.0.1:8082`, or `:8082` for all interfaces, others than this machine can ask;
        there is no password. Empty, `0` or `False`: nowhere, the default. With `KVProxy.local_replicas`, each further
        Traefik has the port that follows.
        """,
    )
    traefik_metrics_labels = List(
        CaselessStrEnum(sorted(LABELS)),
        ["entrypoints"],
        config=True,
        help="""
        What Traefik has metrics for: `entrypoints`, `services`, `routers`, any of them.

        With `delivery = "push"`, Traefik has one router for all users' requests, and no service for them.

        With `delivery = "store"`, there are about as many services and routers as routes, their names contain users'
        names, and each has dozens of lines as soon as it was used: with thousands of users, pages of megabytes.
        """,
    )

    @validate("traefik_metrics")
    def _validate_traefik_metrics(self, proposal: Any) -> str:
        text = str(proposal.value or "").strip()
        try:
            return "" if text in ("", "0", "False") else address(*address_of(text))
        except ValueError:
            raise TraitError(
                f"KVProxy.traefik_metrics is {text!r}, which is no port and no ADDRESS:PORT; "
                "write it like 8082 or 10.0.0.1:8082."
            ) from None
