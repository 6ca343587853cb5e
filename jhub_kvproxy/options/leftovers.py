"""Finds options of other proxies in a configuration: they have no effect, and are easily overlooked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from traitlets import HasTraits
from traitlets.config import Config

#: The classes of JupyterHub's own proxy, and of jupyterhub-traefik-proxy.
_OTHERS = re.compile(r"ConfigurableHTTPProxy|Traefik\w*Proxy|TKvProxy")

#: About a Traefik that others start, such as that of The Littlest JupyterHub: KVProxy starts its own.
_OF_OTHERS_TRAEFIK = {"should_start", "traefik_api_username", "traefik_api_password"}


def leftovers(config: Config, proxy: type[HasTraits]) -> Iterator[str]:
    """Sentences about each section of another proxy, where `proxy` is the one that is used."""
    ours = {*proxy.class_trait_names(config=True)} - _OF_OTHERS_TRAEFIK
    for section in sorted(filter(_OTHERS.fullmatch, config)):
        options = sorted(config[section])
        if not options:
            continue
        *most, last = (f"c.{section}.{option}" for option in options)
        words = f"{', '.join(most)} and {last} have" if most else f"{last} has"
        known = ", ".join(f"c.{proxy.__name__}.{option}" for option in options if option in ours)
        yield f"{words} no effect: the proxy is {proxy.__name__}.{f' Write {known}.' if known else ''}"
