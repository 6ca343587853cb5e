"""Who may use etcd, over what connection, and what an admin is told when that does not work."""

from __future__ import annotations

import asyncio
import logging
import traceback
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch
from jhub_kvproxy_backends._etcd_check import gateway_fault
from jhub_kvproxy_backends.etcd import EtcdBackend
from servers.certificates import Authority
from servers.errors import Refused
from servers.etcd import EtcdServer
from tests.drivers import opened
from tests.hub import until
from tests.servers import serving, user_server
from tests.site import Site
from tests.stores import Store

PASSWORD, ROOT_PASSWORD = "pass-word-nobody-may-see", "root-word-nobody-may-see"
BATCH = Batch({"routes/a": "1"})


@pytest.fixture(scope="module")
def server_certificate(authority):
    return authority.issue("server")


@pytest.fixture(scope="module")
def client_certificate(authority):
    return authority.issue("client", server=False)


@pytest.fixture
def secure(tmp_path, authority, server_certificate):
    """An etcd that speaks TLS."""
    with EtcdServer(tmp_path / "etcd", certificate=server_certificate, ca_file=authority.ca_file) as server:
        yield server


@pytest.fixture
def mutual(tmp_path, authority, server_certificate, client_certificate):
    """An etcd that speaks TLS, and asks for client certificates."""
    with EtcdServer(
        tmp_path / "etcd",
        certificate=server_certificate,
        client_ca=authority.ca_file,
        ca_file=authority.ca_file,
        client=client_certificate,
    ) as server:
        yield server


@pytest.fixture
def guarded(tmp_path):
    """An etcd that asks for a password, and knows the user `hub` for the keys below ``hub/``."""
    with EtcdServer(tmp_path / "etcd") as server:
        server.add_user("hub", PASSWORD, "hub/")
        server.enable_auth(ROOT_PASSWORD)
        yield server


def pair(certificate):
    return {"cert_file": certificate[0], "key_file": certificate[1]}


async def refusal(*urls, kind=BackendRejected, **traits):
    """What `open` says when it fails. No text of it holds a password."""
    with pytest.raises(kind) as failure:
        async with opened(*urls, **{"timeout": 2.0, "prefix": "hub"} | traits):
            pass
    everything = "".join(traceback.format_exception(failure.value))
    assert PASSWORD not in everything
    return str(failure.value)


async def works(backend):
    await backend.apply(BATCH)
    return (await backend.load()).keys == BATCH.changes


async def test_etcd_over_tls(secure, authority, tmp_path):
    async with opened(secure.url, ca_file=authority.ca_file) as backend:
        assert await works(backend)
    stranger = Authority(tmp_path / "stranger")
    for ca_file in ("", stranger.ca_file):
        said = await refusal(secure.url, ca_file=ca_file)
        assert secure.url in said
        assert "is ca_file the right one" in said
    assert "cannot be used" in await refusal(secure.url, ca_file=str(tmp_path / "absent"))


async def test_a_member_with_a_wrong_certificate_does_not_count(secure, authority, tmp_path):
    wrong = Authority(tmp_path / "stranger").issue("wrong")
    with EtcdServer(tmp_path / "wrong", certificate=wrong, ca_file=str(tmp_path / "stranger" / "ca.pem")) as stranger:
        async with opened(stranger.url, secure.url, ca_file=authority.ca_file) as backend:
            backend._client._http.urls = [stranger.url, secure.url]
            assert await works(backend)


