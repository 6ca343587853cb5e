"""The program that Traefik's output goes through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from jhub_kvproxy.traefik import log_filter
from tests.unit.test_log_filter import ACCESS, COMMON, OTHER


def start(**options) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-S", log_filter.__file__], stdin=subprocess.PIPE, **options)


def test_the_program_ends_with_its_source_and_not_before(tmp_path):
    out = tmp_path / "out"
    with out.open("wb") as file, start(stdout=file) as program:
        program.stdin.write(OTHER)
        program.stdin.flush()
        while not out.stat().st_size:
            assert program.poll() is None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            program.send_signal(number)
        program.stdin.write(COMMON * 1_000 + ACCESS + b"last words")
        program.stdin.close()
        assert program.wait(60) == 0
    note = b"(999 lines of Traefik about too many open files are left out)\n"
    assert out.read_bytes() == OTHER + COMMON + ACCESS + note + b"last words"


def test_the_source_does_not_notice_that_nobody_reads_any_more():
    read, write = os.pipe()
    with start(stdout=write) as program:
        os.close(write)
        os.close(read)
        for _ in range(100):
            program.stdin.write(OTHER * 1000)
        program.stdin.close()
        assert program.wait(60) == 0


def test_output_that_may_not_block_is_written_in_full():
    read, write = os.pipe()
    os.set_blocking(write, False)
    with start(stdout=write) as program:
        os.close(write)
        text = OTHER * 10_000
        program.stdin.write(text[: 1 << 16])
        received = b""
        rest = text[1 << 16 :]
        while len(received) < len(text):
            program.stdin.write(rest[: 1 << 14])
            program.stdin.flush()
            rest = rest[1 << 14 :]
            if not rest and not program.stdin.closed:
                program.stdin.close()
            received += os.read(read, 1 << 16)
        assert program.wait(60) == 0
    os.close(read)
    assert received == text


def test_it_needs_nothing_but_the_standard_library():
    command = [sys.executable, "-I", "-S", "-X", "importtime", log_filter.__file__]
    said = subprocess.run(command, input=b"", capture_output=True, check=True).stderr.decode()
    assert "jhub_kvproxy" not in said.replace(log_filter.__file__, "")
