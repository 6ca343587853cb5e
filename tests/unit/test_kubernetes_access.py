"""How the driver for Kubernetes finds the API, and what an admin is told of answers that no test gets easily."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from aiohttp import web

from jhub_kvproxy import BackendRejected, BackendUnavailable, BatchRejected
from jhub_kvproxy_backends import _kubernetes_access as access_module
from jhub_kvproxy_backends._kubernetes_access import Access, find_access
from jhub_kvproxy_backends._kubernetes_api import KubernetesAPI
from jhub_kvproxy_backends._kubernetes_errors import Question, error_of
from jhub_kvproxy_backends._network import Answer
from servers.certificates import Authority
from tests.servers import serving

TOKEN = "token-that-nobody-may-see"
CONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "https://kubernetes.example:6443"}}],
    "users": [{"name": "u", "user": {"token": TOKEN}}],
    "contexts": [
        {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "hub"}},
        {"name": "two", "context": {"cluster": "c", "user": "u"}},
        {"name": "broken", "context": {"cluster": "nobody", "user": "u"}},
    ],
    "current-context": "one",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A machine without a service account; a function writes a kubeconfig there."""
    monkeypatch.setattr(access_module, "ACCOUNT", tmp_path / "account")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def write(name="config", **changes):
        file = tmp_path / name
        file.write_text(json.dumps(CONFIG | changes))
        return str(file)

    return write


def found(**options):
    return find_access(**{"api_url": "", "kubeconfig": "", "context": "", "namespace": "", **options})


def test_a_kubeconfig(home, tmp_path, monkeypatch):
    file = home()
    access = found(kubeconfig=file)
    assert (access.url, access.namespace, access.read_token()) == ("https://kubernetes.example:6443", "hub", TOKEN)
    assert TOKEN not in repr(access)
    assert found(kubeconfig=file, context="two").namespace == "default"
    assert found(kubeconfig=file, namespace="mine").namespace == "mine"
    assert found(kubeconfig=file, api_url="https://10.0.0.1").url == "https://10.0.0.1:443"
    monkeypatch.setenv("KUBECONFIG", file)
    assert found().namespace == "hub"


def test_the_kubeconfig_in_the_home_directory(home, tmp_path):
    (tmp_path / ".kube").mkdir()
    home(".kube/config")
    assert found().namespace == "hub"


def test_a_token_file_is_read_again(home, tmp_path):
    file = home(users=[{"name": "u", "user": {"tokenFile": "token"}}])
    (tmp_path / "token").write_text("1\n")
    access = found(kubeconfig=file)
    assert access.read_token() == "1"
    (tmp_path / "token").write_text("2\n")
    assert access.read_token() == "2"


def test_what_kubectl_takes(home, tmp_path, monkeypatch):
    access = found(
        kubeconfig=home(**cluster(server="https://rancher.example/k8s/clusters/c-1/"), **user(token=f"{TOKEN}\n"))
    )
    assert (access.url, access.read_token()) == ("https://rancher.example:443/k8s/clusters/c-1", TOKEN)
    assert found(kubeconfig=home(**cluster(server="http://127.0.0.1"))).url == "http://127.0.0.1:80"
    authority = Path(Authority(tmp_path / "certificates").ca_file).read_bytes()
    lines = base64.encodebytes(authority).decode()
    found(kubeconfig=home(**cluster(**{"certificate-authority-data": lines})))


def user(**fields):
    return {"users": [{"name": "u", "user": fields}]}