async def test_tls_with_the_authorities_of_the_machine(secure, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
    async with opened(secure.url) as backend:
        assert await works(backend)


async def test_etcd_asks_for_a_client_certificate(mutual, authority, client_certificate, tmp_path):
    ca = {"ca_file": authority.ca_file}
    async with opened(mutual.url, **ca, **pair(client_certificate)) as backend:
        assert await works(backend)
    stranger = Authority(tmp_path / "stranger").issue("stranger")
    for certificate in ({}, pair(stranger), pair(authority.issue("not-for-clients", client=False))):
        said = await refusal(mutual.url, **ca, **certificate)
        assert mutual.url in said
        assert "refuses our client certificate" in said
    assert "belong together" in await refusal(mutual.url, **ca, cert_file=client_certificate[0])


async def test_a_server_certificate_without_client_auth_is_named(tmp_path, authority, client_certificate):
    with EtcdServer(
        tmp_path / "etcd",
        certificate=authority.issue("server-only", client=False),
        client_ca=authority.ca_file,
        ca_file=authority.ca_file,
        client=client_certificate,
    ) as server:
        said = await refusal(server.url, ca_file=authority.ca_file, **pair(client_certificate))
        assert "clientAuth" in said


async def test_a_client_certificate_and_a_password(mutual, authority, client_certificate):
    mutual.add_user("hub", PASSWORD, "hub/")
    mutual.enable_auth(ROOT_PASSWORD)
    traits = {"ca_file": authority.ca_file, "username": "hub", "password": PASSWORD, "prefix": "hub"}
    async with opened(mutual.url, **traits, **pair(client_certificate)) as backend:
        assert await works(backend)
    with_name = pair(authority.issue("with-name", common_name="hub"))
    assert "no common name (CN)" in await refusal(mutual.url, **traits, **with_name)


async def test_the_wrong_scheme_is_named(secure, etcd, authority):
    assert "write https://" in await refusal(secure.url.replace("https:", "http:"), timeout=0.5)
    traits = {"ca_file": authority.ca_file, "timeout": 0.5}
    assert "write http://" in await refusal(etcd.url.replace("http:", "https:"), **traits)


async def test_a_disabled_gateway_is_named(tmp_path):
    with EtcdServer(tmp_path, "--enable-grpc-gateway=false") as server:
        assert "JSON gateway disabled" in await refusal(server.url)


def test_an_etcd_that_is_too_old_is_named():
    assert gateway_fault("http://127.0.0.1:2379", "3.3.27").endswith("is 3.3.27; etcd 3.4 or newer is needed.")


async def test_what_is_not_etcd_is_named(tmp_path):
    async def no(request):
        return web.Response(status=404, text="<html>Not here</html>", content_type="text/html")

    async with user_server("anything") as answers_all, serving(no) as answers_none:
        for url in (answers_all, answers_none):
            assert f"What answers at {url} is not an etcd" in await refusal(url)


async def test_a_password_is_needed(guarded):
    assert "set EtcdBackend.username and EtcdBackend.password" in await refusal(guarded.url)
    assert "EtcdBackend.username must be set" in await refusal(guarded.url, password=PASSWORD)
    for name, password in (("hub", "wrong"), ("nobody", PASSWORD)):
        said = await refusal(guarded.url, username=name, password=password)
        assert f"refuses EtcdBackend.username = '{name}' with its password" in said
        assert "wrong" not in said
    async with opened(guarded.url, prefix="hub", username="hub", password=PASSWORD) as backend:
        assert await works(backend)


async def test_a_password_comes_from_the_environment(guarded, monkeypatch):
    monkeypatch.setenv("KVPROXY_ETCD_PASSWORD", PASSWORD)
    async with opened(guarded.url, prefix="hub", username="hub") as backend:
        assert await works(backend)
        assert backend.traefik_provider_secrets() == {"etcd": {"username": "hub", "password": PASSWORD}}
        assert PASSWORD not in repr(backend.traefik_provider_config())


async def test_a_missing_permission_is_named_with_its_remedy(guarded):
    guarded.add_user("nobody", PASSWORD)
    guarded.add_user("reader", PASSWORD, "hub/", access="READ")
    guarded.add_user("other", PASSWORD, "hub2/")
    for name in ("nobody", "reader", "other"):
        said = await refusal(guarded.url, username=name, password=PASSWORD)
        assert f"the user '{name}'" in said
        assert "etcdctl role grant-permission ROLE --prefix=true readwrite hub/" in said
        assert f"etcdctl user grant-role {name} ROLE" in said


async def test_a_permission_that_is_taken_away_is_no_empty_table(guarded):
    async with opened(guarded.url, prefix="hub", username="hub", password=PASSWORD) as backend:
        await works(backend)
        guarded.ask("/v3/auth/user/revoke", {"name": "hub", "role": "hub"}, token=guarded._root_token())
        for call in (backend.load(), backend.apply(BATCH), anext(backend.watch()), backend.acquire_lease("hub", 5)):
            with pytest.raises(BackendRejected, match="does not let the user 'hub' use the keys below hub/"):
                await call


async def test_a_user_for_a_server_that_has_none(etcd, caplog):
    async with opened(etcd.url, username="hub", password=PASSWORD) as backend:
        assert await works(backend)
    assert "lets everybody in" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_token_that_etcd_drops_is_renewed(guarded):
    """etcd drops a user's tokens when the password is set, as it does when they expire."""

    def set_password(password):
        message = {"name": "hub", "password": password}
        guarded.ask("/v3/auth/user/changepw", message, token=guarded._root_token())

    async with opened(guarded.url, prefix="hub", username="hub", password=PASSWORD, timeout=5.0) as backend:
        for call in (
            lambda: backend.apply(BATCH),
            backend.load,
            lambda: backend.acquire_lease("hub", 60),
            lambda: backend.acquire_lease("hub", 60),
            lambda: anext(backend.watch()),
            backend.release_lease,
        ):
            set_password(PASSWORD)
            await call()
        set_password("another")
        with pytest.raises(BackendRejected, match=r"refuses EtcdBackend\.username = 'hub'"):
            await backend.apply(BATCH)


@pytest.mark.parametrize("ttl", ["1s", "1h"])
async def test_signed_tokens_are_renewed(tmp_path, server_certificate, ttl):
    """When they have expired, and when users were changed, after which etcd takes none of before."""
    public, private = server_certificate
    keys = f"pub-key={public},priv-key={private}"
    with EtcdServer(tmp_path / "etcd", f"--auth-token=jwt,{keys},sign-method=ES256,ttl={ttl}") as server:
        server.add_user("hub", PASSWORD, "hub/")
        server.enable_auth(ROOT_PASSWORD)
        async with opened(server.url, prefix="hub", username="hub", password=PASSWORD) as backend:
            for user in ("one", "two"):
                token = server._root_token()

                def is_refused(token=token):
                    try:
                        server.ask("/v3/kv/range", {"key": "YQ=="}, token=token)
                    except Refused:
                        return True
                    return False

                if ttl == "1h":
                    server.add_user(user, PASSWORD)
                await until(is_refused, "the token stays valid")
                assert await works(backend)


async def test_a_token_that_is_never_accepted_is_renewed_once(tmp_path):
    """A fake: no etcd refuses the token that it has just given."""
    asked = []

    async def answer(request):
        asked.append(request.path)
        if request.path == "/v3/auth/authenticate":
            return web.json_response({"header": {}, "token": "abc"})
        return web.json_response({"code": 16, "message": "etcdserver: invalid auth token"}, status=401)

    async with serving(answer) as url:
        assert "does not accept the token" in await refusal(
            url, kind=BackendUnavailable, username="hub", password=PASSWORD
        )
    assert asked == ["/v3/auth/authenticate", "/v3/kv/range"] * 2


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1", "127.0.0.1:2379"),
        ("http://127.0.0.1/", "127.0.0.1:2379"),
        ("https://etcd.example.org:1234/", "etcd.example.org:1234"),
        ("HTTP://[::1]", "[::1]:2379"),
    ],
)
def test_forms_of_etcd_urls(url, endpoint):
    config = EtcdBackend(urls=[url], prefix="hub").traefik_provider_config()["etcd"]
    assert config["endpoints"] == [endpoint]
    assert ("tls" in config) == url.startswith("https")


