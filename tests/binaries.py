"""Binaries of Traefik that are not the installed one: a copy, and one of another version."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from jhub_kvproxy.traefik.binary import find_traefik

#: Below and above the oldest that is needed, by their length: a version is replaced where it stands in the binary.
OLDER = {5: "3.7.9", 6: "3.7.12", 7: "3.7.012"}
NEWER = {5: "9.9.9", 6: "9.9.99", 7: "9.9.999"}


def installed_traefik() -> tuple[Path, str]:
    """The binary that is installed, and its version."""
    [binary] = find_traefik(["traefik"])
    told = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^Version:\s+(\S+)", told, re.MULTILINE)
    assert found, told
    return Path(binary), found[1]


def copy_traefik(path: Path, versions: dict[int, str] | None = None) -> str:
    """Put a copy of the installed binary at `path`, in one step, as a package manager does; its version.

    With `versions`, it is in all it says and does the installed one, but tells that version of its length.
    """
    binary, version = installed_traefik()
    content = binary.read_bytes()
    if versions:
        old, version = version, versions[len(version)]
        content = content.replace(old.encode(), version.encode())
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.chmod(0o755)
    os.replace(new, path)
    return version


def script(path: Path, text: str) -> list[str]:
    """The command that runs a shell script, written to `path` in one step."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(f"#!/bin/sh\n{text}\n")
    new.chmod(0o755)
    os.replace(new, path)
    return [str(path)]
