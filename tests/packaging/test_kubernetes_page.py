"""The page on the backend for Kubernetes: its Roles are those that the driver is tested with."""

from __future__ import annotations

import re

import yaml

from jhub_kvproxy_backends._kubernetes_names import admin_rules, agent_rules, hub_rules, name_of
from tests.pages import HOW_TO

PAGE = (HOW_TO / "kubernetes-objects.md").read_text()


def test_the_roles_on_the_page_are_those_of_the_driver(kubernetes):
    *blocks, more = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    name = name_of("jupyterhub")
    assert [*agent_rules(name), *yaml.safe_load(more)] == admin_rules(name)
    for block, rules in zip(blocks, (hub_rules(name), agent_rules(name)), strict=True):
        role, binding = yaml.safe_load_all(block)
        assert role["rules"] == rules
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        namespace = kubernetes.namespace()
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        kubernetes.ask("POST", f"{path}/roles?fieldValidation=Strict", role)
        kubernetes.ask("POST", f"{path}/rolebindings?fieldValidation=Strict", binding)


def test_the_names_on_the_page_are_those_of_the_driver():
    assert f"`{name_of('Hub/1')}`" in PAGE
