"""A process that runs Traefik, with a program in Traefik's place that ends when it is told to."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from jhub_kvproxy.traefik.process import Process

PATIENCE = 30.0
PROGRAM = """
import signal, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["pidfd", "no pidfd", "pidfd that sends no signal"])
def has_pidfd(request, monkeypatch):
    """Without: fake of an old kernel, or of a sandbox."""

    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    if request.param == "no pidfd":
        monkeypatch.setattr(os, "pidfd_open", refuse)
    elif request.param != "pidfd":
        monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    return request.param == "pidfd"


@pytest.fixture
def start():
    """Starts the program; who calls it gets the Popen."""
    started = []

    def start(*arguments):
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        started.append(child)
        child.stdout.readline()
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


@pytest.fixture(params=["child", "adopted"])
def of(request):
    """The process of a Popen, as of one that we started, or of one that an earlier hub did."""
    processes = []

    def of(child):
        processes.append(Process(child.pid, child if request.param == "child" else None))
        return processes[-1]

    yield of
    for process in processes:
        process.close()


@pytest.mark.parametrize("arguments", [[], ["stubborn"]])
def test_it_is_ended_whether_it_wants_or_not(has_pidfd, start, of, arguments):
    process = of(start(*arguments))
    assert process.is_running()
    assert not process.wait(0)
    process.end(PATIENCE if not arguments else 0.2)
    assert not process.is_running()
    assert process.wait(0)


def test_one_that_has_ended_gets_no_signal(has_pidfd, start, of):
    child = start()
    process = of(child)
    child.kill()
    assert process.wait(PATIENCE)
    process.kill()
    process.end(PATIENCE)


def test_another_process_with_its_id_is_not_it_and_gets_no_signal(has_pidfd, start):
    """Fake: another process gets the id, for which a process would have to be started some million times."""
    first, second = start(), start()
    process = Process(first.pid)
    first.kill()
    first.wait()
    process.pid = second.pid
    if not has_pidfd:
        process._start_time -= 1
    assert not process.is_running()
    process.end(PATIENCE)
    assert second.poll() is None
    process.close()


def test_the_status_of_a_child(start):
    child = start()
    process = Process(child.pid, child)
    assert process.status is None
    process.kill()
    assert process.wait(PATIENCE)
    assert process.status == -signal.SIGKILL
    process.close()


def test_one_that_has_ended_before_it_is_watched(has_pidfd, start):
    child = start()
    child.kill()
    child.wait()
    process = Process(child.pid)
    assert not process.is_running()
    process.end(PATIENCE)
    process.close()
