"""Imports all that an agent may, so that an image in which a package is missing is not built."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

import jhub_kvproxy

#: The hub's, the page, or for those who write drivers; an agent imports none of it.
_NOT_THE_AGENTS = ("hub", "page", "testing", "cli")
#: Of the command line, an agent imports this.
_AGENTS = ("jhub_kvproxy.cli.app", "jhub_kvproxy.cli.agent", "jhub_kvproxy.cli.agent_check")


def modules() -> list[str]:
    # Not walk_packages, which would import those that are left out.
    packages = [f"jhub_kvproxy.{found.name}" for found in pkgutil.iter_modules(jhub_kvproxy.__path__)]
    ours = [name for name in packages if name.rpartition(".")[2] not in (*_NOT_THE_AGENTS, "__main__")]
    inner = [
        found.name
        for name in (*ours, "jhub_kvproxy_backends")
        for found in pkgutil.walk_packages(getattr(importlib.import_module(name), "__path__", []), f"{name}.")
    ]
    return [*ours, *inner, *_AGENTS]


if __name__ == "__main__":
    if importlib.util.find_spec("jupyterhub"):
        raise SystemExit("JupyterHub is installed here, which an agent does not need.")
    for module in modules():
        importlib.import_module(module)
