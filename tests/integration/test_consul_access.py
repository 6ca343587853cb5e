"""Who may use Consul, and how it is reached: ACL tokens, TLS, URLs; what must not be shown."""

from __future__ import annotations

import logging
import re
import traceback
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, Batch
from jhub_kvproxy_backends.consul import ConsulBackend
from servers.certificates import Authority
from servers.consul import ConsulServer
from servers.ports import free_port

WRITE = 'key_prefix "{}/" {{ policy = "write" }}'
SESSION = ' session_prefix "" { policy = "write" }'


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A Consul that lets nobody do anything without a token."""
    with ConsulServer(tmp_path_factory.mktemp("guarded"), acl=True) as server:
        yield server


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory, authority):
    """A Consul that speaks TLS."""
    directory = tmp_path_factory.mktemp("encrypted")
    with ConsulServer(directory, certificate=authority.issue("server"), ca_file=authority.ca_file) as server:
        yield server


@pytest.fixture(scope="module")
def mutual(tmp_path_factory, authority):
    """A Consul that speaks TLS, with those who show a certificate."""
    client = authority.issue("client", server=False, common_name="hub")
    with ConsulServer(
        tmp_path_factory.mktemp("mutual"),
        acl=True,
        certificate=authority.issue("server"),
        client_ca=authority.ca_file,
        ca_file=authority.ca_file,
        client=client,
    ) as server:
        server.client = client
        yield server


@pytest.fixture(autouse=True)
def shown(caplog, guarded, mutual):
    """What was shown to anybody; with the test's end no token may be in it, nor in the log."""
    caplog.set_level(logging.DEBUG)
    shown = []
    yield shown
    shown.append(caplog.text)
    tokens = [*guarded.tokens, *mutual.tokens, guarded.master, mutual.master]
    assert not [text for text in shown for token in tokens if token in text]


async def error_of(coming, shown, kind=BackendRejected):
    with pytest.raises(BackendError) as caught:
        await coming
    shown += traceback.format_exception(caught.value)
    assert type(caught.value) is kind
    return str(caught.value)


# ACL tokens


def denied(key: str) -> str:
    """What Consul says when it denies a token this key, or what begins with it; since 1.12 it names the token too."""
    return rf"Permission denied( for |: token with AccessorID '\S+' lacks permission 'key:write' on \\?\"){key}"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (None, "set ConsulBackend.token to a token with the rules"),
        ("wrong", "ACL not found"),
        ("", "Permission denied"),
        ('key_prefix "{}/" {{ policy = "read" }}', "Permission denied"),
        ('key_prefix "{}2/" {{ policy = "write" }}', "Permission denied"),
        ('key_prefix "{}/traefik/" {{ policy = "write" }}', "Permission denied"),
        (WRITE + ' key_prefix "{}/routes/" {{ policy = "deny" }}', denied("{}/routes/")),
        (WRITE + ' key_prefix "{}/traefik/" {{ policy = "read" }}', denied("{}/traefik/")),
    ],
)
async def test_a_missing_permission_is_an_error(guarded, new_consul, shown, rules, words):
    prefix = f"hub-{uuid4().hex}"
    guarded.write({f"{prefix}/routes/a": b"1", f"{prefix}/traefik/http/routers/a/rule": b"1"})
    token = "" if rules is None else str(uuid4()) if rules == "wrong" else guarded.token(rules.format(prefix, prefix))
    backend = new_consul(url=guarded.url, prefix=prefix, token=token)
    said = await error_of(backend.open(), shown)
    assert guarded.url in said
    assert re.search(words.format(prefix), said)
    assert WRITE.format(prefix) in said


async def test_a_token_for_one_prefix_is_enough(guarded, new_consul, shown):
    prefix = f"hub-{uuid4().hex}"
    backend = new_consul(url=guarded.url, prefix=prefix, token=f" {guarded.token(WRITE.format(prefix))}\n")
    await backend.open()
    assert (await backend.load()).keys == {}
    await backend.apply(Batch({"routes/a": "1"}))
    assert (await backend.load()).keys == {"routes/a": "1"}
    said = await error_of(backend.acquire_lease("hub", 60), shown)
    assert 'session "NODE" { policy = "write" } with the name of its agent\'s node' in said