def cluster(**fields):
    return {"clusters": [{"name": "c", "cluster": {"server": "https://k:1", **fields}}]}


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, {"context": "three"}, "has no context 'three'; it has one, two, broken: set KubernetesBackend.context"),
        ({}, {"context": "broken"}, "has no cluster 'nobody'; it has c"),
        ({"current-context": ""}, {}, "has no current context: name one in KubernetesBackend.context"),
        (user(exec={"command": "aws"}), {}, "needs a program .exec., which we do not run: give it a token"),
        (user(**{"auth-provider": {"name": "gcp"}}), {}, "needs an auth-provider"),
        (user(username="me", password=TOKEN), {}, "has a password, which Kubernetes no longer takes"),
        (user(**{"client-certificate-data": "%", "client-key-data": "%"}), {}, "client-certificate-data is not base64"),
        (cluster(**{"proxy-url": "http://p"}), {}, "has proxy-url, which we cannot do"),
        (cluster(**{"certificate-authority-data": "AAAA"}), {}, "The certificates for https://k:1 cannot be used"),
        (cluster(**{"certificate-authority": "nowhere"}), {}, "The certificates for https://k:1 cannot be used"),
        (cluster(server=f"https://me:{TOKEN}@k"), {}, "must not hold a user name or password"),
        (cluster(server="k:6443"), {}, "the server in .*config: 'k:6443' is not an HTTP URL"),
        (user(token=f"{TOKEN}\n2"), {}, "has characters that no token has"),
        (user(**{"token": TOKEN, "as": "hub"}), {}, "acts as another .as., which we cannot do"),
        ({"clusters": 7}, {}, "is not a kubeconfig as kubectl takes it"),
        ({"users": [{"name": "u", "user": ["x"]}]}, {}, "is not a kubeconfig as kubectl takes it"),
        (user(tokenFile=7), {}, "is not a kubeconfig as kubectl takes it"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(home, changes, options, words):
    with pytest.raises(BackendRejected, match=words) as raised:
        found(kubeconfig=home(**changes), **options).read_token()
    assert TOKEN not in str(raised.value)


def forbidden(path):
    if path.name == "x":
        raise PermissionError(13, "Permission denied")
    return False


def test_no_kubeconfig(home, tmp_path, monkeypatch):
    with pytest.raises(BackendRejected, match=r"no service account in .*, and no kubeconfig at .*/.kube/config"):
        found()
    (tmp_path / "x").write_text(f"a: [{TOKEN}")
    with pytest.raises(BackendRejected, match="x is not a kubeconfig: it is not YAML") as raised:
        found(kubeconfig=str(tmp_path / "x"))
    assert TOKEN not in str(raised.value)
    (tmp_path / "x").write_text("7")
    with pytest.raises(BackendRejected, match="x is not a kubeconfig"):
        found(kubeconfig=str(tmp_path / "x"))
    with pytest.raises(BackendRejected, match=r"KubernetesBackend.kubeconfig: there is no file ~nobody-of-that-name/x"):
        found(kubeconfig="~nobody-of-that-name/x")
    monkeypatch.setattr(Path, "exists", forbidden)  # root may read all
    with pytest.raises(BackendRejected, match=r"x cannot be read: .*denied"):
        found(kubeconfig=str(tmp_path / "x"))
    monkeypatch.setenv("KUBECONFIG", "a:b")
    with pytest.raises(BackendRejected, match="KUBECONFIG names several files"):
        found()


def test_a_pod_without_its_environment(home, tmp_path):
    (tmp_path / "account").mkdir()
    (tmp_path / "account" / "token").write_text(TOKEN)
    with pytest.raises(BackendRejected, match="no KUBERNETES_SERVICE_HOST"):
        found()


QUESTION = Question("update", "configmaps", "kvproxy-hub", "ns", "hub", "the token")


@pytest.mark.parametrize(
    ("status", "message", "kind", "words"),
    [
        (
            403,
            "exceeded quota: q, requested: count/configmaps=1",
            BackendRejected,
            "a quota of the namespace is used up",
        ),
        (403, 'admission webhook "w" denied the request: no', BackendRejected, "refuses to update configmaps"),
        (403, "ValidatingAdmissionPolicy 'p' denied request: no", BackendRejected, "refuses to update configmaps"),
        (403, 'User "u" cannot update resource "configmaps"', BackendRejected, "does not let u update configmaps"),
        (403, "unable to create: it is being terminated", BackendRejected, "that is being deleted"),
        (413, "Request entity too large: limit is 3145728", BatchRejected, "does not take an object of this size"),
        (422, "Too long: must have at most 1048576 bytes", BatchRejected, "does not take an object of this size"),
        (422, "ValidatingAdmissionPolicy 'p' denied request: no", BackendRejected, "refuses to update configmaps"),
        (422, "field is immutable when `immutable` is set", BackendRejected, "refuses to update configmaps"),
        (500, "etcdserver: request is too large", BatchRejected, "does not take an object of this size"),
        (500, "etcdserver: mvcc: database space exceeded", BackendUnavailable, "because its etcd is full"),
        (504, "Timeout", BackendUnavailable, "answered 504 to update configmaps kvproxy-hub in the namespace ns"),
        (405, "not allowed", BackendRejected, "refuses to update configmaps kvproxy-hub in the namespace ns"),
    ],
)
def test_what_an_answer_means(status, message, kind, words):
    error = error_of(Answer(status, {}, b"", "https://k"), {"kind": "Status", "message": message}, QUESTION)
    assert type(error) is kind
    assert words in str(error)


async def test_a_redirect_of_a_watch_is_not_followed():
    """A fake: an API server redirects nobody, but who is in front of one may."""
    asked = []

    async def answer(request):
        asked.append(request.path)
        raise web.HTTPFound("/login")

    async with serving(answer) as url:
        api = KubernetesAPI(Access(url, "ns", "nobody", None, str), timeout=10.0, role="hub")
        try:
            with pytest.raises(BackendRejected, match=r"not the API of Kubernetes .status 302"):
                await anext(api.watch("n", "1"))
            assert asked == ["/api/v1/namespaces/ns/configmaps"]
        finally:
            await api.close()


async def test_a_change_that_is_turned_away_for_now_is_sent_again_when_kubernetes_says():
    """A fake API server: a real one is not overloaded on demand."""
    answers, pauses = [429, 429, 200], ["0.01"]
    what = {"kind": "Status", "message": "too many requests", "metadata": {"uid": "u"}}
    asked = []

    async def answer(request):
        asked.append(request.method)
        status = answers.pop(0)
        return web.json_response(what, status=status, headers={"Retry-After": pauses[-1]})

    async with serving(answer) as url:
        api = KubernetesAPI(Access(url, "ns", "nobody", None, str), timeout=10.0, role="hub")
        try:
            found = await api.replace({"metadata": {"name": "n"}}, api.deadline())
            assert (found, asked, answers) == ({"uid": "u"}, ["PUT"] * 3, [])
            pauses[:], answers[:] = ["3600"], [429]
            with pytest.raises(BackendUnavailable, match="answered 429 to update configmaps n"):
                await api.replace({"metadata": {"name": "n"}}, api.deadline())
            pauses[:], answers[:] = ["nan"], [429, 200]
            assert await api.replace({"metadata": {"name": "n"}}, api.deadline()) == {"uid": "u"}
            what.pop("metadata")
            answers[:] = [200, 200, 201]
            for _ in range(2):
                with pytest.raises(BackendRejected, match="not the API of Kubernetes"):
                    await api.metadata("n", api.deadline())
            assert await api.may("get", "configmaps", "n", api.deadline())
        finally:
            await api.close()
