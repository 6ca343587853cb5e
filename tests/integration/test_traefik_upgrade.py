"""A Traefik whose binary is replaced while it runs: what the next hub does with it, and what comes after its death."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from jhub_kvproxy import TraefikError, procfs
from jhub_kvproxy.traefik import supervisor
from tests.binaries import NEWER, OLDER, copy_traefik, installed_traefik, script
from tests.hub import until
from tests.site import comes_back, is_served, leave, pid_of

BINARY, VERSION = installed_traefik()


def is_alive(pid):
    return procfs.start_time(pid) is not None


def replacing(caplog):
    """The lines that say that a Traefik is replaced."""
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("Replacing")]


@pytest.fixture
def program(tmp_path):
    """What `traefik_cmd` names: the installed Traefik, under a name that may be given to another."""
    path = tmp_path / "bin" / "traefik"
    path.parent.mkdir()
    path.symlink_to(BINARY)
    yield path
    shutil.rmtree(path.parent)  # pytest keeps what is left, and a binary is large


async def left_running(site, command):
    """A proxy whose hub is gone, while its Traefik serves /user/a/."""
    proxy = await site.started(traefik_cmd=command)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await leave(proxy)
    return proxy


async def serves(site, proxy):
    """It serves what was there before, and what is new."""
    await site.client.close()
    assert await site.client.server("/user/a/") == "a"
    await proxy.add_route("/user/b/", await site.server("b"), {})
    return await site.client.server("/user/b/") == "b"


async def test_a_traefik_whose_binary_was_replaced_is_replaced_and_the_log_says_so(site, program, caplog):
    copy_traefik(program)
    first = await left_running(site, [str(program)])
    newer = copy_traefik(program, NEWER)
    second = await site.started(traefik_cmd=[str(program)])
    assert not is_alive(pid_of(first))
    assert os.readlink(f"/proc/{pid_of(second)}/exe") == str(program)
    assert replacing(caplog) == [
        f"Replacing Traefik {VERSION} (pid {pid_of(first)}) by {newer}, which ends open connections: "
        f"{program} has been replaced"
    ]
    assert await serves(site, second)


async def test_a_binary_that_was_built_again_is_another_one(site, program, caplog):
    first = await left_running(site, [str(program)])
    copy_traefik(program)
    second = await site.started(traefik_cmd=[str(program)])
    assert not is_alive(pid_of(first))
    assert len(replacing(caplog)) == 1
    assert await serves(site, second)
    await leave(second)
    third = await site.started(traefik_cmd=[str(program)])
    assert pid_of(third) == pid_of(second)
    assert len(replacing(caplog)) == 1


async def test_a_link_that_leads_to_another_binary_makes_another_traefik(site, program, caplog):
    """The old binary is still there, as with a directory for each version."""
    first = await left_running(site, [str(program)])
    copy_traefik(program.with_name("traefik-new"))
    program.unlink()
    program.symlink_to("traefik-new")
    second = await site.started(traefik_cmd=[str(program)])
    assert not is_alive(pid_of(first))
    [line] = replacing(caplog)
    assert line.endswith(f"{program} has been replaced")
    assert await serves(site, second)


async def test_another_name_of_the_same_binary_is_no_other_traefik(site, program):
    """As when a hub is started from `current/bin`, which is a link to where it was started from before."""
    first = await left_running(site, [str(program)])
    alias = program.with_name("alias")
    alias.symlink_to("traefik")
    second = await site.started(traefik_cmd=[str(alias)])
    assert pid_of(second) == pid_of(first)


async def test_a_running_traefik_below_the_floor_is_replaced(site, program, caplog, monkeypatch):
    old = copy_traefik(program, OLDER)
    monkeypatch.setattr("jhub_kvproxy.traefik.binary.FLOOR", (3, 7, 0))  # as an earlier release had it
    first = await left_running(site, [str(program)])
    monkeypatch.undo()
    copy_traefik(program)
    second = await site.started(traefik_cmd=[str(program)])
    assert not is_alive(pid_of(first))
    [line] = replacing(caplog)
    assert line.startswith(f"Replacing Traefik {old} (pid {pid_of(first)}) by {VERSION}")
    assert await serves(site, second)


WRAPPERS = {
    "nice": lambda program: ["nice", "-n", "0", str(program)],
    "exec": lambda program: script(program.with_name("wrapper"), f'exec {program} "$@"'),
    "a relative name": lambda program: ["nice", os.path.relpath(program)],
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
async def test_a_traefik_behind_a_wrapper_is_adopted_until_one_of_the_two_is_replaced(site, program, caplog, wrapper):
    command = WRAPPERS[wrapper](program)
    copy_traefik(program)
    first = await left_running(site, command)
    second = await site.started(traefik_cmd=command)
    assert pid_of(second) == pid_of(first)
    assert await serves(site, second)
    await leave(second)

    copy_traefik(program)
    third = await site.started(traefik_cmd=command)
    assert not is_alive(pid_of(first))
    assert await serves(site, third)
    await leave(third)
    if wrapper == "exec":
        script(program.with_name("wrapper"), f'exec nice -n 1 {program} "$@"')
        fourth = await site.started(traefik_cmd=command)
        assert not is_alive(pid_of(third))
        assert await serves(site, fourth)
        await leave(fourth)
    assert [line.partition("connections: ")[2] for line in replacing(caplog)] == [
        f"{program} has been replaced",
        f"{program.with_name('wrapper')} has been replaced",
    ][: 2 if wrapper == "exec" else 1]


async def test_another_command_is_another_traefik(site, program, caplog):
    first = await left_running(site, ["nice", "-n", "0", str(program)])
    second = await site.started(traefik_cmd=["nice", "-n", "1", str(program)])
    assert not is_alive(pid_of(first))
    [line] = replacing(caplog)
    assert line.endswith("KVProxy.traefik_cmd is another command now")
    assert await serves(site, second)


def as_an_older_release(site):
    """Make the state file that of a release that wrote down less."""
    file = site.directory / "run" / "traefik.json"
    state = json.loads(file.read_text())
    file.write_text(json.dumps({name: state[name] for name in ("pid", "api_port")}))


async def test_a_traefik_of_an_older_release_is_adopted_and_known_from_then_on(site, program):
    command = WRAPPERS["exec"](program)
    first = await left_running(site, command)
    as_an_older_release(site)
    second = await site.started(traefik_cmd=command)
    assert pid_of(second) == pid_of(first)
    state = json.loads((site.directory / "run" / "traefik.json").read_text())
    assert state["version"] == VERSION
    assert list(state["files"]) == [command[0], os.path.realpath(BINARY)]
    await leave(second)
    script(Path(command[0]), f'exec nice {program} "$@"')
    await site.started(traefik_cmd=command)
    assert not is_alive(pid_of(first))


@pytest.mark.parametrize("is_shown", [True, False])
async def test_a_traefik_of_an_older_release_whose_binary_was_replaced_is_replaced(
    site, program, caplog, monkeypatch, is_shown
):
    """By what the kernel tells of the process, or, where that is nothing, by the version that it tells."""
    old = copy_traefik(program, OLDER)
    monkeypatch.setattr("jhub_kvproxy.traefik.binary.FLOOR", (3, 7, 0))
    first = await left_running(site, [str(program)])
    monkeypatch.undo()
    as_an_older_release(site)
    copy_traefik(program)
    if not is_shown:
        monkeypatch.setattr(procfs, "executable", lambda pid: None)
    second = await site.started(traefik_cmd=[str(program)])
    assert not is_alive(pid_of(first))
    [line] = replacing(caplog)
    assert line == (
        f"Replacing Traefik (pid {pid_of(first)}) by {VERSION}, which ends open connections: "
        f"{program} has been replaced"
        if is_shown
        else f"Replacing Traefik {old} (pid {pid_of(first)}) by {VERSION}, which ends open connections: "
        "KVProxy.traefik_cmd starts another version now"
    )
    assert await serves(site, second)


@pytest.mark.parametrize("damage", [{"files": 3}, {"files": {"/x": [1]}}, {"command": None}, {"version": ""}])
async def test_a_state_file_that_is_damaged_in_what_is_new_is_one_of_an_older_release(site, program, damage):
    first = await left_running(site, [str(program)])
    file = site.directory / "run" / "traefik.json"
    state = json.loads(file.read_text()) | damage
    del state["sha256"]
    file.write_text(json.dumps(state))
    second = await site.started(traefik_cmd=[str(program)])
    assert pid_of(second) == pid_of(first)


async def test_a_traefik_that_cannot_be_looked_into_is_replaced(site, program, caplog, monkeypatch):
    """As one is whose binary has capabilities of its own, in a hub that is not root."""
    first = await left_running(site, [str(program)])

    def refuse(pid):
        raise PermissionError

    monkeypatch.setattr(procfs, "environment", refuse)
    second = await site.started(traefik_cmd=[str(program)])
    assert not is_alive(pid_of(first))
    [line] = replacing(caplog)
    assert line.endswith("the kernel hides what it was started with, as for a binary with capabilities (setcap)")
    assert await serves(site, second)


async def test_a_hub_without_its_binary_says_so_and_leaves_traefik_alone(site, program):
    first = await left_running(site, [str(program)])
    program.unlink()
    with pytest.raises(TraefikError, match=r"bin/traefik'\]: there is no such program"):
        await site.started(traefik_cmd=[str(program)])
    assert is_alive(pid_of(first))
    assert await is_served(site, "/user/a/")
    program.symlink_to(BINARY)
    second = await site.started(traefik_cmd=[str(program)])
    assert pid_of(second) == pid_of(first)


async def test_a_hub_whose_binary_is_too_old_says_so_and_leaves_traefik_alone(site, program):
    first = await left_running(site, [str(program)])
    old = copy_traefik(program, OLDER)
    with pytest.raises(TraefikError, match=rf"bin/traefik is Traefik {old}, but 3\.7\.13 or newer is needed"):
        await site.started(traefik_cmd=[str(program)])
    assert is_alive(pid_of(first))
    assert await is_served(site, "/user/a/")
    copy_traefik(program)
    assert await serves(site, await site.started(traefik_cmd=[str(program)]))
    assert not is_alive(pid_of(first))


async def test_a_hub_that_cannot_write_its_files_leaves_traefik_alone(site, program):
    first = await left_running(site, [str(program)])
    base = site.directory / "table" / site.store.prefix / "traefik" / "kvproxy-base.toml"
    base.unlink()
    base.mkdir()
    with pytest.raises(TraefikError, match="files that Traefik needs cannot be written"):
        await site.started(traefik_cmd=[str(program)])
    assert is_alive(pid_of(first))
    base.rmdir()
    second = await site.started(traefik_cmd=[str(program)])
    assert pid_of(second) == pid_of(first)
    assert await serves(site, second)


@pytest.mark.parametrize("fault", ["older", "gone"])
async def test_a_dead_traefik_is_not_started_again_with_a_wrong_binary(site, program, caplog, monkeypatch, fault):
    monkeypatch.setattr(supervisor, "_LONGEST_BACKOFF", 0.5)
    proxy = await site.started(traefik_cmd=[str(program)])
    await proxy.add_route("/user/a/", await site.server("a"), {})
    old = ""
    if fault == "older":
        old = copy_traefik(program, OLDER)
    else:
        program.unlink()
    dead = pid_of(proxy)
    os.kill(dead, signal.SIGKILL)
    said = {
        "older": f"{program} is Traefik {old}, but 3.7.13 or newer is needed",
        "gone": f"{program} cannot be run: [Errno 2] No such file or directory",
    }[fault]
    await until(lambda: caplog.text.count(said) >= 3, "it is not tried again, or not said why in vain")
    assert pid_of(proxy) == dead
    assert caplog.text.count(f"Traefik (pid {dead}) ended with status -9; starting it again in 0.1 s") == 1
    assert "Trying again in 0.2 s" in caplog.text
    copy_traefik(program)
    await until(lambda: pid_of(proxy) != dead, "it is not started when the binary is repaired")
    await until(lambda: comes_back(site), "its routes do not come back")
    assert await serves(site, proxy)


async def test_a_wrapper_that_tells_another_version_than_it_starts_is_found_out(site, program):
    old = copy_traefik(program, OLDER)
    told = f"[ \"$1\" = version ] && echo 'Version:      {VERSION}' && exit"
    command = script(program.with_name("wrapper"), f'{told}\nexec {program} "$@"')
    proxy = site.proxy(traefik_cmd=command)
    with pytest.raises(TraefikError, match=rf"What KVProxy\.traefik_cmd starts is Traefik {old}, but 3\.7\.13"):
        await proxy.start()
    assert not is_alive(pid_of(proxy))


async def test_traefik_works_in_its_runtime_directory(site):
    proxy = await site.started(local_replicas=1)
    assert os.readlink(f"/proc/{pid_of(proxy)}/cwd") == str(site.directory / "run")


async def test_what_an_earlier_hub_wrote_is_removed_and_the_directories_that_it_leaves_empty(site):
    first = await site.started()
    await leave(first)
    run = site.directory / "run"
    for name in ("plugins-local/src/a/one.go", "plugins-local/src/b/two.go", "mine/three"):
        (run / name).parent.mkdir(parents=True)
        (run / name).write_text("")
    outside = site.directory / "outside"
    outside.write_text("")
    state = json.loads((run / "traefik.json").read_text())
    del state["sha256"]
    state["written"] += ["plugins-local/src/a/one.go", "plugins-local/src/b/two.go", "../outside", str(outside)]
    (run / "traefik.json").write_text(json.dumps(state))
    second = await site.started()
    assert pid_of(second) == pid_of(first)
    assert not (run / "plugins-local").exists()
    assert outside.exists()
    await second.stop()
    assert [path.name for path in run.iterdir()] == ["mine"]
    shutil.rmtree(run / "mine")
