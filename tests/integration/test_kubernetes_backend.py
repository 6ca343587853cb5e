"""The driver for Kubernetes with a real API server: what it does when something is wrong, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import jhub_kvproxy_backends._kubernetes_access as access_module
import jhub_kvproxy_backends._kubernetes_head as head_module
import jhub_kvproxy_backends._kubernetes_table as table_module
from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, BatchRejected, LeaseLost
from jhub_kvproxy_backends._kubernetes_api import KubernetesAPI
from jhub_kvproxy_backends._kubernetes_names import SLOTS, agent_rules, name_of, slot_name
from jhub_kvproxy_backends._network import HTTPServers
from jhub_kvproxy_backends.kubernetes import KubernetesBackend
from servers.certificates import Authority
from servers.kubernetes import KubernetesServer
from tests.command import USES_KVPROXY, fill, run
from tests.drivers import drivers, keys_of, numbered
from tests.kubernetes import Account
from tests.stores import Store
from tests.watches import told, watching

PREFIX = "hub"
NAME = name_of(PREFIX)
ONE = Batch({"routes/a": "1"})


@pytest.fixture
def account(kubernetes):
    account = Account(kubernetes)
    account.grant(PREFIX)
    return account


@pytest.fixture
async def new(account):
    async with drivers(KubernetesBackend, prefix=PREFIX, **account.traits) as new:
        yield new


@pytest.fixture
async def backend(new):
    backend = new()
    await backend.open()
    return backend


@pytest.fixture
def small_journal(monkeypatch):
    """A journal that is full after a few commits."""
    for module in (head_module, table_module):
        monkeypatch.setattr(module, "JOURNAL_BYTES", 200)


def objects(account):
    return set(account.server.objects(account.namespace))


def named(account):
    """The head, and the bases that it names."""
    head = account.server.objects(account.namespace)[NAME]
    return {NAME, *(slot_name(NAME, int(part.split(":")[0])) for part in head["data"]["bases"].split())}


async def change_until(backend, condition):
    """Commit until `condition` holds."""
    for number in range(200):
        if condition():
            return
        await backend.apply(Batch({f"routes/{number}": "x" * 20}))
    raise AssertionError("it never holds")


class TestWhatIsLeft:
    @pytest.fixture(autouse=True)
    def _small(self, small_journal):
        pass

    async def test_what_a_crash_left_behind_is_collected(self, account, backend):
        for slot in range(4):
            body = {"metadata": {"name": slot_name(NAME, slot)}, "immutable": True}
            account.server.ask("POST", f"/api/v1/namespaces/{account.namespace}/configmaps", body)
        await change_until(backend, lambda: NAME in objects(account) and len(named(account)) > 1)
        await change_until(backend, lambda: objects(account) == named(account))

    async def test_it_is_collected_also_if_all_slots_are_taken(self, account, backend):
        for slot in range(SLOTS):
            body = {"metadata": {"name": slot_name(NAME, slot)}, "immutable": True}
            account.server.ask("POST", f"/api/v1/namespaces/{account.namespace}/configmaps", body)
        await change_until(backend, lambda: NAME in objects(account) and len(named(account)) > 1)
        assert objects(account) == named(account)

    async def test_two_writers_by_turns_lose_nothing(self, account, backend, new):
        writers = [backend, new(), new()]
        for writer in writers[1:]:
            await writer.open()
        chance = random.Random(7)
        expected = [{} for _ in writers]

        async def write(number):
            for turn in range(60):
                key = f"routes/{number}-{chance.randrange(9)}"
                value = None if chance.random() < 0.2 else f"{turn}" * chance.randrange(1, 30)
                await writers[number].apply(Batch({key: value}))
                expected[number][key] = value

        await asyncio.gather(*(write(number) for number in range(len(writers))))
        table = {key: value for keys in expected for key, value in keys.items() if value is not None}
        for writer in writers:
            assert await keys_of(writer) == table
        await change_until(backend, lambda: objects(account) == named(account))

    async def test_a_reader_beside_writers_that_rebase_sees_whole_tables(self, backend, new):
        reader = new(read_only=True)
        await reader.open()
        await backend.apply(Batch({"routes/a": "0", "routes/b": "0"}))

        async def write():
            for number in range(150):
                await backend.apply(Batch(dict.fromkeys(("routes/a", "routes/b"), str(number) * 20)))

        writing = asyncio.create_task(write())
        while not writing.done():
            keys = await keys_of(reader)
            assert keys["routes/a"] == keys["routes/b"]
        await writing

    async def test_a_watch_is_told_all_also_when_the_journal_moves_into_bases(self, backend):
        async with watching(backend) as watch:
            for number in range(60):
                changes = {"routes/a": str(number), f"routes/{number}": "x" * 20}
                await backend.apply(Batch(changes))
                assert await told(watch) == changes

    async def test_remove_leaves_nothing(self, account, backend):
        await backend.acquire_lease("me", 60)
        await change_until(backend, lambda: NAME in objects(account) and len(named(account)) > 1)
        await backend.remove()
        assert not objects(account)
        assert not account.server.objects(account.namespace, "leases")

    async def test_new_bases_stay_if_nobody_understands_whether_the_head_names_them(self, backend, new, monkeypatch):
        """A fault of what stands in front of the API server: its answer to a replaced head is cut off."""
        ask = HTTPServers.ask

        async def cut(self, method, path, **options):
            answer = await ask(self, method, path, **options)
            return replace(answer, body=answer.body[:-9]) if method == "PUT" else answer

        await backend.apply(ONE)
        monkeypatch.setattr(HTTPServers, "ask", cut)
        with pytest.raises(BackendRejected, match="not the API of Kubernetes"):
            await backend.apply(numbered(50, "x" * 20))
        monkeypatch.undo()
        reader = new(read_only=True)
        await reader.open()
        assert len(await keys_of(reader)) == 51
        await backend.apply(Batch({"routes/a": "2"}))
        assert (await keys_of(reader))["routes/a"] == "2"

    async def test_a_base_that_somebody_deleted_is_an_error_that_says_what_to_do(self, account, backend, new):
        await change_until(backend, lambda: NAME in objects(account) and len(named(account)) > 1)
        [base] = named(account) - {NAME}
        account.server.ask("DELETE", f"/api/v1/namespaces/{account.namespace}/configmaps/{base}")
        reader = new(read_only=True)
        await reader.open()
        with pytest.raises(BackendRejected, match=f"damaged: the ConfigMap {base} .*kubectl delete configmap {NAME} "):
            await reader.load()
        account.server.ask("DELETE", f"/api/v1/namespaces/{account.namespace}/configmaps/{NAME}")
        assert await keys_of(reader) == {}
        await backend.apply(ONE)
        assert await keys_of(reader) == ONE.changes


async def test_a_table_that_is_too_large_is_refused(backend, monkeypatch):
    monkeypatch.setattr(head_module, "BASE_BYTES", 10)
    monkeypatch.setattr(head_module, "_PIECE", 100)
    with pytest.raises(BatchRejected, match="too large for this store"):
        await backend.apply(numbered(3000, "x" * 60))
    assert await keys_of(backend) == {}


async def test_what_kubernetes_finds_too_large_is_refused(account, backend):
    value = random.Random(1).randbytes(1_500_000).hex()
    with pytest.raises(BatchRejected, match="does not take an object of this size"):
        await backend.apply(Batch({"routes/a": value}))
    assert await keys_of(backend) == {}
    assert not objects(account)


async def test_a_writer_that_was_overtaken_changes_nothing(account, backend, new):
    other = new()
    await other.open()
    await backend.acquire_lease("first", 600)
    await backend.apply(ONE)
    # As if the lease had run out, which takes no less than a second.
    account.server.ask("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{account.namespace}/leases/{NAME}")
    await other.acquire_lease("second", 600)
    with pytest.raises(LeaseLost):
        await backend.apply(Batch({"routes/a": "2"}))
    await other.apply(Batch({"routes/a": "3"}))
    assert await keys_of(backend) == {"routes/a": "3"}


async def test_all_that_a_call_asks_has_one_limit_of_time(backend, monkeypatch):
    deadline, limits = KubernetesAPI.deadline, []
    monkeypatch.setattr(KubernetesAPI, "deadline", lambda api: limits.append(deadline(api)) or limits[-1])
    calls = [
        lambda: backend.acquire_lease("me", 60),
        lambda: backend.acquire_lease("me", 60),
        lambda: backend.apply(ONE),
        backend.load,
        backend.release_lease,
        backend.remove,
    ]
    for number, call in enumerate(calls, start=1):
        await call()
        assert len(limits) == number


async def test_an_agent_follows_with_its_role(account, backend, new):
    name = account.server.account(account.namespace, agent_rules(NAME))
    reader = new(read_only=True, kubeconfig=account.server.kubeconfig(account.namespace, name))
    await reader.open()
    async with watching(reader) as watch:
        await backend.apply(ONE)
        assert await told(watch) == ONE.changes
    await backend.apply(numbered(5000, "x" * 50))
    assert await keys_of(reader) == await keys_of(backend)
    writer = new(kubeconfig=reader.kubeconfig)
    with pytest.raises(BackendRejected, match=r"does not let us create configmaps .*apply the Role for the hub"):
        await writer.open()


async def tells_although_too_old(backend, monkeypatch):
    """Since its restart, the API server knows no changes before that: a watch of those begins anew."""
    listed = KubernetesAPI.listed
    versions = iter(["1"])

    async def long_ago(self, *arguments):
        version, found = await listed(self, *arguments)
        return next(versions, version), found

    monkeypatch.setattr(KubernetesAPI, "listed", long_ago)
    async with watching(backend) as watch:
        assert await told(watch) is None
        await backend.apply(Batch({"routes/a": "new"}))
        assert await told(watch) == {"routes/a": "new"}
    monkeypatch.undo()


async def test_a_watch_that_tells_nothing_begins_anew(backend, monkeypatch):
    """As one of a version that is still to come, which an API server has after a backup of its etcd was restored."""
    listed = KubernetesAPI.listed
    skipped = iter([1_000_000])

    async def in_the_future(self, *arguments):
        version, found = await listed(self, *arguments)
        return str(int(version) + next(skipped, 0)), found

    monkeypatch.setattr(KubernetesAPI, "listed", in_the_future)
    backend.timeout = 0.5
    async with watching(backend) as watch:
        await backend.apply(ONE)
        assert await told(watch) is None
        await backend.apply(Batch({"routes/a": "2"}))
        assert await told(watch) == {"routes/a": "2"}


async def test_an_edit_by_hand_is_noticed(account, backend):
    await backend.apply(ONE)
    path = f"/api/v1/namespaces/{account.namespace}/configmaps/{NAME}"
    async with watching(backend) as watch:
        account.server.ask("PATCH", path, {"metadata": {"labels": {"x": "y"}}}, content="merge-patch+json")
        account.server.ask("PATCH", path, {"binaryData": None}, content="merge-patch+json")
        assert await told(watch) is None
        assert await keys_of(backend) == {}
        account.server.ask("PATCH", path, {"data": {"format": "9"}}, content="merge-patch+json")
        assert await told(watch) is None
        with pytest.raises(BackendRejected, match=r"damaged: .* its format is '9'"):
            await backend.load()


async def test_a_restart_of_the_api_server(tmp_path, monkeypatch):
    with KubernetesServer(tmp_path / "own") as server:
        async with drivers(KubernetesBackend, **server.traits) as new:
            backend = new(timeout=2.0)
            await backend.open()
            await backend.apply(ONE)
            async with watching(backend) as watch:
                server.kill()
                with pytest.raises(BackendUnavailable):
                    await told(watch)
            with pytest.raises(BackendUnavailable, match=r"Kubernetes at https://127\.0\.0\.1:"):
                await backend.load()
            server.start()
            assert await keys_of(backend) == ONE.changes
            await tells_although_too_old(backend, monkeypatch)
            await backend.apply(ONE)
            server.freeze()
            with pytest.raises(BackendUnavailable):
                await backend.apply(Batch({"routes/a": "2"}))
            server.thaw()
            keys = None
            while keys is None:
                with suppress(BackendUnavailable):
                    keys = await keys_of(backend)
            assert keys["routes/a"] in ("1", "2")


def test_check_leaves_the_table_as_it_was(kubernetes, tmp_path):
    store = Store("kubernetes", kubernetes.traits)
    fill(store.config, 2)
    namespace = json.loads(Path(store.traits["kubeconfig"]).read_text())["contexts"][0]["context"]["namespace"]

    def found():
        objects = kubernetes.objects(namespace)
        return objects.keys(), head_module.table({}, head_module.head_in(objects[name_of(store.prefix)]))

    before = found()
    assert before[1]
    file = tmp_path / "hub_config.py"
    file.write_text(f"{USES_KVPROXY}c.KVProxy.prefix = {store.prefix!r}\n{store.config_lines}")
    result = run("check", "--config", file)
    assert (result.status, result.err) == (0, ""), result
    assert found() == before


class TestAccess:
    @pytest.fixture
    def pod(self, account, tmp_path, monkeypatch):
        """The files of a pod's service account."""
        directory = tmp_path / "account"
        directory.mkdir()
        (directory / "token").write_text(account.token + "\n")
        (directory / "namespace").write_text(account.namespace)
        (directory / "ca.crt").write_text(Path(account.server.authority.ca_file).read_text())
        monkeypatch.setattr(access_module, "ACCOUNT", directory)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(account.server.port))
        return directory

    async def test_in_a_pod_nothing_needs_to_be_said(self, pod):
        async with drivers(KubernetesBackend, prefix=PREFIX) as new:
            backend = new()
            await backend.open()
            await backend.apply(ONE)
            assert await keys_of(backend) == ONE.changes

    async def test_a_token_that_was_replaced_is_read_again(self, account, pod):
        async with drivers(KubernetesBackend, prefix=PREFIX) as new:
            backend = new()
            await backend.open()
            good = (pod / "token").read_text()
            backend._api._token = "stale"  # as if it had expired
            await backend.apply(ONE)
            backend._api._token = "stale"
            (pod / "token").write_text("secret-that-nobody-may-see")
            with pytest.raises(
                BackendRejected, match=r"does not accept the service account's token in .*token"
            ) as raised:
                await backend.load()
            assert "secret-that" not in str(raised.value) + repr(backend._access)
            (pod / "token").write_text(good)
            assert await keys_of(backend) == ONE.changes

    async def test_an_account_that_was_deleted(self, account, backend):
        account.server.revoke(account.namespace, account.name)

        async def load_until_refused():
            while True:
                await backend.load()

        with pytest.raises(BackendRejected, match=r"does not accept the user 'test' of .*expired, was revoked"):
            await load_until_refused()

    async def test_a_right_that_is_taken_away(self, account, backend):
        account.forbid()
        words = f"does not let system:serviceaccount:.* get configmaps {NAME} in the namespace {account.namespace}: "
        with pytest.raises(BackendRejected, match=words + "apply the Role for the hub"):
            await backend.load()

    async def test_a_namespace_that_there_is_not(self, kubernetes):
        async with drivers(KubernetesBackend, kubeconfig=kubernetes.kubeconfig("nowhere")) as new:
            backend = new()
            await backend.open()
            with pytest.raises(BackendRejected, match="has no namespace nowhere: make it"):
                await backend.apply(ONE)

    async def test_another_authority(self, account, new, tmp_path):
        strange = json.loads(Path(account.traits["kubeconfig"]).read_text())
        strange["clusters"][0]["cluster"]["certificate-authority"] = Authority(tmp_path / "other").ca_file
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(strange))
        words = "its certificate is not accepted .*; is certificate-authority in .*kubeconfig the right one"
        with pytest.raises(BackendRejected, match=words):
            await new(kubeconfig=str(file)).open()

    async def test_a_client_certificate(self, kubernetes, tmp_path, new, account):
        certificate, key = kubernetes.authority.issue("someone", server=False, common_name="someone")
        file = kubernetes.kubeconfig(account.namespace, **{"client-certificate": certificate, "client-key": key})
        with pytest.raises(BackendRejected, match="does not let someone get configmaps"):
            await new(kubeconfig=file).open()

    async def test_what_is_not_kubernetes(self, account, new, etcd):
        with pytest.raises(BackendRejected, match="is not the API of Kubernetes"):
            await new(api_url=etcd.url).open()


class TestWhoLooks:
    """An object that only reads, as the commands have it."""

    async def test_a_right_that_is_missing_is_told(self, account, new):
        agent = account.server.account(account.namespace, agent_rules(NAME))
        reader = new(read_only=True, kubeconfig=account.server.kubeconfig(account.namespace, agent))
        await reader.open()
        with pytest.raises(BackendRejected, match=rf"get leases {NAME} in the namespace .*the Role for admins"):
            await reader.read_lease()

    async def test_a_hub_that_was_killed_long_ago_does_not_have_the_lease(self, account, backend, new):
        """An object that has just been made has not seen for how long the lease did not change."""
        await backend.acquire_lease("hub", 10)
        reader = new(read_only=True)
        await reader.open()
        assert (await reader.read_lease()).holder == "hub"
        path = f"/apis/coordination.k8s.io/v1/namespaces/{account.namespace}/leases/{NAME}"
        lease = account.server.ask("GET", path)
        lease["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
        account.server.ask("PUT", path, lease)
        assert await reader.read_lease() is None
        lease = account.server.ask("GET", path)
        lease["spec"]["renewTime"] = None
        account.server.ask("PUT", path, lease)
        assert (await reader.read_lease()).holder == "hub"
