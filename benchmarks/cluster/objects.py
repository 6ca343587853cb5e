"""What makes a hub with KubeSpawner, as objects of Kubernetes. Pure."""

from __future__ import annotations

from typing import Any

#: The namespace of everything, and the Helm release of our chart.
NAMESPACE, RELEASE = "jhub", "jhub-kvproxy"
#: Where z2jh has what hub and proxy share.
SECRET, SECRET_KEY = "hub", "hub.config.ConfigurableHTTPProxy.auth_token"
#: What pods are guaranteed, so that they run also beside other work; all of them must have room on two cores.
HUB_CPU, AGENT_CPU, USER_CPU = "400m", "150m", 0.05
#: The directory of the hub's database in its pod.
_DATA = "/srv/jupyterhub"

_CONFIG = """
c = get_config()

c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "/srv/jupyterhub/cookie_secret"
c.JupyterHub.hub_bind_url = "http://0.0.0.0:8081"
c.JupyterHub.hub_connect_url = "http://hub:8081"
c.JupyterHub.bind_url = "http://0.0.0.0:8000"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.services = [{{"name": "test", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "access:servers"]}}
]

c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.image = "{image}"
c.KubeSpawner.image_pull_policy = "Never"
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
# Users' servers know a token for as long as the test lasts, also while the hub is away.
c.KubeSpawner.args = ["--HubOAuth.cache_max_age=86400"]
c.KubeSpawner.start_timeout = 180
c.KubeSpawner.http_timeout = 120
c.KubeSpawner.cpu_guarantee = {user_cpu}

c.JupyterHub.proxy_class = "kvproxy"
c.KVProxy.should_start = False
c.KVProxy.delivery = "agent"
c.KVProxy.agent_urls = ["http://{release}-agents:8098"]
c.KVProxy.backend_class = "{backend}"
"""


def hub_config(token: str, image: str, backend: str, options: str) -> str:
    """jupyterhub_config.py. `options` are lines for the backend."""
    return _CONFIG.format(token=token, image=image, backend=backend, release=RELEASE, user_cpu=USER_CPU) + options


def hub(image: str, config: str, directory: str, user: int) -> list[dict[str, Any]]:
    """The objects of a hub that keeps its database in `directory` of the node, which `user` owns."""
    labels = {"app": "jupyterhub", "component": "hub"}
    secret = {"secretKeyRef": {"name": SECRET, "key": SECRET_KEY}}
    rules = [
        {"apiGroups": [""], "resources": ["pods", "persistentvolumeclaims", "secrets", "services"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "watch", "list"]},
    ]
    container = {
        "name": "hub",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["jupyterhub", "--config=/etc/jupyterhub/jupyterhub_config.py"],
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "KVPROXY_AGENT_TOKEN", "valueFrom": secret},
        ],
        "ports": [{"name": "http", "containerPort": 8081}],
        "resources": {"requests": {"cpu": HUB_CPU, "memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/hub/health", "port": "http"}, "periodSeconds": 2, "timeoutSeconds": 5},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/jupyterhub"},
            {"name": "data", "mountPath": _DATA},
        ],
        "workingDir": _DATA,
    }
    pod = {
        "serviceAccountName": "hub",
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": user, "runAsGroup": user, "fsGroup": user},
        "containers": [container],
        "volumes": [
            {"name": "config", "configMap": {"name": "hub"}},
            {"name": "data", "hostPath": {"path": directory, "type": "Directory"}},
        ],
    }
    return [
        _object("v1", "ServiceAccount", "hub"),
        _object("v1", "ConfigMap", "hub", data={"jupyterhub_config.py": config}),
        _object("rbac.authorization.k8s.io/v1", "Role", "hub", rules=rules),
        _object(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            "hub",
            subjects=[{"kind": "ServiceAccount", "name": "hub", "namespace": NAMESPACE}],
            roleRef={"kind": "Role", "name": "hub", "apiGroup": "rbac.authorization.k8s.io"},
        ),
        _object("v1", "Service", "hub", spec={"selector": labels, "ports": [{"port": 8081, "targetPort": "http"}]}),
        _object(
            "apps/v1",
            "Deployment",
            "hub",
            spec={
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        ),
    ]


def secret(token: str) -> dict[str, Any]:
    return _object("v1", "Secret", SECRET, stringData={SECRET_KEY: token})


def chart_values(image: str, replicas: int, backend: str, options: dict[str, Any], z2jh: str) -> dict[str, Any]:
    """Values of our chart. `options` are the backend's, by class; `z2jh` is z2jh's release, or ""."""
    repository, _, tag = image.rpartition(":")
    return {
        "replicas": replicas,
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        **({"z2jh": {"release": z2jh}} if z2jh else {"token": {"existingSecret": SECRET, "key": SECRET_KEY}}),
        "store": {"backend": backend},
        "config": {"KVProxy": {"error_target": "http://hub:8081/hub/error"}, **options},
        "resources": {"requests": {"cpu": AGENT_CPU, "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
    }


def _object(version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **content}
