"""Container images, made without an engine: layers of files, and what to run."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_OCI = "application/vnd.oci.image"


class Layer:
    """A layer in the tar archive `file`, which the ``with`` block writes. Everybody may read what is in it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._places: set[str] = set()

    def __enter__(self) -> Layer:
        self._tar = tarfile.open(self.file, "w")
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def add(self, path: Path, place: str) -> None:
        """The file `path`, or what a link leads to, at `place` (absolute); once only."""
        if place not in self._places:
            self._make_parents(place)
            self._places.add(place)
            info = self._tar.gettarinfo(path.resolve(), place.lstrip("/"))
            with path.open("rb") as content:
                self._tar.addfile(_readable(info), content)

    def write(self, place: str, content: str, *, mode: int = 0o644) -> None:
        """A file with this content."""
        self._make_parents(place)
        info = tarfile.TarInfo(place.lstrip("/"))
        info.size, info.mode = len(content.encode()), mode
        self._tar.addfile(info, io.BytesIO(content.encode()))

    def make_directory(self, place: str, *, mode: int = 0o755) -> None:
        if place not in self._places:
            self._make_parents(place)
            self._places.add(place)
            info = tarfile.TarInfo(place.lstrip("/"))
            info.type, info.mode = tarfile.DIRTYPE, mode
            self._tar.addfile(info)

    def _make_parents(self, place: str) -> None:
        parent = str(Path(place).parent)
        if parent != "/":
            self.make_directory(parent)


def write_images(file: Path, layers: Sequence[Path], configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Write images of these `layers` (tar archives) as one OCI archive; `configs` (Cmd, Env ...) are by their names."""
    with tarfile.open(file, "w") as tar:
        blobs = [_add_blob(tar, layer.read_bytes()) for layer in layers]
        manifests = [_add_manifest(tar, name, blobs, config) for name, config in configs.items()]
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": manifests}))
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))


def _add_manifest(
    tar: tarfile.TarFile, name: str, layers: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
) -> dict[str, Any]:
    about = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": {"mediaType": f"{_OCI}.config.v1+json", **_add_blob(tar, _json(about))},
        "layers": [{"mediaType": f"{_OCI}.layer.v1.tar", **layer} for layer in layers],
    }
    return {
        "mediaType": f"{_OCI}.manifest.v1+json",
        **_add_blob(tar, _json(manifest)),
        "annotations": {"io.containerd.image.name": name},
    }


def _add_blob(tar: tarfile.TarFile, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    _add(tar, f"blobs/sha256/{digest}", content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def _readable(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode |= 0o444 | (0o111 if info.mode & 0o100 else 0)
    return info
