"""Drivers that may do in Kubernetes what the documentation's Roles let them, and no more."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from jhub_kvproxy_backends._kubernetes_names import admin_rules, hub_rules, name_of
from jhub_kvproxy_backends.kubernetes import KubernetesBackend
from servers.errors import Refused
from servers.kubernetes import KubernetesServer


class Account:
    """A service account in a namespace of its own; its Role has the rules of a hub for each prefix that it is given."""

    def __init__(self, server: KubernetesServer) -> None:
        self.server = server
        self.namespace = server.namespace()
        self._prefixes: list[str] = []
        self.name = server.account(self.namespace, [])
        self.token = server.token(self.namespace, self.name)
        self.traits: dict[str, Any] = {"kubeconfig": server.kubeconfig(self.namespace, self.name)}

    def grant(self, prefix: str) -> None:
        """Let it use the table on `prefix`; returns when Kubernetes does."""
        if prefix not in self._prefixes:
            self._prefixes.append(prefix)
            rules = [rule for each in self._prefixes for rule in hub_rules(name_of(each))]
            self.server.change_rules(self.namespace, self.name, rules)
            self._wait(prefix, is_allowed=True)

    def forbid(self) -> None:
        """Take all rights from it; returns when Kubernetes has."""
        self.server.change_rules(self.namespace, self.name, [])
        self._wait(self._prefixes[-1], is_allowed=False)

    def _wait(self, prefix: str, *, is_allowed: bool) -> None:
        while self._may(prefix) != is_allowed:
            time.sleep(0.002)

    def _may(self, prefix: str) -> bool:
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{name_of(prefix)}"
        try:
            self.server.ask("GET", path, token=self.token)
        except Refused as refusal:
            return refusal.status == 404
        return True


def readers_traits(server: KubernetesServer, namespace: str, prefix: str) -> dict[str, Any]:
    """Of an admin who may look at the table on `prefix`, and change nothing."""
    account = server.account(namespace, admin_rules(name_of(prefix)))
    return {"kubeconfig": server.kubeconfig(namespace, account)}


class GrantedBackend(KubernetesBackend):
    """A driver whose account gets the rules of a hub for its prefix when it is opened."""

    account: ClassVar[Account | None] = None

    async def open(self) -> None:
        if self.account:
            self.account.grant(self.prefix)
        await super().open()
