"""The values of Zero to JupyterHub, and The Littlest JupyterHub's ``config.yaml``, and ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .moves import Move, Rule, apply_rules, line, none
from .moves_from_chp import SECTION, read_flags, read_traits

_STAGING = {"caServer": "https://acme-staging-v02.api.letsencrypt.org/directory"}
_OURS = "The chart jhub-kvproxy has a value of its own for its pods: {}."
_NO_POD = "CHP's pod does nothing any more."

#: Below ``proxy`` in the values of z2jh.
_Z2JH: dict[str, Rule] = {
    "secretToken": none("The agents use the same token; it may stay."),
    "chp.defaultTarget": none("JupyterHub adds the route / to itself."),
    "chp.errorTarget": line("KVProxy.error_target"),
    "chp.resources": none(_OURS.format("resources")),
    "chp.nodeSelector": none(_OURS.format("nodeSelector")),
    "chp.tolerations": none(_OURS.format("tolerations")),
    "chp.networkPolicy": none(_OURS.format("networkPolicy")),
    "chp.pdb": none(_OURS.format("podDisruptionBudget")),
    "chp.extraEnv": none(_OURS.format("extraEnv")),
    "chp": none(_NO_POD),
    "service.extraPorts": none(
        "z2jh-values.yaml sets it too, and Helm does not merge lists: write yours there as well."
    ),
    "service": none("It may stay: the Service proxy-public leads to the pods of jhub-kvproxy."),
    "traefik": none("It may stay: this is z2jh's own Traefik for Let's Encrypt, in front."),
    "secretSync": none("It may stay."),
    "https": none("Who ends TLS is in the guide to Kubernetes, for each proxy.https.type."),
    "ingress": none("It may stay: it leads to proxy-public."),
}
#: Not in TLJH's own directories: its installer deletes a Traefik there that has another version than its own.
TLJH_TRAEFIK = "/opt/tljh/kvproxy/bin/traefik"
#: TLJH's ``config.yaml``. What is not about its proxy is not listed.
_TLJH: dict[str, Rule] = {
    "http.address": none("Traefik redirects from plain HTTP on the address in JupyterHub.bind_url."),
    "https.tls.cert": line("JupyterHub.ssl_cert"),
    "https.tls.key": line("JupyterHub.ssl_key"),
    "https.letsencrypt.email": line("KVProxy.acme_email"),
    "https.letsencrypt.domains": line("KVProxy.acme_domains", list),
    "https.letsencrypt.staging": line("KVProxy.acme_resolver", lambda _: _STAGING),
    "traefik_api": none("The hub starts Traefik, and chooses this by itself."),
}


def is_z2jh(values: Mapping[str, Any]) -> bool:
    """Whether these are z2jh's values; otherwise they are TLJH's."""
    return any(name in values for name in ("proxy", "hub", "singleuser", "ingress", "prePuller", "scheduling"))


def read_z2jh(move: Move, values: Mapping[str, Any]) -> None:
    """z2jh's values; what is in ``hub.extraConfig`` is code, which is only named."""
    hub = values.get("hub") or {}
    read_traits(move, (hub.get("config") or {}).get(SECTION) or {})
    for name, code in (hub.get("extraConfig") or {}).items():
        if found := sorted(set(re.findall(rf"{SECTION}\.\w+", str(code)))):
            move.found.append(f"hub.extraConfig.{name}")
            move.note(f"hub.extraConfig.{name}", f"It sets {', '.join(found)}: see these options here.")
    proxy = dict(values.get("proxy") or {})
    chp = dict(proxy.get("chp") or {})
    command, more = chp.pop("command", None) or [], chp.pop("extraCommandLineFlags", None) or []
    if not (isinstance(command, list) and isinstance(more, list)):
        raise TypeError("chart: both are lists")
    flags = [str(flag) for flag in [*command[1:], *more]]
    if flags:
        move.found.append("proxy.chp.extraCommandLineFlags")
        read_flags(move, flags)
    _read(move, "proxy", _Z2JH, proxy | {"chp": chp})
    if values.get("ingress"):
        _read(move, "", _Z2JH, {"ingress": values["ingress"]})


def read_tljh(move: Move, values: Mapping[str, Any]) -> None:
    """TLJH's ``config.yaml``: its Traefik is a unit of its own, which kvproxy's takes the place of."""
    base = str(values.get("base_url") or "/")
    http, https = values.get("http") or {}, values.get("https") or {}
    is_https = bool(https.get("enabled"))
    chosen = https if is_https else http
    port = chosen.get("port") or (443 if is_https else 80)
    scheme = "https" if is_https else "http"
    move.options["JupyterHub.bind_url"] = f"{scheme}://{chosen.get('address') or ''}:{port}{base}"
    move.options["JupyterHub.cleanup_proxy"] = False
    move.options["KVProxy.traefik_cmd"] = [TLJH_TRAEFIK]
    if is_https:
        move.options["KVProxy.redirect_http"] = http.get("port") or 80
    for section in ("http", "https"):
        move.found += [
            f"{section}.{name}" for name in ("enabled", "port", "address") if name in (values.get(section) or {})
        ]
    rest = {name: values[name] for name in ("traefik_api",) if name in values}
    if is_https:
        rest["https"] = {name: value for name, value in https.items() if name in ("tls", "letsencrypt")}
        if "address" in http:
            rest["http"] = {"address": http["address"]}
    _read(move, "", _TLJH, rest)


def _read(move: Move, root: str, rules: Mapping[str, Rule], values: Mapping[str, Any]) -> None:
    settings = (
        (_rule_for(key, rules), f"{root}.{key}" if root else key, value) for key, value in _leaves(values, rules)
    )
    apply_rules(move, rules, settings)


def _rule_for(key: str, rules: Mapping[str, Rule]) -> str:
    """The name of the rule for `key`, or for what it is a part of."""
    while key and key not in rules:
        key = key.rpartition(".")[0]
    return key


def _leaves(values: Mapping[str, Any], rules: Mapping[str, Rule], path: str = "") -> Iterator[tuple[str, Any]]:
    """The longest names that `rules` have for what is in `values`. What is empty says nothing."""
    for name, value in values.items():
        here = f"{path}.{name}" if path else str(name)
        if value in (None, "", [], {}, False):
            continue
        if isinstance(value, Mapping) and any(rule.startswith(f"{here}.") for rule in rules):
            yield from _leaves(value, rules, here)
        else:
            yield here, value
