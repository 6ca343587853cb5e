"""What the objects of a table are called in Kubernetes, and the Roles that let others use them. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Any

#: The most bases of a table: those in use, and those that take their place.
SLOTS = 16
LABELS = {"app.kubernetes.io/managed-by": "jhub-kvproxy", "app.kubernetes.io/part-of": "jhub-kvproxy"}

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LONGEST = 40


def name_of(prefix: str) -> str:
    """The name of the head and of the lease of the table on `prefix`."""
    if len(prefix) <= _LONGEST and _DNS_LABEL.fullmatch(prefix):
        return f"kvproxy-{prefix}"
    slug = re.sub("[^A-Za-z0-9]+", "-", prefix).lower().strip("-")[:31].strip("-")
    digest = hashlib.sha256(prefix.encode(errors="surrogatepass")).hexdigest()[:8]
    return "-".join(filter(None, ["kvproxy", slug, digest]))


def slot_name(name: str, slot: int) -> str:
    """The name of the base in that slot of the table `name`. No other table's name has a dot."""
    return f"{name}.{slot}"


def hub_rules(name: str) -> list[dict[str, Any]]:
    """What a hub may do with the table `name`, as the rules of a Role."""
    slots = [slot_name(name, slot) for slot in range(SLOTS)]
    return [
        # Kubernetes cannot limit by name what is created.
        _rule("", "configmaps", ["create"]),
        _rule("", "configmaps", ["get", "list", "watch", "update", "delete"], [name]),
        _rule("", "configmaps", ["get", "delete"], slots),
        _rule("coordination.k8s.io", "leases", ["create"]),
        _rule("coordination.k8s.io", "leases", ["get", "update", "delete"], [name]),
    ]


def agent_rules(name: str) -> list[dict[str, Any]]:
    """What an agent may do with the table `name`, as the rules of a Role."""
    slots = [slot_name(name, slot) for slot in range(SLOTS)]
    return [
        _rule("", "configmaps", ["get", "list", "watch"], [name]),
        _rule("", "configmaps", ["get"], slots),
    ]


def admin_rules(name: str) -> list[dict[str, Any]]:
    """What commands that only look may do with the table `name`, as the rules of a Role."""
    return [*agent_rules(name), _rule("coordination.k8s.io", "leases", ["get"], [name])]


def _rule(group: str, resource: str, verbs: list[str], names: list[str] | None = None) -> dict[str, Any]:
    rule = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
    return rule | ({"resourceNames": names} if names else {})
