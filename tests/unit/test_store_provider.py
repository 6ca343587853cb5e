"""Backends whose provider Traefik cannot use: one clear sentence, before anything is started."""

from __future__ import annotations

import pytest

from jhub_kvproxy import KVProxyError
from jhub_kvproxy.testing import MemoryBackend
from jhub_kvproxy.traefik_routers.provider import store_provider


class Readable(MemoryBackend):
    """Says that Traefik reads it by `provider`, with the configuration `told`."""

    provider = "file"
    lists_at_once = True
    told: dict[str, object] = {}  # noqa: RUF012

    def traefik_provider_config(self):
        return self.told

    def traefik_provider_secrets(self):
        return {}


@pytest.mark.parametrize("kind", [MemoryBackend, type("Nameless", (Readable,), {"provider": ""})])
def test_a_store_that_traefik_cannot_read(kind):
    with pytest.raises(KVProxyError) as caught:
        store_provider(kind())
    assert str(caught.value) == (
        f'Traefik cannot read the store of {kind.__name__} by itself; set KVProxy.delivery to "push" or "agent".'
    )


@pytest.mark.parametrize(
    ("provider", "config", "missing"),
    [
        ("file", {}, "file"),
        ("etcd", {"file": {"directory": "/x"}}, "etcd"),
        ("file", {"file": {"watch": True}}, "file.directory"),
        ("file", {"file": {"directory": ""}}, "file.directory"),
        ("etcd", {"etcd": "127.0.0.1"}, "etcd"),
    ],
)
def test_what_a_provider_lacks_is_named(provider, config, missing):
    kind = type("Lacking", (Readable,), {"provider": provider, "told": config})
    with pytest.raises(KVProxyError, match=rf"Lacking\.traefik_provider_config\(\) has no {missing}\b"):
        store_provider(kind())


def test_a_provider_that_has_all():
    kind = type("Complete", (Readable,), {"told": {"file": {"directory": "/x"}}})
    assert store_provider(kind()).static == {"file": {"directory": "/x"}}
