"""What is read in /proc, of text as the kernel writes it and of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from jhub_kvproxy import procfs

#: As Linux 6.1 writes it; only the name is made up.
STAT = (
    "4711 (a ) S (b) Z 1 4711 4711 0 -1 4194560 4213 0 7 0 123 45 0 0 20 0 9 0 8642000 1300000000 12000 "
    "18446744073709551615 1 1 0 0 0 0 0 4096 17663 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
NO_PROCESS = 1 << 22  # the largest id is one less


@contextmanager
def sleeper(**options):
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "--is=it"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    with process:
        process.stdout.readline()
        yield process
        process.stdin.close()


def test_a_stat_with_brackets_in_the_name():
    assert procfs.parse_stat(STAT) == procfs.Stat("Z", 168, 8642000)


@pytest.mark.parametrize("text", ["", "4711 (a) S 1 2", "nonsense", STAT.replace("123", "x")])
def test_what_is_no_stat(text):
    with pytest.raises(ValueError):  # noqa: PT011
        procfs.parse_stat(text)


def test_an_environment_with_odd_variables():
    assert procfs.parse_environment(b"A=1\0B=x=y\0C=\0\xff=\xff\0odd\0") == {
        "A": "1",
        "B": "x=y",
        "C": "",
        "\ufffd": "\ufffd",
        "odd": "",
    }


def test_a_process_that_runs():
    with sleeper(env={**os.environ, "MINE": "yes"}) as process:
        pid = process.pid
        assert procfs.start_time(pid) == procfs.start_time(pid)
        assert procfs.start_time(pid) >= procfs.start_time(os.getpid())
        assert procfs.has_argument(pid, "--is=it")
        assert not procfs.has_argument(pid, "--is")
        assert procfs.environment(pid)["MINE"] == "yes"
        path, program = procfs.executable(pid)
        assert path == os.readlink("/proc/self/exe")  # the same Python as ours
        assert os.path.samestat(program, os.stat(path))
        assert procfs.descriptor_count(pid) >= 3
    assert procfs.cpu_time(os.getpid()) > 0


def test_a_process_that_has_ended_and_is_not_reaped():
    with sleeper() as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert procfs.start_time(process.pid) is None


def test_there_is_no_such_process():
    assert procfs.start_time(NO_PROCESS) is None
    assert procfs.cpu_time(NO_PROCESS) == 0
    assert not procfs.has_argument(NO_PROCESS, "x")
    assert procfs.executable(NO_PROCESS) is None
    for question in (procfs.environment, procfs.descriptor_count):
        with pytest.raises(OSError, match="No such file"):
            question(NO_PROCESS)


def test_what_another_process_has_open(tmp_path):
    with open(tmp_path / "file", "w+") as file:
        file.write("content")
        file.flush()
        path = procfs.descriptor_path(file.fileno())
        with sleeper(pass_fds=[file.fileno()]) as process:
            assert procfs.path_in(process.pid, path).read_text() == "content"


def test_processes_are_found_by_their_argument():
    with sleeper() as first, sleeper() as second:
        found = procfs.pids_with_argument("--is=it")
        assert [pid for pid in found if pid in (first.pid, second.pid)] == [first.pid, second.pid]
    assert not {first.pid, second.pid} & set(procfs.pids_with_argument("--is=it"))
