"""What a real API server says of objects, without making them."""

from __future__ import annotations

from typing import Any

from servers.kubernetes import KubernetesServer

PATHS = {
    "ConfigMap": "api/v1/{}/configmaps",
    "Service": "api/v1/{}/services",
    "ServiceAccount": "api/v1/{}/serviceaccounts",
    "Deployment": "apis/apps/v1/{}/deployments",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/{}/horizontalpodautoscalers",
    "Ingress": "apis/networking.k8s.io/v1/{}/ingresses",
    "NetworkPolicy": "apis/networking.k8s.io/v1/{}/networkpolicies",
    "PodDisruptionBudget": "apis/policy/v1/{}/poddisruptionbudgets",
    "Role": "apis/rbac.authorization.k8s.io/v1/{}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/{}/rolebindings",
}


def try_to_make(server: KubernetesServer, namespace: str, found: dict[str, Any]) -> None:
    """Have the server check an object as if it were made. Raises Refused."""
    path = PATHS[found["kind"]].format(f"namespaces/{namespace}")
    server.ask("POST", f"/{path}?dryRun=All&fieldValidation=Strict", found)
