"""The variants: our backends, other proxies, and a bare Traefik."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jhub_kvproxy.errors import BackendNotFound
from jhub_kvproxy.store.registry import find_backend, installed_backends
from jhub_kvproxy.traefik.prometheus import LABELS
from servers.errors import Missing
from servers.ports import free_port
from servers.programs import find, peer_python

from . import stores
from .errors import BenchmarkError

#: The peer's proxy class for each of its stores, and the option that says where the store is.
PEERS = {
    "toml": ("jupyterhub_traefik_proxy.fileprovider:TraefikFileProviderProxy", "dynamic_config_file"),
    "etcd": ("jupyterhub_traefik_proxy.etcd:TraefikEtcdProxy", "etcd_url"),
    "consul": ("jupyterhub_traefik_proxy.consul:TraefikConsulProxy", "consul_url"),
    "redis": ("jupyterhub_traefik_proxy.redis:TraefikRedisProxy", "redis_url"),
}

#: The option by which Traefik reads the store by itself, where it can.
STORE = "store"
#: Options of ours that differ from the default: the configuration of each, by class.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    STORE: {"KVProxy": {"delivery": "store"}},
}
#: The option with Traefik's metrics, which can be combined with one of the others: "store, metrics".
METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the compared proxies."""

    name: str
    #: "own", "peer", "chp" or "bare".
    kind: str
    backend: str = ""
    #: For "own": names from OPTIONS and METRICS, separated by ", ".
    option: str = ""

    @property
    def has_hub_part(self) -> bool:
        return self.kind != "bare"

    @property
    def is_slow(self) -> bool:
        """Whether a change of a large table takes seconds, because Traefik rebuilds all its routers."""
        return self.kind == "peer" or STORE in self.option.split(", ")


def own(backend: str, option: str = "") -> Variant:
    return Variant(f"{backend} ({option})" if option else backend, "own", backend, option)


CHP = Variant("CHP", "chp")
BARE = Variant("bare Traefik", "bare")


def peer(backend: str) -> Variant:
    return Variant(f"peer ({'file' if backend == 'toml' else backend})", "peer", backend)


def configuration_of(option: str) -> dict[str, dict[str, Any]]:
    """The configuration that `option` adds to that of all variants, by class."""
    merged: dict[str, dict[str, Any]] = {}
    for way in filter(None, option.split(", ")):
        for name, traits in (_metrics() if way == METRICS else OPTIONS[way]).items():
            merged.setdefault(name, {}).update(traits)
    return merged


def _metrics() -> dict[str, dict[str, Any]]:
    return {"KVProxy": {"traefik_metrics": f"127.0.0.1:{free_port()}", "traefik_metrics_labels": sorted(LABELS)}}


def find_variants(backends: Sequence[str], has_config: bool) -> tuple[list[Variant], dict[str, str]]:
    """The variants that this machine can compare, and those left out, by name, with the reason.

    `backends` are those that were asked for; none: all that are installed. With `has_config`, the stores
    are there already. Raises BenchmarkError when one that was asked for cannot take part.
    """
    found: list[Variant] = []
    left_out: dict[str, str] = {}
    for backend in backends or installed_backends():
        if reason := _why_not(backend, has_config):
            if backend in backends:
                raise BenchmarkError(reason)
            left_out[backend] = reason
            continue
        options = [option for option in OPTIONS if option != STORE or stores.is_read_by_traefik(backend)]
        found += [own(backend), *(own(backend, option) for option in options)]
        found += [own(backend, METRICS), *(own(backend, f"{option}, {METRICS}") for option in options)]
        if backend in PEERS and not has_config:
            found.append(peer(backend))
    found += [CHP, BARE]
    for variant in list(found):
        try:
            _check_programs(variant)
        except Missing as error:
            found.remove(variant)
            left_out[variant.name] = str(error)
    return found, left_out


def _check_programs(variant: Variant) -> None:
    if variant.kind == "peer":
        peer_python()
    if variant.kind == "chp":
        for program in ("node", "configurable-http-proxy"):
            find(program)


def _why_not(backend: str, has_config: bool) -> str:
    """Why `backend` cannot be measured; empty if it can."""
    try:
        find_backend(backend)
        if has_config:
            return ""
        if not stores.is_known(backend):
            return "the benchmarks cannot start its store: start it yourself, and give its options with --config FILE"
        stores.find_programs(backend)
    except (BackendNotFound, Missing) as error:
        return str(error)
    return ""