async def test_etcd_over_ipv6(tmp_path):
    with EtcdServer(tmp_path, host="[::1]") as server:
        async with opened(server.url + "/") as backend:
            assert await works(backend)


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        (["http://hub:pass-word-nobody-may-see@127.0.0.1"], "must not hold a user name or password"),
        (["http://hub:pass-word-nobody-may-see"], "not valid"),
        (["127.0.0.1:2379"], "not an HTTP URL"),
        (["junk"], "not an HTTP URL"),
        (["http://127.0.0.1:2379/v3"], "must not have a path"),
        (["http://127.0.0.1:x"], "not valid"),
        ([""], "not an HTTP URL"),
        ([], "is empty"),
        (["http://127.0.0.1", "https://127.0.0.2"], "all https:// or all http://"),
    ],
)
async def test_an_etcd_url_that_is_none_is_refused(urls, words):
    said = await refusal(*urls)
    assert words in said
    assert "EtcdBackend.urls" in said


async def test_tls_options_are_not_silently_unused(etcd, authority):
    assert "write https://" in await refusal(etcd.url, ca_file=authority.ca_file)


async def test_without_a_prefix_it_touches_nothing(etcd):
    assert "needs a prefix" in await refusal(etcd.url, prefix="")


async def test_no_secret_is_logged(guarded, caplog):
    asyncio.get_running_loop().set_debug(True)
    with caplog.at_level(logging.DEBUG):
        async with opened(guarded.url, prefix="hub", username="hub", password=PASSWORD, timeout=1.0) as backend:
            await works(backend)
            token = backend._client._token
            assert token
            guarded.kill()
            with pytest.raises(BackendUnavailable) as failure:
                await backend.load()
    shown = caplog.text + repr(backend) + "".join(traceback.format_exception(failure.value))
    assert PASSWORD not in shown
    assert token not in shown


