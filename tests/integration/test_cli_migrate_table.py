"""``jhub-kvproxy migrate --from-backend A --to-backend B``: the table moves, and no request is lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from jhub_kvproxy import Batch, cancel
from jhub_kvproxy.store.registry import find_backend
from tests.agents import TOKEN, agent_for
from tests.command import USES_KVPROXY, answered
from tests.hub import until
from tests.others_traefik import PASSWORD, others_traefik
from tests.servers import Client
from tests.site import leave, pid_of
from tests.stores import Store, find_store
from tests.tools import told

TARGET = "http://127.0.0.1:1001"
LEASE = 1


class Moving:
    """A site, a configuration file that has the options of two stores, and the stores."""

    def __init__(self, site, request, tmp_path, one, two, **traits):
        prefix = site.store.prefix
        stores = [find_store(name, request, tmp_path) for name in (one, two)]
        self.stores = [Store(store.name, store.traits, prefix) for store in stores]
        self.site = site
        self.file = tmp_path / "hub_config.py"
        self.traits = {"delivery": "push", "lease_seconds": LEASE, **traits}
        lines = [f"c.KVProxy.{name} = {value!r}" for name, value in {**self.traits, "prefix": prefix}.items()]
        lines += [f"c.KVProxy.runtime_dir = {str(tmp_path / 'run')!r}", *(store.config_lines for store in self.stores)]
        bind = f'c.JupyterHub.bind_url = "http://127.0.0.1:{site.port}"'
        self.file.write_text(USES_KVPROXY + "\n".join([bind, *lines]))
        self.words = ("--from-backend", one, "--to-backend", two, "--config", str(self.file))

    def proxy(self, number, **traits):
        """The hub's on one of the stores."""
        self.site.store = self.stores[number]
        return self.site.proxy(**{**self.traits, **traits})

    async def tell(self, *words):
        return await told("migrate", *self.words, *words)

    async def routes(self, number):
        name = self.stores[number].name
        result = await told("routes", "--json", "--config", str(self.file), f"--KVProxy.backend_class={name}")
        return {route["routespec"]: route["target"] for route in result.json["routes"]}

    def driver(self, number, **traits):
        store = self.stores[number]
        return find_backend(store.name)(config=store.config, prefix=store.prefix, **traits)


@pytest.fixture
def moving(site, request, tmp_path):
    return lambda one, two, **traits: Moving(site, request, tmp_path, one, two, **traits)


@asynccontextmanager
async def visited(site, path):
    """Somebody asks for `path` all the time, on old and new connections. The answers so far, by whose they are."""
    seen, is_over = [], asyncio.Event()

    async def visit():
        client = Client(site.port)
        while not is_over.is_set():
            try:
                seen.append(await client.server(path))
            except (OSError, ValueError) as error:
                seen.append(repr(error))
            if len(seen) % 5 == 0:
                await client.close()
            await asyncio.sleep(0.005)
        await client.close()

    visiting = asyncio.create_task(visit())
    try:
        yield seen
    finally:
        is_over.set()
        await visiting


@asynccontextmanager
async def streamed(site, path):
    """One request whose answer has no end. The pieces of it so far."""
    pieces = []
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    async def read():
        while piece := await reader.read(65536):
            pieces.append(piece)

    reading = asyncio.create_task(read())
    try:
        yield pieces
    finally:
        await cancel([reading])
        writer.close()


@pytest.mark.parametrize(("one", "two"), [("toml", "etcd"), ("etcd", "redis"), ("consul", "kubernetes")])
async def test_no_request_is_lost(moving, site, one, two):
    """The hub ends and its Traefik serves, the table goes over, and the hub starts on the other store."""
    move = moving(one, two)
    hub = move.proxy(0)
    await hub.start()
    server = await site.server("a")
    for number in range(20):
        await hub.add_route(f"/user/{number}/", server, {"user": str(number)})
    pid = pid_of(hub)
    async with visited(site, "/user/3/") as seen, streamed(site, "/user/7/stream") as pieces:
        refused = await move.tell("--yes")
        assert refused.status == 1
        assert "The hub with process" in refused.err
        assert "Nothing was changed: end that one first." in refused.err
        await leave(hub)
        asked = len(seen)
        result = await move.tell("--yes", "--json")
        assert result.status == 0
        said = result.json
        assert (said["from"], said["to"], said["routes"], said["done"]) == (one, two, 20, True)
        assert len(said["added"]) == 20
        assert f'c.KVProxy.backend_class = "{two}"' in said["steps"][0]
        assert len(seen) > asked
        hub = move.proxy(1)
        await hub.start()
        assert pid_of(hub) == pid
        assert (await hub.get_all_routes()).keys() == {f"/user/{number}/" for number in range(20)}
        await hub.add_route("/user/new/", await site.server("new"), {})
        assert await site.client.server("/user/new/") == "new"
        # New requests, and the connection that was open all the time.
        asked, received = len(seen), len(pieces)
        await until(lambda: len(seen) > asked and len(pieces) > received, "nothing comes any more")
    assert set(seen) == {"a"}
    assert len(await move.routes(0)) == 20
    # What the command says at its end removes the old table, beside the hub that runs.
    purge = said["steps"][-1].partition("jhub-kvproxy ")[2].split()
    assert (await told(*purge, "--yes", "--config", str(move.file))).status == 0
    assert "There is no" in (await told("export", "--config", str(move.file), purge[-1])).err
    assert await site.client.server("/user/3/") == "a"


