"""What brings renewed certificates to Traefik, when it is closed or fails half-way."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from types import SimpleNamespace

import pytest

from jhub_kvproxy.traefik import renewal, runtime
from jhub_kvproxy.traefik.certificate import self_signed
from jhub_kvproxy.traefik.instance import Instance
from jhub_kvproxy.traefik.launch import Launch
from jhub_kvproxy.traefik.launch_files import LaunchFiles
from jhub_kvproxy.traefik.renewal import Renewal
from jhub_kvproxy.traefik.runtime import RuntimeDirectory
from tests.hub import until

LOG = logging.getLogger("renewal")


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr(renewal, "_INTERVAL", 0.01)
    path = tmp_path / "cert.pem"
    path.write_bytes(self_signed()[0])
    return path


async def started(source, files, render):
    found = Renewal({"JupyterHub.ssl_cert": source}, render, files, LOG)
    await found.load()
    found.start()
    return found


async def test_what_is_written_while_it_is_closed_is_what_traefik_is_started_again_with(source, tmp_path, monkeypatch):
    begun, may_go_on, write = threading.Event(), threading.Event(), renewal._write_all

    def slow(files):
        begun.set()
        assert may_go_on.wait(60)
        write(files)

    monkeypatch.setattr(renewal, "_write_all", slow)
    copy, files = tmp_path / "copy", LaunchFiles()
    keeper = await started(source, files, lambda read: {copy: read[0].content})
    source.write_bytes(self_signed()[0])
    await until(begun.is_set, "the new certificate is not written")
    closing = asyncio.create_task(keeper.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    may_go_on.set()
    await closing
    assert files == {copy: copy.read_bytes()}


async def test_a_fault_of_ours_is_logged_and_the_next_certificate_comes(source, tmp_path, caplog):
    copy, files, faults = tmp_path / "copy", LaunchFiles(), []

    def render(read):
        if files and not faults:
            faults.append(True)
            raise RuntimeError("a fault of ours")
        return {copy: read[0].content}

    keeper = await started(source, files, render)
    try:
        source.write_bytes(self_signed()[0])
        await until(lambda: copy.exists(), "the new certificate is not written")
        assert "a fault of ours" in caplog.text
    finally:
        await keeper.close()


async def test_a_full_disk_is_told_of_once_while_it_lasts(source, tmp_path, monkeypatch, caplog):
    """Fake: a full disk."""
    tries, write, copy, files = [], renewal._write_all, tmp_path / "copy", LaunchFiles()

    def full(_):
        tries.append(True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(renewal, "_write_all", full)
    keeper = await started(source, files, lambda read: {copy: read[0].content})
    try:
        source.write_bytes(self_signed()[0])
        await until(lambda: len(tries) > 3, "it is not tried again")
        assert caplog.text.count("No space left on device") == 1
        monkeypatch.setattr(renewal, "_write_all", write)
        await until(lambda: "is written now" in caplog.text, "nobody is told that it is over")
        assert copy.read_bytes() == source.read_bytes()
    finally:
        await keeper.close()


async def test_a_traefik_that_is_started_meanwhile_gets_no_old_certificate(source, tmp_path, monkeypatch):
    begun, may_go_on, write = threading.Event(), threading.Event(), runtime.write_atomically

    def slow(path, content):
        begun.set()
        assert may_go_on.wait(60)
        write(path, content)

    monkeypatch.setattr(runtime, "write_atomically", slow)
    copy, files = tmp_path / "copy", LaunchFiles()
    keeper = await started(source, files, lambda read: {copy: read[0].content})
    try:
        launch = Launch([], "", 0, lambda *_: {}, {}, files, {})
        instance = Instance(RuntimeDirectory(tmp_path / "run"), SimpleNamespace(term=1), LOG)
        writing = asyncio.create_task(asyncio.to_thread(instance.write, launch))
        await until(begun.is_set, "nothing is written")
        new = self_signed()[0]
        source.write_bytes(new)
        await asyncio.sleep(0.3)  # for the renewal, if nothing keeps it waiting
        may_go_on.set()
        await writing
        await until(lambda: files[copy] == new, "the new certificate is not written")
        assert copy.read_bytes() == new
    finally:
        may_go_on.set()
        await keeper.close()