TLS, MUTUAL, AUTH = "tls", "mutual tls", "password"


@pytest.mark.parametrize("means", [(), (TLS,), (TLS, "machine"), (TLS, MUTUAL), (AUTH,), (TLS, MUTUAL, AUTH)], ids=str)
async def test_traefik_reads_the_same(tmp_path, authority, server_certificate, client_certificate, monkeypatch, means):
    """Over the same connection, as the same user, below a prefix with characters that mean something elsewhere."""
    options = {"certificate": server_certificate, "ca_file": authority.ca_file} if TLS in means else {}
    traits = {"ca_file": authority.ca_file} if TLS in means else {}
    if MUTUAL in means:
        options |= {"client_ca": authority.ca_file, "client": client_certificate}
        traits |= pair(client_certificate)
    if "machine" in means:
        monkeypatch.setenv("SSL_CERT_FILE", traits.pop("ca_file"))
    if AUTH in means:
        traits |= {"username": "hub", "password": PASSWORD}
    prefix = "h*b?[a-z]/../ü {hub}%2F\\"
    with EtcdServer(tmp_path / "etcd", "--auth-token-ttl=1", **options) as server:
        if AUTH in means:
            root = EtcdBackend(prefix=prefix).root
            server.add_user("hub", PASSWORD, f"{root}/")
            server.enable_auth(ROOT_PASSWORD)
        async with AsyncExitStack() as stack:
            site = Site(tmp_path, Store("etcd", {"urls": [server.url], **traits}, prefix), stack)
            proxy = await site.started()
            for name in ("a", "b"):
                await proxy.add_route(f"/user/{name}/", await site.server(name), {})
                assert await site.client.server(f"/user/{name}/") == name
            await proxy.delete_route("/user/a/")
            assert await site.client.server("/user/a/") is None
            # The link is to what Traefik has in memory.
            files = [file for file in (tmp_path / "run").rglob("*") if file.is_file() and not file.is_symlink()]
            assert files
            assert not [file for file in files if PASSWORD.encode() in file.read_bytes()]
            await site.client.close()


async def test_it_waits_for_a_store_that_comes_later(tmp_path):
    server = EtcdServer(tmp_path)
    assert "cannot be reached" in await refusal(server.url, kind=BackendUnavailable, timeout=0.5)
    backend = EtcdBackend(urls=[server.url], prefix="hub", timeout=60.0)
    opening = asyncio.create_task(backend.open())
    with server:
        await opening
        assert await works(backend)
        await backend.close()
