"""The options of jupyterhub-traefik-proxy, and ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .moves import Move, Rule, apply_rules, line, none, url_of, variable

#: Its classes, in the order in which they inherit, and the store of each.
SECTIONS = {
    "TraefikProxy": "",
    "TKvProxy": "",
    "TraefikFileProviderProxy": "toml",
    "TraefikTomlProxy": "toml",
    "TraefikEtcdProxy": "etcd",
    "TraefikConsulProxy": "consul",
    "TraefikRedisProxy": "redis",
}
#: What ``JupyterHub.proxy_class`` calls them.
NAMES = {
    "traefik_file": "TraefikFileProviderProxy",
    "traefik_toml": "TraefikTomlProxy",
    "traefik_etcd": "TraefikEtcdProxy",
    "traefik_consul": "TraefikConsulProxy",
    "traefik_redis": "TraefikRedisProxy",
}
_ITS_FILE = "It wrote this file; ours are in KVProxy.runtime_dir. Remove it when you do not go back."
_ITS_KEYS = (
    "Our keys are below KVProxy.prefix, beside these. Remove these keys when you do not go back: kvproxy and "
    "jupyterhub-traefik-proxy do not read each other's."
)
_ENTRY_POINTS = "Users come in at the entry point public, and the hub asks at api: use these names in extra_*_config."
_CLIENT = {
    "etcd": {"ca_cert": "ca_file", "cert_cert": "cert_file", "cert_key": "key_file"},
    "consul": {"verify": "ca_file", "dc": "datacenter"},
    "redis": {"ssl_ca_certs": "ca_file", "ssl_certfile": "cert_file", "ssl_keyfile": "key_file"},
}


def _only_if_others_start_it(rule: Rule) -> Rule:
    def apply(move: Move, name: str, value: Any) -> None:
        if move.options.get("KVProxy.should_start", True):
            none("The hub starts Traefik, and chooses this by itself.")(move, name, value)
        else:
            rule(move, name, value)

    return apply


def _should_start(move: Move, name: str, value: Any) -> None:
    if not value:
        move.options["KVProxy.should_start"] = False
        move.note(
            name,
            "Traefik needs another configuration: jhub-kvproxy traefik-config writes it. Or remove this line, disable "
            "the service that runs Traefik, and let the hub start it.",
        )


def _client_kwargs(store: str) -> Rule:
    def apply(move: Move, name: str, value: Any) -> None:
        known = _CLIENT[store]
        for key, setting in dict(value).items():
            backend = f"{store.capitalize()}Backend"
            if key in known and isinstance(setting, str):
                move.options[f"{backend}.{known[key]}"] = setting
            else:
                move.note(f"{name}[{key!r}]", f"See the options of {backend}: jhub-kvproxy options {store}.")

    return apply


def _throttle(move: Move, name: str, value: Any) -> None:
    move.note(name, "The hub paces its changes by itself.")


_BASE: dict[str, Rule] = {
    "should_start": _should_start,
    "extra_routes": line("KVProxy.extra_routes"),
    "extra_dynamic_config": line("KVProxy.extra_dynamic_config", dict, _ENTRY_POINTS),
    "extra_static_config": line("KVProxy.extra_static_config", dict, _ENTRY_POINTS),
    "check_route_timeout": line("KVProxy.ready_timeout", float),
    "concurrency": none("The hub commits changes together that arrive during another commit."),
    "enable_setup_dynamic_config": none("The hub writes Traefik's dynamic configuration if it starts it."),
    "static_config_file": none(_ITS_FILE),
    "toml_static_config_file": none(_ITS_FILE),
    "dynamic_config_file": none(_ITS_FILE),
    "toml_dynamic_config_file": none(_ITS_FILE),
    "traefik_api_url": _only_if_others_start_it(line("KVProxy.traefik_api_urls", lambda url: [url])),
    "traefik_api_username": _only_if_others_start_it(line("KVProxy.traefik_api_username")),
    "traefik_api_password": _only_if_others_start_it(variable("KVPROXY_TRAEFIK_API_PASSWORD")),
    "traefik_api_hashed_password": none("jhub-kvproxy traefik-config --env makes the hash from the hub's password."),
    "traefik_api_validate_cert": none("Certificates of Traefik's API are always verified."),
    "traefik_api_entrypoint": none(_ENTRY_POINTS),
    "traefik_entrypoint": none(_ENTRY_POINTS),
    "traefik_env": none("Set these variables in the hub's environment, which its Traefik inherits."),
    "traefik_log_level": line("KVProxy.traefik_log_level", lambda level: str(level).upper()),
    "traefik_providers_throttle_duration": _throttle,
    "kv_traefik_prefix": none(_ITS_KEYS),
    "kv_jupyterhub_prefix": none(_ITS_KEYS),
    "kv_separator": none("Keys are separated by a slash."),
}


def _store_rules(store: str) -> dict[str, Rule]:
    backend = f"{store.capitalize()}Backend"
    password = "KVPROXY_CONSUL_TOKEN" if store == "consul" else f"KVPROXY_{store.upper()}_PASSWORD"
    url = (
        url_of("EtcdBackend.urls", password, lambda url: [url])
        if store == "etcd"
        else url_of(f"{backend}.url", password)
    )
    user = none("Consul knows no user names: a token is enough.") if store == "consul" else line(f"{backend}.username")
    # The first names are those of its version 0.
    rules = {f"{prefix}_{name}": rule for prefix in ("kv", store) for name, rule in (("url", url), ("username", user))}
    rules |= dict.fromkeys(("kv_password", f"{store}_password"), variable(password))
    return rules | {f"{store}_client_kwargs": _client_kwargs(store)}


#: The options that each class may have.
TRAITS: dict[str, dict[str, Rule]] = {
    section: _BASE | (_store_rules(store) if store in _CLIENT else {}) for section, store in SECTIONS.items()
}


def read_sections(move: Move, config: Mapping[str, Mapping[str, Any]], proxy_class: str) -> None:
    """The options of all its classes in `config`, for the one that `proxy_class` names."""
    known = [section for section in SECTIONS if config.get(section)]
    chosen = _class_name(proxy_class) or next((section for section in reversed(known) if SECTIONS[section]), "")
    store = SECTIONS.get(chosen, "")
    if store in _CLIENT:
        move.options["KVProxy.backend_class"] = store
        # The peer's keys stay beside ours, so that it can be started again.
        move.options["KVProxy.prefix"] = "kvproxy"
    sections = [section for section in known if SECTIONS[section] in ("", store)]
    for section in sections:
        # Whether others start Traefik decides about the rest.
        settings = sorted(config[section].items(), key=lambda setting: setting[0] != "should_start")
        rules = TRAITS[chosen] if chosen in TRAITS else TRAITS[section]
        apply_rules(move, rules, ((name, f"c.{section}.{name}", value) for name, value in settings))
    for section in known:
        if section not in sections:
            move.note(f"c.{section}", f"The proxy is {chosen}, so this had no effect.")


def _class_name(proxy_class: str) -> str:
    """The class that ``JupyterHub.proxy_class`` names; empty: none of these."""
    found = re.search(r"\w+$", proxy_class)
    name = found[0] if found else ""
    name = NAMES.get(name, name)
    return name if name in SECTIONS else ""
