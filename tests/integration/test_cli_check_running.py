"""``jhub-kvproxy check`` looks at the hub that runs, and at its own Traefik, and disturbs neither."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from jhub_kvproxy import procfs
from jhub_kvproxy.aio import in_thread
from servers.programs import find
from tests.command import ended, fill, start
from tests.site import leave, pid_of
from tests.stores import STORES, TRAEFIK_READS, on
from tests.tools import begin, looked_at


async def checked(looked, *words):
    """What the check says, as a process of its own: it heeds signals."""
    return await in_thread(ended, start("check", "--config", looked.file, *words))


def said(result, step):
    return [line for line in result.out.splitlines() if f" {step} " in line[:17]]


@pytest.mark.parametrize(
    ("store", "delivery"),
    [*(on(store, "push") for store in STORES), *(on(store, "store") for store in TRAEFIK_READS)],
    indirect=["store"],
)
async def test_a_hub_and_its_traefik_that_are_well(site, delivery):
    async with looked_at(site, delivery) as looked:
        await begin(looked)
        await looked.proxy.add_route("/user/a/", await site.server("a"), {"user": "a"})
        result = await checked(looked)
        assert (result.status, result.err) == (0, ""), result.out
        [hub] = said(result, "hub")
        assert f"The hub with process {os.getpid()}" in hub
        assert "has the lease" in hub
        [_, running] = said(result, "traefik")
        assert f"local (Traefik 3.{running.partition('Traefik 3.')[2].partition(')')[0]})" in running
        assert running.startswith("ok ")
        assert running.endswith("serves this table.")
        [started] = said(result, "start")
        assert "runs already" in started
        assert await site.client.server("/user/a/") == "a"
        assert looked.proxy.control.lease.is_held
        [replica] = (await checked(looked, "--json")).json["replicas"]
        assert replica["serves_table"]
        assert replica["url"] == "local"


async def begin_and_leave(looked):
    """A hub starts its Traefik, adds a route, and ends; Traefik's process."""
    await begin(looked)
    await looked.proxy.add_route("/user/a/", await looked.site.server("a"), {"user": "a"})
    await leave(looked.proxy)
    return pid_of(looked.proxy)


async def test_a_hub_that_has_ended_and_left_its_traefik(site):
    async with looked_at(site, "push") as looked:
        await begin_and_leave(looked)
        result = await checked(looked)
        assert result.status == 0
        [hub] = said(result, "hub")
        assert hub.startswith("note ")
        assert "No hub has the lease" in hub


async def test_a_traefik_that_serves_an_older_table(site):
    async with looked_at(site, "push") as looked:
        await begin_and_leave(looked)
        await in_thread(fill, site.store.config, 3)
        result = await checked(looked)
        assert result.status == 1
        [failed] = [line for line in said(result, "traefik") if line.startswith("FAILED")]
        assert "local serves revision" in failed


async def test_a_traefik_that_does_not_answer(site):
    async with looked_at(site, "push") as looked:
        pid = await begin_and_leave(looked)
        os.kill(pid, signal.SIGSTOP)
        try:
            result = await checked(looked)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert result.status == 1
        [failed] = [line for line in said(result, "traefik") if line.startswith("FAILED")]
        assert "no answer in time" in failed


async def test_a_traefik_without_file_descriptors(site):
    async with looked_at(site, "push") as looked:
        await begin(looked)
        pid = pid_of(looked.proxy)
        await leave(looked.proxy)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        few = procfs.descriptor_count(pid)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, before[1]))
        try:
            result = await checked(looked)
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert result.status == 1
        assert f"Traefik (pid {pid}) has used up its {few} file descriptors" in result.out


async def test_another_traefik_than_the_one_that_runs_is_noted(site, tmp_path):
    async with looked_at(site, "push") as looked:
        await begin(looked)
        file = tmp_path / "traefik"
        lines = ["#!/bin/sh", "[ $1 = version ] && echo 'Version: 3.9.99' && exit", f'exec {find("traefik")} "$@"', ""]
        file.write_text("\n".join(lines))
        file.chmod(0o755)
        result = await checked(looked, f"--KVProxy.traefik_cmd={file}")
        assert result.status == 0
        assert "the hub's next start replaces it by 3.9.99, which ends open connections" in result.out
