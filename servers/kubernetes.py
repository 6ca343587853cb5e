"""Real API servers of Kubernetes, without nodes: what they hold, and accounts on them, without the driver."""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .certificates import Authority
from .cluster import Cluster
from .errors import Missing, Unavailable
from .etcd import EtcdServer
from .json_api import JsonApi
from .ports import free_port
from .process import SOON, Process
from .programs import ROOT

#: The oldest that is tested: "oldest". "newest" is the newest that is found beside it.
OLDEST = (1, 20)
_BUILT = ROOT / ".servers" / "kubernetes"
_HOW = (
    "tools/kubernetes builds it; or set KUBEBUILDER_ASSETS to a directory that has it, as setup-envtest "
    "(sigs.k8s.io/controller-runtime/tools/setup-envtest) prints it"
)
Rules = Sequence[Mapping[str, Sequence[str]]]


def find_api_server(which: str = "newest") -> str:
    """The path of a kube-apiserver: the "newest" or the "oldest". Raises Missing, which says how to get one.

    They are looked for where envtest looks, in KUBEBUILDER_ASSETS and on PATH, and in .servers/kubernetes/*/.
    """
    found = {_version(path): path for path in reversed([*_candidates()])}
    old = [version for version in found if version[:2] == OLDEST]
    new = [version for version in found if version[:2] > OLDEST]
    versions = old if which == "oldest" else new
    if not versions:
        older, newer = ".".join(map(str, OLDEST)), f"newer than {'.'.join(map(str, OLDEST))}"
        raise Missing(f"there is no kube-apiserver {older if which == 'oldest' else newer} here ({_HOW})")
    return found[max(versions)]


def _candidates() -> Iterator[str]:
    places = [os.environ.get("KUBEBUILDER_ASSETS", ""), *os.environ["PATH"].split(os.pathsep)]
    for directory in [*filter(None, places), *sorted(_BUILT.glob("*"))]:
        path = Path(directory) / "kube-apiserver"
        if os.access(path, os.X_OK):
            yield str(path)


@functools.cache
def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, match.groups())) if match else (0, 0, 0)


