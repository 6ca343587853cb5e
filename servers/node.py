"""A node of Kubernetes, with an API server and all controllers, within an :mod:`.enclosure`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from .errors import Missing
from .kubernetes import KubernetesServer
from .process import Process
from .programs import ROOT

#: The image of pods' first process, which holds their network.
SANDBOX = "localhost/jhub-kvproxy-sandbox:1"
#: All that a node needs besides the API server.
PROGRAMS = (
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "runc",
    "bridge",
    "host-local",
    "loopback",
    "coredns",
    "nft",
    "conntrack",
    "ip",
    "unshare",
)
ADDRESS = "10.199.0.1"
NAME = "node"
_API_SERVICE, _SERVICES, _PODS = "10.96.0.1", "10.96.0.0/16", "10.244.0.0/24"
_BUILT = ROOT / ".servers" / "kubernetes"
_UNPACKED = _BUILT / "node"
_HOW = "tools/kubernetes node gets it"


class Node:
    """The node, within a ``with`` block, with all its files in `directory`.

    Its pods are in the control group `cgroup`, and can have only images that were added, :data:`SANDBOX` among them.
    """

    def __init__(self, directory: Path, cgroup: str) -> None:
        self.directory = directory
        self.cgroup = cgroup
        self.api = KubernetesServer(
            directory / "api",
            "--bind-address=0.0.0.0",
            f"--advertise-address={ADDRESS}",
            "--endpoint-reconciler-type=master-count",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            durable=True,  # another etcd forgets what it has told, when it is killed
            addresses=(ADDRESS, _API_SERVICE),
        )
        self.socket = directory / "containerd.sock"
        self.containerd = self._process("containerd", f"--config={self._containerd_config()}")
        self.dns = self._process("coredns", f"-conf={self._dns_config()}")
        controllers = ["--leader-elect=false", f"--root-ca-file={self.api.authority.ca_file}"]
        key = directory / "api" / "certificates" / "service-accounts-key.pem"
        self.controller_manager = self._process(
            "kube-controller-manager",
            *controllers,
            f"--service-account-private-key-file={key}",
            "--use-service-account-credentials=true",
            f"--kubeconfig={self._kubeconfig('system:kube-controller-manager')}",
        )
        self.scheduler = self._process(
            "kube-scheduler", "--leader-elect=false", f"--kubeconfig={self._kubeconfig('system:kube-scheduler')}"
        )
        self.kubelet = self._process("kubelet", *self._kubelet_arguments())
        self.proxy = self._process("kube-proxy", f"--config={self._proxy_config()}")

    @property
    def processes(self) -> list[Process]:
        return [self.api, self.containerd, self.dns, self.controller_manager, self.scheduler, self.kubelet, self.proxy]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.api)
            self._admit_node()
            for process in self.processes[1:]:
                stack.callback(process.kill)
                process.launch()
            self.containerd.wait_until(self._takes_images)
            self.kubelet.wait_until(self.is_ready)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add_image(self, file: Path) -> None:
        """Add the image in the OCI archive `file`, or those."""
        self._ctr("images", "import", str(file))

    def _ctr(self, *arguments: str) -> str:
        command = [find_program("ctr"), f"--address={self.socket}", "--namespace=k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment()).stdout

    def _takes_images(self) -> bool:
        return (
            subprocess.run(
                [find_program("ctr"), f"--address={self.socket}", "version"], capture_output=True, env=environment()
            ).returncode
            == 0
        )

    def is_ready(self) -> bool:
        """Whether pods can run on it; may raise what networks and answers raise."""
        conditions = self.api.ask("GET", f"/api/v1/nodes/{NAME}")["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _admit_node(self) -> None:
        """Give the kubelet the rights that a node has (the Node authorizer would give it fewer), and theirs to DNS."""
        rbac, group = "/apis/rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
        rules = [
            {"apiGroups": [""], "resources": ["namespaces", "services"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ]
        self.api.ask("POST", f"{rbac}/clusterroles", {"metadata": {"name": "dns"}, "rules": rules})
        for name, role in (("system:nodes", "system:node"), ("dns", "dns")):
            binding = {
                "metadata": {"name": f"of-{role.replace(':', '-')}"},
                "subjects": [{"kind": "Group", "name": name, "apiGroup": group}],
                "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": group},
            }
            self.api.ask("POST", f"{rbac}/clusterrolebindings", binding)

    def _process(self, program: str, *arguments: str) -> Process:
        return Process(
            program, [find_program(program), *arguments], self.directory / f"{program}.log", env=environment()
        )

    def _kubeconfig(self, user: str, group: str = "") -> str:
        """The file of a kubeconfig with which to be `user`, of `group`."""
        certificate, key = self.api.authority.issue(group or user, server=False, common_name=user)
        entry = {"client-certificate": certificate, "client-key": key}
        url = f"https://{ADDRESS}:{self.api.port}"
        return self.api.kubeconfig("default", url=url, **entry)

    def _write(self, name: str, content: str | Mapping[str, Any]) -> Path:
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
        return file

    def _dns_config(self) -> Path:
        kubeconfig = self._kubeconfig("dns")
        lines = [".:53 {", f"bind {ADDRESS}", "errors", "kubernetes cluster.local {"]
        lines += [f"kubeconfig {kubeconfig}", "ttl 5", "}", "}", ""]
        return self._write("Corefile", "\n".join(lines))

    def _containerd_config(self) -> Path:
        home = self.directory / "containerd"
        cni = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": _PODS}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
        conf = self._write("cni/10-pods.conflist", cni).parent
        text = f"""