@pytest.mark.parametrize(("one", "two"), [("toml", "etcd"), ("etcd", "redis")])
async def test_no_request_is_lost_with_an_agent(moving, site, tmp_path, one, two):
    """The agent starts again on the other store, before the hub does, and Traefik keeps what it has meanwhile."""
    directory = tmp_path / "traefik"
    directory.mkdir()
    others = others_traefik(site, directory, "push")
    with others.traefik:
        traits = {"delivery": "agent", "should_start": False, "agent_token": TOKEN}
        async with AsyncExitStack() as stack:

            async def agent(store):
                agents = {site.store.prefix: move.driver(store, read_only=True)}
                return (await stack.enter_async_context(agent_for(agents, others.api_url, PASSWORD)))[1]

            move = moving(one, two, **traits)
            asking = await agent(0)
            hub = move.proxy(0, agent_urls=[asking.url])
            await hub.control.open()
            server = await site.server("a")
            await hub.add_route("/user/3/", server, {})
            async with visited(site, "/user/3/") as seen, streamed(site, "/user/3/stream") as pieces:
                await hub.control.close()
                result = await move.tell("--yes")
                assert result.status == 0
                assert "start the agents again, one after the other" in " ".join(result.out.split())
                await stack.aclose()
                asking = await agent(1)
                await asking.until((await table_of(move.driver(1, read_only=True)))["revision"])
                hub = move.proxy(1, agent_urls=[asking.url])
                await hub.control.open()
                await hub.add_route("/user/new/", await site.server("new"), {})
                assert await site.client.server("/user/new/") == "new"
                asked, received = len(seen), len(pieces)
                await until(lambda: len(seen) > asked and len(pieces) > received, "nothing comes any more")
            assert set(seen) == {"a"}


async def table_of(backend):
    await backend.open()
    keys = (await backend.load()).keys
    await backend.close()
    return keys


async def test_a_traefik_that_reads_the_store_itself_is_started_again(moving, site):
    """The steps say so: for a moment nothing is reached."""
    move = moving("etcd", "redis", delivery="store")
    hub = move.proxy(0)
    await hub.start()
    await hub.add_route("/user/3/", await site.server("a"), {})
    await leave(hub)
    result = await move.tell("--yes")
    assert result.status == 0
    assert "It starts Traefik again, which reads the store itself" in " ".join(result.out.split())
    assert await site.client.server("/user/3/") == "a"
    hub = move.proxy(1)
    await hub.start()
    await site.client.close()
    assert await site.client.server("/user/3/") == "a"


async def test_what_the_other_store_had_is_shown_and_replaced(moving, tmp_path):
    move = moving("toml", "etcd")
    old, new = move.proxy(1), move.proxy(0)
    await old.add_route("/user/old/", TARGET, {})
    await old.control.close()
    await new.add_route("/user/new/", TARGET, {})
    await new.control.close()
    planned = await move.tell("--dry-run", "--json")
    assert planned.status == 0
    assert (planned.json["added"], planned.json["removed"]) == (["/user/new/"], ["/user/old/"])
    assert planned.json["done"] is False
    assert "give --yes" in (await move.tell()).err
    said = answered("n", "migrate", *move.words, cwd=tmp_path)
    assert said.status == 1
    assert "1 route is removed:\n    /user/old/\n" in said.out
    assert await move.routes(1) == {"/user/old/": TARGET}
    said = answered("y", "migrate", *move.words, cwd=tmp_path)
    assert said.status == 0
    assert '    1. In the hub\'s configuration: c.KVProxy.backend_class = "etcd".\n' in said.out
    purge = f"jhub-kvproxy purge {move.stores[0].prefix} --KVProxy.backend_class=toml"
    assert purge in " ".join(said.out.split())
    assert await move.routes(1) == {"/user/new/": TARGET}
    backend = move.driver(1)
    await backend.open()
    await backend.remove()
    await backend.close()


async def test_a_damaged_table_and_none(moving):
    move = moving("toml", "etcd")
    assert (await move.tell("--yes")).status == 1
    hub = move.proxy(0)
    await hub.add_route("/user/a/", TARGET, {})
    await hub.control.close()
    backend = move.driver(0)
    await backend.open()
    await backend.apply(Batch({"routes/p.x": "{"}))
    result = await move.tell("--yes")
    assert result.status == 1
    assert "The table in TomlBackend is damaged, so it stays there. The record 'routes/p.x' is damaged" in result.err
    await backend.apply(Batch(dict.fromkeys((await backend.load()).keys)))
    await backend.close()
    result = await move.tell("--yes")
    assert result.status == 1
    assert "There is no table below" in result.err


async def test_the_other_store_is_away(moving):
    move = moving("toml", "etcd")
    hub = move.proxy(0)
    await hub.add_route("/user/a/", TARGET, {})
    await hub.control.close()
    result = await move.tell("--yes", "--EtcdBackend.urls=http://127.0.0.1:1")
    assert result.status == 1
    assert "http://127.0.0.1:1" in result.err
    assert len(await move.routes(0)) == 1


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--from-backend", "toml"], 2, "--from-backend and --to-backend go together"),
        (["--yes"], 2, "need --from-backend and --to-backend"),
        (["--KVProxy.prefix=x"], 2, "need --from-backend and --to-backend"),
        (["--from-backend=toml", "--to-backend=tmol", "--KVProxy.prefix=x"], 1, "There is no backend 'tmol'"),
        (["--from-backend=toml", "--to-backend=toml", "--KVProxy.prefix=x"], 1, "use export and import"),
    ],
)
async def test_wrong_input(words, status, message):
    result = await told("migrate", *words)
    assert (result.status, result.out) == (status, "")
    assert message in result.err