class KubernetesServer(Process):
    """An API server with RBAC and tokens of service accounts, and the etcd that is its own. They end together.

    No controller runs: nobody makes default service accounts, or deletes what is in a namespace that was deleted.
    `which` is for :func:`find_api_server`. `certificate` (certificate and key) is another than one of
    :attr:`authority`, which holds for loopback and `addresses`. `arguments` are those of kube-apiserver.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        which: str = "newest",
        durable: bool = False,
        certificate: tuple[str, str] | None = None,
        addresses: Sequence[str] = (),
    ) -> None:
        program = find_api_server(which)
        port = free_port()
        self.version = ".".join(map(str, _version(program)))
        self.url = f"https://127.0.0.1:{port}"
        self.directory = directory
        self.authority = Authority(directory / "certificates")
        self.etcd = EtcdServer(directory, durable=durable)
        self.data = self.etcd.data
        certificate = certificate or self.authority.issue("kube-apiserver", client=False, addresses=addresses)
        accounts = self.authority.issue("service-accounts")
        self._admin = secrets.token_hex(16)
        tokens = directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f"{self._admin},admin,admin,system:masters\n")
        command = [
            program,
            f"--etcd-servers={self.etcd.url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={certificate[0]}",
            f"--tls-private-key-file={certificate[1]}",
            f"--client-ca-file={self.authority.ca_file}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={accounts[0]}",
            f"--service-account-signing-key-file={accounts[1]}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            # Nobody needs the Service "kubernetes", which could not lead to loopback.
            "--endpoint-reconciler-type=none",
        ]
        super().__init__("kube-apiserver", [*command, *arguments], directory / "kube-apiserver.log", port=port)
        self._api = JsonApi(self.url, self.authority.ca_file)

    def launch(self) -> None:
        if not self.etcd.is_running:
            self.etcd.start()
        super().launch()

    @property
    def pids(self) -> list[int]:
        return [self.pid, *self.etcd.pids]

    def is_ready(self) -> bool:
        self.ask("GET", "/api/v1/namespaces/kube-system", timeout=SOON)
        return self._api.get("/readyz") == "ok"

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self.etcd.stop()

    def kill(self) -> None:
        try:
            super().kill()
        finally:
            self.etcd.kill()

    @functools.cached_property
    def shared_namespace(self) -> str:
        """That of :attr:`traits`."""
        return self.namespace()

    @functools.cached_property
    def traits(self) -> dict[str, Any]:
        """Of a driver that may use all ConfigMaps and Leases of a namespace, so any prefix."""
        namespace = self.shared_namespace
        every = {"verbs": ["*"]}
        rules = [
            {"apiGroups": [""], "resources": ["configmaps"], **every},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], **every},
        ]
        return {"kubeconfig": self.kubeconfig(namespace, self.account(namespace, rules))}

    def ask(
        self,
        method: str,
        path: str,
        message: Any = None,
        *,
        token: str = "",
        content: str = "json",
        timeout: float = 60,
    ) -> Any:
        """What it answers to an admin, or to who has `token`. Raises Refused with its words.

        `content` is the kind of a message: "json", "apply-patch+yaml", "merge-patch+json" or the like.
        """
        headers = {"Authorization": f"Bearer {token or self._admin}", "Content-Type": f"application/{content}"}
        return self._api.ask(method, path, message, headers, timeout=timeout)

    def namespace(self, name: str = "") -> str:
        """The name of a new namespace."""
        name = name or f"hub-{uuid.uuid4().hex[:8]}"
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def account(self, namespace: str, rules: Rules, name: str = "") -> str:
        """The name of a new service account with a Role of these `rules`; both have that name."""
        name = name or f"account-{uuid.uuid4().hex[:8]}"
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
        self.ask("POST", f"{rbac}/roles", {"metadata": {"name": name}, "rules": rules})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        self.ask("POST", f"{rbac}/rolebindings", binding)
        return name

    def change_rules(self, namespace: str, account: str, rules: Rules) -> None:
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{account}"
        self.ask("PUT", path, {"metadata": {"name": account}, "rules": rules})

    def token(self, namespace: str, account: str, *, seconds: int = 3600) -> str:
        """A token of a service account, as a pod gets it. The shortest that a server gives is 600 seconds."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.ask("POST", path, {"spec": {"expirationSeconds": seconds}})["status"]["token"])

    def revoke(self, namespace: str, account: str) -> None:
        """Delete a service account: its tokens are refused within seconds."""
        self.ask("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")

    def kubeconfig(self, namespace: str, account: str = "", *, url: str = "", **user: str) -> str:
        """A new kubeconfig (file) of a service account; of `user` if that is given: an entry's fields.

        With neither it is that of an admin. The server is said to be at `url`.
        """
        if not user:
            user = {"token": self.token(namespace, account) if account else self._admin}
        cluster = {"server": url or self.url, "certificate-authority": self.authority.ca_file}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
            "current-context": "test",
        }
        file = self.directory / f"kubeconfig-{uuid.uuid4().hex[:8]}"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config, indent=1))
        return str(file)

    def objects(self, namespace: str, kind: str = "configmaps") -> dict[str, dict[str, Any]]:
        """All "configmaps" or "leases" of a namespace, by their names."""
        group = "/api/v1" if kind == "configmaps" else "/apis/coordination.k8s.io/v1"
        items = self.ask("GET", f"{group}/namespaces/{namespace}/{kind}")["items"]
        return {item["metadata"]["name"]: item for item in items}


class KubernetesCluster(Cluster):
    """One API server and the etcd that is its own, as a store that may be killed, emptied and wiped."""

    def __init__(self, directory: Path) -> None:
        self._server = KubernetesServer(directory / "kubernetes", durable=True)
        super().__init__([self._server])
        # An admin and this namespace are there again after all was lost.
        self._namespace = "default"
        self.traits = {"api_url": self._server.url, "kubeconfig": self._server.kubeconfig(self._namespace)}

    def is_ready(self) -> bool:
        self._server.ask("GET", f"/api/v1/namespaces/{self._namespace}", timeout=SOON)
        return self._server.is_ready()

    def empty(self) -> None:
        for kind, group in (("configmaps", "/api/v1"), ("leases", "/apis/coordination.k8s.io/v1")):
            self._server.ask("DELETE", f"{group}/namespaces/{self._namespace}/{kind}")

    def leader(self) -> Process:
        raise Unavailable("there is one API server")
