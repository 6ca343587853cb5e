"""Whose routes they are, as people say it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def owner_of(data: Mapping[str, Any]) -> str:
    """The owner of a route with this data, by JupyterHub's marks (``jupyterhub.proxy``)."""
    if data.get("hub") is True:
        return "the hub"
    if user := data.get("user"):
        server = data.get("server_name")
        return f"{user}, server {server}" if server else str(user)
    if service := data.get("service"):
        return f"service {service}"
    return ""
