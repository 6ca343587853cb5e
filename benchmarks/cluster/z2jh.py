"""What Zero to JupyterHub's own chart needs for our hub in its place. Pure."""

from __future__ import annotations

from typing import Any

from .objects import HUB_CPU, USER_CPU

#: Its Helm release, and its Service for users.
RELEASE, SERVICE = "jupyterhub", "proxy-public"
#: As z2jh runs the hub.
USER = 1000
_DATA = "/srv/data"


def values(token: str, image: str, packages: str, directory: str) -> dict[str, Any]:
    """Values beside those of charts/z2jh-values.yaml. The hub keeps its database in `directory` of the node.

    `image` has hub, users' servers and our package, in the directory `packages`.
    """
    name, _, tag = image.rpartition(":")
    site = {"name": name, "tag": tag, "pullPolicy": "Never"}
    return {
        "hub": {
            "config": {
                "JupyterHub": {"authenticator_class": "dummy"},
                "Authenticator": {"allow_all": True},
                "KubeSpawner": {
                    # Users' servers know a token for as long as the test lasts, also while the hub is away.
                    "args": ["--HubOAuth.cache_max_age=86400"],
                    "working_dir": "/home/user",
                    "http_timeout": 120,
                },
            },
            "db": {"type": "other", "url": f"sqlite:///{_DATA}/jupyterhub.sqlite"},
            "image": site,
            "resources": {"requests": {"cpu": HUB_CPU, "memory": "128Mi"}},
            # The image has our package, there.
            "initContainers": [],
            "extraEnv": {"PYTHONPATH": packages},
            "extraVolumes": [{"name": "data", "hostPath": {"path": directory, "type": "Directory"}}],
            "extraVolumeMounts": [{"name": "data", "mountPath": _DATA}],
            "services": {"test": {"apiToken": token}},
            "loadRoles": {"test": {"services": ["test"], "scopes": ["admin:users", "admin:servers", "access:servers"]}},
        },
        "proxy": {
            "service": {"type": "ClusterIP"},
            "chp": {
                # Its configurable-http-proxy only waits.
                "image": site,
                "livenessProbe": {"enabled": False},
                "readinessProbe": {"enabled": False},
                "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
            },
        },
        "singleuser": {
            "image": site,
            "storage": {"type": "none"},
            "cpu": {"guarantee": USER_CPU},
            "memory": {"guarantee": "32M"},
            "cloudMetadata": {"blockWithIptables": False},
            "networkPolicy": {"enabled": False},
        },
        "scheduling": {"userScheduler": {"enabled": False}},
        "prePuller": {"hook": {"enabled": False}, "continuous": {"enabled": False}},
        "cull": {"enabled": False},
    }