async def test_a_permission_that_is_lost_meanwhile_is_an_error(guarded, new_consul, shown):
    prefix = f"hub-{uuid4().hex}"
    everything = WRITE.format(prefix) + SESSION
    backend = new_consul(url=guarded.url, prefix=prefix, token=guarded.token(everything))
    await backend.open()
    keys = {"routes/a": "1", "traefik/http/routers/a/rule": "1"}
    await backend.apply(Batch(keys))
    watch = backend.watch()
    await anext(watch)
    for part in ("", "routes/", "traefik/http/", "routes/a"):
        guarded.change_rules(backend.token, f'{everything} key_prefix "{prefix}/{part}" {{ policy = "deny" }}')
        for change in (Batch(keys), Batch(dict.fromkeys(keys))):
            said = await error_of(backend.apply(change), shown)
            assert re.search(denied(f"{prefix}/{part}"), said)
        if part in ("", "routes/"):
            await error_of(backend.load(), shown)
    guarded.change_rules(backend.token, everything)
    assert (await backend.load()).keys == keys
    await backend.acquire_lease("hub", 60)
    guarded.revoke(backend.token)
    guarded.write({f"{prefix}/routes/b": b"1"})
    for call in (backend.load, lambda: backend.apply(Batch(keys)), lambda: anext(watch), backend.release_lease):
        assert "ACL not found" in await error_of(call(), shown)
    await backend.close()  # the lease cannot be released, and nobody minds
    assert guarded.read(f"{prefix}/routes/") == {f"{prefix}/routes/a": b"1", f"{prefix}/routes/b": b"1"}


async def test_a_token_can_come_from_the_environment(guarded, new_consul, monkeypatch):
    monkeypatch.setenv("KVPROXY_CONSUL_TOKEN", guarded.master)
    await new_consul(url=guarded.url).open()


@pytest.mark.parametrize("token", ["a\nb", "a b", "é", "\x00"])
async def test_a_token_that_is_none_is_refused(guarded, new_consul, shown, token):
    backend = new_consul(url=guarded.url, token=token)
    assert "ConsulBackend.token" in await error_of(backend.open(), shown)


# TLS


async def test_wrong_certificates_are_named(encrypted, mutual, authority, new_consul, shown, tmp_path):
    stranger = Authority(tmp_path / "stranger")
    cert, key = stranger.issue("client")
    ca = {"ca_file": authority.ca_file}
    for traits, words in [
        ({"url": encrypted.url, "ca_file": stranger.ca_file}, "certificate is not accepted"),
        ({"url": encrypted.url}, "is ca_file the right one"),
        ({"url": encrypted.url, "ca_file": str(tmp_path / "absent")}, "ConsulBackend.ca_file = "),
        ({"url": encrypted.url, **ca, "cert_file": cert}, "belong together"),
        ({"url": mutual.url, **ca}, "refuses our client certificate, or requires one"),
        ({"url": mutual.url, **ca, "cert_file": cert, "key_file": key}, "refuses our client certificate"),
    ]:
        assert words in await error_of(new_consul(**traits).open(), shown)


async def test_http_in_the_place_of_https_is_named(encrypted, consul, new_consul, shown):
    said = await error_of(new_consul(url=encrypted.url.replace("https", "http")).open(), shown)
    assert "write https:// in ConsulBackend.url" in said
    said = await error_of(new_consul(url=consul.url.replace("http", "https")).open(), shown)
    assert "the TLS handshake failed" in said


# URLs


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://consul.example.org", "consul.example.org:8500"),
        ("https://consul.example.org/", "consul.example.org:8501"),
        ("HTTP://10.0.0.1:80//", "10.0.0.1:80"),
        ("https://[2001:db8::1]", "[2001:db8::1]:8501"),
    ],
)
def test_forms_of_consul_urls(url, endpoint):
    config = ConsulBackend(url=url, prefix="hub").traefik_provider_config()["consul"]
    assert config["endpoints"] == [endpoint]
    assert config["rootKey"] == "hub/traefik"
    assert ("tls" in config) == url.startswith("https")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "consul:8500",
            "//consul",
            "http://",
            "http://consul:x",
            "http://consul:99999",
            "http://[::1",
            "unix:///x",
        ),
        *("http://user:secret@consul", "http://secret@consul", "http://consul/v1", "http://consul?token=secret"),
    ],
)
async def test_what_is_no_url_is_refused(new_consul, shown, url):
    said = await error_of(new_consul(url=url).open(), shown)
    assert "ConsulBackend.url" in said
    if "@" in url:
        assert "secret" not in "".join(shown)


async def test_consul_over_ipv6(tmp_path, new_consul):
    with ConsulServer(tmp_path, host="::1") as server:
        backend = new_consul(url=server.url)
        await backend.open()
        await backend.apply(Batch({"routes/a": "1"}))
        assert (await backend.load()).keys == {"routes/a": "1"}


async def test_what_cannot_be_reached_is_named(new_consul, shown):
    url = f"http://127.0.0.1:{free_port()}"
    said = await error_of(new_consul(url=url, timeout=0.1).open(), shown, BackendUnavailable)
    assert f"Consul at {url} cannot be reached" in said
