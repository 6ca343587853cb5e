"""The cluster test's own parts, without a cluster."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from benchmarks.cluster.connections import Connections
from benchmarks.cluster.faults import FAULTS
from benchmarks.cluster.options import Options, parse
from servers.enclosure import enclosed
from servers.oci_image import Layer, write_images

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "cluster-test.md"
LOG = """\
NOTICE: Netlink socket buffer size has been set to 16777216 bytes.
[1795697548.435555]	    [NEW] tcp      6 300 ESTABLISHED src=127.0.0.1 dst=127.0.0.1 sport=60876 dport=20320 \
[UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=20320 dport=60876
[1795697600.000000]	    [NEW] tcp      6 120 SYN_SENT src=10.199.0.1 dst=10.96.8.63 sport=11000 dport=80 \
[UNREPLIED] src=10.244.0.5 dst=10.199.0.1 sport=8000 dport=11000
[1795697700.000000]	    [NEW] tcp      6 120 SYN_SENT src=10.199.0.1 dst=10.96.8.63 sport=11000 dport=80 \
[UNREPLIED] src=10.244.0.7 dst=10.199.0.1 sport=8000 dport=11000
"""


def test_the_page_tells_of_every_fault_and_its_commands_are_right():
    page = PAGE.read_text()
    shown = re.findall(r'^# .*?(?:CLUSTER="|python -m benchmarks.cluster )(.*?)"?$', page, re.MULTILINE)
    assert len(shown) == 2
    for arguments in shown:
        assert parse(arguments.split()).faults
    assert re.findall(r"^\| `([a-z][a-z-]+)` \|", page, re.MULTILINE) == [fault.name for fault in FAULTS]


def test_options_are_the_same_inside():
    options = parse(["--fault", "scaled", "--users", "7", "--backend", "etcd", "--output", "somewhere"])
    assert Options.from_json(options.to_json()) == options


def test_the_pod_of_a_connection_is_known():
    connections = Connections(LOG)
    assert connections.pod(11000, 1795697601) == "10.244.0.5"
    assert connections.pod(11000, 1795697701) == "10.244.0.7"
    # We are told of a connection a little later than it is made.
    assert connections.pod(11000, 1795697599) == "10.244.0.5"
    assert connections.pod(11000, 1795697590) == ""
    assert connections.pod(60876, 1795697549) == ""


def test_an_image_has_what_was_put_into_it_and_everybody_may_read_it(tmp_path):
    secret = tmp_path / "program"
    secret.write_text("#!/bin/sh\n")
    secret.chmod(0o700)
    (tmp_path / "link").symlink_to(secret)
    with Layer(tmp_path / "layer.tar") as layer:
        layer.add(tmp_path / "link", "/opt/program")
        layer.add(tmp_path / "link", "/opt/program")
        layer.write("/etc/motd", "hello")
        layer.make_directory("/tmp", mode=0o1777)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        assert {member.name: (member.mode, member.uid) for member in tar} == {
            "opt": (0o755, 0),
            "opt/program": (0o755, 0),
            "etc": (0o755, 0),
            "etc/motd": (0o644, 0),
            "tmp": (0o1777, 0),
        }
    configs = {"localhost/a:1": {"User": "1"}, "localhost/b:1": {"Entrypoint": ["/opt/program"]}}
    write_images(tmp_path / "image.tar", [tmp_path / "layer.tar"], configs)
    with tarfile.open(tmp_path / "image.tar") as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}
    blobs = {name.removeprefix("blobs/sha256/"): text for name, text in contents.items() if name.startswith("blobs")}
    assert all(hashlib.sha256(text).hexdigest() == digest for digest, text in blobs.items())

    def blob(entry):
        return json.loads(blobs[entry["digest"].removeprefix("sha256:")])

    found = {
        entry["annotations"]["io.containerd.image.name"]: blob(blob(entry)["config"])["config"]
        for entry in json.loads(contents["index.json"])["manifests"]
    }
    assert found == configs


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make namespaces")
def test_all_that_an_enclosed_program_has_started_ends_with_whoever_started_it(tmp_path):
    own = tmp_path / "own.txt"
    code = "import pathlib, subprocess, time; subprocess.Popen(['sleep', '987']); "
    code += f"pathlib.Path({str(own)!r}).touch(); time.sleep(99)"
    starter = f"import subprocess; subprocess.run({enclosed([sys.executable, '-c', code])!r})"
    process = subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT)
    try:
        while not own.exists():
            assert process.poll() is None
            time.sleep(0.02)
        while not sleepers():
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 30
    while sleepers() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sleepers() == []


def sleepers() -> list[str]:
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if read(path) == b"sleep\x00987\x00"]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
