"""What the page asks for again with each look, and what it does not."""

from __future__ import annotations

import logging
import ssl
import threading
from uuid import uuid4

from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.options.chosen import settings_of
from jhub_kvproxy.page.seen import Seen
from jhub_kvproxy.testing import MemoryBackend
from jhub_kvproxy.traefik import discovery
from servers.certificates import Authority
from servers.ports import free_port

NAME = uuid4().hex


def memory():
    return MemoryBackend(name=NAME, prefix="p", read_only=True)


async def test_a_look_reads_no_certificates_on_the_loop_or_again_and_asks_dns_once(tmp_path, monkeypatch):
    read, asked, real = [], [], ssl.create_default_context

    def noted(**options):
        read.append(threading.current_thread())
        return real(**options)

    async def lookup(name):
        asked.append(name)
        return ["127.0.0.1"]

    monkeypatch.setattr(ssl, "create_default_context", noted)
    monkeypatch.setattr(discovery, "lookup", lookup)
    proxy = KVProxy(
        should_start=False,
        delivery="agent",
        agent_urls=[f"https://agents.test:{free_port()}"],
        agent_token="any",
        agent_ca_file=Authority(tmp_path).ca_file,
        activity=True,
    )
    seen = Seen(settings_of(proxy), "p", memory, logging.getLogger("test"))
    for number in (1, 2):
        site = await seen.now()
        assert (site.error, len(site.replicas)) == ("", 1)
        assert asked == ["agents.test"] * number
    [thread] = read
    assert thread is not threading.main_thread()


async def test_options_that_are_wrong_are_told_until_they_are_mended(tmp_path):
    proxy = KVProxy(
        should_start=False,
        delivery="agent",
        agent_urls=[f"https://127.0.0.1:{free_port()}"],
        agent_token="any",
        agent_ca_file=str(tmp_path / "ca.pem"),
    )
    seen = Seen(settings_of(proxy), "p", memory, logging.getLogger("test"))
    assert "cannot be used: No such file" in (await seen.now()).error
    Authority(tmp_path)
    assert (await seen.now()).error == ""