version = 2
root = "{home}/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs"]
[grpc]
address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_directory_of("bridge")}"
conf_dir = "{conf}"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{find_program("runc")}"
SystemdCgroup = false
"""
        return self._write("containerd.toml", text)

    def _kubelet_arguments(self) -> list[str]:
        home = self.directory / "kubelet"
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": self.api.authority.ca_file},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "clusterDNS": [ADDRESS],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": False,
            "makeIPTablesUtilChains": False,
            "nodeStatusUpdateFrequency": "4s",
            "podLogsDir": str(self.directory / "pods"),
            "registryPullQPS": 0,
            "resolvConf": str(self._write("resolv.conf", f"nameserver {ADDRESS}\n")),
            "volumePluginDir": str(home / "volume-plugins"),
        }
        return [
            f"--config={self._write('kubelet.json', config)}",
            f"--kubeconfig={self._kubeconfig(f'system:node:{NAME}', 'system:nodes')}",
            f"--root-dir={home}",
            f"--cert-dir={home / 'certificates'}",
            f"--hostname-override={NAME}",
            f"--node-ip={ADDRESS}",
        ]

    def _proxy_config(self) -> Path:
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": _PODS,
            "clientConnection": {"kubeconfig": self._kubeconfig("system:kube-proxy")},
            # The limits of the whole machine stay as they are.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "hostnameOverride": NAME,
        }
        return self._write("kube-proxy.json", config)


def find_program(name: str) -> str:
    """The path of a program of a node. Raises Missing, which says how to get it."""
    path = shutil.which(name, path=os.pathsep.join(_places()))
    if path is None:
        raise Missing(f"there is no {name} here ({_HOW})")
    return path


def _directory_of(plugin: str) -> str:
    return str(Path(find_program(plugin)).parent)


def _places() -> Iterator[str]:
    yield from filter(None, [os.environ.get("KUBEBUILDER_ASSETS", "")])
    yield from map(str, sorted(_BUILT.glob("*"), reverse=True))
    for part in ("usr/bin", "usr/sbin", "usr/lib/cni"):
        yield str(_UNPACKED / part)
    yield from os.environ["PATH"].split(os.pathsep)
    yield from ("/usr/sbin", "/usr/lib/cni", "/opt/cni/bin")


def environment() -> dict[str, str]:
    """In which the programs of a node find each other, and their libraries."""
    libraries = [str(path) for path in _UNPACKED.glob("usr/lib/*-linux-gnu")]
    path = os.pathsep.join(_places())
    return {**os.environ, "PATH": path, **({"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {})}
