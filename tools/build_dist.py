"""Builds wheel and sdist of a checkout: the same commit, with the same setuptools, gives the same bytes.

setuptools dates the files of a wheel by SOURCE_DATE_EPOCH. It does not so date those of an sdist,
which is packed again.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path


def build(tree: Path, out: Path, epoch: int) -> dict[str, str]:
    """Builds the checkout `tree` into `out`, with the date `epoch` on all files; the digests by name."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"python -m build failed:\n{done.stdout}{done.stderr}")
    for sdist in out.glob("*.tar.gz"):
        sdist.write_bytes(dated(sdist.read_bytes(), epoch))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def dated(sdist: bytes, epoch: int) -> bytes:
    """The same files in the order of their names, all of one date and of nobody."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(sdist)) as old,
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return packed.getvalue()
