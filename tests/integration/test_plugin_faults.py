"""A plugin that is broken, which ours is not: its source is changed on its way into Traefik's directory."""

from __future__ import annotations

import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import plugin_files
from tests.hub import until


@pytest.fixture
def changed(monkeypatch):
    """Changes the source: `change(file, old, new)`."""
    source = dict(plugin_files._source())
    monkeypatch.setattr(plugin_files, "_source", lambda: source)
    plugin_files.module_name.cache_clear()

    def change(file, old, new):
        text = source[file].decode()
        assert old in text
        source[file] = text.replace(old, new, 1).encode()

    yield change
    monkeypatch.undo()
    plugin_files.module_name.cache_clear()


async def test_a_plugin_that_panics_takes_nothing_down(site, changed):
    beginning = "func direct(out *http.Request) {\n"
    changed("routing.go", beginning, beginning + 'if out.URL.Path == "/user/a/panic" { panic("sabotage") }\n')
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    pid = proxy.control.local.supervisors[0]._pid
    for _ in range(20):
        status, said = await site.client.get("/user/a/panic")
        assert (status, said) == (500, None)
        assert await site.client.server("/user/a/x") == "a"
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/b/") == "b"
    assert proxy.control.local.supervisors[0]._pid == pid


async def test_a_plugin_that_panics_while_it_takes_a_table_holds_no_lock(site, changed, caplog):
    changed("message.go", "func readMessage", "func readMessageWell")
    changed(
        "message.go",
        "func readMessageWell",
        """var sabotaged int

func readMessage(body io.Reader) (*message, error) {
	sabotaged++
	if sabotaged == 2 {
		panic("sabotage")
	}
	return readMessageWell(body)
}

func readMessageWell""",
    )
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/b/") == "b"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("routing.go", "package kvroute", "package kvroute\nthis is no Go"),
        ("config.go", "func New(", "func Newest("),
        (".traefik.yml", "type: middleware", "type: nothing"),
    ],
)
async def test_a_plugin_that_cannot_be_loaded_ends_the_start_with_a_sentence(site, changed, capfd, file, old, new):
    changed(file, old, new)
    with pytest.raises(TraefikError, match="cannot load our plugin"):
        await site.started(delivery="push")


async def test_a_hub_with_other_source_replaces_the_traefik_that_it_finds(site, changed, caplog):
    from tests.site import leave

    caplog.set_level("INFO")
    first = await site.started(delivery="push")
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    changed("routing.go", "package kvroute", "package kvroute\n\n// Another version.")
    plugin_files.module_name.cache_clear()
    second = await site.started(delivery="push")
    assert not second.control.local.supervisors[0].is_adopted
    await site.client.close()
    await until(lambda: site.client.server("/user/a/"), "the route is lost")
