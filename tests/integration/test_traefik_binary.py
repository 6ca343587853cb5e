"""Which binaries of Traefik the hub starts."""

from __future__ import annotations

import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import binary
from jhub_kvproxy.traefik.binary import check_version, find_traefik
from tests.site import restart_traefik

# Fake: no release below the floor need be installed to see it refused.
OLD_TRAEFIK = "#!/bin/sh\necho 'Version:      3.6.5'\n"


async def test_an_old_traefik_is_refused(site):
    binary = site.directory / "old-traefik"
    binary.write_text(OLD_TRAEFIK)
    binary.chmod(0o700)
    proxy = site.proxy(traefik_cmd=[str(binary)])
    with pytest.raises(TraefikError, match=r"old-traefik is Traefik 3\.6\.5, but 3\.7\.13 or newer"):
        await proxy.start()


@pytest.mark.parametrize("version", ["3.7.13", "3.7.15", "v3.8.0", "4.0.0"])
def test_versions_that_will_do(version):
    check_version(version, "it")


@pytest.mark.parametrize("version", ["2.11.57", "3.6.30", "3.7.12", "dev", ""])
def test_versions_that_will_not_do(version):
    with pytest.raises(TraefikError, match="it is Traefik"):
        check_version(version, "it")


def test_a_missing_traefik_is_explained():
    with pytest.raises(TraefikError, match=r"no such program.*pip install"):
        find_traefik(["no-such-traefik"])


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_traefik_that_strangers_can_crash_is_named_once(site, monkeypatch, caplog, delivery):
    monkeypatch.setattr(binary, "_ADVISED", (99, 0, 0))
    proxy = await site.started(delivery=delivery)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await restart_traefik(proxy)
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert caplog.text.count("CVE-2026-97032") == 1
