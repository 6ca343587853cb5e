"""Builds a release of the commit that is checked out, and looks whether strangers can trust it: make release-check.

What passed is in dist/: packages/ with wheel and sdist, and the bill of materials of an installation without extras.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools import changelog, check_dist
from tools.build_dist import build
from tools.check_dist import Wrong

ROOT = Path(__file__).parents[1]
#: Beside this Python: what the extra traefik installs.
_TRAEFIK = Path(sys.executable).parent / "traefik"
_SPEC = SchemaVersion.V1_6


def main() -> None:
    begin = time.monotonic()
    out = ROOT / "dist"
    shutil.rmtree(out, ignore_errors=True)
    # The wheel has the modes of files as they are here.
    os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory() as directory:
            try:
                Release(Path(directory), out).check()
            except BaseException:
                # Nothing may be there that could be taken for what passed.
                shutil.rmtree(out, ignore_errors=True)
                raise
    except (Wrong, OSError) as failure:  # a full disk, or no git
        sys.exit(f"FAILED  {failure}")
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is in dist/", file=sys.stderr)
        sys.exit(130)
    print(f"All is well, in {time.monotonic() - begin:.0f} s. dist/ has what to publish.")


class Release:
    """A release of the commit that is checked out, which is built and tried in `work`."""

    def __init__(self, work: Path, out: Path) -> None:
        self._work, self._out = work, out
        #: As others get it: what is not committed is not in it.
        self._tree, self._packages, self._env = work / "tree", work / "packages", work / "env"
        self._sbom = work / "jhub-kvproxy.cdx.json"
        self._tag = self._version = ""

    def check(self) -> None:
        for title, step in (
            ("commit", self._clone),
            ("changelog", self._changelog),
            ("build", self._build),
            ("again", self._build_again),
            ("twine", self._twine),
            ("wheel", lambda: check_dist.wheel_files(self._wheel, self._tracked)),
            ("sdist", lambda: check_dist.sdist_files(self._sdist, self._tracked)),
            ("metadata", lambda: check_dist.links(check_dist.metadata(self._wheel, self._version), self._tree)),
            ("install", self._install),
            ("import", self._import),
            ("check", self._run_check),
            ("sbom", self._make_sbom),
            ("dist", self._keep),
        ):
            _say(title, step)

    def _clone(self) -> str:
        _run("git", "clone", "--quiet", ROOT, self._tree)
        described = _run("git", "describe", "--tags", "--always", "--match", "v[0-9]*", cwd=self._tree).strip()
        changed = _run("git", "status", "--porcelain", cwd=ROOT).splitlines()
        left_out = f"; {len(changed)} files that are not committed are left out" if changed else ""
        return f"{described}, {len(self._tracked)} files{left_out}"

    def _changelog(self) -> str:
        tags = _run("git", "tag", "--points-at", "HEAD", "--list", "v[0-9]*", cwd=self._tree).split()
        self._tag = check_dist.tag(tags)
        name = self._tag.removeprefix("v") or changelog.UNRELEASED
        try:
            found = changelog.section((self._tree / "CHANGELOG.md").read_text(encoding="utf-8"), name)
        except LookupError as error:
            raise Wrong(str(error)) from None
        lines = sum(line.startswith("- ") for line in found.text.splitlines())
        return f"[{name}] has {lines} lines" + ("" if self._tag else "; this commit has no tag, so it is no release")

    def _build(self) -> str:
        self._first = self._built(self._tree, self._packages)
        self._version = self._wheel.name.split("-")[1]
        if self._tag and self._tag != f"v{self._version}":
            raise Wrong(f"the tag is {self._tag}, but the wheel is {self._version}")
        return f"{self._version}: {', '.join(self._first)}"

    def _build_again(self) -> str:
        again = self._work / "a-directory-with-another-name"
        _run("git", "clone", "--quiet", ROOT, again)
        return check_dist.same(self._first, self._built(again, self._work / "packages-again"))

    def _built(self, tree: Path, out: Path) -> dict[str, str]:
        try:
            return build(tree, out, self._epoch)
        except RuntimeError as error:
            raise Wrong(str(error)) from None

    def _twine(self) -> str:
        _run(sys.executable, "-m", "twine", "check", "--strict", self._wheel, self._sdist)
        return "a package index can show both"

    def _install(self) -> str:
        """By name, as users do: what pip installs from a file remembers where that was."""
        venv.create(self._env, with_pip=False, symlinks=True)
        wanted = f"jhub-kvproxy=={self._version}"
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self._python)
        _run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--find-links", self._packages, wanted)
        _run(*pip, "install", "--quiet", wanted)
        _run(*pip, "check")
        return f"{len(json.loads(_run(*pip, 'list', '--format=json')))} packages, none in conflict"

    def _import(self) -> str:
        code = "import jhub_kvproxy as us, jhub_kvproxy.hub.proxy, sys; print(us.__version__, len(sys.modules))"
        version, modules = _run(self._python, "-c", code, cwd=self._work).split()
        if version != self._version:
            raise Wrong(f"jhub_kvproxy.__version__ is {version}, not {self._version}")
        _run(self._env / "bin" / "jhub-kvproxy", "backends", cwd=self._work)
        return f"jhub_kvproxy {version}, and KVProxy with {modules} modules"

    def _run_check(self) -> str:
        """The command tests a hub's configuration: here the smallest, with a Traefik as the extra brings it."""
        site, programs = self._work / "site", self._work / "programs"
        site.mkdir()
        programs.mkdir()
        (programs / "traefik").symlink_to(_TRAEFIK.resolve())
        config = f'c.JupyterHub.proxy_class = "kvproxy"\nc.JupyterHub.bind_url = "http://127.0.0.1:{_free_port()}"\n'
        (site / "jupyterhub_config.py").write_text(config)
        path = f"{programs}:{os.environ['PATH']}"
        said = _run(self._env / "bin" / "jhub-kvproxy", "check", cwd=site, env=os.environ | {"PATH": path})
        return f"jhub-kvproxy check finds {said.count('ok ')} things well"

    def _make_sbom(self) -> str:
        command = [Path(sys.executable).parent / "cyclonedx-py", "environment", self._python]
        options = ["--spec-version", _SPEC.to_version(), "--output-reproducible", "--output-format", "JSON"]
        _run(*command, *options, "--output-file", self._sbom, env=os.environ | {"SOURCE_DATE_EPOCH": str(self._epoch)})
        text = self._sbom.read_text()
        if error := JsonStrictValidator(_SPEC).validate_str(text):
            raise Wrong(f"the bill of materials is no CycloneDX {_SPEC.to_version()}: {error}")
        for place in (self._work, ROOT):
            if str(place) in text:
                raise Wrong(f"the bill of materials names {place}")
        return f"CycloneDX {_SPEC.to_version()}, valid, {len(json.loads(text)['components'])} components"

    def _keep(self) -> str:
        shutil.copytree(self._packages, self._out / "packages")
        shutil.copy(self._sbom, self._out)
        return ", ".join(sorted(str(path.relative_to(ROOT)) for path in self._out.rglob("*") if path.is_file()))

    @property
    def _tracked(self) -> set[str]:
        return set(filter(None, _run("git", "ls-files", "-z", cwd=self._tree).split("\0")))

    @property
    def _epoch(self) -> int:
        return int(_run("git", "log", "-1", "--format=%ct", cwd=self._tree))

    @property
    def _wheel(self) -> Path:
        [found] = self._packages.glob("*.whl")
        return found

    @property
    def _sdist(self) -> Path:
        [found] = self._packages.glob("*.tar.gz")
        return found

    @property
    def _python(self) -> Path:
        return self._env / "bin" / "python"


def _say(title: str, step: Callable[[], str]) -> None:
    print(f"...     {title}", end="\r", flush=True) if sys.stdout.isatty() else None
    print(f"ok      {title:10}{step()}", flush=True)


def _run(*command: object, **options: object) -> str:
    """What the command prints; Wrong with all that it said if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        words = " ".join(str(word) for word in command[:4])
        raise Wrong(f"{words} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
